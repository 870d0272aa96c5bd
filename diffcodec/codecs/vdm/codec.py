"""VDM bits-back (arXiv 2107.00630 §5.4 and app. N; Bit-Swap, arXiv 1905.06845): many pictures without loss.

The chain z_0, ..., z_T of log-SNRs that fall is a latent-variable model of the picture. The sender pops its latents
from the stack of all that was coded before, by q, and pushes them again by p:

    q(z_0|x), then for i = 0..T-1: q(z_{i+1}|z_i)        bits that come back to the receiver
    p(x|z_0), p(z_i|z_{i+1}), at last p(z_T)              bits that are spent

so that a picture costs its variational bound. The forward process q(z_{i+1}|z_i) does not know x, so a latent is
pushed as soon as the next one is popped, and only z_0 and z_1 have to be there before: the initial bits. Whatever lies
on the stack serves: the caller starts it with pictures that another codec made.

Latents lie on a grid of their own step, 1/4 of the narrower Gaussian they are coded with. p(z_i|z_{i+1}) has the
variance of q(z_i|z_{i+1}, x) and that of x about x_hat, which a profile of the model's errors in the stream tells:
what the bound gains by it grows as T falls.

With a network in integers (`models.unet_exact`) the codec is exact: any machine decodes what any other encoded. With a
float network it is pinned: sender and receiver must be one kind of machine, on one thread, with the stream's batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...entropy import gaussian, window
from ...entropy.stack import AnsStack
from ...models.environment import numerics_of
from ...models.protocols import DiffusionModel
from ...runtime.errors import CorruptStream, InputError
from ...runtime.progress import Progress
from ...runtime.progress import part as part_of
from ..diffc.remainder import LEVELS
from .chain import Chain
from .schedule import Schedule, as_images

BATCH_PIXELS = 8192  #: of a network call
MAX_BATCH_PIXELS = 2**21  #: of a network call, unless it is of one picture: what a reader must have the memory for
INITIAL_BITS = 11.0  #: per sample, with which a chain may begin
GROWTH_BITS = 2.0  #: per sample, by which a picture is taken to lengthen a chain
_SENTINEL = b"\1"  # above the initial bits, which may end in zeros


def batches(shapes: Sequence[tuple[int, int]], initial_bits: int, largest: int | None = None) -> list[int]:
    """How many pictures each call takes: as many neighbours of one size as the bits before them can begin a chain for.

    ``shapes`` (height, width) in coding order; ``largest`` is the most, None by BATCH_PIXELS; a format's limit is
    MAX_BATCH_PIXELS. A chain of few pictures grows by what each adds, taken as 2 bits per sample. Returns the sizes,
    whose sum is the number of pictures.
    """
    out: list[int] = []
    at, bits = 0, float(initial_bits)
    while at < len(shapes):
        samples = 3 * shapes[at][0] * shapes[at][1]
        most = max(1, BATCH_PIXELS * 3 // samples) if largest is None else largest
        most = min(most, max(1, MAX_BATCH_PIXELS * 3 // samples))
        fits = max(1, int(bits / (INITIAL_BITS * samples)))
        same = next((k for k in range(at, len(shapes)) if shapes[k] != shapes[at]), len(shapes)) - at
        out.append(min(most, fits, same))
        at += out[-1]
        bits += GROWTH_BITS * samples * out[-1]
    return out


def encode(
    photos: Sequence[np.ndarray],
    sizes: Sequence[int],
    model: DiffusionModel,
    schedule: Schedule,
    initial: bytes,
    *,
    progress: Progress | None = None,
) -> bytes:
    """The stack after ``photos`` uint8 (H, W, 3), on top of ``initial``; ``sizes`` as from :func:`batches`.

    Raises InputError for steps that lie too close.
    """
    chain = Chain(model, schedule)
    if not chain.narrow:
        raise InputError(f"{chain.T} diffusion steps lie too close: take fewer")
    stack = AnsStack.from_bytes(initial + _SENTINEL)
    with numerics_of(model):
        at = 0
        for number, size in enumerate(sizes):
            part = part_of(progress, number, 1, len(sizes))
            _push_batch(stack, chain, np.stack(photos[at : at + size]), part)
            at += size
    return stack.to_bytes()


def check(schedule: Schedule) -> None:
    """Raises CorruptStream for a schedule that nothing can be decoded by, whatever the model."""
    if not Chain(None, schedule).narrow:
        raise CorruptStream("the steps of the archive's diffusion schedule cannot be coded; the file is damaged")


def decode(
    payload: bytes,
    shapes: Sequence[tuple[int, int]],
    sizes: Sequence[int],
    model: DiffusionModel,
    schedule: Schedule,
    *,
    progress: Progress | None = None,
) -> tuple[list[np.ndarray], bytes]:
    """(photos, initial bytes): the mirror of :func:`encode`, of pictures (height, width). Raises CorruptStream."""
    chain = Chain(model, schedule)
    stack = AnsStack.from_bytes(payload)
    photos: list[np.ndarray] = []
    with numerics_of(model):
        at = len(shapes)
        for number, size in enumerate(reversed(sizes)):
            at -= size
            shape = (size, 3, *shapes[at])
            photos[:0] = _pop_batch(stack, chain, shape, part_of(progress, number, 1, len(sizes)))
    initial = stack.to_bytes()
    if not initial.endswith(_SENTINEL):
        raise CorruptStream("the bits under the first picture of a group are not those it began with")
    return photos, initial[: -len(_SENTINEL)]


def _push_batch(stack: AnsStack, chain: Chain, photos: np.ndarray, progress: Progress | None) -> None:
    levels = as_images(photos)
    shape = tuple(levels.shape)
    x = levels.numpy().ravel().astype(np.float64) / 127.5 - 1
    z = window.pop(stack, chain.q_first(x), chain.q_std[0] / chain.cell[0], open_ended=False)
    stack.push_intervals(*gaussian.intervals(levels.numpy().ravel().astype(np.int64), *chain.px(z, shape), LEVELS))
    for i in range(chain.T):
        z_next = window.pop(stack, chain.q_next(z, i), chain.q_std[i + 1] / chain.cell[i + 1], open_ended=False)
        window.push(stack, z, chain.p(z_next, i, shape), chain.p_std[i] / chain.cell[i], open_ended=True)
        z = z_next
        if progress:
            progress((i + 1) / chain.T)
    window.push(stack, z, np.zeros(z.size, np.int64), chain.p_std[-1] / chain.cell[-1], open_ended=True)


def _pop_batch(stack: AnsStack, chain: Chain, shape: tuple[int, ...], progress: Progress | None) -> list[np.ndarray]:
    zeros = np.zeros(math.prod(shape), np.int64)
    z = window.pop(stack, zeros, chain.p_std[-1] / chain.cell[-1], open_ended=True)
    for i in reversed(range(chain.T)):
        z_next, z = z, window.pop(stack, chain.p(z, i, shape), chain.p_std[i] / chain.cell[i], open_ended=True)
        window.push(stack, z_next, chain.q_next(z, i), chain.q_std[i + 1] / chain.cell[i + 1], open_ended=False)
        if progress:
            progress(1 - i / chain.T)
    levels = gaussian.pop(stack, *chain.px(z, shape), LEVELS).astype(np.float64)
    window.push(stack, z, chain.q_first(levels / 127.5 - 1), chain.q_std[0] / chain.cell[0], open_ended=False)
    return [np.ascontiguousarray(p) for p in levels.astype(np.uint8).reshape(shape).transpose(0, 2, 3, 1)]
