"""What a conditional network sees of a condition, and how its x_hat is made to agree with it.

Both are of a picture's size, which a condition need not tell: they are made when z is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...runtime.errors import InputError
from ..condition import Condition, FileGiven, Observed
from ..operators import BACK, CHROMA, LUMA, ONE, Box, Bytes, Crop, LumaChroma, Mask
from .continued import continued
from .net import Seen, facts

if TYPE_CHECKING:
    from ..jpeg.coefficients import Jpeg

Size = tuple[int, int]  #: (H, W)

#: about the mean squared error in x of the planes, where what was given is what it is; of boxes times k^1.5
ERRORS = {"box": 0.0008, "luma": 0.02, "chroma": 0.001, "mask": 0.03, "file": 0.003}
HALF = 1 / 255  #: of a level, in x
STEP_ERROR = 1e-4  #: of a JPEG, times the mean step of its luma's table to the power of 3/4
_LUMA = torch.tensor(LUMA / ONE, dtype=torch.float32, device="cpu")
_CHROMA = torch.tensor(CHROMA / ONE, dtype=torch.float32, device="cpu")
_BACK = torch.tensor(BACK, dtype=torch.float32, device="cpu")


@dataclass(frozen=True)
class Exactly:
    """x + moved(exact - x) agrees with what was given: ``exact`` float32 (1, 3, H, W) does, as far as it is looked at.

    kind, k, where: of :func:`moved`.
    """

    exact: Tensor
    kind: str
    k: int = 1
    where: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """x_hat (N, 3, H, W) made to agree."""
        return x + moved(self.exact.to(x.device) - x, self.kind, self.k, self.where)


@dataclass(frozen=True)
class Cells:
    """Of a JPEG: its coefficients lie in the cells that they were quantised to. grey: whether it is of one channel."""

    jpeg: Jpeg
    grey: bool

    def __call__(self, x: Tensor) -> Tensor:
        """x_hat (N, 3, H, W) made to agree."""
        from ..jpeg import cells

        levels = ((x.double() + 1) * 127.5).permute(0, 2, 3, 1).cpu().numpy()
        levels = levels.mean(3, keepdims=True) if self.grey else levels
        inside = np.stack([cells.project(one, self.jpeg) for one in levels])
        return torch.from_numpy(inside / 127.5 - 1).permute(0, 3, 1, 2).to(x).expand_as(x)


@dataclass(frozen=True)
class Roughly:
    """What was given is not to be believed to the last level."""

    def __call__(self, x: Tensor) -> Tensor:
        """x_hat (N, 3, H, W) as it is."""
        return x


@dataclass(frozen=True)
class Shown:
    """A condition for pictures of one size: ``seen`` by the network, of one picture, and how x_hat is to ``agree``."""

    seen: Seen
    agree: Exactly | Cells | Roughly


def shown(condition: Condition, size: Size) -> Shown:
    """Of a condition of KINDS. Raises InputError where it belongs to pictures of another size."""
    if isinstance(condition, FileGiven):
        return _file(condition, size)
    if isinstance(condition, Observed):
        return _SHOWN[condition.kind](condition, size)
    raise InputError(f"a network of pictures was given {condition.kind}")


def x_of(samples: Bytes) -> Tensor:
    """x float32 (1, 3, h, w) of samples uint8 (h, w, 1 or 3)."""
    x = torch.from_numpy(samples.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    return x.expand(1, 3, -1, -1)


def _told(
    kind: str, samples: Bytes, planes: Tensor, error: float, where: Tensor | None = None, **more: Any
) -> Seen:
    """``planes`` (1, 3, H, W), which err by ``error`` in x, and by what an augmentation says.

    where: float32 (1, 1, H, W), 1 where they are what is known; None for everywhere.
    """
    told, logsnr = facts(kind, grey=samples.shape[2] == 1, **more)[None], more.get("logsnr")
    error += 0.0 if logsnr is None else math.exp(-logsnr)
    where = torch.ones_like(planes[:, :1]) if where is None else where
    return Seen(torch.cat([planes, where], 1), told, torch.tensor([1 / error]))


def _logsnr(condition: Observed) -> float | None:
    return None if condition.augmentation is None else condition.augmentation / 1024


def _agreeing(condition: Observed, exact: Tensor, k: int = 1, where: Tensor | None = None) -> Exactly | Roughly:
    """x_hat stays as it is where what was given is not to be believed to the last level."""
    if condition.augmentation is not None:
        return Roughly()
    return Exactly(exact, "mask" if where is not None else condition.kind, k, where)


def moved(d: Tensor, kind: str, k: int = 1, where: Tensor | None = None) -> Tensor:
    """Of ``d`` (N, 3, H, W) what moves a picture's box averages, luma, coarse chroma or known pixels, and no other.

    kind: a condition's, of KINDS. k: of boxes. where: float32 (N, 1, H, W), 1 where pixels are known.
    """
    if kind == "box":
        return boxes(d, k)
    if kind == "luma":
        return luma(d)
    if kind == "chroma":
        return coarse(d, k)
    assert where is not None
    return d * where.to(d.device)


def _sized(condition: Observed, size: Size) -> None:
    """Raises InputError unless the operator gives such samples of a picture of this size."""
    wanted, found = condition.operator.affine(np.zeros((*size, 3))).shape[:2], condition.samples.shape[:2]
    if wanted != found:
        raise InputError(f"{condition.kind} of a picture of {size} has {wanted} pixels, found {found}")


# ---- the picture in small


def beyond(d: Tensor) -> Tensor:
    """``d``, of any shape, in x, less what rounding leaves open: half a level to either side."""
    return d - d.clamp(-HALF, HALF)


def boxes(d: Tensor, k: int) -> Tensor:
    """Averages of boxes of k x k of (N, C, H, W), :func:`beyond` rounding, at every pixel of theirs.

    Far boxes are of what is left of them.
    """
    averages = F.avg_pool2d(d, k, ceil_mode=True, count_include_pad=False)
    return _repeated(beyond(averages), k, d.shape[2:])


def _repeated(x: Tensor, k: int, size: Any) -> Tensor:
    H, W = size
    return F.interpolate(x, scale_factor=k, mode="nearest")[..., :H, :W]


def _box(condition: Observed, size: Size) -> Shown:
    assert isinstance(condition.operator, Box)
    _sized(condition, size)
    k, x = condition.operator.k, x_of(condition.samples)
    smooth = F.interpolate(x, scale_factor=k, mode="bicubic", align_corners=False)[..., : size[0], : size[1]]
    error = ERRORS["box"] * k**1.5
    seen = _told("box", condition.samples, smooth, error, octaves=math.log2(k), logsnr=_logsnr(condition))
    return Shown(seen, _agreeing(condition, _repeated(x, k, size), k))


# ---- luma and coarse chroma


def luma(d: Tensor) -> Tensor:
    """Luma of (N, 3, H, W), :func:`beyond` rounding, in all three colours."""
    return beyond(torch.einsum("c,nchw->nhw", _LUMA.to(d.device), d))[:, None].expand_as(d)


def _luma(condition: Observed, size: Size) -> Shown:
    _sized(condition, size)
    x = x_of(condition.samples)
    seen = _told("luma", condition.samples, x, ERRORS["luma"], logsnr=_logsnr(condition))
    return Shown(seen, _agreeing(condition, x))


def coarse(d: Tensor, k: int) -> Tensor:
    """Luma of (N, 3, H, W), and its chroma averaged over boxes of k x k, both :func:`beyond` rounding."""
    chroma = boxes(torch.einsum("kc,nchw->nkhw", _CHROMA.to(d.device), d), k)
    return torch.einsum("kc,nkhw->nchw", _BACK.to(d.device), torch.cat([luma(d)[:, :1], chroma], 1))


def _coarse(condition: Observed, size: Size) -> Shown:
    assert isinstance(condition.operator, LumaChroma)
    _sized(condition, size)
    k = condition.operator.k
    offset = torch.tensor([0.0, 128.0, 128.0])[:, None, None]
    levels = torch.from_numpy(condition.samples.astype(np.float32)).permute(2, 0, 1)[None] - offset
    x = torch.einsum("kc,nkhw->nchw", _BACK, levels) / 127.5 - 1
    error = ERRORS["chroma"] * k
    seen = _told("chroma", condition.samples, x, error, octaves=math.log2(k), logsnr=_logsnr(condition))
    return Shown(seen, _agreeing(condition, x, k))


# ---- some pixels


def _masked(condition: Observed, size: Size) -> Shown:
    assert isinstance(condition.operator, Mask)
    _sized(condition, size)
    return _known(condition, x_of(condition.samples), torch.from_numpy(condition.operator.known))


def _cropped(condition: Observed, size: Size) -> Shown:
    assert isinstance(condition.operator, Crop)
    _sized(condition, size)
    known = torch.zeros(size, dtype=torch.bool)
    known[condition.operator.part] = True
    x = torch.zeros(1, 3, *size)
    x[:, :, condition.operator.part[0], condition.operator.part[1]] = x_of(condition.samples)
    return _known(condition, x, known)


def _known(condition: Observed, x: Tensor, known: Tensor) -> Shown:
    """What is known of some points, continued to all."""
    where = known[None, None].float()
    seen = _told("mask", condition.samples, continued(x, where), ERRORS["mask"], where, logsnr=_logsnr(condition))
    return Shown(seen, _agreeing(condition, x, where=where))


# ---- files


def _file(condition: FileGiven, size: Size) -> Shown:
    """Of a JPEG with its tables and its cells; of another file its samples alone."""
    if condition.samples.shape[:2] != size:
        raise InputError(f"a file of a picture of {condition.samples.shape[:2]} was given for one of {size}")
    x, jpeg = x_of(condition.samples), condition.jpeg
    if jpeg is None:
        return Shown(_told("file", condition.samples, x, ERRORS["file"]), Roughly())
    from ..jpeg import cells

    steps, sampling = cells.tables(jpeg)
    error = STEP_ERROR * float(steps[0].mean()) ** 0.75
    seen = _told("file", condition.samples, x, error, sampling=sampling, tables=torch.from_numpy(steps))
    return Shown(seen, Cells(jpeg, condition.samples.shape[2] == 1))


_SHOWN: dict[str, Callable[[Observed, Size], Shown]] = {
    "box": _box, "luma": _luma, "chroma": _coarse, "mask": _masked, "crop": _cropped,
}  # fmt: skip
