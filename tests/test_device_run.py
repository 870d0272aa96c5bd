"""The run on a lent GPU machine, rehearsed on the CPU, and what surrounds it."""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_weights
from PIL import Image
from safetensors import safe_open

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / "tools"
pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="tools/ is not part of this distribution")


@needs_weights
def test_rehearsal(tmp_path):
    """Every stage, on tiny sizes; what comes back can be exported and decodes what it encodes."""
    import diffcodec

    out = tmp_path / "out"
    env = {**os.environ, "OUT": str(out), "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [TOOLS / "device_run.sh", "--rehearse"], capture_output=True, text=True, env=env, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    first, *rest = done.stdout.splitlines()
    assert first.startswith("device run: 15 minutes in all on cpu") and rest[0].startswith("1. ")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["ok"] and set(summary["stages"]) == {"data", "tests", "identity", "figures", "training"}
    assert summary["training"]["step"] == "3" and summary["training"]["quantised"] == "1"
    lines = [json.loads(line) for line in (out / "identity.jsonl").read_text().splitlines()]
    cards = [json.loads(path.read_text()) for path in (ROOT / "diffcodec" / "models" / "weights").glob("*.json")]
    assert {line["model"] for line in lines} == {card["name"] for card in cards} and all(line["ok"] for line in lines)
    figures = [json.loads(line) for line in (out / "figures.jsonl").read_text().splitlines()]
    assert len(figures) == 7 and all(line["seconds"] > 0 for line in figures)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) <= 8 and all(path.stat().st_size <= 16 * 2**20 for path in files)
    ema = out / "train" / "ema-float16.safetensors"
    with safe_open(ema, "pt") as file:
        assert json.loads(file.metadata()["config"])["channels"] == 160
    exported = tmp_path / "wide.safetensors"
    subprocess.run([sys.executable, "-m", "tools.training.export_model", ema, exported], check=True, env=env, cwd=ROOT)
    picture = np.random.default_rng(0).integers(100, 130, (20, 24, 3), dtype=np.uint8)
    assert (diffcodec.decode(diffcodec.encode(picture, model=exported), model=exported) == picture).all()


@needs_weights
@pytest.mark.parametrize("train", ["photo-vdm", "cifar10-ardm", "cifar10-oa"])
def test_every_other_training_begins(tmp_path, train):
    """With the flags of the table, tiny."""
    from tools.device.plan import TRAINED
    from tools.device.run import prepare_command, rehearsal_data, training_command

    kind = TRAINED[train].data
    data, out = tmp_path / "data.npz", tmp_path / "out"
    subprocess.run(prepare_command(kind, rehearsal_data(kind, tmp_path), data), check=True, cwd=ROOT)
    args = argparse.Namespace(device="cpu", rehearse=True)
    command = training_command(train, data, tmp_path / "run", out, time.time() + 600, args)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT)
    assert done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr[-2000:]
    assert (out / "log.csv").read_text().splitlines()[-1].startswith("3,")


def test_a_stage_that_fails_hangs_or_cannot_start_does_not_stop_the_next(tmp_path):
    from tools.device.run import Stages

    stages = Stages(tmp_path, time.time() + 600)
    sleeper = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    assert not stages.run("fails", [sys.executable, "-c", "raise SystemExit(3)"], 60)
    assert not stages.run("hangs", [sys.executable, "-c", sleeper], 2)
    assert not stages.run("is not there", [str(tmp_path / "nothing")], 60)
    assert stages.run("runs", [sys.executable, "-c", ""], 60)
    assert [stage["result"].split(":")[0] for stage in stages.results.values()] == [
        "failed with 3", "stopped", "failed", "ok",
    ]  # fmt: skip
    late = Stages(tmp_path, time.time() - 1)  # the whole run is over: nothing gets its own limit any more
    assert not late.run("late", [sys.executable, "-c", "import time; time.sleep(600)"], 60)
    assert not stages.running and not late.running


