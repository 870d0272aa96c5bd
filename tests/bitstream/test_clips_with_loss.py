"""Clips with loss: the package and the independent reader, which knows them from NETWORKS.md §12 and MEDIA.md §1 alone,
see the same frames. The network is a small one of random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dfc_decoder
import numpy as np
import pytest
import torch
from dfc_decoder import clip_unet
from dfc_decoder import given as their_given
from safetensors.torch import save_file
from streams import reader

import diffcodec
from diffcodec import Clip
from diffcodec.media.rows.clip import Colour
from diffcodec.media.yuv import from_rgb
from diffcodec.models import registry
from diffcodec.models.clips import model as package
from diffcodec.models.clips.net import ClipConfig, ClipUNet
from diffcodec.models.condition import Before
from diffcodec.models.protocols import framed
from diffcodec.runtime.errors import CorruptStream, UnsupportedVersion


@dataclass(frozen=True)
class Small:
    """A network of random weights: the package's, registered by its name, and the folder of its files."""

    model: package.ClipVDM
    folder: Path

    def theirs(self, frames: int) -> clip_unet.ClipUNet:
        """The independent reader's."""
        config, tensors = dfc_decoder.Models(self.folder).find(self.model.fingerprint)
        return clip_unet.ClipUNet(tensors, config, frames)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    config = ClipConfig((8, 10, 12), (1, 2, 1), 16, width=8, down=(1, 3, 0), up=(3, 1))
    generator, folder = torch.Generator().manual_seed(1), tmp_path_factory.mktemp("models")
    tensors = {}
    for name, value in ClipUNet(config).state_dict().items():
        drawn = torch.randn(value.shape, generator=generator)
        scale = 0.5 * (value[0].numel() ** -0.5 if value.ndim > 1 else 0.4)
        more = next(
            (more for end, more in ((".far", 5), (".out.weight", 3), ("head.weight", 0.3)) if name.endswith(end)), 1
        )
        tensors[name] = (drawn * scale * more).half()
    save_file(tensors, folder / "small-clip.safetensors")
    card = {"name": "small-clip", "config": {"architecture": "vdm-unet-clip-1", **config.as_dict()}}
    (folder / "small-clip.json").write_text(json.dumps(card))
    with pytest.MonkeyPatch.context() as patch:  # what is compared is what the documents say, not how it is rounded
        patch.setattr(package, "bfloat16_serves", lambda device: False)
        patch.setattr(registry, "_registered", {})
        model = registry.load(folder / "small-clip.safetensors", device="cpu", codec="diffc")
        assert isinstance(model, package.ClipVDM)
        diffcodec.register_model("small-clip", model)
        yield Small(model, folder)


@pytest.mark.parametrize(("frames", "size"), [(1, (9, 12)), (3, (9, 12)), (19, (3, 5))])
@pytest.mark.parametrize("logsnr", [-8.0, 1.25, 13.5])
def test_both_networks_are_one(small: Small, frames: int, size: tuple[int, int], logsnr: float) -> None:
    z = np.random.default_rng(1).normal(size=(3, frames * size[0], size[1])).astype(np.float32)
    found = framed(small.model, frames).predict(torch.from_numpy(z)[None], torch.tensor(logsnr))[0].numpy()
    told = small.theirs(frames).eps(z.astype(np.float64), logsnr)
    assert np.abs(found - told).max() * np.exp(-logsnr / 2) < 1e-4  # in x
    if frames > 1:  # else what is compared may be nothing
        alone = small.theirs(1).eps(z[:, : size[0]].astype(np.float64), logsnr)
        assert np.abs(told[:, : size[0]] - alone).max() * max(1, np.exp(-logsnr / 2)) > 0.01


def waves(frames: int) -> np.ndarray:
    """uint8 (T, 9, 11, 3)."""
    t, y, x = np.mgrid[:frames, :9, :11]
    every = np.stack([np.sin((x - t) / (3 + c)) * np.cos(y / 4) for c in range(3)], 3)
    return np.rint(127 + 60 * every).astype(np.uint8)


@pytest.mark.parametrize("augmentation", [None, 1500, 20_000])
@pytest.mark.parametrize("frames", [1, 2, 18])
def test_both_networks_are_told_the_same_frames(small: Small, frames: int, augmentation: int | None) -> None:
    rng, before = np.random.default_rng(2), waves(2)[:, :3, :5]
    z = rng.normal(size=(3, 3 * frames, 5)).astype(np.float32)
    given = framed(small.model.given(Before(tuple(before), augmentation)), frames)
    found = given.predict(torch.from_numpy(z)[None], torch.tensor(1.25))[0].numpy()
    plain = small.theirs(frames)
    told = plain.given(their_given.Before(before, augmentation)).eps(z.astype(np.float64), 1.25)
    assert np.abs(found - told).max() < 1e-3
    assert np.abs(plain.eps(z.astype(np.float64), 1.25) - told).max() > 0.01


@pytest.mark.parametrize("sampling", ["RGB", "YUV420"])
def test_both_readers_see_groups_that_hang_together(small: Small, sampling: Any) -> None:
    colour = Colour(matrix=1, range=1)
    clip = Clip(from_rgb(waves(5), sampling, colour), sampling, colour=colour)
    data = diffcodec.encode(clip, "diffc", small.model, max_bytes=600, effort=1, group=2, chained=3)
    found, models = reader.parse(data), dfc_decoder.Models(small.folder)
    assert [[part["count"] for part in one.get("given", [])] for one in (found, *found["frames"])] == [[], [2], [2]]
    shown, other = diffcodec.decode(data, reconstruction="mean"), dfc_decoder.whole(found, models)
    assert shown.shape == other.shape and np.abs(shown.astype(int) - other).max() <= 2
    alone = found["frames"][0]
    with pytest.raises(dfc_decoder.Refused) as refused:
        dfc_decoder.samples(alone, models)
    assert refused.value.name == UnsupportedVersion.__name__
    alone["given"][0]["count"] = 3  # of a group of two
    with pytest.raises(dfc_decoder.Refused) as refused:
        dfc_decoder.whole(found, models)
    assert refused.value.name == CorruptStream.__name__


@pytest.mark.parametrize(
    ("sampling", "colour"),
    [("RGB", Colour()), ("YUV420", Colour()), ("YUV420", Colour(matrix=9, range=2)), ("YUV444", Colour(matrix=0))],
)
def test_both_readers_see_the_same_clip(small: Small, sampling: str, colour: Colour) -> None:
    clip = Clip(from_rgb(waves(2), sampling, colour), sampling, colour=colour)  # type: ignore[arg-type]
    data = diffcodec.encode(clip, "diffc", small.model, max_bytes=200, effort=1)
    other = dfc_decoder.samples(reader.parse(data), dfc_decoder.Models(small.folder))
    shown = diffcodec.decode(data, reconstruction="mean")
    assert shown.shape == other.shape and np.abs(shown.astype(int) - other).max() <= 2
