"""threads= is a limit that every pool keeps, that is given back, and that changes no byte."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import White, needs_weights

import diffcodec
from diffcodec.channel import trellis
from diffcodec.channel.noise import Key
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.runtime import threads
from diffcodec.runtime.errors import InputError

LIMITS = [1, 2, 5, None]


def picture(height: int, width: int) -> np.ndarray:
    steps = np.random.default_rng(0).normal(0, 4, (height, width, 3))
    return (np.cumsum(steps, 1) + 128).clip(0, 255).astype(np.uint8)


@pytest.fixture
def busiest(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The most threads of this process that ran at a time, this one among them, seen where threads are started."""
    most = [threading.active_count()]
    start = threading.Thread.start

    def started(thread: threading.Thread) -> None:
        start(thread)
        most[0] = max(most[0], threading.active_count())

    monkeypatch.setattr(threading.Thread, "start", started)
    before = threading.active_count() - 1
    return lambda: most[0] - before


@needs_weights
def test_streams_are_the_same_and_the_limit_is_kept(busiest: Callable[[], int]) -> None:
    photo, before = picture(72, 72), torch.get_num_threads()
    alone = diffcodec.encode(photo, threads=1)
    assert busiest() == 1
    assert np.array_equal(diffcodec.decode(alone, threads=1), photo)
    assert busiest() == 1
    assert {diffcodec.encode(photo, threads=limit) for limit in LIMITS} == {alone}
    for limit in LIMITS:
        assert np.array_equal(diffcodec.decode(alone, threads=limit), photo)
    assert torch.get_num_threads() == before and threads.limit() is None


def test_the_limit_is_given_back_after_errors() -> None:
    before = torch.get_num_threads()
    with pytest.raises(InputError):
        diffcodec.encode(picture(8, 8), "diffc", White(), bpp=999, threads=1)
    assert torch.get_num_threads() == before and threads.limit() is None


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "2"])
def test_wrong_limits(wrong: Any) -> None:
    with pytest.raises(InputError, match="at least 1 thread"):
        diffcodec.encode(picture(8, 8), threads=wrong)


def test_each_keeps_the_limit_within_its_workers() -> None:
    def inner(_: int) -> tuple[int | None, int]:
        return threads.limit(), len(threads.each(lambda i: i, range(3), 8))

    assert threads.each(inner, range(4), 2) == [(None, 3)] * 4
    with threads.limited(4):
        assert threads.each(inner, range(4), 2) == [(2, 3)] * 4
        assert (threads.workers(2), threads.workers(9)) == (2, 3)
        with threads.limited(1):
            assert threads.each(inner, range(4), 2) == [(1, 3)] * 4 and threads.workers(2) == 0
        assert threads.limit() == 4
    assert threads.each(inner, [], 2) == []


def test_segments_of_the_trellis_are_the_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many threads work on them is not: another number of workers, the same bits."""
    mu = np.random.default_rng(0).normal(0, 0.6, 9000).astype(np.float32)
    key, bits = Key(1, 2, 3), 2 * trellis.SHORT
    payload, sample = trellis.encode(mu, bits, key, 6)
    for workers in (1, 7):
        monkeypatch.setattr(trellis, "WORKERS", workers)
        again = trellis.encode(mu, bits, key, 6)
        assert again[0] == payload and np.array_equal(again[1], sample)
        assert np.array_equal(trellis.decode(payload, 9000, bits, key, 6), sample)


@needs_weights
def test_small_pictures_start_no_thread_for_the_context_coder(busiest: Callable[[], int]) -> None:
    photo = picture(24, 24)
    assert photo.shape[0] * photo.shape[1] <= ardm.SMALL_PIXELS
    assert np.array_equal(diffcodec.decode(diffcodec.encode(photo)), photo)
    assert busiest() <= 1 + 2 * ardm.THREADS
