"""The providers of `photo-vdm` and its like: the U-Net, in floats or integers, as a model of pictures of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.process import signal
from ...diffusion.samplers import Multistep
from ...runtime.errors import InputError
from ..architectures import Weights
from ..denoiser import Denoiser
from ..protocols import EXACT, bfloat16_serves, device_of
from ..settings import held
from .cpu import CpuBlock
from .exact import ExactUNet
from .net import UNet, UNetConfig

BLOCK = 1024  #: side of the blocks that larger pictures are evaluated in
MARGIN = 192  #: points beyond a block that its outputs depend on, with four levels of two residual blocks


def load(weights: Weights) -> VDMModel | ExactVDMModel:
    """Of architecture vdm-unet-1, floats, or vdm-unet-exact-1, integers. Raises any error for other tensors."""
    config = UNetConfig.from_dict(weights.fields())
    told = (weights.tensors, config, weights.name, weights.fingerprint, weights.device)
    if weights.config["architecture"] == "vdm-unet-exact-1":
        return ExactVDMModel(*told)
    return VDMModel(*told, None if weights.flow is None else Multistep.of(**weights.flow), weights.poses)


class VDMModel(Denoiser):
    """eps_hat(z_t, log-SNR) by a U-Net that predicts v; x is the picture in [-1, 1].

    Pictures whose sides are no multiple of the U-Net's are continued by their border while it runs, which costs no
    bits. Large ones are evaluated in blocks with a margin, so memory does not grow with the picture beyond z itself.
    """

    device: torch.device

    def __init__(
        self,
        tensors: dict[str, Tensor],
        config: UNetConfig,
        name: str,
        fingerprint: bytes,
        device: str,
        shortcut: Multistep | None = None,
        poses: int = 1,
    ):
        self.name, self.fingerprint, self.shortcut, self.poses = name, fingerprint, shortcut, poses
        self.logsnr_min, self.logsnr_max = config.logsnr_min, config.logsnr_max
        self.device = torch.device(device_of(device))
        self.half = bfloat16_serves(self.device.type)
        self.net = ready(UNet, config, tensors, self.device, self.half)

    @property
    def arithmetic(self) -> str:
        """"bfloat16" where the device multiplies that itself."""
        return "bfloat16" if self.half else "float32"

    @torch.inference_mode()
    @held()
    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32 (N, 3, H, W) from z float32 (N, 3, H, W) and a scalar log-SNR.

        Raises InputError for large pictures of a network with attention.
        """
        if self.net.config.attention and max(z.shape[2:]) > BLOCK:
            raise InputError(f"'{self.name}' has attention and takes pictures of {BLOCK} pixels a side at most")
        z = z.to(self.device)
        t = torch.as_tensor(logsnr, dtype=torch.float32, device=self.device).reshape(1).expand(len(z))
        alpha, sigma = torch.sigmoid(t[:1]).sqrt(), torch.sigmoid(-t[:1]).sqrt()
        return sigma * z + alpha * in_blocks(lambda part: self._v(part, t), z)  # Salimans & Ho 2022, §4

    def _v(self, z: Tensor, t: Tensor) -> Tensor:
        return asked(self.net, self.half, z, t)


def asked(net: UNet, half: bool, z: Tensor, *told: Tensor | int) -> Tensor:
    """What ``net`` says of z (N, C, H, W), of the same sides: z is continued by its border to sides that it takes.

    told: the network's other inputs, of N each. half: in bfloat16.
    """
    H, W = z.shape[2:]
    m = net.config.multiple
    z = F.pad(z, (0, -W % m, 0, -H % m), mode="replicate").contiguous(memory_format=torch.channels_last)
    with torch.autocast(z.device.type, torch.bfloat16, enabled=half):
        said: Tensor = net(z, *told)
    return said[..., :H, :W]


Net = TypeVar("Net", bound=UNet)


def ready(
    kind: Callable[[UNetConfig], Net],
    config: UNetConfig,
    tensors: dict[str, Tensor],
    device: torch.device,
    half: bool,
) -> Net:
    """A network of that kind with these weights, to be run; ``half``: in bfloat16, else in float32 by `CpuBlock`.

    Raises any error for other tensors.
    """
    net = plain(kind, config, tensors, device)
    if not half:
        for blocks in (*net.down, *net.up):
            for k, block in enumerate(blocks):
                blocks[k] = CpuBlock(block)
    return net


def plain(
    kind: Callable[[UNetConfig], Net], config: UNetConfig, tensors: dict[str, Tensor], device: torch.device
) -> Net:
    """As :func:`ready`, in torch's own layers, which have gradients. Raises any error for other tensors."""
    with torch.device("meta"):  # no draws from the caller's generator for numbers that nobody uses
        net = kind(config)
    net.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
    made: Net = net.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


def in_blocks(network: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """``network`` of z (N, C, H, W), which gives (N, C', H, W), in blocks with a margin."""
    H, W = z.shape[2:]
    if max(H, W) <= BLOCK:
        return network(z)
    out: Tensor | None = None
    for y in range(0, H, BLOCK):
        for x in range(0, W, BLOCK):
            top, left = max(0, y - MARGIN), max(0, x - MARGIN)
            part = network(z[..., top : y + BLOCK + MARGIN, left : x + BLOCK + MARGIN])
            out = part.new_empty(*part.shape[:2], H, W) if out is None else out
            out[..., y : y + BLOCK, x : x + BLOCK] = part[..., y - top : y - top + BLOCK, x - left : x - left + BLOCK]
    assert out is not None
    return out


class ExactVDMModel(Denoiser):
    """The U-Net in integers (`unet_exact`): the same x_hat on any machine."""

    numerics = EXACT
    device: torch.device

    def __init__(self, tensors: dict[str, Tensor], config: UNetConfig, name: str, fingerprint: bytes, device: str):
        self.name, self.fingerprint = name, fingerprint
        self.logsnr_min, self.logsnr_max = config.logsnr_min, config.logsnr_max
        self.device = torch.device(device_of(device))
        self.net = ExactUNet(tensors, config, self.device)

    def x_hat(self, z: Tensor, units: int) -> Tensor:
        """E[x|z_t] float64, exact, from z float32 (N, 3, H, W) and the log-SNR in 1/1024."""
        alpha, sigma = signal(units)
        return alpha * z.to(self.device).double() - sigma * self._v(z, units).double()

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, as of VDMModel, at the log-SNR's nearest multiple of 1/1024."""
        units = round(float(logsnr) * 1024)
        alpha, sigma = signal(units)
        return sigma * z.to(self.device) + alpha * self._v(z, units)

    @torch.inference_mode()
    def _v(self, z: Tensor, units: int) -> Tensor:
        m, noise = self.net.config.multiple, signal(units)[1]

        def network(part: Tensor) -> Tensor:
            H, W = part.shape[2:]
            return self.net(F.pad(part, (0, -W % m, 0, -H % m), mode="replicate"), units, noise)[..., :H, :W]

        return in_blocks(network, z.to(self.device))
