"""How DiffC's sender spends its bits: how far each pass goes, how many bits it has, where the stream ends."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...channel import polar, trellis
from ...models.calibration import Calibration
from ...models.protocols import DiffusionModel
from ...runtime.errors import InputError
from ...runtime.progress import Progress
from ..codec import Room
from ..reconstruction import MEAN
from . import passes
from .chain import Chain, as_images, as_planes, shown
from .effort import Effort
from .schedule import Pace, schedule_of
from .spread import UNIT, Shares, Wide, less

EXACT_FROM = 10.0  #: log-SNR at which coding x given z_0 is cheaper than going on
NEAREST = 64  #: units of log-SNR that a pass towards a PSNR has at least, of latents, which come to it ever slower
LATENT_END = 2.0  #: log-SNR to which latents are told at usual rates
PASS_COST = 120.0  #: bits; steps grow as sqrt(PASS_COST / KL per unit of log-SNR) where little is to be told
LONGEST = 2.0  #: step in log-SNR
RECKONED = 0.1  #: step, or a shorter one, with which the most bytes of a picture are reckoned
DENSEST = 0.75  #: bits that a dimension takes in a pass, at most
PACE = 0.5  #: by how much the logarithm of all bits so far grows with the log-SNR, of pictures at usual rates
BEYOND = 2.0  #: times the bits of a Gaussian: a network that errs more than its denoiser, and what the trellis loses
PASS_BITS = 64  #: that a pass takes beside, at most: its frame, and where its trellis starts
BEYOND_DB = 40.0  #: that the last x_hat may be better than a guess of the noise in z by nothing
FEWEST_BITS = 2.0  #: of information; a part with less, and less than 1/4 a dimension, goes without bits
FIRST_PAYLOAD, GROWTH = 160, 0.2  #: a payload closes at this many bytes and this share of the bytes before it


class Sender:
    """The picture's way down the chain, pass by pass, to what the room allows."""

    def __init__(
        self,
        photo: np.ndarray,
        model: DiffusionModel,
        room: Room,
        seed: int,
        effort: Effort,
        calibration: Calibration | None = None,
    ):
        self.chain = Chain(model, photo.shape[:2], seed)
        colours = less(model.pixels, photo.shape[2], self.chain.shape[0])
        self.spread = Wide(self.chain.shape, effort.L, colours, effort.paths)
        self.x = model.to_latent(as_images(photo))
        self.seen = _looked_at(self.x, photo, room.seen) if model.pixels else None
        self.count = self.chain.n if self.seen is None else int(self.seen.sum()) * self.x.shape[1]
        self.photo, self.grey = photo, photo.shape[2] == 1
        self.room, self.framed, self.effort = room, room.framed, effort
        self.payloads: list[bytes] = []
        self.open = b""  # the payload that grows
        self.closed = 0  # bytes of the closed ones in the stream
        self.gains = [1.0, 1.0]  # delivered over expected, of late, coarse and fine
        self.delivered, self.spent = 0.0, 0  # KL in bits, and the bits of all passes
        self.pace = None if calibration is None else self._pace(calibration, photo.shape[2])

    def _pace(self, calibration: Calibration, photo: int) -> Pace:
        """Of the model's calibration: its steps to where the room ends."""
        model, room = self.chain.model, self.room
        end = round(model.logsnr_max / UNIT)
        schedule = schedule_of(calibration.of(model), self.chain.shape, model.pixels, photo, self.chain.units, end)
        if room.psnr is not None and model.pixels:
            last = schedule.resolved(4 / 10 ** (room.psnr / 10))
        elif room.size is not None:
            last = schedule.reached(8 * room.size * self.chain.n / max(1, self.count))
        else:
            last = schedule.level(EXACT_FROM if room.exact else LATENT_END)
        return Pace(schedule, last, self.effort)

    def put_extra(self, payload: bytes) -> None:
        """The first payload: planes beside the colours. Raises InputError where it leaves no room."""
        self.payloads.append(payload)
        self.closed += self.framed(len(payload))
        if self.room.size is not None and self.closed > self.room.size:
            raise InputError(
                f"the planes beside the colours (alpha) take {self.closed} bytes without loss, "
                f"more than the {self.room.size} there are: allow more, or remove the alpha channel"
            )

    def run(self, progress: Progress | None) -> None:
        """Pass after pass into ``payloads``, as far as the room allows. Raises InputError where it cannot be met."""
        chain = self.chain
        self._check_reach()
        end = min(EXACT_FROM, chain.model.logsnr_max) if self.room.exact else chain.model.logsnr_max
        top = round(end / UNIT)
        start = chain.units
        reached, before = 0.0, None  # both of a room for a PSNR alone: dB, and of the pass before with its log-SNR
        while chain.units < top:
            wanted = self._wanted()
            error = (wanted - chain.x_hat()).double()
            units = min(self._stride(float(error.square().sum())), top - chain.units)
            if self.room.psnr is not None:
                reached = self._psnr(error)
                if reached >= self.room.psnr:
                    break
                nearer = _no_further(units, chain.logsnr, reached, before, self.room.psnr)
                units = nearer if chain.model.pixels else min(units, max(nearer, NEAREST))
                before = (chain.logsnr, reached)
            if not self._pass(wanted, units):
                break
            if progress:
                progress(self._done(start, top))
        else:
            if self.room.psnr is not None and reached < self.room.psnr:
                raise InputError(
                    f"the model reaches {reached:.1f} dB of this picture, less than {self.room.psnr:g} dB: "
                    "ask for less, or code without loss (codec ardm)"
                )
        if self.open:
            self._close()
        if not self.payloads and not self.room.given:
            raise InputError("the rate asked for leaves no room for a single pass: allow more bytes")

    def _check_reach(self) -> None:
        """Raises InputError for what no picture of this size reaches, before any network call.

        Of samples of variance 1, more than any picture's in [-1, 1], the chain tells 1/2 log2(1 + SNR) bits each.
        """
        chain, room = self.chain, self.room
        end = chain.model.logsnr_max
        if room.filled and room.size is not None:
            passes = (end - chain.logsnr) / min(RECKONED, self.effort.step)
            most = BEYOND * chain.n * math.log2(1 + math.exp(end)) / 2 + PASS_BITS * passes
            asked = 8 * (room.size - self.closed)
            if asked > most:
                raise InputError(
                    f"{asked // 8} bytes were asked for beside the header, and no picture of this size takes more than "
                    f"{int(most) // 8} at log-SNR {end:g}, where the model ends: ask for less, or code without loss "
                    "(codec ardm)"
                )
        if not chain.model.pixels:
            self._check_ceiling()
            return
        most_db = 10 * math.log10(4) + 10 * end / math.log(10) + BEYOND_DB
        if room.psnr is not None and room.psnr > most_db:
            raise InputError(
                f"{room.psnr:g} dB were asked for, and no model that ends at log-SNR {end:g} reaches more than "
                f"{most_db:.0f} dB: ask for less, or code without loss (codec ardm)"
            )

    def _check_ceiling(self) -> None:
        """Raises InputError for a PSNR beyond what is left of the picture where no bit is lost of its latents."""
        chain, wanted = self.chain, self.room.psnr
        if wanted is None:
            return
        most = self._psnr_of(as_planes(chain.model.from_latent(self.x), self.photo.shape))
        if wanted > most:
            raise InputError(
                f"{wanted:g} dB were asked for, and the autoencoder of '{chain.model.name}' keeps {most:.2f} dB of "
                "this picture at any rate: ask for less, or use another model"
            )

    def _wanted(self) -> Tensor:
        """x; what the receiver expects anyway where nobody will look, so that nothing is to be told there."""
        return self.x if self.seen is None else torch.where(self.seen, self.x, self.chain.x_hat())

    def _psnr(self, error: Tensor) -> float:
        """dB of the picture shown now, for x - x_hat float64 (1, C, h, w), of latents by what is made of them."""
        if not self.chain.model.pixels:
            return self._psnr_of(shown(self.chain, self.photo.shape, MEAN))
        if self.grey:  # its picture is the mean of the planes
            error = error.mean(1, keepdim=True).expand_as(error)
        return 10 * math.log10(4 * self.count / max(float(error.square().sum()), 1e-12))

    def _psnr_of(self, picture: np.ndarray) -> float:
        """dB of a picture like the photo, uint8 (H, W, 1 or 3), where anybody looks."""
        seen = self.room.seen
        if seen is None or not seen.any():
            return psnr(picture, self.photo)
        return psnr(picture[seen], self.photo[seen])

    def _stride(self, squared: float) -> int:
        """Units of log-SNR of the next pass, for |x - x_hat|^2: `stride`'s, or a calibration's, which knows better."""
        units = self.chain.units
        if self.pace is not None:
            return self.pace.stride(units, squared)
        return stride(units, squared, self.effort.step, self._last(units, squared))

    def _last(self, units: int, squared: float) -> float:
        """Bits per unit of log-SNR at the end of the room; of what is not known at all, 1 / (2 ln 2) a dimension."""
        if self.room.psnr is not None:
            return density(units, squared)
        return last_density(self.chain.n, None if self.room.size is None else 8 * self.room.size)

    def _pass(self, wanted: Tensor, units: int) -> bool:
        """Code one pass of ``units`` or fewer to ``wanted``; False when it was the last that there is room for."""
        chain, last = self.chain, False
        error = (wanted - chain.x_hat()).reshape(-1).cpu().numpy()
        energies = self.spread.products(error, error)
        most = DENSEST * self.spread.coarse_n, DENSEST * chain.n
        units, wished = self._within(energies, units, lambda bits: bits[0] <= most[0] and bits[1] <= most[1])
        allowed = self._allowed(units)
        bits = sum(wished)
        if allowed is not None and bits > allowed:
            last = True
            if allowed < 8:
                return False
            units, wished = self._within(energies, units, lambda bits: sum(bits) <= allowed)
            bits = allowed if units > 1 or sum(wished) > allowed else sum(wished)
        shares = Shares.of(bits, min(255, round(256 * wished[0] / max(1, sum(wished)))))
        if not bits and not self._fits(len(passes.frame(0, 0, units))):
            return False
        mu = chain.step(units).shift(wanted, chain.x_hat()).reshape(-1).cpu().numpy() if bits else None
        record, sample = passes.write(chain, self.spread, shares, units, mu)
        self.open += record
        if mu is not None:
            self._learn(mu, sample, shares, units, last)
        if len(self.open) >= max(FIRST_PAYLOAD, GROWTH * self.closed) and not self._nearly_full():
            self._close()
        return not last

    def _within(
        self, energies: tuple[float, float], units: int, fits: Callable[[tuple[int, int]], bool]
    ) -> tuple[int, tuple[int, int]]:
        """(units, bits of both parts) of the longest step of at most ``units`` whose bits ``fit``, or of one unit."""
        wished = self._wished(energies, units)
        if fits(wished):
            return units, wished
        low = 1
        while units - low > 1:
            middle = (low + units) // 2
            if fits(self._wished(energies, middle)):
                low = middle
            else:
                units = middle
        return low, self._wished(energies, low)

    def _wished(self, energies: tuple[float, float], units: int) -> tuple[int, int]:
        """Bits of the coarse and the fine part of a pass; ``energies``: of x - x_hat in both."""
        step = self.chain.step(units)
        scale = float(step.b / step.std) ** 2
        needed = self.spread.information((scale * energies[0], scale * energies[1]), units)
        coarse, fine = (part / gain for part, gain in zip(needed, self.gains, strict=True))
        return (
            0 if coarse < FEWEST_BITS else -(-trellis.bits_for(coarse, self.spread.coarse_n, self.effort.L) // 8) * 8,
            0 if fine < min(FEWEST_BITS, self.chain.n / 4) else polar.bits_for(fine, self.chain.n),
        )

    def _learn(self, mu: np.ndarray, sample: np.ndarray, shares: Shares, units: int, last: bool) -> None:
        """Count what a pass delivered, and expect as much of the next."""
        products, energies = (self.spread.products(mu, other) for other in (sample, mu))
        needed = self.spread.information(energies, units)
        self.spent += shares.bits
        for k, bits in enumerate((shares.coarse, shares.fine)):
            ratio = products[k] / max(energies[k], 1e-12)
            self.delivered += ratio * ratio * needed[k] if bits else 0.0
            if bits > 64 and not last:
                self.gains[k] *= min(1.25, max(0.8, ratio)) ** 0.5

    def _allowed(self, units: int) -> int | None:
        """Most bits that the next pass may have; None without a limit."""
        if self.room.size is None:
            return None
        left = self.room.size - self.closed - len(self.open)
        size = left - (self.framed(left) - left) if left > 0 else 0
        while size > 0:
            if self._fits(len(passes.frame(8 * size, 0, units)) + size):
                return 8 * size
            size -= 1
        return 0

    def _fits(self, record: int) -> bool:
        """Whether a pass of so many bytes may still stand in the open payload."""
        return self.room.size is None or self.framed(len(self.open) + record) <= self.room.size - self.closed

    def _nearly_full(self) -> bool:
        """Whether another payload would be too short to pay for its frame."""
        size = self.room.size
        return size is not None and size - self.closed - self.framed(len(self.open)) < FIRST_PAYLOAD

    def _close(self) -> None:
        self.payloads.append(self.open)
        self.closed += self.framed(len(self.open))
        self.open = b""

    def _done(self, start: int, top: int) -> float:
        if self.room.size is not None:
            return min(1.0, math.sqrt((self.closed + len(self.open)) / self.room.size))
        return min(1.0, (self.chain.units - start) / (top - start))


def psnr(picture: np.ndarray, photo: np.ndarray) -> float:
    """dB of samples uint8 of one shape, at most 168."""
    error = float(np.square(picture.astype(np.float64) - photo).mean())
    return 10 * math.log10(65025 / max(error, 1e-12))


def density(units: int, squared: float) -> float:
    """Bits per unit of log-SNR, for |x - x_hat|^2."""
    return max(1e-9, math.exp(units * UNIT) * squared / (2 * math.log(2)))


def last_density(n: int, bits: float | None) -> float:
    """Bits per unit of log-SNR where so many of ``n`` dimensions end, or the exact picture does."""
    most = n / (4 * math.log(2))
    return most if bits is None else min(most, PACE * bits)


def stride(units: int, squared: float, step: float, last: float) -> int:
    """Units of log-SNR of a pass from ``units`` on, for |x - x_hat|^2 there: long where a unit holds few bits.

    What a step loses grows with its length and with the bits told in it, so that the least is lost for so many
    network calls where the length is as 1 / sqrt(bits per unit): ``step`` where a unit of log-SNR holds ``last`` bits.
    """
    now = density(units, squared)
    long = max(step * max(1.0, math.sqrt(last / now)), math.sqrt(PASS_COST / now))
    return round(min(LONGEST, long) / UNIT)


def _looked_at(x: Tensor, photo: np.ndarray, seen: np.ndarray | None) -> Tensor | None:
    """The points of x (1, C, h, w) that anybody will see, bool (1, 1, h, w); None if all are.

    Neither what alpha hides of ``photo`` (H, W, C), where ``seen`` bool (H, W) is not, nor what continues it.
    """
    H, W = photo.shape[:2]
    points = np.zeros(tuple(x.shape[2:]), bool)
    points[:H, :W] = True if seen is None or not seen.any() else seen
    return None if points.all() else torch.from_numpy(points)[None, None].to(x.device)


def _no_further(units: int, logsnr: float, psnr: float, before: tuple[float, float] | None, wanted: float) -> int:
    """Not beyond the log-SNR at which the last pass' slope reaches ``wanted`` dB."""
    slope = 3.0 if before is None else max(0.5, (psnr - before[1]) / max(logsnr - before[0], UNIT))
    return max(1, min(units, math.ceil((wanted - psnr) / slope / UNIT)))
