"""`pack --engine ray` on nodes of a core each: one, two, and with --kill two of which one is killed, the same bytes.

    python -m benchmarks.cost.cluster [--save] [--groups 64] [--group 2] [--side 128] [--kill]

The nodes are of one Ray cluster on this machine (`ray.cluster_utils`), every address 127.0.0.1, and each takes one
task at a time; the pictures are drawn, some of them a group. Told are seconds of the wall, and of the processor: those
of the actor that took most, starting included, which is what the wall would show on machines that nothing else wants.
Beside other work two nodes of one machine do not have two cores, and the ratio of walls says little: so both stand
there, with the load of the machine. --kill packs in this process as well, to compare.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import ROOT, arguments, save
from diffcodec.archive import folder
from diffcodec.archive.group import encode_group

_LOG = "DIFFCODEC_CLUSTER_LOG"  # where actors say what they took


def counted(task: Any, progress: Any) -> Any:
    """`encode_group`, after which the actor says what processor time it has taken since it began."""
    coded = encode_group(task, progress)
    with open(os.environ[_LOG], "a") as file:
        file.write(f"{os.getpid()} {time.process_time()}\n")
    return coded


def drawn(number: int, side: int) -> Image.Image:
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side] / side
    waves = sum(np.sin(2 * np.pi * (x * a + y * b + c)) for a, b, c in rng.uniform(0, 4, (6, 3)))
    planes = 128 + 18 * waves[..., None] * rng.uniform(0.5, 1.5, 3) + rng.normal(0, 4, (side, side, 3))
    return Image.fromarray(planes.clip(0, 255).astype(np.uint8))


class Packing:
    """The same pictures packed again and again. bytes: of the first archive, which all others are to be."""

    def __init__(self, root: Path, groups: int, group: int, side: int):
        self.root, self.log, self.bytes, self.group = root, root / "log", b"", group
        (root / "in").mkdir()
        for number in range(groups * group):
            drawn(number, side).save(root / "in" / f"{number:03}.png")

    def run(self, what: str, progress: Callable[[float], None] | None = None, **how: Any) -> dict[str, Any]:
        self.log.write_text("")
        start, before = time.perf_counter(), time.process_time()
        out = self.root / f"{len(list(self.root.iterdir()))}.dfca"
        folder.pack(str(self.root / "in"), str(out), "photo-ardm", group=self.group, progress=progress, **how)
        wall, here = time.perf_counter() - start, time.process_time() - before
        self.bytes = self.bytes or out.read_bytes()
        took: dict[str, float] = {}
        for line in self.log.read_text().splitlines():
            actor, seconds = line.split()
            took[actor] = max(took.get(actor, 0.0), float(seconds))
        row = {"what": what, "actors": len(took), "wall": f"{wall:.1f}", "processor": f"{max(took.values()):.1f}"}
        row |= {"of_this_process": f"{here:.1f}", "load": f"{os.getloadavg()[0]:.1f}"}
        row["same_bytes"] = out.read_bytes() == self.bytes
        print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        return row


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--groups", type=int, default=64)
    parser.add_argument("--group", type=int, default=2)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        os.environ[_LOG] = str(Path(name) / "log")
        os.environ["PYTHONPATH"] = str(ROOT)
        import ray
        from ray.cluster_utils import Cluster

        folder.encode_group = counted
        packing = Packing(Path(name), options.groups, options.group, options.side)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        try:
            rows = [packing.run("one node", engine="ray", jobs=1)]
            nodes.append(cluster.add_node(num_cpus=1))
            rows.append(packing.run("two nodes", engine="ray", jobs=2))

            def kill(fraction: float) -> None:
                if fraction > 0.5 and len(nodes) == 2:
                    cluster.remove_node(nodes.pop(), allow_graceful=False)

            if options.kill:
                rows.append(packing.run("two nodes, one killed in the middle", kill, engine="ray", jobs=2))
        finally:
            ray.shutdown()
            cluster.shutdown()
        if options.kill:
            rows.append(packing.run("this process alone"))
    one, two = rows[:2]
    ratios = {key: f"{float(one[key]) / float(two[key]):.2f}" for key in ("wall", "processor")}
    rows.append({"what": "one node to two, times", **ratios})
    print(f"two nodes are {ratios['wall']} times as fast by the wall, {ratios['processor']} by processor time")
    save(options.save, rows)


if __name__ == "__main__":
    main()
