"""Every medium keeps the same laws: what goes in comes back, all of it is digested, strangers' bytes are refused."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec import api, files
from diffcodec.bitstream import Chunk, Container, read, write
from diffcodec.media.clip import Clip
from diffcodec.media.medium import Coded, Form, Signal
from diffcodec.media.metadata import EMPTY, Metadata, Palette, Text
from diffcodec.media.modes import BY_NAME, DTYPES
from diffcodec.media.picture import Picture
from diffcodec.media.rows.clip import Colour
from diffcodec.media.rows.tracks import Column
from diffcodec.media.table import medium_of, rows, signal_of
from diffcodec.media.tokens import Tokens
from diffcodec.media.tracks import Tracks
from diffcodec.runtime.errors import BitstreamError, CorruptStream, DiffcodecError, InputError, LimitExceeded, Truncated

BYTES = st.integers(0, 255)
RATES = st.none() | st.builds(Fraction, st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1))
METADATA = st.sampled_from([EMPTY, Metadata(xmp=b"<x/>"), Metadata(icc=b"profile" * 30, text=(Text("k", "v"),))])
FOREVER = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


# ---- signals of every medium


def noise(draw: st.DrawFn, *shape: int) -> np.ndarray:
    """uint8 of this shape: random, or of one value, or of few."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = draw(st.sampled_from([1, 2, 256]))
    return rng.integers(0, most, shape).astype(np.uint8) * np.uint8(255 if most == 2 else 1)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Of modes without a photograph, which no network codes."""
    mode = BY_NAME[draw(st.sampled_from(["CMYK", "I", "F[3]", "1", "I;16S", "F;16[4]"]))]
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    raw = noise(draw, height, width * mode.planes)
    samples = raw % 2 * np.uint8(255) if mode.sample == "bit" else raw.view(DTYPES[mode.sample])
    shape = (height, width, mode.channels) if mode.channels else (height, width)
    return Picture(np.ascontiguousarray(samples.reshape(shape)), mode.name, metadata=draw(METADATA))


@st.composite
def tokens(draw: st.DrawFn) -> Tokens:
    count = draw(st.integers(1, 40))
    low, high = noise(draw, count), noise(draw, count).astype(np.uint16)
    return Tokens(low if draw(st.booleans()) else high << 8 | low, metadata=draw(METADATA))


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    frames, height, width = (draw(st.integers(1, 5)) for _ in range(3))
    colour = Colour(*draw(st.tuples(*[BYTES] * 5)))
    sampling = draw(st.sampled_from(["RGB", "YUV420", "YUV444"]))
    chroma = (-(-height // 2), -(-width // 2)) if sampling == "YUV420" else (height, width)
    planes = (noise(draw, frames, height, width), *(noise(draw, frames, *chroma) for _ in range(2)))
    if sampling == "RGB":
        planes = (np.stack(planes, 3),)
    return Clip(planes, sampling, draw(RATES), colour, metadata=draw(METADATA))


DECIMALS = st.builds(
    lambda value, exponent: Decimal((value < 0, tuple(map(int, str(abs(value)))), exponent)),
    st.integers(-(10**18) + 1, 10**18 - 1),
    st.integers(-128, 127),
)
COLUMNS = st.builds(Column, st.text(max_size=4), DECIMALS.filter(lambda step: step > 0), DECIMALS)


@st.composite
def tracks(draw: st.DrawFn) -> Tracks:
    frames, agents, features = draw(st.integers(0, 7)), draw(st.integers(0, 4)), draw(st.integers(0, 3))
    shape, most = (frames, agents, features), draw(st.sampled_from([1, 300, 2**63]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(-most, most, shape)
    if draw(st.booleans()):
        values = np.cumsum(values, 0)
    missing = draw(st.sampled_from([None, rng.random(shape) < 0.3, np.ones(shape, bool)]))
    columns = tuple(draw(COLUMNS) for _ in range(features))
    named, teamed = draw(st.booleans()), draw(st.booleans())
    names = tuple(draw(st.text(max_size=3)) for _ in range(agents if named else 0))
    teams = tuple(draw(st.sampled_from(["", "a", "b"])) for _ in range(agents if teamed else 0))
    return Tracks(values, columns, missing, names, teams, draw(RATES), metadata=draw(METADATA))


SIGNALS: dict[str, st.SearchStrategy[Signal]] = {
    "picture": pictures(),
    "tokens": tokens(),
    "clip": clips(),
    "tracks": tracks(),
}
EVERY = pytest.mark.parametrize("medium", SIGNALS)


def ways(signal: Signal) -> Iterator[tuple[Coded, Form]]:
    """Each way of coding a signal, and what a header says of it."""
    for coded in signal.forms():
        palette = None if coded.palette is None else coded.palette.tobytes()
        height, width = signal.geometry
        form, rest = medium_of(signal.number).form(signal.number, height, width, coded.layout + b"rest", palette)
        assert rest == b"rest"
        yield coded, form


# ---- the laws


@EVERY
@given(st.data())
@settings(FOREVER, max_examples=80)
def test_planes_come_back_as_the_signal(medium: str, data: st.DataObject) -> None:
    signal = data.draw(SIGNALS[medium])
    for coded, form in ways(signal):
        assert coded.photo.shape == (*signal.geometry, form.photo) and coded.extra.shape == (
            *signal.geometry,
            form.extra,
        )
        assert coded.photo.dtype == coded.extra.dtype == np.uint8 and form.photo in (0, 1, 3)
        assert form.indexed == (coded.palette is not None)
        assert form.units == signal.units >= 1 and form.samples == max(1, signal_samples(signal))
        assert form.mode == signal.mode == medium_of(signal.number).modes[signal.number]
        back = form.signal(coded.photo, coded.extra).with_metadata(signal.metadata)
        assert back.equals(signal) and back.digest() == signal.digest() and len(back.digest()) == 8
        assert back.array.dtype == signal.array.dtype and np.array_equal(
            np.ma.getdata(back.array).view(np.uint8), np.ma.getdata(signal.array).view(np.uint8)
        )
        assert form.about()["mode"] == signal.mode and form.about()["dtype"] == signal.array.dtype.name


def signal_samples(signal: Signal) -> int:
    """Numbers that a signal is made of: not those beside the planes of YUV420 in its array."""
    return sum(plane.size for plane in signal.planes) if isinstance(signal, Clip) else signal.array.size


@EVERY
@given(st.data())
@settings(FOREVER, max_examples=25)
def test_streams_come_back_as_the_signal(medium: str, data: st.DataObject) -> None:
    signal = data.draw(SIGNALS[medium])
    if medium == "tokens" and signal.number == 71:  # which a network may take; tests/test_tokens.py
        return
    stream = diffcodec.encode(signal)
    back = api.decode_signal(stream)
    assert back.equals(signal.packed()) and type(back) is type(signal) and len(back.following) == 0
    assert np.array_equal(
        np.ma.getdata(diffcodec.decode(stream)), np.ma.getdata(signal.array), equal_nan=medium == "picture"
    )
    told = diffcodec.inspect(stream)
    assert told["unit"] == medium_of(signal.number).unit
    assert told["medium"] == medium and told["mode"] == signal.mode and told["lossless"] and told["model"] is None
    assert told["bpp"] == 8 * len(stream) / signal.units
    assert told["format"] == "1.4" or signal.number < 72
    *_, last = diffcodec.decode_progressive(stream)
    assert last.complete and last.bpp == told["bpp"]
    stripped = api.decode_signal(diffcodec.encode(signal, strip="all"))
    assert stripped.with_metadata(EMPTY).equals(signal.with_metadata(EMPTY)) and stripped.metadata.xmp is None


@EVERY
@given(st.data())
@settings(FOREVER, max_examples=60)
def test_two_signals_have_one_digest_only_if_they_are_equal(medium: str, data: st.DataObject) -> None:
    a, b = (data.draw(SIGNALS[medium]).with_metadata(EMPTY) for _ in range(2))
    assert a.equals(b) == (a.digest() == b.digest())


@EVERY
@given(st.data())
@settings(FOREVER, max_examples=100)
def test_any_header_is_read_or_refused(medium: str, data: st.DataObject) -> None:
    """Whatever stands there, and whatever planes follow."""
    signal = data.draw(SIGNALS[medium])
    coded = signal.forms()[0]
    params = bytearray(coded.layout + b"\2")
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(params)))
        params[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    height, width = signal.geometry if data.draw(st.booleans()) else data.draw(st.tuples(*[st.integers(1, 40)] * 2))
    row, mode = medium_of(signal.number), data.draw(st.sampled_from(sorted(medium_of(signal.number).modes)))
    palette = data.draw(st.none() | st.binary(max_size=20))
    try:
        form, rest = row.form(mode, height, width, bytes(params), palette)
    except BitstreamError:
        return
    assert bytes(params).endswith(rest)
    random = np.random.default_rng(0)
    planes = [random.integers(0, 2, (height, width, n)).astype(np.uint8) for n in (form.photo, form.extra)]
    try:
        back = form.signal(*planes)
    except BitstreamError:
        return
    assert back.geometry == (height, width)


@EVERY
@given(st.data())
@settings(FOREVER, max_examples=40)
def test_any_bytes_are_refused_in_our_own_words(medium: str, data: st.DataObject) -> None:
    row = next(row for row in rows() if row.name == medium)
    mode, (height, width) = (
        data.draw(st.sampled_from(sorted(row.modes))),
        data.draw(st.tuples(*[st.integers(1, 9)] * 2)),
    )
    try:
        row.form(mode, height, width, data.draw(st.binary(max_size=40)), None)
    except BitstreamError as error:
        assert "\n" not in str(error)


def chunked(container: Container, **changes: Any) -> bytes:
    """The stream in chunks, with another header."""
    header = replace(container.header, fingerprint=container.header.fingerprint.ljust(8, b"\0"), **changes)
    passes = [Chunk("P", one) for one in container.passes]
    return write([Chunk("H", header.to_bytes()), *passes, Chunk("E", (container.digest or b"").ljust(8, b"\0"))])


@EVERY
@given(st.data())
@settings(FOREVER, max_examples=60)
def test_a_mutated_stream_gives_only_our_errors(medium: str, data: st.DataObject) -> None:
    signal = data.draw(SIGNALS[medium])
    if signal.number == 71:
        return
    container = read(diffcodec.encode(signal.with_metadata(EMPTY)))
    if container.palette is not None:
        return
    params = bytearray(container.header.params)
    at = data.draw(st.integers(0, len(params) - 1))
    params[at] ^= data.draw(st.integers(1, 255))
    modes = sorted(number for row in rows() for number in row.modes)
    changes = data.draw(st.sampled_from([{}, {"mode": data.draw(st.sampled_from(modes))}]))
    try:
        back = diffcodec.decode(chunked(container, params=bytes(params), **changes), device="cpu")
    except DiffcodecError as error:
        assert type(error).__name__ != "Unforeseen", error.__cause__
        return
    assert back.size or medium == "tracks"  # what is not digested: how values are coded that are missing


@EVERY
@given(st.data())
@settings(FOREVER, max_examples=15)
def test_prefixes_end_in_truncated_or_in_a_preview(medium: str, data: st.DataObject) -> None:
    signal = data.draw(SIGNALS[medium])
    if signal.number == 71:
        return
    stream = diffcodec.encode(signal)
    whole = len(stream)
    for size in range(1, whole):
        try:
            shown = diffcodec.decode(stream, upto_bytes=size)
        except Truncated:
            continue
        assert shown.shape == signal.array.shape and shown.dtype == signal.array.dtype
    assert diffcodec.decode(stream, upto_bytes=whole).shape == signal.array.shape


# ---- limits


def enlarged(medium: str) -> tuple[Signal, bytes]:
    """A small signal, and parameters of the same that tell of 2^31 positions and more."""
    if medium == "clip":
        signal: Signal = signal_of(np.zeros((1, 1, 1, 3), np.uint8))
        return signal, b"\x80\x80\x80\x80\x08" + signal.forms()[0].layout[1:]
    if medium == "tracks":
        signal = Tracks(np.zeros((1, 1, 1), np.int64), (Column(),))
        return signal, b"\x80\x80\x80\x80\x08" + signal.forms()[0].layout[1:]
    signal = Picture(np.zeros((1, 1, 4), np.uint8), "CMYK") if medium == "picture" else Tokens(np.zeros(1, np.uint16))
    return signal, signal.forms()[0].layout


@EVERY
def test_geometry_is_limited_before_anything_is_allocated(medium: str) -> None:
    signal, params = enlarged(medium)
    codec = b"\2"
    container = read(diffcodec.encode(signal))
    sizes = [(1, 2**31 - 1), (1, 2**28 + 1)] if medium == "tokens" else [(2**31, 1), (2**16, 2**13)]
    tracemalloc.start()
    try:
        for height, width in sizes:
            forged = chunked(container, height=height, width=width, params=params + codec)
            for decode in (diffcodec.inspect, diffcodec.decode):
                with pytest.raises(LimitExceeded):
                    decode(forged)
        if medium in ("clip", "tracks"):  # fields that the header's width and height do not cover
            with pytest.raises(CorruptStream, match="not coded in"):
                diffcodec.decode(chunked(container, params=params + codec))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    with pytest.raises(LimitExceeded):
        diffcodec.decode(diffcodec.encode(np.zeros((2, 5, 4, 3), np.uint8)), max_pixels=39)


def test_encoders_refuse_what_readers_would(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffcodec.runtime.limits import Limits
    from diffcodec.stream import encode

    monkeypatch.setattr(encode, "DEFAULT_LIMITS", Limits(max_pixels=39))
    with pytest.raises(InputError, match=r"the clip is 4×10, over the limit of 39"):
        diffcodec.encode(np.zeros((2, 5, 4, 3), np.uint8))
    with pytest.raises(InputError, match="the tracks is 8×5"):
        diffcodec.encode(Tracks(np.zeros((5, 4, 2), np.int64), (Column(), Column())))
    walk = Tracks(np.zeros((5, 2, 1), np.int64), (Column(),), names=("x" * 2**16, "y"))
    with pytest.raises(InputError, match="shorten the names"):
        diffcodec.encode(walk)


# ---- the table


def test_the_table_is_the_specified_one() -> None:
    modes = [number for row in rows() for number in row.modes]
    assert len({*modes}) == len(modes) and all(medium_of(number) in rows() for number in modes)
    spec = Path(__file__).parents[1] / "bitstream_spec"
    told = re.findall(r"^\| (\d+) \| `([^`]+)` \|", (spec / "MODES.md").read_text(), re.MULTILINE)
    told += re.findall(r"^\| (\d+) \| `([^`]+)` \|", (spec / "MEDIA.md").read_text(), re.MULTILINE)
    assert {int(number): name for number, name in told} | {78: "tracks"} == {
        number: name for row in rows() for number, name in row.modes.items()
    }
    assert {row.name: row.followed for row in rows() if row.followed} == {
        "clip": (1, 7),
        "tracks": (1, 7),
        "picture": (1, 4),
    }
    for row in rows():
        assert (row.plural, row.unit) and all(format in files.FORMATS for format in row.formats)


@EVERY
def test_a_medium_is_asked_for_by_name(medium: str) -> None:
    signal, _ = enlarged(medium)
    stream = diffcodec.encode(signal)
    for other in SIGNALS:
        if other == medium:
            assert api.decode_signal(stream, medium=other).equals(signal)  # type: ignore[arg-type]
        else:
            with pytest.raises(InputError, match=f"holds {signal.mode}, no {other}"):
                api.decode_signal(stream, medium=other)  # type: ignore[arg-type]
    if medium != "picture":
        with pytest.raises(InputError, match="decode_signal"):
            api.decode_picture(stream)
        with pytest.raises(InputError, match="takes pictures" if medium != "clip" else "0 bytes were asked for"):
            diffcodec.encode(signal, bpp=1.0 if medium != "clip" else 1e-6)


def test_arrays_tell_their_medium() -> None:
    made = {
        "tokens": np.zeros(3, np.uint8),
        "tokens;16": np.zeros(3, np.uint16),
        "clip:RGB": np.zeros((2, 2, 2, 3), np.uint8),
        "L": np.zeros((2, 2), np.uint8),
        "RGB": np.zeros((2, 2, 3), np.uint8),
    }
    assert {name: signal_of(array).mode for name, array in made.items()} == {name: name for name in made}
    for array in (np.zeros(3, np.int32), np.zeros(0, np.uint8), np.zeros((2, 2, 2, 4), np.uint8), np.zeros((1,) * 5)):
        with pytest.raises(InputError, match="expected"):
            signal_of(array)


def test_only_pictures_have_palettes_and_frames() -> None:
    clip = signal_of(np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(CorruptStream, match="palette"):
        clip.told(Metadata(palette=Palette(b"\0\0\0")), complete=True, exact=True)
    assert clip.with_metadata(Metadata(palette=Palette(b"\0\0\0"))).packed().metadata == EMPTY
    with pytest.raises(InputError, match="photograph"):
        clip.with_photograph(np.zeros((2, 2, 3), np.uint8))


# ---- what is a medium's own


@pytest.mark.parametrize(
    ("planes", "options"),
    [
        (((2, 3, 4),), {}),
        (((2, 3, 4, 4),), {}),
        (((0, 3, 4, 3),), {}),
        ((), {}),
        (((2, 3, 4),) * 3, {"sampling": "YUV420"}),
        (((2, 3, 4), (2, 2, 2), (2, 1, 2)), {"sampling": "YUV420"}),
        (((2, 3, 4, 3),), {"rate": Fraction(0)}),
        (((2, 3, 4, 3),), {"rate": Fraction(2**32)}),
        (((2, 3, 4, 3),), {"sampling": "YUV422"}),
    ],
)
def test_clips_that_are_none(planes: tuple[tuple[int, ...], ...], options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        Clip(tuple(np.zeros(shape, np.uint8) for shape in planes), **options)


def test_colour_tags_are_bytes() -> None:
    with pytest.raises(InputError, match="tags"):
        Colour(primaries=256)


def test_yuv420_lies_in_one_array() -> None:
    y, u, v = np.arange(15).reshape(1, 3, 5), 100 + np.arange(6).reshape(1, 2, 3), 200 + np.arange(6).reshape(1, 2, 3)
    clip = Clip(tuple(plane.astype(np.uint8) for plane in (y, u, v)), "YUV420")
    assert clip.array[0].tolist() == [
        [0, 1, 2, 3, 4, 4],
        [5, 6, 7, 8, 9, 9],
        [10, 11, 12, 13, 14, 14],
        [100, 101, 102, 200, 201, 202],
        [103, 104, 105, 203, 204, 205],
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"values": np.zeros((2, 3, 1), np.int32)},
        {"values": np.zeros((2, 3), np.int64)},
        {"columns": ()},
        {"missing": np.zeros((2, 3), bool)},
        {"names": ("a",)},
        {"teams": ("a", "b")},
        {"rate": Fraction(-1)},
        {"values": np.lib.stride_tricks.as_strided(np.zeros(1, np.int64), (2**17, 2**16, 1), (0, 0, 0))},
    ],
)
def test_tracks_that_are_none(changes: dict[str, Any]) -> None:
    sound: dict[str, Any] = {"values": np.zeros((2, 3, 1), np.int64), "columns": (Column(),)}
    with pytest.raises(InputError, match="expected"):
        Tracks(**(sound | changes))


@pytest.mark.parametrize(
    "column",
    [
        {"step": Decimal(0)},
        {"step": Decimal("-0.1")},
        {"step": Decimal("NaN")},
        {"offset": Decimal("Infinity")},
        {"offset": Decimal("-0")},
        {"offset": Decimal("1E-200")},
        {"step": Decimal("1234567890123456789")},
        {"step": 0.01},
    ],
)
def test_columns_that_are_none(column: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        Column("x", **column)


def test_names_that_are_no_unicode() -> None:
    with pytest.raises(InputError, match="Unicode"):
        diffcodec.encode(Tracks(np.zeros((1, 1, 1), np.int64), (Column("\ud800"),)))


@given(
    st.integers(-(10**6), 10**6),
    st.sampled_from(["0.01", "0.1", "1", "0.0254", "1E+2"]),
    st.sampled_from(["0", "-52.5"]),
)
def test_floats_are_those_that_a_reader_of_decimals_has(value: int, step: str, offset: str) -> None:
    walk = Tracks(
        np.array([[[value], [0]]]), (Column("x", Decimal(step), Decimal(offset)),), np.array([[[False], [True]]])
    )
    there, gap = walk.floats()[0, :, 0]
    assert there == float(Decimal(offset) + value * Decimal(step)) and np.isnan(gap)


def test_floats_of_large_numbers() -> None:
    walk = Tracks(np.array([[[2**62]]]), (Column("x", Decimal("1E-30"), Decimal("1")),))
    assert walk.floats()[0, 0, 0] == pytest.approx(1 + 2**62 * 1e-30)


def test_tracks_are_coded_by_differences() -> None:
    """Steady movement takes next to nothing, a gap does not break it, and columns have an order each."""
    frames = np.arange(400)[:, None]
    values = np.stack([3 * frames + [[5, 80]], 0 * frames + [[7, 9]], frames**2 + [[0, 2]]], 2).astype(np.int64)
    columns = (Column("x"), Column("y"), Column("z"))
    plain = len(diffcodec.encode(Tracks(values, columns)))
    missing = np.zeros(values.shape, bool)
    missing[100:150, 0] = True
    broken = len(diffcodec.encode(Tracks(values, columns, missing)))
    assert plain < 180 and broken < 300, (plain, broken)


@pytest.mark.parametrize("sampling", ["RGB", "YUV444"])
def test_a_grey_clip_is_coded_once(sampling: Any) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    clip = Clip((np.stack([grey] * 3, 3),) if sampling == "RGB" else (grey,) * 3, sampling)
    assert clip.forms()[0].extra.shape[2] == 1 and api.decode_signal(diffcodec.encode(clip)).equals(clip)


# ---- archives, files, the command


def test_archives_hold_every_medium() -> None:
    made = [enlarged(medium)[0] for medium in SIGNALS]
    data = diffcodec.encode_archive([*made, made[2]])
    back = diffcodec.decode_archive(data)
    assert diffcodec.inspect_archive(data)["groups"][0]["copies"] == 1
    for signal, array in zip([*made, made[2]], back, strict=True):
        assert array is not None and array.shape == signal.array.shape and (array == signal.array).all()


def test_arrays_in_files_pass_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from diffcodec.cli.main import main

    clip = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    row = np.arange(9, dtype=np.uint16) * 1000
    for name, array in (("clip", clip), ("row", row)):
        np.save(tmp_path / f"{name}.npy", array)
        for words in (["encode", f"{name}.npy", f"{name}.dfc"], ["decode", f"{name}.dfc", f"{name}-back.npy"]):
            with pytest.raises(SystemExit) as stop:
                main([words[0], *(str(tmp_path / word) for word in words[1:])])
            assert stop.value.code == 0
        assert np.array_equal(np.load(tmp_path / f"{name}-back.npy"), array)
    with pytest.raises(SystemExit) as stop:
        main(["decode", str(tmp_path / "clip.dfc"), str(tmp_path / "clip.png")])
    assert stop.value.code == 1 and "write NPY or MKV or MP4 instead" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["info", str(tmp_path / "clip.dfc")])
    assert re.search(r"medium +clip", capsys.readouterr().out)


def test_arrays_in_folders_are_packed(tmp_path: Path) -> None:
    from diffcodec.archive import folder as packing

    (tmp_path / "in").mkdir()
    made = {"a.npy": np.zeros((2, 3, 5, 3), np.uint8), "b.npy": np.arange(9, dtype=np.uint16), "c.npy": np.eye(4) > 0}
    for name, array in made.items():
        np.save(tmp_path / "in" / name, array)
    packing.pack(str(tmp_path / "in"), str(tmp_path / "all.dfca"), model="photo-ardm", jobs=1)
    packing.unpack(str(tmp_path / "all.dfca"), str(tmp_path / "out"), jobs=1)
    for name, array in made.items():
        back = np.load(tmp_path / "out" / name)
        assert back.dtype == array.dtype and np.array_equal(back, array)
