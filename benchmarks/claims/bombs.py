"""Small files that claim much work: seconds, peak memory and the error of decoding each with the default budget.

    python -m benchmarks.claims.bombs [CASES_DIR] [--save] [--only NAME]

It makes its own, and takes the files `bomb-*.dfc` and `bomb-*.dfca` of CASES_DIR as well. Each is decoded in a process
of its own that has imported what decoding needs and decoded a small picture; seconds and memory (peak resident set)
count from there. Archives are decoded, then decoded with `damaged="skip"`, then inspected.

Some of its files are within the budget, and what they take is the point: a blank picture of 2^28 pixels, which is
honest, and pictures of the context coder just below what so few bytes are worth.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import arguments, save
from diffcodec.bitstream import Chunk, Header, small, write
from diffcodec.bitstream.archive import ArchiveHeader, Writer
from diffcodec.bitstream.directory import STREAM, Entry, Group
from diffcodec.codecs.ardm import cost
from diffcodec.entropy.context import coder
from diffcodec.models import registry
from diffcodec.models.lattice import geometry

SIDE = 2**14
RGB = b"\0\0\0"  # layout: three coded planes
WARM = "warm.dfc"

CHILD = """
import json, resource, sys, time, warnings
import numpy, torch, diffcodec
warnings.simplefilter("ignore")
diffcodec.decode(sys.argv[1])
path, errors = sys.argv[2], []
ways = [lambda: diffcodec.decode(path)]
if path.endswith(".dfca"):
    ways = [lambda: diffcodec.decode_archive(path), lambda: diffcodec.decode_archive(path, damaged="skip"),
            lambda: diffcodec.inspect_archive(path)]
before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
for way in ways:
    try:
        way()
        errors.append("none: read")
    except Exception as problem:
        errors.append(f"{type(problem).__name__}: {problem}")
seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                  "mb": (after.ru_maxrss - before.ru_maxrss) / 1024, "error": " | ".join(dict.fromkeys(errors))}))
"""


def header(codec: int, params: bytes, model: str, width: int = SIDE, height: int = SIDE) -> Header:
    card = next(card for card in registry.cards() if card["name"] == model)
    refined = int(params[3] == cost.REFINED and codec == 0)
    fingerprint = bytes.fromhex(card["fingerprint"])[:8]
    return Header(codec, 2 if codec == 2 else 0, width, height, 3, refined, 0, model, fingerprint, params)


def stream(head: Header, passes: list[bytes], digest: bytes) -> bytes:
    payloads = [Chunk("P", payload) for payload in passes]
    return write([Chunk("H", head.to_bytes()), *payloads, Chunk("E", digest)])


def lattice(width: int, height: int, passes: int | None = None, method: bytes = bytes([cost.LATTICE])) -> bytes:
    sides = bytes(len(list(geometry.side_levels(height, width))))
    count = len(geometry.pass_units(height, width)) if passes is None else passes
    return stream(header(0, RGB + method + sides, "photo-ardm", width, height), [b""] * count, bytes(8))


def context(body: bytes, width: int = SIDE, height: int = SIDE, mode: int = 3, digest: bytes = bytes(8)) -> bytes:
    """A picture of one pass of the context coder."""
    head = Header(0, 0, width, height, mode, 0, 0, "", bytes(8), RGB + bytes([cost.CONTEXT]))
    return stream(head, [body], digest)


def blank(width: int, height: int) -> bytes:
    """The honest black picture of this size: its digest is right."""
    from diffcodec.media.picture import Picture

    digest = Picture(np.zeros((height, width, 3), np.uint8), "RGB").digest()
    return context(coder.encode_planes(np.zeros((8, 8, 3), np.uint8)), width, height, digest=digest)


def forty() -> bytes:
    """An archive of 40 streams of 2^28 pixels."""
    one = lattice(SIDE, SIDE)
    out = io.BytesIO()
    card = next(card for card in registry.cards() if card["name"] == "photo-ardm")
    writer = Writer(out, ArchiveHeader(0, "photo-ardm", bytes.fromhex(card["fingerprint"])[:8], b""))
    for _ in range(40):
        writer.add(Group((Entry("", STREAM, len(one)),), one, bytes(8)))
    writer.finish()
    return out.getvalue()


def bombs() -> dict[str, bytes]:
    ordered = RGB + bytes([cost.ORDERED, 0]) + (50).to_bytes(2, "little")
    diffusion = RGB + bytes([0, 13])
    noise = np.random.default_rng(0).bytes(100)
    whole = lattice(SIDE, SIDE)
    return {
        "lattice-2e28.dfc": whole,
        "lattice-2e27.dfc": lattice(SIDE, SIDE // 2),
        "lattice-2e24.dfc": lattice(SIDE // 4, SIDE // 4),
        "lattice-1pass-2e28.dfc": lattice(SIDE, SIDE, passes=1),
        "lattice-wide-2e28.dfc": lattice(2**28, 1),
        "statistics-2e28.dfc": lattice(SIDE, SIDE, method=bytes([cost.REFINED, 1])),
        "ordered-2e28.dfc": write([Chunk("S", small.pack(header(0, ordered, "cifar10-oa"), b"", bytes(8)))]),
        "diffc-2e28.dfc": stream(header(2, diffusion, "photo-vdm"), [b"\0\1"], b""),
        "diffc-2e28-226-bytes.dfc": stream(header(2, diffusion, "photo-vdm"), [b"\0\1" + b"\0\1" * 81], b""),
        "diffc-2e27.dfc": stream(header(2, diffusion, "photo-vdm", SIDE, SIDE // 2), [b"\0\1"], b""),
        "diffc-22000-calls.dfc": stream(header(2, diffusion, "photo-vdm", 64, 64), [b"\0\1" * 22_000], b""),
        "diffc-9000-chunks.dfc": stream(header(2, diffusion, "photo-vdm", 64, 64), [b"\0\1"] * 9_000, b""),
        "context-empty-2e28.dfc": context(b"\1"),
        "context-rows-2e28.dfc": context(b"\1" + bytes(3)),
        "context-noise-2e28.dfc": context(b"\2" + noise),
        "context-ones-2e28.dfc": context(b"\2" + b"\xff" * 100),
        "context-rows-2e27.dfc": context(b"\1" + bytes(3), SIDE, SIDE // 2),
        "context-rows-2e26.dfc": context(b"\1" + bytes(3), SIDE, SIDE // 4),
        "context-noise-2e26.dfc": context(b"\2" + noise, SIDE, SIDE // 4),
        "context-ones-2e24.dfc": context(b"\2" + b"\xff" * 100, SIDE // 4, SIDE // 4),
        "honest-blank-2e28.dfc": blank(SIDE, SIDE),
        "40-streams.dfca": forty(),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("cases", nargs="?")
    parser.add_argument("--only", default="", help="files whose name holds this")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        warm = Path(temporary, WARM)
        warm.write_bytes(_small())
        paths = sorted(Path(options.cases).glob("bomb-*.dfc*")) if options.cases else []
        for name, data in bombs().items():
            paths.append(Path(temporary, name))
            paths[-1].write_bytes(data)
        print(
            "| file | bytes | seconds | of processors | MB beyond an idle process | error |\n|---|---|---|---|---|---|"
        )
        for path in [path for path in paths if options.only in path.name]:
            told = subprocess.run(
                [sys.executable, "-c", CHILD, str(warm), str(path)], capture_output=True, text=True, check=True
            )
            found = json.loads(told.stdout)
            numbers = f"{found['seconds']:.3f}", f"{found['cpu']:.3f}", f"{found['mb']:.1f}"
            rows.append((path.name, path.stat().st_size, *numbers, found["error"]))
            print("|", " | ".join(map(str, rows[-1])), "|", flush=True)
    columns = ("file", "bytes", "seconds", "processor_seconds", "mb", "error")
    save(options.save, [dict(zip(columns, row, strict=True)) for row in rows])


def _small() -> bytes:
    """A picture of 8×8 pixels, by the default model."""
    import diffcodec

    return diffcodec.encode(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))


if __name__ == "__main__":
    main()
