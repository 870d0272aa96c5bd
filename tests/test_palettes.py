"""Palettes of indexed files: they come back as they were, cost little, and bytes of strangers are refused."""

from __future__ import annotations

import hashlib
import io
import math
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import needs_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import diffcodec
from diffcodec import api, files
from diffcodec.bitstream import Chunk, StreamReader, read, small, write
from diffcodec.media import palettes
from diffcodec.media.indices import of_picture
from diffcodec.media.metadata import Density, Metadata, PackedPalette, Palette
from diffcodec.media.picture import Picture
from diffcodec.runtime.errors import CorruptStream

SPEC = Path(__file__).parents[1] / "bitstream_spec"


def png(indices: np.ndarray, colours: bytes, alphas: bytes = b"") -> bytes:
    image = Image.fromarray(indices, "P")
    image.putpalette(colours)
    out = io.BytesIO()
    image.save(out, "PNG", **({"transparency": alphas} if alphas else {}))
    return out.getvalue()


def parts(data: bytes) -> tuple[np.ndarray, bytes, Any]:
    image = Image.open(io.BytesIO(data))
    assert image.mode == "P" and image.palette is not None
    return np.asarray(image), bytes(image.palette.palette), image.info.get("transparency")


@st.composite
def indexed(draw: st.DrawFn) -> tuple[np.ndarray, bytes, bytes]:
    """(indices, colours, alphas): entries of few colours, so that some are unused and some repeat."""
    entries = draw(st.integers(1, 40))
    levels = st.sampled_from(draw(st.sampled_from([(0, 255), (0, 90, 255), tuple(range(0, 256, 5))])))
    colours = bytes(draw(st.lists(levels, min_size=3 * entries, max_size=3 * entries)))
    alphas = bytes(draw(st.lists(st.sampled_from([0, 9, 255]), max_size=entries)))
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    indices = draw(st.lists(st.integers(0, entries - 1), min_size=height * width, max_size=height * width))
    return np.array(indices, np.uint8).reshape(height, width), colours, alphas


def picture_of(indices: np.ndarray, palette: Palette) -> Picture:
    """As a reader of the file makes it."""
    entries = np.frombuffer(palette.colours, np.uint8).reshape(-1, 3)
    if palette.alphas:
        alphas = np.frombuffer(palette.alphas.ljust(len(entries), b"\xff"), np.uint8)
        return Picture(np.dstack([entries[indices], alphas[indices]]), "RGBA", metadata=Metadata(palette=palette))
    return Picture(entries[indices], "RGB", metadata=Metadata(palette=palette))


@given(indexed())
@settings(max_examples=200, deadline=None)
def test_packed_and_unpacked(one: tuple[np.ndarray, bytes, bytes]) -> None:
    """Every palette is told and read as it was, in no more bytes than as it is."""
    indices, colours, alphas = one
    picture = picture_of(indices, Palette(colours, alphas))
    for ambiguous in (b"", indices.tobytes()):
        palette = Palette(colours, alphas, ambiguous)
        told = palettes.packed(Picture(picture.samples, picture.mode, metadata=Metadata(palette=palette)))
        assert told.size("palette") <= Metadata(palette=palette).size("palette")
        back = palettes.unpacked(picture, Metadata.from_bytes(told.to_bytes()))
        assert back.palette == palette
        assert back.to_bytes() == Metadata(palette=palette).to_bytes()


@needs_weights
@given(indexed())
@settings(max_examples=15, deadline=None)
def test_files_of_indices_come_back(one: tuple[np.ndarray, bytes, bytes]) -> None:
    data = png(*one)
    picture = files.read(data)
    again = files.write(api.decode_picture(diffcodec.encode(picture)), "PNG")
    (indices, colours, alphas), (found, palette, transparency) = parts(data), parts(again)
    assert np.array_equal(found, indices) and palette == colours and transparency == alphas


