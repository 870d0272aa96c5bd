"""Vectors of clips, tracks and tokens of 16 bits, and of what only decoding them refuses.

    python -m tools.media_vectors

writes these alone; `make_vectors.py` writes them with all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from diffcodec.bitstream import Chunk, read, write
from diffcodec.codecs.ardm import codec
from diffcodec.codecs.ardm import tracks as tracks_codec
from diffcodec.codecs.ardm.cost import TEMPORAL
from diffcodec.codecs.ardm.track_plan import Further, Layers
from diffcodec.codecs.codec import Encoded
from diffcodec.codecs.table import CODECS
from diffcodec.media.clip import Clip
from diffcodec.media.medium import Coded, Walking
from diffcodec.media.rows.clip import Colour
from diffcodec.media.rows.tracks import Column
from diffcodec.media.tracks import Tracks
from diffcodec.models import registry
from diffcodec.models.tracks.prediction import KNOWN
from diffcodec.stream.written import stream_of
from tools import decodable
from tools.leb128 import read_varint
from tools.told import tell

#: frames of each group
GROUPS = {"clip_groups": 2, "clip_groups_yuv420_odd": 1, "clip_with_loss_chained": 2, "tracks_groups": 4}


def clip(sampling: Any, frames: int, height: int, width: int) -> Clip:
    """A photograph that moves."""
    wide = decodable.photograph(height, width + frames)
    y, u, v = np.moveaxis(np.stack([wide[:, n : n + width] for n in range(frames)]), 3, 0)
    planes = {
        "RGB": (np.stack([y, u, v], 3),),
        "YUV420": (y, u[:, ::2, ::2], v[:, ::2, ::2]),
        "YUV444": (y, u, v),
    }[sampling]
    return Clip(planes, sampling, Fraction(30000, 1001), Colour(9, 16, 9, 1, 3))


def tracks(frames: int, agents: int, *, wild: bool = False) -> Tracks:
    """Agents that walk, come and go; ``wild``: numbers of all 64 bits."""
    rng = np.random.default_rng(frames)
    values = rng.integers(-30, 31, (frames, agents, 2)).cumsum(0).cumsum(0) // 8
    if wild:
        values = rng.integers(-(2**63), 2**63, (frames, agents, 2))
    columns = Column("x, m", Decimal("0.01"), Decimal("-52.50")), Column("größe", Decimal("1E+3"))
    names = tuple(f"{n} Ä" for n in range(agents))
    teams = tuple(("home", "away", "")[n % 3] for n in range(agents))
    return Tracks(values, columns, rng.random(values.shape) < 0.2, names, teams, Fraction(25, 2))


class Walked(Tracks):
    """Tracks that the network codes, smaller or not."""

    def forms(self, palettes: bool = True) -> list[Coded]:
        return super().forms(palettes)[-1:]


class Former(Walked):
    """By nothing but the prediction and the network, as `encode` had it first."""


class Remembered(Walked):
    """With who was away remembered, with learning, and gaps frame by frame, which serve longer tracks."""


class Layered(Walked):
    """With every fifth frame in front of all others, and what is remembered and learned."""


FURTHER = {
    Remembered: Further(7, 48, walked=True),
    Layered: Further(3, 48, walked=True, layers=Layers(5, 1, tuple(KNOWN[1].tolist()))),
}


def lost(frames: int, agents: int) -> Remembered:
    """Agents who are seen in every third frame and lost for some; beside places, a count with gaps of its own."""
    walk = walked(frames, agents)
    missing = np.array(walk.missing)
    missing[(np.arange(frames)[:, None] + np.arange(agents)) % 3 > 0] = missing[9:30, 1] = True
    missing[::5, :, 2] = True
    return Remembered(walk.values, walk.columns, missing)


def walked(frames: int, agents: int, *, wild: bool = False) -> Former:
    """Agents that are heavy, come and go, and count something; ``wild``: one of them leaps."""
    rng = np.random.default_rng(frames)
    push = np.zeros((frames, agents, 2))
    for t in range(1, frames):
        push[t] = 0.9 * push[t - 1] + rng.normal(0, 2, (agents, 2))
    places = push.cumsum(0).cumsum(0).astype(np.int64) // 4
    if wild:
        places[frames // 2, 0] += 2**45
    steps = np.arange(frames)[:, None, None].repeat(agents, 1) // 3
    missing = np.zeros((frames, agents, 1), bool)
    missing[: frames // 3, -1] = missing[frames // 2 : frames // 2 + 4, 0] = True
    values = places if wild else np.concatenate([places, steps], 2)
    columns = (Column("x", Decimal("0.1")), Column("y", Decimal("0.1")), Column("steps"))[: values.shape[2]]
    return Former(values, columns, missing.repeat(values.shape[2], 2))


def turned(frames: int, agents: int) -> Former:
    """Agents that walk: when, how fast and where to, where they look, and what they do, by a number."""
    rng = np.random.default_rng(frames)
    push = np.zeros((frames, agents, 2))
    for t in range(1, frames):
        push[t] = 0.95 * push[t - 1] + rng.normal(0, 3, (agents, 2))
    places = push.cumsum(0).round().astype(np.int64)
    along = np.degrees(np.arctan2(push[..., 0], push[..., 1])) * 10 + rng.normal(0, 20, (frames, agents))
    looks = np.where(rng.random((frames, agents)) < 0.3, 0, rng.normal(0, 200, (frames, agents)).round()).cumsum(0)
    speed = (100 * np.hypot(*np.moveaxis(push, 2, 0)) + rng.normal(0, 2, (frames, agents))).round().clip(0)
    does = rng.integers(0, 3, (frames, agents)) ** 6
    clock = 1000 * np.arange(frames)[:, None] + rng.normal(0, 3, (frames, agents)).round()
    others = [clock, speed, along.round() % 3600, looks % 3600, does]
    values = np.concatenate([places, *(one[..., None].astype(np.int64) for one in others)], 2)
    names = ("x", "y", "clock", "speed", "direction", "looks", "does")
    steps = map(Decimal, ("0.01", "0.01", "0.001", "0.01", "0.1", "0.1", "1"))
    missing = np.zeros(values.shape, bool)
    missing[: frames // 3, -1] = missing[frames // 2 : frames // 2 + 4, 0] = missing[5:9, 1, 4] = True
    missing[:, 2, 5] = True
    return Former(values, tuple(map(Column, names, steps)), missing)


class Filmed(Clip):
    """A clip that the network codes, smaller or not."""

    def forms(self, palettes: bool = True) -> list[Coded]:
        return super().forms(palettes)[-1:]


class Forward(Filmed):
    """By method 6, which `encode` does not take any more."""


class Lossy(Clip):
    """By `clip-vdm`, to a rate, in groups that hang together."""


def streamed(signal: Clip | Tracks, **options: Any) -> bytes:
    if isinstance(signal, Lossy):
        told: dict[str, Any] = {"bpp": 1.5} if options["group"] is None else {**options, "bpp": 16.0, "chained": 2}
        return diffcodec.encode(signal, "diffc", "clip-vdm", effort=1, device="cpu", **told)
    if isinstance(signal, Walked):
        network, form = registry.load(registry.OF_TRACKS, device="cpu"), signal.forms()[0]
        assert isinstance(form, Walking)
        further = FURTHER.get(type(signal), Further())
        params, passes = tracks_codec.encode(
            form.extra, form.columns, form.places, network, None, form.circles, further
        )
        return stream_of(signal, form, CODECS["ardm"], Encoded(params, passes, network), digest=signal.digest())
    if not isinstance(signal, Forward):
        return diffcodec.encode(signal, **options)
    model, form = registry.load("clip-ardm", device="cpu"), signal.forms()[0]
    told = {"method": TEMPORAL, "frames": form.frames, "sampling": form.sampling}
    params, passes = codec.encode(form.photo, form.extra, model, **told)
    return stream_of(signal, form, CODECS["ardm"], Encoded(params, passes, model), digest=signal.digest())


def filmed(sampling: Any, height: int, width: int, kind: type[Filmed] = Filmed) -> Filmed:
    """A photograph that moves, and in the end another: a frame that the one before does not tell."""
    moved = clip(sampling, 4, height, width)
    cut = tuple(np.concatenate([plane[:3], 255 - plane[3:, ::-1]]) for plane in moved.planes)
    return kind(cut, moved.sampling, moved.rate, moved.colour)


def signals() -> Iterator[tuple[str, Clip | Tracks]]:
    yield "clip_rgb", clip("RGB", 3, 5, 7)
    yield "clip_grey", Clip((clip("RGB", 2, 6, 4).planes[0][..., :1].repeat(3, 3),))
    yield "clip_yuv420", clip("YUV420", 2, 8, 10)
    yield "clip_yuv420_odd", clip("YUV420", 3, 5, 7)
    yield "clip_yuv420_one_pixel", clip("YUV420", 1, 1, 1)
    yield "clip_yuv444", clip("YUV444", 2, 4, 6)
    yield "clip_groups", clip("RGB", 5, 5, 7)
    yield "clip_groups_yuv420_odd", clip("YUV420", 3, 3, 5)
    yield "clip_frames", filmed("RGB", 18, 22, Forward)
    yield "clip_frames_yuv420_odd", filmed("YUV420", 17, 23, Forward)
    yield "clip_frames_yuv444", filmed("YUV444", 16, 20, Forward)
    yield "clip_with_loss", Lossy(clip("RGB", 2, 16, 16).planes)
    yield "clip_with_loss_chained", Lossy(clip("RGB", 3, 8, 8).planes)
    yield "clip_between", filmed("RGB", 18, 22)
    yield "clip_between_yuv420_odd", filmed("YUV420", 17, 23)
    yield "clip_between_yuv444", filmed("YUV444", 16, 20)
    yield "tracks", tracks(12, 4)
    yield "tracks_two_passes", tracks(5, 2, wild=True)
    yield "tracks_one_frame", tracks(1, 3)
    yield "tracks_of_no_frames", tracks(0, 2)
    yield "tracks_groups", tracks(9, 3)
    yield "tracks_walked", walked(24, 4)
    yield "tracks_walked_and_leapt", walked(12, 3, wild=True)
    yield "tracks_walked_alone", walked(20, 1)
    yield "tracks_walked_and_turned", turned(90, 4)
    yield "tracks_walked_and_lost", lost(120, 4)
    walk = walked(32, 3)
    yield "tracks_in_layers", Layered(walk.values, walk.columns, walk.missing)
    yield "tracks_of_nobody", Tracks(np.zeros((3, 0, 1), np.int64), (Column("x"),))


def described(data: bytes) -> dict[str, Any]:
    """What a reader must find: fields, samples (of tracks 0 where they are missing) and gaps."""
    found = diffcodec.inspect(data)
    samples = diffcodec.decode(data)
    fields = {key: found[key] for key in ("rate", "colour", "names", "teams", "columns") if key in found}
    if not found["lossless"]:
        return decodable.described(data)
    little = np.ma.getdata(samples).astype(samples.dtype.newbyteorder("<"))
    gaps = np.flatnonzero(np.ma.getmaskarray(samples)).tolist()
    return {
        "model": found["model"],
        "mode": read(data).header.mode,
        "shape": list(samples.shape),
        "dtype": little.dtype.str,
        "samples_sha256": hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest(),
        "gaps": gaps,
        "fields": fields,
    }


def with_params(data: bytes, change: Any) -> bytes:
    """The stream under a header with other parameters."""
    return again(data, change, [])


def again(data: bytes, change: Any, behind: list[Chunk], side: Sequence[Chunk] = ()) -> bytes:
    """The stream in chunks, with other parameters, some chunks between header and passes, others behind these."""
    found = read(data)
    header = replace(found.header, params=change(found.header.params), fingerprint=bytes(8))
    passes = [Chunk("P", one) for one in found.passes]
    return write([Chunk("H", header.to_bytes()), *side, *passes, *behind, Chunk("E", bytes(8))])


def undecodable() -> Iterator[tuple[str, bytes, str]]:
    """(name, stream, error)."""
    some, walk = diffcodec.encode(clip("RGB", 3, 5, 7)), diffcodec.encode(tracks(12, 4))
    corrupt = "CorruptStream"
    yield "clip_of_other_frames", with_params(some, lambda p: b"\2" + p[1:]), corrupt
    yield "clip_of_no_frames", with_params(some, lambda p: b"\0" + p[1:]), corrupt
    yield "clip_cut", with_params(some, lambda p: p[:7]), corrupt
    yield "clip_of_another_rate", with_params(some, lambda p: p[:3] + b"\2\4" + p[8:]), corrupt
    yield "tracks_of_many", with_params(walk, lambda p: b"\xff\xff\xff\xff\x0f" + p[1:]), "LimitExceeded"
    yield "tracks_of_other_flags", with_params(walk, lambda p: p[:5] + b"\7" + p[6:]), "UnsupportedVersion"
    at = read(walk).header.params.index(b"\4home")
    yield "tracks_of_equal_teams", with_params(walk, lambda p: p.replace(b"\4away", b"\4home")), corrupt
    yield "tracks_of_teams_out_of_order", with_params(walk, lambda p: p[: at + 11] + b"\1\0" + p[at + 13 :]), corrupt
    yield "tracks_of_no_text", with_params(walk, lambda p: p.replace(b"home", b"\xffome")), corrupt
    yield "tracks_step_of_0", with_params(walk, lambda p: p.replace(b"x, m\3\2", b"x, m\3\0")), corrupt
    other = decodable.stream(decodable.photograph(6, 7), decodable.ardm.CONTEXT)
    yield "clip_behind_a_picture", again(other, bytes, [Chunk("N", some)]), corrupt
    yield "picture_behind_a_clip", again(some, bytes, [Chunk("N", other)]), corrupt
    first, small = diffcodec.encode(clip("RGB", 1, 2, 3)), clip("RGB", 2, 2, 3)
    unlike = {"size": clip("RGB", 1, 3, 2), "sampling": clip("YUV444", 1, 2, 3), "rate": replace(small, rate=None)}
    for name, group in (unlike | {"colour": replace(small, colour=Colour())}).items():
        yield f"groups_of_another_{name}", again(first, bytes, [Chunk("N", diffcodec.encode(group))]), corrupt
    yield "picture_behind_groups", again(first, bytes, [Chunk("N", first), Chunk("N", other)]), corrupt
    yield from walks()
    walk, small = diffcodec.encode(tracks(2, 3)), tracks(4, 3)
    others = {"agents": tracks(2, 2), "names": replace(small, names=())}
    others["columns"] = replace(small, columns=small.columns[::-1])
    for name, group in others.items():
        behind = diffcodec.encode(group)
        yield f"groups_of_tracks_of_other_{name}", again(walk, bytes, [Chunk("N", behind)]), corrupt
    yield "tracks_behind_a_clip", again(first, bytes, [Chunk("N", walk)]), corrupt
    yield "clip_with_a_palette", again(some, bytes, [], [Chunk("C", bytes(3))]), corrupt


def walks() -> Iterator[tuple[str, bytes, str]]:
    """Tracks by the network whose parameters, or passes, are none."""
    corrupt = "CorruptStream"

    def forged(data: bytes, params: Any = bytes, passes: Any = list) -> bytes:
        """Under a header with other codec parameters, as they begin behind the method's byte, and other passes."""
        found = read(data)
        model = registry.load(registry.OF_TRACKS)
        at = found.header.params.rindex(b"\7" + bytes([len(diffcodec.inspect(data)["columns"]), 0, 1])) + 1
        front, own = found.header.params[:at], found.header.params[at:]
        header = replace(found.header, params=front + params(own), model=model.name, fingerprint=model.fingerprint[:8])
        chunks = [Chunk("P", one) for one in passes(found.passes)]
        return write([Chunk("H", header.to_bytes()), *chunks, Chunk("E", bytes(8))], (1, 7))

    walk, turn, gone = streamed(walked(24, 4)), streamed(turned(90, 4)), streamed(lost(120, 4))
    for name, change in {
        "of_other_columns": lambda p: b"\5" + p[1:],
        "whose_place_is_one_column": lambda p: p[:2] + b"\0" + p[3:],
        "whose_place_is_no_column": lambda p: p[:2] + b"\7" + p[3:],
        "in_passes_of_no_frames": lambda p: p[:3] + b"\0" + p[5:],
        "by_another_prediction": lambda p: p[:5] + b"\20" + p[6:],
        "with_nothing_else": lambda p: p[:5] + b"\10\0\0\0" + p[6:],
        "without_coefficients": lambda p: p[:5] + b"\3",
        "with_bytes_behind_the_parameters": lambda p: p + b"\0",
    }.items():
        yield f"tracks_walked_{name}", forged(walk, change), corrupt
    at = _told_at(turn)
    for name, change in {
        "told_in_another_way": lambda p: p[:at] + b"\3" + p[at + 1 :],
        "told_in_part": lambda p: p[: at + 9],
        "told_too_finely": lambda p: p[: at + 1] + b"\15" + p[at + 2 :],
        "on_a_circle_of_one": lambda p: p[: at + 41] + b"\1" + p[at + 43 :],
        "turned_twice": lambda p: p[: at + 43] + b"\2" + p[at + 44 :],
        "from_beyond_the_circle": lambda p: p[: at + 44] + b"\xff\x7f" + p[at + 46 :],
    }.items():
        yield f"tracks_turned_{name}", forged(turn, change), corrupt
    for name, change in {
        "gaps_in_another_way": lambda p: p[:8] + b"\4" + p[9:],
        "further_in_part": lambda p: p[:7],
    }.items():
        yield f"tracks_lost_{name}", forged(gone, change), corrupt
    heavy = walked(32, 3)
    layered = streamed(Layered(heavy.values, heavy.columns, heavy.missing))
    for name, change in {
        "of_no_rows": lambda p: p[:9] + b"\0" + p[10:],
        "of_rows_that_are_no_part": lambda p: p[:9] + b"\10" + p[10:],
        "by_another_prediction": lambda p: p[:10] + b"\4" + p[11:],
    }.items():
        yield f"tracks_layers_{name}", forged(layered, change), corrupt
    for name, change in {
        "without_the_second": lambda passes: passes[:1],
        "in_another_order": lambda passes: passes[::-1],
    }.items():
        yield f"tracks_layers_{name}", forged(layered, passes=change), corrupt
    gaps = read(walk).passes[0]
    for name, change in {
        "without_a_pass": lambda passes: [],
        "in_more_passes": lambda passes: [*passes, *passes],
        "cut": lambda passes: [passes[0][:20]],
        "of_more_than_a_pass": lambda passes: [passes[0] + b"\1\2\3\4\5\6\7\1"],
        "from_a_scale_beyond": lambda passes: [_with_front(gaps, b"\xff\xff")],
    }.items():
        yield f"tracks_walked_{name}", forged(walk, passes=change), corrupt
    first = forged(walk, passes=lambda passes: passes)
    other = replace(read(first).header, model="photo-ardm", fingerprint=registry.load("photo-ardm").fingerprint[:8])
    behind = [*(Chunk("P", one) for one in read(first).passes), Chunk("E", bytes(8))]
    unfit = write([Chunk("H", other.to_bytes()), *behind], (1, 7))
    yield "tracks_walked_by_a_model_of_pictures", unfit, "ModelMismatch"


def _told_at(data: bytes) -> int:
    """Where the first column is told, behind the byte of the prediction and coefficients of its own."""
    params = read(data).header.params
    own = params[params.rindex(b"\7\7\0\1") + 1 :]
    return 6 + 24 * (own[5] & 3 == 3)


def _with_front(payload: bytes, front: bytes) -> bytes:
    """A pass with other steps of scale and speed."""
    at = 0
    for _ in range(2):  # gaps, other columns
        length, at = read_varint(payload, at)
        at += length
    return payload[:at] + front + payload[at + 2 :]


def write_all(vectors: Path) -> None:
    made = {name: streamed(signal, group=GROUPS.get(name)) for name, signal in signals()}
    for name, data in made.items():
        (vectors / "decodable" / f"{name}.dfc").write_bytes(data)
    tell(vectors / "decodable", {name: described(data) for name, data in made.items()})
    refused = list(undecodable())
    for name, data, _ in refused:
        (vectors / "undecodable" / f"{name}.dfc").write_bytes(data)
    tell(vectors / "undecodable", {name: {"error": error} for name, _, error in refused})


if __name__ == "__main__":
    write_all(decodable.SPEC / "vectors")
