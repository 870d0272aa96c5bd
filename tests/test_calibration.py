"""calibrate: where passes lie is measured once, kept beside the model, and said by every stream itself."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import diffcodec
from diffcodec.bitstream import read
from diffcodec.codecs.diffc import profile
from diffcodec.codecs.diffc.cost import steps
from diffcodec.codecs.diffc.schedule import Schedule
from diffcodec.codecs.diffc.spread import UNIT, Wide
from diffcodec.diffusion import samplers
from diffcodec.models import calibration as calibrations
from diffcodec.models import registry
from diffcodec.models.calibration import Calibration
from diffcodec.models.gaussian import WhitePictures
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.runtime.errors import DiffcodecError, InputError, ModelMismatch


def waves(height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    clean = [128 + 70 * np.sin(x / (5 + k + seed)) * np.cos(y / (4 + k)) for k in range(3)]
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 3))
    return (np.stack(clean, 2) + noise).clip(0, 255).astype(np.uint8)


MODEL = GaussianPictures.smooth()
OWN = MODEL.name, MODEL.fingerprint


@pytest.fixture(scope="module")
def measured() -> Calibration:
    return profile.measured(MODEL, [waves(seed=k).astype(np.uint8) for k in (1, 2)])


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's folder."""
    monkeypatch.setenv(calibrations.FOLDER, str(tmp_path / "kept"))
    return tmp_path / "kept"


def passes_of(data: bytes) -> list[int]:
    return [units for payload in read(data).passes for units in steps(payload, 1)]


# ---- laws of streams


@pytest.mark.parametrize("wish", [{"bpp": 2.0}, {"max_bytes": 300}, {"psnr": 27.0}, {}, {"bpp": 1.0, "effort": 2}])
def test_a_stream_decodes_without_the_calibration_it_was_made_with(
    wish: dict[str, Any], measured: Calibration, place: Path, tmp_path: Path
) -> None:
    photo, path = waves(), tmp_path / "c.json"
    path.write_text(measured.text())
    data = diffcodec.encode(photo, "diffc", MODEL, calibration=path, **wish)
    assert data == diffcodec.encode(photo, "diffc", MODEL, calibration=measured, **wish)
    plain = diffcodec.encode(photo, "diffc", MODEL, **wish)
    assert passes_of(plain) != passes_of(data)
    path.unlink()
    shown = diffcodec.decode(data, model=MODEL, reconstruction="mean")
    beside = calibrations.place(MODEL, *OWN)
    beside.parent.mkdir(parents=True)
    beside.write_text(replace(measured, loss=0.9).text())  # which no reader looks at
    assert np.array_equal(shown, diffcodec.decode(data, model=MODEL, reconstruction="mean"))
    if wish:
        error = np.square(shown.astype(float) - photo).mean()
        assert error < 0.5 * photo.var()
        assert "psnr" not in wish or 26.5 < 10 * math.log10(65025 / error) < 28.5
    else:
        assert np.array_equal(shown, photo)


def test_budgets_and_prefixes(measured: Calibration) -> None:
    photo = waves()
    for size in (150, 400, 900):
        data = diffcodec.encode(photo, "diffc", MODEL, max_bytes=size, calibration=measured)
        assert size - 8 <= len(data) <= size or size > 500
    previews = list(diffcodec.decode_progressive(data, model=MODEL, reconstruction="mean"))
    assert len(previews) > 1
    for one in previews:
        again = diffcodec.decode(data, model=MODEL, reconstruction="mean", upto_bytes=one.bytes_read)
        assert np.array_equal(again, one.image)
    errors = [np.square(one.image.astype(float) - photo).mean() for one in previews]
    assert errors == sorted(errors, reverse=True)


def test_a_picture_unlike_the_calibrations_is_coded_as_well(measured: Calibration) -> None:
    for photo in (np.full((16, 16, 3), 7, np.uint8), np.random.default_rng(0).integers(0, 256, (33, 20), np.uint8)):
        data = diffcodec.encode(photo, "diffc", MODEL, psnr=30.0, calibration=measured)
        shown = diffcodec.decode(data, model=MODEL, reconstruction="mean").reshape(photo.shape)
        assert np.square(shown.astype(float) - photo).mean() < 75


