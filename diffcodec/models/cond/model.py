"""The provider of `photo-cond`: a denoiser of pictures of any size that may be given one thing (SR3, CDM, Palette)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.process import alpha, sigma
from ..architectures import Weights
from ..condition import Condition, check
from ..denoiser import Denoiser
from ..protocols import bfloat16_serves, device_of
from ..settings import held
from ..unet.model import in_blocks, ready
from .net import CondConfig, ConditionalUNet, Seen
from .seen import Shown, shown

TAKES = frozenset({"box", "luma", "chroma", "mask", "crop", "file"})


def load(weights: Weights) -> ConditionalVDM:
    """Of architecture vdm-unet-given-1. Raises any error for other tensors."""
    return ConditionalVDM(weights, CondConfig.from_dict(weights.fields()))


class ConditionalVDM(Denoiser):
    """eps_hat(z_t, log-SNR): a `ConditionalModel` of x in [-1, 1] that takes one thing of TAKES, or nothing."""

    takes = TAKES
    device: torch.device

    def __init__(self, weights: Weights, config: CondConfig):
        self.name, self.fingerprint = weights.name, weights.fingerprint
        self.logsnr_min, self.logsnr_max = config.logsnr_min, config.logsnr_max
        self.device, self.poses = torch.device(device_of(weights.device)), weights.poses
        self.half = bfloat16_serves(self.device.type)
        self.net = ready(lambda _: ConditionalUNet(config), config, weights.tensors, self.device, self.half)

    @property
    def arithmetic(self) -> str:
        """"bfloat16" where the device multiplies that itself."""
        return "bfloat16" if self.half else "float32"

    def given(self, condition: Condition) -> Given:
        """The model of those pictures that the condition holds of. Raises InputError for what it does not take."""
        check(self, condition)
        return Given(self, condition)

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, 3, h, w), at one log-SNR, float32 ()."""
        return self.posed(z, logsnr, ())

    @torch.inference_mode()
    @held()
    def posed(self, z: Tensor, logsnr: Tensor, sides: tuple[int, ...]) -> Tensor:
        """As :meth:`predict`, by an answer to z mirrored along ``sides``, 2 (upside down), 3 or both."""
        z, t = z.to(self.device), self._time(logsnr)
        return (z - alpha(t) * self._x(z, t, None, sides)) / sigma(t)

    @torch.inference_mode()
    @held()
    def knowing(self, z: Tensor, logsnr: Tensor, told: Shown, sides: tuple[int, ...] = ()) -> Tensor:
        """As :meth:`posed`, of pictures of which what was ``told`` holds; x_hat agrees with it."""
        z, t = z.to(self.device), self._time(logsnr)
        x = told.agree(self._x(z, t, told.seen, sides))
        return (z - alpha(t) * x) / sigma(t)

    def _time(self, logsnr: Tensor) -> Tensor:
        return torch.as_tensor(logsnr, dtype=torch.float32, device=self.device).reshape(())

    def _x(self, z: Tensor, t: Tensor, seen: Seen | None, sides: tuple[int, ...] = ()) -> Tensor:
        """x_hat float32 (N, 3, h, w), in blocks with a margin where the picture is large."""
        if seen is None:
            return in_blocks(lambda part: self._network(part, t, None, sides), z)
        told = (one.to(self.device).expand(len(z), *one.shape[1:]) for one in (seen.facts, seen.precision))
        facts, precision = told
        planes = seen.planes.to(self.device).expand(len(z), -1, -1, -1)

        def network(both: Tensor) -> Tensor:
            return self._network(both[:, :3], t, Seen(both[:, 3:], facts, precision), sides)

        return in_blocks(network, torch.cat([z, planes], 1))

    def _network(self, z: Tensor, t: Tensor, seen: Seen | None, sides: tuple[int, ...]) -> Tensor:
        H, W = z.shape[2:]
        m = self.net.config.multiple

        def whole(x: Tensor) -> Tensor:
            """Mirrored after it is continued: blocks of a JPEG stay where the network expects them."""
            x = F.pad(x, (0, -W % m, 0, -H % m), mode="replicate").flip(sides)
            return x.contiguous(memory_format=torch.channels_last)

        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            seen = None if seen is None else Seen(whole(seen.planes), seen.facts, seen.precision)
            x: Tensor = self.net(whole(z), t.expand(len(z)), seen)
        return x.flip(sides)[..., :H, :W]


class Given(Denoiser):
    """A :class:`ConditionalVDM` that was given something: a `DiffusionModel` like any other."""

    device: torch.device

    def __init__(self, of: ConditionalVDM, condition: Condition):
        self.of, self.condition = of, condition
        self.name, self.fingerprint, self.device = of.name, of.fingerprint, of.device
        self.logsnr_min, self.logsnr_max = of.logsnr_min, of.logsnr_max
        self._last: tuple[tuple[int, int], Shown] | None = None

    @property
    def arithmetic(self) -> str:
        """As the model's."""
        return self.of.arithmetic

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, 3, h, w), at one log-SNR, float32 ().

        Raises InputError where the condition belongs to pictures of another size.
        """
        return self.posed(z, logsnr, ())

    @property
    def poses(self) -> int:
        """As the model's."""
        return self.of.poses

    def posed(self, z: Tensor, logsnr: Tensor, sides: tuple[int, ...]) -> Tensor:
        """As :meth:`predict`, by an answer to z and what was given, mirrored along ``sides``, 2, 3 or both."""
        return self.of.knowing(z, logsnr, self._shown((z.shape[2], z.shape[3])), sides)

    def _shown(self, size: tuple[int, int]) -> Shown:
        """Of pictures of this size, made once: a chain asks many times for one."""
        last = self._last
        if last is None or last[0] != size:
            last = self._last = (size, shown(self.condition, size))
        return last[1]