def test_missing_data_and_unknown_models_are_reported_and_the_rest_runs(tmp_path, monkeypatch, capsys):
    from tools.device import run

    out = tmp_path / "out"
    ran = []
    monkeypatch.setenv("OUT", str(out))
    monkeypatch.setattr(run, "DATA", tmp_path / "nothing")
    monkeypatch.setattr(sys, "argv", ["run", "--device", "cpu", "--minutes", "1", "--models", "photo-ardm"])
    monkeypatch.setattr(run, "check_command", lambda *given: ran.append(given[0]) or [sys.executable, "-c", ""])
    with pytest.raises(SystemExit) as stop:
        run.main()
    summary = json.loads((out / "summary.json").read_text())
    assert stop.value.code == 1 and not summary["ok"] and ran == ["tests", "identity", "figures"]
    assert summary["stages"]["data"]["result"].startswith("failed") and "training" not in summary["stages"]
    assert all(summary["stages"][name]["result"] == "ok" for name in ran)


@pytest.mark.parametrize("works_without", ["--compile", "--loaders"])
def test_training_is_tried_again_with_less(tmp_path, capfd, works_without):
    from tools.device.run import attempt

    trainer = tmp_path / "trainer.py"
    trainer.write_text(f"import sys; print(sys.argv[1:]); sys.exit({works_without!r} in sys.argv)")
    assert attempt(time.time() + 600, [str(trainer), "--compile", "--loaders", "3", "--out", "x"]) == 0
    assert capfd.readouterr().out.count("failed with 1") == {"--compile": 1, "--loaders": 2}[works_without]
    assert attempt(time.time() - 1, [str(trainer)]) == 1  # nothing is worth beginning


@needs_weights
def test_a_device_that_computes_otherwise_is_found(monkeypatch):
    from diffcodec.models.lattice.model import LatticeModel
    from tools.device import checks

    here, _there = checks.sides("photo-ardm", "cpu")
    tensors = {name: value.clone() for name, value in here._tensors.items()}
    tensors["1.head.bias"] += 4000
    other = LatticeModel(tensors, here.name, here.fingerprint, device="cpu")
    lines = []
    assert checks.check_identity(lines.append, "cpu", True, ["photo-ardm"])
    monkeypatch.setattr(checks, "sides", lambda name, device: (here, other))
    assert not checks.check_identity(lines.append, "cpu", True, ["photo-ardm", "no such model"])
    assert [line["ok"] for line in lines] == [True, False, False] and "error" in lines[2]


@needs_weights
def test_a_tolerant_model_that_loses_too_much_is_found(monkeypatch):
    from tools.device import checks

    here, _ = checks.sides("photo-vdm", "cpu")
    there = copy.copy(here)
    there.predict = lambda z, logsnr: here.predict(z, logsnr) * 0.9
    good, bad = [], []
    assert checks.check_identity(good.append, "cpu", True, ["photo-vdm"])
    monkeypatch.setattr(checks, "sides", lambda name, device: (here, there))
    assert not checks.check_identity(bad.append, "cpu", True, ["photo-vdm"])
    assert bad[0]["dB where made"] - bad[0]["dB elsewhere"] > checks.LOSS


# ---- what travels


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, Path]:
    """(a repository with cards and weights of made-up sizes, the folder for what is set aside)."""
    root = tmp_path / "repository"
    bundled, parents = root / "diffcodec" / "models" / "weights", root / "tools" / "training" / "weights"
    bundled.mkdir(parents=True)
    parents.mkdir(parents=True)
    kinds = {"photo-vdm": ("tolerant", 700), "small": ("exact", 100), "middle": ("exact", 400), "large": ("exact", 500)}
    for name, (numerics, size) in kinds.items():
        (bundled / f"{name}.json").write_text(json.dumps({"name": name, "numerics": numerics}))
        (bundled / f"{name}.safetensors").write_bytes(bytes(size))
    for name in ("photo-ardm", "cifar10-ardm"):
        (parents / f"{name}-float16.safetensors").write_bytes(bytes(200))
    (root / ".gitignore").write_text("/device/\n")
    (root / "device").mkdir()
    (root / "device" / "ignored").write_bytes(bytes(5000))
    (root / "new.txt").write_bytes(bytes(300))  # not committed, and travels
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "add", "--all"], check=True)
    return root, root / "device" / "aside"


