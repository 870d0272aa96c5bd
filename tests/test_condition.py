"""What a model may be given: observations are integers, projected pictures agree with them, wrong ones are refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from diffcodec.models import condition
from diffcodec.models.condition import Before, ConditionalModel, FileGiven, Observed, Outside, Text
from diffcodec.models.gaussian import WhitePictures
from diffcodec.models.operators import OPERATORS, Box, Crop, Luma, LumaChroma, Mask, Operator
from diffcodec.runtime.errors import InputError, ModelMismatch

#: pictures of noise, of few extreme colours, of one colour, smooth ones: what saturates and what does not
KINDS = ("noise", "extreme", "flat", "smooth", "primaries")
sizes = st.tuples(st.integers(1, 19), st.integers(1, 19))


def picture(size: tuple[int, int], kind: str, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    shape = (*size, 3)
    found = {
        "noise": lambda: random.integers(0, 256, shape),
        "extreme": lambda: random.integers(0, 2, shape) * 255,
        "flat": lambda: np.broadcast_to(random.integers(0, 256, 3), shape),
        "smooth": lambda: random.normal(random.integers(0, 256, 3), random.integers(1, 90), shape),
        "primaries": lambda: random.choice(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]), size),
    }[kind]()
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def operators(size: tuple[int, int], seed: int) -> list[Operator]:
    """Of every kind, for pictures of this size."""
    random = np.random.default_rng(seed)
    H, W = size
    top, left = int(random.integers(0, H)), int(random.integers(0, W))
    height, width = int(random.integers(1, H - top + 1)), int(random.integers(1, W - left + 1))
    mask = Mask(random.random(size) < 0.5)
    return [Box(1), Box(2), Box(3), Box(8), Luma(), LumaChroma(1), LumaChroma(2), LumaChroma(5), mask,
            Crop(top, left, height, width)]  # fmt: skip


def test_every_operator_has_a_row() -> None:
    assert OPERATORS == {"box": Box, "luma": Luma, "chroma": LumaChroma, "mask": Mask, "crop": Crop}
    assert {type(operator) for operator in operators((4, 4), 0)} == set(OPERATORS.values())


@given(sizes, st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(0, 999))
@settings(max_examples=60)
def test_projected_pictures_agree(size: tuple[int, int], kind: str, other: str, seed: int) -> None:
    true, guess = picture(size, kind, seed), picture(size, other, seed + 1)
    for operator in operators(size, seed):
        seen = operator.apply(true)
        shown = operator.project(guess, seen)
        assert shown.dtype == np.uint8 and shown.shape == true.shape
        apart = np.abs(operator.apply(shown).astype(int) - seen)
        assert apart.max() <= operator.within
        if operator.name == "chroma":
            assert not apart[..., 0].any()  # luma exactly
        assert np.array_equal(operator.project(true, seen), true)  # what agrees stays
        assert np.array_equal(operator.project(shown, seen), shown)


@given(sizes, st.sampled_from(KINDS), st.integers(0, 999))
@settings(max_examples=40)
def test_what_is_observed_is_an_affine_map_rounded(size: tuple[int, int], kind: str, seed: int) -> None:
    a, b = picture(size, kind, seed).astype(float), picture(size, "noise", seed + 1).astype(float)
    for operator in operators(size, seed):
        seen, exact = operator.apply(a.astype(np.uint8)), operator.affine(a)
        assert seen.dtype == np.uint8 and seen.shape == exact.shape
        assert np.abs(seen - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-4  # weights are in 1/65536
        mixed = operator.affine(0.3 * a + 0.7 * b)
        assert np.allclose(mixed, 0.3 * exact + 0.7 * operator.affine(b))
        assert np.allclose(operator.affine(np.stack([a, b]))[1], operator.affine(b))


def test_known_observations() -> None:
    photo = np.array([[[0, 0, 0], [3, 1, 255]], [[1, 2, 0], [4, 3, 255]], [[9, 8, 7], [1, 2, 3]]], np.uint8)
    assert Box(2).apply(photo).tolist() == [[[2, 2, 128]], [[5, 5, 5]]]  # halves up, what is left at the edge
    assert np.array_equal(Box(1).apply(photo), photo)
    noise = picture((40, 50), "noise", 0)
    assert np.array_equal(Luma().apply(noise)[..., 0], np.asarray(Image.fromarray(noise).convert("L")))
    apart = LumaChroma(1).apply(noise).astype(int) - np.asarray(Image.fromarray(noise).convert("YCbCr"))
    assert np.abs(apart).max() <= 1  # Pillow cuts where this rounds
    grey = noise[..., :1]
    assert np.array_equal(Luma().apply(grey), grey) and np.array_equal(Luma().project(255 - grey, grey), grey)
    assert Mask(np.eye(40, 50, dtype=bool)).apply(noise)[3, 4].tolist() == [0, 0, 0]


@given(st.integers(1, 9), st.integers(1, 9), arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 4))))
@settings(max_examples=30)
def test_a_grey_picture_may_be_averaged(height: int, width: int, corner: np.ndarray) -> None:
    photo = np.resize(corner, (height, width, 1))
    assert Box(2).project(255 - photo, Box(2).apply(photo)).shape == photo.shape


def test_projection_moves_as_little_as_it_must() -> None:
    """A level at most for noise of rounding, and never further from the truth in the mean."""
    true = picture((32, 48), "smooth", 3)
    guess = np.clip(true + np.random.default_rng(0).normal(0, 9, true.shape), 0, 255).astype(np.uint8)
    for operator in operators((32, 48), 0):
        shown = operator.project(guess, operator.apply(true)).astype(float)
        before, after = (np.square(one - true).mean() for one in (guess.astype(float), shown))
        assert after <= 1.001 * before


def test_what_no_picture_gives_ends_all_the_same() -> None:
    """Luma of black with the chroma of blue: nothing is promised, but luma stays and it ends."""
    seen = np.full((8, 8, 3), 255, np.uint8)
    seen[..., 0] = 0
    shown = LumaChroma(2).project(picture((8, 8), "noise", 0), seen)
    assert not LumaChroma(2).apply(shown)[..., 0].any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Box(0), lambda: LumaChroma(0), lambda: Crop(-1, 0, 1, 1), lambda: Crop(0, 0, 0, 1),
        lambda: Mask(np.ones((2, 2))), lambda: Mask(np.ones(4, bool)),
        lambda: Mask(np.ones((2, 3), bool)).apply(picture((3, 2), "flat", 0)),
        lambda: Crop(0, 0, 4, 2).apply(picture((3, 2), "flat", 0)),
        lambda: LumaChroma().apply(np.zeros((2, 2, 1), np.uint8)), lambda: Luma().apply(np.zeros((2, 2, 2), np.uint8)),
        lambda: Box(2).project(picture((4, 4), "flat", 0), np.zeros((1, 2, 3), np.uint8)),
        lambda: Luma().project(picture((4, 4), "flat", 0), np.zeros((4, 4, 3), np.uint8)),
        lambda: Observed(np.zeros((2, 2), np.uint8), Luma()), lambda: Observed(np.zeros((2, 2, 1)), Luma()),
        lambda: Observed([[1]], Luma()),  # type: ignore[arg-type]
        lambda: Outside(bytes(32), b"x"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(make: Any) -> None:
    with pytest.raises(InputError) as told:
        make()
    assert "\n" not in str(told.value)


def test_conditions_say_their_kind() -> None:
    photo = picture((4, 4), "noise", 0)
    kinds = {one.kind for one in (Text("a"), FileGiven(b"", photo), Before((photo,)), Outside.of(photo))}
    kinds |= {Observed.of(photo, operator).kind for operator in operators((4, 4), 0)}
    assert kinds == {"text", "file", "before", "outside", *OPERATORS}
    assert set(condition.KINDS) == {"text", "stream", "file", "before", "outside"}
    assert Text("a", scale=2.0) == Text("a", scale=2.0) != Text("a")


def test_noisy_observations_are_not_made_to_agree() -> None:
    true, guess = picture((8, 8), "noise", 0), picture((8, 8), "noise", 1)
    assert np.array_equal(Observed.of(true, Box(2), augmentation=2048).project(guess), guess)
    assert np.array_equal(Box(2).apply(Observed.of(true, Box(2)).project(guess)), Box(2).apply(true))


def test_digests_of_what_is_outside() -> None:
    values = np.arange(6, dtype="<u2")
    assert condition.digest_of(b"x") == hashlib.sha256(b"x").digest()
    assert condition.digest_of(values) == condition.digest_of(values.astype(">u2"))
    others = [values.reshape(2, 3), values.astype("<i2"), values[::-1], values.tobytes()]
    assert len({condition.digest_of(one) for one in (values, *others)}) == 5
    assert Outside.of(values).value is values


def test_a_model_of_all_pictures_takes_nothing() -> None:
    white = WhitePictures()
    assert not isinstance(white, ConditionalModel) and condition.given(white, []) is white
    with pytest.raises(ModelMismatch, match="text"):
        condition.given(white, [Text("a")])


def test_importing_conditions_loads_no_torch() -> None:
    code = "import sys; import diffcodec.models.condition; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
