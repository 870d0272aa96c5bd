"""Streams and archives with pictures: the package and the independent reader find what the vectors tell."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import needs_weights
from dfc_decoder import channel, diffc, lattice
from dfc_decoder.models import safetensors
from streams import SPEC, reader

import diffcodec
from diffcodec.archive import memory as archive
from diffcodec.bitstream import read
from diffcodec.channel import polar, trellis
from diffcodec.channel.noise import Key
from diffcodec.codecs.diffc import remainder
from diffcodec.codecs.vdm.chain import Chain
from diffcodec.codecs.vdm.schedule import Schedule
from diffcodec.diffusion.process import signal
from diffcodec.entropy import gaussian, logistic
from diffcodec.entropy.context import coder as context
from diffcodec.media.table import rows
from diffcodec.models import registry
from diffcodec.models.condition import ConditionalModel, Observed
from diffcodec.models.gaussian import WhiteInBoxes
from diffcodec.models.operators import Box, Mask
from diffcodec.models.registry import FOLDER
from diffcodec.runtime.errors import CorruptStream, DiffcodecError

VECTORS = SPEC / "vectors" / "decodable"
STREAMS = sorted(VECTORS.glob("*.dfc"))
ARCHIVES = sorted(VECTORS.glob("*.dfca"))
NUMBERS = json.loads((VECTORS / "numbers.json").read_text())
pytestmark = needs_weights


def name(path: Path) -> str:
    return path.stem


def expected(path: Path) -> dict[str, Any]:
    return json.loads((path.parent / "told.json").read_text(encoding="utf-8"))[path.stem]  # type: ignore[no-any-return]


def sha256(samples: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()


def agrees(samples: np.ndarray, mode: int, found: dict[str, Any]) -> bool:
    assert list(samples.shape) == found["shape"] and samples.dtype == np.dtype(found["dtype"])
    if "samples_sha256" in found:  # of a clip or tracks
        gaps = np.flatnonzero(np.ma.getmaskarray(samples)).tolist()
        return sha256(np.ma.getdata(samples)) == found["samples_sha256"] and gaps == found["gaps"]
    if "sha256" in found:
        height, width = samples.shape[:2]
        head = bytes([mode]) + width.to_bytes(4, "little") + height.to_bytes(4, "little")
        return hashlib.sha256(head + np.ascontiguousarray(samples).tobytes()).hexdigest() == found["sha256"]
    far = np.abs(samples.astype(int) - np.array(found["samples"]))
    return bool(far.max() <= found["tolerance"])


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_the_independent_reader_decodes(path: Path) -> None:
    found = expected(path)
    assert agrees(reader.decode(path.read_bytes()), found["mode"], found)


@pytest.mark.usefixtures("one_pose")
@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_the_package_decodes(path: Path) -> None:
    found = expected(path)
    model = WhiteInBoxes() if found["model"] == "white" else None
    signal = diffcodec.api.decode_signal(path.read_bytes(), reconstruction="mean", model=model)
    samples = signal.array[None] if signal.array.ndim == 1 else signal.array  # tokens are a row
    assert agrees(samples, found["mode"], found) and signal.number == found["mode"]
    told = diffcodec.inspect(path.read_bytes())
    assert {key: told[key] for key in found.get("fields", {})} == found.get("fields", {})


def test_the_reader_writes_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tracks too, which are masked: 0 where a value is missing."""
    for stem in ("tracks", "clip_yuv420_odd", "mode_74"):
        path, out = VECTORS / f"{stem}.dfc", tmp_path / f"{stem}.npy"
        monkeypatch.setattr("sys.argv", ["reader.py", str(path), str(out)])
        reader.main()
        assert np.array_equal(np.load(out), np.ma.getdata(reader.decode(path.read_bytes())))


