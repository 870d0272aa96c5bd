"""A stand-in for the neural codec, so that what lies around it is tested in milliseconds; `real` marks the others."""

from __future__ import annotations

import hashlib
import types
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import Tensor

from diffcodec import api, cli
from diffcodec.codecs import ardm
from diffcodec.codecs.receiver import Receiver
from diffcodec.errors import CorruptStream, ModelMismatch, ModelNotFound, Truncated
from diffcodec.models.registry import FOLDER

settings.register_profile("suite", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("suite")

needs_weights = pytest.mark.skipif(not list(FOLDER.glob("*.safetensors")), reason="no bundled weights")


class FakeModel:
    name, numerics = "fake", 0
    fingerprint = hashlib.sha256(b"fake").digest()


class White:
    """The exact denoiser of pixels that are independent N(0, variance): a network in microseconds."""

    name, numerics, channels = "white", 2, 3
    fingerprint = hashlib.sha256(b"white").digest()
    logsnr_min, logsnr_max = -8.0, 13.5

    def __init__(self, variance: float = 0.3):
        self.variance = variance

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        a2, s2 = torch.sigmoid(logsnr), torch.sigmoid(-logsnr)
        return s2.sqrt() * z / (a2 * self.variance + s2)

    def to_latent(self, image: Tensor) -> Tensor:
        return image.float() / 127.5 - 1

    def from_latent(self, x: Tensor) -> Tensor:
        return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _pack(planes: np.ndarray) -> bytes:
    return zlib.compress(np.ascontiguousarray(planes).tobytes(), 9)


def _unpack(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    try:
        raw = zlib.decompress(data)
    except zlib.error as error:
        raise CorruptStream(f"fake codec: {error}") from None
    if len(raw) != int(np.prod(shape)):
        raise CorruptStream(f"fake codec: {len(raw)} bytes")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def fake_encode(photo, extra, model, *, seed=0, calls=None, progress=None):
    """Two passes of the photo, every fourth pixel and then all; one of the extra planes."""
    passes = [_pack(photo[::4, ::4]), _pack(photo)] if photo.shape[2] else []
    if extra.shape[2]:
        passes.append(_pack(extra))
    if progress:
        progress(1.0)
    return bytes([photo.shape[2]]), passes


class FakeReceiver(Receiver):
    def __init__(self, params, height, width, n_photo, n_extra, model, seed=0):
        if params != bytes([n_photo]):
            raise CorruptStream("fake codec: parameters")
        self.shape, self.n_extra, self.passes = (height, width, n_photo), n_extra, []

    def take(self, payload, progress=None):
        self.passes.append(payload)

    def show(self, reconstruction):
        height, width, n_photo = self.shape
        passes, photo_passes = self.passes, 2 if n_photo else 0
        if not passes:
            raise Truncated("fake codec: no pass")
        photo = np.empty((height, width, 0), np.uint8)
        if n_photo and len(passes) == 1:
            small = _unpack(passes[0], (-(-height // 4), -(-width // 4), n_photo))
            photo = small.repeat(4, 0).repeat(4, 1)[:height, :width]
        elif n_photo:
            photo = _unpack(passes[1], self.shape)
        extra = None
        if not self.n_extra:
            extra = np.empty((height, width, 0), np.uint8)
        elif len(passes) > photo_passes:
            extra = _unpack(passes[-1], (height, width, self.n_extra))
        return photo, extra


def decoded(params, passes, height, width, n_photo, n_extra, model, *, seed=0, **options):
    """(photo, extra, stride) that ARDM's receiver makes of passes."""
    receiver = ardm.Receiver(params, height, width, n_photo, n_extra, model, seed, **options)
    receiver.take_all(passes)
    return *receiver.show(), receiver.stride


def _load(model=None, *, device="auto", fingerprint=None, codec="ardm"):
    if isinstance(model, str) and model not in (FakeModel.name, White.name):
        raise ModelNotFound(f"no model '{model}'")
    named = FakeModel if codec == "ardm" else White
    provider = named() if model is None or isinstance(model, str) else model
    if fingerprint is not None and not provider.fingerprint.startswith(fingerprint):
        raise ModelMismatch("the stream was made with another model")
    return provider


def _name_of(fingerprint):
    return next((m.name for m in (FakeModel, White) if m.fingerprint.startswith(fingerprint)), None)


@pytest.fixture
def fake_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.SimpleNamespace(
        encode=fake_encode,
        Receiver=FakeReceiver,
        needs_model=lambda params: params[:1] not in (b"", b"\0"),
        refined=lambda params: False,
        made_in=lambda params: "nowhere",
    )
    real = api._codec
    monkeypatch.setattr(api, "_codec", lambda name: module if name == "ardm" else real(name))
    registry = types.SimpleNamespace(load=_load, cards=lambda: [], name_of=_name_of)
    monkeypatch.setattr(api, "_registry", lambda: registry)


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, bytes, str]]:
    """Run the command in this process: (exit status, standard output, standard error)."""

    def call(*argv: Any) -> tuple[int, bytes, str]:
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main([str(part) for part in argv])
        out, err = capfdbinary.readouterr()
        code = stop.value.code
        assert isinstance(code, int)
        return code, out, err.decode()

    return call


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
