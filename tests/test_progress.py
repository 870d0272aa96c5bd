"""Progress of every public call that tells it: it never falls, stays within 0 and 1, and ends at exactly 1."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import needs_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec import api
from diffcodec.media.picture import Picture, with_frames
from diffcodec.models.gaussian_pictures import GaussianPictures

Told = Callable[[float], None]
Call = Callable[[np.ndarray, Path, Told], object]


def stream(picture: np.ndarray) -> bytes:
    return diffcodec.encode(picture)


def frames(picture: np.ndarray) -> bytes:
    return diffcodec.encode(with_frames([Picture.from_any(picture), Picture.from_any(255 - picture)]))


def encode_files(picture: np.ndarray, folder: Path, told: Told) -> object:
    for k in range(2):
        np.save(folder / f"{k}.npy", picture)
    (folder / "2.npy").write_bytes(b"no picture")
    return list(diffcodec.encode_files([folder], folder / "out", recursive=True, overwrite=True, progress=told))


def decode_files(picture: np.ndarray, folder: Path, told: Told) -> object:
    (folder / "0.dfc").write_bytes(stream(picture))
    return list(diffcodec.decode_files([folder / "0.dfc"], folder / "out", overwrite=True, progress=told))


def clip(picture: np.ndarray) -> bytes:
    """Three frames in two groups."""
    return diffcodec.encode(np.resize(picture, (3, *picture.shape[:2], 3)), group=2)


#: public name -> what its progress is heard of
CALLS: dict[str, Call] = {
    "encode": lambda picture, folder, told: diffcodec.encode(picture, progress=told),
    "decode": lambda picture, folder, told: diffcodec.decode(stream(picture), progress=told),
    "decode_signal": lambda picture, folder, told: diffcodec.decode_signal(
        frames(picture), frames=True, progress=told
    ),
    "decode_sequence": lambda picture, folder, told: diffcodec.decode_sequence(frames(picture), progress=told),
    "decode_concealed": lambda picture, folder, told: diffcodec.decode_concealed(stream(picture)[:-1], progress=told),
    "decode_groups": lambda picture, folder, told: list(diffcodec.decode_groups(clip(picture), progress=told)),
    "encode_files": encode_files,
    "decode_files": decode_files,
}
#: those that need a model of their own
OTHERS = {"encode_archive", "decode_archive", "restore", "inpaint", "base_of", "calibrate"}


def heard(call: Callable[[Told], object]) -> list[float]:
    seen: list[float] = []
    call(seen.append)
    assert seen and seen[-1] == 1.0 and seen == sorted(seen) and seen[0] >= 0
    return seen


def test_every_public_call_with_progress_is_heard() -> None:
    public = {name: getattr(diffcodec, name) for name in diffcodec.__all__}
    with_progress = {
        name
        for name, one in public.items()
        if inspect.isfunction(one) and "progress" in inspect.signature(one).parameters
    }
    assert with_progress == CALLS.keys() | OTHERS


@pytest.mark.usefixtures("fake_codec")
@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([(), (3,), (4,)]), st.booleans())
def test_progress_ends_at_one(
    name: str, tmp_path: Path, height: int, width: int, channels: tuple[int, ...], blank: bool
) -> None:
    random = np.random.default_rng(height * 10 + width)
    picture = random.integers(0, 1 if blank else 256, (height, width, *channels), dtype=np.uint8)
    heard(lambda told: CALLS[name](picture, tmp_path, told))


@pytest.mark.usefixtures("fake_codec")
def test_progress_of_parts_of_a_stream() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    data = stream(picture)
    first = diffcodec.inspect(data)["passes"][0]["end"]
    for options in ({"upto_bytes": first}, {"size": 5}, {"size": 100}, {"threads": 1}):
        heard(lambda told, options=options: api.decode_picture(data, progress=told, **options))  # type: ignore[misc]


def test_nothing_to_do_is_all_done(tmp_path: Path) -> None:
    heard(lambda told: list(diffcodec.encode_files([], progress=told)))
    heard(lambda told: list(diffcodec.decode_files([tmp_path / "missing.dfc"], progress=told)))


@needs_weights
def test_progress_of_archives() -> None:
    pictures = [np.random.default_rng(k).integers(0, 256, (9, 8 + k % 2), dtype=np.uint8) for k in range(4)]
    found: list[bytes] = []
    heard(lambda told: found.append(diffcodec.encode_archive(pictures, "photo-ardm", group=2, progress=told)))
    heard(lambda told: diffcodec.decode_archive(found[0], progress=told))
    heard(lambda told: diffcodec.decode_archive(found[0], groups=[1], progress=told))
    heard(lambda told: diffcodec.decode_archive(found[0], groups=[], progress=told))


def test_progress_of_calibration() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    heard(lambda told: diffcodec.calibrate(GaussianPictures.smooth(4), [picture], out=False, progress=told))


@needs_weights
def test_progress_of_what_models_draw() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    known = np.arange(256).reshape(16, 16) % 3 > 0
    heard(lambda told: diffcodec.inpaint(picture, known, "cifar10-oa", calls=3, progress=told))
    heard(lambda told: diffcodec.inpaint(picture, np.ones((16, 16), bool), "cifar10-oa", calls=3, progress=told))
    more: dict[str, Any] = {"known": known, "calls": 2}
    heard(lambda told: diffcodec.restore(picture, "fill", model="cifar10-oa", samples=2, progress=told, **more))
    for realism in (0.0, 0.5, 1.0):
        heard(lambda told, r=realism: diffcodec.restore(picture, "fill", realism=r, progress=told, **more))
    for options in ({}, {"bpp": 32.0, "form": "jpeg"}, {"form": "webp"}):
        heard(lambda told, o=options: diffcodec.base_of(picture, 2, progress=told, **o))  # type: ignore[misc]
