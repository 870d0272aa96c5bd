"""Streams of a network that was given something: the package and the independent reader, which knows it from
NETWORKS.md §8 alone, see the same picture. The networks are small ones of random weights."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dfc_decoder
import numpy as np
import pytest
import torch
from conftest import needs_weights
from dfc_decoder import given as their_given
from dfc_decoder.conditional import FACTS, GivenUNet, enlarged
from PIL import Image
from safetensors.torch import save_file
from streams import reader

import diffcodec
from diffcodec.bitstream import Chunk, StreamReader, read, write
from diffcodec.bitstream import given as chunk
from diffcodec.codecs.reconstruction import MEAN
from diffcodec.models import registry
from diffcodec.models.cond import model as conditional
from diffcodec.models.cond import net, seen
from diffcodec.models.condition import FileGiven, Observed
from diffcodec.models.operators import Box, Crop, Luma, LumaChroma, Mask, Operator
from diffcodec.models.registry import FOLDER
from diffcodec.runtime.errors import ModelMismatch
from diffcodec.stream.decode import Wanted, decode
from diffcodec.stream.given import Base, File, Gift, Prompt
from diffcodec.stream.parsed import parse

pytestmark = needs_weights
SIZE = (38, 45)  #: no multiples of 4, nor of the sides of boxes
KNOWN = np.add.outer(np.arange(SIZE[0]) // 5, np.arange(SIZE[1]) // 7) % 3 > 0
OPERATORS: dict[str, Operator] = {
    "box2": Box(2), "box4": Box(4), "luma": Luma(), "chroma": LumaChroma(3), "mask": Mask(KNOWN),
    "crop": Crop(3, 20, 19, 22),
}  # fmt: skip
CASES = [(name, augmentation) for name in OPERATORS for augmentation in (None, 2900)]


@dataclass(frozen=True)
class Small:
    """A network of random weights: the package's, registered by its name, and the folder of its files."""

    model: Any
    folder: Path

    def theirs(self) -> GivenUNet:
        """The independent reader's."""
        config, tensors = dfc_decoder.Models(self.folder).find(self.model.fingerprint)
        return GivenUNet(tensors, config)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    config = net.CondConfig((10, 14, 18), (1, 2, 1), 24, fades=8)
    generator, folder = torch.Generator().manual_seed(1), tmp_path_factory.mktemp("models")
    tensors = {}
    for name, value in net.ConditionalUNet(config).state_dict().items():
        drawn = torch.randn(value.shape, generator=generator)
        scale = 0.5 * (value[0].numel() ** -0.5 if value.ndim > 1 else 0.4)
        tensors[name] = (drawn * scale * (0.3 if name.startswith("head") else 1)).half()
    save_file(tensors, folder / "small-cond.safetensors")
    card = {"name": "small-cond", "config": {"architecture": "vdm-unet-given-1", **config.as_dict()}}
    (folder / "small-cond.json").write_text(json.dumps(card))
    with pytest.MonkeyPatch.context() as patch:  # what is compared is what the documents say, not how it is rounded
        patch.setattr(conditional, "bfloat16_serves", lambda device: False)
        patch.setattr(registry, "_registered", {})
        model = registry.load(folder / "small-cond.safetensors", device="cpu", codec="diffc")
        diffcodec.register_model("small-cond", model)
        yield Small(model, folder)


