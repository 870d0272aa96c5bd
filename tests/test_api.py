"""encode, decode, decode_progressive and inspect around a stand-in codec; and once around the bundled model."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FakeModel, needs_weights
from hypothesis import HealthCheck, given, settings
from PIL import Image
from test_image import pictures, same

import diffcodec
from diffcodec import api
from diffcodec.bitstream import Chunk, StreamReader, read, write
from diffcodec.media.picture import Picture
from diffcodec.runtime.errors import (
    DecodeMismatch,
    InputError,
    LimitExceeded,
    ModelMismatch,
    ModelNotFound,
    Truncated,
)

fake = pytest.mark.usefixtures("fake_codec")


@fake
@given(pictures())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(picture: Picture) -> None:
    data = diffcodec.encode(picture)
    assert same(api.decode_picture(data), picture)
    info = diffcodec.inspect(data)
    assert (info["mode"], info["width"], info["height"]) == (picture.mode, picture.width, picture.height)
    assert info["bytes"] == len(data)
    assert len(info["digest"]) in (8, 16) and picture.digest().hex().startswith(info["digest"])
    *_, last = diffcodec.decode_progressive(data)
    assert last.complete and last.bytes_read == len(data) and last.image.tobytes() == picture.samples.tobytes()


@fake
def test_image_kinds_give_the_same_stream(rng: np.random.Generator) -> None:
    import torch

    array = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    data = diffcodec.encode(array)
    assert data == diffcodec.encode(Image.fromarray(array))
    assert data == diffcodec.encode(torch.from_numpy(array))
    assert data == diffcodec.encode(torch.from_numpy(array).permute(2, 0, 1).float() / 255)
    assert np.array_equal(diffcodec.decode(data), array)


@fake
def test_sources(rng: np.random.Generator, tmp_path: Path) -> None:
    array = rng.integers(0, 256, (8, 9), dtype=np.uint8)
    data = diffcodec.encode(array)
    path = tmp_path / "x.dfc"
    path.write_bytes(data)
    for source in (data, bytearray(data), memoryview(data), path, str(path), io.BytesIO(data)):
        assert np.array_equal(diffcodec.decode(source), array)
    for source in (data, path, io.BytesIO(data), [data[:20], data[20:]], (data[i : i + 1] for i in range(len(data)))):
        assert np.array_equal(list(diffcodec.decode_progressive(source))[-1].image, array)
    for source in (3, None, io.StringIO("text"), [1, 2]):
        with pytest.raises(InputError):
            list(diffcodec.decode_progressive(source))  # type: ignore[arg-type]


@fake
def test_metadata_travels() -> None:
    picture = Picture(np.zeros((2, 2), np.uint8), "L", icc=b"profile", exif=b"II*\0")
    data = diffcodec.encode(picture)
    back = api.decode_picture(data)
    assert (back.icc, back.exif) == (b"profile", b"II*\0")
    info = diffcodec.inspect(data)
    assert (info["icc_bytes"], info["exif_bytes"]) == (7, 4)


@fake
def test_few_colours_may_become_a_palette(rng: np.random.Generator) -> None:
    colours = rng.integers(0, 256, (16, 3), dtype=np.uint8)
    array = colours[rng.integers(0, 16, (40, 40))]
    data = diffcodec.encode(array)
    info = diffcodec.inspect(data)
    assert info["palette_colours"] == 16 and info["model"] is None and info["fingerprint"] is None
    assert np.array_equal(diffcodec.decode(data), array)
    flat = np.full((64, 64, 3), 9, np.uint8)
    flat[0, 0] = 10  # a grey picture: one plane, no palette
    assert diffcodec.inspect(diffcodec.encode(flat))["palette_colours"] is None


@fake
def test_prefixes_decode(rng: np.random.Generator) -> None:
    array = rng.integers(0, 256, (12, 12, 4), dtype=np.uint8)
    seen = array[..., 3] > 0  # the colour where alpha is 0 is known with alpha
    data = diffcodec.encode(array)
    first, second, third = (one["end"] for one in diffcodec.inspect(data)["passes"])
    for upto in range(1, first):
        with pytest.raises(Truncated):
            diffcodec.decode(data, upto_bytes=upto)
    coarse = diffcodec.decode(data, upto_bytes=second - 1)
    assert coarse.shape == array.shape and (coarse[..., 3] == 255).all()
    known = (slice(None, None, 4), slice(None, None, 4))
    assert np.array_equal(coarse[known][seen[known], :3], array[known][seen[known], :3])
    fine = diffcodec.decode(data, upto_bytes=third - 1)
    assert np.array_equal(fine[seen, :3], array[seen, :3]) and (fine[..., 3] == 255).all()
    for upto in (third, len(data), 10**9):
        assert np.array_equal(diffcodec.decode(data, upto_bytes=upto), array)
    assert np.array_equal(diffcodec.decode(data[: second - 1], upto_bytes=10**9), coarse)
    with pytest.raises(Truncated):
        diffcodec.decode(data[: second - 1])
    with pytest.raises(InputError):
        diffcodec.decode(data, upto_bytes=0)


@fake
def test_progressive_previews(rng: np.random.Generator) -> None:
    array = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    data = diffcodec.encode(array)
    previews = list(diffcodec.decode_progressive(data[i : i + 7] for i in range(0, len(data), 7)))
    ends = [one["end"] for one in diffcodec.inspect(data)["passes"]]
    assert [p.bytes_read for p in previews] == [*ends, len(data)]
    assert [p.complete for p in previews] == [False, False, True]
    for preview in previews:
        assert preview.bpp == 8 * preview.bytes_read / 144
        assert np.array_equal(preview.image, diffcodec.decode(data, upto_bytes=preview.bytes_read))


@fake
def test_progressive_over_a_cut_stream_shows_previews_then_raises(rng: np.random.Generator) -> None:
    data = diffcodec.encode(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    seen = []
    with pytest.raises(Truncated):
        seen.extend(preview.complete for preview in diffcodec.decode_progressive(data[:-1]))
    assert seen == [False, False]


@fake
def test_progressive_skips_what_shows_nothing() -> None:
    noise = np.random.default_rng(3).standard_normal((64, 64)).astype(np.float32)  # extra planes only
    for samples, shown in ((noise, [False, True]), (noise[:4, :4], [True])):
        picture = Picture(np.ascontiguousarray(samples), "F")
        assert [p.complete for p in diffcodec.decode_progressive(diffcodec.encode(picture))] == shown


@fake
def test_progress_rises_to_one(rng: np.random.Generator) -> None:
    seen: list[float] = []
    array = np.tile(np.arange(16, dtype=np.uint8), (16, 1))[..., None].repeat(3, 2)
    array[..., 1] = array[..., 0].T  # 256 colours, not grey: both forms are tried
    diffcodec.encode(array, progress=seen.append)
    assert seen == sorted(seen) and set(seen) == {0.5, 1.0}


@fake
@pytest.mark.parametrize(
    "options",
    [
        {"codec": "ardm", "bpp": 1.0},
        {"codec": "ardm", "psnr": 30.0},
        {"prompt": "a cat"},
        {"max_bytes": 10},
        {"codec": "vdm"},
        {"codec": "diffc", "bpp": 0},
        {"codec": "png"},
        {"seed": -1},
        {"seed": 2**64},
    ],
)
def test_options_that_cannot_be_met(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        diffcodec.encode(np.zeros((4, 4, 3), np.uint8), **options)
    assert "\n" not in str(error.value)


@fake
def test_models() -> None:
    array = np.arange(64, dtype=np.uint8).reshape(8, 8)
    with pytest.raises(ModelNotFound):
        diffcodec.encode(array, model="nothing-of-that-name")
    data = diffcodec.encode(array, model="fake", seed=5)
    info = diffcodec.inspect(data)
    assert info["model"] == "fake" and info["numerics"] == "exact" and info["seed"] == 5

    with pytest.raises(ModelMismatch):
        diffcodec.decode(data, model=type("Other", (FakeModel,), {"fingerprint": bytes(32)})())
    for name in ("a/b", "x" * 65, "two\nlines"):
        with pytest.raises(InputError, match="cannot be recorded"):
            diffcodec.encode(array, model=type("Named", (FakeModel,), {"name": name})())


@fake
def test_wrong_pixels_are_never_returned(rng: np.random.Generator) -> None:
    data = diffcodec.encode(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    chunks = StreamReader().feed(data)
    other = diffcodec.encode(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    forged = write([Chunk(c.type, c.payload) for c in [*StreamReader().feed(other)[:-1], chunks[-1]]])
    with pytest.raises(DecodeMismatch, match="digest"):
        diffcodec.decode(forged)
    with pytest.raises(DecodeMismatch):
        list(diffcodec.decode_progressive(forged))


@fake
def test_max_pixels() -> None:
    data = diffcodec.encode(np.zeros((20, 30), np.uint8))
    assert diffcodec.decode(data, max_pixels=600).shape == (20, 30)
    for call in (diffcodec.decode, diffcodec.inspect, lambda *a, **k: list(diffcodec.decode_progressive(*a, **k))):
        with pytest.raises(LimitExceeded, match="599"):
            call(data, max_pixels=599)


@fake
def test_inspect_a_cut_stream() -> None:
    data = diffcodec.encode(np.arange(64, dtype=np.uint8).reshape(8, 8))
    assert diffcodec.inspect(data)["complete"]
    with pytest.raises(Truncated):
        diffcodec.inspect(data[:-1])
    info = diffcodec.inspect(data[:-1], partial=True)
    assert not info["complete"] and info["digest"] is None and info["width"] == 8


def test_public_names() -> None:
    assert sorted(diffcodec.__all__) == diffcodec.__all__
    for name in diffcodec.__all__:
        assert hasattr(diffcodec, name)


def test_nothing_heavy_at_import() -> None:
    code = (
        "import sys, diffcodec.cli.main; from diffcodec.models import registry; registry.cards();"
        "print([m for m in ('torch', 'numpy', 'PIL', 'numba', 'rich', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- the bundled model itself


@needs_weights
@pytest.mark.parametrize(
    "mode", ["L", "RGB", "RGBA", "RGB;16", "I;16", "YCbCr", "CMYK", "1", "F", "I;16S", "I;32", "F;16", "RGBX;16"]
)
def test_bundled_model_round_trip(mode: str) -> None:
    from test_image import DTYPES

    from diffcodec.media.modes import BY_NAME

    info = BY_NAME[mode]
    y, x = np.mgrid[0:21, 0:19]
    rng = np.random.default_rng(5)
    shape = (21, 19, info.components)
    smooth = (y * 5 + x * 3)[..., None] + 9 * np.arange(info.components) + rng.integers(0, 6, shape)
    samples = (smooth > 90) * 255 if info.sample == "bit" else smooth * 200 if info.sample == "u2" else smooth % 256
    samples = samples.astype(DTYPES[info.sample]).reshape(shape if info.channels else shape[:2])
    picture = Picture(samples, mode)
    data = diffcodec.encode(picture)
    assert same(api.decode_picture(data), picture)
    container = read(data)
    # whole numbers, where they are smaller, are of 1.7
    assert container.version == (1, 7) or (container.version == (1, 4)) is (40 <= info.number < 64 or info.number > 71)
    for end in container.ends:
        try:
            assert diffcodec.decode(data, upto_bytes=end).shape == samples.shape
        except Truncated:
            assert not info.photo
