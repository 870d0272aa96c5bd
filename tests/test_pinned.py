"""Pinned streams between devices: a warning and an attempt, or DecodeMismatch with the facts; never a foreign error."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from conftest import White

import diffcodec
from diffcodec.bitstream import Chunk, StreamReader, write
from diffcodec.bitstream.header import Header
from diffcodec.models import environment as environments
from diffcodec.models import registry
from diffcodec.runtime.errors import DecodeMismatch

PHOTO = np.random.default_rng(3).integers(0, 256, (20, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def made_here() -> bytes:
    return diffcodec.encode(PHOTO, "diffc", model=White())


def made_in(data: bytes, environment: str) -> bytes:
    """The stream as if it had been made in another environment."""
    chunks = StreamReader().feed(data)
    header = Header.from_bytes(chunks[0].payload)
    at = header.params.index(b"torch ")
    fields = {k: getattr(header, k) for k in Header.__dataclass_fields__} | {
        "params": header.params[:at] + environment.encode()
    }
    return write([Chunk("H", Header(**fields).to_bytes()), *(Chunk(c.type, c.payload) for c in chunks[1:])])


CUDA = "torch 2.13.0, cuda, numba 0.61.2, x86_64 NVIDIA H100, 8 threads"


class Elsewhere(White):
    """The same network with other last bits."""

    def predict(self, z: torch.Tensor, logsnr: torch.Tensor) -> torch.Tensor:
        return super().predict(z, logsnr) * 1.001


@pytest.mark.parametrize(
    "environment", [CUDA, CUDA.replace("cuda", "cuda:1"), "torch 3, mps, numba 1", "elsewhere", ""]
)
def test_a_stream_of_another_device_is_tried(made_here: bytes, environment: str) -> None:
    data = made_in(made_here, environment)
    with pytest.warns(UserWarning, match=environment or "made with ,"):
        assert np.array_equal(diffcodec.decode(data, model=White(), device="cpu"), PHOTO)
    with pytest.warns(UserWarning, match="made with"), pytest.raises(DecodeMismatch, match="here is torch"):
        diffcodec.decode(data, model=Elsewhere(), device="cpu")
    *_, last = diffcodec.decode_progressive(data, model=White(), device="cpu")
    assert np.array_equal(last.image, PHOTO)


def test_facts_of_a_device_that_is_not_here() -> None:
    for device in ("cuda", "cuda:3", "mps"):
        if device.startswith("cuda") and torch.cuda.is_available():
            continue
        facts = environments.environment(device).split(", ")
        assert facts[1] == device.partition(":")[0] and "not here" in facts[3]
    assert environments.made_on(environments.environment("cpu")) == "cpu"
    assert environments.made_on(CUDA) == environments.made_on(CUDA.replace("cuda", "cuda:1")) == "cuda"
    assert environments.made_on("") == environments.made_on("unknown") == "cpu"


@pytest.mark.parametrize(
    ("environment", "asked", "given"),
    [(None, "auto", "cpu"), (None, "cuda", "cuda"), (CUDA, "auto", "auto"), (CUDA, "cpu", "cpu"), ("", "auto", "cpu")],
)
def test_models_load_where_the_stream_was_made(
    made_here: bytes, monkeypatch: pytest.MonkeyPatch, environment: str | None, asked: str, given: str
) -> None:
    """Under "auto", which is CUDA where there is one: a stream made on a CPU is for a CPU."""
    seen: list[str] = []

    class Registry:
        @staticmethod
        def load(model: Any, *, device: str, **_: Any) -> Any:
            seen.append(device)
            return model

    monkeypatch.setattr(registry, "load", Registry.load)
    data = made_here if environment is None else made_in(made_here, environment)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diffcodec.decode(data, model=White(), device=asked)
        list(diffcodec.decode_progressive(data, model=White(), device=asked))
    assert seen == [given, given]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the facts of a device that is here are others")
def test_here_is_where_the_model_is(made_here: bytes) -> None:
    """A stream made on a CPU and decoded on another device is told so."""

    class Called(str):
        """The CPU under another name."""

        def __str__(self) -> str:
            return "cuda:0"

    class There(White):
        device = Called("cpu")

    model = There()
    with pytest.warns(UserWarning, match="here is torch [^,]*, cuda, .*not here"):
        diffcodec.decode(made_here, model=model, device="cpu")
