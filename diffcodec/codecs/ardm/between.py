"""Frames of a clip over the lattice, each given up to two others, before it or on both sides (SPEC.md §5.4).

A frame is a pass; their order is told by one number. It tells which frames it is seen in, its motion from them
(`fields`), and its pictures as in `temporal`, but that of the finest levels the network's scales are corrected by a
number a phase, and its probabilities by statistics of what the past misses (`entropy.misses`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...entropy.logistic import bits, intervals, pop_pixels
from ...entropy.misses import Misses, contexts
from ...entropy.stack import AnsStack
from ...models.lattice.phases import phase_base
from ...models.lattice.walk import THREADS
from ...models.protocols import FrameModel
from ...runtime.errors import CorruptStream
from ...runtime.progress import Progress
from ...runtime.progress import part as part_of
from .cost import BETWEEN
from .fields import Field, Fields
from .frames import Part
from .lattice import Lattice
from .learning import Learned
from .motion import FILTERS
from .partition import parted
from .sampling import Sampling, sampling_and_gap
from .strips import STRIP_POSITIONS, Strip
from .temporal import (
    BYTE_BITS,
    CODE_BITS,
    DOUBT,
    HOPELESS,
    WAY_BITS,
    Clip,
    Intervals,
    coarsest_of,
    codes_of,
    missed_alone,
    popped_codes,
    uniform,
    units_of,
)

NEAREST_BITS = 4  #: of which frame: how many that are there are nearer
CORRECTED = 3  #: finest levels that are corrected
OTHER_BITS = 2  #: of what a picture is given besides what is expected of it
SHIFT_BITS, SHIFT, SHIFTS = 3, 3, 2  #: scales are corrected by -2 to 5 times 3/32 nat
_JUDGED = 4096  #: pixels that a correction is chosen by
_BETWEEN_WORTH = 1.03  #: motion between frames tells more than its estimate says


def order(frames: int, gap: int) -> list[int]:
    """Numbers of all frames as they are coded: every 2^gap-th, then the middles of what is before it, at length."""
    out, step = [0], 1 << gap
    for start in range(0, frames - 1, step):
        if start + step < frames:
            out += [start + step, *_middles(start, start + step)]
        else:
            out += range(start + 1, frames)
    return out


def _middles(first: int, last: int) -> list[int]:
    if last - first < 2:
        return []
    middle = (first + last) // 2
    return [middle, *_middles(first, middle), *_middles(middle, last)]


def nearest(number: int, done: Sequence[int]) -> list[int]:
    """Frames that are there, from near to far, of two as near the earlier first: as many as can be named."""
    return sorted(done, key=lambda one: (abs(one - number), one))[: 1 << NEAREST_BITS]


class _Frames(Clip):
    """What sender and receiver know: the frames that are done, what they told of motion, and what was missed."""

    def __init__(self, frames: np.ndarray, model: FrameModel, sampling: Sampling, positions: int, threads: int):
        super().__init__(frames, model, sampling, positions, threads, model.frame_strip_and_codes)
        self.motion, self.misses = Fields(), dict[tuple[int, bool], list[Misses]]()
        self.learned = [Learned(model.head_shape) for _ in self.parts]  #: by their last layers, of all frames
        self.done: list[int] = []

    def pictures(self, number: int) -> list[np.ndarray]:
        """Those of a frame that is there."""
        return [part.of(self.frames[number]) for part in self.parts]

    def tables(self, part: int, middle: bool) -> list[Misses]:
        """Of each corrected level of a picture of a frame that is between others, or not."""
        key = part, middle
        if key not in self.misses:
            channels = self.parts[part].of(self.frames[0]).shape[2]
            self.misses[key] = [Misses(channels) for _ in range(CORRECTED)]
        return self.misses[key]


@dataclass(frozen=True)
class _Seen:
    """What a frame is seen in: numbers of frames, and motion from them."""

    frames: tuple[int, ...]
    field: Field

    def pasts(self, clip: _Frames, part: int) -> list[list[np.ndarray | None]]:
        """What a picture may be given: what is expected of it, and one of the frames, displaced or as it is.

        Of two frames by what a picture says: the second displaced, the first, the first as it is, the second; of one
        that as it is.
        """
        pictures, halved = [clip.pictures(one)[part] for one in self.frames], clip.parts[part].halved
        moved = self.field.moved(pictures, halved)
        expected = self.field.expected(moved, halved)
        pairs: list[list[np.ndarray | None]] = [
            [expected, other] for other in (pictures if len(pictures) == 1 else [*moved[::-1], *pictures])
        ]
        return [pair[: clip.model.past] for pair in pairs]

    def middle(self, number: int) -> bool:
        return min(self.frames) < number < max(self.frames)


class _Expected:
    """Of the strips of a phase, how far neighbours are from what was expected, and what is expected."""

    def __init__(self, lattice: Lattice):
        self.lattice, self.unit = lattice, (-1, -1)

    def of(self, strip: Strip) -> tuple[np.ndarray, np.ndarray]:
        """(context, guess), uint8 (n, C)."""
        if strip.unit != self.unit:
            self.unit, phase, walk = strip.unit, strip.unit[1], self.lattice.walk
            pairs = zip(walk.known, walk.past[: 1 + phase], strict=True)
            missed = [np.abs(a.astype(np.int16) - b).astype(np.uint8) for a, b in pairs]
            self.context, self.guess = contexts(phase_base(missed, phase)), walk.past[1 + phase]
        h, w, C = strip.target.shape
        rows = slice(strip.top, strip.top + h)
        context, guess = (np.ascontiguousarray(one[rows, :w]).reshape(-1, C) for one in (self.context, self.guess))
        return context, guess


# ---- sender


def encode(
    photo: np.ndarray,
    frames: int,
    model: FrameModel,
    sampling: Sampling,
    progress: Progress | None = None,
    positions: int = STRIP_POSITIONS,
    threads: int = THREADS,
    gap: int | None = None,
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of ``photo`` uint8 (frames · rows, W, C): so many frames one below another.

    ``gap`` forces that of `order`; None takes 0 or 1, judged on some frames.
    """
    clip = _Frames(photo.reshape(frames, -1, *photo.shape[1:]), model, sampling, positions, threads)
    gap = _judged_gap(clip) if gap is None else gap
    passes = []
    for number in order(frames, gap):
        passes.append(_encode_frame(clip, number, 1 << gap))
        if progress:
            progress(len(passes) / frames)
    return bytes([BETWEEN, sampling.number, gap]), passes


