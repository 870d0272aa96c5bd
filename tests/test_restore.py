"""restore(): what comes back agrees with what there was, is the same of the same seed, and bad input is named."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from conftest import needs_weights
from PIL import Image
from safetensors.torch import save_file

import diffcodec
from diffcodec.models import registry
from diffcodec.models.cond.net import CondConfig, ConditionalUNet, facts
from diffcodec.models.cond.seen import shown
from diffcodec.models.condition import FileGiven, Observed
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.models.jpeg import cells, coefficients
from diffcodec.models.operators import Box, Crop, Luma, LumaChroma, Mask
from diffcodec.models.unet.net import UNet
from diffcodec.runtime.errors import InputError, ModelMismatch

GAUSSIAN = GaussianPictures.smooth()
CONFIG = CondConfig((8, 12), (1, 1), 16)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    x = GAUSSIAN.sample((48, 64))[0].transpose(1, 2, 0)
    return np.rint(np.clip((x + 1) * 127.5, 0, 255)).astype(np.uint8)


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A conditional network of random weights, as a file."""
    torch.manual_seed(0)
    net = ConditionalUNet(CONFIG)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.05 * torch.randn(value.shape))
    path = tmp_path_factory.mktemp("model") / "small-cond.safetensors"
    save_file({name: value.half().contiguous() for name, value in net.state_dict().items()}, path)
    card = {"name": "small-cond", "codec": "diffc", "config": {"architecture": "vdm-unet-given-1", **CONFIG.as_dict()}}
    path.with_suffix(".json").write_text(json.dumps(card))
    return str(path)


def jpeg_of(picture: np.ndarray, quality: int = 30, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality, **options)
    return out.getvalue()


def holes(shape: tuple[int, ...]) -> np.ndarray:
    known = np.ones(shape[:2], bool)
    known[8:20, 10:40] = False
    return known


# ---- every task


@pytest.mark.parametrize("realism", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("which", "grey"), [("gaussian", False), ("network", False), ("network", True)])
def test_what_comes_back_agrees_with_what_there_was(picture, small_model, which, realism, grey):
    model = GAUSSIAN if which == "gaussian" else small_model
    seen = Luma().apply(picture).squeeze(2) if grey else picture
    deep = seen.reshape(*seen.shape[:2], -1)
    options = {"model": model, "realism": realism, "calls": 3}
    for k in (2, 4):
        small = Box(k).apply(deep).reshape(48 // k, 64 // k, *seen.shape[2:])
        made = diffcodec.restore(small, "enlarge", scale=k, **options)
        assert made.dtype == np.uint8 and made.shape == seen.shape
        assert (Box(k).apply(made.reshape(deep.shape)) == Box(k).apply(deep)).all()
    made = diffcodec.restore(seen, "colour", **options)
    assert made.shape == picture.shape and (Luma().apply(made) == Luma().apply(picture)).all()
    known = holes(seen.shape)
    holed = seen.copy()
    holed[~known] = 0
    made = diffcodec.restore(holed, "fill", known=known, **options)
    assert made.shape == seen.shape and (made[known] == seen[known]).all()
    if which == "network":
        made = diffcodec.restore(seen, "extend", margins=(3, 0, 5, 8), **options)
        assert made.shape[:2] == (56, 72) and (made[3:51, 8:] == seen).all()
        data = jpeg_of(seen)
        made = diffcodec.restore(data, "jpeg", **options)
        jpeg = coefficients.read(data)
        found = cells.forward(made.reshape(deep.shape), jpeg)
        assert all((a == c.coefficients).all() for a, c in zip(found, jpeg.components, strict=True))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 33)])
