"""What hostile bytes and damaged models raise: our errors alone, and the net's last of all."""

from __future__ import annotations

import json
import shutil
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import needs_weights

import diffcodec
from diffcodec.api import decode_picture
from diffcodec.models import registry
from diffcodec.runtime.errors import (
    CorruptStream,
    DiffcodecError,
    InputError,
    LimitExceeded,
    ModelError,
    ModelMismatch,
    ModelNotFound,
    Unforeseen,
)
from diffcodec.runtime.hostile import Net, guarded

CASES = Path(__file__).parent / "data" / "cases"
GOLDEN = Path(__file__).parent / "golden" / "1.3"


# ---- the net


@pytest.mark.parametrize("error", [ValueError("x"), AttributeError("y\nz"), AssertionError(), RecursionError("deep")])
def test_net_turns_foreign_exceptions(error: Exception) -> None:
    with pytest.raises(Unforeseen, match=type(error).__name__) as caught, Net():
        raise error
    assert caught.value.__cause__ is error and "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_net_tells_memory(error: Exception) -> None:
    with pytest.raises(LimitExceeded) as caught, Net():
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [CorruptStream("x"), InputError("y"), OSError(2, "z"), KeyboardInterrupt(), ImportError(), UserWarning()]
)
def test_net_lets_through(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, Net():
        raise error
    assert caught.value is error


def test_own_functions_keep_their_exceptions() -> None:
    @guarded
    def work(source: Any, progress: Any = None) -> int:
        if progress:
            progress(0.5)
        return sum(source)

    @guarded
    def steps(source: Any) -> Any:
        for value in source:
            yield 1 / value

    def stop(fraction: float) -> None:
        raise ValueError(f"the caller had enough at {fraction}")

    assert work([1, 2]) == 3 and list(steps([1, 2])) == [1, 0.5]
    with pytest.raises(ValueError, match=r"enough at 0\.5"):
        work([1], progress=stop)
    with pytest.raises(Unforeseen):
        work(["a"])
    with pytest.raises(Unforeseen):
        list(steps([0]))
    with pytest.raises(TypeError):  # a wrong call is no fault of the bytes
        work()
    with pytest.raises(TypeError):
        steps(1, 2)


def test_what_bytes_come_from_keeps_its_exceptions() -> None:
    def arriving() -> Any:
        yield b"\x8bDFC"
        raise KeyError("the caller's")

    with pytest.raises(KeyError):
        list(diffcodec.decode_progressive(arriving()))


@needs_weights
def test_encoding_is_not_netted() -> None:
    """Our own faults stay what they are."""

    class Broken:
        name, numerics, fingerprint, halo = "broken", 0, bytes(32), 0

        def bias(self, *args: Any) -> Any:
            raise ZeroDivisionError

        strip = bias

    with pytest.raises(ZeroDivisionError):
        diffcodec.encode(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64), model=Broken())


# ---- single causes


def raised(data: bytes, **options: Any) -> list[DiffcodecError]:
    """What every way to decode raises."""
    out = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for decode in (decode_picture, lambda d, **o: list(diffcodec.decode_progressive(d, **o))):
            try:
                decode(data, device="cpu", **options)
            except DiffcodecError as error:
                out.append(error)
    return out


@needs_weights
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("wrongkind-lattice-oa.dfc", ModelMismatch),
        ("wrongkind-ordered-lattice.dfc", ModelMismatch),
        ("exact-no-digest.dfc", CorruptStream),
    ],
)
def test_cases(name: str, error: type[DiffcodecError]) -> None:
    assert [type(e) for e in raised((CASES / name).read_bytes())] == [error] * 2


@needs_weights
@pytest.mark.parametrize("name", ["schedule-zero.dfca", "schedule-wide.dfca"])
def test_forged_schedules(name: str) -> None:
    with pytest.raises(CorruptStream):
        diffcodec.decode_archive((CASES / name).read_bytes(), device="cpu")


@needs_weights
@pytest.mark.parametrize("wrong", ["photo-ardm", "cifar10-ardm", "cifar10-oa", "cifar10-vdm", "photo-vdm"])
@pytest.mark.parametrize("name", ["lattice-37x3", "statistics-grey", "adjusted-rgb", "ordered-rgb", "diffc-grey"])
def test_models_of_another_kind(name: str, wrong: str) -> None:
    """Any bundled model in place of a stream's own: by its name in the header (the whole product of kinds)."""
    from dataclasses import replace

    from diffcodec.bitstream import Chunk, Header, write
    from diffcodec.bitstream import read as parsed

    container = parsed((GOLDEN / f"{name}.dfc").read_bytes())
    header = container.header
    model = registry.load(wrong, codec=None, device="cpu")
    if header.fingerprint[:4] == model.fingerprint[:4]:
        return
    header = replace(header, model=wrong, fingerprint=model.fingerprint[:8])
    chunks = [Chunk("H", Header.to_bytes(header))]
    chunks += [Chunk("A", container.adjustment)] if container.adjustment else []
    chunks += [Chunk("P", p) for p in container.passes]
    digest = (container.digest or b"").ljust(8, b"\0") if container.digest else b""
    errors = raised(write([*chunks, Chunk("E", digest)]))
    assert not any(isinstance(e, Unforeseen) for e in errors)
    takes = {codec: isinstance(model, kinds) for codec, kinds in registry.KINDS.items()}
    if not takes[diffcodec.inspect((GOLDEN / f"{name}.dfc").read_bytes())["codec"]]:
        assert [type(e) for e in errors] == [ModelMismatch] * 2