@pytest.mark.parametrize("path", sorted((SPEC / "vectors" / "undecodable").glob("*.dfc")), ids=name)
def test_what_only_decoding_refuses(path: Path) -> None:
    data, error = path.read_bytes(), expected(path)["error"]
    model = WhiteInBoxes() if read(data).header.model == "white" else None
    with pytest.raises(DiffcodecError) as mine:
        diffcodec.decode(data, model=model)
    with pytest.raises(reader.Refused) as other:
        reader.decode(data)
    assert type(mine.value).__name__ == other.value.name == error


@pytest.mark.parametrize("path", [p for p in STREAMS if {"metadata", "frames"} & expected(p).keys()], ids=name)
def test_metadata_and_frames(path: Path) -> None:
    found, data = expected(path), path.read_bytes()
    mine = reader.decode_frames(data)
    picture = diffcodec.api.decode_picture(data, frames=True)
    told = [{"metadata": found.get("metadata", {})}, *found.get("frames", [])]
    for (samples, kinds), theirs, one in zip(mine, (picture, *picture.frames), told, strict=True):
        assert (samples == theirs.samples).all() and samples.dtype == theirs.samples.dtype
        assert {letter: value.hex() for letter, value in kinds.items()} == one["metadata"]
        assert {letter: value.hex() for letter, value in theirs.metadata.parts()} == one["metadata"]
        assert one.get("digest", theirs.digest().hex()) == theirs.digest().hex()


@pytest.mark.parametrize("path", ARCHIVES, ids=name)
def test_archives(path: Path) -> None:
    found, data = expected(path)["pictures"], path.read_bytes()
    mine, theirs = reader.decode_archive(data), diffcodec.decode_archive(data)
    assert [n for n, _ in mine] == [p["name"] for p in found] == diffcodec.inspect_archive(data)["names"]
    for (_, samples), others, told in zip(mine, theirs, found, strict=True):
        assert others is not None and (samples == others).all() and samples.dtype == others.dtype
        assert list(samples.shape) == told["shape"] and samples.dtype == np.dtype(told["dtype"])
        assert hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest() == told["sha256"]


def test_there_is_a_vector_for_everything() -> None:
    seen: dict[str, set[Any]] = {"mode": set(), "method": set(), "body": set(), "codec": set(), "tables": set()}
    for path in STREAMS:
        container = read(path.read_bytes())
        header = container.header
        seen["mode"].add(header.mode)
        seen["codec"].add(header.codec)
        if header.codec == 0:
            from diffcodec.stream.parsed import parse

            params = parse(container).head.params
            seen["method"].add(params[0])
            seen["tables"].add(params[1] if params[0] == 4 else 0)
            if params[0] in (1, 2):
                seen["body"].add(container.passes[0][0])
    assert seen["mode"] == {number for medium in rows() for number in medium.modes}
    assert seen["body"] == {0, 1, 2, 3, 4} and seen["method"] == set(range(10))
    assert seen["codec"] == {0, 2} and seen["tables"] == {0, 1, 2, 4, 7}
    assert sum(path.stat().st_size for path in (SPEC / "vectors").rglob("*") if path.is_file()) < 1_000_000


# ---- known answers in the middle


def test_noise() -> None:
    for known in NUMBERS["noise"]:
        assert (channel.normals(*known["key"], 12) * 65536).tolist() == known["normals"]


@pytest.mark.parametrize("known", NUMBERS["trellis"], ids=lambda k: f"{k['n']}-{k['bits']}")
def test_trellis(known: dict[str, Any]) -> None:
    payload, n, bits = bytes.fromhex(known["payload"]), known["n"], known["bits"]
    path = [byte >> 7 - i & 1 for byte in payload for i in range(8)][:bits]
    plain = channel.trellis(path, n, *known["key"], known["L"])
    fast = trellis.decode(payload, n, bits, Key(*known["key"]), known["L"])
    assert np.allclose(plain[:: known["every"]], known["sample"], rtol=3e-7, atol=0)
    assert fast[:: known["every"]].tolist() == known["sample"]


