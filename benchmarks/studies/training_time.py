"""Capacity against training length against decode cost, from nothing, for each kind of bundled model.

    python -m benchmarks.studies.training_time PHOTOS.npz --cifar CIFAR.npz --out DIR [--minutes 1.25 5] [--model M ...]

Every size is trained anew for each length, in minutes of processor time of one thread, its learning rate going to 1 %
at the end of it; a row of DIR/rows.csv holds the validation bits it ends at. Runs that are there already are not made
again. DIR/curves.png shows them beside each size's power law, bits = c minutes^-p through its lengths, up to ten times
the longest: a law of two points, no more than a hint.

PHOTOS.npz is packed by `tools.training.prepare_photos`, CIFAR.npz described in `tools.training.cifar_data`. The bits of
photo-vdm and cifar10-vdm are the diffusion loss over log-SNR -8 to 13.5.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import about, command, note

FIELDS = ("model", "size", "parameters", "kmac_per_pixel", "minutes", "steps", "val_bpd", "machine")

#: options of each size, by its name; the bundled one is marked
LATTICE = {
    "48 x 2": ["--channels", "48", "--blocks", "2"],
    "96 x 3 (bundled)": ["--channels", "96", "--blocks", "3"],
    "160 x 4": ["--channels", "160", "--blocks", "4"],
}
MORE_LOGISTICS = {"96 x 3, K = 10": ["--channels", "96", "--blocks", "3", "--components", "10"]}
UNET = {
    "32-48-64-80": ["--channels", "32", "48", "64", "80"],
    "64-96-128-160 (bundled)": ["--channels", "64", "96", "128", "160"],
    "96-128-192-256": ["--channels", "96", "128", "192", "256"],
}
SMALL = ["--photos", "0", "--batch", "8", "--ema", "0.99"]  # downscaling photographs would take the time
MODELS: dict[str, tuple[str, list[str], dict[str, list[str]]]] = {
    "photo-ardm": (
        "train_ardm",
        ["--batch", "4", "--crop", "48", "--ema", "0.99", "--qat", "0"],
        LATTICE | MORE_LOGISTICS,
    ),
    "cifar10-ardm": ("train_ardm", [*SMALL, "--qat", "0"], LATTICE),
    "photo-vdm": ("train_vdm", ["--batch", "4", "--crop", "48", "--ema", "0.99"], UNET),
    "cifar10-vdm": ("train_vdm", SMALL, UNET),
}


def network(config: dict[str, Any]) -> nn.Module:
    from diffcodec.models.lattice.net import LatticeConfig, LatticeNet
    from diffcodec.models.unet.net import UNet, UNetConfig

    return UNet(UNetConfig.from_dict(config)) if "embedding" in config else LatticeNet(LatticeConfig(**config))


def multiplications(net: nn.Module) -> float:
    """Thousands per pixel: of one call of a U-Net, or of all levels of a lattice. From shapes, on a 64x64 picture."""
    count = 0

    def note(module: nn.Module, given: Any, out: torch.Tensor) -> None:
        nonlocal count
        assert isinstance(module, nn.Conv2d)
        count += out.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(note) for m in net.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        if hasattr(net, "nats"):  # the levels have 1 + 1/4 + 1/16 + ... = 4/3 of the finest one's pixels
            x = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
            net.nats(x, 0, torch.zeros(1, 2, dtype=torch.long))
            count = count * 4 // 3
        else:
            net(torch.zeros(1, 3, 64, 64), torch.zeros(1))
            count += net.stem.numel() * 32 * 32  # its first filters are a parameter
    for hook in hooks:
        hook.remove()
    return count / 64**2 / 1000


def trained(args: argparse.Namespace, model: str, size: str, minutes: float, machine: str) -> dict[str, Any]:
    script, options, sizes = MODELS[model]
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", f"tools.training.{script}", args.photos, folder]
        words += ["--core-minutes", "--minutes", minutes, "--every", 1e6]
        words += [*options, *sizes[size], *(["--cifar", args.cifar] if model.startswith("cifar10") else [])]
        one = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL, env=one)
        with (Path(folder) / "log.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        config = torch.load(Path(folder) / "state.pt", weights_only=True)["config"]
    net = network(config)
    return {
        "model": model,
        "size": size,
        "parameters": sum(p.numel() for p in net.parameters()),
        "kmac_per_pixel": f"{multiplications(net):.1f}",
        "minutes": f"{minutes:g}",
        "steps": last["step"],
        "val_bpd": last.get("val_bpd") or last["val_diffusion_bpd"],
        "machine": machine,
    }


def law(t: np.ndarray, bits: np.ndarray, at: Any) -> Any:
    """bits = c t^-p, fitted, at other t."""
    p, c = np.polyfit(np.log(t), np.log(bits), 1)
    return np.exp(c) * at**p


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, axes = plt.subplots(1, len(models), figsize=(4.2 * len(models), 4), layout="constrained", squeeze=False)
    for axis, model in zip(axes[0], models, strict=True):
        for size in MODELS[model][2]:
            own = sorted(
                (float(r["minutes"]), float(r["val_bpd"]), r) for r in rows if (r["model"], r["size"]) == (model, size)
            )
            if not own:
                continue
            t, bits = np.array([m for m, _, _ in own]), np.array([b for _, b, _ in own])
            (line,) = axis.plot(t, bits, "o-", label=f"{size}: {float(own[0][2]['kmac_per_pixel']):.0f} kMAC/pixel")
            if len(own) > 1:
                further = np.array([t[-1], 10 * t[-1]])
                axis.plot(further, law(t, bits, further), ":", color=line.get_color())
        axis.set(xscale="log", title=model, xlabel="minutes of one core", ylabel="validation bits per dimension")
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
        ticks = [t for t in (0.5, 1, 2, 5, 10, 20, 50, 100) if t <= 12 * max(float(r["minutes"]) for r in rows)]
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axis.minorticks_off()
    figure.savefig(path, dpi=100)


def predicted(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each size with two lengths: what its power law gives at ten times the longest."""
    out = []
    for model, size in dict.fromkeys((row["model"], row["size"]) for row in rows):
        own = [r for r in rows if (r["model"], r["size"]) == (model, size)]
        t, bits = (np.array([float(r[key]) for r in own]) for key in ("minutes", "val_bpd"))
        if len(own) > 1:
            at = float(law(t, bits, 10 * t.max()))
            out.append(f"{model}, {size}: {bits.min():.3f}, at ten times the longest {at:.3f}")
    return out


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("photos", type=Path)
    ap.add_argument("--cifar", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--minutes", type=float, nargs="+", default=[1.25, 5])
    ap.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS))
    ap.add_argument("--jobs", type=int, default=2, help="runs side by side, a core each")
    args = ap.parse_args()
    from diffcodec.bench.run import machine

    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "rows.csv"
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    there = {(r["model"], r["size"], r["minutes"]) for r in rows}
    wanted = [(m, s, t) for t in sorted(args.minutes) for m in args.model for s in MODELS[m][2]]
    todo = [job for job in wanted if (job[0], job[1], f"{job[2]:g}") not in there]
    with ThreadPoolExecutor(args.jobs) as pool:
        for row in pool.map(lambda job: trained(args, *job, machine().split(", load")[0]), todo):
            rows.append(row)
            print(json.dumps(row), flush=True)
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(rows)
    plot(rows, args.out / "curves.png")
    note(args.out, [path.name, "curves.png"], about(command()))
    print("\n".join(predicted(rows)))


if __name__ == "__main__":
    main()
