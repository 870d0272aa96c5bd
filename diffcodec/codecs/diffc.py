"""DiffC (arXiv 2206.08889): lossy at any rate, progressive, by reverse-channel coding of a Gaussian diffusion.

Sender and receiver hold the same z_t. A pass brings both to the same, less noisy z_s ~ q(z_s|z_t, x): the sender says,
in about KL(q || p) bits, which of the receiver's own unit noises added to p(z_s|z_t) comes out as if x were known.
How far a pass goes (its step in log-SNR) and how many bits it takes are in the stream, so no number that a network
computed decides how bits are read, and another device changes the picture by rounding only.

A payload holds whole passes, each: bits and step as varints, then the bits. It grows with what lies before it, so that
previews are evenly spaced and their frame costs little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..channel import trellis
from ..channel.noise import Key, normals
from ..diffusion import samplers
from ..diffusion.process import Step
from ..entropy import context
from ..errors import CorruptStream, InputError, Truncated
from ..models.provider import DiffusionModel
from . import receiver, remainder
from .receiver import Progress

PARAMS_BYTES, FEWEST_BYTES = (
    2,
    32,
)  #: of a lossy stream's parameters; payload bytes below which a picture is not worth a stream
LOSSY, EXACT = 0, 1  #: whether the exact picture follows the last pass: first byte of the parameters
EXACT_FROM = 10.0  #: log-SNR at which coding x given z_0 is cheaper than going on
UNIT = 1 / 1024  #: of the steps in log-SNR
DELTA = 0.1  #: shortest step in log-SNR: a compromise of network calls with KL lost to a stale x_hat
PASS_COST = 120.0  #: bits; steps grow as sqrt(PASS_COST / KL per unit of log-SNR) where little is to be told
LONGEST = 2.0
FEWEST_BITS = 2.0  #: of KL; a pass with less goes without bits
FIRST_PAYLOAD, GROWTH = 160, 0.2  #: a payload closes at this many bytes and this share of the bytes before it
FLOW_STEPS, ANCESTRAL_STEPS = 8, 40
_PASSES, _START, _ANCESTRAL = 0, 1, 2  # purposes of noise
_SILENT = 3  # part of a pass's key, beside the trellis' own
_MAX_PASSES = 100_000
_REMAINDER = b"\0\0"  # no bits and no step: a pass that cannot be, before the remainder


@dataclass(frozen=True)
class Target:
    """The end: ``room`` bytes of payloads and frames, or ``psnr`` dB of the mean; with neither, the exact picture."""

    room: int | None = None
    psnr: float | None = None


def needs_model(params: bytes) -> bool:
    """Whether decoding needs the network's weights: always."""
    return True


def refined(params: bytes) -> bool:
    """Whether statistics of values refine the network's distributions: never."""
    return False


def made_in(params: bytes) -> str:
    """The environment that a stream of the exact picture records."""
    return params[PARAMS_BYTES:].decode("utf-8", "replace")


