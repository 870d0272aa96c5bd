"""Frames of a clip over the lattice, each given the one before: sender and receiver in mirrored order.

A frame is a pass. It tells whether it has a past, the motion from it, and for each of its pictures (`frames`) side
information and pixels as of a photograph (`lattice`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from ...entropy.logistic import intervals, pop_pixels
from ...entropy.stack import TOTAL, AnsStack
from ...models.lattice.geometry import NO_PAST, UNKNOWN, level_count, pass_units, side_levels
from ...models.lattice.phases import past_codes, phase_base, side_codes
from ...models.lattice.walk import THREADS
from ...models.protocols import FrameModel
from ...runtime.errors import CorruptStream
from ...runtime.progress import Progress
from ...runtime.progress import part as part_of
from .cost import TEMPORAL
from .frames import PARTS, Part
from .lattice import Lattice
from .learning import Learned
from .motion import BLOCKS, displaced, grid
from .sampling import Sampling, sampling_of
from .search import found
from .strips import STRIP_POSITIONS, Phases, Strip, StripOf, plainly, worth
from .vectors import Vectors

ALONE = 0  #: the way of a frame without a past; of others one more than the place of its blocks' side in BLOCKS
WAY_BITS, CODE_BITS, BYTE_BITS = 2, 4, 8
#: of what neighbours err: a past that errs less than so much is taken untried, one that errs more not at all
DOUBT, HOPELESS = 0.8, 4.0
Intervals = tuple[np.ndarray, np.ndarray]
Codes = dict[int, tuple[int, ...]]  #: side-information codes by level


def uniform(values: Sequence[int] | np.ndarray, width: int) -> Intervals:
    """Intervals (starts, freqs), uint32 (n,), of values of so many bits."""
    starts = np.asarray(values, np.uint32).ravel() << np.uint32(24 - width)
    return starts, np.full(len(starts), TOTAL >> width, np.uint32)


class Clip:
    """What sender and receiver know: the frames that are done, and the network."""

    def __init__(
        self,
        frames: np.ndarray,
        model: FrameModel,
        sampling: Sampling,
        positions: int,
        threads: int,
        strip: StripOf | None = None,
    ):
        """``frames`` uint8 (T, rows, W, C), of which the receiver's come to be. ``strip``: what the model is asked."""
        self.frames, self.model, self.parts = frames, model, PARTS[sampling]
        rows, width = frames.shape[1:3]
        asked = plainly(model.frame_strip) if strip is None else strip
        self.phases = Phases(model.halo, asked, positions, worth(threads, rows, width))
        self.vectors = Vectors()
        self.before: list[np.ndarray] = []  # the pictures of the last frame
        self.size = sampling.sizes(rows, width)[0]  # that motion is of

    def past(self, number: int, motion: tuple[np.ndarray, int] | None) -> list[np.ndarray | None]:
        """What picture ``number`` of a frame is given, uint8 (H, W, C): the frame before, displaced, and as it is."""
        if motion is None:
            return [None] * self.model.past
        before = self.before[number]
        given: list[np.ndarray | None] = [displaced(before, *motion, self.parts[number].halved), before]
        return given[: self.model.past]

    def lattice(
        self,
        part: Part,
        picture: np.ndarray,
        past: list[np.ndarray | None],
        codes: Codes,
        learned: Learned | None = None,
    ) -> Lattice:
        """The way over a picture uint8 (H, W, C), given ``past`` of the same shape and what was ``learned``."""
        unknown = (*UNKNOWN, *(NO_PAST if past[0] is None else UNKNOWN))

        def bias(phase: int, level: int) -> np.ndarray:
            return self.model.frame_bias(phase, level, (*codes.get(level, unknown), part.kind))

        return Lattice(picture, self.phases, bias, past, learned)


def units_of(picture: np.ndarray) -> list[tuple[int, int]]:
    """(level, phase), coarse to fine, of a picture (H, W, C)."""
    return [unit for units in pass_units(*picture.shape[:2]) for unit in units]