# ---- where it lies


def test_a_provider_finds_its_own_again(place: Path) -> None:
    photo = waves()
    plain = diffcodec.encode(photo, "diffc", MODEL, bpp=2.0)
    told = diffcodec.calibrate(MODEL, [waves(seed=1)])
    assert told["file"] is not None and Path(told["file"]).parent == place and told["model"] == MODEL.name
    found = diffcodec.encode(photo, "diffc", MODEL, bpp=2.0)
    assert found != plain and found == diffcodec.encode(photo, "diffc", MODEL, bpp=2.0, calibration=told["file"])
    assert diffcodec.encode(photo, "diffc", MODEL, bpp=2.0, calibration=False) == plain
    other = GaussianPictures.smooth(side=4)
    assert diffcodec.encode(photo, "diffc", other, bpp=2.0) == diffcodec.encode(
        photo, "diffc", other, bpp=2.0, calibration=False
    )


def test_nothing_is_kept_where_nothing_is_to_be(place: Path) -> None:
    told = diffcodec.calibrate(MODEL, [waves()], out=False)
    assert told["file"] is None and not place.exists()


def test_an_own_file_is_not_replaced_by_chance(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        diffcodec.calibrate(MODEL, [waves()], out=path)
    assert path.read_text() == "precious"
    diffcodec.calibrate(MODEL, [waves()], out=path, overwrite=True)
    assert calibrations.read(path).of(MODEL).pictures == 1


@pytest.mark.parametrize("words", ["weights/mine", "weights/mine.safetensors", "path:weights/mine"])
def test_beside_weights(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert calibrations.place(words, *OWN) == Path("weights/mine.calibration.json")
    assert calibrations.place(Path("weights/mine.v2"), *OWN) == Path("weights/mine.v2.calibration.json")


def test_in_the_folder_of_a_pipeline_and_else_in_the_users(place: Path, tmp_path: Path) -> None:
    (tmp_path / "ddpm").mkdir()
    for words in (f"diffusers:{tmp_path}/ddpm", f"diffusers:{tmp_path}/ddpm?dtype=bfloat16"):
        assert calibrations.place(words, *OWN) == tmp_path / "ddpm" / "ddpm.calibration.json"
    users = place / f"{MODEL.name}-{MODEL.fingerprint.hex()[:16]}.calibration.json"
    label = f"diffusers:{tmp_path}/ddpm?label=3"  # another model to streams
    for other in (label, "diffusers:owner/name@0123", "photo-vdm", Path("photo-vdm"), "package.module:Name", MODEL):
        assert calibrations.place(other, *OWN) == users


def test_a_registered_name_means_what_it_stands_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    registry.register("mine", tmp_path / "weights.safetensors")
    assert calibrations.place("mine", *OWN) == tmp_path / "weights.calibration.json"


# ---- what cannot be


def text_with(measured: Calibration, **changes: Any) -> bytes:
    return json.dumps(json.loads(measured.text()) | changes).encode()


def test_a_calibration_reads_back(measured: Calibration) -> None:
    assert calibrations.parsed(measured.text().encode()) == measured


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": "another 2"}, "format"),
        ({"levels": []}, "two levels"),
        ({"whole": [1.0]}, "error for each"),
        ({"coarse": None}, "no 'coarse'"),
        ({"whole": "much"}, "no 'whole'"),
        ({"fingerprint": "xyz"}, "cannot be read"),
        ({"pictures": "two"}, "no 'pictures'"),
        ({"loss": float("nan")}, "NaN"),
        ({"loss": 0}, "loss above 0"),
        ({"loss": True}, "no 'loss'"),
        ({"levels": [1e400, 2]}, "error for each|NaN"),
    ],
)
def test_files_that_are_none(changes: dict[str, Any], told: str, measured: Calibration) -> None:
    with pytest.raises(InputError, match=told) as failed:
        calibrations.parsed(text_with(measured, **changes))
    assert "\n" not in str(failed.value)


