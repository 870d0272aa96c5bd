"""The residual blocks of the float U-Net on CPU by Winograd's minimal filtering F(4x4, 3x3): a quarter of the products.

Lavin & Gray, arXiv 1509.09308, §4.3, whose matrices B, G and A these are. A tile of 4x4 outputs is A^T [(G g G^T) *
(B^T d B)] A with * elementwise; over many tiles and all channels the elementwise products are 36 matrix products.
Rounding is some ten times that of the direct sum, 1e-5 of the outputs' scale: for tolerant models only. The numbers do
not depend on how many threads there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, no_type_check

import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.kernels import inlined, njit
from ..protocols import single_threaded
from .net import ResBlock

Floats = np.ndarray[Any, Any]

TILES = 96  #: that are transformed at once: their 36 products per channel stay in a core's cache
POINTS = 4096  #: that are normalised at once

_G = (
    torch.tensor(
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64, device="cpu"
    )
    / 24
)
_ZERO, _ONE, _TWO, _FOUR, _FIVE, _EIGHT = (np.float32(v) for v in (0, 1, 2, 4, 5, 8))
_HALF, _THIRD, _QUARTER, _FIFTH, _SIXTH = (np.float32(1 / v) for v in (2, 3, 4, 5, 6))
_LOG2_E, _LN_2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
_FAR, _BIAS = np.float32(87), np.float32(127)  # exp of more is no number; of float32's exponents
_EPS = np.float32(1e-5)  # of the normalisation, as in torch


@inlined
def _silu(x):
    """x / (1 + exp(-x)), exp by its series about a power of two: written out so that it vectorises."""
    t = min(max(-x, -_FAR), _FAR)
    n = np.rint(t * _LOG2_E)
    r = t - n * _LN_2
    series = _ONE + r * _SIXTH
    series = _ONE + r * _FIFTH * series
    series = _ONE + r * _QUARTER * series
    series = _ONE + r * _THIRD * series
    series = _ONE + r * _HALF * series
    series = _ONE + r * series
    return x / (_ONE + series * np.int32(np.int32(n + _BIAS) << np.int32(23)).view(np.float32))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})
@no_type_check
def _normalised(x, scale, shift, y):
    """silu(scale norm(x) + shift), the norm over the channels of a point; ``x``, ``y`` (points, C)."""
    C = np.float32(x.shape[1])
    for n in range(x.shape[0]):
        total, squares = _ZERO, _ZERO
        for c in range(x.shape[1]):
            total += x[n, c]
        mean = total / C
        for c in range(x.shape[1]):
            squares += (x[n, c] - mean) * (x[n, c] - mean)
        spread = _ONE / np.sqrt(squares / C + _EPS)
        for c in range(x.shape[1]):
            y[n, c] = _silu((x[n, c] - mean) * spread * scale[c] + shift[c])


@inlined
def _inner(a, b, c, d, e, f):
    """B^T of six numbers."""
    p, q, r, s = e - _FOUR * c, d - _FOUR * b, e - c, _TWO * (d - b)
    return _FOUR * a - _FIVE * c + e, p + q, p - q, r + s, r - s, _FOUR * b - _FIVE * d + f


@inlined
def _outer(a, b, c, d, e, f):
    """A^T of six numbers."""
    p, q, r, s = b + c, b - c, d + e, d - e
    return a + p + r, q + _TWO * s, p + _FOUR * r, q + _EIGHT * s + f


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _into_products(x, first, products):
    """B^T d B of the tiles from number ``first`` on; ``x`` (N, H, W, C), ``products`` (36, tiles, C)."""
    H, W, C = x.shape[1:]
    down, across = (H + 3) // 4, (W + 3) // 4
    tile, half = np.empty((6, 6, C), np.float32), np.empty((6, 6, C), np.float32)
    for t in range(products.shape[1]):
        picture, place = divmod(first + t, down * across)
        top, left = 4 * (place // across) - 1, 4 * (place % across) - 1
        for i in range(6):
            for j in range(6):
                if 0 <= top + i < H and 0 <= left + j < W:
                    for c in range(C):
                        tile[i, j, c] = x[picture, top + i, left + j, c]
                else:
                    tile[i, j] = 0
        for j in range(6):
            for c in range(C):
                half[0, j, c], half[1, j, c], half[2, j, c], half[3, j, c], half[4, j, c], half[5, j, c] = _inner(
                    tile[0, j, c], tile[1, j, c], tile[2, j, c], tile[3, j, c], tile[4, j, c], tile[5, j, c]
                )
        for i in range(6):
            row, k = half[i], 6 * i
            for c in range(C):
                p, q, r, s, u, v = _inner(row[0, c], row[1, c], row[2, c], row[3, c], row[4, c], row[5, c])
                products[k, t, c], products[k + 1, t, c], products[k + 2, t, c] = p, q, r
                products[k + 3, t, c], products[k + 4, t, c], products[k + 5, t, c] = s, u, v


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _from_products(sums, bias, first, activated, y):
    """Mirror of :func:`_into_products`: A^T m A plus ``bias``; ``sums`` (36, tiles, C), ``y`` (N, H, W, C).

    ``y`` becomes silu of that where ``activated``; else that is added to it.
    """
    H, W, C = y.shape[1:]
    down, across = (H + 3) // 4, (W + 3) // 4
    half, tile = np.empty((4, 6, C), np.float32), np.empty((4, C), np.float32)
    for t in range(sums.shape[1]):
        picture, place = divmod(first + t, down * across)
        top, left = 4 * (place // across), 4 * (place % across)
        for j in range(6):
            for c in range(C):
                half[0, j, c], half[1, j, c], half[2, j, c], half[3, j, c] = _outer(
                    sums[j, t, c],
                    sums[6 + j, t, c],
                    sums[12 + j, t, c],
                    sums[18 + j, t, c],
                    sums[24 + j, t, c],
                    sums[30 + j, t, c],
                )
        for i in range(min(4, H - top)):
            row = half[i]
            for c in range(C):
                tile[0, c], tile[1, c], tile[2, c], tile[3, c] = _outer(
                    row[0, c], row[1, c], row[2, c], row[3, c], row[4, c], row[5, c]
                )
            for j in range(min(4, W - left)):
                source, out = tile[j], y[picture, top + i, left + j]
                if activated:
                    for c in range(C):
                        out[c] = _silu(source[c] + bias[c])
                else:
                    for c in range(C):
                        out[c] += source[c] + bias[c]


class _Convolution:
    """3x3 with a margin of 1."""

    def __init__(self, conv: nn.Conv2d):
        assert conv.bias is not None
        weight = torch.einsum("ia,ocab,jb->ijco", _G, conv.weight.detach().double(), _G)
        self.weight = weight.flatten(0, 1).float().contiguous()  # (36, C, outputs)
        self.bias = conv.bias.detach().float().numpy()

    def __call__(self, x: np.ndarray, activated: bool, y: np.ndarray) -> None:
        """Into ``y`` as `_from_products` says; both (N, H, W, C)."""
        tiles = len(x) * -(-x.shape[1] // 4) * -(-x.shape[2] // 4)

        def run(first: int) -> None:
            products = torch.empty(36, min(TILES, tiles - first), x.shape[3], dtype=torch.float32)
            _into_products(x, first, products.numpy())
            _from_products(torch.bmm(products, self.weight).numpy(), self.bias, first, activated, y)

        _side_by_side(run, range(0, tiles, TILES))


class CpuBlock(nn.Module):
    """What ``block`` gives for float32 (N, C, H, W), channels last, to rounding; no gradients."""

    def __init__(self, block: ResBlock):
        super().__init__()
        self.film = block.film
        self._conv1, self._conv2 = _Convolution(block.conv1), _Convolution(block.conv2)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """As the block's, in float32 whatever it is given."""
        with torch.autocast("cpu", enabled=False):  # the kernels know float32 only
            return self._run(x.float(), e.float())

    def _run(self, x: Tensor, e: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1).contiguous()
        scale, shift = (t.numpy() for t in self.film(e).chunk(2, -1))
        normalised, activated, out = torch.empty_like(x), torch.empty_like(x), x.clone()
        for source, a, b, target in zip(
            x.flatten(1, 2).numpy(), 1 + scale, shift, normalised.flatten(1, 2).numpy(), strict=True
        ):

            def run(
                at: int, source: Floats = source, a: Tensor = a, b: Floats = b, target: Floats = target
            ) -> None:
                _normalised(source[at : at + POINTS], a, b, target[at : at + POINTS])

            _side_by_side(run, range(0, len(source), POINTS))
        self._conv1(normalised.numpy(), True, activated.numpy())
        self._conv2(activated.numpy(), False, out.numpy())
        return out.permute(0, 3, 1, 2)


def _side_by_side(run: Callable[[int], None], parts: range) -> None:
    """``run`` of each part, in as many threads as torch has."""
    threads = torch.get_num_threads()
    for _ in _pool(threads).map(run, parts) if threads > 1 and len(parts) > 1 else map(run, parts):
        pass


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, initializer=single_threaded)


if hasattr(os, "register_at_fork"):  # a forked child has the pool, and none of its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
