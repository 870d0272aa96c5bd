"""Any network of a diffusion as a provider: what it predicts, and how it is told the noise, are all that it says."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion.process import PREDICTIONS
from ..diffusion.schedules import Schedule, alpha_sigma
from ..runtime.errors import InputError
from .denoiser import Denoiser
from .settings import held

Network = Callable[[Tensor, Tensor], Tensor]  #: (input (N, C, h, w), time float32 (N,)) -> prediction (N, C.., h, w)
Kind = str | Callable[[float], tuple[float, float]]  #: of `process.PREDICTIONS`, or as `schedules.Outputs`
Held = Callable[[Tensor], Tensor]  #: x_hat of each picture -> what it is taken for


def within(bound: float) -> Held:
    """x_hat kept within ±``bound``: where all x are, E[x|z] is as well, so this errs no more."""
    return functools.partial(torch.clamp, min=-bound, max=bound)


class NetworkDenoiser(Denoiser):
    """A network that predicts ``predicts`` of pictures, or latents, whose noise is told by ``schedule``.

    network: (input, time) -> prediction, a torch module, which is put into evaluation mode, or any callable. It is
        asked in ``dtype``; channels behind the first C of what it gives, of a learned variance, are left aside.
    predicts: "eps", "x", "v" or "flow" (`diffusion.process.PREDICTIONS`), or `diffusion.schedules.Outputs`.
    schedule: `LogSNRs`, `Timesteps`, `Sigmas`, `Preconditioned`, `Flow` of `diffusion.schedules`, or one's own.
    name: what streams record. fingerprint: 32 bytes; None is that of a module's weights and of what is told here.
    multiple: sides of the input are continued to multiples of it, and to ``least`` of these, which costs no bits.
    held_to: `within(1)` or such, None: x_hat is as it is.

    Raises InputError for another kind of prediction, and for a callable without weights or a fingerprint.
    """

    device: torch.device

    def __init__(
        self,
        network: Network,
        predicts: Kind,
        schedule: Schedule,
        *,
        name: str = "network",
        fingerprint: bytes | None = None,
        channels: int = 3,
        multiple: int = 1,
        least: int = 1,
        held_to: Held | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ):
        if isinstance(predicts, str) and predicts not in PREDICTIONS:
            raise InputError(f"expected a prediction of {', '.join(PREDICTIONS)}, found {predicts!r}")
        if isinstance(network, torch.nn.Module):
            network.eval()
            if fingerprint is None:
                fingerprint = fingerprint_of_weights(network.state_dict(), _conventions(predicts, schedule))
            where = next(network.parameters(), torch.empty(0, device="cpu")).device if device is None else device
        else:
            where = device or "cpu"
        if fingerprint is None:
            raise InputError("what is no torch module needs a fingerprint: 32 bytes of all that changes what it says")
        self.network, self.predicts, self.schedule = network, predicts, schedule
        self.name, self.fingerprint, self.channels = name, fingerprint, channels
        self.multiple, self.least, self.held_to, self.dtype = multiple, least, held_to, dtype
        self.device = torch.device(where)
        self.logsnr_min, self.logsnr_max = schedule.logsnr_min, schedule.logsnr_max

    @property
    def arithmetic(self) -> str:
        """The name of its dtype."""
        return str(self.dtype).removeprefix("torch.")

    def asking(self, network: Network, held_to: Held | None) -> NetworkDenoiser:
        """The same model but for whom it asks, and what x_hat is held to."""
        other = copy.copy(self)
        other.network, other.held_to = network, held_to
        return other

    @torch.inference_mode()
    @held()
    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, C, h, w), at one log-SNR, float32 ()."""
        at, z = float(logsnr), z.to(self.device)
        out = self._asked(z, at)
        alpha, sigma = alpha_sigma(at)
        p, q = coefficients(self.predicts, at)
        # eps_hat = (z - alpha x_hat) / sigma, without the difference of two numbers that are nearly one
        eps = _less(1 - alpha * p, sigma) * z - alpha * q / sigma * out
        if self.held_to is None:
            return eps
        x = p * z + q * out
        return eps + alpha / sigma * (x - self.held_to(x))

    def _asked(self, z: Tensor, logsnr: float) -> Tensor:
        """What the network says, float32, of the shape of z."""
        (H, W), m = z.shape[2:], self.multiple
        below, beside = (max(-(-side // m), self.least) * m - side for side in (H, W))
        time = torch.full((len(z),), self.schedule.time(logsnr), dtype=torch.float32, device=self.device)
        y = self.schedule.scale(logsnr) * z
        if below or beside:
            y = F.pad(y, (0, beside, 0, below), mode="replicate")
        out = self.network(y.to(self.dtype), time)
        return out[:, : z.shape[1], :H, :W].float()


def coefficients(predicts: Kind, logsnr: float) -> tuple[float, float]:
    """(of z, of the prediction) in x_hat, doubles: all predictions are linear in both."""
    if not isinstance(predicts, str):
        return predicts(logsnr)
    one, nothing = (torch.tensor(value, dtype=torch.float64, device="cpu") for value in (1.0, 0.0))
    alpha, sigma = (one * value for value in alpha_sigma(logsnr))
    to_x = PREDICTIONS[predicts].to_x
    return float(to_x(one, alpha, sigma, nothing)), float(to_x(nothing, alpha, sigma, one))


def _conventions(predicts: Kind, schedule: Schedule) -> str:
    """What a network is told and taken for, in numbers of a few digits, which are the same ones on any machine."""
    low, high = schedule.logsnr_min, schedule.logsnr_max
    told = (
        (logsnr, schedule.time(logsnr), schedule.scale(logsnr), *coefficients(predicts, logsnr))
        for logsnr in (low + (high - low) * k / 32 for k in range(33))
    )
    return " ".join(f"{number:.6g}" for numbers in told for number in numbers)


def _less(left: float, sigma: float) -> float:
    """left / sigma, 0 where ``left`` is what doubles round off."""
    return 0.0 if abs(left) < 1e-14 else left / sigma


def fingerprint_of_weights(state: Mapping[str, Tensor], told: str) -> bytes:
    """SHA-256, 32 bytes, of what else is ``told``, and of tensors by name, any shapes and dtypes, in their order."""
    total = hashlib.sha256(f"{told};".encode())
    for name, tensor in sorted(state.items()):
        flat = tensor.detach().contiguous().cpu()
        total.update(f"{name} {flat.dtype} {tuple(flat.shape)};".encode())
        total.update(flat.reshape(-1).view(torch.uint8).numpy().data if flat.numel() else b"")
    return total.digest()
