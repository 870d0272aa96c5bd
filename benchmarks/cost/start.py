"""How long commands that do little take to start and end, beside Python itself and the library that reads options.

    python -m benchmarks.cost.start [--save] [--repeats 15] [--modules]

Each is a process of its own; all take turns, so that a machine that is busy for a while is busy for all of them. Told
are medians and minima of the processor's seconds, user and system together, which other work disturbs less than the
wall's, and medians of the wall's. Each has run once before, so that what Python compiles lies on the disk, as `pip`
leaves it. --modules: what of the package each loads instead, by `python -X importtime`.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, arguments, save

DFC, DFCA = "x.dfc", "x.dfca"
COMMANDS = {
    "python": ["-c", "pass"],
    "import typer": ["-c", "import typer"],
    "import typer, its types": ["-c", "import typer; a = typer.Typer(); a.command()(lambda: None); a(['--help'])"],
    "import diffcodec": ["-c", "import diffcodec"],
    "encode --help": ["-m", "diffcodec", "encode", "--help"],
    "info": ["-m", "diffcodec", "info", DFC],
    "list": ["-m", "diffcodec", "list", DFCA],
    "models": ["-m", "diffcodec", "models"],
    "--help": ["-m", "diffcodec", "--help"],
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--modules", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for words in COMMANDS.values():
            seconds(words, folder)
        if options.modules:
            for name, words in COMMANDS.items():
                print(f"{name}: {loaded(words, folder)}")
            return
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
        for _ in range(options.repeats):
            for name, words in COMMANDS.items():
                found[name].append(seconds(words, folder))
    rows = []
    for name, times in found.items():
        own, wall = zip(*times, strict=True)
        middle = statistics.median(own)
        rows.append({"what": name, "processor": f"{middle:.3f}", "least": f"{min(own):.3f}"})
        rows[-1]["wall"] = f"{statistics.median(wall):.3f}"
        print(" ".join(f"{key} {value}" for key, value in rows[-1].items()))
    save(options.save, rows)


def write(folder: Path) -> None:
    """A stream and an archive of two small pictures."""
    import diffcodec

    y, x = np.mgrid[:40, :50]
    picture = (np.stack([y * 3, x * 4, y + x], 2) % 256).astype(np.uint8)
    (folder / DFC).write_bytes(diffcodec.encode(picture, "ardm", "cifar10-ardm"))
    (folder / DFCA).write_bytes(diffcodec.encode_archive([picture, picture[..., 0]], "cifar10-ardm"))


def environment(folder: str) -> dict[str, str]:
    """Of a process that finds its modules compiled, in this folder, whatever this process is told of that."""
    told = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**told, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled")}


def seconds(words: list[str], folder: str) -> tuple[float, float]:
    """(processor, wall) of a process in this folder. Raises CalledProcessError where it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, *words]
    subprocess.run(command, check=True, cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, end - start


def loaded(words: list[str], folder: str) -> str:
    """How many modules, and how many of the package, a process loads, and which take longest, in milliseconds."""
    command = [sys.executable, "-X", "importtime", *words]
    done = subprocess.run(command, check=True, cwd=folder, env=environment(folder), capture_output=True, text=True)
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines() if "|" in line][1:]
    took = {name.strip(): int(own) / 1000 for own, _, name in rows}
    ours = [name for name in took if name.split(".")[0] == "diffcodec"]
    longest = sorted(took, key=lambda name: -took[name])[:8]
    told = ", ".join(f"{name} {took[name]:.1f}" for name in longest)
    return f"{len(took)} modules, {len(ours)} of the package; {told}"


if __name__ == "__main__":
    main()
