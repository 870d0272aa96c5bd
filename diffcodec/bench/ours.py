"""Our codecs in the suite: ardm file by file, DiffC at every rate, all pictures in one archive by VDM bits-back."""

from __future__ import annotations

import copy
import functools
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import api
from ..archive import memory as archive
from ..runtime.errors import InputError
from ..stream import parsed
from ..stream.decode import Reconstruction, receiver_of
from ..stream.encode import Sender
from ..stream.typed import CodecName
from .point import Codec, Point, Points


@functools.cache
def warm(codec: CodecName, model: str | None) -> None:
    """Compile the kernels and load the weights, so that no picture's seconds hold that."""
    noise = np.random.default_rng(0).integers(0, 64, (64, 64, 3), np.uint8)
    picture = noise + np.arange(64, dtype=np.uint8)[:, None, None]
    api.decode(api.encode(picture, codec, model, bpp=2 if codec == "diffc" else None), model=model)


def _ardm(model: str | None = None) -> Points:
    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        warm("ardm", model)
        start = time.perf_counter()
        data = api.encode(original, model=model)
        middle = time.perf_counter()
        image = np.asarray(api.decode(data, model=model))
        yield Point(len(data), image, middle - start, time.perf_counter() - middle, "lossless")

    return points


def _archive(model: str | None = None) -> Points:
    def points(originals: Sequence[np.ndarray], rates: Sequence[float]) -> Iterator[Point]:
        start = time.perf_counter()
        data = archive.encode_archive(list(originals), model)
        middle = time.perf_counter()
        images = archive.decode_archive(data)
        end = time.perf_counter()
        if len(images) != len(originals) or not all(
            a is not None and np.array_equal(a, b) for a, b in zip(images, originals, strict=True)
        ):
            raise ValueError("a lossless codec returned other pixels")
        yield Point(len(data), np.empty((0, 0, 3), np.uint8), middle - start, end - middle, "lossless")

    return points


# ---- DiffC


#: by the names of codecs: as a reader has it who asks for nothing, and the two ends
_SHOWN = {
    "diffc": Reconstruction.of(),
    "diffc-mean": Reconstruction.of("mean"),
    "diffc-flow": Reconstruction.of("flow"),
}


def _diffc(name: str, model: str | None = None, effort: int | None = None) -> Points:
    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        how = _SHOWN[name]
        for one in _streams(original, tuple(sorted(rates)), model, effort):
            image, shown_s = one.show(how)
            yield Point(one.size, image, one.encode_s, one.taken_s + shown_s, f"realism {how.realism:g}", one.rate)

    return points


@dataclass(frozen=True)
class _Stream:
    """A stream of ``size`` bytes for a rate: what it shows and in which seconds, those of its passes."""

    rate: float
    size: int
    show: Callable[[Reconstruction], tuple[np.ndarray, float]]
    encode_s: float
    taken_s: float


class Remembering:
    """A model's calls for the sender answer the receiver, which asks the same: the network runs once for both.

    ``model`` is one like the given one that does so. ``saved``: seconds that the answered calls had taken, which
    belong to the receiver's. A receiver that held another z_t than the sender would find no answer and compute its own.
    """

    def __init__(self, model: Any):
        self.saved = 0.0
        self._predict = model.predict
        self._known: dict[tuple[bytes, float], tuple[Any, float]] = {}
        self.model = copy.copy(model)
        self.model.predict = self.predict

    def forget(self) -> None:
        """All answers: those for another stream are of no use."""
        self._known.clear()

    def predict(self, z: Any, logsnr: Any) -> Any:
        """As the model's, asked once for every (z, logsnr)."""
        key = hashlib.sha256(z.cpu().numpy().tobytes()).digest(), float(logsnr)
        if key in self._known:
            eps, seconds = self._known[key]
            self.saved += seconds
            return eps
        start = time.perf_counter()
        eps = self._predict(z, logsnr)
        self._known[key] = eps, time.perf_counter() - start
        return eps


_last: list[tuple[tuple[object, ...], list[_Stream]]] = []


def _streams(
    original: np.ndarray, rates: tuple[float, ...], model: str | None, effort: int | None
) -> list[_Stream]:
    """A stream for every rate that the model reaches; kept for another reconstruction of the same picture.

    Coded anew for each, as who asks for one would: the beginning of a longer stream was made with longer steps.
    """
    key = (original.tobytes(), rates, model, effort)
    if _last and _last[0][0] == key:
        return _last[0][1]
    warm("diffc", model)
    network = Remembering(Sender.of("diffc", model).provider())
    out = []
    for rate in rates:
        start = time.perf_counter()
        try:
            data = api.encode(original, "diffc", network.model, bpp=rate, effort=effort)
        except InputError as error:  # more than the model can tell of this picture
            if "ask for less" not in str(error):
                raise
            continue
        middle, network.saved = time.perf_counter(), 0.0
        stream = parsed.read(data)
        receiver = receiver_of(stream, network.model)
        receiver.take_all(stream.container.passes)
        taken_s = time.perf_counter() - middle + network.saved
        show = functools.partial(_shown, receiver, network)
        out.append(_Stream(rate, len(data), show, middle - start, taken_s))
        network.forget()
    if not out:
        raise InputError("the model reaches none of the rates")
    _last[:] = [(key, out)]
    return out


def _shown(receiver: Any, network: Remembering, how: Reconstruction) -> tuple[np.ndarray, float]:
    """uint8 (H, W, 3), and the seconds that it took; grey pictures are coded as one plane."""
    start, network.saved = time.perf_counter(), 0.0
    image: np.ndarray = receiver.show(how)[0]
    return image.repeat(3 // image.shape[2], 2), time.perf_counter() - start + network.saved


# ---- a picture given in small


#: by the names of codecs: how many times smaller the stages are, and what is shown
_BASED = {
    "diffc-base4": ((4,), Reconstruction.of()),
    "diffc-base4-mean": ((4,), Reconstruction.of("mean")),
    "diffc-base16-4": ((16, 4), Reconstruction.of()),
}


def _based(name: str, model: str | None = None, effort: int | None = None) -> Points:
    """Of streams of one conditional ``model`` that are given the picture in small, the share of which is the usual."""
    factors, how = _BASED[name]

    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        warm("diffc", None)
        provider = Sender.of("diffc", model or api.CONDITIONAL).provider()
        for rate in sorted(rates):
            start = time.perf_counter()
            base = api.base_of(original, factors, bpp=api.SHARE * rate, conditional=provider, effort=effort)
            data = api.encode(original, "diffc", provider, given=base, bpp=rate, effort=effort)
            middle = time.perf_counter()
            image = np.asarray(api.decode(data, model=provider, realism=how.realism))
            seconds = time.perf_counter() - middle
            yield Point(len(data), image, middle - start, seconds, f"realism {how.realism:g}", rate)

    return points


CODECS = (
    Codec("ardm", True, _ardm(), varied=lambda model, _: _ardm(model)),
    Codec("vdm-archive", True, _archive(), archive=True, varied=lambda model, _: _archive(model)),
    *(
        Codec(name, False, _diffc(name), varied=functools.partial(_diffc, name), efforts=True, shares="diffc")
        for name in _SHOWN
    ),
    *(
        Codec(name, False, _based(name), varied=functools.partial(_based, name), efforts=True, usual=False)
        for name in _BASED
    ),
)
