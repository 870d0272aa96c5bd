"""SPEC.md §5.3: frames of a clip over the lattice, each given the one before, by the network of NETWORKS.md §11."""

from __future__ import annotations

from typing import Any

import numpy as np

from .ans import TOTAL, Stack, pop_pixel
from .lattice import TARGETS, Network, base_of, edged, levels_of, passes_of, side_levels
from .refused import refuse

RGB, YUV444, YUV420 = 0, 1, 2  # how planes are sampled
BLOCKS = (4, 8, 16)
FARTHEST = 8192
TAPS = (
    (0, 64, 0, 0), (-2, 58, 10, -2), (-4, 54, 16, -2), (-6, 46, 28, -4),
    (-4, 36, 36, -4), (-4, 28, 46, -6), (-2, 16, 54, -4), (-2, 10, 58, -2),
)  # fmt: skip


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


class Vectors:
    """Motion vectors, by frequencies that follow what came."""

    def __init__(self) -> None:
        self.counts = [[max(1, 64 >> k) for k in range(17)] for _ in range(6)]

    def part(self, stack: Stack, counts: list[int]) -> int:
        room, total = TOTAL - 17, sum(counts)
        size = stack.pop(lambda k: k + sum(counts[:k]) * room // total, 17)
        counts[size] += 24
        if sum(counts) > 2048:
            counts[:] = [count - count // 2 for count in counts]
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


def displaced(picture: np.ndarray, vectors: np.ndarray, block: int, unit: int) -> np.ndarray:
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
            sums = np.einsum("i,ijc,j->c", np.array(TAPS[down & 7]), part, np.array(TAPS[right & 7]))
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
    stack: Stack, image: np.ndarray, past: list[np.ndarray | None], kind: int, told: bool, network: FrameNetwork
) -> None:
    """Fills ``image`` uint8 (H, W, 1 or 3); of three planes whose G is told R and B."""
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
        for y in range(target.shape[0]):
            for x in range(target.shape[1]):
                rows = parameters[y, x].reshape(10, -1).tolist()
                green = int(target[y, x, 1]) if told else None
                target[y, x] = pop_pixel(stack, rows, base[y, x].tolist(), None, green)
        whole = ((base + 2) >> 2).astype(np.uint8)
        whole[: target.shape[0], : target.shape[1]] = target
        known.append(whole)


def decode(
    params: bytes, passes: list[bytes], shape: tuple[int, int, int], frames: int, tensors: dict[str, np.ndarray], R: int
) -> np.ndarray:
    """The photo planes, of a network that is given ``R`` pictures."""
    height, W, channels = shape
    rows, rest = divmod(height, frames)
    H = rows * 2 // 3 if params[0] == YUV420 else rows
    if params not in (b"\0", b"\1", b"\2") or rest or channels != (1 if params[0] == YUV420 else 3):
        refuse("CorruptStream", "the parameters of a clip")
    if params[0] == YUV420 and (W % 2 or H + (H + 1) // 2 != rows):
        refuse("CorruptStream", "the size of a clip of 4:2:0")
    if len(passes) != frames:
        refuse("CorruptStream", f"{len(passes)} passes of {frames} frames")
    out, network, vectors = np.zeros((frames, rows, W, channels), np.uint8), FrameNetwork(tensors), Vectors()
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
        if params[0] == YUV420:
            luma = np.zeros((H, W, 1), np.uint8)
            picture(stack, luma, past[0], 1, False, network)
            chroma = np.zeros((rows - H, W // 2, 3), np.uint8)
            chroma[..., 1] = small_luma(luma[..., 0])
            picture(stack, chroma, past[1], 2, True, network)
            out[t, :H], out[t, H:, : W // 2, 0], out[t, H:, W // 2 :, 0] = luma, chroma[..., 0], chroma[..., 2]
            before = [luma, chroma]
        else:
            image = np.zeros((rows, W, 3), np.uint8)
            picture(stack, image, past[0], 2 if params[0] == YUV444 else 0, False, network)
            out[t] = image[..., [1, 0, 2]] if params[0] == YUV444 else image
            before = [image]
        stack.finish()
    return out.reshape(shape)
