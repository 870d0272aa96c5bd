"""Flip single bits of golden files, and cut them: what decodes without an error must be what it was.

    python -m tools.flips --each 1400 --out benchmarks/results/flips/rows.csv

Checksums stay as they were. A cut file may decode by upto_bytes to a preview, which is no damage: here it is read as a
whole. For each file: damaged inputs, those refused by each error, those that decode to the same (bits that say nothing,
such as the minor version), those silently wrong.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import diffcodec
from diffcodec import DiffcodecError

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
TEXT = Path(__file__).resolve().parents[1] / "tests" / "data" / "text-ardm"


def told(data: bytes, path: Path) -> Any:
    """What a file says: samples, mode and metadata of every signal, and names. Raises DiffcodecError."""
    if path.suffix == ".dfca":
        names = diffcodec.inspect_archive(data)["names"]
        arrays = diffcodec.decode_archive(data, device="cpu")
        return names, [None if a is None else (a.dtype.name, a.shape, sha(a.tobytes())) for a in arrays]
    model = TEXT if path.name == "ordered-text.dfc" else None
    out = []
    signal = diffcodec.api.decode_signal(data, device="cpu", reconstruction="mean", frames=True, model=model)
    for one in (signal, *signal.following):
        out.append((one.mode, one.array.shape, sha(one.array.tobytes()), repr(one.metadata)))
    return out


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def damaged(data: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.15:
        return data[: draw.randrange(len(data))]
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=1400, help="damaged inputs of each file")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, everything = [], Counter[str]()
    for path in sorted([*GOLDEN.glob("*/*.dfc"), *GOLDEN.glob("*/*.dfca")]):
        data = path.read_bytes()
        try:
            right = told(data, path)
        except DiffcodecError as error:
            print(f"{path.name} does not decode here: {error}")
            continue
        counts: Counter[str] = Counter()
        draw = random.Random(f"{path.name} {options.first}")
        for _ in range(options.each):
            wrong = damaged(data, draw)
            try:
                found = told(wrong, path)
            except DiffcodecError as error:
                counts[type(error).__name__] += 1
            else:
                counts["the same" if found == right else "silently wrong"] += 1
                if found != right:
                    print(f"silently wrong: {path.name}", flush=True)
        everything += counts
        rows.append({"file": f"{path.parent.name}/{path.name}", "inputs": options.each, **counts})
    if options.out:
        columns = ["file", "inputs", *sorted(everything)]
        if "silently wrong" not in columns:
            columns.append("silently wrong")
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval=0)
            writer.writeheader()
            writer.writerows(rows)
    print(f"{sum(everything.values())} inputs, {everything['silently wrong']} silently wrong, {dict(everything)}")
    sys.exit(bool(everything["silently wrong"]))


if __name__ == "__main__":
    main()
