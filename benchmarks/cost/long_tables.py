"""What long tables take: bytes, seconds of a processor, and memory that does not grow with them.

    python -m benchmarks.cost.long_tables [--rows N ...] [--format csv|parquet] [--out F]

Agents walk, 23 of them at 25 frames a second, in hundredths of a metre, with their speed: a table of N rows is written
to a temporary folder, then encoded and decoded by the command, each in a process of its own, of which the most memory
is told, and the file that comes back is compared (CSV byte for byte, Parquet value by value).
"""

from __future__ import annotations

import argparse
import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

AGENTS, CHUNK = 23, 4096
COMMAND = """
import resource, sys
from diffcodec.cli.main import main
sys.argv = ["diffcodec", *sys.argv[1:]]
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print("used", used.ru_maxrss, used.ru_utime + used.ru_stime, file=sys.stderr)
"""


def write(path: Path, rows: int) -> None:
    """A table of text of about so many rows."""
    random = np.random.default_rng(0)
    place, push = random.normal(0, 2000, (AGENTS, 2)), np.zeros((AGENTS, 2))
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("frame,player,x,y,speed\n")
        for start in range(0, rows // AGENTS, CHUNK):
            lines = []
            for t in range(start, min(start + CHUNK, rows // AGENTS)):
                push = 0.98 * push + random.normal(0, 0.6, (AGENTS, 2))
                place = 0.9995 * (place + push)
                speed = 25 * np.hypot(push[:, 0], push[:, 1])
                lines += [
                    f"{t},{a},{round(x) / 100:.2f},{round(y) / 100:.2f},{s / 100:.2f}\n"
                    for a, ((x, y), s) in enumerate(zip(place.tolist(), speed.tolist(), strict=True))
                ]
            file.write("".join(lines))


def to_parquet(source: Path, target: Path) -> None:
    import pyarrow.csv as text
    import pyarrow.parquet as parquet

    reader = text.open_csv(source)
    with parquet.ParquetWriter(target, reader.schema) as file:
        for batch in reader:
            file.write_batch(batch)


def run(*arguments: str) -> tuple[int, float]:
    """(most memory in megabytes, seconds of a processor) of the command."""
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    _, memory, seconds = next(line for line in done.stderr.splitlines() if line.startswith("used ")).split()
    return int(memory) >> 10, float(seconds)


def same(one: Path, other: Path) -> bool:
    if one.suffix == ".csv":
        return filecmp.cmp(one, other, shallow=False)
    import pyarrow.parquet as parquet

    return bool(parquet.read_table(one).equals(parquet.read_table(other)))


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6])
    ap.add_argument("--format", choices=("csv", "parquet"), default="csv")
    ap.add_argument("--group", type=int, default=4096, help="frames of a group")
    ap.add_argument("--out", type=Path)
    args = ap.parse_args()
    rows = ["format,rows,file_bytes,bytes,encode_seconds,decode_seconds,encode_megabytes,decode_megabytes"]
    for count in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            source, stream, back = (Path(folder) / name for name in ("a.csv", "a.dfc", f"b.{args.format}"))
            write(source, count)
            if args.format == "parquet":
                to_parquet(source, source.with_suffix(".parquet"))
                source = source.with_suffix(".parquet")
            encoding = run("encode", str(source), str(stream), "--group", str(args.group))
            decoding = run("decode", str(stream), str(back))
            if not same(source, back):
                raise SystemExit(f"a table of {count} rows came back changed")
            size, small = source.stat().st_size, stream.stat().st_size
        told = (args.format, count, size, small, f"{encoding[1]:.0f}", f"{decoding[1]:.0f}", encoding[0], decoding[0])
        rows.append(",".join(map(str, told)))
        print(rows[-1], flush=True)
    if args.out:
        args.out.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
