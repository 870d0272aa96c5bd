"""SPEC.md §5.3, §5.4: frames of a clip over the lattice, each given others, by the network of NETWORKS.md §11."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .ans import TOTAL, Misses, Stack, pop_pixel
from .lattice import TARGETS, Network, base_of, edged, levels_of, passes_of, side_levels
from .learning import BAND, Layer, gradient
from .refused import refuse

RGB, YUV444, YUV420 = 0, 1, 2  # how planes are sampled
BLOCKS = (4, 8, 16)
FARTHEST = 8192
TAPS = (
    (0, 64, 0, 0), (-2, 58, 10, -2), (-4, 54, 16, -2), (-6, 46, 28, -4),
    (-4, 36, 36, -4), (-4, 28, 46, -6), (-2, 16, 54, -4), (-2, 10, 58, -2),
)  # fmt: skip


EDGES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
LINEAR = tuple((0, 64 - 8 * k, 8 * k, 0) for k in range(8))
SIX = (1, -5, 20, 20, -5, 1)
FIRST, SECOND, BOTH = range(3)


class FrameNetwork(Network):
    """Of architecture clip-ardm-1."""

    tables = ("luma", "chroma", "past_luma", "past_chroma", "kind")

    def run(self, *given: Any) -> np.ndarray:
        parameters = super().run(*given)
        h, w, count = parameters.shape
        q = parameters.reshape(h, w, 10, count // 10)
        green, red = q[:, :, 1].copy(), q[:, :, 2].copy()
        q[:, :, 2] -= (q[:, :, 7] * green) >> 8
        q[:, :, 3] -= (q[:, :, 8] * green + q[:, :, 9] * red) >> 8
        return parameters


def counted(stack: Stack, counts: list[int]) -> int:
    """A symbol of these counts, which follow it."""
    room, total = TOTAL - len(counts), sum(counts)
    symbol = stack.pop(lambda k: k + sum(counts[:k]) * room // total, len(counts))
    counts[symbol] += 24
    if sum(counts) > 2048:
        counts[:] = [count - count // 2 for count in counts]
    return symbol


def begun() -> list[int]:
    return [max(1, 64 >> k) for k in range(17)]


class Vectors:
    """Motion vectors, by frequencies that follow what came."""

    def __init__(self) -> None:
        self.counts = [begun() for _ in range(6)]

    def part(self, stack: Stack, counts: list[int]) -> int:
        size = counted(stack, counts)
        value = 0 if size == 0 else (1 << size - 1) + stack.pop_bits(size - 1)
        return -(value + 1) // 2 if value % 2 else value // 2

    def decode(self, stack: Stack, rows: int, columns: int) -> np.ndarray:
        """int (rows, columns, 2): down and right."""
        v = np.zeros((rows, columns, 2), int)
        for y in range(rows):
            for x in range(columns):
                for k in range(2):
                    if y and x:
                        near = v[y, x - 1, k], v[y - 1, x, k], v[y - 1, min(x + 1, columns - 1), k]
                        gap = abs(int(near[0] - near[1]))
                        apart, expected = (0 if gap == 0 else 1 if gap <= 4 else 2), int(sorted(near)[1])
                    else:
                        apart, expected = 1, int(v[y, x - 1, k] if x else v[y - 1, x, k] if y else 0)
                    v[y, x, k] = expected + self.part(stack, self.counts[3 * k + apart])
                    if abs(v[y, x, k]) > FARTHEST:
                        refuse("CorruptStream", "a motion vector that is too long")
        return v


def displaced(picture: np.ndarray, vectors: np.ndarray, block: int, unit: int, taps: Any = TAPS) -> np.ndarray:
    """``picture`` uint8 (H, W, C), moved by vectors of ``unit`` eighths of a pixel."""
    H, W, _ = picture.shape
    out, wide = np.empty_like(picture), picture.astype(int)
    for y in range(H):
        for x in range(W):
            down, right = (unit * int(v) for v in vectors[y // block, x // block])
            down, right = 8 * y + down, 8 * x + right
            rows = [min(max((down >> 3) + k, 0), H - 1) for k in range(-1, 3)]
            columns = [min(max((right >> 3) + k, 0), W - 1) for k in range(-1, 3)]
            part = wide[rows][:, columns]
            sums = np.einsum("i,ijc,j->c", np.array(taps[down & 7]), part, np.array(taps[right & 7]))
            out[y, x] = np.clip((sums + 2048) >> 12, 0, 255)
    return out


def past_cosets(grid: np.ndarray) -> list[np.ndarray]:
    even = edged(grid, (0, grid.shape[0] % 2), (0, grid.shape[1] % 2))
    return [even[y::2, x::2] for y, x in ((0, 0), *TARGETS)]


def enlarged(c: np.ndarray) -> list[np.ndarray]:
    wide = edged(c, (0, 1), (0, 1)).astype(int)
    here, right, below, across = wide[:-1, :-1], wide[:-1, 1:], wide[1:, :-1], wide[1:, 1:]
    means = (here + right + below + across + 2) // 4, (here + right + 1) // 2, (here + below + 1) // 2
    return [c, *(mean.astype(np.uint8) for mean in means)]


def small_luma(luma: np.ndarray) -> np.ndarray:
    """(h, w) means of four, of ``luma`` uint8 (H, 2 w)."""
    tall = np.pad(luma.astype(int), ((0, luma.shape[0] % 2), (0, 0)), mode="edge")
    return ((tall[0::2, 0::2] + tall[0::2, 1::2] + tall[1::2, 0::2] + tall[1::2, 1::2] + 2) // 4).astype(np.uint8)


def picture(
    stack: Stack,
    image: np.ndarray,
    past: list[np.ndarray | None],
    kind: int,
    told: bool,
    network: FrameNetwork,
    tables: list[Misses] | None = None,
    layers: list[Layer] | None = None,
) -> None:
    """Fills ``image`` uint8 (H, W, 1 or 3); of three planes whose G is told R and B.

    tables: of §5.4, by level. layers: what has been learned, by phase.
    """
    H, W, channels = image.shape
    sides: dict[int, tuple[int, ...]] = {}
    for level in side_levels(H, W):
        codes = [stack.pop_bits(4) if k % 2 == 0 or channels == 3 else 0 for k in range(2 if past[0] is None else 4)]
        sides[level] = (*codes, *((17, 17) if past[0] is None else ()))
    stride = 1 << levels_of(H, W)
    coded = (0, 2) if told else range(channels)
    for y in range(0, H, stride):
        for x in range(0, W, stride):
            for k in coded:
                image[y, x, k] = stack.pop_bits(8)
    for level, phase in (unit for units in passes_of(H, W) for unit in units):
        s = 1 << level
        if phase == 0:
            known = [image[:: 2 * s, :: 2 * s].copy()]
            seen = [c for p in past for c in (enlarged(known[0]) if p is None else past_cosets(p[::s, ::s]))]
        base, (y0, x0) = base_of(known, phase), TARGETS[phase]
        unsent = (16, 16, *((17, 17) if past[0] is None else (16, 16)))
        parameters = network.run(known, phase, level, (*sides.get(level, unsent), kind), seen)
        target = image[::s, ::s][y0::2, x0::2]  # a view
        finest = tables is not None and level < 3
        correction = 3 * (stack.pop_bits(3) - 2) if finest and target.size else 0
        near = None
        if finest and past[0] is not None:
            pairs = zip(known, seen[: 1 + phase], strict=True)
            missed = base_of([np.abs(a.astype(int) - b).astype(np.uint8) for a, b in pairs], phase)
        layer = layers[phase] if layers else None
        step = max(1, BAND // known[0].shape[1]) if layer else max(1, target.shape[0])
        for top in range(0, target.shape[0] if target.size else 0, step):
            band = slice(top, min(target.shape[0], top + step)), slice(0, target.shape[1])
            found = parameters[band].reshape(-1, parameters.shape[2])
            if layer:
                inputs = layer.inputs(network.head[band].reshape(len(found), -1))
                found = layer.params(found, inputs)
            every = found.reshape(len(found), 10, -1)
            used = every.copy()
            used[:, 4:7] += correction
            for n, rows in enumerate(used.tolist()):
                y, x = top + n // target.shape[1], n % target.shape[1]
                green = int(target[y, x, 1]) if told else None
                if tables is not None and finest and past[0] is not None:
                    contexts = [bisect_right(EDGES, int(sum_)) for sum_ in missed[y, x]]
                    near = tables[level], contexts, seen[1 + phase][y, x].tolist()
                target[y, x] = pop_pixel(stack, rows, base[y, x].tolist(), None, green, near)
                if near is not None:
                    near[0].pixel_done()
            if layer:
                sums, pixels = (one[band].reshape(len(found), -1).tolist() for one in (base, target))
                steps = [gradient(*one) for one in zip(every.tolist(), sums, pixels, strict=True)]
                layer.learn(inputs, np.array(steps))
        whole = ((base + 2) >> 2).astype(np.uint8)
        whole[: target.shape[0], : target.shape[1]] = target
        known.append(whole)


def checked(
    params: bytes, passes: list[bytes], shape: tuple[int, int, int], frames: int
) -> tuple[int, int, int, int]:
    """(how planes are sampled, rows of a frame, its width, rows of its first picture)."""
    height, W, channels = shape
    rows, rest = divmod(height, frames)
    H = rows * 2 // 3 if params[0] == YUV420 else rows
    if params not in (b"\0", b"\1", b"\2") or rest or channels != (1 if params[0] == YUV420 else 3):
        refuse("CorruptStream", "the parameters of a clip")
    if params[0] == YUV420 and (W % 2 or H + (H + 1) // 2 != rows):
        refuse("CorruptStream", "the size of a clip of 4:2:0")
    if len(passes) != frames:
        refuse("CorruptStream", f"{len(passes)} passes of {frames} frames")
    return params[0], rows, W, H


def frame(
    stack: Stack,
    out: np.ndarray,
    H: int,
    sampling: int,
    past: Callable[[int], list[np.ndarray | None]],
    network: FrameNetwork,
    tables: Callable[[int], list[Misses] | None],
    layers: Sequence[list[Layer] | None] = (None, None),
) -> list[np.ndarray]:
    """The pictures of a frame, which ``out`` is filled with; ``past``, ``tables`` and ``layers`` of each by number."""
    rows, W, _ = out.shape
    if sampling == YUV420:
        luma = np.zeros((H, W, 1), np.uint8)
        picture(stack, luma, past(0), 1, False, network, tables(0), layers[0])
        chroma = np.zeros((rows - H, W // 2, 3), np.uint8)
        chroma[..., 1] = small_luma(luma[..., 0])
        picture(stack, chroma, past(1), 2, True, network, tables(1), layers[1])
        out[:H], out[H:, : W // 2, 0], out[H:, W // 2 :, 0] = luma, chroma[..., 0], chroma[..., 2]
        return [luma, chroma]
    image = np.zeros((rows, W, 3), np.uint8)
    picture(stack, image, past(0), 2 if sampling == YUV444 else 0, False, network, tables(0), layers[0])
    out[...] = image[..., [1, 0, 2]] if sampling == YUV444 else image
    return [image]


def decode(
    params: bytes, passes: list[bytes], shape: tuple[int, int, int], frames: int, tensors: dict[str, np.ndarray], R: int
) -> np.ndarray:
    """The photo planes, of a network that is given ``R`` pictures."""
    sampling, rows, W, H = checked(params, passes, shape, frames)
    out, network, vectors = np.zeros((frames, rows, W, shape[2]), np.uint8), FrameNetwork(tensors), Vectors()
    before: list[np.ndarray] = []
    for t, payload in enumerate(passes):
        stack, motion = Stack(payload), None
        way = stack.pop_bits(2)
        if way:
            if not t:
                refuse("CorruptStream", "a first frame with a past")
            block = BLOCKS[way - 1]
            motion = vectors.decode(stack, -(-H // block), -(-W // block))
        past: list[list[np.ndarray | None]] = [[None] * R] * 2
        if motion is not None:
            moved = [displaced(one, motion, block >> n, 2 >> n) for n, one in enumerate(before)]
            past = [[shifted, one][:R] for shifted, one in zip(moved, before, strict=True)]
        before = frame(stack, out[t], H, sampling, past.__getitem__, network, lambda i: None)
        stack.finish()
    return out.reshape(shape)


# ---- §5.4


class Fields:
    """Motion from one or two frames, in blocks of three sizes, by frequencies that follow what came."""

    def __init__(self) -> None:
        self.splits, self.sources = [[8, 8] for _ in range(6)], [[8, 8, 8] for _ in range(9)]
        self.coders = [Vectors(), Vectors()]

    def decode(self, stack: Stack, rows: int, columns: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Sources (rows, columns) and vectors (frames, rows, columns, 2) of units of 4 pixels a side."""
        self.size, self.source = np.zeros((rows, columns), int), np.zeros((rows, columns), int)
        self.v, self.stack, self.shape = np.zeros((frames, rows, columns, 2), int), stack, (rows, columns)
        for y in range(0, rows, 4):
            for x in range(0, columns, 4):
                self.node(y, x, 4)
        return self.source, self.v

    def node(self, y: int, x: int, size: int) -> None:
        rows, columns = self.shape
        if y >= rows or x >= columns:
            return
        if size > 1:
            beside = [self.size[y, x - 1]] * (x > 0) + [self.size[y - 1, x]] * (y > 0)
            smaller = sum(int(one) < size for one in beside)
            if counted(self.stack, self.splits[smaller + (3 if size == 2 else 0)]):
                half = size // 2
                for i, j in ((0, 0), (0, half), (half, 0), (half, half)):
                    self.node(y + i, x + j, half)
                return
        source, block = FIRST, (slice(y, y + size), slice(x, x + size))
        if len(self.v) == 2:
            left = int(self.source[y, x - 1]) if x else BOTH
            above = int(self.source[y - 1, x]) if y else BOTH
            source = counted(self.stack, self.sources[3 * left + above])
        for f, v in enumerate(self.v):
            far = x + size if x + size < columns and y and self.size[y - 1, x + size] else x - 1
            for k in range(2):
                gap, expected = 1, int(v[y, x - 1, k] if x else v[y - 1, x, k] if y else 0)
                if y and x:
                    near = int(v[y, x - 1, k]), int(v[y - 1, x, k]), int(v[y - 1, far, k])
                    apart, expected = abs(near[0] - near[1]), sorted(near)[1]
                    gap = 0 if apart == 0 else 1 if apart <= 4 else 2
                if source in (f, BOTH):
                    expected += self.coders[f].part(self.stack, self.coders[f].counts[3 * k + gap])
                    if abs(expected) > FARTHEST:
                        refuse("CorruptStream", "a motion vector that is too long")
                v[(*block, k)] = expected
        self.size[block], self.source[block] = size, source


