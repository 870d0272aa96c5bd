"""A stand-in for the neural codec, so that what lies around it is tested in milliseconds; `real` marks the others."""

from __future__ import annotations

import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before torch is imported: processes that share the processors take one thread each. Threads of several that wait for
# one another by turning in circles take three times as long, and processor time of which limits are made with them.
if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# No calibration of one's own changes what is encoded here.
os.environ["DIFFCODEC_CALIBRATIONS"] = str(Path(__file__).parent / "no-calibrations")

import numpy as np
import pytest
from hypothesis import settings

from diffcodec.cli import console
from diffcodec.cli import main as cli
from diffcodec.codecs import cost
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.codec import About, Encoded, Head, Receiver
from diffcodec.codecs.table import CODECS
from diffcodec.models import bundled, registry
from diffcodec.models.gaussian import WhitePictures as White
from diffcodec.models.registry import FOLDER
from diffcodec.runtime.errors import CorruptStream, ModelMismatch, ModelNotFound, Truncated

sys.path.append(str(Path(__file__).parents[1] / "bitstream_spec"))  # dfc_decoder, the independent reader's

settings.register_profile("suite", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("suite")

needs_weights = pytest.mark.skipif(not list(FOLDER.glob("*.safetensors")), reason="no bundled weights")


class FakeModel:
    name, numerics = "fake", 0
    fingerprint = hashlib.sha256(b"fake").digest()


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


class FakeCodec(type(CODECS["ardm"])):
    """Two passes of the photo, every fourth pixel and then all; one of the extra planes."""

    def encode(self, coded, model, wish, room, *, like=None, progress=None):
        photo, extra = coded.photo, coded.extra
        passes = [_pack(photo[::4, ::4]), _pack(photo)] if photo.shape[2] else []
        if extra.shape[2]:
            passes.append(_pack(extra))
        if progress:
            progress(1.0)
        return [Encoded(bytes([photo.shape[2]]), passes, model)]

    def receiver(self, head, model):
        return FakeReceiver(head)

    def about(self, params):
        return About(needs_model=params[:1] not in (b"", b"\0"), environment="nowhere")

    def cost(self, prefix, reconstruction=None):
        return cost.Cost(prefix.head.pixels), cost.NOTHING_ALLOWED


class FakeReceiver(Receiver):
    def __init__(self, head):
        if head.params != bytes([head.photo]):
            raise CorruptStream("fake codec: parameters")
        self.shape, self.n_extra, self.passes = (head.height, head.width, head.photo), head.extra, []

    def take(self, payload, progress=None):
        if self.complete:
            raise CorruptStream("fake codec: a pass too many")
        self.passes.append(payload)

    @property
    def complete(self):
        return len(self.passes) == (2 if self.shape[2] else 0) + bool(self.n_extra)

    def show(self, reconstruction=None):
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

    def known(self):
        height, width, n_photo = self.shape
        out = np.zeros((height, width), bool)
        if len(self.passes) > 1 or not n_photo:
            out[...] = True
        elif self.passes:
            out[::4, ::4] = True
        return out


def decoded(params, passes, height, width, n_photo, n_extra, model, *, seed=0, **options):
    """(photo, extra, stride) that ARDM's receiver makes of passes."""
    receiver = ardm.Receiver(Head("ardm", height, width, n_photo, n_extra, params, seed), model, **options)
    receiver.take_all(passes)
    return *receiver.show(), receiver.stride


NAMED = (FakeModel.name, White.name, *registry.DEFAULT.values(), *registry.DEFAULT_OF.values())


def _load(model=None, *, device="auto", fingerprint=None, codec="ardm"):
    if isinstance(model, str) and model not in NAMED:
        raise ModelNotFound(f"no model '{model}'")
    named = FakeModel if codec == "ardm" or model == registry.DEFAULT["ardm"] else White
    provider = named() if model is None or isinstance(model, str) else model
    if fingerprint is not None and not provider.fingerprint.startswith(fingerprint):
        raise ModelMismatch("the stream was made with another model")
    return provider


def _name_of(fingerprint):
    return next((m.name for m in (FakeModel, White) if m.fingerprint.startswith(fingerprint)), None)


@pytest.fixture
def fake_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CODECS, "ardm", FakeCodec())
    monkeypatch.setattr(registry, "load", _load)
    monkeypatch.setattr(registry, "cards", lambda: [])
    for module in (registry, bundled):
        monkeypatch.setattr(module, "name_of", _name_of)


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """What a command was told of being quiet ends with its process, and here with its test."""
    yield
    console.hush(False)


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
def one_pose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean that is shown is one answer of the network, as files that are kept were recorded."""
    from diffcodec.codecs.diffc import chain

    monkeypatch.setattr(chain, "MIRRORED", ())


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
