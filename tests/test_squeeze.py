"""LPIPS over SqueezeNet against one built of modules, as torchvision and its authors have it."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from diffcodec.bench import metrics, squeeze

needs_them = pytest.mark.skipif(bool(squeeze.missing()), reason=f"LPIPS-squeeze: {squeeze.missing()}")


class Fire(nn.Module):
    def __init__(self, inside: int, squeezed: int, expanded: int):
        super().__init__()
        self.squeeze = nn.Conv2d(inside, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))], 1)


class Reference(nn.Module):
    """SqueezeNet 1.1's features, and a head behind each of seven slices of them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        )
        for k, channels in enumerate((64, 128, 256, 384, 384, 512, 512)):
            head = OrderedDict(model=nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False)))
            self.add_module(f"lin{k}", nn.Sequential(head))

    def forward(self, image: Tensor, original: Tensor) -> Tensor:
        """Of pictures in [-1, 1], (1, 3, H, W)."""
        shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
        scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
        a, b = ((x - shift) / scale for x in (image, original))
        total, start = torch.zeros(()), 0
        for k, end in enumerate((2, 5, 8, 10, 11, 12, 13)):
            a, b = self.features[start:end](a), self.features[start:end](b)
            unit = [x / (torch.sqrt(torch.sum(x**2, 1, keepdim=True)) + 1e-10) for x in (a, b)]
            total = total + getattr(self, f"lin{k}")((unit[0] - unit[1]) ** 2).mean()
            start = end
        return total


def pictures(height: int = 97, width: int = 130) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    smooth = np.kron(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)), np.ones((8, 8, 1)))[:height, :width]
    return [smooth.astype(np.uint8), np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)]


def of_reference(reference: Reference, image: np.ndarray, original: np.ndarray) -> float:
    with torch.no_grad():
        a, b = (torch.tensor(x).permute(2, 0, 1)[None] / 127.5 - 1 for x in (image, original))
        return float(reference.eval()(a, b))


def drawn() -> Reference:
    """With weights of random numbers, heads above 0, as LPIPS has them."""
    torch.manual_seed(0)
    reference = Reference()
    with torch.no_grad():
        for k in range(7):
            getattr(reference, f"lin{k}").model[1].weight.abs_()
    return reference


def test_it_is_the_reference_by_the_same_weights() -> None:
    reference, (a, b) = drawn(), pictures()
    found = squeeze.between(a, b, dict(reference.state_dict()))
    assert found > 0 and found == pytest.approx(of_reference(reference, a, b), rel=1e-5)
    assert found == pytest.approx(squeeze.between(b, a, dict(reference.state_dict())), rel=1e-6)
    assert squeeze.between(a, a, dict(reference.state_dict())) == 0


def test_weights_come_of_the_folder_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(squeeze.FOLDER, str(tmp_path))
    a, b = pictures()
    assert squeeze.FEATURES in squeeze.missing() and squeeze.HEADS in metrics.missing("lpips_squeeze")
    assert math.isnan(metrics.measure(a, b)["lpips_squeeze"])
    state = drawn().state_dict()
    features = {key: value.half() if "weight" in key else value for key, value in state.items() if key[0] == "f"}
    save_file(features, tmp_path / squeeze.FEATURES)
    assert squeeze.HEADS in squeeze.missing() and squeeze.FEATURES not in squeeze.missing()
    save_file({key: value for key, value in state.items() if key[0] == "l"}, tmp_path / squeeze.HEADS)
    assert not squeeze.missing()
    known = {**state, **{key: value.float() for key, value in features.items()}}
    assert metrics.measure(a, b)["lpips_squeeze"] == pytest.approx(squeeze.between(a, b, known), rel=1e-6)
    assert math.isnan(squeeze.distance(a[:60], b[:60]))


def test_reports_say_which_it_is() -> None:
    assert metrics.UNITS["lpips_squeeze"] == "LPIPS-squeeze v0.1, fp16 features"


@needs_them
def test_the_weights_are_those_of_version_0_1() -> None:
    """By the reference, every name of theirs used; heads as torchmetrics brings them, where it does."""
    weights = squeeze.loaded(squeeze.folder())
    reference, (a, b) = Reference(), pictures()
    reference.load_state_dict(weights)
    assert squeeze.distance(a, b) == pytest.approx(of_reference(reference, a, b), rel=1e-5)
    torchmetrics = pytest.importorskip("torchmetrics", reason="needs the extra bench")
    path = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "squeeze.pth"
    for key, value in torch.load(path, map_location="cpu", weights_only=True).items():
        assert torch.equal(weights[key], value)
