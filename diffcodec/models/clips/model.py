"""The provider of `clip-vdm`: a denoiser of the frames of a clip, some of which may be known (arXiv 2204.03458)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...diffusion.process import alpha, sigma
from ...diffusion.samplers import Multistep
from ...runtime.errors import InputError
from ..architectures import Weights
from ..condition import GUIDED, TOLD, Before, Condition, Frames, Way, check
from ..denoiser import Denoiser
from ..protocols import bfloat16_serves, device_of
from ..settings import held
from ..unet.model import asked, in_blocks, plain
from .net import ClipConfig, ClipUNet

AT_ONCE = 16  #: frames of a long clip that are asked for at once
AROUND = 4  #: frames on either side that they see besides
WEIGHT = 2.0  #: of guidance by reconstruction, w_r


def load(weights: Weights) -> ClipVDM:
    """Of architecture vdm-unet-clip-1. Raises any error for other tensors."""
    return ClipVDM(weights, ClipConfig.from_dict(weights.fields()))


@dataclass(frozen=True)
class Known:
    """Frames that are known: x float32 (K, 3, h, w), and how well, log-SNRs float32 (K,).

    places: where each of them stands among those that are asked for; below 0 in front of the first of them.
    way: of `condition.Frames`.
    """

    places: tuple[int, ...]
    x: Tensor
    logsnr: Tensor
    way: Way = TOLD

    @property
    def inside(self) -> list[int]:
        """Numbers of those that stand among the frames that are asked for."""
        return [k for k, place in enumerate(self.places) if place >= 0]

    @property
    def ahead(self) -> list[int]:
        """Numbers of the others."""
        return [k for k, place in enumerate(self.places) if place < 0]

    def z(self) -> Tensor:
        """As the network sees them, float32 (K, 3, h, w)."""
        return alpha(self.logsnr)[:, None, None, None] * self.x

    def of(self, first: int, end: int) -> Known | None:
        """Those among frames ``first`` to ``end``, counted from there; before the first of all all that are there."""
        there = [k for k, place in enumerate(self.places) if (place >= first or not first) and place < end]
        if not there:
            return None
        places = tuple(self.places[k] - first for k in there)
        return replace(self, places=places, x=self.x[there], logsnr=self.logsnr[there])


class ClipVDM(Denoiser):
    """eps_hat(z_t, log-SNR): a `Framed` `ConditionalModel` of x in [-1, 1] that takes frames; of pictures as it is."""

    takes = frozenset({Before.kind, Frames.kind})
    device: torch.device

    def __init__(self, weights: Weights, config: ClipConfig):
        self.name, self.fingerprint = weights.name, weights.fingerprint
        self.logsnr_min, self.logsnr_max = config.logsnr_min, config.logsnr_max
        self.device, self.poses = torch.device(device_of(weights.device)), weights.poses
        self.shortcut = None if weights.flow is None else Multistep.of(**weights.flow)
        self.half = bfloat16_serves(self.device.type)
        self.net = plain(lambda _: ClipUNet(config), config, weights.tensors, self.device)

    @property
    def arithmetic(self) -> str:
        """"bfloat16" where the device multiplies that itself."""
        return "bfloat16" if self.half else "float32"

    def framed(self, frames: int) -> Stretch:
        """The model of so many frames one below another."""
        return Stretch(self, frames)

    def given(self, condition: Condition) -> GivenFrames:
        """The model of clips that have such frames. Raises InputError for other conditions."""
        check(self, condition)
        return GivenFrames(self, (condition,))

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of pictures, each by itself: of the shape of z float32 (N, 3, h, w), at one log-SNR."""
        return self.posed(z, logsnr, ())

    def posed(self, z: Tensor, logsnr: Tensor, sides: tuple[int, ...]) -> Tensor:
        """As :meth:`predict`, by an answer to z mirrored along ``sides``, 2 (upside down), 3 or both."""
        return self.asked(z.flip(sides), logsnr, 1).flip(sides)

    @torch.inference_mode()
    @held()
    def asked(self, z: Tensor, logsnr: Tensor, frames: int, known: Known | None = None) -> Tensor:
        """eps_hat float32 of the frames z float32 (N, 3, h, w) of one log-SNR, clips of ``frames`` each.

        known: of the one clip that there is then; x_hat of those among them is what they are.
        """
        z = z.to(self.device)
        t = torch.as_tensor(logsnr, dtype=torch.float32, device=self.device).reshape(1)
        alone = frames == 1 and known is None
        x = self._x(z, t, 1) if alone else torch.cat([self._clip(clip, t, known) for clip in parted(z, frames)])
        if known is not None:
            x[[known.places[k] for k in known.inside]] = known.x[known.inside]
        eps: Tensor = (z - alpha(t) * x) / sigma(t)
        return eps

    def _clip(self, z: Tensor, t: Tensor, known: Known | None) -> Tensor:
        """x_hat (T, 3, h, w) of a clip, AT_ONCE frames at a time with those around them."""
        T = len(z)
        parts = -(-T // AT_ONCE)
        edges = [T * part // parts for part in range(parts + 1)]
        out = []
        for first, end in itertools.pairwise(edges):
            low, high = max(0, first - AROUND), min(T, end + AROUND)
            x = self._stretch(z[low:high], t, None if known is None else known.of(low, high))
            out.append(x[first - low : end - low])
        return torch.cat(out)

    def _stretch(self, z: Tensor, t: Tensor, known: Known | None) -> Tensor:
        """x_hat (T, 3, h, w) of frames that are seen at once."""
        told, shown = t.repeat(len(z)), z
        if known is None:
            return self._x(z, told, len(z))
        places = [known.places[k] for k in known.inside]
        if known.way == GUIDED and places:
            return self._guided(z, told, places, known.x[known.inside])
        if known.way == TOLD:
            shown = z.clone()
            shown[places], told[places] = known.z()[known.inside], known.logsnr[known.inside]
        ahead = known.ahead
        shown, told = torch.cat([known.z()[ahead], shown]), torch.cat([known.logsnr[ahead], told])
        return self._x(shown, told, len(shown))[len(ahead) :]

    def _guided(self, z: Tensor, t: Tensor, places: list[int], x: Tensor) -> Tensor:
        """x_hat (T, 3, h, w), led to where that at ``places`` is ``x`` (arXiv 2204.03458, eq. 7)."""
        with torch.inference_mode(False), torch.enable_grad():
            z, t, x = (one.clone() for one in (z, t, x))
            z.requires_grad_()
            found = asked(self.net, self.half, z, t, len(z))
            (slope,) = torch.autograd.grad((x - found[places]).square().sum(), z)
        return found.detach() - WEIGHT / 2 * alpha(t[:1]) * slope

    def _x(self, z: Tensor, t: Tensor, frames: int) -> Tensor:
        t = t.expand(len(z))
        return in_blocks(lambda part: asked(self.net, self.half, part, t, frames), z)


class GivenFrames(Denoiser):
    """A :class:`ClipVDM` that was given frames: a `Framed` model of the rest of the clip."""

    takes = ClipVDM.takes
    device: torch.device

    def __init__(self, of: ClipVDM, conditions: tuple[Condition, ...]):
        self.of, self.conditions = of, conditions
        self.name, self.fingerprint, self.device = of.name, of.fingerprint, of.device
        self.logsnr_min, self.logsnr_max = of.logsnr_min, of.logsnr_max

    @property
    def arithmetic(self) -> str:
        """As the model's."""
        return self.of.arithmetic

    def given(self, condition: Condition) -> GivenFrames:
        """The model of clips that have these frames as well. Raises InputError for other conditions."""
        check(self, condition)
        return GivenFrames(self.of, (*self.conditions, condition))

    def framed(self, frames: int) -> Stretch:
        """The model of so many frames one below another. Raises InputError for places that it has not."""
        return Stretch(self.of, frames, self._known(frames))

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32 of one frame, of the shape of z float32 (N, 3, h, w), at one log-SNR."""
        return self.framed(1).predict(z, logsnr)

    def _known(self, frames: int) -> Known:
        places, xs, logsnrs, ways = list[int](), list[Tensor](), list[float](), set[Way]()
        for condition in self.conditions:
            assert isinstance(condition, Before | Frames)
            where = condition.where
            if max(where) >= frames or set(where) & set(places):
                raise InputError(f"frames {where} were given of a clip of {frames} that has or knows others")
            places += where
            xs += [torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1) for frame in condition.frames]
            ways.add(condition.way if isinstance(condition, Frames) else TOLD)
            told = condition.augmentation
            most = self.logsnr_max
            logsnrs += [most if told is None else min(told / 1024, most)] * len(where)
        order = sorted(range(len(places)), key=places.__getitem__)
        x = torch.stack([xs[k] for k in order]).to(self.device).float() / 127.5 - 1
        told_of = torch.tensor([logsnrs[k] for k in order], dtype=torch.float32, device=self.device)
        if len(ways) > 1:
            raise InputError(f"expected frames that are known in one way, found {', '.join(sorted(ways))}")
        return Known(tuple(places[k] for k in order), x.expand(-1, 3, -1, -1), told_of, ways.pop())


class Stretch(Denoiser):
    """The model of ``frames`` frames that lie one below another in z (N, 3, frames h, w): a `DiffusionModel`."""

    device: torch.device

    def __init__(self, of: ClipVDM, frames: int, known: Known | None = None):
        self.of, self.frames, self.known = of, frames, known
        self.name, self.fingerprint, self.device = of.name, of.fingerprint, of.device
        self.logsnr_min, self.logsnr_max = of.logsnr_min, of.logsnr_max
        self.shortcut = of.shortcut

    @property
    def arithmetic(self) -> str:
        """As the model's."""
        return self.of.arithmetic

    @property
    def poses(self) -> int:
        """As the model's."""
        return self.of.poses

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """(3, H, W) of x of frames of ``shape`` (H, W) in all. Raises InputError where H is no multiple of them."""
        if shape[0] % self.frames:
            raise InputError(f"{shape[0]} rows are not those of {self.frames} frames of one height")
        if self.known is not None and (shape[0] // self.frames, shape[1]) != tuple(self.known.x.shape[2:]):
            found = "×".join(map(str, reversed(self.known.x.shape[2:])))
            raise InputError(f"frames of {found} were given of a clip of {shape[1]}×{shape[0] // self.frames}")
        return super().latent_shape(shape)

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, 3, T h, w), at one log-SNR, float32 ()."""
        return self.posed(z, logsnr, ())

    def posed(self, z: Tensor, logsnr: Tensor, sides: tuple[int, ...]) -> Tensor:
        """As :meth:`predict`, by an answer to every frame mirrored along ``sides``, 2 (upside down), 3 or both."""
        self.latent_shape((z.shape[2], z.shape[3]))
        known = self.known
        if known is not None and sides:
            known = replace(known, x=known.x.flip(sides))
        one_by_one = unstacked(z, self.frames).flip(sides)
        eps = [self.of.asked(clip, logsnr, self.frames, known) for clip in parted(one_by_one, self.frames)]
        return stacked(torch.cat(eps).flip(sides), self.frames)


def parted(z: Tensor, frames: int) -> tuple[Tensor, ...]:
    """Clips (T, C, h, w) of frames that follow each other in z (N, C, h, w)."""
    return z.view(-1, frames, *z.shape[1:]).unbind()


def unstacked(z: Tensor, frames: int) -> Tensor:
    """(N T, C, h, w) of clips (N, C, T h, w)."""
    N, C, H, W = z.shape
    return z.view(N, C, frames, H // frames, W).transpose(1, 2).reshape(N * frames, C, H // frames, W)


def stacked(z: Tensor, frames: int) -> Tensor:
    """Mirror of :func:`unstacked`."""
    N, C, h, w = z.shape
    return z.view(N // frames, frames, C, h, w).transpose(1, 2).reshape(N // frames, C, frames * h, w)