def _lumas(clip: _Frames, numbers: Sequence[int]) -> list[np.ndarray]:
    return [one[..., one.shape[2] // 2] for one in (clip.parts[0].of(clip.frames[n]) for n in numbers)]


def _judged_gap(clip: _Frames) -> int:
    """Whether frames are better seen in both neighbours: by what motion misses of at most three triples."""
    count = len(clip.frames)
    forward = between = 0.0
    for start in range(0, count - 2, max(2, (count - 2) // 3)):
        a, b, c = _lumas(clip, range(start, start + 3))
        forward += parted(b, [a], FILTERS[-1])[1] + parted(c, [b, a], FILTERS[-1])[1]
        between += parted(c, [a], FILTERS[-1])[1] + parted(b, [a, c], FILTERS[-1])[1]
    return int(between < _BETWEEN_WORTH * forward)


def _others(clip: _Frames, number: int, gap: int) -> list[int]:
    """Up to two frames that one is seen in: its neighbours of those that are there, else the last of its kind."""
    before, behind = ([one for one in clip.done if (one > number) == after] for after in (False, True))
    if behind:
        return [max(before), min(behind)]
    kind = [one for one in before if number % gap or one % gap == 0]
    return sorted(kind, reverse=True)[:2]


def _encode_frame(clip: _Frames, number: int, gap: int) -> bytes:
    """Alone, or seen in others, whichever is smaller where that is in doubt."""
    ways: list[_Seen | None] = [None]
    if clip.done:
        others = _others(clip, number, gap)
        luma, *them = _lumas(clip, [number, *others])
        fields = [parted(luma, them, filter) for filter in FILTERS]
        seen = _Seen(tuple(others), min(fields, key=lambda one: one[1])[0])
        copy.deepcopy(clip.motion).intervals(seen.field)
        expected = seen.field.expected(seen.field.moved([one[..., None] for one in them], False), False)[..., 0]
        missed, smooth = float(np.abs(expected - luma.astype(np.int32)).mean()), missed_alone(luma)
        ways = [seen] if missed < DOUBT * smooth else [None] if missed > HOPELESS * smooth else [seen, None]
    if len(ways) > 1:
        kept = clip.motion, clip.misses, clip.learned
        tried = []
        for way in ways:
            clip.motion, clip.misses, clip.learned = copy.deepcopy(kept)
            tried.append((_coded(clip, number, way), clip.motion, clip.misses, clip.learned))
        data, clip.motion, clip.misses, clip.learned = min(tried, key=lambda one: len(one[0]))
    else:
        data = _coded(clip, number, ways[0])
    clip.done.append(number)
    return data


def _coded(clip: _Frames, number: int, seen: _Seen | None) -> bytes:
    out: list[Intervals] = [uniform([0 if seen is None else len(seen.frames)], WAY_BITS)]
    if seen is not None:
        near = nearest(number, clip.done)
        out.append(uniform([near.index(one) for one in seen.frames], NEAREST_BITS))
        out.append(uniform([FILTERS.index(seen.field.filter)], 1))
        out.append(clip.motion.intervals(seen.field))
    for part, picture in enumerate(clip.pictures(number)):
        past: list[np.ndarray | None] = [None] * clip.model.past
        if seen is not None:
            pasts = seen.pasts(clip, part)
            other = _judged(clip, clip.parts[part], picture, pasts) if len(pasts) > 1 else 0
            out.append(uniform([other] * (len(pasts) > 1), OTHER_BITS))
            past = pasts[other]
        codes, sent = codes_of(picture, past)
        out += [uniform(sent, CODE_BITS), uniform(coarsest_of(clip.parts[part], picture), BYTE_BITS)]
        lattice = clip.lattice(clip.parts[part], picture, past, codes, clip.learned[part])
        middle = seen is not None and seen.middle(number)
        _Sent(lattice, clip.parts[part], past, clip.tables(part, middle), out).run(units_of(picture))
    stack = AnsStack()
    for starts, freqs in reversed(out):
        stack.push_intervals(starts, freqs)
    return stack.to_bytes()


def _judged(clip: _Frames, part: Part, picture: np.ndarray, pasts: list[list[np.ndarray | None]]) -> int:
    """What serves best, on all levels but the finest."""
    if clip.model.past < 2:
        return 0
    coarse, sizes = [unit for unit in units_of(picture) if unit[0]], []

    def prepare(strip: Strip, params: np.ndarray) -> float:
        return bits(intervals(params, strip.sums, strip.pixels())[1][:, int(part.told) :])

    for past in pasts:
        size: list[float] = []

        def code(strip: Strip, found: float, size: list[float] = size) -> None:
            size.append(found)

        clip.lattice(part, picture, past, codes_of(picture, past)[0]).run(coarse, prepare, code)
        sizes.append(sum(size))
    return sizes.index(min(sizes))


class _Sent:
    """The pixels of a picture: a phase is coded when it is whole, since its correction comes first."""

    def __init__(
        self,
        lattice: Lattice,
        part: Part,
        past: Sequence[np.ndarray | None],
        tables: list[Misses],
        out: list[Intervals],
    ):
        self.lattice, self.told, self.tables, self.out = lattice, part.told, tables, out
        self.expected = None if past[0] is None else _Expected(lattice)
        self.unit, self.pending = (-1, -1), list[tuple[np.ndarray, ...]]()

    def run(self, units: list[tuple[int, int]]) -> None:
        def prepare(strip: Strip, params: np.ndarray) -> tuple[np.ndarray, ...]:
            return params, strip.sums, strip.pixels()

        self.lattice.run(units, prepare, self.take)
        self.flush()

    def take(self, strip: Strip, given: tuple[np.ndarray, ...]) -> None:
        if not strip.target.size:
            return
        if strip.unit != self.unit:
            self.flush()
            self.unit = strip.unit
        if self.expected is not None and strip.unit[0] < CORRECTED:
            given = (*given, *self.expected.of(strip))
        self.pending.append(given)

    def flush(self) -> None:
        pending, self.pending = self.pending, []
        if not pending:
            return
        params, sums, pixels, *expected = (np.concatenate(one) for one in zip(*pending, strict=True))
        told = int(self.told)
        if self.unit[0] < CORRECTED:
            shift = self.judged_shift(params, sums, pixels)
            self.out.append(uniform([shift], SHIFT_BITS))
            params = corrected(params, shift)
        if expected:
            context, guess = expected
            self.out.append(self.tables[self.unit[0]].intervals(params, sums, pixels, context, guess, self.told))
        else:
            starts, freqs = intervals(params, sums, pixels)
            self.out.append((starts[:, told:].ravel(), freqs[:, told:].ravel()))

    def judged_shift(self, params: np.ndarray, sums: np.ndarray, pixels: np.ndarray) -> int:
        some = slice(None, None, max(1, len(params) // _JUDGED))
        sizes = []
        for shift in range(1 << SHIFT_BITS):
            tried = corrected(params[some], shift)
            sizes.append(bits(intervals(tried, sums[some], pixels[some])[1][:, int(self.told) :]))
        return sizes.index(min(sizes))


def corrected(params: np.ndarray, shift: int) -> np.ndarray:
    """int32 (n, 10, K) with other scales, as a correction says."""
    params = params.copy()
    params[:, 4:7] += SHIFT * (shift - SHIFTS)
    return params


# ---- receiver


class Receiver:
    """Mirror of :func:`encode`: fills ``photo`` uint8 (frames · rows, W, C) frame by frame."""

    def __init__(
        self, params: bytes, photo: np.ndarray, frames: int, model: FrameModel, positions: int, threads: int
    ):
        """Raises CorruptStream."""
        sampling, gap = sampling_and_gap(params, photo.shape, frames)
        self.clip = _Frames(photo.reshape(frames, -1, *photo.shape[1:]), model, sampling, positions, threads)
        self.passes, self.order = frames, order(frames, gap)

    @property
    def taken(self) -> int:
        """Frames that are there."""
        return len(self.clip.done)

    def take(self, payload: bytes, progress: Progress | None) -> None:
        """The next frame. Raises CorruptStream."""
        clip, number = self.clip, self.order[self.taken]
        stack = AnsStack.from_bytes(payload)
        seen, frame = self._seen(stack, number), clip.frames[number]
        for index, part in enumerate(clip.parts):
            picture = part.of(frame)
            past: list[np.ndarray | None] = [None] * clip.model.past
            if seen is not None:
                pasts = seen.pasts(clip, index)
                past = pasts[int(stack.pop_bits(np.array([OTHER_BITS]))[0]) if len(pasts) > 1 else 0]
            codes = popped_codes(stack, picture, past)
            coarsest = coarsest_of(part, picture)
            coarsest[...] = stack.pop_bytes(coarsest.size).reshape(coarsest.shape)
            lattice = clip.lattice(part, picture, past, codes, clip.learned[index])
            middle = seen is not None and seen.middle(number)
            taking = _Taken(lattice, part, past, clip.tables(index, middle), stack)
            told = part_of(progress, index, 1, len(clip.parts))
            lattice.run(units_of(picture), lambda strip, params: params, taking.take, told)
            part.into(frame, picture)
        stack.finish()
        clip.done.append(number)

    def _seen(self, stack: AnsStack, number: int) -> _Seen | None:
        """What a frame is seen in. Raises CorruptStream."""
        clip = self.clip
        count = int(stack.pop_bits(np.array([WAY_BITS]))[0])
        if not count:
            return None
        near = nearest(number, clip.done)
        places = stack.pop_bits(np.full(count, NEAREST_BITS)).tolist()
        if count > 2 or max(places) >= len(near):
            raise CorruptStream("a frame is seen in one that is not there; the file is damaged")
        field = Field.blank(*clip.size, count, FILTERS[int(stack.pop_bits(np.array([1]))[0])])
        clip.motion.pop(stack, field)
        return _Seen(tuple(near[place] for place in places), field)

    def preview(self) -> np.ndarray:
        """uint8 (frames · rows, W, C): the nearest frame that is there stands for one that is not."""
        frames, done = self.clip.frames, self.clip.done
        if len(done) < len(frames):
            frames = frames[[nearest(number, done)[0] for number in range(len(frames))]]
        return frames.reshape(-1, *frames.shape[2:])

    def known(self) -> np.ndarray:
        """bool (frames · rows, W): the frames that are there."""
        T, rows, width = self.clip.frames.shape[:3]
        out = np.zeros((T, rows, width), bool)
        out[self.clip.done] = True
        return out.reshape(-1, width)


class _Taken:
    """Mirror of :class:`_Sent`."""

    def __init__(
        self,
        lattice: Lattice,
        part: Part,
        past: Sequence[np.ndarray | None],
        tables: list[Misses],
        stack: AnsStack,
    ):
        self.told, self.tables, self.stack = part.told, tables, stack
        self.expected = None if past[0] is None else _Expected(lattice)
        self.unit, self.shift = (-1, -1), 0

    def take(self, strip: Strip, params: np.ndarray) -> None:
        if not len(params):
            return
        pixels, level = strip.pixels(), strip.unit[0]
        if level < CORRECTED:
            if strip.unit != self.unit:
                self.unit, self.shift = strip.unit, int(self.stack.pop_bits(np.array([SHIFT_BITS]))[0])
            params = corrected(params, self.shift)
        if self.expected is not None and level < CORRECTED:
            self.tables[level].pop(self.stack, params, strip.sums, pixels, *self.expected.of(strip), self.told)
        else:
            pixels = pop_pixels(self.stack, params, strip.sums, pixels[:, 1] if self.told else None)
        strip.put(pixels)