# ---- damaged weights and cards


def damages(weights: bytes, card: dict[str, Any]) -> dict[str, tuple[bytes, bytes]]:
    """By name, the two files of a model, one of them damaged."""
    text = json.dumps(card).encode()
    size = struct.unpack("<Q", weights[:8])[0]
    header = json.loads(weights[8 : 8 + size])
    body = weights[8 + size :]
    tensors = sorted(name for name in header if name != "__metadata__")

    def packed(changed: dict[str, Any], data: bytes = body) -> bytes:
        raw = json.dumps(changed).encode()
        return struct.pack("<Q", len(raw)) + raw + data

    out = {
        "empty": (b"", text),
        "cut": (weights[: len(weights) // 2], text),
        "header cut": (weights[:40], text),
        "header size": (struct.pack("<Q", 2**60) + weights[8:], text),
        "header no json": (struct.pack("<Q", 4) + b"[[[[" + body, text),
        "no tensors": (packed({}, b""), text),
        "card empty": (weights, b""),
        "card no json": (weights, b"{"),
        "card not utf-8": (weights, b"\xff\xfe{}"),
        "card a list": (weights, b"[]"),
        "card a number": (weights, b"3"),
        "card deep": (weights, b"[" * 100_000),
        "card without name": (weights, json.dumps({k: v for k, v in card.items() if k != "name"}).encode()),
        "card's name a number": (weights, json.dumps(card | {"name": 3}).encode()),
        "card without config": (weights, json.dumps({k: v for k, v in card.items() if k != "config"}).encode()),
        "config a string": (weights, json.dumps(card | {"config": "x"}).encode()),
    }
    for key in card["config"]:
        for value in (None, -1, "x", [], {}, 10**9 if key == "architecture" else 0):
            if key != "levels" and (key, value) != ("architecture", card["config"]["architecture"]):
                config = card["config"] | {key: value}
                out[f"config {key} {value!r}"] = (weights, json.dumps(card | {"config": config}).encode())
    for name in tensors[:: max(1, len(tensors) // 12)]:
        about = header[name]
        out[f"lacks {name}"] = (packed({k: v for k, v in header.items() if k != name}), text)
        other = {**about, "shape": [*about["shape"], 1, 1]}
        out[f"shape of {name}"] = (packed(header | {name: other}), text)
        half = {**about, "data_offsets": [about["data_offsets"][0]] * 2, "shape": [0]}
        out[f"nothing in {name}"] = (packed(header | {name: half}), text)
    floats = [name for name in tensors if header[name]["dtype"] in ("F32", "F16", "F64")]
    at = header[floats[0]]["data_offsets"]
    out["not a number"] = (weights[: 8 + size + at[0]] + b"\xff" * (at[1] - at[0]) + weights[8 + size + at[1] :], text)
    return out


@needs_weights
@pytest.mark.parametrize(
    "source",
    [*(registry.FOLDER / n for n in ("photo-ardm", "cifar10-oa", "photo-vdm-exact")), CASES.parent / "text-ardm"],
    ids=lambda path: path.name,
)
def test_damaged_models(source: Path, tmp_path: Path) -> None:
    weights = source.with_suffix(".safetensors").read_bytes()
    card = json.loads(source.with_suffix(".json").read_text())
    picture = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    tried = 0
    for number, (what, (data, text)) in enumerate(damages(weights, card).items()):
        path = tmp_path / f"m{number}"
        path.with_suffix(".safetensors").write_bytes(data)
        path.with_suffix(".json").write_bytes(text)
        try:
            registry.load(path, device="cpu", codec=None)
        except ModelError as error:
            tried += 1
            assert "\n" not in str(error), what
            assert type(error) is ModelNotFound or error.__cause__ is not None, what
        else:  # what is no damage to this kind of model: then it works
            if source.name == "photo-ardm":
                diffcodec.encode(picture, model=path, device="cpu")
        path.with_suffix(".safetensors").unlink()
    assert tried > 40


@needs_weights
def test_unreadable_models(tmp_path: Path) -> None:
    shutil.copy(registry.FOLDER / "photo-ardm.safetensors", tmp_path / "a.safetensors")
    with pytest.raises(ModelNotFound, match="no card"):
        registry.load(tmp_path / "a")
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ModelNotFound):
        registry.load(tmp_path / "a")
    (tmp_path / "b.safetensors").mkdir()
    with pytest.raises(ModelNotFound):
        registry.load(tmp_path / "b")
