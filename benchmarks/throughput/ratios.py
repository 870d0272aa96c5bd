"""Ratios of a run of the throughput benchmarks: a CSV beside a JSON with the machine, versions, date and command.

    python benchmarks/throughput/ratios.py RUN.json FOLDER

A row per case: seconds (the fastest round: others share the machine), symbols per second where the case says how many,
and for a group with a "raw" case the ratio of its time to ours, above 1 where we are faster.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import sys
from pathlib import Path

from diffcodec.bench.run import machine

PACKAGES = ("diffcodec", "constriction", "numba", "numpy", "torch", "pytest-benchmark")


def main(source: Path, target: Path) -> None:
    run = json.loads(source.read_text())
    target.mkdir(parents=True, exist_ok=True)
    raw = {b["group"]: b["stats"]["min"] for b in run["benchmarks"] if b["name"].endswith("[raw]")}
    with (target / f"{source.stem}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["group", "case", "rounds", "fastest_s", "median_s", "symbols_per_s", "ratio_to_raw"])
        for b in run["benchmarks"]:
            stats, symbols = b["stats"], b["extra_info"].get("symbols")
            ours = b["name"].endswith("[ours]")
            writer.writerow(
                [
                    b["group"] or "",
                    b["name"].removeprefix("test_"),
                    stats["rounds"],
                    f"{stats['min']:.3e}",
                    f"{stats['median']:.3e}",
                    f"{symbols / stats['min']:.3e}" if symbols else "",
                    f"{raw[b['group']] / stats['min']:.2f}" if ours else "",
                ]
            )
    about = {
        "command": f"pytest benchmarks/throughput/bench_{source.stem}.py --benchmark-json={source.name}",
        "date": run["datetime"][:10],
        "machine": machine(),
        "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
    }
    (target / f"{source.stem}.json").write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
