"""Pictures at a reduced size: how large, how close to means of all the pixels, and how few passes they take."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import FakeReceiver, needs_weights
from hypothesis import example, given
from hypothesis import strategies as st

import diffcodec
from diffcodec import api
from diffcodec.codecs.ardm import lattice
from diffcodec.codecs.codec import Head
from diffcodec.codecs.diffc import codec as diffc
from diffcodec.codecs.diffc.cost import steps
from diffcodec.media.picture import Picture
from diffcodec.media.reduced import fitted
from diffcodec.media.sizes import within
from diffcodec.models.gaussian import WhitePictures as White
from diffcodec.models.lattice.geometry import level_count, pass_units
from diffcodec.runtime.errors import InputError
from diffcodec.stream.parsed import read

sides = st.integers(1, 3000)
fake = pytest.mark.usefixtures("fake_codec")


@given(sides, sides, sides, sides)
@example(100, 32, 10, 4)
@example(1, 3000, 1, 1)
def test_a_size_is_the_largest_that_fits_in_proportion(width: int, height: int, most_w: int, most_h: int) -> None:
    w, h = within((width, height), (most_w, most_h))
    assert 1 <= w <= min(width, most_w) and 1 <= h <= min(height, most_h)
    if width <= most_w and height <= most_h:
        assert (w, h) == (width, height)
    else:
        assert w == most_w or h == most_h
        assert h == 1 or w == 1 or abs(w / width - h / height) <= 0.5 / min(width, height) + 1e-9
    assert within((width, height), most_w) == within((width, height), (most_w, most_w))


def wanted(samples: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means by the definition: every pixel in as many parts as it takes."""
    H, W = samples.shape[:2]
    fine = samples.astype(float).repeat(height, 0).repeat(width, 1)
    return fine.reshape(height, H, width, W, -1).mean((1, 3)).reshape(height, width, *samples.shape[2:])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.sampled_from(["uint8", "uint16", "float32"]))
def test_means(height: int, width: int, size: int, dtype: str) -> None:
    samples = np.random.default_rng(height * 13 + width).integers(0, 256, (height, width, 3)).astype(dtype)
    small = fitted(Picture.from_any(samples), size)
    assert small.array.dtype == samples.dtype
    expected = wanted(samples, *small.geometry)
    assert np.abs(small.array - expected).max() <= (1e-3 if dtype == "float32" else 0.5 + 1e-3)


def test_alpha_weighs_colours_and_bits_stay_bits() -> None:
    half = np.zeros((2, 2, 4), np.uint8)
    half[0, 0] = 200, 100, 50, 255
    half[1, 1] = 0, 0, 0, 0
    assert fitted(Picture.from_any(half), 1).array.tolist() == [[[200, 100, 50, 64]]]
    bits = Picture.from_any(np.eye(4, dtype=bool))
    assert set(np.unique(fitted(bits, 3).array)) <= {0, 255} and fitted(bits, 3).mode == "1"
    hues = Picture(np.array([[[250, 9, 9], [4, 9, 9]]], np.uint8), "HSV")
    assert fitted(hues, 1).array.tolist() in ([[[250, 9, 9]]], [[[4, 9, 9]]])


@pytest.mark.parametrize("size", [0, -3, (0, 5), (5,), (1, 2, 3), 2.5, "8", True, [4, 4]])
@fake
def test_sizes_that_are_none(size: object) -> None:
    data = diffcodec.encode(np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match="size"):
        diffcodec.decode(data, size=size)  # type: ignore[arg-type]


@fake
def test_other_media_have_no_size() -> None:
    data = diffcodec.encode(np.arange(50, dtype=np.uint16))
    with pytest.raises(InputError, match="only a picture has a reduced size"):
        diffcodec.decode(data, size=8)


