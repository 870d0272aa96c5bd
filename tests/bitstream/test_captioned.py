"""A network that is told a text: the package and the independent reader, which knows it from NETWORKS.md §9 alone, see
the same picture. The network is a small one of random weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dfc_decoder
import numpy as np
import pytest
import torch
from dfc_decoder import captioned
from dfc_decoder.given import Told as TheirTold
from hypothesis import given as any_of
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from streams import reader

import diffcodec
from diffcodec.bitstream import read
from diffcodec.models import registry
from diffcodec.models.captions import model as package
from diffcodec.models.captions.net import CaptionConfig, CaptionedUNet
from diffcodec.models.captions.words import PARTS, WORDS, numbers_of, parts_of, words_of
from diffcodec.models.condition import ConditionalModel, Text
from diffcodec.models.guidance import Guided, thresholded
from diffcodec.models.protocols import Continued, DiffusionModel
from diffcodec.runtime.errors import InputError, ModelMismatch
from diffcodec.stream.given import Base, Prompt

SIZE = (20, 27)
TEXTS = ["", "fox", "man: red hair, beard", "Straße #7 ½ 🙂 日本語", "a " * 40, "ultramicroscopicsilicovolcanoconiosis"]


@dataclass(frozen=True)
class Small:
    """A network of random weights: the package's, registered by its name, and the folder of its files."""

    model: package.CaptionedVDM
    folder: Path

    def theirs(self) -> captioned.CaptionedUNet:
        """The independent reader's."""
        config, tensors = dfc_decoder.Models(self.folder).find(self.model.fingerprint)
        return captioned.CaptionedUNet(tensors, config)