def photograph(seed: int = 0) -> np.ndarray:
    """Shades, an edge and grain, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    light = 100 + 30 * np.sin(x / 9 + seed) * np.cos(y / 11) + 30 * (x + 2 * y > SIZE[0])
    colours = light[..., None] * [1.0, 0.9, 0.7] + np.stack([0 * x, y / 2, x / 2], 2)
    return np.rint(colours + rng.normal(0, 2, (*SIZE, 3))).astype(np.uint8)


def grey() -> np.ndarray:
    return Luma().apply(photograph())


def theirs(observed: Observed) -> their_given.Observed:
    """What the independent reader makes of the same part."""
    operator, known = observed.operator, getattr(observed.operator, "known", None)
    numbers = [getattr(operator, one) for one in ("k", "top", "left", "height", "width") if hasattr(operator, one)]
    return their_given.Observed(observed.kind, numbers, observed.augmentation, observed.samples, known)


# ---- the network


def noisy(picture: np.ndarray, logsnr: float) -> np.ndarray:
    """z_t of a picture, float32 (3, H, W)."""
    s2 = 1 / (1 + np.exp(logsnr))
    x = np.broadcast_to(picture.transpose(2, 0, 1) / 127.5 - 1, (3, *SIZE))
    return (np.sqrt(1 - s2) * x + np.sqrt(s2) * np.random.default_rng(1).normal(size=x.shape)).astype(np.float32)


@pytest.mark.parametrize("logsnr", [-8.0, 1.25, 13.5])
@pytest.mark.parametrize(("name", "augmentation"), [("nothing", None), *CASES, ("box4", 20000), ("luma", -500)])
def test_both_networks_are_one(small: Small, name: str, augmentation: int | None, logsnr: float) -> None:
    for picture in (photograph(), grey()):
        if name == "chroma" and picture.shape[2] == 1:
            continue
        mine, other = small.model, small.theirs()
        if name != "nothing":
            condition = Observed.of(picture, OPERATORS[name], augmentation)
            mine, other = mine.given(condition), other.given(theirs(condition))
        z = noisy(picture, logsnr)
        found = mine.predict(torch.from_numpy(z)[None], torch.tensor(logsnr))[0].numpy()
        told = other.eps(z.astype(np.float64), logsnr)
        assert np.abs(found - told).max() * np.exp(-logsnr / 2) < 1e-4  # in x


def test_the_network_depends_on_all_that_it_is_told(small: Small) -> None:
    """Else what the other tests compare may be nothing."""
    z, models = noisy(photograph(), 1.25), [small.theirs()]
    conditions = [Observed.of(photograph(), OPERATORS[name], augmentation) for name, augmentation in CASES]
    models += [small.theirs().given(theirs(condition)) for condition in conditions]
    every = [model.x_hat(z.astype(np.float64), 1.25) for model in models]
    for i, one in enumerate(every):
        assert np.abs(one).max() < 3 and all(np.abs(one - other).mean() > 2e-4 for other in every[:i])


def test_enlarged_pictures_are_those_of_torch() -> None:
    x = np.random.default_rng(0).normal(size=(3, 5, 7))
    for k in (1, 2, 3, 8):
        wanted = torch.nn.functional.interpolate(
            torch.from_numpy(x)[None], scale_factor=k, mode="bicubic", align_corners=False
        )
        assert np.abs(enlarged(x, k) - wanted[0].numpy()).max() < 1e-12


def test_facts_stand_where_the_document_says() -> None:
    """Those of files too, which the independent reader does not read."""
    steps = torch.arange(1, 129.0).reshape(2, 64)
    told = net.facts("file", grey=True, sampling=(1, 2), tables=steps)
    wanted = np.zeros(FACTS)
    wanted[[4, 6, 8, 9, 10, 11]] = 1, 1, 1, 1, 2, 1
    wanted[12:] = np.log2(steps.numpy().ravel()) / 8
    assert net.FACTS == FACTS and np.allclose(told, wanted)


# ---- files


def jpeg_of(picture: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(out, "JPEG", **options)
    return out.getvalue()


MATRIX = np.array([[19595, 38470, 7471], [-11059, -21709, 32768], [32768, -27439, -5329]]) / 65536
COSINES = np.cos((2 * np.arange(8) + 1) * np.arange(8)[:, None] * np.pi / 16) / 2
COSINES[0] = np.sqrt(1 / 8)


@pytest.mark.parametrize(("colour", "sampling", "box"), [(True, 2, (2, 2)), (True, 1, (1, 2)), (False, 0, (1, 1))])
def test_cells_are_those_of_the_document(colour: bool, sampling: int, box: tuple[int, int]) -> None:
    picture = photograph() if colour else grey()
    data = jpeg_of(picture, quality=40, subsampling=sampling)
    samples = np.asarray(Image.open(io.BytesIO(data)))
    condition = FileGiven(data, samples.reshape(*SIZE, -1))
    assert condition.jpeg is not None
    shown = seen.shown(condition, SIZE)
    steps = [part.table.astype(float) for part in condition.jpeg.components]
    assert np.isclose(1 / shown.seen.precision, 1e-4 * steps[0].mean() ** 0.75)
    x = 0.9 * noisy(photograph(3), 4.0).astype(np.float64)
    found = shown.agree(torch.from_numpy(x)[None])[0].numpy()
    levels = 127.5 * (x + 1)
    planes = np.einsum("kc,chw->khw", MATRIX, levels) if colour else levels.mean(0, keepdims=True)
    planes[0] -= 128
    moved = []
    for number, (plane, part) in enumerate(zip(planes, condition.jpeg.components, strict=True)):
        v, h = box if number else (1, 1)
        rows, cols = -(-SIZE[0] // (8 * v)), -(-SIZE[1] // (8 * h))
        even = SIZE[0] + -SIZE[0] % box[0]
        wide = np.pad(plane, ((0, even - SIZE[0]), (0, 8 * h * cols - SIZE[1])), "edge")
        averages = wide.reshape(even // v, v, 8 * cols, h).mean((1, 3))
        small_one = np.pad(averages, ((0, 8 * rows - even // v), (0, 0)), "edge")
        out = np.zeros_like(small_one)
        for i in range(rows):
            for j in range(cols):
                block = np.s_[8 * i : 8 * i + 8, 8 * j : 8 * j + 8]
                c, q = COSINES @ small_one[block] @ COSINES.T, part.coefficients[i, j]
                inside = np.clip(c, (q - 0.5) * steps[number], (q + 0.5) * steps[number])
                out[block] = COSINES.T @ (inside - c) @ COSINES
        out[even // v - 1] = out[even // v - 1 :].mean(0)
        out = out[: even // v].repeat(v, 0).repeat(h, 1)[: SIZE[0]]
        out[:, SIZE[1] - 1] = out[:, SIZE[1] - 1 :].mean(1)
        moved.append(out[:, : SIZE[1]])
    change = np.einsum("ck,khw->chw", np.linalg.inv(MATRIX), moved) if colour else np.array(moved)
    wanted = (levels if colour else levels.mean(0, keepdims=True)) + change
    assert np.abs(127.5 * (found + 1) - wanted).max() < 1e-6


# ---- streams


def stream(small: Small, picture: np.ndarray, given: Gift | list[Gift] | None, room: int = 400) -> bytes:
    """A lossy one, of so many bytes at most beside the one that was given; grey pictures have two dimensions there."""
    shown = picture.squeeze(2) if picture.shape[2] == 1 else picture
    most = room + (len(given.stream) if isinstance(given, Base) else len(given.data) if isinstance(given, File) else 0)
    return diffcodec.encode(shown, "diffc", small.model, max_bytes=most, effort=1, given=given)


def base(picture: np.ndarray, operator: Operator, augmentation: int | None = None) -> Base:
    samples = operator.apply(picture)
    return Base(diffcodec.encode(samples.squeeze(2) if samples.shape[2] == 1 else samples), operator, augmentation)


def read_by_both(small: Small, data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the package shows, what it knows before it makes that agree, and what the independent reader finds."""
    other = dfc_decoder.samples(reader.parse(data), dfc_decoder.Models(FOLDER, small.folder))
    plain = decode(parse(read(data)), Wanted(MEAN, small.model, agrees=False)).samples
    shown = diffcodec.decode(data, reconstruction="mean")
    return tuple(one.reshape(*SIZE, -1) for one in (shown, plain, other))  # type: ignore[return-value]


