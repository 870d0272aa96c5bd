"""Frames share what was found out about the ones before: repeats are coded once, and alike frames in one way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import needs_weights

import diffcodec
from diffcodec import api
from diffcodec.bitstream import read
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.media.picture import Picture

pytestmark = needs_weights
Y, X = np.mgrid[0:48, 0:64]


def drawing(step: int) -> np.ndarray:
    """Few colours, a square that moves."""
    image = np.stack([X // 16 * 60, Y // 12 * 60, (X // 16 + Y // 12) % 2 * 200], 2).astype(np.uint8)
    image[8:24, 2 * step : 2 * step + 14] = (250, 20, 20)
    return image


def photograph(step: int) -> np.ndarray:
    noise = np.random.default_rng(step).normal(0, 5, (48, 64, 1))
    return (np.stack([3 * X, 4 * Y + step, 120 + X - Y], 2) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the codec is asked for: (height and width, method)."""
    found: list[Any] = []
    encode = ardm.encode

    def counted(photo: np.ndarray, extra: np.ndarray, *args: Any, **options: Any) -> Any:
        found.append((photo.shape[2], options.get("method")))
        return encode(photo, extra, *args, **options)

    monkeypatch.setattr(ardm, "encode", counted)
    return found


def sequence(*frames: np.ndarray) -> Picture:
    first, *others = (Picture(frame, "RGB") for frame in frames)
    return Picture(first.samples, "RGB", frames=tuple(others))


def test_a_repeated_frame_is_coded_once(calls: list[Any]) -> None:
    frames = [photograph(0), photograph(1), photograph(1), photograph(1), photograph(0)]
    data = diffcodec.encode(sequence(*frames))
    assert len(calls) == 3  # the second, the last, the first
    container = read(data)
    assert container.frames[0] == container.frames[1] == container.frames[2]
    back = diffcodec.decode_sequence(data)
    assert all(np.array_equal(a, b) for a, b in zip(back, frames, strict=True))
    back[1][:] = 0  # each is its own array
    assert np.array_equal(back[2], frames[2])


def test_alike_frames_are_coded_in_one_way(calls: list[Any]) -> None:
    frames = [drawing(step) for step in range(6)]
    data = diffcodec.encode(sequence(*frames))
    alone = [len(diffcodec.encode(frame)) for frame in frames]
    assert all(np.array_equal(a, b) for a, b in zip(diffcodec.decode_sequence(data), frames, strict=True))
    tries = len(calls) - 2 * len(frames)  # of the sequence; a picture alone is coded with and without a palette
    assert tries == 2 + 2 + 4  # the first frame and the second in both ways, the others in one
    assert len(data) <= 1.1 * sum(alone)


def test_another_scene_is_tried_in_every_way(calls: list[Any]) -> None:
    """What is coded as a drawing is goes to the network when it turns into a photograph."""
    frames = [drawing(0), drawing(1), photograph(2), photograph(3)]
    data = diffcodec.encode(sequence(*frames))
    alone = read(diffcodec.encode(frames[2]))
    assert read(data).frames[1].passes == alone.passes
    assert all(np.array_equal(a, b) for a, b in zip(diffcodec.decode_sequence(data), frames, strict=True))


def test_single_pictures_do_not_change() -> None:
    first, *others = (drawing(step) for step in range(3))
    data = read(diffcodec.encode(sequence(first, *others)))
    alone = read(diffcodec.encode(first))
    assert data.passes == alone.passes and data.palette == alone.palette
    assert read(diffcodec.encode(others[0])).passes == data.frames[0].passes
    assert api.decode_picture(diffcodec.encode(first)).frames == ()