class _Chain:
    """z_t on its way from noise to the picture; sender and receiver walk the same one."""

    def __init__(self, model: DiffusionModel, shape: tuple[int, int], seed: int, L: int):
        self.model, self.seed, self.L = model, seed, L
        self.number, self.units = 0, round(model.logsnr_min / UNIT)
        probe = model.to_latent(torch.zeros(1, 3, *shape, dtype=torch.uint8))
        self.z = torch.from_numpy(normals(Key(seed, 0, _START), probe.numel())).reshape(probe.shape).to(probe.device)
        self.n = probe.numel()
        self._x_hat: Tensor | None = None

    @property
    def logsnr(self) -> float:
        return self.units * UNIT

    def x_hat(self) -> Tensor:
        """E[x|z_t], one network call per z_t."""
        if self._x_hat is None:
            self._x_hat = samplers.mean(self.model.predict, self.z, self.logsnr)
        return self._x_hat

    def step(self, units: int) -> Step:
        return Step.between(self.z.new_tensor(self.logsnr), self.z.new_tensor(self.logsnr + units * UNIT))

    def key(self) -> Key:
        return Key(self.seed, self.number, _PASSES)

    def silent(self) -> np.ndarray:
        """The sample of a pass without bits: noise that both sides know."""
        return normals(self.key().part(_SILENT), self.n)

    def advance(self, units: int, sample: np.ndarray) -> None:
        """To z_s = mean of p(z_s|z_t) + std sample."""
        step = self.step(units)
        noise = torch.from_numpy(sample).reshape(self.z.shape).to(self.z.device)
        self.z = step.mean(self.z, self.x_hat()) + step.std * noise
        self.units += units
        self.number += 1
        self._x_hat = None

    def reconstruct(self, kind: str) -> Tensor:
        """x from z_t: "mean", "flow" (DiffC-F) or "ancestral" (DiffC-A)."""
        end = self.model.logsnr_max
        left = end - self.logsnr
        if kind == "mean" or left <= 0:
            return self.x_hat()
        if kind == "flow":
            steps = max(1, math.ceil(FLOW_STEPS * min(1.0, left / 8)))
            return samplers.flow(self.model.predict, self.z, self.logsnr, end, steps)
        steps = max(1, math.ceil(ANCESTRAL_STEPS * min(1.0, left / 8)))
        return samplers.ancestral(self.model.predict, self.z, self.logsnr, end, steps, self._noises())

    def _noises(self) -> Iterator[Tensor]:
        for k in range(_MAX_PASSES):
            noise = normals(Key(self.seed, k, _ANCESTRAL).part(0), self.n)
            yield torch.from_numpy(noise).reshape(self.z.shape).to(self.z.device)


def encode(
    photo: np.ndarray,
    extra: np.ndarray,
    model: DiffusionModel,
    target: Target,
    seed: int,
    framed: Callable[[int], int],
    *,
    progress: Progress | None = None,
    delta: float = DELTA,
    L: int = trellis.STATES,
) -> tuple[bytes, list[bytes]]:
    """Parameters and payloads of ``photo`` uint8 (H, W, 1 or 3), and ``extra`` uint8 (H, W, E) without loss.

    With no target the exact picture follows the last pass. ``framed`` gives the bytes that a payload of some length
    takes in the stream. ``delta``, the shortest step in log-SNR, and ``L``, log2 of the trellis' states, are effort.
    Raises InputError if the target cannot be met.
    """
    if photo.shape[2] not in (1, 3):
        raise InputError(f"diffc codes 1 or 3 photo planes, found {photo.shape[2]}")
    sender = _Sender(photo, model, target, seed, framed, delta, L)
    if extra.shape[2]:
        sender.put_extra(context.encode_planes(extra))
    sender.run(progress)
    if target != Target():
        return bytes([LOSSY, L]), sender.payloads
    x_hat = sender.chain.reconstruct("mean")[0].permute(1, 2, 0).cpu().numpy()
    sender.payloads.append(_REMAINDER + remainder.encode(photo, x_hat[..., : photo.shape[2]]))
    return bytes([EXACT, L]) + remainder.environment(sender.chain.z.device.type).encode(), sender.payloads


