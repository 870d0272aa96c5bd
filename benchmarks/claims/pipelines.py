"""Classes of pipelines of diffusers that pass all laws, and what a provider costs over calling the network alone.

    python -m benchmarks.claims.pipelines [--pairs 20]

The laws are those of tests/test_pipelines.py, on a small random pipeline of every row; x_hat of a U-Net of ten million
parameters at 64×64 pixels is timed against the U-Net's own call, in turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.common import ROOT, arguments, printed

#: of every case: laws of its kind, marginals, both sides, budgets and prefixes
LAWS = (
    "test_laws",
    "test_the_chain_is_the_schedulers_own",
    "test_both_sides_end_with_one_latent",
    "test_streams_keep_budgets_and_prefixes_show",
)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=20, help="calls of each that are timed")
    options = parser.parse_args()
    with printed(options.save):
        laws()
        overhead(options)


def laws() -> None:
    """A line for each class: its cases, and whether every one passes."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        chosen = [f"tests/test_pipelines.py::{name}" for name in LAWS]
        command = [sys.executable, "-m", "pytest", "-q", *chosen, f"--junitxml={report}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False)
        passed: dict[str, set[str]] = defaultdict(set)
        classes: dict[str, list[str]] = defaultdict(list)
        for test in ElementTree.parse(report).iter("testcase"):
            name, _, case = test.attrib["name"].partition("[")
            told = next((one.attrib["value"] for one in test.iter("property") if one.attrib["name"] == "class"), None)
            if told is not None:
                classes[told].append(case.rstrip("]"))
            if not any(test.iter(what) for what in ("failure", "error", "skipped") if test.find(what) is not None):
                passed[case.rstrip("]")].add(name)
    print(f"{'pipeline':28} {'laws':6} cases")
    whole = 0
    for pipeline, cases in sorted(classes.items()):
        kept = all(len(passed[case]) == len(LAWS) for case in cases)
        whole += kept
        print(f"{pipeline:28} {'pass' if kept else 'BROKEN':6} {', '.join(cases)}")
    print(f"{whole} classes of {len(classes)} pass all laws")


def overhead(options: argparse.Namespace) -> None:
    import diffusers
    import torch

    from diffcodec.models.pipelines.source import provider

    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=64, layers_per_block=1, block_out_channels=(64, 128, 224),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    model = provider(diffusers.DDPMPipeline(network, diffusers.DDPMScheduler()))
    z, t = torch.randn(1, 3, 64, 64), torch.tensor(0.0)
    step = torch.full((1,), model.schedule.time(0.0))

    @torch.inference_mode()
    def alone() -> torch.Tensor:
        out: torch.Tensor = network(z, step, return_dict=False)[0]
        return out

    def timed(call: Callable[[], torch.Tensor]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    calls: tuple[Callable[[], torch.Tensor], ...] = (alone, lambda: model.predict(z, t), lambda: model.x_hat(z, 0))
    for call in calls:  # the first of each finds its kernels
        call()
    rows = []
    for pair in range(options.pairs):
        order = [(k + pair) % 3 for k in range(3)]  # in turn each is the first
        found = {k: timed(calls[k]) for k in order}
        rows.append([found[k] for k in range(3)])
    count = sum(one.numel() for one in network.parameters())
    alone_ms = 1e3 * median(row[0] for row in rows)
    told = f"{count / 1e6:.1f} million parameters, 64×64 pixels, {alone_ms:.0f} ms, diffusers {diffusers.__version__}"
    print(f"\nU-Net of {told}")
    for number, name in ((1, "predict"), (2, "x_hat")):
        print(f"{name} over the network alone, median of {len(rows)} pairs: "
              f"{100 * (median(row[number] / row[0] for row in rows) - 1):+.1f} %")  # fmt: skip


if __name__ == "__main__":
    main()
