"""What a run on a lent GPU machine trains, and which weights of the repository it needs. Imports nothing heavy."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEVICE = ROOT / "device"  #: ignored by git: data, wheels, weights set aside, what comes back
WHEELS, DATA, ASIDE = DEVICE / "wheels", DEVICE / "data", DEVICE / "aside"
BUNDLED = Path("diffcodec/models/weights")
PARENTS = Path("tools/training/weights")
WEIGHTS_FOLDERS = (BUNDLED, PARENTS)
MODULES = {"constriction": "constriction", "google_crc32c": "google-crc32c", "png": "pypng"}  #: not on that machine
LOSSY = "photo-vdm"  #: whose figures are taken


@dataclass(frozen=True)
class Trained:
    """One row of what ``--train`` takes: a trainer of tools.training, data ("photos" or "cifar"), options, weights.

    ``rehearsed`` are options of the same run on a CPU, in seconds; those that come later win.
    """

    trainer: str
    data: str
    options: tuple[str, ...]
    init: Path | None = None
    rehearsed: tuple[str, ...] = ()


_LATTICE = ("--crop", "64", "--batch", "256", "--qat", "0.2")  # 27 ms of launches a step, whatever the batch
_WIDE = ("--channels", "160", "--blocks", "4")
_COMPILED = ("--batch", "512", "--compile")
_SMALL = ("--photos", "0")
_PHOTO_ARDM, _CIFAR_ARDM = (PARENTS / f"{name}-float16.safetensors" for name in ("photo-ardm", "cifar10-ardm"))
_PHOTO_VDM, _PHOTO_COND = (BUNDLED / f"{name}.safetensors" for name in ("photo-vdm", "photo-cond"))
_FEW = ("--batch", "2", "--steps", "3")  # rehearsed

TRAINED = {
    "photo-ardm-wide": Trained(
        "train_ardm", "photos", (*_LATTICE, *_WIDE), _PHOTO_ARDM, (*_FEW, "--crop", "16", "--qat", "1")
    ),
    "photo-ardm": Trained("train_ardm", "photos", _LATTICE, _PHOTO_ARDM, (*_FEW, "--crop", "16", "--qat", "1")),
    "photo-vdm": Trained("train_vdm", "photos", (*_COMPILED, "--lr", "5e-4"), _PHOTO_VDM, (*_FEW, "--crop", "32")),
    "photo-cond": Trained(
        "train_cond", "photos", ("--batch", "96", "--compile"), _PHOTO_COND, (*_FEW, "--crop", "64")
    ),
    "cifar10-ardm": Trained("train_ardm", "cifar", (*_LATTICE, *_SMALL), _CIFAR_ARDM, (*_FEW, "--qat", "1")),
    "cifar10-ardm-wide": Trained(
        "train_ardm", "cifar", (*_LATTICE, *_SMALL, *_WIDE), _CIFAR_ARDM, (*_FEW, "--qat", "1")
    ),
    "cifar10-oa": Trained("train_oa", "cifar", (*_COMPILED, *_SMALL), None, _FEW),
    "cifar10-vdm": Trained("train_vdm", "cifar", (*_COMPILED, *_SMALL), _PHOTO_VDM, _FEW),
}


def cards(root: Path = ROOT) -> dict[str, dict[str, object]]:
    """The cards of the bundled models whose weights are at hand."""
    found = {}
    for path in sorted((root / BUNDLED).glob("*.json")):
        if path.with_suffix(".safetensors").is_file():
            found[path.stem] = json.loads(path.read_text())
    return found


def travelling(root: Path = ROOT) -> dict[Path, int]:
    """Bytes of every file that git knows or does not ignore, and that is there."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    ).stdout
    paths = sorted({Path(name.decode()) for name in listed.split(b"\0") if name})
    return {path: (root / path).lstat().st_size for path in paths if (root / path).is_file()}


def weights(root: Path = ROOT) -> dict[Path, int]:
    """Bytes of the weights in the repository."""
    return {
        path.relative_to(root): path.stat().st_size
        for folder in WEIGHTS_FOLDERS
        for path in sorted((root / folder).glob("*.safetensors"))
    }


def needed(train: str, budget: int, root: Path = ROOT) -> set[Path]:
    """Weights that go along: what ``train`` starts from, the lossy model, then exact models while all fits ``budget``.

    The exact ones by size, so that most of them go; what is not a bundled exact model is of no use to the run.
    """
    there = weights(root)
    kept = {path for path in (TRAINED[train].init, BUNDLED / f"{LOSSY}.safetensors") if path in there}
    exact = [BUNDLED / f"{name}.safetensors" for name, card in cards(root).items() if card["numerics"] == "exact"]
    total = sum(travelling(root).values()) - sum(there.values()) + sum(there[path] for path in kept if path)
    for path in sorted(exact, key=lambda p: there[p]):
        if path not in kept and total + there[path] < budget:
            kept.add(path)
            total += there[path]
    return {path for path in kept if path}
