"""Groups of a clip or of tracks: they stand alone, come back as one, and are told from groups of another."""

from __future__ import annotations

import json
import sys
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec import Clip, Colour, Column, Tracks, api
from diffcodec.bitstream import StreamReader, read
from diffcodec.bitstream.extending import extended
from diffcodec.media.groups import alike, joined, parted
from diffcodec.media.metadata import Metadata
from diffcodec.runtime.errors import (
    BitstreamError,
    ChecksumMismatch,
    CorruptStream,
    DecodeMismatch,
    InputError,
    LimitExceeded,
    Truncated,
)

FEW = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])


def reader_module():
    sys.path.append(str(Path(__file__).parents[1] / "bitstream_spec"))
    return pytest.importorskip("reader", reason="the specification is not part of this distribution")


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    frames, height, width = (draw(st.integers(1, most)) for most in (7, 3, 4))
    sampling = draw(st.sampled_from(["RGB", "YUV420", "YUV444"]))
    rate = draw(st.sampled_from([None, Fraction(25), Fraction(30000, 1001)]))
    colour = Colour(*draw(st.tuples(*[st.integers(0, 2)] * 5)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    chroma = (-(-height // 2), -(-width // 2)) if sampling == "YUV420" else (height, width)
    shapes = [(height, width, 3)] if sampling == "RGB" else [(height, width), chroma, chroma]
    return Clip(tuple(rng.integers(0, 256, (frames, *s), np.uint8) for s in shapes), sampling, rate, colour)


def moving(frames: int = 11) -> Clip:
    base = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return Clip((np.stack([np.roll(base, n, 1) for n in range(frames)]),), rate=Fraction(25))


@pytest.fixture(scope="module")
def stream() -> bytes:
    """Eleven frames in groups of four."""
    return diffcodec.encode(moving(), group=4)


# ---- there and back


@given(clips(), st.integers(1, 8), st.data())
@FEW
def test_groups_come_back_as_one_clip(clip: Clip, length: int, data: st.DataObject) -> None:
    stream = diffcodec.encode(clip, group=length)
    count = clip.shape[0]
    assert api.decode_signal(stream).equals(clip) and (diffcodec.decode(stream) == clip.array).all()
    told = diffcodec.inspect(stream)
    assert [group["frames"] for group in told["groups"]] == [one.shape[0] for one in parted(clip, length)]
    assert told["frames"] == count and told["bpp"] == 8 * len(stream) / clip.units
    assert told["format"] == ("1.7" if count > length else "1.4")
    assert joined(list(diffcodec.decode_groups(stream))).equals(clip)
    assert b"".join(diffcodec.encode_groups(parted(clip, length))) == stream
    *_, last = diffcodec.decode_progressive(stream)
    assert last.complete and (last.image == clip.array).all() and last.bpp == told["bpp"]
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count + 2))
    wanted = tuple(plane[start:stop] for plane in clip.planes)
    assert api.decode_signal(stream, frames=slice(start, stop)).equals(replace(clip, planes=wanted))
    assert joined(list(diffcodec.decode_groups(stream, frames=slice(start, stop)))).equals(replace(clip, planes=wanted))
    assert (reader_module().decode(stream) == clip.array).all()


@st.composite
def walks(draw: st.DrawFn) -> Tracks:
    frames, agents, features = draw(st.integers(1, 9)), draw(st.integers(0, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(-9, 9, (frames, agents, features)).cumsum(0)
    missing = rng.random(values.shape) < 0.3 if draw(st.booleans()) else None
    columns = tuple(Column(name) for name in ("x", "y", "z")[:features])
    return Tracks(values, columns, missing, tuple(map(str, range(agents))), (), Fraction(10))


@given(walks(), st.integers(1, 10), st.data())
@FEW
def test_groups_come_back_as_one_set_of_tracks(tracks: Tracks, length: int, data: st.DataObject) -> None:
    stream, count = diffcodec.encode(tracks, group=length), tracks.length
    assert api.decode_signal(stream).equals(tracks)
    told = diffcodec.inspect(stream)
    assert [group["frames"] for group in told["groups"]] == [one.length for one in parted(tracks, length)]
    assert told["frames"] == count and told["bpp"] == 8 * len(stream) / tracks.units
    assert diffcodec.encode(tracks, group=count) == diffcodec.encode(tracks)
    assert joined(list(diffcodec.decode_groups(stream))).equals(tracks)
    assert b"".join(diffcodec.encode_groups(parted(tracks, length))) == stream
    *_, last = diffcodec.decode_progressive(stream)
    assert last.complete and (last.image == tracks.array).all()
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count + 2))
    wanted = tracks.between(start, stop)
    assert api.decode_signal(stream, frames=slice(start, stop)).equals(wanted)
    assert joined(list(diffcodec.decode_groups(stream, frames=slice(start, stop)))).equals(wanted)
    assert (reader_module().decode(stream) == tracks.array).all()


def test_groups_of_unlike_tracks_are_refused() -> None:
    one = Tracks(np.arange(6).reshape(3, 2, 1), (Column("x"),))
    for other in (replace(one, rate=Fraction(5)), one.between(0, 2).with_metadata(Metadata()), moving()):
        if isinstance(other, Tracks) and other.rate is None:
            assert len(list(alike([one, other]))) == 2
            continue
        with pytest.raises(InputError, match="expected groups of one signal"):
            list(diffcodec.encode_groups([one, other]))


def test_damaged_groups_of_tracks_cost_their_own_frames() -> None:
    values = np.random.default_rng(0).integers(0, 9, (12, 3, 2)).cumsum(0)
    data = bytearray(diffcodec.encode(Tracks(values, (Column("x"), Column("y"))), group=4))
    upto = diffcodec.inspect(bytes(data))["groups"][0]["upto"]
    data[upto + 60] ^= 1
    left = diffcodec.decode_concealed(bytes(data))
    assert "frames 4 to 7 are lost" in left.lost and left.known.all(1).tolist() == [n // 4 != 1 for n in range(12)]
    assert (left.image[:4] == values[:4]).all() and (left.image[8:] == values[8:]).all()


def test_a_clip_of_one_group_has_the_bytes_that_it_had() -> None:
    clip = moving(16)
    assert diffcodec.encode(clip) == diffcodec.encode(clip, group=16) == diffcodec.encode(clip, group=2**40)
    assert len(diffcodec.inspect(diffcodec.encode(moving(17)))["groups"]) == 2


def test_every_group_is_a_stream_of_its_own(stream: bytes) -> None:
    parts = parted(moving(), 4)
    payloads = [chunk.payload for chunk in StreamReader().feed(stream) if chunk.type == "N"]
    assert [api.decode_signal(one).equals(part) for one, part in zip(payloads, parts[1:], strict=True)] == [True, True]


def test_progress_of_groups_ends_at_one() -> None:
    heard: list[float] = []
    groups = parted(moving(), 4)
    b"".join(diffcodec.encode_groups(groups, frames=[one.shape[0] for one in groups], progress=heard.append))
    assert heard == sorted(heard) and heard[-1] == 1 and len(set(heard)) > 3


def test_metadata_are_the_first_groups() -> None:
    clip = moving().with_metadata(Metadata(xmp=b"<x/>"))
    stream = diffcodec.encode(clip, group=3)
    assert api.decode_signal(stream).equals(clip) and stream.count(b"<x/>") == 1
    assert [bool(one.metadata.kinds) for one in diffcodec.decode_groups(stream)] == [True, False, False, False]


def test_an_archive_tells_a_clip_by_itself_not_by_its_groups() -> None:
    clip = moving(20)
    data = diffcodec.encode_archive([clip, moving(3), clip])
    assert diffcodec.inspect_archive(data)["groups"][0]["copies"] == 1
    back = diffcodec.decode_archive(data)
    assert (back[0] == clip.array).all() and (back[2] == clip.array).all()
    assert (reader_module().decode_archive(data)[0][1] == clip.array).all()


# ---- what does not fit


@given(clips(), clips())
@FEW
def test_groups_of_unlike_clips_are_refused_and_no_others(first: Clip, other: Clip) -> None:
    alike = all(getattr(first, name) == getattr(other, name) for name in ("sampling", "rate", "colour"))
    alike = alike and first.shape[1:] == other.shape[1:]
    twice = replace(first, planes=tuple(np.concatenate([p, p]) for p in first.planes))
    two = diffcodec.encode(twice, group=first.shape[0])
    head = two[: read(two, partial=True).ends[-1]]
    stream = b"".join(extended(head + two[-14:], [diffcodec.encode(other)]))
    if alike:
        assert api.decode_signal(stream).equals(joined([first, other]))
        return
    for decode in (diffcodec.decode, diffcodec.inspect, lambda data: list(diffcodec.decode_groups(data))):
        with pytest.raises(CorruptStream, match="that the first has not"):
            decode(stream)
    with pytest.raises(reader_module().Refused, match="CorruptStream"):
        reader_module().decode(stream)
    with pytest.raises(InputError, match="groups of one signal"):
        b"".join(diffcodec.encode_groups([first, other]))


def test_what_has_no_frames_has_no_groups(stream: bytes) -> None:
    picture = diffcodec.encode(np.zeros((4, 4), np.uint16))
    with pytest.raises(InputError, match="no groups of frames"):
        list(diffcodec.decode_groups(picture))
    with pytest.raises(InputError, match="is of a clip"):
        diffcodec.decode(picture, frames=slice(0, 1))
    with pytest.raises(InputError, match="expected a clip"):
        list(diffcodec.encode_groups([np.zeros((4, 4), np.uint16)]))
    with pytest.raises(InputError, match="found none"):
        list(diffcodec.encode_groups([]))
    with pytest.raises(InputError, match="at least 1 frame"):
        diffcodec.encode(moving(), group=0)
    for frames in (slice(11, 12), slice(3, 3), slice(0, 4, 2)):
        with pytest.raises(InputError, match=r"no frame|range of frames"):
            diffcodec.decode(stream, frames=frames)
        with pytest.raises(InputError, match=r"no frame|range of frames"):
            list(diffcodec.decode_groups(stream, frames=frames))


# ---- cut and damaged


def test_every_prefix_tells_the_groups_that_are_there(stream: bytes) -> None:
    ends = [group["upto"] for group in diffcodec.inspect(stream)["groups"]]
    for size in (*range(0, len(stream), 23), *ends, len(stream) - 1):
        whole = sum(end <= size for end in ends)
        if not whole:
            with pytest.raises(BitstreamError):
                diffcodec.decode(stream, upto_bytes=max(1, size))
            continue
        wanted = moving().array[: min(11, 4 * whole)]
        assert (diffcodec.decode(stream, upto_bytes=size) == wanted).all()
        assert (joined(list(diffcodec.decode_groups(stream, upto_bytes=size))).array == wanted).all()
        with pytest.raises(Truncated):
            list(diffcodec.decode_groups(stream[:size]))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 5]) + data[at + 1 :]


def test_a_damaged_group_is_told_and_the_others_stay(stream: bytes) -> None:
    ends = [group["upto"] for group in diffcodec.inspect(stream)["groups"]]
    frames = moving().array
    whole = 0
    for at in (*range(0, len(stream), 11), *ends):
        bad = flipped(stream, at)
        for decode in (diffcodec.decode, lambda data: list(diffcodec.decode_groups(data))):
            with pytest.raises((BitstreamError, DecodeMismatch)):
                decode(bad)
        try:
            left = diffcodec.decode_concealed(bad)
        except BitstreamError:
            assert at < ends[0]
            continue
        known = left.known.reshape(len(left.image), *frames.shape[1:3])
        count = min(len(frames), len(left.image))
        assert left.lost and (left.image[:count][known[:count]] == frames[:count][known[:count]]).all()
        whole += known.any((1, 2)).sum() >= 7
    assert whole > 10


def test_a_group_in_the_middle_is_filled_in(stream: bytes) -> None:
    start, end = [group["upto"] for group in diffcodec.inspect(stream)["groups"]][:2]
    bad = flipped(stream, (start + end) // 2 + 60)
    with pytest.raises(ChecksumMismatch):
        diffcodec.decode(bad)
    left, frames = diffcodec.decode_concealed(bad), moving().array
    assert "frames 4 to 7 are lost" in left.lost and left.image.shape == frames.shape
    assert (left.image[4:8] == frames[3]).all() and (left.image[8:] == frames[8:]).all()
    known = left.known.reshape(11, 6, 9)
    assert not known[4:8].any() and known[:4].all() and known[8:].all()
    assert diffcodec.decode_concealed(stream).lost == "" and diffcodec.decode_concealed(stream).known.all()


def test_a_first_group_of_another_digest_is_told_at_the_end(stream: bytes) -> None:
    payloads = [chunk.payload for chunk in StreamReader().feed(stream) if chunk.type == "N"]
    forged = b"".join(extended(stream[: read(stream).ends[-1]] + b"E\x08" + bytes(8 + 4), payloads))
    groups = diffcodec.decode_groups(forged)
    assert next(groups).shape[0] == 4
    with pytest.raises(DecodeMismatch):
        list(groups)


# ---- limits


def test_the_limit_of_pixels_is_of_a_group_and_of_what_is_held_together(stream: bytes) -> None:
    clip = moving()
    assert joined(list(diffcodec.decode_groups(stream, max_pixels=4 * 54))).equals(clip)
    with pytest.raises(LimitExceeded, match="all groups together"):
        diffcodec.decode(stream, max_pixels=10 * 54)
    with pytest.raises(LimitExceeded, match="all groups together"):
        list(diffcodec.decode_progressive(stream, max_pixels=10 * 54))
    assert diffcodec.decode(stream, frames=slice(3, 5), max_pixels=8 * 54).shape[0] == 2
    assert reader_module().parse(stream, max_pixels=4 * 54)["frames"]
    for check in (diffcodec.inspect, lambda data, **most: list(diffcodec.decode_groups(data, **most))):
        with pytest.raises(LimitExceeded):
            check(stream, max_pixels=4 * 54 - 1)


@pytest.mark.filterwarnings("error")
def test_many_blank_groups_are_affordable() -> None:
    clip = Clip((np.zeros((60, 4, 5, 3), np.uint8),))
    stream = diffcodec.encode(clip, group=1)
    assert api.decode_signal(stream).equals(clip) and joined(list(diffcodec.decode_groups(stream))).equals(clip)
    assert len(stream) < 60 * 100


def test_a_size_is_kept_by_all_groups_together() -> None:
    groups = parted(moving(), 4)
    with pytest.raises(InputError, match="max_bytes"):
        b"".join(diffcodec.encode_groups(groups, max_bytes=300, codec="ardm"))
    whole = b"".join(diffcodec.encode_groups(groups, max_bytes=5000, codec="ardm"))
    assert whole == diffcodec.encode(moving(), "ardm", group=4, max_bytes=5000)


def test_no_more_than_a_few_groups_are_held(tmp_path: Path) -> None:
    """Of noise, which does not compress: four times as many groups take no more memory."""
    frame = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    path = tmp_path / "long.dfc"

    def peaks(count: int) -> tuple[int, int]:
        tracemalloc.start()
        groups = (Clip((np.roll(frame, n, 1) ^ np.uint8(n),)) for n in range(count))
        with path.open("wb") as file:
            file.writelines(diffcodec.encode_groups(groups))
        _, there = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert sum(group.shape[0] for group in diffcodec.decode_groups(path)) == count
        _, back = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert path.stat().st_size > 0.9 * count * frame.size
        return there, back

    peaks(2)  # what is loaded and compiled once
    few, many = peaks(10), peaks(40)
    assert all(more < less + 6 * frame.size for less, more in zip(few, many, strict=True)), (few, many)


# ---- the command


def run(*words: object) -> int:
    from diffcodec.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def test_clips_pass_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames, source, stream, back = moving().array, tmp_path / "clip.npy", tmp_path / "clip.dfc", tmp_path / "back.npy"
    np.save(source, frames)
    assert run("encode", source, stream, "--group", 4, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    found = diffcodec.inspect(stream)
    assert told["frames"] == 11 and told["bytes"] == stream.stat().st_size and told["bpp"] == found["bpp"]
    assert told["bpd"] == pytest.approx(found["bpd"])
    assert stream.read_bytes() == diffcodec.encode(frames, group=4)
    assert run("info", stream) == 0
    assert "group       frames" in capsys.readouterr().out
    for words, wanted in (([], frames), (["--frames", "3:9"], frames[3:9]), (["--frames", "9:"], frames[9:])):
        assert run("decode", stream, back, "--overwrite", *words) == 0
        assert np.array_equal(np.load(back), wanted)
    upto = found["groups"][1]["upto"]
    assert run("decode", stream, back, "--overwrite", "--upto-bytes", upto + 1, "--json") == 0
    assert np.array_equal(np.load(back), frames[:8])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["complete"] is False
    back.unlink()
    bad = tmp_path / "bad.dfc"
    bad.write_bytes(flipped(stream.read_bytes(), upto + 120))
    assert run("decode", bad, back) == 1 and "damaged" in capsys.readouterr().err
    assert not back.exists() and {path.name for path in tmp_path.iterdir()} == {"clip.npy", "clip.dfc", "bad.dfc"}
    assert run("decode", bad, back, "--conceal") == 3 and "frames 8 to 11 are lost" in capsys.readouterr().err
    assert np.array_equal(np.load(back)[:8], frames[:8])
    for words in (["--frames", "20:"], ["--frames", "5:5"], ["--frames", "-1:"], ["--frames", "0:2", "--conceal"]):
        assert run("decode", stream, tmp_path / "none.npy", *words) in (1, 2) and not (tmp_path / "none.npy").exists()
