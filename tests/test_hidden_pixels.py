"""Lossy: colours that alpha hides take no bits, count in no PSNR, and come back as they are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import White, needs_weights

import diffcodec
from diffcodec.media.picture import Picture

rng = np.random.default_rng(5)
MODES = ["RGBA", "LA", "RGBa", "La", "RGBA;16", "LA;16", "RGBa;16"]


def pictures(mode: str) -> tuple[Picture, Picture]:
    """(noise hidden, black there), smooth where it is seen: a third of 40×36."""
    y, x = np.mgrid[0:40, 0:36]
    seen = ((x // 6 + y // 5) % 3 == 0)[..., None]
    colours = 3 if mode.startswith("RGB") else 1
    wide = mode.endswith("16")
    smooth = np.stack([120 + 60 * np.sin(x / 9 + c) * np.cos(y / 11) for c in range(colours)], -1)
    noise = rng.integers(0, 256, smooth.shape)
    alpha = 200 * seen.astype(int)
    made = [np.concatenate([np.where(seen, smooth, rest), alpha], -1) for rest in (noise, noise * 0)]
    dtype, scale = (np.uint16, 257) if wide else (np.uint8, 1)
    first, second = ((a.astype(int) * scale).astype(dtype) for a in made)
    return Picture(first, mode), Picture(second, mode)


def seen_psnr(shown: np.ndarray, picture: Picture) -> float:
    top = np.iinfo(picture.samples.dtype).max
    seen = picture.samples[..., -1] > 0
    difference = shown[seen][:, :-1].astype(float) - picture.samples[seen][:, :-1]
    return float(10 * np.log10(top**2 / np.square(difference).mean()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rate", [{"bpp": 1.5}, {"psnr": 24.0}, {"max_bytes": 300}])
def test_what_is_hidden_changes_nothing(mode: str, rate: dict[str, Any]) -> None:
    """Not a bit of the stream, not the quality of what is seen; alpha comes back exactly."""
    noisy, black = pictures(mode)
    options: dict[str, Any] = {"model": White(), **rate}
    data = diffcodec.encode(noisy, "diffc", **options)
    assert data == diffcodec.encode(black, "diffc", **options)
    shown = diffcodec.decode(data, model=White(), reconstruction="mean")
    assert np.array_equal(shown[..., -1], noisy.samples[..., -1])
    if "psnr" in rate:
        assert seen_psnr(shown, noisy) > rate["psnr"] - 0.3
    hidden = shown[shown[..., -1] == 0][:, :-1]
    assert not noisy.info.premultiplied or not hidden.any()  # added to what lies below, nothing


def test_exact_streams_keep_what_is_hidden() -> None:
    noisy, _ = pictures("RGBA")
    data = diffcodec.encode(noisy, "diffc", model=White())
    assert np.array_equal(diffcodec.decode(data, model=White()), noisy.samples)


@pytest.mark.parametrize("alpha", [0, 1, 255])
def test_wholly_hidden_and_wholly_seen(alpha: int) -> None:
    """Nothing to be seen is coded as if it were, since something must be; all to be seen as without alpha."""
    noisy, _ = pictures("RGBA")
    samples = noisy.samples.copy()
    samples[..., 3] = alpha
    data = diffcodec.encode(samples, "diffc", model=White(), bpp=1.5)
    shown = diffcodec.decode(data, model=White(), reconstruction="mean")
    assert (shown[..., 3] == alpha).all()
    plain = diffcodec.encode(samples[..., :3], "diffc", model=White(), max_bytes=len(data) - 4)
    of_plain = diffcodec.decode(plain, model=White(), reconstruction="mean")
    errors = [np.square(p.astype(float) - samples[..., :3]).mean() for p in (shown[..., :3], of_plain)]
    assert errors[0] < 1.1 * errors[1]


@needs_weights
def test_a_network_tells_what_is_seen() -> None:
    """The same file of noise and of black, and far more of what is seen than where all colours are told."""
    noisy, black = pictures("RGBA")
    data = diffcodec.encode(noisy, "diffc", bpp=2.0)
    assert data == diffcodec.encode(black, "diffc", bpp=2.0)
    opaque = diffcodec.encode(np.ascontiguousarray(noisy.samples[..., :3]), "diffc", max_bytes=len(data))
    shown = diffcodec.decode(data, reconstruction="mean")
    of_opaque = np.dstack([diffcodec.decode(opaque, reconstruction="mean"), shown[..., 3]])
    assert seen_psnr(shown, noisy) > seen_psnr(of_opaque, noisy) + 10