@fake
def test_a_codec_that_does_not_tell_decodes_all_and_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    picture = Picture(array, "RGB", icc=b"profile")
    data = diffcodec.encode(picture)
    back = api.decode_picture(data, size=(15, 100))
    assert back.icc == b"profile" and np.array_equal(back.array, fitted(picture, (15, 100)).array)
    assert diffcodec.decode(data, size=(30, 20)).tobytes() == array.tobytes()
    assert diffcodec.decode(data, size=1000).tobytes() == array.tobytes()
    monkeypatch.setattr(FakeReceiver, "needed", lambda self, payloads, times: 1)
    monkeypatch.setattr(FakeReceiver, "take", lambda self, payload, progress=None: self.passes.append(payload))
    short = diffcodec.decode(data, size=(15, 100))
    preview = diffcodec.decode(data, upto_bytes=diffcodec.inspect(data)["passes"][0]["end"])
    assert np.array_equal(short, fitted(Picture.from_any(preview), (15, 100)).array)


@fake
def test_every_frame_is_reduced() -> None:
    from diffcodec.media.picture import with_frames

    frames = [Picture.from_any(np.full((8, 12), 10 * k, np.uint8)) for k in range(3)]
    data = diffcodec.encode(with_frames(frames))
    assert [one.shape for one in diffcodec.decode_sequence(data, size=6)] == [(4, 6)] * 3


# ---- how few passes


@given(st.integers(1, 900), st.integers(1, 900), st.floats(1, 64))
def test_over_the_lattice_two_pixels_are_known_for_each(height: int, width: int, times: float) -> None:
    passes = pass_units(height, width)
    receiver = lattice.Receiver.__new__(lattice.Receiver)
    receiver.passes = passes
    needed = receiver.needed(times)
    assert 1 <= needed <= len(passes)

    def known(count: int) -> float:
        """Of the pixels, the share that the passes tell."""
        last = [unit for units in passes[:count] for unit in units][-1:]
        return max((phase + 2) / 4 / 4**level for level, phase in last) if last else 1 / 4 ** level_count(height, width)

    assert known(needed) * times**2 >= 2 or needed == len(passes)
    assert needed == 1 or known(needed - 1) * times**2 < 2


def test_a_lossy_stream_stops_where_means_are_as_certain() -> None:
    y, x = np.mgrid[0:48, 0:64]
    picture = np.stack([120 + 80 * np.sin(x / k) * np.cos(y / (k + 3)) for k in (7, 9, 11)], -1).astype(np.uint8)
    model = White()
    data = diffcodec.encode(picture, "diffc", model, bpp=4)
    stream = read(data)
    payloads = stream.container.passes
    receiver = diffc.Receiver(Head("diffc", 48, 64, 3, 0, stream.head.params, stream.head.seed), model)
    told = [sum(steps(payload, receiver.spread.share_bytes)) for payload in payloads]
    for times in (1.5, 2.0, 8.0, 10.0**9):
        needed = receiver.needed(payloads, times)
        assert sum(told[:needed]) >= sum(told) - 2 * math.log(times) * 1024 and 1 <= needed <= len(payloads)
        assert needed == 1 or sum(told[: needed - 1]) < sum(told) - 2 * math.log(times) * 1024
    small = diffcodec.decode(data, model=model, reconstruction="mean", size=8)
    needed = receiver.needed(payloads, 8.0)
    assert small.shape == (6, 8, 3) and needed < len(payloads)
    shown = diffcodec.decode(data, model=model, reconstruction="mean", upto_bytes=stream.container.ends[needed - 1])
    assert np.array_equal(small, fitted(Picture.from_any(shown), 8).array)


@needs_weights
def test_a_photograph_at_a_quarter_of_its_size() -> None:
    """Close to the means of all its pixels, and nearer than a grid of them."""
    y, x = np.mgrid[0:256, 0:256]
    wave = np.sin(x / 9) * np.cos(y / 7) + np.sin((x + 2 * y) / 23)
    noise = np.random.default_rng(0).normal(0, 3, (256, 256, 3))
    picture = np.clip(128 + 50 * wave[..., None] + noise, 0, 255).astype(np.uint8)
    data = diffcodec.encode(picture, "ardm", "photo-ardm")
    if not diffcodec.inspect(data)["decode_cost"]["network_calls"]:
        pytest.skip("the context coder took it")
    seen: list[float] = []
    small = diffcodec.decode(data, size=64, progress=seen.append)
    assert small.shape == (64, 64, 3) and seen[-1] == 1.0 and seen == sorted(seen)
    exact = fitted(Picture.from_any(picture), 64).array.astype(float)
    error, grid = (np.square(one - exact).mean() for one in (small, picture[::4, ::4]))
    assert error < grid / 3