def sample(entries: int, order: list[int] | None = None, **options: Any) -> tuple[Picture, Palette]:
    """A picture that shows each of so many colours once more than the one before, and its palette in this order."""
    rng = np.random.default_rng(entries)
    every = np.stack([rng.permutation(256)[:entries] for _ in range(3)], 1).astype(np.uint8)
    shown = np.repeat(np.arange(entries), np.arange(1, entries + 1))
    samples = every[rng.permutation(shown)][None]
    palette = Palette(every[order if order is not None else rng.permutation(entries)].tobytes(), **options)
    return Picture(samples, "RGB", metadata=Metadata(palette=palette)), palette


@pytest.mark.parametrize("entries", [1, 2, 3, 5, 16, 57, 58, 255, 256])
def test_an_order_takes_the_bits_of_a_permutation(entries: int) -> None:
    picture, palette = sample(entries)
    told = palettes.packed(picture)
    assert told.size("palette") <= 2 + math.ceil(math.log2(math.factorial(entries)) / 8)
    assert palettes.unpacked(picture, told).palette == palette


def orders(picture: Picture) -> dict[str, list[bytes]]:
    pixels = [bytes(pixel) for pixel in picture.samples.reshape(-1, 3)]
    used = sorted(set(pixels))
    return {
        "sorted": used,
        "shown": list(dict.fromkeys(pixels)),
        "luma": sorted(used, key=lambda c: 299 * c[0] + 587 * c[1] + 114 * c[2]),
        "frequent": sorted(used, key=lambda c: -pixels.count(c)),
    }


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["sorted", "shown", "luma", "frequent"])
def test_usual_orders_take_a_byte(name: str, reverse: bool) -> None:
    picture, _ = sample(40)
    order = orders(picture)[name]
    palette = Palette(b"".join(order[::-1] if reverse else order))
    metadata = Metadata(palette=palette)
    told = palettes.packed(Picture(picture.samples, "RGB", metadata=metadata))
    assert told.size("palette") == 2 and palettes.unpacked(picture, told).palette == palette