def test_numbers_that_cannot_be(measured: Calibration, tmp_path: Path) -> None:
    count = len(measured.levels)
    for name, values, told in (
        ("levels", [0.0] * count, "do not rise"),
        ("levels", list(reversed(measured.levels)), "do not rise"),
        ("levels", [1e3 * k for k in range(count)], "do not rise"),
        ("whole", [float("nan")] * count, "NaN"),
        ("whole", [-1.0] * count, "not above 0"),
        ("coarse", [0.0] * count, "not above 0"),
        ("coarse", [10**400] * count, "cannot be read"),
        ("levels", ["a"] * count, "something else than numbers"),
    ):
        path = tmp_path / "c.json"
        path.write_bytes(text_with(measured, **{name: values}))
        with pytest.raises(InputError, match=told) as failed:
            diffcodec.encode(waves(8, 8), "diffc", MODEL, bpp=8.0, calibration=path)
        assert str(path) in str(failed.value)
    for data in (b"", b"[" * 100_000, b"\xff\xfe", b" " * (calibrations.MOST_BYTES + 1), b"[]"):
        path.write_bytes(data)
        with pytest.raises(InputError):
            calibrations.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        calibrations.read(tmp_path / "absent.json")


@given(st.data())
def test_whatever_a_file_holds_the_error_is_ours(data: st.DataObject) -> None:
    numbers = st.lists(st.floats() | st.integers() | st.none(), max_size=4)
    told = {"format": calibrations.FORMAT, "model": "m", "fingerprint": "00" * 32, "pictures": 1, "loss": 0.1}
    told |= {name: data.draw(numbers) for name in ("levels", "whole", "coarse")}
    told |= data.draw(st.dictionaries(st.sampled_from(list(told)), st.none() | st.text() | st.floats() | st.integers()))
    try:
        found = calibrations.parsed(json.dumps(told).encode())
    except DiffcodecError:
        return
    assert calibrations.parsed(found.text().encode()) == found


def test_another_models_is_refused(measured: Calibration, place: Path) -> None:
    other = GaussianPictures.smooth(side=4)
    with pytest.raises(ModelMismatch, match="the calibration is of"):
        diffcodec.encode(waves(), "diffc", other, bpp=2.0, calibration=measured)
    calibrations.place(other, other.name, other.fingerprint).parent.mkdir(parents=True)
    calibrations.place(other, other.name, other.fingerprint).write_text(measured.text())
    with pytest.raises(ModelMismatch, match="calibrate anew"):
        diffcodec.encode(waves(), "diffc", other, bpp=2.0)


def test_what_else_is_refused(measured: Calibration) -> None:
    with pytest.raises(InputError, match="lossless and takes no calibration"):
        diffcodec.encode(waves(8, 8), "ardm", calibration=measured)
    with pytest.raises(InputError, match="found none"):
        diffcodec.calibrate(MODEL, [])
    with pytest.raises(InputError, match="a picture to calibrate on"):
        diffcodec.calibrate(MODEL, [np.arange(9, dtype=np.uint16)])
    with pytest.raises(InputError, match="loss above 0"):
        diffcodec.calibrate(MODEL, [waves()], loss=0)
    with pytest.raises(ModelMismatch, match="DiffusionModel"):
        diffcodec.calibrate("photo-ardm", [waves()])


# ---- what it finds


def test_the_profile_is_the_denoisers_error() -> None:
    """Of white pictures of a variance v: x_hat's error is v / (1 + v SNR), coarse or not."""
    model, rng = WhitePictures(), np.random.default_rng(0)
    photo = (127.5 + 127.5 * rng.normal(0, 0.5, (120, 100, 3))).clip(0, 255).astype(np.uint8)
    variance = float(np.square(photo / 127.5 - 1).mean())
    found = profile.measured(model, [photo])
    assert found.levels[0] == model.logsnr_min and found.levels[-1] == model.logsnr_max
    for level, whole, coarse in zip(found.levels, found.whole, found.coarse, strict=True):
        gain = float(samplers.mean(model.predict, torch.ones(1, 3, 8, 8), level).mean())
        a2 = 1 / (1 + math.exp(-level))
        expected = (1 - gain * math.sqrt(a2)) ** 2 * variance + gain**2 * (1 - a2)
        assert whole == pytest.approx(expected, rel=0.1)
        assert coarse == pytest.approx(expected, rel=0.25)
    told = profile.intervals(found)
    assert [one.end for one in told[:-1]] == [one.start for one in told[1:]]
    assert sum(one.bits for one in told) == pytest.approx(
        math.log2(1 + variance * math.exp(model.logsnr_max)) / 2, rel=0.1
    )