def off(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize(("name", "augmentation"), CASES)
def test_both_readers_see_what_was_given(small: Small, name: str, augmentation: int | None) -> None:
    picture, operator = photograph(), OPERATORS[name]
    data = stream(small, picture, base(picture, operator, augmentation))
    assert len(read(data).passes) > 0
    shown, plain, other = read_by_both(small, data)
    assert shown.shape == other.shape == picture.shape and off(plain, other) <= 1
    if augmentation is None:  # the network's own x agrees but for rounding, where no colour leaves what there is
        observed = Observed.of(picture, operator)
        assert off(shown, observed.project(other)) <= 3
        assert off(operator.apply(shown), observed.samples) <= operator.within
        assert off(operator.apply(other), observed.samples) <= 1 + operator.within
    else:
        assert (shown == plain).all()


@pytest.mark.parametrize("name", ["nothing", "box4", "luma", "crop"])
def test_grey_pictures(small: Small, name: str) -> None:
    given = None if name == "nothing" else base(grey(), OPERATORS[name])
    _, plain, other = read_by_both(small, stream(small, grey(), given))
    assert other.shape == (*SIZE, 1) and off(plain, other) <= 1


def test_a_stream_that_ends_behind_what_was_given(small: Small) -> None:
    whole = StreamReader().feed(stream(small, photograph(), base(photograph(), Box(4))))
    data = write([one for one in whole if one.type != "P"])
    _, plain, other = read_by_both(small, data)
    assert off(plain, other) <= 1 and off(Box(4).apply(other), Box(4).apply(photograph())) <= 1


def test_what_the_network_does_not_take_is_refused_by_name(small: Small) -> None:
    one = base(photograph(), Box(4))
    whole = StreamReader().feed(stream(small, photograph(), one))
    (part,) = read(write(whole)).given
    for parts in ([part, part], [chunk.Text("a", "", 256, "", bytes(8))]):
        data = write([Chunk("G", chunk.write(parts)) if each.type == "G" else each for each in whole])
        with pytest.raises(ModelMismatch):
            diffcodec.decode(data)
        with pytest.raises(dfc_decoder.Refused, match="ModelMismatch"):
            dfc_decoder.samples(reader.parse(data), dfc_decoder.Models(FOLDER, small.folder))
    for wrong in ([one, one], Prompt("waves")):
        with pytest.raises((ModelMismatch, diffcodec.InputError)):
            stream(small, photograph(), wrong)
    file = stream(small, photograph(), File(jpeg_of(photograph(), quality=20)))
    assert diffcodec.decode(file, reconstruction="mean").shape == photograph().shape
    with pytest.raises(dfc_decoder.Refused, match=r"ModelMismatch.*file"):
        dfc_decoder.samples(reader.parse(file), dfc_decoder.Models(FOLDER, small.folder))