def coarsest_of(part: Part, picture: np.ndarray) -> np.ndarray:
    """View, uint8 (h, w, planes), of what of the coarsest grid of a picture (H, W, C) is sent as it is."""
    stride = 1 << level_count(*picture.shape[:2])
    view = picture[::stride, ::stride]
    return view[..., ::2] if part.told else view


# ---- sender


def encode(
    photo: np.ndarray,
    frames: int,
    model: FrameModel,
    sampling: Sampling,
    progress: Progress | None = None,
    positions: int = STRIP_POSITIONS,
    threads: int = THREADS,
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of ``photo`` uint8 (frames · rows, W, C): so many frames one below another."""
    clip = Clip(photo.reshape(frames, -1, *photo.shape[1:]), model, sampling, positions, threads)
    passes = []
    for t, frame in enumerate(clip.frames):
        passes.append(_encode_frame(clip, frame))
        if progress:
            progress((t + 1) / frames)
    return bytes([TEMPORAL, sampling.number]), passes


def _encode_frame(clip: Clip, frame: np.ndarray) -> bytes:
    """Alone, or with its past, whichever is smaller where that is in doubt."""
    pictures = [part.of(frame) for part in clip.parts]
    ways: list[tuple[np.ndarray, int] | None] = [None]
    if clip.before:
        luma, before = (one[0][..., one[0].shape[2] // 2] for one in (pictures, clip.before))
        motion = found(luma, before)
        missed = float(np.abs(displaced(before[..., None], *motion)[..., 0] - luma.astype(np.int32)).mean())
        smooth = missed_alone(luma)
        ways = [motion] if missed < DOUBT * smooth else [None] if missed > HOPELESS * smooth else [motion, None]
    coded = [_coded(clip, pictures, motion, copy.deepcopy(clip.vectors)) for motion in ways]
    clip.before = pictures
    data, clip.vectors = min(coded, key=lambda one: len(one[0]))
    return data


def missed_alone(luma: np.ndarray) -> float:
    """Mean absolute error of four neighbours' mean, of ``luma`` uint8 (H, W), in levels."""
    c, d = luma[0::2, 0::2, None], luma[1::2, 1::2].astype(np.int32)
    error = 4 * d - phase_base([c], 0)[: d.shape[0], : d.shape[1], 0]
    return float(np.abs(error).mean()) / 4 if d.size else 0.0


def _coded(
    clip: Clip, pictures: list[np.ndarray], motion: tuple[np.ndarray, int] | None, vectors: Vectors
) -> tuple[bytes, Vectors]:
    out: list[Intervals] = [uniform([ALONE if motion is None else 1 + BLOCKS.index(motion[1])], WAY_BITS)]
    if motion is not None:
        out.append(vectors.intervals(motion[0]))
    for number, (part, picture) in enumerate(zip(clip.parts, pictures, strict=True)):
        past = clip.past(number, motion)
        codes, sent = codes_of(picture, past)
        out += [uniform(sent, CODE_BITS), uniform(coarsest_of(part, picture), BYTE_BITS)]
        out += pixels_of(clip.lattice(part, picture, past, codes), part, units_of(picture))
    stack = AnsStack()
    for starts, freqs in reversed(out):
        stack.push_intervals(starts, freqs)
    return stack.to_bytes(), vectors


def pixels_of(lattice: Lattice, part: Part, units: list[tuple[int, int]]) -> list[Intervals]:
    """Intervals of the pixels of (level, phase) after (level, phase); of G that is told none."""
    out: list[Intervals] = []
    first = 1 if part.told else 0

    def prepare(strip: Strip, params: np.ndarray) -> Intervals:
        starts, freqs = intervals(params, strip.sums, strip.pixels())
        return starts[:, first:].ravel(), freqs[:, first:].ravel()

    lattice.run(units, prepare, lambda strip, coded: out.append(coded))
    return out


def codes_of(picture: np.ndarray, past: list[np.ndarray | None]) -> tuple[Codes, list[int]]:
    """(codes by level, those that are sent) of a picture; of one plane there are none of chroma: they are 0."""
    colour, sent = picture.shape[2] == 3, list[int]()
    whole, seen = (one if one is None or colour else one.repeat(3, 2) for one in (picture, past[0]))
    assert whole is not None
    out: Codes = {}
    for level in side_levels(*picture.shape[:2]):
        step = 1 << level
        grid = whole[::step, ::step]
        told = [side_codes(grid)] + ([] if seen is None else [past_codes(grid, seen[::step, ::step])])
        out[level] = (*told[0], *(NO_PAST if seen is None else told[1]))
        for luma, chroma in told:
            sent += [luma, chroma] if colour else [luma]
    return out, sent


# ---- receiver


class Receiver:
    """Mirror of :func:`encode`: fills ``photo`` uint8 (frames · rows, W, C) frame by frame."""

    def __init__(
        self, params: bytes, photo: np.ndarray, frames: int, model: FrameModel, positions: int, threads: int
    ):
        """Raises CorruptStream."""
        sampling = sampling_of(params, photo.shape, frames)
        self.clip = Clip(photo.reshape(frames, -1, *photo.shape[1:]), model, sampling, positions, threads)
        self.passes, self.taken = frames, 0

    def take(self, payload: bytes, progress: Progress | None) -> None:
        """The next frame. Raises CorruptStream."""
        clip, frame = self.clip, self.clip.frames[self.taken]
        stack = AnsStack.from_bytes(payload)
        way = int(stack.pop_bits(np.array([WAY_BITS]))[0])
        motion = None
        if way != ALONE:
            if not self.taken:
                raise CorruptStream("the first frame has a past; the file is damaged")
            block = BLOCKS[way - 1]
            motion = clip.vectors.pop(stack, grid(*clip.size, block)), block
        pictures = []
        for number, part in enumerate(clip.parts):
            picture, past = part.of(frame), clip.past(number, motion)
            codes = popped_codes(stack, picture, past)
            coarsest = coarsest_of(part, picture)
            coarsest[...] = stack.pop_bytes(coarsest.size).reshape(coarsest.shape)

            def code(strip: Strip, params: np.ndarray, told: bool = part.told) -> None:
                if len(params):
                    green = strip.pixels()[:, 1] if told else None
                    strip.put(pop_pixels(stack, params, strip.sums, green))

            told = part_of(progress, number, 1, len(clip.parts))
            clip.lattice(part, picture, past, codes).run(units_of(picture), lambda strip, params: params, code, told)
            part.into(frame, picture)
            pictures.append(picture)
        stack.finish()
        clip.before, self.taken = pictures, self.taken + 1

    def preview(self) -> np.ndarray:
        """uint8 (frames · rows, W, C): the last frame that is there stands for those that are not."""
        frames = self.clip.frames
        if self.taken < len(frames):
            frames = frames.copy()
            frames[self.taken :] = frames[self.taken - 1]
        return frames.reshape(-1, *frames.shape[2:])

    def known(self) -> np.ndarray:
        """bool (frames · rows, W): the frames that are there."""
        T, rows, width = self.clip.frames.shape[:3]
        out = np.zeros((T * rows, width), bool)
        out[: self.taken * rows] = True
        return out


def popped_codes(stack: AnsStack, picture: np.ndarray, past: list[np.ndarray | None]) -> Codes:
    """Mirror of :func:`codes_of`."""
    colour, seen = picture.shape[2] == 3, past[0] is not None
    out: Codes = {}
    for level in side_levels(*picture.shape[:2]):
        told: list[int] = []
        for _ in range(1 + seen):
            popped = stack.pop_bits(np.full(1 + colour, CODE_BITS))
            told += [int(popped[0]), int(popped[1]) if colour else 0]
        out[level] = (*told[:2], *(told[2:] if seen else NO_PAST))
    return out
