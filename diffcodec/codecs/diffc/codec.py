"""DiffC (arXiv 2206.08889): lossy at any rate, progressive, by reverse-channel coding of a Gaussian diffusion.

Sender and receiver hold the same z_t. A pass brings both to the same, less noisy z_s ~ q(z_s|z_t, x): the sender says,
in about KL(q || p) bits, which of the receiver's own unit noises added to p(z_s|z_t) comes out as if x were known.
How far a pass goes (its step in log-SNR) and how many bits it takes are in the stream, so no number that a network
computed decides how bits are read, and another device changes the picture by rounding only.

A payload holds whole passes. It grows with what lies before it, so that previews are evenly spaced and their frame
costs little.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from ...entropy.context import coder as context
from ...models.calibration import Calibration
from ...models.environment import environment
from ...models.protocols import DiffusionModel
from ...runtime.errors import CorruptStream, InputError, ModelMismatch, Truncated
from ...runtime.progress import Progress, end
from ..codec import Head, Room
from ..codec import Receiver as AnyReceiver
from ..cost import EXTRA_PLANES
from ..reconstruction import DEFAULT, Reconstruction
from . import passes, remainder
from .chain import Chain, shown
from .cost import EXACT, LOSSY, METHODS, steps
from .effort import EFFORT, EFFORTS, Effort
from .rate import Sender
from .spread import UNIT, Narrow, Spread, Wide, less

_REMAINDER = b"\0\0"  # no bits and no step: a pass that cannot be, before the remainder


def encode(
    photo: np.ndarray,
    extra: np.ndarray,
    model: DiffusionModel,
    room: Room,
    seed: int,
    *,
    progress: Progress | None = None,
    effort: Effort = EFFORTS[EFFORT],
    calibration: Calibration | None = None,
) -> tuple[bytes, list[bytes], Chain]:
    """Parameters and payloads of ``photo`` uint8 (H, W, 1 or 3), and ``extra`` uint8 (H, W, E) without loss.

    And the chain at their end. With a room for the exact picture it follows the last pass. Of pixels that the room says
    nobody sees, colours take no bits and do not count in a PSNR. ``effort``: steps and states; ``calibration``: of the
    model, where passes lie. Raises InputError if the wish cannot be met, ModelMismatch for another's calibration.
    """
    if photo.shape[2] not in (1, 3):
        raise InputError(f"diffc codes 1 or 3 photo planes, found {photo.shape[2]}")
    if not model.pixels and room.exact:
        raise InputError(f"'{model.name}' sees no pixels: ask for a rate, or code without loss (codec ardm)")
    if extra.shape[2] > EXTRA_PLANES:
        raise InputError(f"diffc codes up to {EXTRA_PLANES} planes beside the colours, found {extra.shape[2]}")
    sender = Sender(photo, model, room, seed, effort, calibration)
    if extra.shape[2]:
        sender.put_extra(context.encode_planes(extra))
    sender.run(progress)
    end(progress)
    if not room.exact:
        return bytes([LOSSY, effort.L]), sender.payloads, sender.chain
    sender.payloads.append(_REMAINDER + remainder.encode(photo, _expected(sender.chain, photo.shape)))
    return bytes([EXACT, effort.L]) + environment(sender.chain.z.device.type).encode(), sender.payloads, sender.chain


def _expected(chain: Chain, shape: tuple[int, ...]) -> np.ndarray:
    """x_hat float32 (H, W, C) of the last z_t, for the remainder of a picture of that shape."""
    x_hat = chain.x_hat()[0].permute(1, 2, 0).cpu().numpy()
    return x_hat[: shape[0], : shape[1], : shape[2]]


class Receiver(AnyReceiver):
    """The mirror of the sender: takes payloads as they come and shows a picture after any of them."""

    def __init__(self, head: Head, model: DiffusionModel):
        params = head.params
        method = METHODS.get(params[0]) if len(params) >= 2 else None
        told = method is not None and (method.exact or len(params) == 2)
        if method is None or not told or not 3 <= params[1] <= 14 or head.photo not in (1, 3):
            raise CorruptStream(f"codec parameters {params[:4].hex()} are not those of diffc; the file is damaged")
        if head.extra > EXTRA_PLANES:
            raise CorruptStream(f"{head.extra} planes beside the colours, over {EXTRA_PLANES}; the file is damaged")
        self.shape = (head.height, head.width, head.photo)
        self.chain = Chain(model, self.shape[:2], head.seed)
        shape, L = self.chain.shape, params[1]
        colours = less(model.pixels, head.photo, shape[0])
        self.spread: Spread = Wide(shape, L, colours) if method.wide else Narrow(self.chain.n, L)
        self.n_extra, self.given = head.extra, head.given
        self.extra: np.ndarray | None = None if head.extra else np.empty((*self.shape[:2], 0), np.uint8)
        self.pinned = method.exact
        if self.pinned and not model.pixels:
            raise ModelMismatch(f"the exact picture follows a model of pixels, '{model.name}' sees none")
        self.exact: np.ndarray | None = None

    def take(self, payload: bytes, progress: Progress | None = None) -> None:
        """Walk on by the passes of one payload. Raises CorruptStream."""
        if self.exact is not None:
            raise CorruptStream("a payload follows the exact picture; the file is damaged")
        if self.n_extra and self.extra is None:
            self.extra = context.decode_planes(payload, self.shape[0], self.shape[1], self.n_extra)
            return
        if self.pinned and payload.startswith(_REMAINDER):
            self.exact = remainder.decode(payload[len(_REMAINDER) :], _expected(self.chain, self.shape))
            return
        if not payload:  # no pass at all: nothing that a sender writes, and a preview of its own
            raise CorruptStream("a payload holds no diffusion pass; the file is damaged")
        at = 0
        while at < len(payload):
            at = passes.read(self.chain, self.spread, payload, at)
            if progress:
                progress(at / len(payload))

    def needed(self, payloads: Sequence[bytes], times: float) -> int:
        """Those until means over ``times`` by ``times`` pixels have the log-SNR that single ones have in the end.

        Such means of z_t are z of the smaller picture at log-SNR + 2 ln times: what comes later tells it no more than
        the whole stream tells a picture of that size.
        """
        first = int(bool(self.n_extra))
        told = [sum(steps(payload, self.spread.share_bytes)) for payload in payloads[first:]]
        enough = sum(told) - 2 * math.log(times) / UNIT
        done = itertools.accumulate(told)
        return next((number for number, units in enumerate(done, first + 1) if units >= enough), len(payloads))

    @property
    def complete(self) -> bool:
        """A lossy stream may end behind any pass, one of the exact picture behind its remainder."""
        there = self.exact is not None if self.pinned else self.chain.number > 0 or self.given
        return there and self.extra is not None

    def show(self, reconstruction: Reconstruction = DEFAULT) -> tuple[np.ndarray, np.ndarray | None]:
        """(photo uint8 (H, W, n_photo), extra or None while its payload is missing). Raises Truncated."""
        if not self.chain.number and not self.given:
            raise Truncated("the stream ends before its first pass; nothing can be shown yet")
        if self.exact is not None:
            return self.exact, self.extra
        return shown(self.chain, self.shape, reconstruction), self.extra

    def known(self) -> np.ndarray:
        """bool (H, W): none of a picture with loss, all of the exact one."""
        return np.full(self.shape[:2], self.exact is not None)