@pytest.fixture(scope="module", params=[False, True], ids=["local", "attention"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    shape = ((10, 14, 18), (1, 2, 1), 24)
    config = CaptionConfig(*shape, attention=request.param, buckets=300, width=12, layers=2, sketch=5)
    generator, folder = torch.Generator().manual_seed(1), tmp_path_factory.mktemp("models")
    tensors = {}
    for name, value in CaptionedUNet(config).state_dict().items():
        drawn = torch.randn(value.shape, generator=generator)
        scale = 0.5 * (value[0].numel() ** -0.5 if value.ndim > 1 else 0.4)
        more = next((more for start, more in (("head", 0.3), ("told2", 20)) if name.startswith(start)), 1)
        tensors[name] = (drawn * scale * more).half()
    save_file(tensors, folder / "small-text.safetensors")
    card = {"name": "small-text", "config": {"architecture": "vdm-unet-text-1", **config.as_dict()}}
    (folder / "small-text.json").write_text(json.dumps(card))
    with pytest.MonkeyPatch.context() as patch:  # what is compared is what the documents say, not how it is rounded
        patch.setattr(package, "bfloat16_serves", lambda device: False)
        patch.setattr(registry, "_registered", {})
        model = registry.load(folder / "small-text.safetensors", device="cpu", codec="diffc")
        assert isinstance(model, package.CaptionedVDM)
        diffcodec.register_model("small-text", model)
        yield Small(model, folder)


def photograph() -> np.ndarray:
    """Shades and an edge, uint8 (H, W, 3)."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    light = 100 + 30 * np.sin(x / 9) * np.cos(y / 11) + 30 * (x + 2 * y > SIZE[0])
    return np.rint(light[..., None] * [1.0, 0.9, 0.7]).astype(np.uint8)


def noise() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, *SIZE)).astype(np.float32)


# ---- words


@any_of(st.text(max_size=60), st.integers(1, 5000))
def test_both_readers_cut_texts_alike(text: str, buckets: int) -> None:
    numbers = numbers_of(text, buckets)
    assert numbers.shape == (WORDS, PARTS) and numbers.max() <= buckets
    told = captioned.numbers_of(text, buckets)
    assert [[int(n) for n in row if n] for row in numbers if row.any()] == told


def test_words_and_their_parts() -> None:
    assert words_of("Man: red_hair #7") == ["man", ":", "red", "hair", "#", "7"]
    assert parts_of("fox") == ["<fox>", "<fo", "fox", "ox>"] and parts_of("7") == ["<7>"]
    assert len(words_of("a " * 99)) == WORDS and len(parts_of("x" * 99)) == PARTS


# ---- the network


@pytest.mark.parametrize("logsnr", [-8.0, 1.25, 13.5])
@pytest.mark.parametrize("text", TEXTS)
def test_both_networks_are_one(small: Small, text: str, logsnr: float) -> None:
    z = noise()
    found = small.model.given(Text(text)).predict(torch.from_numpy(z)[None], torch.tensor(logsnr))[0].numpy()
    told = small.theirs().given(TheirTold(text)).eps(z.astype(np.float64), logsnr)
    assert np.abs(found - told).max() * np.exp(-logsnr / 2) < 1e-4  # in x


def test_the_network_depends_on_what_it_is_told(small: Small) -> None:
    """Else what the other tests compare may be nothing; of no text it is what it is without."""
    z, t = torch.from_numpy(noise())[None], torch.tensor(0.5)
    every = [small.model.given(Text(text)).predict(z, t) for text in TEXTS]
    assert torch.equal(every[0], small.model.predict(z, t))
    for n, one in enumerate(every):
        assert all((one - other).abs().mean() > 1e-4 for other in every[:n])


def test_a_new_network_begins_as_the_one_without_texts() -> None:
    config = CaptionConfig((8, 12), (1, 1), 16, buckets=20, width=8)
    net, z = CaptionedUNet(config), torch.randn(2, 3, 8, 8)
    numbers = torch.from_numpy(np.stack([numbers_of("fox", 20), numbers_of("", 20)]))
    torch.nn.init.normal_(net.head.weight)
    with torch.inference_mode():
        t = torch.tensor([0.5, 1.0])
        assert torch.equal(net(z, t, numbers), net(z, t, 0 * numbers))


# ---- guidance


def test_guidance_leads_away_from_what_was_not_told(small: Small) -> None:
    z, t = torch.from_numpy(noise())[None], torch.tensor(0.5)
    assert isinstance(small.model, ConditionalModel)
    told, untold = (small.model.given(Text(text)) for text in ("fox", "hen"))
    plain = small.model.given(Text("fox"))
    assert isinstance(plain, Continued) and plain.further is plain
    guided = small.model.given(Text("fox", "hen", 2.5)).further
    assert isinstance(guided, Guided) and isinstance(guided, DiffusionModel)
    one, other = (model.x_hat(z, 512) for model in (told, untold))
    free = Guided(told, untold, 2.5, threshold=False)
    assert torch.allclose(free.x_hat(z, 512), other + 2.5 * (one - other), atol=1e-5)
    assert torch.allclose(guided.x_hat(z, 512), free.x_hat(z, 512), atol=1e-5)  # icons are not thresholded
    held = Guided(told, untold, 2.5)
    assert torch.allclose(held.x_hat(z, 512), thresholded(other + 2.5 * (one - other)), atol=1e-5)
    assert torch.allclose(Guided(told, untold, 1.0, threshold=False).predict(z, t), told.predict(z, t), atol=1e-5)


def test_thresholding_keeps_what_is_within_and_brings_back_the_rest() -> None:
    x = torch.linspace(-0.9, 0.9, 1200).reshape(1, 3, 20, 20)
    assert torch.equal(thresholded(x), x)
    far = thresholded(4 * x)
    assert float(far.abs().max()) <= 1 and torch.allclose(far[0, 0, 10, :], (4 / 3.582 * x)[0, 0, 10, :], atol=2e-2)


# ---- streams


def test_both_readers_see_what_was_told(small: Small) -> None:
    picture = photograph()
    data = diffcodec.encode(picture, "diffc", small.model, max_bytes=300, effort=1, given=Prompt("fox", "hen", 3))
    other = dfc_decoder.samples(reader.parse(data), dfc_decoder.Models(small.folder))
    shown = diffcodec.decode(data, reconstruction="mean")
    assert len(read(data).passes) > 0 and np.abs(shown.astype(int) - other).max() <= 1
    real = diffcodec.decode(data, reconstruction="flow")
    assert real.shape == picture.shape and (real != shown).any()
    told = diffcodec.inspect(data)["given"][0]
    assert (told["kind"], told["prompt"], told["negative"], told["scale"]) == ("text", "fox", "hen", 3)


def test_what_the_network_does_not_take_is_refused_by_name(small: Small) -> None:
    picture = photograph()
    base = Base(diffcodec.encode(picture[::4, ::4].copy()), diffcodec.models.operators.Box(4))
    for wrong in (base, [Prompt("fox"), Prompt("hen")]):
        with pytest.raises((ModelMismatch, InputError)):
            diffcodec.encode(picture, "diffc", small.model, max_bytes=600, effort=1, given=wrong)
    with pytest.raises(dfc_decoder.Refused, match="ModelMismatch"):
        small.theirs().given(TheirTold("fox")).given(TheirTold("hen"))


def test_the_command_tells_all_of_it(small: Small, tmp_path: Path, run: Callable[..., tuple[int, bytes, str]]) -> None:
    source, stream = tmp_path / "a.png", tmp_path / "a.dfc"
    Image.fromarray(photograph()).save(source)
    model = ("--model", small.folder / "small-text.safetensors", "--effort", 1, "--max-bytes", 300)
    code, _, err = run("encode", source, stream, *model, "--prompt", "fox", "--negative", "hen", "--guidance", 3)
    assert code == 0, err
    (told,) = diffcodec.inspect(stream)["given"]
    assert (told["prompt"], told["negative"], told["scale"]) == ("fox", "hen", 3)
    assert run("encode", source, tmp_path / "b.dfc", *model, "--negative", "hen")[0] == 2