def state(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and ".git/" not in str(p)}


def test_weights_that_the_run_does_not_need_are_set_aside_and_come_back(repository, capsys):
    from tools.device.prepare import pack, put_back

    root, aside = repository
    before = state(root)
    pack("photo-ardm-wide", 2000, root, aside)
    assert "set aside: cifar10-ardm-float16.safetensors, large.safetensors" in capsys.readouterr().out
    there = {path.name for path in root.rglob("*.safetensors") if aside not in path.parents}
    assert there == {
        "photo-vdm.safetensors", "small.safetensors", "middle.safetensors", "photo-ardm-float16.safetensors"
    }  # fmt: skip
    pack("cifar10-ardm", 2000, root, aside)  # again, for another model
    assert (root / "tools/training/weights/cifar10-ardm-float16.safetensors").is_file()
    assert put_back(root, aside) == 2 and put_back(root, aside) == 0
    assert state(root) == before


@pytest.mark.parametrize("fault", ["too much", "interrupt", "ended"])
def test_everything_is_back_after_a_failure_or_an_interrupt(repository, monkeypatch, fault):
    from tools.device import prepare

    root, aside = repository
    before = state(root)
    if fault == "too much":
        with pytest.raises(SystemExit, match="expected less than 1000 bytes"):
            prepare.pack("photo-vdm", 1000, root, aside)
    elif fault == "interrupt":  # while the second file is moved
        moves, replace = [], Path.replace

        def interrupted(path, to):
            moves.append(path)
            if len(moves) == 2:
                raise KeyboardInterrupt
            return replace(path, to)

        monkeypatch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare.pack("photo-ardm", 2000, root, aside)
        assert len(moves) > 2
    else:

        def ended():
            assert state(root) != before
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

        with pytest.raises(SystemExit), prepare.packed("photo-ardm", 2000, root, aside):
            ended()
    assert state(root) == before


def test_a_file_in_the_way_of_one_set_aside_is_kept(repository, capsys):
    from tools.device.prepare import pack, put_back

    root, aside = repository
    pack("photo-ardm", 2000, root, aside)
    place = root / "diffcodec/models/weights/large.safetensors"
    place.write_bytes(b"trained since")
    assert put_back(root, aside) == 1
    assert place.read_bytes() == b"trained since" and len(list(aside.rglob("large.safetensors"))) == 1


@pytest.mark.skipif(not shutil.which("git") or not (ROOT / ".git").exists(), reason="not a checkout")
@pytest.mark.parametrize("train", ["photo-ardm-wide", "photo-vdm", "cifar10-ardm-wide"])
def test_this_repository_fits(train):
    """With the weights that a run needs, what is tracked is below the bound, and so is what is tracked in all."""
    from tools.device.plan import TRAINED, needed, travelling, weights
    from tools.device.prepare import BUDGET

    kept = needed(train, BUDGET, ROOT)
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True).stdout
    files = {path: size for path, size in travelling(ROOT).items() if os.fsencode(path) in tracked.split(b"\0")}
    assert sum(files.values()) < 60_000_000
    assert sum(size for path, size in files.items() if path in kept or path not in weights(ROOT)) < BUDGET
    assert TRAINED[train].init in kept and Path("diffcodec/models/weights/photo-ardm.safetensors") in kept


# ---- the data file


def webp(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=True, method=0)
    return file.getvalue()


