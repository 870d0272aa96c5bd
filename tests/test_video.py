"""Clips in files: bit for bit there and back, and what is not kept is said."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec import Clip, Colour, files
from diffcodec.files import clips, y4m
from diffcodec.media.groups import joined
from diffcodec.runtime.errors import InputError

pytestmark = pytest.mark.filterwarnings("error::UserWarning")
RATE = Fraction(30000, 1001)
av: Any = None
try:
    import av
except ImportError:
    pass
needs_av = pytest.mark.skipif(av is None, reason="needs PyAV (extra video)")


def noise(sampling: Any, frames: int, height: int, width: int, **fields: Any) -> Clip:
    rng = np.random.default_rng(0)
    chroma = (-(-height // 2), -(-width // 2)) if sampling == "YUV420" else (height, width)
    shapes = [(height, width, 3)] if sampling == "RGB" else [(height, width), chroma, chroma]
    return Clip(tuple(rng.integers(0, 256, (frames, *s), np.uint8) for s in shapes), sampling, **fields)


# ---- there and back

#: what a format keeps besides samples
KEPT: dict[str, dict[str, Any]] = {
    "MKV": {"rate": RATE, "colour": Colour(9, 16, 9, 1)},
    "MP4": {"rate": RATE, "colour": Colour(9, 16, 9, 1)},
    "Y4M": {"rate": RATE, "colour": Colour(range=2, siting=1)},
    "NPY": {},
}


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1)], ids=str)
@pytest.mark.parametrize("sampling", ["RGB", "YUV420", "YUV444"])
@pytest.mark.parametrize("format", KEPT)
def test_what_is_written_reads_back_equal(format: str, sampling: str, size: tuple[int, int]) -> None:
    if av is None and format in ("MKV", "MP4"):
        pytest.skip("needs PyAV (extra video)")
    fields = KEPT[format] | ({"colour": Colour(9, 16, 0, 1)} if (format, sampling) == ("MP4", "RGB") else {})
    if format == "Y4M" and sampling == "YUV444":
        fields = {"rate": RATE, "colour": Colour(range=2)}
    clip = noise(sampling, 5, *size, **fields)
    if clip.mode not in files.FORMATS[format] or (format == "MP4" and sampling == "YUV420" and size[0] % 2):
        with pytest.raises(InputError, match=r"cannot hold|even sides"):
            files.write_signal(clip, format)
        return
    data = files.write_signal(clip, format)
    assert files.read_signal(data).equals(clip)
    film = clips.film_of(io.BytesIO(data))
    assert film is not None
    groups = list(film.groups(2, 2**20))
    assert [one.shape[0] for one in groups] == [2, 2, 1] and joined(groups).equals(clip) and film.seen == 5
    assert film.counts(2) in ([2, 2, 1], [])
    file = io.BytesIO()
    assert clips.write(iter(groups), file, format) == 5 and files.read_signal(file.getvalue()).equals(clip)
    with pytest.raises(InputError, match="over the limit"):
        list((clips.film_of(io.BytesIO(data)) or film).groups(2, 2 * size[0] * size[1] - 1))
    with pytest.raises(InputError, match=r"over"):
        files.read_signal(data, max_pixels=5 * size[0] * size[1] - 1)


def test_what_has_no_place_is_said() -> None:
    with pytest.warns(UserWarning, match="no place for the primaries, transfer and matrix"):
        files.write_signal(noise("YUV420", 1, 2, 2, colour=Colour(matrix=6)), "Y4M")
    with pytest.warns(UserWarning, match="no place for the siting"):
        files.write_signal(noise("YUV444", 1, 2, 2, colour=Colour(siting=4)), "Y4M")
    assert files.read_signal(files.write_signal(noise("YUV420", 1, 2, 2), "Y4M")).rate is None
    with pytest.raises(InputError, match="no group"):
        clips.write([], io.BytesIO(), "Y4M")


@needs_av
def test_what_video_files_have_no_place_for_is_said() -> None:
    with pytest.warns(UserWarning, match="25 frames a second"):
        data = files.write_signal(noise("RGB", 2, 4, 4), "MKV")
    assert files.read_signal(data).rate == 25
    with pytest.warns(UserWarning, match="siting"):
        files.write_signal(noise("YUV420", 2, 4, 4, rate=RATE, colour=Colour(siting=1)), "MKV")
    with pytest.warns(UserWarning, match="matrix"):
        files.write_signal(noise("RGB", 2, 4, 4, rate=RATE, colour=Colour(matrix=1)), "MP4")
    with pytest.raises(InputError, match="no place for a rate"):
        files.write_signal(noise("RGB", 2, 4, 4, rate=Fraction(2**31, 2**31 - 1)), "MKV")


# ---- y4m


@given(st.binary(max_size=60), st.binary(max_size=40))
@settings(deadline=None, max_examples=150)
def test_any_y4m_is_read_or_refused(header: bytes, body: bytes) -> None:
    try:
        found = files.read_signal(y4m.MAGIC + header + b"\n" + body)
    except InputError:
        return
    assert isinstance(found, Clip)


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        ("W2 H2 C422", b"", "no clip holds YUV4MPEG2 of 422"),
        ("W2 H2 C420p10", b"", "420p10"),
        ("W0 H2", b"", "a side of 0"),
        ("W2 H99999999999", b"", "a side of"),
        ("W2 H2 F1:x", b"", "no ratio"),
        ("W2 H2", b"FRAME\n12345", "cut within a frame"),
        ("W2 H2", b"FRAME\n123456FRAMX\n", "does not begin"),
        ("W2 H2", b"", "no frame"),
        ("W99999 H99999", b"FRAME\n", "over the limit"),
        ("W2 H2" + " Xa" * 600, b"", "no end"),
    ],
)
def test_y4m_that_is_refused(header: str, body: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        files.read_signal(y4m.MAGIC + header.encode() + b"\n" + body)


def test_y4m_that_says_more_than_a_clip_keeps() -> None:
    with pytest.warns(UserWarning, match="top fields come first; that pixels are 4/3 times"):
        clip = files.read_signal(b"YUV4MPEG2 W1 H1 F25:1 It A4:3 C420paldv XCOLORRANGE=LIMITED\nFRAME Ixyz\nabc")
    assert isinstance(clip, Clip) and clip.rate == 25 and clip.colour == Colour(range=1, siting=3)
    assert [plane.ravel().tolist() for plane in clip.planes] == [[97], [98], [99]]


# ---- by PyAV


X264 = {"codec": "libx264", "container": "mp4"}
INTERLACED, WIDE = ({"x264-params": one, "qp": "0"} for one in ("tff=1", "sar=4/3"))


def video(
    pixels: str = "yuv420p",
    codec: str = "ffv1",
    container: str = "matroska",
    *,
    frames: int = 4,
    size: tuple[int, int] = (16, 16),
    times: Callable[[int], int] = lambda number: number,
    change: Callable[[Any, Any], None] = lambda target, stream: None,
    sound: bool = False,
) -> bytes:
    """A file of so many frames, grey but for their number."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        stream = target.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, 25)
        change(target, stream)
        other = target.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for number in range(frames):
            frame = av.VideoFrame(*size, pixels)
            for plane in frame.planes:
                plane.update(bytes([16 * number + 1]) * plane.buffer_size)
            frame.pts, frame.time_base = times(number), Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
        if other is not None:
            noise = av.AudioFrame.from_ndarray(np.zeros((1, 400), np.int16), "s16", "mono")
            noise.rate, noise.pts = 8000, 0
            target.mux(other.encode(noise))
    return out.getvalue()