def calibration_of(levels: np.ndarray, whole: np.ndarray) -> Calibration:
    return Calibration("m", bytes(32), 1, 0.05, *(tuple(map(float, one)) for one in (levels, whole, whole)))


def test_no_chain_of_a_grid_costs_less_at_a_price() -> None:
    """Against every chain of a short range."""
    levels = np.linspace(-1, 0.25, 6)
    found = Schedule(
        calibration_of(levels, 0.3 / (1 + np.exp(2 * levels))), Wide((3, 16, 16), 12, (0.0,) * 3), -1024, -1024 + 6 * 32
    )
    count = len(found.levels)
    for number in (10, 30, 50, 70):
        price = float(found.prices[number]) * found.n
        chains = (
            [0, *(k for k in range(1, count - 1) if chosen >> k & 1), count - 1]
            for chosen in range(0, 2 ** (count - 1), 2)
        )
        least = min(found.told(chain)[-1] + price * (len(chain) - 1) for chain in chains)
        own = found.paths[number]
        assert found.told(own)[-1] + price * (len(own) - 1) == pytest.approx(least)


def test_passes_are_short_where_the_error_falls() -> None:
    levels = np.linspace(-8, 10, 37)
    falls = 0.1 / (1 + np.exp(6 * (levels - 2))) + 1e-4
    found = Schedule(calibration_of(levels, falls), Wide((3, 64, 64), 13, (0.0,) * 3), -8192, 10240)
    path = found.levels[found.paths[found.priced(len(found.levels) - 1, 0.02)]] * UNIT
    gaps = np.diff(path)
    middle = (path[1:] + path[:-1]) / 2
    assert gaps[(middle > 1.5) & (middle < 2.5)].max() < 0.5 * gaps[(middle > -3) & (middle < 0)].mean()
    calls = [len(found.paths[found.priced(len(found.levels) - 1, loss)]) for loss in (0.01, 0.05, 0.3)]
    assert calls == sorted(calls, reverse=True) and calls[0] > calls[-1]


# ---- the command


def test_the_command(run: Any, tmp_path: Path) -> None:
    """A model of one's own, calibrated, is found by encode."""
    names = []
    for k in range(2):
        Image.fromarray(waves(seed=k)).save(tmp_path / f"{k}.png")
        names.append(tmp_path / f"{k}.png")
    words = "diffcodec.models.gaussian_pictures:GaussianPictures.smooth"
    code, out, _ = run("calibrate", words, *names, "--json")
    told = json.loads(out)
    assert code == 0 and told["pictures"] == 2 and Path(told["file"]).is_file()
    assert {plan["bpp"] for plan in told["plans"]} >= {0.5, 1.0}
    for plan in told["plans"]:
        assert plan["positions"] == sorted(plan["positions"]) and len(plan["positions"]) == plan["calls"] + 1
    rate = ("--model", words, "--bpp", 2, "-q")
    made = {}
    for name, more in (("found", ()), ("told", ("--calibration", told["file"])), ("plain", ("--calibration", "none"))):
        assert run("encode", names[0], tmp_path / f"{name}.dfc", *rate, *more)[0] == 0
        made[name] = (tmp_path / f"{name}.dfc").read_bytes()
    assert made["found"] == made["told"] != made["plain"]
    code, out, err = run("calibrate", words, names[0], "-o", tmp_path / "c.json")
    assert code == 0 and b"passes of a picture of 48" in out and "calibrated on 1 pictures" in err
    code, _, err = run("encode", names[0], tmp_path / "x.dfc", *rate, "--calibration", names[0])
    assert code == 1 and "no JSON" in err and not (tmp_path / "x.dfc").exists()
