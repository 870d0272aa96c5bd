"""Vectors of what pictures seldom come to: corners of the context coder and of the lattice, streams that only decoding
refuses.

    python -m tools.corners

writes these alone; `make_vectors.py` writes them with all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from diffcodec.bitstream import Chunk, Header, StreamReader, read, small, write
from diffcodec.bitstream.container import Container
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.codec import Encoded
from diffcodec.codecs.table import CODECS
from diffcodec.entropy.context import coder as context
from diffcodec.media.table import signal_of
from diffcodec.models import registry
from diffcodec.models.gaussian import WhitePictures
from diffcodec.stream.written import stream_of
from tools import decodable, given_vectors
from tools.told import tell

#: how the context coder codes a picture, by the names of its other vectors
BODIES: dict[context.Mode, str] = {1: "numbers", 2: "numbers_and_pixels", 3: "colours", 4: "colours_and_pixels"}


def ints(planes: np.ndarray) -> np.ndarray:
    """int32 samples (H, W, C) of which the planes (H, W, 4 C) are made (MODES.md §2)."""
    height, width, count = planes.shape
    steps = planes[..., ::-1].reshape(height, width, 4, count // 4)[..., ::-1].swapaxes(2, 3)
    return np.ascontiguousarray(steps).view("<i4")[..., 0]


def shades(height: int, width: int, planes: int, colours: bool) -> np.ndarray:
    """Planes of bytes that follow one another, with grain or of few colours, uint8 (H, W, planes)."""
    rng = np.random.default_rng(planes)
    y, x = np.mgrid[:height, :width]
    light = 40 + 9 * y + 5 * x if not colours else 70 * ((x // 3 + y // 2) % 3)
    grain = 0 * light if colours else rng.integers(-1, 2, light.shape)
    found = [light + grain * (k % 2) + 3 * k for k in range(planes)]
    return np.clip(np.stack(found, 2), 0, 255).astype(np.uint8)


def coded_by(data: bytes, planes: np.ndarray, mode: context.Mode) -> bytes:
    """A stream whose one pass is of these planes, with the pass in this mode."""
    palette, indices = context._palette(planes)
    one_pass = context._encode_mode(np.require(planes, requirements="CW"), palette, indices, mode)
    assert one_pass is not None
    chunks = StreamReader().feed(data)
    if chunks[0].type == "S":
        header, _, digest, metadata = small.unpack(chunks[0].payload)
        return write([Chunk("S", small.pack(header, one_pass, digest, metadata))])
    (at,) = [i for i, chunk in enumerate(chunks) if chunk.type == "P"]
    return write([*chunks[:at], Chunk("P", one_pass), *chunks[at + 1 :]])


def two_colours() -> np.ndarray:
    """Long runs, rows repeated now and then, dots so near that memory forgets; the "no" of one colour is the other."""
    rng, two = np.random.default_rng(3), np.zeros((22, 44, 1), np.uint8)
    for y in range(len(two)):
        if y and rng.random() < 0.4:
            two[y] = two[y - 1]
            continue
        for _ in range(rng.integers(0, 3)):
            at = rng.integers(0, 44)
            two[y, at : at + rng.integers(1, 6)] = 200
    return two


def seven_candidates() -> np.ndarray:
    """A neighbourhood four times, with another pixel in it each time: the largest context remembers the first, the
    next the second, the least the third; the neighbours are four others, and the fourth pixel is none of all these."""
    rng = np.random.default_rng(11)
    block = rng.integers(8, 20, (6, 16))
    block[5, 7], block[4, 7:10] = 4, (5, 6, 7)  # W, NW, N, NE
    image = np.concatenate([block] * 4)
    for k in range(4):
        image[6 * k + 5, 8] = k  # the pixel
    image[6, 8], image[12 + 2, 8] = 20, 21  # five rows above it the second time, three the third
    return rng.integers(0, 256, (22, 3), np.uint8)[image]


def contexts() -> Iterator[tuple[str, bytes]]:
    yield "context_two_colours", coded_by(decodable.stream(two_colours(), ardm.CONTEXT), two_colours(), 4)
    seven = seven_candidates()
    yield "context_seven_candidates", coded_by(decodable.stream(seven, ardm.CONTEXT), seven, 4)
    for mode, name in BODIES.items():
        planes = shades(8, 12, 8, mode > 2)
        made = decodable.stream(ints(planes), ardm.NO_PHOTO)
        yield f"context_eight_planes_{name}", coded_by(made, planes, mode)
    six = shades(8, 12, 6, False)
    shorts = (six[..., :3].astype(np.uint16) << 8 | six[..., 3:]).view(np.int16)
    yield "context_six_planes", coded_by(decodable.stream(shorts, ardm.NO_PHOTO), six, 1)
    yield "sixteen_planes_of_shades", decodable.stream(ints(shades(8, 12, 16, False)), ardm.NO_PHOTO)


def numbers() -> Iterator[tuple[str, bytes]]:
    """Samples as whole numbers: each reading, levels told, voids, two numbers of a sample, two passes of them."""
    y, x = np.mgrid[:9, :14]
    rng = np.random.default_rng(5)
    slope = 900 + 311 * y + 97 * x + rng.integers(-9, 10, y.shape)
    holes = np.where(rng.random(y.shape) < 0.2, 0, 30_000 + slope)
    colours = np.stack([holes, slope * 3 // 2, holes // 2], 2)
    light = (slope - 1800) / 512
    whole = np.float32(slope - 1500)
    made = {
        "colours_with_voids": colours.astype(np.uint16),
        "signed_levels": ((slope // 64 - 20) * 1021).astype(np.int16),
        "repeated_rows": np.repeat(slope.astype(np.uint16), 3, 0),
        "wide": (slope * 70_000).astype(np.int32),
        "wide_unsigned": (slope + 4_000_000_000).astype(np.uint32),
        "half": light.astype(np.float16),
        "float_as_half": light.astype(np.float16).astype(np.float32),
        "float_as_whole": whole,
        "float_two_passes": np.stack([light, light * 3, light / 7], 2).astype(np.float32),
        "turned": ((slope // 8 - 260) % 8192).astype(np.uint16),
        "raw": rng.integers(0, 65_536, (4, 3, 4), np.uint16),
    }
    for name, samples in made.items():
        signal = signal_of(samples)
        form = next(form for form in signal.forms() if form.numbers)
        encoded = Encoded(*ardm.encode_numbers(form.extra))
        yield f"numbers_{name}", stream_of(signal, form, CODECS["ardm"], encoded, digest=signal.digest())


def under_alpha() -> Iterator[tuple[str, bytes]]:
    """One colour under alpha, grey and coloured, of 16 bits; a colour that stands wherever alpha is 0."""
    y, x = np.mgrid[:9, :12]
    cover = np.clip(60 * (4 - abs(y - 4)) + 20 * x - 160, 0, 255)[..., None]
    slope = (np.stack([9 * y, 7 * x, 3 * y + 5 * x], 2) + 60).astype(np.uint8)
    wide = np.concatenate([0 * cover + 300, cover * 257], 2).astype(np.uint16)
    made = {
        "one_colour": np.concatenate([0 * slope + np.uint8([40, 44, 52]), cover], 2).astype(np.uint8),
        "one_grey_of_16_bits": wide,
        "hidden_colour": np.concatenate([np.where(cover, slope, 0), cover], 2).astype(np.uint8),
    }
    for name, samples in made.items():
        signal = signal_of(samples)
        form = signal.forms()[-1]
        encoded = Encoded(*ardm.encode(form.photo, form.extra, None, method=ardm.CONTEXT))
        yield f"under_alpha_{name}", stream_of(signal, form, CODECS["ardm"], encoded, digest=signal.digest())


def lattices() -> Iterator[tuple[str, bytes]]:
    model = registry.load("photo-ardm")
    row = decodable.photograph(1, 8200)[..., :1]
    harsh = np.random.default_rng(0).integers(0, 2, (10, 11, 3)).astype(np.uint8) * 255
    yield "lattice_of_extremes", decodable.stream(harsh, ardm.LATTICE, model, tables=0)
    yield "lattice_empty_passes", decodable.stream(row, ardm.LATTICE, model, tables=0)


def undecodable() -> Iterator[tuple[str, bytes, str]]:
    """(name, stream, error): what is a stream by SPEC.md §1 and §2 and is refused by whoever decodes it."""
    yield from ((name, data, "CorruptStream") for name, data in _corrupt())
    yield from given_vectors.undecodable(decodable.photograph(20, 24))
    adjusted = dict(decodable.lattices())["adjusted"]
    yield "given_to_a_lattice", given_vectors.lattice_given(adjusted), "ModelMismatch"


def _corrupt() -> Iterator[tuple[str, bytes]]:
    model, tiny = registry.load("photo-ardm"), decodable.photograph(6, 7)
    told = read(decodable.stream(tiny, ardm.LATTICE, model, tables=1))
    digest = told.digest or b""
    unsaid = replace(told.header, statistics=0)
    yield "small_with_statistics", write([Chunk("S", small.pack(unsaid, told.passes[0], digest))])
    yield "statistics_not_told", again(told, unsaid)
    plain = read(decodable.stream(tiny, ardm.CONTEXT))
    other = replace(plain.header, statistics=1, fingerprint=bytes(8))
    yield "statistics_told_of_another_method", again(replace(plain, digest=digest), other)
    lossy = read(decodable.diffcodec.encode(decodable.photograph(20, 24), "diffc", WhitePictures(), bpp=1.5))
    yield "statistics_told_of_diffc", again(lossy, replace(lossy.header, statistics=1))
    yield "diffc_pass_of_nothing", again(replace(lossy, passes=[*lossy.passes, b""]), lossy.header)
    row = read(dict(lattices())["lattice_empty_passes"])
    yield "lattice_without_empty_passes", again(replace(row, passes=[p for p in row.passes if p]), row.header)


def again(container: Container, header: Header) -> bytes:
    """The stream under another header."""
    passes = [Chunk("P", one) for one in container.passes]
    return write([Chunk("H", header.to_bytes()), *passes, Chunk("E", container.digest or b"")])


def write_all(vectors: Path) -> None:
    made = dict([*contexts(), *numbers(), *under_alpha(), *lattices()])
    for name, data in made.items():
        (vectors / "decodable" / f"{name}.dfc").write_bytes(data)
    tell(vectors / "decodable", {name: decodable.described(data) for name, data in made.items()})
    (vectors / "undecodable").mkdir(exist_ok=True)
    for old in (vectors / "undecodable").iterdir():
        old.unlink()
    refused = list(undecodable())
    for name, data, _ in refused:
        (vectors / "undecodable" / f"{name}.dfc").write_bytes(data)
    tell(vectors / "undecodable", {name: {"error": error} for name, _, error in refused})


if __name__ == "__main__":
    write_all(decodable.SPEC / "vectors")