@needs_av
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sound": True}, "sound"),
        ({"times": lambda number: number * number}, "times of its frames, which are not steady"),
        ({**X264, "change": lambda _, stream: setattr(stream, "options", WIDE)}, "pixels are 4/3 times"),
        ({"change": lambda target, stream: stream.set_display_rotation(90)}, "turned by 90"),
        ({"change": lambda target, stream: target.metadata.update(title="A film")}, "its title"),
        ({"pixels": "gray"}, "it is grey"),
        ({**X264, "change": lambda _, stream: setattr(stream, "options", INTERLACED)}, "frames are interlaced"),
    ],
    ids=["sound", "times", "aspect", "rotation", "title", "grey", "interlaced"],
)
def test_what_is_not_kept_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.warns(UserWarning, match=message):
        clip = files.read_signal(video(**options))
    assert isinstance(clip, Clip) and clip.shape == (4, 16, 16)
    assert [int(frame.min()) for frame in clip.planes[0]] == [1, 17, 33, 49]


@needs_av
@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        ("yuv420p10le", "10 bits"),
        ("yuva420p", "alpha"),
        ("bgra", "alpha"),
        ("yuv422p", "another sampling"),
        ("gray16le", "16 bits"),
    ],
)
def test_samples_that_no_clip_holds_are_refused_by_name(pixels: str, why: str) -> None:
    with pytest.raises(InputError, match=f"no clip holds {pixels}.*{why}"):
        files.read_signal(video(pixels))


