"""Our codecs of clips in the suite: ardm without loss, DiffC at every rate, in groups of as many frames as others'."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .. import api
from ..api import Clip
from ..runtime.errors import InputError
from ..stream.decode import Reconstruction
from .films import GROUP
from .point import Codec, Point, Points


def _ardm(model: str | None = None) -> Points:
    def points(clip: Clip, rates: Sequence[float]) -> Iterator[Point]:
        start = time.perf_counter()
        data = api.encode(clip, model=model, group=GROUP)
        middle = time.perf_counter()
        back = api.decode_signal(data, model=model)
        end = time.perf_counter()
        if not isinstance(back, Clip) or not back.equals(clip):
            raise ValueError("a lossless codec returned other samples")
        yield Point(len(data), back.rgb(), middle - start, end - middle, "lossless")

    return points


@dataclass(frozen=True)
class _Stream:
    rate: float
    data: bytes
    encode_s: float


#: by the names of codecs: as a reader has it who asks for nothing, and the two ends
_SHOWN = {
    "diffc-clip": Reconstruction.of(),
    "diffc-clip-mean": Reconstruction.of("mean"),
    "diffc-clip-flow": Reconstruction.of("flow"),
}
_last: list[tuple[tuple[object, ...], list[_Stream]]] = []


def _streams(frames: np.ndarray, rates: tuple[float, ...], model: str | None, effort: int | None) -> list[_Stream]:
    """A stream for every rate that the model reaches; kept for another reconstruction of the same clip."""
    key = (frames.tobytes(), rates, model, effort)
    if not _last or _last[0][0] != key:
        out = []
        for rate in rates:
            start = time.perf_counter()
            try:
                data = api.encode(frames, "diffc", model, bpp=rate, effort=effort, group=GROUP)
            except InputError as error:  # more than the model can tell of this clip
                if "ask for less" not in str(error):
                    raise
                continue
            out.append(_Stream(rate, data, time.perf_counter() - start))
        if not out:
            raise InputError("the model reaches none of the rates")
        _last[:] = [(key, out)]
    return _last[0][1]


def _diffc(name: str, model: str | None = None, effort: int | None = None) -> Points:
    def points(clip: Clip, rates: Sequence[float]) -> Iterator[Point]:
        realism = _SHOWN[name].realism
        for one in _streams(clip.rgb(), tuple(sorted(rates)), model, effort):
            start = time.perf_counter()
            image = np.asarray(api.decode(one.data, model=model, realism=realism, budget=math.inf))
            seconds = time.perf_counter() - start
            yield Point(len(one.data), image, one.encode_s, seconds, f"realism {realism:g}", one.rate)

    return points


CODECS = (
    Codec("ardm-clip", True, _ardm(), varied=lambda model, _: _ardm(model), medium="clip"),
    *(
        Codec(
            name,
            False,
            _diffc(name),
            varied=functools.partial(_diffc, name),
            efforts=True,
            shares="diffc-clip",
            medium="clip",
        )
        for name in _SHOWN
    ),
)
