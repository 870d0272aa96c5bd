"""Models by name, place and object: what each word means, what fits a codec, and what is refused by name."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import White, needs_weights

import diffcodec
from diffcodec.bitstream import Header
from diffcodec.bitstream.archive import ArchiveHeader
from diffcodec.models import architectures, registry
from diffcodec.models.architectures import ARCHITECTURES, Weights, fingerprint_of
from diffcodec.models.completion import CompletedDiffusion
from diffcodec.models.protocols import DiffusionModel, FrameModel, MaskedModel, Model, PhaseModel, TrackModel, Tunable
from diffcodec.runtime.errors import InputError, ModelMismatch, ModelNotFound
from diffcodec.runtime.recorded import Recorded, recordable

PHOTO = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_loaded", {})


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "their_models.py").write_text(
        "from diffcodec.models.gaussian import WhitePictures\n"
        "made = []\n"
        "ready = WhitePictures()\n"
        "def make(device):\n"
        "    made.append(device)\n"
        "    return WhitePictures(0.2)\n"
        "def broken():\n"
        "    raise RuntimeError('no weights\\nat all')\n"
        "class Inner:\n"
        "    White = WhitePictures\n"
        "nothing = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "their_models", raising=False)
    return "their_models"


# ---- kinds


class Bare:
    """A diffusion as it could be written before the protocol declared all that is used."""

    name, numerics, channels = "bare", 2, 3
    fingerprint = hashlib.sha256(b"bare").digest()
    logsnr_min, logsnr_max = -8.0, 13.5

    def predict(self, z: torch.Tensor, logsnr: torch.Tensor) -> torch.Tensor:
        return White().predict(z, logsnr)

    def to_latent(self, image: torch.Tensor) -> torch.Tensor:
        return image.float() / 127.5 - 1

    def from_latent(self, x: torch.Tensor) -> torch.Tensor:
        return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def test_a_bare_diffusion_is_completed() -> None:
    bare, white = Bare(), White()
    model = registry.load(bare, codec="diffc")
    assert isinstance(model, CompletedDiffusion) and isinstance(model, DiffusionModel)
    assert (model.name, model.fingerprint, model.device) == (bare.name, bare.fingerprint, "cpu")
    assert model.latent_shape((5, 7)) == (3, 5, 7)
    z = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.x_hat(z, 1024), white.x_hat(z, 1024))
    stream = diffcodec.encode(PHOTO, "diffc", bare, bpp=4)
    assert (diffcodec.decode(stream, model=bare) == diffcodec.decode(stream, model=model)).all()
    archive = diffcodec.encode_archive([PHOTO] * 2, bare, steps=5)
    assert all((a == PHOTO).all() for a in diffcodec.decode_archive(archive, model=bare))


def test_a_bare_diffusion_keeps_its_device_and_its_exact_expectation() -> None:
    class Further(Bare):
        device = torch.device("cpu", 0)
        numerics = 0

        def x_hat(self, z: torch.Tensor, units: int) -> torch.Tensor:
            return z.double() * units

    model = registry.load(Further(), codec="vdm")
    assert model.device == torch.device("cpu", 0)
    assert torch.equal(model.x_hat(torch.ones(1), 3), torch.full((1,), 3.0, dtype=torch.float64))
    assert registry.load(Bare(), codec="vdm").x_hat(torch.ones(1), 0).dtype == torch.float64


def test_a_model_that_fits_is_itself() -> None:
    white = White()
    assert registry.load(white, codec="diffc") is white and registry.load(white, codec=None) is white


@needs_weights
@pytest.mark.parametrize("name", [card["name"] for card in registry.cards()])
def test_bundled_models_are_of_their_cards_kind(name: str) -> None:
    card = next(card for card in registry.cards() if card["name"] == name)
    model = registry.load(name, device="cpu", codec=card["codec"])
    every = (DiffusionModel, FrameModel, MaskedModel, PhaseModel, TrackModel, Tunable)
    kinds: dict[str, set[type[Model]]] = {
        "clip-ardm-1": {FrameModel},
        "lattice-ardm-1": {PhaseModel, Tunable},
        "masked-unet-exact-1": {MaskedModel},
        "tracks-ardm-1": {TrackModel},
    }
    wanted = kinds.get(card["config"]["architecture"], {DiffusionModel})
    assert {kind for kind in every if isinstance(model, kind)} == wanted
    assert isinstance(model, Model) and recordable(model.name)


@pytest.mark.parametrize(("model", "codec"), [(White(), "ardm"), (42, "diffc"), (42, None), (object(), "ardm")])
def test_what_fits_no_codec_is_refused(model: Any, codec: str | None) -> None:
    with pytest.raises(ModelMismatch):
        registry.load(model, codec=codec)


@pytest.mark.parametrize(("name", "fingerprint"), [("a/b", bytes(32)), ("", bytes(32)), ("x", b"1234567")])
def test_what_no_stream_records_is_refused(name: str, fingerprint: bytes) -> None:
    model = White()
    model.name, model.fingerprint = name, fingerprint
    with pytest.raises(ModelMismatch, match="record"):
        diffcodec.encode(PHOTO, "diffc", model, bpp=2)


# ---- names


@pytest.mark.parametrize("name", ["photo", "ä b", "a:b", "x" * 64, "~", "model.v2"])
def test_recordable_names_go_through_both_headers(name: str) -> None:
    assert recordable(name)
    header = Header(2, 2, 1, 1, 3, 0, 0, name, bytes(8), b"")
    assert Header.from_bytes(header.to_bytes()).model == name
    if not name.startswith("~") and ":" not in name:
        assert ArchiveHeader.from_bytes(ArchiveHeader(0, name, bytes(8), b"").to_bytes()).model == name


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", ".x", "a\nb", "x" * 65, "ä" * 33, "\u202ea", "\ud800"])
def test_other_names_are_refused(name: str) -> None:
    assert not recordable(name)
    with pytest.raises(InputError, match="plain name"):
        diffcodec.register_model(name, White())


def test_a_registered_model_is_found_by_its_streams() -> None:
    white = White()
    stream = diffcodec.encode(PHOTO, "diffc", white, bpp=4)
    with pytest.raises(ModelNotFound):
        diffcodec.decode(stream)
    diffcodec.register_model("white", white)
    assert (diffcodec.decode(stream) == diffcodec.decode(stream, model=white)).all()
    assert registry.load("white", codec="diffc") is white


def test_what_is_no_provider_is_not_registered() -> None:
    for wrong in (3, None, object()):
        with pytest.raises(InputError, match="provider"):
            diffcodec.register_model("wrong", wrong)


def test_a_name_may_stand_for_whatever_load_takes(module: str) -> None:
    diffcodec.register_model("theirs", f"{module}:ready")
    assert registry.load(Recorded("theirs"), codec="diffc").name == "white"
    diffcodec.register_model("loop", "loop")
    with pytest.raises(ModelNotFound):
        registry.load("loop")
    diffcodec.register_model("told", Recorded(f"{module}:ready"))  # the caller said so
    assert registry.load("told", codec="diffc").name == "white"


# ---- modules and schemes


def test_a_module_has_or_makes_a_model(module: str) -> None:
    ready, made, inner = (registry.load(f"{module}:{n}", codec="diffc") for n in ("ready", "make", "Inner.White"))
    found = sys.modules[module]
    assert ready is found.ready and made.variance == 0.2 and isinstance(inner, White)
    assert found.made == ["auto"]
    assert registry.load(f"{module}:make", codec="diffc") is made  # once for each device
    assert registry.load(f"{module}:make", codec="diffc", device="cpu") is not made and found.made == ["auto", "cpu"]
    assert registry.load(f"module:{module}:ready", codec="diffc") is ready


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no_such_module_anywhere:x", ModelNotFound), ("their_models:no_such", ModelNotFound),
        ("their_models:broken", ModelMismatch), ("their_models:nothing", ModelMismatch),
        ("their_models:made", ModelMismatch), ("their_models:", ModelNotFound), (":make", ModelNotFound),
        ("their models:make", ModelNotFound),
    ],
)  # fmt: skip
def test_what_makes_no_model_is_named(module: str, name: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        registry.load(name, codec="diffc")
    assert "\n" not in str(caught.value)


def test_no_file_makes_a_reader_import(module: str) -> None:
    for name in (f"{module}:make", f"module:{module}:make", "path:x", "bundled:x"):
        with pytest.raises(ModelNotFound, match="neither bundled nor registered"):
            registry.load(Recorded(name), codec="diffc")
    assert module not in sys.modules


def test_a_scheme_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hub(rest: str, wanted: registry.Wanted) -> object:
        asked.append((rest, wanted))
        return White()

    monkeypatch.setitem(registry.SOURCES, "hub", hub)
    assert registry.load("hub:some/model", codec="diffc", device="cpu").name == "white"
    assert asked == [("some/model", registry.Wanted("cpu", "auto"))]
    with pytest.raises(ModelNotFound, match="neither"):
        registry.load(Recorded("hub:some"))

    monkeypatch.setitem(registry.SOURCES, "hub", lambda rest, wanted: {}[rest])
    with pytest.raises(ModelMismatch, match="makes no model"):
        registry.load("hub:x")


@needs_weights
def test_a_path_is_a_path_and_a_name_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copy(registry.FOLDER / f"cifar10-ardm{suffix}", tmp_path / f"mine{suffix}")
        shutil.copy(registry.FOLDER / f"cifar10-ardm{suffix}", tmp_path / f"photo-ardm{suffix}")
    monkeypatch.chdir(tmp_path)
    found = {words: registry.load(words).name for words in ("mine", "mine.safetensors", "path:mine", Path("mine"))}
    assert set(found.values()) == {"cifar10-ardm"}
    assert registry.load("mine") is registry.load(tmp_path / "mine.json")
    bundled = ("photo-ardm", Path("photo-ardm"), "bundled:photo-ardm", Recorded("photo-ardm"))
    assert {registry.load(name).name for name in bundled} == {"photo-ardm"}
    assert registry.load("path:photo-ardm").name == "cifar10-ardm"
    with pytest.raises(ModelNotFound, match="photo-ardm"):
        registry.load("other")


# ---- architectures and fingerprints


@needs_weights
def test_every_card_names_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for card in registry.cards():
        assert card["config"]["architecture"] in ARCHITECTURES
    seen: list[Weights] = []

    def mine(weights: Weights) -> Model:
        seen.append(weights)
        return White()

    monkeypatch.setitem(ARCHITECTURES, "mine-1", mine)
    weights = (registry.FOLDER / "cifar10-ardm.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(weights)
    config = {"architecture": "mine-1", "width": 3, "profile": []}
    (tmp_path / "m.json").write_text(json.dumps({"name": "m", "config": config}))
    assert registry.load(tmp_path / "m", device="cpu", codec="diffc").name == "white"
    (found,) = seen
    assert found.name == "m" and found.device == "cpu" and found.fields("profile") == {"width": 3}
    assert found.fingerprint == fingerprint_of(weights, config)
    (tmp_path / "m.json").write_text(json.dumps({"name": "m", "config": config | {"architecture": "mine-2"}}))
    with pytest.raises(ModelMismatch, match="mine-2"):
        architectures.read(tmp_path / "m.safetensors", "cpu", "auto")


def test_fingerprints_of_one_file_keep_their_value() -> None:
    config = {"b": 1, "a": [1, 2]}
    canonical = b'{"a":[1,2],"b":1}'
    wanted = hashlib.sha256(len(canonical).to_bytes(8, "little") + canonical + b"weights").digest()
    assert fingerprint_of(b"weights", config) == wanted


def test_fingerprints_of_several_files_tell_everything_apart(tmp_path: Path) -> None:
    config: dict[str, Any] = {"a": 1}
    files: dict[str, bytes | Path] = {"unet": b"one", "vae": b"two"}
    (tmp_path / "unet").write_bytes(b"one")
    base = fingerprint_of(files, config)
    others = [
        fingerprint_of(b"onetwo", config), fingerprint_of({"unet": b"one"}, config), fingerprint_of({}, config),
        fingerprint_of({"unet": b"two", "vae": b"one"}, config), fingerprint_of({"unetvae": b"one"}, config),
        fingerprint_of({"unet": b"onet", "vae": b"wo"}, config), fingerprint_of(files, {"a": 2}),
        fingerprint_of(b"", config),
    ]  # fmt: skip
    assert len({base, *others}) == 1 + len(others) and {len(digest) for digest in others} == {32}
    assert fingerprint_of({"vae": b"two", "unet": tmp_path / "unet"}, config) == base
    assert replace(Weights({}, config, "n", base), device="cpu").fields() == config
