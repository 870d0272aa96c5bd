"""Team tracking and pedestrians beside other compressors of tables, each set of them at its best.

    python -m benchmarks.suites.tracks FOOTBALL.npz [--sports SPORTS.zip] [--first N] [--models NAME=PATH ...]
        [--only ours|others] [--out F]

FOOTBALL.npz holds plays one after another: `xy` int16 (values, 2), `speed` (values,), `odir` (values, 2), orientation
and direction, all in hundredths, `shape` (plays, 2), the frames and agents of each, `offset` (plays + 1,), where they
begin, `agents`, the names parted by "|", and `split`, "val" for those that are measured: positions alone, and all
columns. SPORTS.zip holds tables of ice hockey, `hockey/*.csv` with frame_id, track_id, x_ft, y_ft, and of
pedestrians, `pedestrians/HERMES*` (agent, frame, x, y, z) and `*obsmat*` (frame, agent, x, z, y, ...); their
positions are rounded to the grid that the row names: what they have beyond it is noise to any coder.

Streams hold no names. The others are given the same whole numbers, each column by itself, agent after agent, without
gaps, and beside them who is there, a bit for each frame of each agent, by the best of xz, bz2 and Deflate. Each takes
of every column differences of the order, 0 to 3, that suits the set best, and is added up over its tables. Every stream
is decoded and compared. Others need `pip install pcodec pyarrow zstandard numcodecs`; those that are not there
are left out.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import importlib.util
import io
import lzma
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

import diffcodec
from diffcodec import Column, Tracks

ORDERS = range(4)


# ---- what is measured


NAMES = ("x, yards", "y, yards", "speed, yards/s", "orientation, degrees", "direction, degrees")


def plays(path: Path, count: int, kind: str = "val") -> Iterator[Tracks]:
    """Those of the file that are for validation, or of another ``kind``, so many of their columns."""
    columns = tuple(Column(name, Decimal("0.01")) for name in NAMES[:count])
    with np.load(path) as z:
        shape, offset, agents, split = (z[key] for key in ("shape", "offset", "agents", "split"))
        parts = [z[key].reshape(len(z["xy"]), -1).astype(np.int64) for key in ("xy", "speed", "odir")]
    every = np.concatenate(parts, 1)[:, :count]
    for i in np.flatnonzero(split == kind):
        values = every[offset[i] : offset[i + 1]].reshape(*shape[i], count)
        names = tuple(str(agents[i]).split("|"))
        yield Tracks(values, columns, values == -32768, names if len(names) == shape[i][1] else (), (), Fraction(10))


def hockey(path: Path, step: Decimal) -> Iterator[Tracks]:
    """The tables of ice hockey."""
    with zipfile.ZipFile(path) as z:
        for name in sorted(z.namelist()):
            if name.startswith("hockey/") and " at " in name and "PP" in name and "Shots" not in name:
                rows = list(csv.DictReader(io.TextIOWrapper(z.open(name), "utf-8")))
                keys = ("frame_id", "track_id", "x_ft", "y_ft")
                yield of_rows(np.array([[float(row[key]) for key in keys] for row in rows]), step)


def walkers(path: Path, step: Decimal, kind: str, columns: list[int]) -> Iterator[Tracks]:
    """The tables of pedestrians whose names hold ``kind``; columns: frame, agent, x, y."""
    with zipfile.ZipFile(path) as z:
        for name in sorted(z.namelist()):
            if name.startswith("pedestrians/") and kind in name:
                yield of_rows(np.loadtxt(z.open(name))[:, columns], step)


def of_rows(rows: np.ndarray, step: Decimal) -> Tracks:
    """Tracks of rows of frame, agent, x, y."""
    frames, ids = rows[:, 0].astype(np.int64), rows[:, 1]
    frames = (frames - frames.min()) // np.gcd.reduce(np.diff(np.unique(frames)))
    agents, index = np.unique(ids, return_inverse=True)
    values, missing = np.zeros((frames.max() + 1, len(agents), 2), np.int64), None
    missing = np.ones(values.shape, bool)
    values[frames, index] = np.rint(rows[:, 2:] / float(step))
    missing[frames, index] = False
    return Tracks(values, (Column("x", step), Column("y", step)), missing)


# ---- other compressors


def differences(tracks: Tracks, order: int) -> list[np.ndarray]:
    """Of each column, agent after agent, in the narrowest type; what an agent begins with has fewer orders."""
    gaps = np.zeros(tracks.values.shape, bool) if tracks.missing is None else tracks.missing
    columns = []
    for f in range(tracks.values.shape[2]):
        parts = []
        for a in range(tracks.values.shape[1]):
            own = tracks.values[~gaps[:, a, f], a, f]
            for k in range(1, min(order, len(own) - 1) + 1):
                own = np.concatenate([own[:k], np.diff(own[k - 1 :])])
            parts.append(own)
        column = np.concatenate(parts)
        kinds = (np.int8, np.int16, np.int32, np.int64)
        wide = max(abs(int(column.min(initial=0))), abs(int(column.max(initial=0))) + 1)
        columns.append(column.astype(next(kind for kind in kinds if wide <= 2 ** (8 * np.dtype(kind).itemsize - 1))))
    return columns


def _pcodec(column: np.ndarray) -> int:
    from pcodec import ChunkConfig, DeltaSpec, standalone

    column = column.astype(np.int16) if column.dtype == np.int8 else column
    configs = [
        ChunkConfig(compression_level=12, delta_spec=delta)
        for delta in (DeltaSpec.no_op(), DeltaSpec.try_consecutive(1), DeltaSpec.try_consecutive(2))
    ]
    return min(len(standalone.simple_compress(column, config)) for config in configs)


def _zstd(column: np.ndarray) -> int:
    import zstandard

    return len(zstandard.ZstdCompressor(level=19).compress(column.tobytes()))


def _parquet(column: np.ndarray) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, sizes = pa.table({"x": column.astype(np.int32) if column.itemsize < 4 else column}), []
    for encoding in ("DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT", "PLAIN"):
        out = io.BytesIO()
        pq.write_table(table, out, compression="zstd", compression_level=22, use_dictionary=False,
                       column_encoding={"x": encoding}, write_statistics=False)  # fmt: skip
        sizes.append(len(out.getvalue()))
    return min(sizes)


def _blosc(column: np.ndarray) -> int:
    from numcodecs import Blosc

    return min(len(Blosc("zstd", 9, shuffle).encode(column)) for shuffle in (Blosc.SHUFFLE, Blosc.BITSHUFFLE))


def _planes(column: np.ndarray) -> bytes:
    """Its bytes, the first of all, then the second, ...: what suits those that know no numbers, if it does."""
    return column.view(np.uint8).reshape(len(column), -1).T.tobytes()


def _xz(column: np.ndarray) -> int:
    window = max(4096, min(column.nbytes, 1 << 26))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": window}]
    both = (column.tobytes(), _planes(column))
    return min(len(lzma.compress(data, lzma.FORMAT_XZ, filters=filters)) for data in both)


def _bz2(column: np.ndarray) -> int:
    return min(len(bz2.compress(data)) for data in (column.tobytes(), _planes(column)))


#: (package, bytes of a column)
OTHERS: dict[str, tuple[str, Callable[[np.ndarray], int]]] = {
    "xz": ("lzma", _xz),
    "bz2": ("bz2", _bz2),
    "zstd 19": ("zstandard", _zstd),
    "Parquet, zstd": ("pyarrow", _parquet),
    "Pcodec 12": ("pcodec", _pcodec),
    "Blosc, zstd": ("numcodecs", _blosc),
}


def presence(tracks: Tracks) -> int:
    """Bytes of who is there when, agent after agent; none where everybody is, always."""
    if tracks.missing is None:
        return 0
    gaps = np.unique(tracks.missing.transpose(2, 1, 0), axis=0)  # those of columns, where they differ
    bits = np.packbits(gaps[gaps.any((1, 2))]).tobytes()
    return min(len(lzma.compress(bits, preset=9)), len(bz2.compress(bits)), len(zlib.compress(bits, 9)))


def others(every: list[Tracks]) -> dict[str, int]:
    """Bytes of all by each that is there, at the orders that suit it."""
    there = {name: one for name, (package, one) in OTHERS.items() if importlib.util.find_spec(package)}
    sizes = {name: np.zeros((len(every[0].columns), len(ORDERS)), np.int64) for name in there}
    for tracks in every:
        for order in ORDERS:
            for f, column in enumerate(differences(tracks, order)):
                for name, one in there.items():
                    sizes[name][f, order] += one(column)
    beside = sum(map(presence, every))
    orders = {name: " ".join(map(str, found.argmin(1))) for name, found in sizes.items()}
    told = {name: f"{name}, differences of order {best}" for name, best in orders.items()}
    return {told[name]: beside + int(found.min(1).sum()) for name, found in sizes.items()}


# ---- ours


def ours(every: list[Tracks], model: str | None) -> dict[str, float]:
    """Bytes of all streams, and frames a second of a processor's time."""
    size, frames, seconds = 0, 0, [0.0, 0.0]
    for tracks in every:
        start = time.process_time()
        data = diffcodec.encode(tracks, model=model)
        middle = time.process_time()
        back = diffcodec.decode_signal(data, model=model)
        seconds[0] += middle - start
        seconds[1] += time.process_time() - middle
        if not back.equals(tracks):
            raise SystemExit("a table came back changed")
        size, frames = size + len(data), frames + len(tracks.values)
    return {"bytes": size, "encode": frames / seconds[0], "decode": frames / seconds[1]}


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("tracks", type=Path)
    ap.add_argument("--sports", type=Path)
    ap.add_argument("--first", type=int)
    ap.add_argument("--models", nargs="*", default=[], metavar="NAME=PATH", help="further networks, weights of each")
    ap.add_argument("--only", choices=("ours", "others"))
    ap.add_argument("--out", type=Path)
    args = ap.parse_args()
    sets: dict[str, Iterator[Tracks]] = {
        "football, 1/100 yard": plays(args.tracks, 2),
        "football, all columns": plays(args.tracks, len(NAMES)),
    }
    if args.sports:
        of = args.sports
        sets["hockey, 1/100 foot"] = hockey(of, Decimal("0.01"))
        sets["corridor, 1 mm"] = walkers(of, Decimal("0.1"), "HERMES", [1, 0, 2, 3])
        sets["street, 1 mm"] = walkers(of, Decimal("0.001"), "obsmat", [0, 1, 2, 4])
    rows = ["set,tables,frames,values,coder,bits_per_value,encode_frames_per_second,decode_frames_per_second"]
    named = [("ours", None), *(tuple(one.split("=", 1)) for one in args.models)]
    for name, found in sets.items():
        every = [Tracks(one.values, one.columns, one.missing, rate=one.rate) for one in islice(found, args.first)]
        there = sum(int(one.values.size if one.missing is None else (~one.missing).sum()) for one in every)
        front = f'"{name}",{len(every)},{sum(len(one.values) for one in every)},{there}'
        if args.only != "ours":
            rows += [f'{front},"{other}",{8 * size / there:.3f},,' for other, size in others(every).items()]
        for label, model in named if args.only != "others" else ():
            mine = ours(every, model)
            rows.append(f"{front},{label},{8 * mine['bytes'] / there:.3f},{mine['encode']:.0f},{mine['decode']:.0f}")
        print("\n".join(rows[-12:]), flush=True)
    if args.out:
        args.out.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
