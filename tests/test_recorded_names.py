"""A model's name that stands in a file opens no file: not in the working directory, not anywhere."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import White, needs_weights

import diffcodec
from diffcodec.bitstream import Chunk, Header, read, write
from diffcodec.bitstream.archive import ArchiveHeader
from diffcodec.models import registry
from diffcodec.runtime.errors import DiffcodecError, ModelMismatch, ModelNotFound
from diffcodec.runtime.recorded import Recorded

NAMES = ["x", "x.safetensors", "x.json", "X", "photo-ardm.safetensors", "photo-ardm ", "C:x", "~", "x:y", "CON"]


def renamed(data: bytes, name: str) -> bytes:
    """The stream with another model's name in its header."""
    container = read(data)
    chunks = [Chunk("H", replace(container.header, model=name).to_bytes())]
    chunks += [Chunk("P", payload) for payload in container.passes]
    assert container.digest is not None
    return write([*chunks, Chunk("E", container.digest)])


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with forged weights under every name, which nobody may read."""
    weights = registry.FOLDER / "cifar10-ardm.safetensors"
    for name in [*NAMES, "photo-ardm", "cifar10-ardm"]:
        path = (tmp_path / name).with_suffix(".safetensors")
        shutil.copy(weights, path)
        path.with_suffix(".json").write_text(weights.with_suffix(".json").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_loaded", {})
    real = Path.read_bytes

    def watched(path: Path) -> bytes:
        assert tmp_path not in path.resolve().parents, f"{path} was read"
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", watched)
    return tmp_path


@needs_weights
@pytest.mark.parametrize("name", NAMES)
def test_names_in_streams_open_no_file(trap: Path, name: str) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    data = diffcodec.encode(photo, "diffc", White(), max_bytes=300)
    with pytest.raises(ModelNotFound, match="neither bundled nor registered"):
        diffcodec.decode(renamed(data, name))
    with pytest.raises(ModelNotFound, match="neither bundled nor registered"):
        list(diffcodec.decode_progressive(renamed(data, name)))
    assert diffcodec.decode(renamed(data, name), model=White()).shape == photo.shape


@needs_weights
def test_bundled_names_mean_what_is_bundled(trap: Path) -> None:
    """Although files of that name lie in the folder: for the caller's names as for recorded ones."""
    for name in ("photo-ardm", Recorded("photo-ardm")):
        assert registry.load(name).fingerprint.hex() == card("photo-ardm")["fingerprint"]


def card(name: str) -> dict[str, Any]:
    return next(one for one in registry.cards() if one["name"] == name)


@needs_weights
@pytest.mark.parametrize("name", NAMES)
def test_names_in_archives_open_no_file(trap: Path, name: str) -> None:
    header = ArchiveHeader(0, name, bytes(8), b"")
    try:
        found = ArchiveHeader.from_bytes(header.to_bytes())
    except DiffcodecError:
        return
    with pytest.raises(ModelNotFound, match="neither bundled nor registered"):
        registry.load(found.model)


def test_recorded_names_stay_recorded() -> None:
    header = Header(2, 2, 1, 1, 3, 0, 0, "x", bytes(8), b"")
    found = Header.from_bytes(header.to_bytes()).model
    assert type(found) is Recorded and found == "x" and json.dumps(found) == '"x"'
    assert type(pickle.loads(pickle.dumps(found))) is Recorded
    assert type(ArchiveHeader.from_bytes(ArchiveHeader(0, "x", bytes(8), b"").to_bytes()).model) is Recorded


@needs_weights
def test_a_path_from_the_caller_and_a_registered_name_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copy(registry.FOLDER / f"cifar10-ardm{suffix}", tmp_path / f"mine{suffix}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", {})
    assert registry.load("mine").name == "cifar10-ardm"
    with pytest.raises(ModelNotFound):
        registry.load(Recorded("mine"))
    registry.register("mine", str(tmp_path / "mine"))
    assert registry.load(Recorded("mine")).name == "cifar10-ardm"
    white = White()
    registry.register("white", white)
    assert registry.load(Recorded("white"), codec="diffc") is white
    with pytest.raises(ModelMismatch):
        registry.load(Recorded("white"), codec="ardm")
