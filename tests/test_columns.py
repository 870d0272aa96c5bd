"""What stands beside places: predicted by how agents move, exactly, and smaller than without that."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.codecs.ardm.columns import LINE, MOST_FINER, PLAIN, ROUND, Column, Motion, fitted
from diffcodec.entropy.running import bits
from diffcodec.models.tracks.motion import TURN, moved
from diffcodec.runtime.errors import CorruptStream
from diffcodec.runtime.fields import Fields


def walks(frames: int, agents: int) -> tuple[np.ndarray, np.ndarray]:
    """(places, steps that led there, as they were before they were rounded), (T, A, 2)."""
    random, push = np.random.default_rng(0), np.zeros((frames, agents, 2))
    for t in range(1, frames):
        push[t] = 0.95 * push[t - 1] + random.normal(0, 3, (agents, 2))
    return push.cumsum(0).round().astype(np.int64), push


def size(column: Column, values: np.ndarray, motion: Motion) -> float:
    there = np.ones(values.shape, bool)
    return bits(column.running(motion, there, int(values.max()).bit_length()).intervals(values)[1]) / values.size


def still(motion: Motion) -> Motion:
    """As if nobody moved."""
    return Motion(np.zeros_like(motion.lengths), np.full_like(motion.directions, -1))


@pytest.mark.parametrize("unit", [1, 40, 3000])
def test_speed_follows_from_places(unit: int) -> None:
    """Whatever its unit is."""
    places, push = walks(400, 6)
    between = (push[1:-1] + push[2:]) / 2
    speed = (unit * np.hypot(*np.moveaxis(between, 2, 0))).round().astype(np.int64)
    motion = Motion.of(places[1:-1], np.ones(speed.shape, bool))
    there = np.ones(speed.shape, bool)
    column, alone = fitted(speed, there, motion, 0), fitted(speed, there, still(motion), 0)
    assert column.kind == LINE and column.finer <= MOST_FINER
    assert size(column, speed, motion) < size(alone, speed, still(motion)) - 0.5


@pytest.mark.parametrize("turned", [False, True])
def test_directions_follow_from_places(turned: bool) -> None:
    """Whichever way they are counted, and from where."""
    places, push = walks(400, 6)
    between = push[1:-1] + push[2:]
    degrees = np.degrees(np.arctan2(between[..., 1], between[..., 0])) * (-1 if turned else 1) + 123
    values = (degrees * 10).round().astype(np.int64) % 3600
    there = np.ones(values.shape, bool)
    motion = Motion.of(places[1:-1], there)
    column, alone = fitted(values, there, motion, 3600), fitted(values, there, still(motion), 3600)
    assert column.kind == ROUND and column.turned == turned and abs(column.zero - 1230) < 40
    assert size(column, values, motion) < size(alone, values, still(motion)) - 0.5


def test_a_circle_is_worth_its_turn() -> None:
    values = (np.arange(600)[:, None] * np.array([7, 11])) % 360
    there = np.ones(values.shape, bool)
    motion = Motion(np.zeros((600, 2, 2), np.int64), np.full((600, 2, 2), -1))
    assert size(fitted(values, there, motion, 360), values, motion) < 0.5
    assert size(fitted(values, there, motion, 0), values, motion) > 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(-(2**26), 2**26), st.integers(-(2**26), 2**26))
def test_lengths_and_directions(x: int, y: int) -> None:
    places = np.array([[[0, 0]], [[9, 9]], [[x, y]]])
    lengths, directions = moved(places, np.ones((3, 1), bool))
    x, y = (min(max(side, -(2**24)), 2**24) for side in (x, y))
    assert lengths[1, 0, 0] == math.isqrt((64 * x) ** 2 + (64 * y) ** 2) // 2
    if not (x or y):
        assert directions[1, 0, 0] == -1
    else:
        away = directions[1, 0, 0] / 2**TURN - math.atan2(y, x) / (2 * math.pi)
        assert abs(away - round(away)) < 1e-6


def test_who_is_not_there_goes_nowhere() -> None:
    here = np.array([[True], [True], [False], [True]])
    lengths, directions = moved(np.arange(8).reshape(4, 1, 2), here)
    assert (lengths[[1, 3], 0, 0] == 0).all() and (directions[[1, 3], 0, 0] == -1).all() and lengths[0, 0, 0] > 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**32), st.sampled_from([0, 5, 360]))
def test_columns_stand_in_parameters(frames: int, seed: int, circle: int) -> None:
    """Those of anything at all, which is fitted without a failure; and any bytes are read or refused."""
    random = np.random.default_rng(seed)
    values = random.integers(0, circle or 10 ** random.integers(1, 18), (frames, 2))
    there = random.random(values.shape) < 0.7
    motion = Motion.of(random.integers(-99, 99, (frames, 2, 2)), there)
    column = fitted(np.where(there, values, 0), there, motion, circle)
    data = column.to_bytes()
    assert Column.read(Fields(data, "ends")).to_bytes() == data
    assert Column.read(Fields(Column().to_bytes(), "ends")).kind == PLAIN
    bad = bytearray(data)
    bad[random.integers(min(6, len(bad)))] ^= 1 << random.integers(8)
    try:
        Column.read(Fields(bytes(bad), "ends"))
    except CorruptStream as error:
        assert "damaged" in str(error)