@pytest.mark.parametrize("known", NUMBERS["polar"], ids=lambda k: f"{k['n']}-{k['bits']}")
def test_polar(known: dict[str, Any]) -> None:
    payload, n, bits = bytes.fromhex(known["payload"]), known["n"], known["bits"]
    path = [byte >> 7 - i & 1 for byte in payload for i in range(8)][:bits]
    plain = channel.polar(path, n, *known["key"])
    fast = polar.decode(payload, n, bits, Key(*known["key"]))
    assert np.allclose(plain[:: known["every"]], known["sample"], rtol=0, atol=3e-6)
    assert fast[:: known["every"]].tolist() == known["sample"]


def test_remainder() -> None:
    known = NUMBERS["remainder"]
    samples = np.array(known["samples"], np.uint8)
    x = np.array(known["x"], np.float32).reshape(samples.shape)
    payload = bytes.fromhex(known["payload"])
    assert (diffc.remainder(payload, x) == samples).all() and (remainder.decode(payload, x) == samples).all()


def test_lattice_network() -> None:
    known = NUMBERS["lattice"]
    image = reader.decode((VECTORS / f"{known['vector']}.dfc").read_bytes())
    network = lattice.Network(safetensors((FOLDER / "photo-ardm.safetensors").read_bytes()))
    at = known["row"], known["column"]
    cosets = [image[::2, ::2]]
    for told in known["phases"]:
        phase = told["phase"] - 1
        base = lattice.base_of(cosets, phase)
        window = lattice.windows_of(cosets, phase)[at[0] * cosets[0].shape[1] + at[1]]
        parameters = network.run(cosets, phase, known["level"], (16, 16))
        codes = network.code(network.before, f"{phase}.head")  # type: ignore[arg-type]
        assert window.tolist() == told["window"] and base[at].tolist() == told["base"]
        assert codes[at].tolist() == told["head_codes"] and parameters[at].tolist() == told["parameters"]
        y, x = lattice.TARGETS[phase]
        target = image[y::2, x::2]
        assert target[at].tolist() == told["pixel"]
        cosets.append(target)


def latent() -> np.ndarray:
    return channel.normals(1, 0, 0, 3 * 20 * 28).reshape(3, 20, 28)


def test_float_network() -> None:
    model = registry.load("photo-vdm", device="cpu", codec="diffc")
    for known in NUMBERS["unet"]:
        z = torch.from_numpy(latent().astype(np.float32))[None]
        eps = model.predict(z, torch.tensor(known["logsnr"]))[0, :, 5, 6].numpy()
        assert np.abs(eps - known["eps"]).max() < 0.05  # where it runs in bfloat16; 1e-4 in float32


def test_a_network_at_several_sizes() -> None:
    model = registry.load("photo-octaves", device="cpu", codec="diffc")
    for known in NUMBERS["octaves"]:
        shape = (1, 3, known["height"], known["width"])
        z = torch.from_numpy(channel.normals(1, 0, 0, math.prod(shape)).reshape(shape).astype(np.float32))
        eps = model.predict(z, torch.tensor(known["logsnr"]))[0, :, 5, 6].numpy()
        assert np.abs(eps - known["eps"]).max() < 0.05


def test_a_network_that_is_given_something() -> None:
    model = registry.load("photo-cond", device="cpu", codec="diffc")
    assert isinstance(model, ConditionalModel)
    photo = np.array(NUMBERS["given"]["samples"], np.uint8)
    known = np.indices(photo.shape[:2]).sum(0) % 3 > 0
    gifts = {"box": Observed.of(photo, Box(4)), "mask": Observed.of(photo, Mask(known))}
    for row in NUMBERS["given"]["answers"]:
        told = model if row["given"] == "nothing" else model.given(gifts[row["given"]])
        z = torch.from_numpy(channel.normals(1, 0, 0, 288).reshape(1, 3, 8, 12).astype(np.float32))
        eps = told.predict(z, torch.tensor(row["logsnr"]))[0, :, 5, 6].numpy()
        assert np.abs(eps - row["eps"]).max() < 0.05


