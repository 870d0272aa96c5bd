"""What a type checker says of programs that use diffcodec: nothing of a right one, all of a wrong one."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

import diffcodec
from diffcodec.api import Card
from diffcodec.archive.memory import ArchiveInspection, GroupTold
from diffcodec.stream.typed import Inspection, Wishes

TYPED = Path(__file__).parent / "typed"


@pytest.mark.parametrize("name", ["user_program", "wrong_program"])
def test_mypy_strict(name: str, tmp_path: Path) -> None:
    """A wrong line has an `ignore`, and one that is not needed is an error: so all of them are refused."""
    pytest.importorskip("mypy")
    line = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
    line += ["--ignore-missing-imports", "--cache-dir", str(tmp_path), str(TYPED / f"{name}.py")]
    environment = {**os.environ, "MYPYPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_program_calls_all_that_is_public() -> None:
    text = (TYPED / "user_program.py").read_text(encoding="utf-8")
    functions = [name for name in diffcodec.__all__ if callable(getattr(diffcodec, name)) and name[0].islower()]
    missing = [name for name in functions if not re.search(rf"diffcodec\.{name}\(", text)]
    assert len(functions) > 15 and missing == []
    assert compile(ast.parse(text), "user_program.py", "exec")


@pytest.mark.usefixtures("fake_codec")
def test_what_is_told_is_what_types_say() -> None:
    """Keys of the dictionaries; those of clips and tracks are there with these."""
    picture = np.zeros((4, 5, 3), np.uint8)
    found = diffcodec.inspect(diffcodec.encode(picture))
    assert found.keys() == Inspection.__required_keys__
    clip = diffcodec.encode(np.zeros((2, 4, 5, 3), np.uint8))
    tracks = diffcodec.encode(diffcodec.Tracks(np.zeros((2, 1, 1), np.int64), (diffcodec.Column(),)))
    for more in (diffcodec.inspect(clip), diffcodec.inspect(tracks)):
        assert found.keys() < more.keys() <= get_type_hints(Inspection).keys()
    archive = diffcodec.inspect_archive(diffcodec.encode_archive([picture], "fake"))
    assert archive.keys() == ArchiveInspection.__required_keys__
    assert archive["groups"][0].keys() == GroupTold.__required_keys__


def test_wishes_of_files_are_those_of_encode() -> None:
    """What `encode` takes, `encode_files` takes by the same name, and nothing else but where and how it is done."""
    one, many = (inspect.signature(f).parameters for f in (diffcodec.encode, diffcodec.encode_files))
    wishes = Wishes.__optional_keys__
    assert {*one} - {"image"} == ({*many} & {*one}) | wishes and not {*many} & wishes
    with pytest.raises(TypeError, match="quality"):
        diffcodec.encode_files("a.png", quality=3)  # type: ignore[call-arg]


def test_cards_are_what_types_say() -> None:
    for card in diffcodec.list_models():
        assert Card.__required_keys__ <= card.keys() <= get_type_hints(Card).keys(), card["name"]


@pytest.mark.parametrize(
    "call",
    [
        diffcodec.decode,
        diffcodec.decode_signal,
        diffcodec.decode_concealed,
        diffcodec.inspect,
        diffcodec.inspect_archive,
        diffcodec.decode_archive,
        lambda path: list(diffcodec.decode_progressive(path)),
    ],
)
def test_missing_paths_stay_errors_of_the_system(call, tmp_path: Path) -> None:
    """As `open` has them, so that programs catch what they catch anyway."""
    with pytest.raises(FileNotFoundError):
        call(tmp_path / "missing.dfc")