class _Sender:
    def __init__(
        self,
        photo: np.ndarray,
        model: DiffusionModel,
        target: Target,
        seed: int,
        framed: Callable[[int], int],
        delta: float,
        L: int,
    ):
        self.chain = _Chain(model, photo.shape[:2], seed, L)
        self.x = model.to_latent(_as_images(photo))
        self.target, self.framed, self.delta, self.L = target, framed, delta, L
        self.payloads: list[bytes] = []
        self.open = b""  # the payload that grows
        self.closed = 0  # bytes of the closed ones in the stream
        self.gain = 1.0  # delivered over expected KL, of late
        self.delivered, self.spent = 0.0, 0  # KL in bits, and the bits of all passes

    def put_extra(self, payload: bytes) -> None:
        self.payloads.append(payload)
        self.closed += self.framed(len(payload))
        if self.target.room is not None and self.closed > self.target.room:
            raise InputError(
                f"the planes beside the colours (alpha) take {self.closed} bytes without loss, "
                f"more than the {self.target.room} there are: allow more, or remove the alpha channel"
            )

    def run(self, progress: Progress | None) -> None:
        chain = self.chain
        end = min(EXACT_FROM, chain.model.logsnr_max) if self.target == Target() else chain.model.logsnr_max
        top = round(end / UNIT)
        start = chain.units
        psnr_before: tuple[float, float] | None = None
        while chain.units < top:
            squared = float((self.x - chain.x_hat()).double().square().sum())
            psnr = 10 * math.log10(4 * chain.n / max(squared, 1e-12))
            if self.target.psnr is not None and psnr >= self.target.psnr:
                break
            units = min(self._stride(squared), top - chain.units)
            if self.target.psnr is not None:
                units = _no_further(units, chain.logsnr, psnr, psnr_before, self.target.psnr)
                psnr_before = (chain.logsnr, psnr)
            if not self._pass(squared, units):
                break
            if progress:
                progress(self._done(start, top))
        else:
            if self.target.psnr is not None and psnr < self.target.psnr:
                raise InputError(
                    f"the model reaches {psnr:.1f} dB of this picture, less than {self.target.psnr:g} dB: "
                    "ask for less, or code without loss (codec ardm)"
                )
        if self.open:
            self._close()
        if not self.payloads:
            raise InputError("the rate asked for leaves no room for a single pass: allow more bytes")

    def _stride(self, squared: float) -> int:
        """Units of log-SNR of the next pass: long where a unit of log-SNR holds few bits."""
        density = math.exp(self.chain.logsnr) * squared / (2 * math.log(2))
        return round(min(LONGEST, max(self.delta, math.sqrt(PASS_COST / max(density, 1e-9)))) / UNIT)

    def _pass(self, squared: float, units: int) -> bool:
        """Code one pass; False when it was the last that there is room for."""
        chain, last = self.chain, False
        kl = self._kl(squared, units)
        bits = 0 if kl < FEWEST_BITS else trellis.bits_for(kl / self.gain, chain.n, self.L)
        allowed = self._room(units)
        if allowed is not None and bits > allowed:
            bits, last = allowed, True
            if bits < 8:
                return False
        expected = trellis.delivered(bits, chain.n, self.L) * self.gain if bits else 0.0
        if bits and expected < kl:  # fewer bits than the step wants: a shorter step
            snr = math.exp(chain.logsnr) + expected * 2 * math.log(2) / squared
            units = max(1, min(units, round((math.log(snr) - chain.logsnr) / UNIT)))
        if bits:
            mu = chain.step(units).shift(self.x, chain.x_hat()).reshape(-1).cpu().numpy()
            payload, sample = trellis.encode(mu, bits, chain.key(), self.L)
            energy = float(mu.astype(np.float64) @ mu)
            ratio = float(sample.astype(np.float64) @ mu) / max(energy, 1e-12)
            self.delivered += ratio * ratio * energy / (2 * math.log(2))
            self.spent += bits
            if bits > 64 and not last:
                self.gain *= min(1.25, max(0.8, ratio)) ** 0.5
        else:
            payload, sample = b"", chain.silent()
        self.open += _varint(bits) + _varint(units) + payload
        chain.advance(units, sample)
        if len(self.open) >= max(FIRST_PAYLOAD, GROWTH * self.closed) and not self._nearly_full():
            self._close()
        return not last

    def _kl(self, squared: float, units: int) -> float:
        """KL(q || p) in bits: (SNR_s - SNR_t) |x - x_hat|^2 / (2 ln 2)."""
        snr = math.exp(self.chain.logsnr)
        return snr * math.expm1(units * UNIT) * squared / (2 * math.log(2))

    def _room(self, units: int) -> int | None:
        """Most bits that the next pass may have; None without a limit."""
        if self.target.room is None:
            return None
        left = self.target.room - self.closed - len(self.open)
        size = left - (self.framed(left) - left) if left > 0 else 0
        while size > 0:
            record = len(_varint(8 * size)) + len(_varint(units)) + size
            if self.framed(len(self.open) + record) <= self.target.room - self.closed:
                return 8 * size
            size -= 1
        return 0

    def _nearly_full(self) -> bool:
        """Whether another payload would be too short to pay for its frame."""
        room = self.target.room
        return room is not None and room - self.closed - self.framed(len(self.open)) < FIRST_PAYLOAD

    def _close(self) -> None:
        self.payloads.append(self.open)
        self.closed += self.framed(len(self.open))
        self.open = b""

    def _done(self, start: int, top: int) -> float:
        if self.target.room is not None:
            return min(1.0, ((self.closed + len(self.open)) / self.target.room) ** 0.5)
        return min(1.0, (self.chain.units - start) / (top - start))


