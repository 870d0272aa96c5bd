"""The trainers: a few steps on tiny data, resumed, in one process and in two."""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import needs_weights
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "tools").is_dir(), reason="tools/ is not part of this distribution")
SMALL = ("--channels", "16", "16", "--blocks", "1", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles as of prepare_photos.py, CIFAR-10 as an .npz and as the official binary files, tokens."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (2, 140, 150, 3), dtype=np.uint8)
    arrays = {}
    for split in ("train", "val"):
        arrays |= {f"{split}_shapes": np.array([[140, 150]] * 2, np.int32), f"{split}_pixels": tiles.reshape(-1)}
    np.savez(folder / "photos.npz", **arrays)
    images = rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "cifar.npz", train=images, test=images[:5])
    (folder / "official").mkdir()
    for k in range(1, 6):
        rows = [bytes([3]) + image.transpose(2, 0, 1).tobytes() for image in images[4 * k - 4 : 4 * k]]
        (folder / "official" / f"data_batch_{k}.bin").write_bytes(b"".join(rows))
    np.savez(folder / "tokens.npz", train=images.ravel()[:4000] % 27, val=images.ravel()[:600] % 27)
    return folder


def call(*argv: object, processes: int = 1) -> str:
    launch = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run(
        [sys.executable, *launch, *map(str, argv)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def rows(run: Path, name: str = "log") -> list[dict[str, str]]:
    with (run / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_processes_train_one_network_and_resume(data, tmp_path):
    run = tmp_path / "run"
    pictures = (data / "photos.npz", run, "--cifar", data / "cifar.npz")
    common = ("-m", "tools.training.train_oa", *pictures, "--batch", 4, *SMALL)
    call(*common, "--steps", 2, processes=2)
    first = torch.load(run / "state.pt", weights_only=True)
    assert first["step"] == 2 and [row["step"] for row in rows(run)] == ["2"]
    call(*common, "--steps", 3, "--resume", processes=2)
    second = torch.load(run / "state.pt", weights_only=True)
    assert second["step"] == 3 and [row["step"] for row in rows(run, "profile")] == ["2", "3"]
    assert second["minutes"] > first["minutes"]
    assert any((first["net"][k] != second["net"][k]).any() for k in first["net"])


def test_gradients_are_averaged(tmp_path):
    """Two processes on halves of a batch take the step that one takes on the whole."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import sys
from argparse import Namespace
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from tools.training.frame import Training
net = torch.nn.Linear(4, 1)
torch.nn.init.constant_(net.weight, 0.5)
torch.nn.init.constant_(net.bias, 0.1)
args = Namespace(device="cpu", run=Path(sys.argv[2]), init=None, lr=0.1, resume=False, seed=0,
                 minutes=10.0, every=10.0, steps=1, ema=0.9, core_minutes=False, until=0, out=None)
run = Training(args, net, {})
x = torch.arange(16.0).view(4, 4).chunk(run.world)[run.rank]
run.loop(lambda: net(x).square().mean(), lambda ema: {"log": []}, {"log": []})
"""
    )
    weights = []
    for processes in (1, 2):
        call(script, ROOT, tmp_path / str(processes), processes=processes)
        state = torch.load(tmp_path / str(processes) / "state.pt", weights_only=True)
        weights.append(state["opt"]["state"][0]["exp_avg"])
    assert torch.allclose(weights[0], weights[1], rtol=1e-5)


def test_a_step_that_is_not_finite_is_left_out(tmp_path):
    from tools.training.frame import Training

    args = argparse.Namespace(
        device="cpu", run=tmp_path, init=None, lr=0.1, resume=False, seed=0, minutes=10.0, every=10.0, steps=3, ema=0.9,
        core_minutes=False, until=0, out=None,
    )  # fmt: skip
    net = torch.nn.Linear(4, 1)
    run, seen = Training(args, net, {}), []
    factors = iter((1.0, float("inf"), 1.0))

    def loss():
        seen.append(net.weight.detach().clone())
        return net(torch.ones(1, 4)).square().mean() * next(factors)

    run.loop(loss, lambda ema: {"log": []}, {"log": []})
    seen.append(net.weight.detach())
    assert [not torch.equal(a, b) for a, b in itertools.pairwise(seen)] == [True, False, True]
    assert torch.isfinite(seen[-1]).all()


def test_a_wider_lattice_network_starts_where_the_smaller_one_ended():
    from diffcodec.models.lattice.net import LatticeConfig, LatticeNet
    from tools.training.train_ardm import image_bits, widened

    torch.manual_seed(0)
    small, wide, other = (LatticeNet(LatticeConfig(c, 2, k)) for c, k in ((16, 5), (24, 5), (24, 6)))
    x, codes = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8), torch.randint(0, 17, (2, 4, 2))
    fits = widened(small.state_dict(), wide.state_dict())
    assert fits.keys() == wide.state_dict().keys()
    wide.load_state_dict(fits)
    assert torch.allclose(image_bits(wide, x, codes), image_bits(small, x, codes), rtol=1e-5)
    before = wide.phases[2].blocks[1].conv.weight.detach().clone()
    image_bits(wide, x, codes).backward()
    for name, p in wide.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
    heard = wide.phases[2].head.weight.grad[:, 16:]
    assert (before[:16, 16:] == 0).all() and (heard != 0).any()  # new features are silent, and learn
    assert widened(small.state_dict(), other.state_dict()).keys() == small.state_dict().keys()


@pytest.mark.parametrize("trainer", ["train_ardm", "train_vdm", "train_oa"])
def test_loader_processes_until_a_time_with_copies(data, tmp_path, trainer):
    """As on a lent machine: batches drawn by processes, an end at a time of day, files that are worth fetching."""
    sizes = ("--channels", 16, "--blocks", 1) if trainer == "train_ardm" else SMALL
    call(
        "-m", f"tools.training.{trainer}", data / "photos.npz", tmp_path / "run", "--cifar", data / "cifar.npz",
        "--photos", 0, "--batch", 70, "--loaders", 2, "--until", time.time() + 600, "--steps", 2,
        "--out", tmp_path / "out", *sizes,
    )  # fmt: skip
    with safe_open(tmp_path / "out" / "ema-float16.safetensors", "pt") as file:
        assert json.loads(file.metadata()["config"]) and file.metadata()["step"] == "2"
        assert all(file.get_tensor(name).dtype == torch.float16 for name in file.keys())
    assert rows(tmp_path / "out")[-1]["step"] == "2"
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_lattice_and_diffusion_trainers(data, tmp_path):
    cifar = ("--cifar", data / "official", "--batch", 2, "--steps", 2)
    lattice, vdm = tmp_path / "lattice", tmp_path / "vdm"
    small = ("--channels", 16, "--blocks", 1, "--qat", 1)
    call("-m", "tools.training.train_ardm", data / "photos.npz", lattice, *cifar, *small)
    assert rows(lattice)[-1]["quantised"] == "1"
    call("-m", "tools.training.train_vdm", data / "photos.npz", vdm, *cifar, *SMALL)
    assert float(rows(vdm)[-1]["val_diffusion_bpd"]) > 0
    for run, extra, codec in ((lattice, (), "ardm"), (vdm, ("--exact", data / "cifar.npz"), "vdm")):
        call("-m", "tools.training.export_model", run / "state.pt", run / "model.safetensors", *extra)
        card = json.loads((run / "model.json").read_text())
        assert card["codec"] == codec and card["numerics"] == "exact"


@pytest.mark.parametrize("branching", [2, 256])
def test_tokens_from_training_to_file(data, tmp_path, branching):
    import diffcodec

    run = tmp_path / "tokens-model"
    call(
        "-m", "tools.training.train_tokens", data / "tokens.npz", run, "--vocabulary", 27, "--branching", branching,
        "--channels", 16, "--blocks", 1, "--window", 64, "--batch", 2, "--steps", 2,
    )  # fmt: skip
    tokens = np.random.default_rng(1).integers(0, 27, 200, dtype=np.uint8)
    data_ = diffcodec.encode(tokens, model=run / "model")
    assert (diffcodec.decode(data_, model=run / "model") == tokens).all()


def test_a_larger_unet_starts_where_the_smaller_one_ended():
    from diffcodec.models.unet.net import UNet, UNetConfig
    from tools.training.train_vdm import grown

    torch.manual_seed(0)
    small, large = UNet(UNetConfig((16, 16), (1, 1))), UNet(UNetConfig((16, 16, 24), (2, 2, 1)))
    torch.nn.init.normal_(small.head.weight)
    large.load_state_dict(large.state_dict() | grown(small.state_dict(), large.state_dict()))
    z, logsnr = torch.randn(2, 3, 16, 16), torch.tensor([-1.0, 4.0])
    assert torch.equal(large(z, logsnr), small(z, logsnr))
    large(z, logsnr).square().mean().backward()
    assert large.finer[1].weight.grad.abs().max() > 0 and large.down[0][1].conv2.weight.grad.abs().max() > 0


def test_a_student_learns_what_its_teacher_answers(data, tmp_path):
    """A small VDM, whose card tells few calls, teaches a student that starts from its weights, and only such a one."""
    run, weights = tmp_path / "run", tmp_path / "small.safetensors"
    call("-m", "tools.training.train_vdm", data / "photos.npz", run, *SMALL, "--batch", 2, "--crop", 32, "--steps", 1)
    call("-m", "tools.training.export_model", run / "state.pt", weights)
    common = ("-m", "tools.training.distill", data / "photos.npz", tmp_path / "student", "--init", weights)
    common = (*common, "--batch", 2, "--crop", 32, "--kept", 2, "--steps", 3)
    with pytest.raises(AssertionError, match="has no few calls"):
        call(*common, "--teacher", weights)
    card = weights.with_suffix(".json")
    flow = {"ahead": [2.0], "curvature": 1, "weights": [[0, 2.0]]}
    card.write_text(json.dumps(json.loads(card.read_text()) | {"flow": flow}))
    for weighting in ("snr+1", "truncated"):
        call(*common, "--teacher", weights, "--weighting", weighting)
    assert [row["step"] for row in rows(tmp_path / "student")] == ["3", "3"]
    student = torch.load(tmp_path / "student" / "state.pt", weights_only=True)["net"]
    first = torch.load(run / "state.pt", weights_only=True)["ema"]
    assert all(torch.isfinite(value).all() for value in student.values())
    assert any((student[name] != first[name].half().float()).any() for name in first)


@needs_weights
def test_a_conditional_network_trains(data, tmp_path):
    common = ("-m", "tools.training.train_cond", data / "photos.npz", tmp_path / "run", "--batch", 2, *SMALL)
    call(*common, "--steps", 2)
    (row,) = rows(tmp_path / "run")
    assert {"jpeg10", "box4", "fill", "nothing@4"} <= row.keys() and row["step"] == "2"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips that move, one of them of the validation list, as the trainer's archive holds them."""
    field = np.random.default_rng(0).integers(0, 256, (80, 160, 3), dtype=np.uint8)
    lines = ["file,id,frames,w,h"]
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        for name in ("one", "bug"):
            frames = np.stack([field[t : t + 54, 2 * t : 2 * t + 70] for t in range(4)])
            out = io.BytesIO()
            Image.fromarray(frames.reshape(-1, 70, 3)).save(out, "WEBP", lossless=True)
            archive.writestr(f"{name}-0.webp", out.getvalue())
            lines.append(f"{name}-0.webp,{name},4,70,54")
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    return tmp_path / "clips.zip"


def test_a_network_of_clips_trains(clips, tmp_path):
    """Motion tells noise that moves, from the start; int8 in the loop; integers of the checkpoint."""
    run = tmp_path / "run"
    call("-m", "tools.training.train_clip", clips, run, "--batch", 2, "--steps", 2, "--qat", 1)
    last = rows(run)[-1]
    assert last["quantised"] == "1" and float(last["motion"]) < float(last["still"]) - 1
    call("-m", "tools.training.train_clip", clips, run, "--batch", 2, "--steps", 3, "--qat", 1, "--resume")
    assert rows(run)[-1]["step"] == "3"


@pytest.fixture
def icons(tmp_path: Path) -> Path:
    """Named drawings of noise, as the trainer's archive holds them."""
    rng = np.random.default_rng(0)
    lines = ["file,name,short_names,category,subcategory,split"]
    with zipfile.ZipFile(tmp_path / "icons.zip", "w") as archive:
        for number in range(220):
            for style in ("fluent3d", "noto128"):
                file, split = f"{style}/{number}.webp", "val" if number % 20 == 0 else "train"
                lines.append(f"{file},thing {number},short,Objects,tool,{split}")
                out = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(out, "WEBP", quality=5)
                archive.writestr(file, out.getvalue())
        archive.writestr("names.csv", "\n".join(lines))
    return tmp_path / "icons.zip"


def test_a_network_that_is_told_texts_trains(icons, tmp_path):
    trained = ("-m", "tools.training.train_text", icons, tmp_path / "run", "--batch", 2, "--buckets", 40, *SMALL)
    call(*trained, "--steps", 2, "--width", 8, "--sketch-minutes", 0.01)
    (row,) = rows(tmp_path / "run")
    assert {"drawings right", "drawings none", "names wrong"} <= row.keys()
    call("-m", "tools.training.icons_data", icons, tmp_path / "held.npz")
    with np.load(tmp_path / "held.npz") as held:
        kinds, names = held["kinds"].tolist(), held["names"].tolist()
    assert kinds.count("drawings") == 200 and kinds.count("names") == 22
    seen = {name for kind, name in zip(kinds, names, strict=True) if kind == "names"}
    assert seen == {f"thing {number}" for number in range(0, 220, 20)}


def test_a_denoiser_of_clips_trains(data, tmp_path):
    rng, lines = np.random.default_rng(0), ["file,id,w,h,frames"]
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        for name in ("bug", "bug", "mine"):  # two segments that are for validation
            file = f"{name}-{len(lines)}.webp"
            lines.append(f"{file},{name},68,66,9")
            out = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (9 * 66, 68, 3), np.uint8)).save(out, "WEBP", lossless=True)
            archive.writestr(file, out.getvalue())
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    trained = ("-m", "tools.training.train_clip_vdm", tmp_path / "clips.zip", tmp_path / "run", "--batch", 1, *SMALL)
    sides = ("--down", 1, 3, "--up", 3, "--crop", 16, "--large", 32, "--width", 8)
    call(*trained, *sides, "--photographs", data / "photos.npz", "--known", 1, "--steps", 3)
    (row,) = rows(tmp_path / "run")
    assert {"alone", "together", "given one"} <= row.keys()
    call("-m", "tools.training.export_model", tmp_path / "run" / "state.pt", tmp_path / "mine.safetensors")
    assert json.loads((tmp_path / "mine.json").read_text())["config"]["architecture"] == "vdm-unet-clip-1"