@pytest.mark.parametrize("entries", [1, 2, 4, 16, 100, 256])
@pytest.mark.parametrize("alphas", [b"", b"\xff"])
def test_ramps_of_grey_take_two_bytes(entries: int, alphas: bytes) -> None:
    ramp = bytes(255 * i // max(1, entries - 1) for i in range(entries) for _ in range(3))
    samples = np.frombuffer(ramp, np.uint8).reshape(1, -1, 3)[:, ::3]
    palette = Palette(ramp, alphas)
    told = palettes.packed(Picture(samples, "RGB", metadata=Metadata(palette=palette)))
    assert told.size("palette") <= 3 + len(alphas)
    assert palettes.unpacked(Picture(samples, "RGB"), told).palette == palette


@pytest.mark.parametrize("what", ["grey", "float", "many", "another", "alpha"])
def test_palettes_of_other_pictures_are_told_as_they_are(what: str) -> None:
    picture, palette = sample(9)
    many = np.arange(300 * 3, dtype=np.uint16).astype(np.uint8).reshape(1, 300, 3)
    several = {
        "grey": Picture(picture.samples[..., 0], "L"),
        "float": Picture(picture.samples[..., 0].astype(np.float32), "F"),
        "many": Picture(np.concatenate([many, many // 2], 1), "RGB"),
        "another": Picture(picture.samples ^ 1, "RGB"),
        "alpha": Picture(np.dstack([picture.samples, np.full(picture.samples.shape[:2], 7, np.uint8)]), "RGBA"),
    }
    other = several[what]
    told = palettes.packed(Picture(other.samples, other.mode, metadata=Metadata(palette=palette)))
    assert told.palette == palette and palettes.unpacked(other, told).palette == palette


@given(st.binary(min_size=1, max_size=60), st.sampled_from([1, 2, 5, 16]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes, entries: int, alpha: bool) -> None:
    picture, _ = sample(entries)
    if alpha:
        picture = Picture(np.dstack([picture.samples, picture.samples[..., :1]]), "RGBA")
    try:
        metadata = Metadata.from_bytes(Metadata(palette=PackedPalette(data)).to_bytes())
        back = palettes.unpacked(picture, metadata)
    except CorruptStream as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(back.palette, Palette) and len(back.palette.colours) <= 768
        if data[0]:  # told by the picture: it has its colours
            whole = Picture(picture.samples, picture.mode, metadata=Metadata(palette=Palette(*_without_doubt(back))))
            assert of_picture(whole) is not None


def _without_doubt(metadata: Metadata) -> tuple[bytes, bytes]:
    assert isinstance(metadata.palette, Palette)
    return metadata.palette.colours, metadata.palette.alphas


def change(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        b"\x07",  # no such order
        b"\x41\x00",  # a reserved bit
        b"\x0d" + bytes(2),  # a permutation reversed
        b"\x16\x0f",  # a ramp with further entries
        b"\x06\x0f",  # a ramp without the picture's colours
        b"\x05\x78",  # 120 of 5! permutations
        b"\x05",  # no number
        b"\x21\x06",  # six alphas of five entries
        b"\x11\x05\x00",  # six entries, none of them a further one
        b"\x11\x05\x43" + bytes(3),  # a bit beyond them
        b"\x11\x05\x20\x01\x02",  # a colour that is cut
        b"\x01" + bytes(16),  # more indices in doubt than pixels
    ],
)
def test_what_contradicts_the_picture(data: bytes) -> None:
    picture, _ = sample(5)
    with pytest.raises(CorruptStream):
        palettes.unpacked(picture, Metadata(palette=PackedPalette(data)))


@needs_weights
def test_forged_in_a_stream() -> None:
    """Refused where it is applied; what needs no pixels goes on."""
    picture, _ = sample(16)
    data = diffcodec.encode(picture)
    header, one_pass, digest, ancillary = small.unpack(StreamReader().feed(data)[0].payload)
    assert [letter for letter, _ in ancillary] == ["l"] and read(data).version == (1, 4)
    forged = write([Chunk("S", small.pack(header, one_pass, digest, [("l", b"\0\x07")]))])
    assert diffcodec.inspect(forged)["metadata"] == {"palette": 2}
    with pytest.raises(CorruptStream, match="form 0x07"):
        diffcodec.decode(forged)


@needs_weights
def test_previews_and_lossy_pictures_have_no_palette() -> None:
    picture, palette = sample(16)
    large = Picture(np.random.default_rng(3).permuted(np.tile(picture.samples, (120, 1, 1)), axis=1), "RGB")
    large = Picture(large.samples, "RGB", metadata=picture.metadata)
    data = diffcodec.encode(large)
    assert api.decode_picture(data).metadata.palette == palette
    preview = api.decode_picture(data, upto_bytes=diffcodec.inspect(data)["passes"][-1]["end"])
    assert "palette" in diffcodec.inspect(data)["metadata"] and preview.metadata.palette is None
    lossy = diffcodec.encode(picture, "diffc", bpp=40)
    assert "palette" not in diffcodec.inspect(lossy)["metadata"]
    assert api.decode_picture(lossy, device="cpu").metadata.palette is None


@needs_weights
def test_small_pictures_stay_one_chunk_with_metadata() -> None:
    picture, palette = sample(16)
    density = Density(72, 72)  # type: ignore[arg-type]
    metadata = Metadata(palette=palette, density=density, colour=(("sRGB", b"\0"),), icc=b"profile", exif=b"II*\0")
    bare = diffcodec.encode(Picture(picture.samples, "RGB"))
    data = diffcodec.encode(Picture(picture.samples, "RGB", metadata=metadata))
    assert [chunk.type for chunk in StreamReader().feed(data)] == ["S"]
    assert len(data) - len(bare) == 1 + sum(2 + len(payload) for payload in read(data).ancillary.values())
    assert api.decode_picture(data).metadata == metadata
    for at in range(len(data)):
        with pytest.raises(diffcodec.DiffcodecError):
            api.decode_picture(change(data, at, data[at] ^ 16))


def test_the_profiles_lie_beside_the_document() -> None:
    data = (SPEC / "profiles.bin").read_bytes()
    assert data == resources.files("diffcodec.runtime").joinpath("profiles.bin").read_bytes()
    assert hashlib.sha256(data).hexdigest() in (SPEC / "SPEC.md").read_text(encoding="utf-8")