def _no_further(units: int, logsnr: float, psnr: float, before: tuple[float, float] | None, wanted: float) -> int:
    """Not beyond the log-SNR at which the last pass' slope reaches ``wanted`` dB."""
    slope = 3.0 if before is None else max(0.5, (psnr - before[1]) / max(logsnr - before[0], UNIT))
    return max(1, min(units, math.ceil((wanted - psnr) / slope / UNIT)))


class Receiver(receiver.Receiver):
    """The mirror of the sender: takes payloads as they come and shows a picture after any of them."""

    def __init__(
        self, params: bytes, height: int, width: int, n_photo: int, n_extra: int, model: DiffusionModel, seed: int
    ):
        whole = len(params) >= 2 and (params[0] == EXACT or (params[0] == LOSSY and len(params) == 2))
        if not whole or not 3 <= params[1] <= 14 or n_photo not in (1, 3):
            raise CorruptStream(f"codec parameters {params[:4].hex()} are not those of diffc; the file is damaged")
        self.chain = _Chain(model, (height, width), seed, params[1])
        self.shape = (height, width, n_photo)
        self.n_extra = n_extra
        self.extra: np.ndarray | None = None if n_extra else np.empty((height, width, 0), np.uint8)
        self.pinned = params[0] == EXACT
        self.exact: np.ndarray | None = None

    def take(self, payload: bytes, progress: Progress | None = None) -> None:
        """Walk on by the passes of one payload. Raises CorruptStream."""
        if self.exact is not None:
            raise CorruptStream("a payload follows the exact picture; the file is damaged")
        if self.n_extra and self.extra is None:
            self.extra = context.decode_planes(payload, self.shape[0], self.shape[1], self.n_extra)
            return
        if self.pinned and payload.startswith(_REMAINDER):
            x_hat = self.chain.reconstruct("mean")[0].permute(1, 2, 0).cpu().numpy()
            self.exact = remainder.decode(payload[len(_REMAINDER) :], x_hat[..., : self.shape[2]])
            return
        at = 0
        top = round(self.chain.model.logsnr_max / UNIT)
        while at < len(payload):
            bits, at = _read_varint(payload, at)
            units, at = _read_varint(payload, at)
            size = -(-bits // 8)
            if not 1 <= units <= top - self.chain.units or bits > self.chain.n or at + size > len(payload):
                raise CorruptStream("a diffusion pass contradicts the picture's size or range; the file is damaged")
            chain = self.chain
            data = payload[at : at + size]
            sample = trellis.decode(data, chain.n, bits, chain.key(), chain.L) if bits else chain.silent()
            chain.advance(units, sample)
            at += size
            if progress:
                progress(at / len(payload))

    def show(self, reconstruction: str) -> tuple[np.ndarray, np.ndarray | None]:
        """(photo uint8 (H, W, n_photo), extra or None while its payload is missing). Raises Truncated."""
        if not self.chain.number:
            raise Truncated("the stream ends before its first pass; nothing can be shown yet")
        if self.exact is not None:
            return self.exact, self.extra
        images = self.chain.model.from_latent(self.chain.reconstruct(reconstruction))
        photo = images[0].permute(1, 2, 0).cpu().numpy()[: self.shape[0], : self.shape[1]]
        if self.shape[2] == 1:
            photo = np.rint(photo.mean(2, keepdims=True)).astype(np.uint8)
        return np.ascontiguousarray(photo), self.extra


def _as_images(photo: np.ndarray) -> Tensor:
    rgb = photo if photo.shape[2] == 3 else photo.repeat(3, 2)
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None]


def _varint(value: int) -> bytes:
    """LEB128 of a value >= 0."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, place after it); mirror of :func:`_varint`. Raises CorruptStream, also for a longer form than needed."""
    value = 0
    for k in range(5):
        if at + k >= len(data):
            break
        byte = data[at + k]
        value |= (byte & 127) << 7 * k
        if byte < 128:
            if k and not byte:
                break
            return value, at + k + 1
    raise CorruptStream("a number in a diffusion pass is cut or too long; the file is damaged")
