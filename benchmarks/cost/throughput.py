"""The throughput benchmarks as tables: a CSV of each, and about.json with the machine, versions, date and command.

    python -m benchmarks.cost.throughput [--work build/bench/throughput]

Runs `bench_entropy.py` and `bench_codecs.py`. A row per case: seconds (the fastest round: others share the machine),
symbols per second where the case says how many, and for a group with a "raw" case the ratio of its time to ours, above
1 where we are faster.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import PACKAGES, RESULTS, ROOT, about, command, note, write_rows


def rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Of what pytest-benchmark wrote."""
    raw = {b["group"]: b["stats"]["min"] for b in run["benchmarks"] if b["name"].endswith("[raw]")}
    out = []
    for b in run["benchmarks"]:
        stats, symbols = b["stats"], b["extra_info"].get("symbols")
        ours = b["name"].endswith("[ours]")
        out.append(
            {
                "group": b["group"] or "",
                "case": b["name"].removeprefix("test_"),
                "rounds": stats["rounds"],
                "fastest_s": f"{stats['min']:.3e}",
                "median_s": f"{stats['median']:.3e}",
                "symbols_per_s": f"{symbols / stats['min']:.3e}" if symbols else "",
                "ratio_to_raw": f"{raw[b['group']] / stats['min']:.2f}" if ours else "",
            }
        )
    return out


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", type=Path, default=Path("build/bench/throughput"), help="what pytest-benchmark writes")
    args = ap.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    target = RESULTS / "throughput"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("entropy", "codecs"):
        script, report = ROOT / "benchmarks" / "cost" / f"bench_{name}.py", args.work / f"{name}.json"
        subprocess.run([sys.executable, "-m", "pytest", "-q", script, f"--benchmark-json={report}"], check=True)
        write_rows(target / f"{name}.csv", rows(json.loads(report.read_text())))
        note(target, [f"{name}.csv"], about(command(), (*PACKAGES, "pytest-benchmark")))


if __name__ == "__main__":
    main()