@needs_av
@pytest.mark.parametrize("container", ["matroska", "mp4", "avi", "mpegts"])
def test_containers_are_known_by_their_bytes(container: str) -> None:
    codec = "ffv1" if container in ("matroska", "avi") else "libx264"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MPEG-TS, its service
        clip = files.read_signal(video(codec=codec, container=container))
    assert isinstance(clip, Clip) and clip.shape == (4, 16, 16) and clip.rate == 25


@needs_av
def test_damage_is_refused() -> None:
    data, refused = video(frames=8), 0
    for at in range(40, len(data), 37):
        bad = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                files.read_signal(bad)
            except InputError:
                refused += 1
    assert refused
    with pytest.raises(InputError, match=r"damaged|no frame"):
        files.read_signal(data[:60])


@needs_av
def test_sound_alone_is_no_clip() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as target:
        stream = target.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 400), np.int16), "s16", "mono")
        frame.rate, frame.pts = 8000, 0
        target.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no video"):
        files.read_signal(out.getvalue())


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"diffcodec\[video\]"):
        files.read_signal(b"\x1aE\xdf\xa3" + bytes(60))
    with pytest.raises(InputError, match=r"diffcodec\[video\]"):
        files.write_signal(noise("RGB", 1, 2, 2), "MKV")


def test_animations_stay_pictures() -> None:
    from PIL import Image

    out = io.BytesIO()
    frames = [Image.fromarray(np.full((4, 4), 60 * n, np.uint8)) for n in range(3)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of palettes
        picture = files.read_signal(out.getvalue())
    assert not isinstance(picture, Clip) and len(picture.following) == 2


# ---- to be shown


def gif(clip: Clip, parts: int = 1) -> tuple[Any, list[str]]:
    """A clip's GIF, opened, and what is said of it."""
    from PIL import Image

    file = io.BytesIO()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert clips.write((one for one in clip_groups(clip, parts)), file, "GIF") == clip.shape[0]
    return Image.open(io.BytesIO(file.getvalue())), [str(one.message) for one in told]


def clip_groups(clip: Clip, parts: int) -> list[Clip]:
    return [clip.between(start, start + parts) for start in range(0, clip.shape[0], parts)]


def shown(picture: Any) -> tuple[np.ndarray, list[int]]:
    """(uint8 (T, H, W, 3), hundredths of a second that each frame stands)."""
    frames, delays = [], []
    for number in range(picture.n_frames):
        picture.seek(number)
        frames.append(np.asarray(picture.convert("RGB")))
        delays.append(round(picture.info["duration"] / 10))
    return np.stack(frames), delays


@pytest.mark.parametrize("colours", [1, 2, 256])
@pytest.mark.parametrize("parts", [1, 2, 9])
def test_a_gif_of_few_colours_keeps_them(colours: int, parts: int) -> None:
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (colours, 3)).astype(np.uint8)
    clip = Clip((palette[rng.integers(0, colours, (5, 24, 20))],), "RGB", Fraction(20))
    picture, told = gif(clip, parts)
    frames, delays = shown(picture)
    assert not told and (frames == clip.planes[0]).all() and delays == [5] * 5 and picture.info["loop"] == 0


def test_a_gif_of_many_colours_says_so() -> None:
    t, y, x = np.mgrid[:3, :40, :50]
    clip = Clip((np.stack([5 * x + t, 6 * y, 2 * (x + y)], 3).astype(np.uint8),), "RGB", Fraction(10))
    picture, told = gif(clip)
    frames, _ = shown(picture)
    assert "nearest of 256" in told[0] and "rate" not in told[0]
    assert 0 < np.abs(frames.astype(int) - clip.planes[0]).mean() < 8


