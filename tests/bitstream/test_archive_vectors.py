"""Archives of bitstream_spec/vectors/archives: decoded, salvaged or refused as their JSON files tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import needs_weights

import diffcodec
from diffcodec.archive import memory as archive
from diffcodec.media.picture import Picture
from diffcodec.runtime import errors

FOLDER = Path(__file__).parents[2] / "bitstream_spec" / "vectors" / "archives"


def named(path: Path) -> str:
    return path.stem


def told(path: Path) -> dict[str, Any]:
    return json.loads((path.parent / "told.json").read_text(encoding="utf-8"))[path.stem]


def files(kind: str) -> list[Path]:
    found = sorted((FOLDER / kind).glob("*.dfca"))
    assert found
    return found


def check(path: Path) -> None:
    wanted = told(path)
    with archive.open_archive(path.read_bytes()) as reader:
        assert (list(reader.version), reader.header.extended) == (wanted["version"], wanted["extended"])
        found = list(archive.decoded(reader, archive.all_places(reader), None, "cpu", 1, None))
    assert [len(group.entries) for group in found] == wanted["groups"]
    pairs = [pair for group in found for pair in zip(group.entries, group.pictures, strict=True)]
    for (entry, picture), one in zip(pairs, wanted["pictures"], strict=True):
        assert (entry.name, entry.time, entry.permissions) == (one["name"], one["time"], one["permissions"])
        assert ("stream", "chained", "copy")[entry.kind] == one["kind"]
        assert isinstance(picture, Picture) == ("digest" in one)
        if isinstance(picture, Picture):
            assert (picture.info.number, picture.digest().hex()) == (one["mode"], one["digest"])
            assert picture.metadata.to_bytes().hex() == one["metadata"]


@needs_weights
@pytest.mark.parametrize("path", files("valid"), ids=named)
def test_valid(path: Path) -> None:
    check(path)
    assert len(diffcodec.decode_archive(path.read_bytes())) == len(told(path)["pictures"])


@needs_weights
@pytest.mark.parametrize("path", files("damaged"), ids=named)
def test_damaged(path: Path) -> None:
    check(path)
    with pytest.raises(errors.DiffcodecError) as refused:
        diffcodec.decode_archive(path.read_bytes())
    assert type(refused.value).__name__ == told(path)["error"]


@needs_weights
@pytest.mark.parametrize("path", files("invalid"), ids=named)
def test_invalid(path: Path) -> None:
    with pytest.raises(errors.DiffcodecError) as refused:
        diffcodec.decode_archive(path.read_bytes())
    assert type(refused.value).__name__ == told(path)["error"], refused.value
