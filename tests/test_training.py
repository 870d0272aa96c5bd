"""The trainers: a few steps on tiny data, resumed, in one process and in two."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

TOOLS = Path(__file__).parents[1] / "tools"
pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="tools/ is not part of this distribution")
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
        cwd=TOOLS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def rows(run: Path, name: str = "log") -> list[dict[str, str]]:
    with (run / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_processes_train_one_network_and_resume(data, tmp_path):
    run = tmp_path / "run"
    common = (TOOLS / "train_oa.py", data / "photos.npz", run, "--cifar", data / "cifar.npz", "--batch", 4, *SMALL)
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
from training import Training
net = torch.nn.Linear(4, 1)
torch.nn.init.constant_(net.weight, 0.5)
torch.nn.init.constant_(net.bias, 0.1)
args = Namespace(device="cpu", run=Path(sys.argv[2]), init=None, lr=0.1, resume=False, seed=0,
                 minutes=10.0, every=10.0, steps=1, ema=0.9, core_minutes=False)
run = Training(args, net, {})
x = torch.arange(16.0).view(4, 4).chunk(run.world)[run.rank]
run.loop(lambda: net(x).square().mean(), lambda ema: {"log": []}, {"log": []})
"""
    )
    weights = []
    for processes in (1, 2):
        call(script, TOOLS, tmp_path / str(processes), processes=processes)
        state = torch.load(tmp_path / str(processes) / "state.pt", weights_only=True)
        weights.append(state["opt"]["state"][0]["exp_avg"])
    assert torch.allclose(weights[0], weights[1], rtol=1e-5)


def test_lattice_and_diffusion_trainers(data, tmp_path):
    cifar = ("--cifar", data / "official", "--batch", 2, "--steps", 2)
    lattice, vdm = tmp_path / "lattice", tmp_path / "vdm"
    call(TOOLS / "train_ardm.py", data / "photos.npz", lattice, *cifar, "--channels", 16, "--blocks", 1, "--qat", 1)
    assert rows(lattice)[-1]["quantized"] == "1"
    call(TOOLS / "train_vdm.py", data / "photos.npz", vdm, *cifar, *SMALL)
    assert float(rows(vdm)[-1]["val_diffusion_bpd"]) > 0
    for run, extra, codec in ((lattice, (), "ardm"), (vdm, ("--exact", data / "cifar.npz"), "vdm")):
        call(TOOLS / "export_model.py", run / "state.pt", run / "model.safetensors", *extra)
        card = json.loads((run / "model.json").read_text())
        assert card["codec"] == codec and card["numerics"] == "exact"


@pytest.mark.parametrize("branching", [2, 256])
def test_tokens_from_training_to_file(data, tmp_path, branching):
    import diffcodec

    run = tmp_path / "tokens-model"
    call(
        TOOLS / "train_tokens.py", data / "tokens.npz", run, "--vocabulary", 27, "--branching", branching,
        "--channels", 16, "--blocks", 1, "--window", 64, "--batch", 2, "--steps", 2,
    )  # fmt: skip
    tokens = np.random.default_rng(1).integers(0, 27, 200, dtype=np.uint8)
    data_ = diffcodec.encode(tokens, model=run / "model")
    assert (diffcodec.decode(data_, model=run / "model") == tokens).all()
