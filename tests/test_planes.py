"""Pictures of many planes, and streams with another number of passes, or another digest, than their method has."""

from __future__ import annotations

import numpy as np
import pytest

import diffcodec
from diffcodec import api
from diffcodec.bitstream import Chunk, Header, StreamReader, write
from diffcodec.media.picture import Picture
from diffcodec.runtime.errors import CorruptStream, UnsupportedVersion


def samples(dtype: str, channels: int, seed: int = 0) -> np.ndarray:
    """Arrays all of whose byte planes differ; floats with every kind of bit pattern."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (9, 7, channels * np.dtype(dtype).itemsize), np.uint8)
    return raw.view(dtype)


@pytest.mark.parametrize("dtype", ["<i4", "<f4"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pictures_of_four_byte_samples_come_back(dtype: str, channels: int) -> None:
    image = samples(dtype, channels)
    data = diffcodec.encode(image)
    back = diffcodec.decode(data)
    assert back.dtype == image.dtype and back.shape == image.shape and back.tobytes() == image.tobytes()
    found = diffcodec.inspect(data)
    planes = 4 * channels
    assert len(found["passes"]) == -(-planes // 8)
    assert found["format"] == ("1.4" if planes > 8 else "1.1")


def test_streams_of_one_pass_of_planes_stay_at_their_version() -> None:
    image = samples("<i4", 4) & 0xFF  # twelve of the sixteen planes are constant
    assert diffcodec.inspect(diffcodec.encode(image))["format"] == "1.1"


def test_a_preview_of_the_first_planes_has_the_high_bytes() -> None:
    image = samples("<i4", 3)
    data = diffcodec.encode(image)
    first, *_, last = diffcodec.decode_progressive(data)
    assert not first.complete and first.image.shape == image.shape
    assert (first.image >> 16 == image >> 16).all() and (first.image != image).any()
    ends = [p["end"] for p in diffcodec.inspect(data)["passes"]]
    assert (diffcodec.decode(data, upto_bytes=ends[0]) == first.image).all()
    assert last.image.tobytes() == image.tobytes()


def chunks_of(data: bytes) -> list[Chunk]:
    return StreamReader().feed(data)


@pytest.mark.parametrize("change", ["one less", "none", "one more"])
def test_another_number_of_passes_is_corrupt(change: str) -> None:
    first, *passes, end = chunks_of(diffcodec.encode(samples("<i4", 3)))
    passes = {"one less": passes[:1], "none": [], "one more": [*passes, passes[-1]]}[change]
    data = write([first, *passes, end])
    with pytest.raises(CorruptStream):
        diffcodec.decode(data)
    with pytest.raises(CorruptStream):
        list(diffcodec.decode_progressive(data))


@pytest.mark.parametrize("method", [1, 2])
def test_bytes_behind_a_method_without_parameters_are_corrupt(method: int) -> None:
    image = np.zeros((4, 5), np.uint8) if method == 1 else samples("<i4", 1)
    picture = Picture.from_any(image)
    params = bytes(picture.info.planes) + bytes([method])
    header = Header(0, 0, picture.width, picture.height, picture.info.number, 0, 0, "", bytes(8), params)
    from diffcodec.entropy.context.coder import encode_planes
    from diffcodec.media.picture import to_planes

    coded = Chunk("P", encode_planes(to_planes(picture)))
    end = Chunk("E", picture.digest())
    assert (diffcodec.decode(write([Chunk("H", header.to_bytes()), coded, end])) == image).all()
    longer = Header(**(vars(header) | {"params": params + b"\0"}))
    with pytest.raises(CorruptStream):
        diffcodec.decode(write([Chunk("H", longer.to_bytes()), coded, end]))


def test_a_lossy_stream_has_no_digest_and_an_exact_one_has_one(fake_codec: None) -> None:
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    for options in ({"bpp": 4.0}, {}):
        data = api.encode(image, "diffc", **options)
        *before, end = chunks_of(data)
        api.decode(data)
        other = Chunk("E", bytes(8) if not end.payload else b"")
        with pytest.raises(CorruptStream):
            api.decode(write([*before, other]))
        with pytest.raises(CorruptStream):
            list(api.decode_progressive(write([*before, other])))


def test_a_stream_of_the_codec_of_archives_is_refused() -> None:
    first, *rest = chunks_of(diffcodec.encode(samples("<i4", 3)))
    forged = Chunk("H", b"\x01" + first.payload[1:])
    with pytest.raises(UnsupportedVersion):
        diffcodec.decode(write([forged, *rest]))