def test_pictures_of_any_size(small_model, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    large = diffcodec.restore(noise, "enlarge", scale=3, model=small_model, calls=2)
    assert large.shape == (3 * size[0], 3 * size[1], 3)
    assert diffcodec.restore(noise, "colour", model=small_model, calls=2).shape == noise.shape
    assert diffcodec.restore(noise, "extend", margins=1.0, model=small_model, calls=2).shape[0] == 3 * size[0]
    assert diffcodec.restore(jpeg_of(noise), "jpeg", model=small_model, calls=2).shape == noise.shape


def test_the_same_seed_gives_the_same_pictures(picture):
    small = Box(4).apply(picture)
    every = diffcodec.restore(small, "enlarge", model=GAUSSIAN, samples=3, seed=5)
    assert len(every) == 3 and not (every[0] == every[1]).all()
    assert (diffcodec.restore(small, "enlarge", model=GAUSSIAN, seed=6) == every[1]).all()


def test_the_mean_errs_least_and_many_draws_come_near_it(picture):
    small = Box(4).apply(picture)

    def error(made: np.ndarray) -> float:
        return float(np.square(made.astype(float) - picture).mean())

    mean = error(diffcodec.restore(small, "enlarge", model=GAUSSIAN, realism=0))
    every = diffcodec.restore(small, "enlarge", model=GAUSSIAN, samples=12)
    assert all(error(one) > 1.3 * mean for one in every)
    assert error(np.mean(every, 0)) < 1.25 * mean


def test_progress_ends_at_one(picture):
    told: list[float] = []
    diffcodec.restore(Box(4).apply(picture), "enlarge", model=GAUSSIAN, samples=2, calls=4, progress=told.append)
    assert told == sorted(told) and told[-1] == pytest.approx(1) and len(told) == 8


def test_an_order_agnostic_model_fills_by_the_same_call():
    name = "cifar10-oa"
    if not (registry.FOLDER / f"{name}.safetensors").is_file():
        pytest.skip("no bundled weights")
    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    known = np.ones((32, 32), bool)
    known[8:12, 8:12] = False
    made = diffcodec.restore(picture, "fill", known=known, model=name, calls=4, seed=3)
    assert (made[known] == picture[known]).all()
    assert (made == diffcodec.inpaint(np.where(known[..., None], picture, 0), known, name, calls=4, seed=3)).all()


# ---- the network


def test_it_begins_as_the_unet_that_it_begins_from():
    torch.manual_seed(1)
    plain, net = UNet(CONFIG), ConditionalUNet(CONFIG)
    torch.nn.init.normal_(plain.head.weight, std=0.1)
    net.load_state_dict(plain.state_dict(), strict=False)
    z, t = torch.randn(2, 3, 16, 24), torch.tensor([-3.0, 4.0])
    alpha, sigma = (torch.sigmoid(s * t).sqrt()[:, None, None, None] for s in (1, -1))
    assert torch.allclose(net(z, t), alpha * z - sigma * plain(z, t), atol=1e-5)


@pytest.mark.parametrize("operator", [Box(3), Luma(), LumaChroma(2), Crop(2, 3, 10, 9), None])
def test_x_hat_agrees_unless_an_augmentation_says_not(operator):
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    operator = operator or Mask(rng.random((16, 24)) < 0.5)
    x = torch.from_numpy(rng.standard_normal((2, 3, 16, 24), np.float32))
    made = shown(Observed.of(picture, operator), (16, 24)).agree(x)
    for one in made:
        levels = (one.permute(1, 2, 0).double().numpy() + 1) * 127.5
        assert abs(operator.affine(levels) - operator.apply(picture)).max() < 1
    again = shown(Observed.of(picture, operator), (16, 24)).agree(made)
    assert torch.allclose(again, made, atol=1e-4)
    rough, exact = (shown(Observed.of(picture, operator, a), (16, 24)) for a in (4096, None))
    assert rough.agree(x) is x and (rough.seen.facts != exact.seen.facts).any()


def test_a_jpeg_is_told_by_its_tables_and_keeps_to_its_cells(picture):
    data = jpeg_of(picture, 20, subsampling=2)
    given = FileGiven(data, np.asarray(Image.open(io.BytesIO(data))))
    told = shown(given, picture.shape[:2])
    assert not torch.equal(told.seen.facts[0], facts("file"))
    x = torch.from_numpy(picture.transpose(2, 0, 1)[None]).float() / 127.5 - 1
    assert float((told.agree(x) - x).abs().max()) < 0.02  # the picture itself lies in its cells, to rounding
    assert float((told.agree(x + 0.3) - x).square().mean()) < 0.3**2 / 2


def test_a_condition_of_another_size_is_refused(small_model):
    model = registry.load(small_model, codec="diffc", device="cpu")
    given = model.given(Observed(np.zeros((4, 4, 3), np.uint8), Box(4)))
    with pytest.raises(InputError, match="found"):
        given.predict(torch.zeros(1, 3, 16, 24), torch.tensor(0.0))


# ---- what cannot be


@pytest.mark.parametrize(
    ("task", "options", "says"),
    [
        ("sharpen", {}, "expected task enlarge"),
        ("enlarge", {"scale": 9}, "scale of 2 to 8"),
        ("enlarge", {"scale": 1}, "scale of 2 to 8"),
        ("fill", {}, "needs known"),
        ("fill", {"known": np.ones((3, 3), bool)}, "expected known of shape"),
        ("fill", {"known": np.ones((8, 8), bool)}, "nothing to fill"),
        ("extend", {"margins": 0.0}, "margins up to"),
        ("extend", {"margins": (0, 0, 0, 0)}, "expected margins"),
        ("extend", {"margins": (9, 0, 0, 0)}, "no wider"),
        ("extend", {"margins": (1, 2)}, "expected margins"),
        ("colour", {"samples": 0}, "1 sample or more"),
        ("colour", {"realism": 2.0}, "realism"),
        ("colour", {"calls": 0}, "1 network call"),
    ],
)
def test_bad_wishes_are_named(task, options, says):
    with pytest.raises(InputError, match=says):
        diffcodec.restore(np.zeros((8, 8, 3), np.uint8), task, **{"model": GAUSSIAN} | options)


@pytest.mark.parametrize("data", [b"", b"nothing", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0" + bytes(40), b"RIFFxxxxWEBP"])
def test_files_that_are_none_are_refused(data):
    with pytest.raises(InputError):
        diffcodec.restore(data, "jpeg", model=GAUSSIAN)


def test_pictures_with_more_than_colours_are_refused():
    with pytest.raises(InputError, match="mode RGBA"):
        diffcodec.restore(np.zeros((8, 8, 4), np.uint8), "enlarge", model=GAUSSIAN)


def test_a_model_that_takes_nothing_is_refused():
    from diffcodec.models.gaussian import WhitePictures

    with pytest.raises(ModelMismatch, match="takes no"):
        diffcodec.restore(np.zeros((8, 8, 3), np.uint8), "enlarge", model=WhitePictures())


# ---- bases, and stages of them


def test_a_base_is_a_stream_of_the_picture_in_small(picture):
    base = diffcodec.base_of(picture, 4)
    assert base.augmentation is None and (diffcodec.decode(base.stream) == Box(4).apply(picture)).all()
    stream = diffcodec.encode(picture, "diffc", GAUSSIAN, bpp=3, given=base)
    first = next(iter(diffcodec.decode_progressive(stream, model=GAUSSIAN, reconstruction="mean")))
    assert first.image.shape == picture.shape and (Box(4).apply(first.image) == Box(4).apply(picture)).all()


@pytest.mark.parametrize("factors", [4, (8, 4), (16, 4, 2)])
def test_stages_take_the_bytes_they_are_given_and_say_how_true_they_are(picture, factors):
    model = GaussianPictures.smooth(4)  # of whose blocks every stage has whole ones
    base = diffcodec.base_of(picture, factors, bpp=2, model=model, conditional=model)
    k = base.operator.k
    assert len(base.stream) <= 2 * 48 * 64 / 8 and base.augmentation is not None
    shown = diffcodec.decode(base.stream, model=model, reconstruction="mean").astype(float)
    error = np.square((shown - Box(k).apply(picture)) / 127.5).mean()
    assert base.augmentation == pytest.approx(-1024 * np.log(error), abs=80)
    depth, parts = 0, diffcodec.inspect(diffcodec.encode(picture, "diffc", model, bpp=4, given=base))["given"]
    while parts:
        depth, parts = depth + 1, parts[0]["given"]
    assert depth == (1 if isinstance(factors, int) else len(factors))


@pytest.mark.parametrize("factors", [0, 65, (4, 4), (4, 8), (6, 4), ()])
def test_stages_that_are_none_are_refused(picture, factors):
    with pytest.raises(InputError, match="stages"):
        diffcodec.base_of(picture, factors, bpp=1)


def test_several_stages_need_a_rate(picture):
    with pytest.raises(InputError, match="bits per pixel"):
        diffcodec.base_of(picture, (8, 4))
    with pytest.raises(InputError, match="bits per pixel"):
        diffcodec.base_of(picture, 1)


@needs_weights
def test_the_command_gives_a_base_that_opens_everywhere_and_cuts_it_out(picture, tmp_path, run):
    source, stream, small = tmp_path / "a.png", tmp_path / "a.dfc", tmp_path / "small.webp"
    Image.fromarray(picture).save(source)
    base = ("--bpp", 4, "--base", "1/4", "--base-form", "webp", "--base-bpp", "lossless", "--effort", 1)
    code, _, err = run("encode", source, stream, *base)
    assert code == 0, err
    code, _, err = run("decode", stream, small, "--base")
    assert code == 0 and "as they stand in" in err
    assert (np.asarray(Image.open(small)) == Box(4).apply(picture)).all()
    assert run("encode", source, stream, "--base-form", "webp", "--overwrite")[0] == 2
    assert run("encode", source, stream, "--overwrite")[0] == 0
    code, _, err = run("decode", stream, small, "--base", "--overwrite")
    assert code == 1 and "was given no file" in err
