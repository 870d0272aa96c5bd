"""The pictures that a frame of a clip is coded as, one after another (bitstream_spec/SPEC.md §5.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...models.lattice.geometry import GREY, RGB, YUV
from .sampling import SAMPLINGS


@dataclass(frozen=True)
class Part:
    """A picture of a frame.

    kind:   of its planes, of `models.lattice.geometry`. told: whether G is known before, so that R and B are coded.
    halved: whether it has half the size that motion is of.
    of:     it, uint8 (h, w, 1 or 3), of a frame whose earlier parts are there. into: writes it into the frame.
    """

    kind: int
    of: Callable[[np.ndarray], np.ndarray]
    into: Callable[[np.ndarray, np.ndarray], None]
    told: bool = False
    halved: bool = False


def _whole(frame: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frame)


def _into_whole(frame: np.ndarray, picture: np.ndarray) -> None:
    frame[...] = picture


def _luma_between(frame: np.ndarray) -> np.ndarray:
    """U, Y, V of Y, U, V: luma in the place of G, which is coded first."""
    return np.ascontiguousarray(frame[..., [1, 0, 2]])


def _into_luma_first(frame: np.ndarray, picture: np.ndarray) -> None:
    frame[..., [1, 0, 2]] = picture


YUV420 = SAMPLINGS["YUV420"]


def _luma(frame: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frame[: YUV420.luma_rows(len(frame))])


def _into_luma(frame: np.ndarray, picture: np.ndarray) -> None:
    frame[: len(picture)] = picture


def _chroma(frame: np.ndarray) -> np.ndarray:
    """U, luma in small, V: (h, w, 3) of a frame uint8 (H + h, 2w, 1)."""
    H, w = YUV420.luma_rows(len(frame)), frame.shape[1] // 2
    luma = np.pad(frame[:H, :, 0].astype(np.int32), ((0, H % 2), (0, 0)), mode="edge")
    small = (luma[0::2, 0::2] + luma[0::2, 1::2] + luma[1::2, 0::2] + luma[1::2, 1::2] + 2) >> 2
    return np.stack([frame[H:, :w, 0], small.astype(np.uint8), frame[H:, w:, 0]], 2)


def _into_chroma(frame: np.ndarray, picture: np.ndarray) -> None:
    H, w = YUV420.luma_rows(len(frame)), frame.shape[1] // 2
    frame[H:, :w, 0], frame[H:, w:, 0] = picture[..., 0], picture[..., 2]


#: in the order in which they are coded
PARTS = {
    SAMPLINGS["RGB"]: (Part(RGB, _whole, _into_whole),),
    SAMPLINGS["YUV444"]: (Part(YUV, _luma_between, _into_luma_first),),
    YUV420: (Part(GREY, _luma, _into_luma), Part(YUV, _chroma, _into_chroma, told=True, halved=True)),
}
