"""What one flipped bit of an archive costs: pictures lost, names lost, and anything silently wrong (must be none).

    python -m benchmarks.claims.archive_damage [--pictures 48] [--flips 2000] [--seed 0]

Three archives are made of the same pictures (parts of scikit-image's photograph, drawings, grey ones): packed from a
folder (streams, extended), encoded from memory (streams, format 1.0) and chained. Bits are flipped at places drawn over
the whole file, and at every byte of header, directories and index. Streams that stay as they are decode once.
"""

from __future__ import annotations

import argparse
import functools
import io
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data as samples

import diffcodec
from benchmarks.common import arguments, printed
from diffcodec import DiffcodecError, encode_archive
from diffcodec.archive import folder as packing
from diffcodec.archive import memory as archive
from diffcodec.bitstream.archive import Reader
from diffcodec.media.picture import Picture


def pictures(count: int, seed: int) -> list[np.ndarray]:
    rng, photo = np.random.default_rng(seed), samples.astronaut()
    out = []
    for n in range(count):
        side = int(rng.integers(12, 40))
        y, x = rng.integers(0, 512 - side, 2)
        part = photo[y : y + side, x : x + side]
        if n % 3 == 1:  # a drawing: few colours
            part = rng.integers(0, 256, (3, 3), np.uint8)[rng.integers(0, 3, (side, side))]
        out.append(np.ascontiguousarray(part if n % 5 else part[..., 0]))
    return out


def regions(data: bytes) -> list[tuple[str, int]]:
    """(name, end) of the parts of an archive, in order."""
    reader = Reader(io.BytesIO(data))
    out = [("header", reader.first)]
    for place in reader.places:
        group = reader.group(place)
        start = data.index(group.payload, place.offset)
        out += [("directory", start), ("payload", start + len(group.payload))]
        out.append(("second directory and checksum", place.offset + place.size))
    return [*out, ("index", len(data))]


def outcome(data: bytes, wanted: dict[str, bytes]) -> tuple[int, int, int]:
    """(pictures lost, names lost, pictures that are wrong) of ``wanted`` digests by name, or by number."""
    right = lost = unnamed = wrong = 0
    digests = Counter(wanted.values())
    try:
        with archive.open_archive(data, lenient=True) as reader:
            for group in archive.decoded(reader, archive.all_places(reader), None, "cpu", 1, None):
                for entry, picture in zip(group.entries, group.pictures, strict=True):
                    if isinstance(picture, DiffcodecError):
                        continue
                    digest = picture.digest()
                    if wanted.get(entry.name) == digest:
                        right += 1
                    elif not entry.name and digests[digest]:
                        right, unnamed = right + 1, unnamed + 1
                    else:
                        wrong += 1
    except DiffcodecError:
        pass
    lost = len(wanted) - right
    return lost, unnamed, wrong


def flipped(title: str, data: bytes, wanted: dict[str, bytes], flips: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = regions(data)
    places = set(rng.integers(0, len(data), flips).tolist())
    at = 0
    for name, end in parts:
        if name != "payload":
            places |= set(range(at, end))
        at = end
    worst: dict[str, Counter[str]] = {name: Counter() for name, _ in parts}
    for place in sorted(places):
        name = next(name for name, end in parts if place < end)
        broken = data[:place] + bytes([data[place] ^ 1 << int(rng.integers(0, 8))]) + data[place + 1 :]
        lost, unnamed, wrong = outcome(broken, wanted)
        tally = worst[name]
        tally["flips"] += 1
        tally["wrong"] += wrong
        for key, value in (("most lost", lost), ("most names lost", unnamed)):
            tally[key] = max(tally[key], value)
        tally["lost one or more"] += lost > 0
    print(f"\n{title}: {len(wanted)} pictures, {len(data)} bytes")
    keys = ("flips", "lost one or more", "most lost", "most names lost", "wrong")
    print(f"{'where':32}" + "".join(f"{key:>18}" for key in keys))
    for name, tally in worst.items():
        print(f"{name:32}" + "".join(f"{tally[key]:18}" for key in keys))


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("--pictures", type=int, default=48)
    ap.add_argument("--flips", type=int, default=2000)
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    warnings.simplefilter("ignore")
    decode = functools.lru_cache(4096)(diffcodec.api.decode_picture)
    diffcodec.api.decode_picture = lambda stream, **options: decode(bytes(stream), **options)
    made = pictures(args.pictures, args.seed)
    names = [f"{n:03}.png" for n in range(len(made))]
    wanted = {name: Picture.from_any(p).digest() for name, p in zip(names, made, strict=True)}
    with tempfile.TemporaryDirectory() as folder:
        for name, one in zip(names, made, strict=True):
            Image.fromarray(one).save(Path(folder, name))
        out = Path(folder, "x.dfca")
        packing.pack(folder, str(out), "photo-ardm")
        packed = out.read_bytes()
    flipped("packed, streams of photo-ardm (1.1)", packed, wanted, args.flips, args.seed)
    flipped(
        "from memory, streams (1.0)", encode_archive(made, "photo-ardm", names=names), wanted, args.flips, args.seed
    )
    chained = encode_archive(made, "cifar10-vdm", names=names, steps=3)
    flipped("chained by cifar10-vdm (T = 3)", chained, wanted, min(args.flips, 200), args.seed)


if __name__ == "__main__":
    main()