def test_a_denoiser_of_latents_trains(data, tmp_path):
    sys.path.insert(0, str(ROOT / "tests"))
    from test_latent import autoencoder

    for name, tensors in zip(("encoder", "decoder"), autoencoder(pooled=True), strict=True):
        save_file(tensors, tmp_path / f"{name}.safetensors")
    files = ("--encoder", tmp_path / "encoder.safetensors", "--decoder", tmp_path / "decoder.safetensors")
    trained = ("-m", "tools.training.train_latent", data / "photos.npz", tmp_path / "run", *files)
    call(*trained, "--batch", 2, "--steps", 2, *SMALL)
    assert len(rows(tmp_path / "run")) == 1 and (tmp_path / "run" / "latents.npz").exists()
    call("-m", "tools.training.export_model", tmp_path / "run" / "state.pt", tmp_path / "mine.safetensors")
    assert json.loads((tmp_path / "mine.json").read_text())["config"]["architecture"] == "latent-1"


def test_a_network_of_tracks_trains_and_is_exported(tmp_path):
    from diffcodec.models import registry

    rng = np.random.default_rng(0)
    xy = (rng.normal(0, 4, (3, 30, 23, 2)).cumsum(1).cumsum(1) / 4).astype(np.int16).reshape(-1, 2)
    shape, split = np.array([[30, 23]] * 3), np.array(["train", "train", "val"])
    np.savez(tmp_path / "plays.npz", xy=xy, shape=shape, offset=np.arange(4) * 690, split=split)
    run, out = tmp_path / "run", tmp_path / "tracks-mine.safetensors"
    options = ("--channels", 16, "--others", 4, "--batch", 4, "--steps", 2, "--copies", 1, "--device", "cpu")
    call("-m", "tools.training.train_tracks", tmp_path / "plays.npz", run, *options)
    call("-m", "tools.training.export_model", run / "ema-float16.safetensors", out)
    assert registry.load(out).name == "tracks-mine"