@pytest.mark.parametrize(
    ("rate", "delays", "said"),
    [
        (Fraction(30), [3, 4, 3, 3, 4, 3], "hundredths"),
        (Fraction(24000, 1001), [4, 4, 5, 4, 4, 4], "hundredths"),
        (Fraction(120), [2] * 6, "50 frames a second"),
        (None, [4] * 6, "not known"),
        (Fraction(1, 1000), [65535] * 6, ""),
    ],
    ids=str,
)
def test_a_gif_keeps_time_as_well_as_it_can(rate: Fraction | None, delays: list[int], said: str) -> None:
    picture, told = gif(Clip((np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3),), "RGB", rate), 4)
    assert shown(picture)[1] == delays
    assert said in "".join(told) and bool(told) == bool(said)


def test_a_gif_of_yuv_says_so() -> None:
    clip = noise("YUV420", 2, 5, 7, rate=Fraction(25), colour=Colour(matrix=1))
    picture, told = gif(clip)
    assert "YUV420" in told[0] and "tags" in told[0]
    assert (shown(picture)[0] == clip.rgb()).all()
    with pytest.raises(InputError, match="GIF cannot hold RGB"):
        files.check("RGB", "GIF")
    assert files.format_of("a.GIF") == "GIF"
    with pytest.raises(InputError, match=r"up to 65535"):
        files.write_signal(Clip((np.zeros((1, 1, 65536, 3), np.uint8),)), "GIF")


def test_a_gif_comes_from_the_command(tmp_path: Path, run: Any) -> None:
    from PIL import Image

    clip = noise("RGB", 5, 24, 20, rate=Fraction(25))
    (tmp_path / "a.dfc").write_bytes(diffcodec.encode(clip, group=2))
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # the command says them
        code, _, said = run("decode", tmp_path / "a.dfc", tmp_path / "a.gif", "--frames", "1:4")
    assert code == 0 and "GIF has no place for all its colours" in said
    assert shown(Image.open(tmp_path / "a.gif"))[0].shape == (3, 24, 20, 3)


# ---- the command


@needs_av
def test_videos_pass_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from diffcodec.cli.main import main

    def run(*words: object) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # the command says them
            with pytest.raises(SystemExit) as stop:
                main([str(word) for word in words])
        return int(stop.value.code or 0)

    clip = noise("YUV420", 5, 6, 8, rate=RATE, colour=Colour(1, 1, 1, 1))
    for suffix in ("mkv", "mp4"):
        source, stream = tmp_path / f"a.{suffix}", tmp_path / f"{suffix}.dfc"
        source.write_bytes(files.write_signal(clip, suffix.upper()))
        assert run("encode", source, stream, "--group", "2") == 0
        assert diffcodec.api.decode_signal(stream).equals(clip)
        for other in ("mkv", "mp4", "y4m"):
            back = tmp_path / f"{suffix}-back.{other}"
            assert run("decode", stream, back) == 0
            found = files.read_signal(back)
            assert isinstance(found, Clip) and found.rate == RATE and (found.array == clip.array).all()
    assert run("encode", tmp_path / "a.mkv", tmp_path / "a.mp4", "--out-dir", tmp_path / "many", "--delete-source") == 0
    assert {path.name for path in (tmp_path / "many").iterdir()} == {"a.mkv.dfc", "a.mp4.dfc"}
    assert not (tmp_path / "a.mkv").exists()
    assert run("decode", tmp_path / "mkv.dfc", tmp_path / "none.png") == 1
    assert "PNG cannot hold clip:YUV420" in capsys.readouterr().err and not (tmp_path / "none.png").exists()
    (tmp_path / "bad.mkv").write_bytes(b"\x1aE\xdf\xa3" + bytes(90))
    assert run("encode", tmp_path / "bad.mkv", tmp_path / "bad.dfc") == 1 and not (tmp_path / "bad.dfc").exists()


def test_folders_of_pictures_leave_videos_out(tmp_path: Path) -> None:
    from diffcodec.archive import folder, walking

    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", np.zeros((4, 4), np.uint16))
    (tmp_path / "in" / "b.y4m").write_bytes(files.write_signal(noise("YUV420", 2, 4, 4), "Y4M"))
    assert [walking.may_be_picture(str(path)) for path in sorted((tmp_path / "in").iterdir())] == [True, False]
    with pytest.warns(UserWarning, match="left out b.y4m: expected a picture, found a video"):
        folder.pack(str(tmp_path / "in"), str(tmp_path / "all.dfca"), model="photo-ardm", jobs=1)
    assert diffcodec.inspect_archive((tmp_path / "all.dfca").read_bytes())["names"] == ["a.npy"]
