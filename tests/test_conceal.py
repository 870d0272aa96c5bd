"""Damaged and cut streams: what is left is shown, and said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import needs_weights
from PIL import Image
from skimage import data as photographs

import diffcodec
from diffcodec.runtime.errors import BitstreamError, NotADiffcodecFile, Truncated


@pytest.fixture
def picture() -> np.ndarray:
    y, x = np.mgrid[0:40, 0:56]
    return np.stack([120 + 80 * np.sin(x / k) * np.cos(y / (k + 3)) for k in (7, 9, 11)], axis=-1).astype(np.uint8)


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 5]) + data[at + 1 :]


def ends_of(data: bytes) -> list[int]:
    return [one["end"] for one in diffcodec.inspect(data)["passes"]]


def test_every_flip_shows_the_passes_before_it_or_says_why_not(fake_codec, picture):
    data = diffcodec.encode(picture)
    ends, seen = ends_of(data), set()
    for at in (*range(0, len(data), 5), *ends, len(data) - 1):
        bad = damaged(data, at)
        try:
            left = diffcodec.decode_concealed(bad)
        except BitstreamError:
            assert at < ends[0]
            continue
        assert left.lost and left.passes == sum(end <= at for end in ends) and left.image.shape == picture.shape
        assert (left.image[left.known] == picture[left.known]).all()
        seen.add(left.passes)
    assert seen == set(range(1, len(ends) + 1))


def test_every_cut_shows_what_there_is(fake_codec, picture):
    data = diffcodec.encode(picture)
    ends = ends_of(data)
    for size in range(0, len(data), 3):
        try:
            left = diffcodec.decode_concealed(data[:size])
        except (Truncated, NotADiffcodecFile):
            assert size < ends[0]
            continue
        assert left.lost and left.passes == sum(end <= size for end in ends)
        assert left.known.mean() == (1 if left.passes == len(ends) else pytest.approx(1 / 16, abs=0.02))


def test_a_whole_stream_lost_nothing(fake_codec, picture):
    left = diffcodec.decode_concealed(diffcodec.encode(picture))
    assert not left.lost and left.known.all() and (left.image == picture).all()


def test_a_header_that_is_damaged_is_no_picture(fake_codec, picture):
    data = diffcodec.encode(picture)
    for bad in (b"", data[:5], damaged(data, 14), b"nothing of the kind"):
        with pytest.raises(BitstreamError):
            diffcodec.decode_concealed(bad)


@needs_weights
@pytest.mark.parametrize("options", [{}, {"codec": "diffc", "bpp": 2.0}])
def test_streams_of_networks(options):
    data = diffcodec.encode(photographs.astronaut()[:160, 200:340], **options)
    ends = ends_of(data)
    assert len(ends) > 1
    left = diffcodec.decode_concealed(damaged(data, ends[0] + 20))
    assert left.passes == 1 and not left.known.all() and left.known.any() == (not options)
    whole = diffcodec.decode_concealed(data)
    assert not whole.lost and whole.known.all() == (not options)


def test_the_command_says_what_is_lost(run, fake_codec, picture, tmp_path):
    data = diffcodec.encode(picture)
    source, out, mask = (tmp_path / name for name in ("in.dfc", "out.png", "mask.png"))
    source.write_bytes(damaged(data, ends_of(data)[0] + 20))
    code, told, _ = run("decode", source, out, "--conceal", "--mask", mask, "--json")
    found = json.loads(told)
    assert code == 3 and "damaged" in found["lost"] and found["passes"] == 1
    known = np.asarray(Image.open(mask).convert("L")) > 0
    assert (np.asarray(Image.open(out))[known] == picture[known]).all() and known.mean() == found["exact_pixels"]
    source.write_bytes(data)
    code, _, said = run("decode", source, out, "--conceal", "--overwrite")
    assert code == 0 and "nothing is lost" in said
    assert run("decode", source, out, "--mask", mask, "--overwrite")[0] == 2
    assert run("decode", source, out, "--conceal", "--reconstruction", "mean", "--overwrite")[0] == 2