def test_integer_network() -> None:
    model = registry.load("photo-vdm-exact", device="cpu", codec="vdm")
    for known in NUMBERS["unet_exact"]:
        sigma = float.fromhex(known["sigma"])
        assert signal(known["units"])[1] == sigma
        Z = np.pad(np.rint(latent() * 65536), ((0, 0), (0, 12), (0, 4)), mode="edge")
        v = model.net.run(torch.from_numpy(Z)[None], known["units"], sigma)[0, :, 5, 6]
        assert v.tolist() == known["v"]


def test_masked_network() -> None:
    known = NUMBERS["masked"]
    photo = np.array(known["samples"], np.uint8)
    there = np.zeros(photo.shape[:2], bool)
    there[:, ::2] = True
    place = known["row"] * photo.shape[1] + known["column"]
    found = registry.load("cifar10-oa", device="cpu").ask(photo, there, 0, np.array([place]))
    assert found.params.ravel().tolist() == known["parameters"] and found.base[0].tolist() == known["base"]


def test_chain() -> None:
    known = NUMBERS["chain"]
    model = registry.load("photo-vdm-exact", device="cpu", codec="vdm")
    with archive.open_archive((VECTORS / f"{known['vector']}.dfca").read_bytes()) as opened:
        schedule, _ = Schedule.from_bytes(opened.header.params)
    chain = Chain(model, schedule)
    assert list(schedule.units) == known["units"] and schedule.scale == known["scale"]
    for what in ("alpha", "sigma", "a", "b", "p_std", "q_std", "cell"):
        assert [v.hex() for v in getattr(chain, what)] == known[what]


# ---- tables


def test_tables_of_the_package_and_of_the_reader() -> None:
    from dfc_decoder import ans

    assert (ans.EXP, ans.INV, ans.S) == tuple(
        t.tolist() for t in (logistic.EXP, logistic.INVERSE_SCALE, logistic.SIGMOID)
    )
    inverse, phi = gaussian.tables()
    assert (ans.GAUSSIAN_INV, ans.PHI) == (inverse.tolist(), phi.tolist())


def test_the_context_coder_refuses_alike() -> None:
    """Damaged bytes: the same pixels from both, or CorruptStream from both."""
    from dfc_decoder import Refused
    from dfc_decoder import context as plain

    rng = np.random.default_rng(0)
    for path in sorted(VECTORS.glob("context_*.dfc")):
        container = read(path.read_bytes())
        height, width = container.header.height, container.header.width
        channels = 1 if len(expected(path)["shape"]) == 2 else expected(path)["shape"][2]
        if height * width > 1000:
            continue
        for _ in range(3):
            data = bytearray(container.passes[0])
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            cut = bytes(data[: rng.integers(len(data) // 2, len(data) + 1)])
            try:
                found = context.decode_planes(cut, height, width, channels).tolist()
            except CorruptStream:
                with pytest.raises(Refused):
                    plain.decode(cut, height, width, channels)
            else:
                assert plain.decode(cut, height, width, channels) == found


OTHERS = SPEC / "vectors" / "archives"


@pytest.mark.parametrize("path", sorted((OTHERS / "valid").glob("*.dfca")), ids=name)
def test_the_independent_reader_reads_archives(path: Path) -> None:
    pictures = reader.decode_archive(path.read_bytes())
    assert [n for n, _ in pictures] == [p["name"] for p in expected(path)["pictures"]]
    for (_, mine), theirs in zip(pictures, diffcodec.decode_archive(path.read_bytes()), strict=True):
        assert theirs is not None and (mine == theirs).all() and mine.dtype == theirs.dtype


@pytest.mark.parametrize("path", sorted((OTHERS / "invalid").glob("*.dfca")), ids=name)
def test_the_independent_reader_refuses_archives(path: Path) -> None:
    with pytest.raises(reader.Refused) as refused:
        reader.decode_archive(path.read_bytes())
    assert refused.value.name == expected(path)["error"]