def test_photographs_are_packed_below_the_bound_with_the_validation_split(tmp_path, rng):
    from tools.device.prepare import pack_photos
    from tools.device.run import prepare_command

    names = ["held-5.webp", *(f"{n}.webp" for n in range(12))]
    pictures = {name: rng.integers(0, 256, (20, 30, 3), dtype=np.uint8) for name in names}
    for k in range(2):
        with zipfile.ZipFile(tmp_path / f"photos-train-{k}.zip", "w") as z:
            for name in names[k::2]:
                z.writestr(name, webp(pictures[name]))
    sources = sorted(tmp_path.glob("photos-train-*.zip"))
    packed = {}
    for part in range(3):
        out = tmp_path / "photos.zip"
        pack_photos(sources, out, part, 14_000)
        assert out.stat().st_size < 14_000
        with zipfile.ZipFile(out) as z:
            packed[part] = set(z.namelist())
            assert all((np.asarray(Image.open(z.open(name))) == pictures[name]).all() for name in z.namelist())
    assert all("held-5.webp" in part and len(part) > 3 for part in packed.values())
    assert len(packed[0] | packed[1] | packed[2]) > len(packed[0] | packed[1]) > len(packed[0])
    npz = tmp_path / "photos.npz"
    subprocess.run(prepare_command("photos", out, npz), check=True, cwd=ROOT)
    with np.load(npz) as file:
        assert len(file["val_shapes"]) >= 1 and len(file["train_shapes"]) == len(packed[2]) - len(file["val_shapes"])


def test_small_pictures_are_packed_with_their_validation_split(tmp_path, rng):
    from tools.device.prepare import pack_cifar
    from tools.device.run import prepare_command
    from tools.training.cifar_data import load_cifar

    base = rng.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    images = (base + np.arange(2030)[:, None, None, None] % 7 + rng.integers(0, 9, (2030, 1, 1, 3))).astype(np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(2030) % 256, np.arange(2030) // 256  # no two are the same
    part = tmp_path / "part.npz"
    np.savez(part, train=images[:1000], test=images[:3])
    val = load_cifar(part, "val")
    mosaic = images[1000:2000].copy()
    mosaic[7] = val[2]  # a held-out picture among the others
    with zipfile.ZipFile(tmp_path / "cifar10-train-1.zip", "w") as z:
        z.writestr("00.webp", webp(mosaic.reshape(25, 40, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(800, 1280, 3)))
    out, npz = tmp_path / "cifar.zip", tmp_path / "cifar.npz"
    pack_cifar([tmp_path / "cifar10-train-1.zip"], part, out)
    subprocess.run(prepare_command("cifar", out, npz), check=True, cwd=ROOT)
    assert np.array_equal(load_cifar(npz, "val"), val)
    assert np.array_equal(load_cifar(npz, "train"), np.delete(mosaic, 7, 0))


def test_carried_packages_are_installed_only_where_they_are_missing(tmp_path, monkeypatch):
    from tools.device import run

    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for project, module in (("there", "json"), ("google_thing", "google_thing")):
        with zipfile.ZipFile(wheels / f"{project}-1-py3-none-any.whl", "w") as z:
            info = f"{project}-1.dist-info"
            z.writestr(f"{module}.py", "value = 7\n")
            z.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1\n")
            z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            z.writestr(f"{info}/RECORD", f"{module}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    monkeypatch.setattr(run, "WHEELS", wheels)
    monkeypatch.setattr(run, "MODULES", {"json": "there", "google_thing": "google-thing"})
    stages = run.Stages(tmp_path, time.time() + 600)
    run.install_wheels(stages, tmp_path / "site")
    assert stages.results["packages"]["result"] == "ok"
    assert not (tmp_path / "site" / "json.py").exists()
    assert stages.run("uses it", [sys.executable, "-c", "import google_thing; assert google_thing.value == 7"], 60)
