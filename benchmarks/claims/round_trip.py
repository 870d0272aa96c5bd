"""`read(write(x)) == x`, or a refusal or warning by name: formats × modes × sizes × metadata.

    python -m benchmarks.claims.round_trip

One row per format and mode, one column per kind of metadata: "equal" where samples, mode, shape and that metadata come
back; "named" where samples and mode do, and a warning named what was left out; "refused" where `write` refused by name.
Anything else is printed and ends with exit status 1. Exif data are compared as the tags they hold where a format
stores them anew (TIFF).
"""

from __future__ import annotations

import collections
import sys
import warnings
from collections.abc import Iterator

import numpy as np

from benchmarks.common import arguments, printed
from diffcodec import InputError, files
from diffcodec.media.metadata import EMPTY, Metadata
from diffcodec.media.modes import DTYPES, MODES, Mode
from diffcodec.media.picture import Picture

SIZES = ((1, 1), (1, 9), (7, 1), (5, 13), (33, 70))
EQUAL, NAMED, REFUSED = "equal", "named", "refused"


def exif_data() -> dict[str, bytes]:
    """Exif data of several kinds: as cameras write them, with tags that would say how samples are stored, and none."""
    from PIL import Image

    plain, structural = Image.Exif(), Image.Exif()
    plain[271], plain[274] = "maker", 6
    plain.get_ifd(0x8769)[36867] = "2026:01:01 00:00:00"
    for tag, value in {
        271: "maker",
        256: 3,
        257: 5,
        258: 16,
        259: 7,
        262: 6,
        266: 2,
        277: 5,
        284: 2,
        338: 1,
        339: 3,
    }.items():
        structural[tag] = value
    return {
        "exif": plain.tobytes().removeprefix(b"Exif\0\0"),
        "exif-structural": structural.tobytes().removeprefix(b"Exif\0\0"),
        "exif-no-tiff": b"this is no TIFF structure",
        "exif-cut": plain.tobytes().removeprefix(b"Exif\0\0")[:21],
    }


def metadata() -> dict[str, Metadata]:
    """By name of the column."""
    return {
        "none": EMPTY,
        "icc": Metadata(icc=b"\0" * 36 + b"acsp" + bytes(range(89))),
        "xmp": Metadata(xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"),
        **{name: Metadata(exif=data) for name, data in exif_data().items()},
    }


def picture(mode: Mode, height: int, width: int, seed: int, opaque: bool = False) -> Picture:
    raw = np.random.default_rng(seed).integers(0, 256, (height, width * mode.planes), dtype=np.uint8)
    samples = raw % 2 * np.uint8(255) if mode.sample == "bit" else raw.view(DTYPES[mode.sample])
    shape = (height, width, mode.channels) if mode.channels else (height, width)
    samples = np.ascontiguousarray(samples.reshape(shape))
    if opaque and mode.alpha is not None:
        samples[..., mode.alpha] = np.iinfo(samples.dtype).max
    return Picture(samples, mode.name)


def tags(data: bytes | None) -> dict[int, object]:
    """The tags of Exif data, those aside that say how samples are stored."""
    from PIL import Image

    exif = Image.Exif()
    if data:
        exif.load(b"Exif\0\0" + data)
    return {tag: value for tag, value in exif.items() if tag in (271, 274)} | dict(exif.get_ifd(0x8769))


def outcome(x: Picture, format: str) -> str:
    """One of the three words, or what went wrong."""
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            data = files.write(x, format)
            named = bool(said)
            back = files.read(data)
    except InputError as error:
        return REFUSED if format in str(error) else f"refused without its name: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if back.mode != x.mode or back.samples.shape != x.samples.shape or back.samples.tobytes() != x.samples.tobytes():
        return f"read back as {back.mode} {back.samples.shape}, {np.mean(back.samples != x.samples):.0%} other samples"
    if named:
        return NAMED
    if (back.metadata.icc, back.metadata.xmp) != (x.metadata.icc, x.metadata.xmp):
        return "another profile or XMP"
    if back.metadata.exif != x.metadata.exif and tags(back.metadata.exif) != tags(x.metadata.exif):
        return "other Exif data"
    return EQUAL


def cells() -> Iterator[tuple[str, str, str, str]]:
    """(format, mode, metadata, outcome)"""
    for format in files.FORMATS:
        for mode in MODES:
            for name, meta in metadata().items():
                found = set()
                for seed, (height, width) in enumerate(SIZES):
                    for opaque in (False, True) if mode.alpha is not None else (False,):
                        plain = picture(mode, height, width, seed, opaque)
                        found.add(outcome(Picture(plain.samples, plain.mode, metadata=meta), format))
                yield format, mode.name, name, " / ".join(sorted(found))


def main() -> int:
    args = arguments(__doc__).parse_args()
    with printed(args.save):
        return measure()


def measure() -> int:
    table: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    counts: collections.Counter[str] = collections.Counter()
    for format, mode, _, found in cells():
        table[format, mode].append(found)
        counts[found] += 1
    print("format mode", *metadata(), sep="\t")
    for (format, mode), row in table.items():
        if set(row) != {REFUSED}:
            print(f"{format} {mode}", *row, sep="\t")
    wrong = sum(number for found, number in counts.items() if found not in (EQUAL, NAMED, REFUSED))
    refused = sum(set(row) == {REFUSED} for row in table.values())
    print(f"{len(table)} pairs of format and mode, of which {refused} refused by name (not shown)")
    print(
        f"{sum(counts.values())} cells: " + ", ".join(f"{counts[word]} {word}" for word in (EQUAL, NAMED, REFUSED)),
        end="",
    )
    print(f", {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
