"""Frames as blends of others that motion displaces: what moves is met, what rests stays, no sample leaves its range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.models.clips.blending import blend, finer, motion


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """float64 (H, W, 3), smooth, of which any part is like no other."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(rng.uniform(0.1, 0.6) * x + rng.uniform(0.1, 0.6) * y * rng.choice([-1, 1]) + rng.uniform(0, 7))
        for _ in range(24)
    ]
    mixed = np.stack([np.stack(waves[c::3]).sum(0) for c in range(3)], 2)
    return 127 + 20 * mixed


def window(picture: np.ndarray, top: int, left: int, side: int = 48) -> np.ndarray:
    return np.rint(picture[top : top + side, left : left + side]).clip(0, 255).astype(np.uint8)


def error(shown: np.ndarray, wanted: np.ndarray) -> float:
    """Mean squared, of what is not at the border."""
    return float(np.square(shown.astype(float) - wanted)[8:-8, 8:-8].mean())


def test_samples_between_pixels_go_through_them() -> None:
    picture = window(texture(16, 20), 0, 0, 16)
    fine = finer(picture)
    assert fine.shape == (64, 64, 3) and (fine[::4, ::4] == picture).all()
    ramp = np.tile(np.arange(0, 160, 8, dtype=np.uint8)[:, None, None], (1, 4, 1))
    assert (finer(ramp)[8:-16, 0, 0] == np.arange(16, 16 + 2 * len(finer(ramp)[8:-16]), 2)).all()


@pytest.mark.parametrize(("down", "right"), [(0, 2), (1, -2), (1, 1), (-1, 0)])
@pytest.mark.parametrize("share", [0.5, 0.25, 2.0])
def test_what_moves_is_met(down: int, right: int, share: float) -> None:
    """As a whole, by whole pixels: four times as far from one frame to the next as in a quarter of the time."""
    big = texture(128, 128)
    first, second, wanted = (
        window(big, 40 + round(4 * at * down), 40 + round(4 * at * right)) for at in (0.0, 1.0, share)
    )
    made, linear = blend(first, second, share), (first.astype(float) + second) / 2
    assert made.picture.dtype == np.uint8 and made.picture.shape == first.shape
    assert error(made.picture, wanted) < 0.1 * error(linear, wanted)
    assert 127.5**2 * made.error < error(linear, wanted)


def test_motion_is_in_halves_of_a_pixel() -> None:
    big = texture(128, 128)
    vectors = motion(window(big, 40, 40), window(big, 37, 45), 0.5)
    assert vectors.shape == (12, 12, 2)
    assert np.median(vectors.reshape(-1, 2), 0).tolist() == [6, -10]


@pytest.mark.parametrize("share", [0.3, 0.5, 2.0])
def test_what_rests_stays(share: float) -> None:
    still = window(texture(48, 48), 0, 0)
    made = blend(still, still, share)
    assert (made.picture == still).all() and made.error < 1e-4


def test_strangers_are_doubted() -> None:
    """A cut: the estimate says itself how little it is worth."""
    one, other = window(texture(48, 48), 0, 0), window(texture(48, 48, seed=1), 0, 0)
    moved = blend(window(texture(64, 64), 0, 0), window(texture(64, 64), 2, 3))
    assert blend(one, other).error > 8 * moved.error


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 13), st.integers(1, 13), st.sampled_from([1, 3]), st.sampled_from([0.5, 1 / 3, 2.0]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_frames_have_a_blend(height: int, width: int, channels: int, share: float, seed: int) -> None:
    a, b = np.random.default_rng(seed).integers(0, 256, (2, height, width, channels)).astype(np.uint8)
    made = blend(a, b, share)
    assert made.picture.shape == a.shape and 0 < made.error < 20
    assert (blend(a, b, share).picture == made.picture).all()
    if share <= 1:  # nothing is made that neither shows, but for what lies between their samples
        shown = np.concatenate([finer(a), finer(b)])
        assert shown.min() <= made.picture.min() and made.picture.max() <= shown.max()
