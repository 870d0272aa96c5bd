"""Inputs that once failed, each with its right value; those without a test here have theirs where the kind is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import White, needs_weights

import diffcodec
from diffcodec import api, files
from diffcodec.runtime.errors import BitstreamError, CorruptStream, DecodeMismatch, LimitExceeded

CASES = Path(__file__).parent / "data" / "cases"
TESTS = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(CASES.iterdir()), ids=lambda path: path.name)
def test_every_input_is_used(path: Path) -> None:
    sources = [test.read_text(encoding="utf-8") for test in TESTS.rglob("test_*.py")]
    patterns = {path.name, path.stem, f"{path.name.split('-')[0]}-*"}
    assert any(f'"{pattern}"' in source or f"{pattern}." in source for source in sources for pattern in patterns)


@pytest.mark.parametrize("path", sorted(CASES.glob("bomb-*.dfc")), ids=lambda path: path.name)
def test_streams_that_claim_much_in_few_bytes(path: Path) -> None:
    """Refused before anything is loaded or allocated: `benchmarks/claims/bombs.py` has seconds and megabytes."""
    data = path.read_bytes()
    for decode in (diffcodec.decode, lambda data: list(diffcodec.decode_progressive(data))):
        with pytest.raises((LimitExceeded, CorruptStream)):
            decode(data)


@pytest.mark.parametrize("path", sorted(CASES.glob("bomb-*.dfca")), ids=lambda path: path.name)
@pytest.mark.parametrize("damaged", ["raise", "skip"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_archives_that_claim_much_in_few_bytes(path: Path, damaged: str) -> None:
    try:
        found = diffcodec.decode_archive(path.read_bytes(), damaged=damaged)
    except BitstreamError as error:
        assert isinstance(error, (LimitExceeded, CorruptStream))
    else:  # what was skipped stands as None
        assert damaged == "skip" and set(map(type, found)) == {type(None)}


@needs_weights
def test_a_stream_of_rounded_products_is_told() -> None:
    """Made under another precision of torch's products, before these were pinned: its pixels are not its digest's."""
    with pytest.raises(DecodeMismatch):
        diffcodec.decode((CASES / "matmul-medium-rgb32.dfc").read_bytes())


@needs_weights
def test_a_pinned_stream_of_a_device_that_is_not_here() -> None:
    data = (CASES / "pinned-cuda.dfc").read_bytes()

    def tried() -> None:
        try:
            diffcodec.decode(data, device="cpu")
        except DecodeMismatch as error:
            assert "cuda" in str(error)

    with pytest.warns(UserWarning, match="it may not decode to its end"):
        tried()


def _seen(samples: np.ndarray, shown: np.ndarray, alpha: np.ndarray) -> float:
    """PSNR in dB of the colours where alpha is not 0."""
    error = (samples[alpha > 0].astype(float) - shown[alpha > 0]) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


def test_noise_that_alpha_hides_takes_no_bits() -> None:
    whole = files.read(CASES / "alpha-hidden-noise.png").samples
    y, x = (int(n) for n in np.argwhere(np.diff((whole[..., 3] > 0).astype(np.int8), axis=1))[0])
    hidden = whole[max(0, y - 24) :, max(0, x - 24) :][:48, :48]  # across the border of what is hidden
    alpha = hidden[..., 3]
    assert 0 < np.count_nonzero(alpha) < alpha.size
    black = np.where(alpha[..., None] > 0, hidden, 0).astype(np.uint8)
    found = []
    for samples in (hidden, black):
        data = api.encode(samples, "diffc", White(), bpp=1.5)
        back = api.decode(data, model=White(), reconstruction="mean")
        assert np.array_equal(back[..., 3], alpha)
        found.append(_seen(hidden[..., :3], back[..., :3], alpha))
    assert found[0] > found[1] - 0.5


@needs_weights
def test_large_exif_data_delay_no_preview() -> None:
    picture = files.read(CASES / "exif-thumbnail-40k.jpg")
    assert len(picture.exif or b"") > 40_000
    whole, stripped = (api.inspect(api.encode(picture, strip=strip)) for strip in (None, "all"))
    assert whole["passes"][0]["end"] <= stripped["passes"][0]["end"] + 100


def test_large_exif_data_leave_room_for_pixels() -> None:
    picture = files.read(CASES / "exif-thumbnail-40k.jpg")
    with pytest.warns(UserWarning, match="thumbnail"):
        data = api.encode(picture, "diffc", White(), bpp=0.5)
    assert len(data) <= round(0.5 * picture.width * picture.height / 8)


def test_a_jpeg_that_grows_is_told(fake_codec: None, tmp_path: Path, run) -> None:
    code, _, stderr = run("encode", CASES / "photo-q90.jpg", tmp_path / "x.dfc")
    assert code == 0 and "the JPEG file that it came from 19360" in stderr