def by_halves(picture: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """``picture`` moved by vectors of units of 4 pixels, in quarters, with H.264's six taps."""
    H, W, C = picture.shape
    wide, out = picture.astype(int), np.empty_like(picture)
    for y in range(H):
        for x in range(W):
            v, u = 4 * y + int(vectors[y // 4, x // 4, 0]), 4 * x + int(vectors[y // 4, x // 4, 1])
            for c in range(C):

                def at(i: int, j: int, c: int = c, y: int = v >> 2, x: int = u >> 2) -> int:
                    return int(wide[min(max(y + i, 0), H - 1), min(max(x + j, 0), W - 1), c])

                def half(i: int, j: int, right: bool, at: Any = at) -> int:
                    taps = [at(i, j + k - 2) if right else at(i + k - 2, j) for k in range(6)]
                    return min(max(sum(a * b for a, b in zip(SIX, taps, strict=True)) + 16 >> 5, 0), 255)

                down, right = v & 3, u & 3
                G, b, h = at(down == 3, right == 3), half(down == 3, 0, True), half(0, right == 3, False)
                total = sum(SIX[i] * SIX[j] * at(i - 2, j - 2) for i in range(6) for j in range(6))
                j = min(max(total + 512 >> 10, 0), 255)
                # by quarters down, then right
                ways = (
                    ((G, G), (G, b), (b, b), (G, b)),
                    ((G, h), (b, h), (b, j), (b, h)),
                    ((h, h), (h, j), (j, j), (h, j)),
                    ((G, h), (b, h), (b, j), (b, h)),
                )
                one, two = ways[down][right]
                out[y, x, c] = one + two + 1 >> 1
    return out


def order_of(frames: int, step: int) -> list[int]:
    def middles(a: int, b: int) -> list[int]:
        m = (a + b) // 2
        return [m, *middles(a, m), *middles(m, b)] if b - a > 1 else []

    out = [0]
    for start in range(0, frames - 1, step):
        end = start + step
        out += [end, *middles(start, end)] if end < frames else range(start + 1, frames)
    return out


def past_of(
    stack: Stack, given: list[list[np.ndarray]], moved: list[list[np.ndarray]], sources: Any, R: int, i: int
) -> list[np.ndarray | None]:
    """What picture ``i`` is given, of the pictures of its sources and of these displaced."""
    if not given:
        return [None] * R
    if len(given) == 1:
        return [moved[i][0], given[0][i]][:R]
    other = stack.pop_bits(2)
    a, b = moved[i]
    h, w = a.shape[:2]
    where = sources.repeat(4 >> i, 0).repeat(4 >> i, 1)[:h, :w, None]
    both = ((a.astype(int) + b + 1) // 2).astype(np.uint8)
    return [np.choose(where, [a, b, both]), (b, a, given[0][i], given[1][i])[other]][:R]


def decode_between(
    params: bytes, passes: list[bytes], shape: tuple[int, int, int], frames: int, tensors: dict[str, np.ndarray], R: int
) -> np.ndarray:
    """The photo planes, of a network that is given ``R`` pictures."""
    if len(params) != 2 or params[1] > 4:
        refuse("CorruptStream", "the parameters of a clip")
    sampling, rows, W, H = checked(params[:1], passes, shape, frames)
    out, network, fields = np.zeros((frames, rows, W, shape[2]), np.uint8), FrameNetwork(tensors), Fields()
    tables: dict[tuple[int, bool], list[Misses]] = defaultdict(lambda: [Misses() for _ in range(3)])
    done: dict[int, list[np.ndarray]] = {}
    _, C, outputs = tensors["0.head.weight"].shape
    layers = [[Layer(C, outputs // 10) for _ in range(3)] for _ in range(2)]
    for t, payload in zip(order_of(frames, 1 << params[1]), passes, strict=True):
        stack = Stack(payload)
        count = stack.pop_bits(2)
        near, others, moved = sorted(done, key=lambda one: (abs(one - t), one))[:16], list[int](), [[], []]
        for _ in range(count):
            place = stack.pop_bits(4)
            if count > 2 or place >= len(near):
                refuse("CorruptStream", "a frame is seen in one that is not there")
            others.append(near[place])
        if count:
            six = stack.pop_bits(1)
            sources, vectors = fields.decode(stack, -(-H // 4), -(-W // 4), count)
            for i in range(len(done[others[0]])):
                for f, other in enumerate(others):
                    one = done[other][i]
                    if six and not i:
                        moved[i].append(by_halves(one, vectors[f]))
                    else:
                        moved[i].append(displaced(one, vectors[f], 4 >> i, 2 >> i, LINEAR if six else TAPS))

        given = [done[other] for other in others]
        past = functools.partial(past_of, stack, given, moved, sources if count == 2 else None, R)
        middle = count > 0 and min(others) < t < max(others)
        done[t] = frame(stack, out[t], H, sampling, past, network, lambda i, middle=middle: tables[i, middle], layers)
        stack.finish()
    return out.reshape(shape)
