"""The data of `decode` pass through few parts, and seldom come back to one: `python -m tools.walk` prints their way."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import diffcodec

walk = pytest.importorskip("tools.walk", reason="tools/ is no part of this distribution")
VECTORS = Path(__file__).parents[1] / "bitstream_spec" / "vectors" / "decodable"
WAY = ["bitstream", "media", "codecs", "models", "codecs", "media"]


@pytest.mark.parametrize("path", walk.STREAMS, ids=lambda path: path.stem)
def test_decode_has_one_way(path: Path) -> None:
    calls = walk.handed(partial(diffcodec.decode, path))
    assert walk.stays(calls) == WAY, calls
    parts, returns = walk.figures(calls)
    assert parts <= 6 and returns <= 8


def test_a_stream_that_was_given_is_parsed_once() -> None:
    decode = partial(diffcodec.decode, VECTORS / "given_twice.dfc", model="diffcodec.models.gaussian:WhiteInBoxes")
    calls = walk.handed(decode)
    assert calls.count(("media", "form")) == 3  # of the picture, what it was given, and what that was given in turn
    assert calls.index(("codecs", "check")) < calls.index(("models", "load"))
    assert walk.figures(calls)[0] <= 6
