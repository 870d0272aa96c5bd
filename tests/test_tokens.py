"""Real text and real sound as rows of tokens, by small trained networks: real bytes, below what symbols alone tell."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np
import pytest
from conftest import decoded

import diffcodec
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.models import registry

DATA = Path(__file__).parent / "data"


def text() -> np.ndarray:
    """The licence of this project in 27 symbols."""
    letters = re.sub(r"[^a-z]+", " ", (Path(__file__).parents[1] / "LICENSE").read_text().lower()).strip()
    codes = np.frombuffer(letters.encode(), np.uint8)[1000:1500]
    return np.where(codes == 32, 0, codes - 96).astype(np.uint8)


def sound() -> np.ndarray:
    """Some of the first channel of a plucked string, 8 bits at 11 kHz."""
    with wave.open(str(DATA / "pluck.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.uint8).reshape(-1, file.getnchannels())
    return np.ascontiguousarray(samples[1100:2100, 0])


@pytest.mark.parametrize(("tokens", "name", "share"), [(text, "text-ardm", 0.8), (sound, "audio-ardm", 0.93)])
def test_real_tokens(tokens, name, share):
    row, model = tokens(), registry.load(DATA / name, device="cpu")
    _, counts = np.unique(row, return_counts=True)
    alone = -float((counts * np.log2(counts / len(row))).sum()) / 8  # bytes of the symbols by their own frequencies
    photo = row[None, :, None]
    params, passes = ardm.encode(photo, photo[..., :0], model, method=ardm.ORDERED, seed=3)
    back, _, _ = decoded(params, passes, 1, len(row), 1, 0, model, seed=3)
    assert (back == photo).all() and sum(map(len, passes)) < share * alone
    data = diffcodec.encode(row, model=DATA / name)
    assert (diffcodec.decode(data, model=DATA / name) == row).all()


def test_text_is_inpainted_from_both_sides():
    row, known = text(), np.ones(500, bool)
    known[200:212] = False
    drawn = [diffcodec.inpaint(row, known, DATA / "text-ardm", calls=12, seed=seed) for seed in range(6)]
    assert all((d[known] == row[known]).all() and d.max() < 27 for d in drawn)
    # drawn from what surrounds them, letters repeat the originals more often than by chance
    assert np.mean([(d[~known] == row[~known]).mean() for d in drawn]) > 0.1
