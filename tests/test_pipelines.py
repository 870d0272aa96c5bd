"""Pipelines of diffusers as codecs: a small random one of every class keeps all laws; files are what they were."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import Tensor

import diffcodec
from diffcodec.codecs.codec import Head, Room
from diffcodec.codecs.diffc import codec as diffc
from diffcodec.codecs.diffc.cost import LOSSY
from diffcodec.codecs.diffc.effort import Effort
from diffcodec.codecs.diffc.rate import Sender
from diffcodec.models import registry
from diffcodec.models.condition import Observed, Text
from diffcodec.models.guidance import thresholded
from diffcodec.models.operators import Box, Luma
from diffcodec.models.pipelines import source
from diffcodec.models.pipelines.model import PipelineModel
from diffcodec.models.pipelines.table import PIPELINES
from diffcodec.runtime.errors import InputError, ModelMismatch, ModelNotFound
from diffcodec.runtime.recorded import recordable
from diffcodec.testing import suites_of
from diffcodec.testing.laws import nobody_drew

diffusers = pytest.importorskip("diffusers", reason="pipelines need pip install 'diffcodec[diffusers]'")
pytest.importorskip("transformers", reason="pipelines need pip install 'diffcodec[diffusers]'")
tiny_pipelines = pytest.importorskip("tiny_pipelines")

CASES = tuple(tiny_pipelines.CASES)
TEXTS = tuple(case for case in CASES if case.startswith(("sd", "flux", "sana", "deepfloyd")))
SIZES = (16, 16), (15, 24)  #: such that a picture that comes back grey is near enough
Tiny = Callable[[str], Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The folder of a case's pipeline, built when it is first asked for."""
    folder = tmp_path_factory.mktemp("pipelines")

    def built(case: str) -> Path:
        if not (folder / case).is_dir():
            with warnings.catch_warnings():  # of configurations that diffusers itself would write otherwise
                warnings.simplefilter("ignore", FutureWarning)
                tiny_pipelines.build(case, folder)
        return folder / case

    return built


@pytest.fixture(autouse=True)
def loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_loaded", {})


def model_of(folder: Path, options: str = "") -> PipelineModel:
    model = registry.load(f"diffusers:{folder}{options}", device="cpu", codec="diffc")
    assert isinstance(model, PipelineModel)
    return model


def picture(height: int = 16, width: int = 16) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([128 + 80 * np.sin(x / k) * np.cos(y / (k + 2)) for k in (4, 5, 6)], 2).astype(np.uint8)


def noisy(model: PipelineModel, logsnr: float, count: int = 1) -> tuple[Tensor, Tensor]:
    x = model.to_latent(torch.from_numpy(np.tile(picture().transpose(2, 0, 1), (count, 1, 1, 1))))
    eps = torch.from_numpy(np.random.default_rng(0).standard_normal(tuple(x.shape))).float()
    a2 = 1 / (1 + math.exp(-logsnr))
    return math.sqrt(a2) * x + math.sqrt(1 - a2) * eps, torch.tensor(logsnr)


# ---- laws of every row


@pytest.mark.parametrize("case", CASES)
def test_laws(case: str, tiny: Tiny, record_property: Callable[[str, object], None]) -> None:
    model = model_of(tiny(case))
    record_property("class", type(model.opened.pipe).__name__)
    assert model.name == case
    (suite,) = suites_of(model)
    assert (suite.__name__ == "ConditionalLaws") is (case in TEXTS)
    suite.of(model, sizes=SIZES).check()


def test_every_row_has_a_case(tiny: Tiny) -> None:
    classes = {json.loads((tiny(case) / "model_index.json").read_text())["_class_name"] for case in CASES}
    assert classes == set(PIPELINES)


@pytest.mark.parametrize("case", CASES)
def test_the_chain_is_the_schedulers_own(case: str, tiny: Tiny) -> None:
    """What it adds to x at a timestep, a x + b eps, is z of log-SNR 2 ln(a / b), which the network is told as that."""
    model = model_of(tiny(case))
    scheduler = model.opened.pipe.scheduler
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    if case == "sana":  # its own class knows the flow at the steps of a sampler only: the same flow by its own class
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    flow = isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler)
    add = (lambda x, eps, t: scheduler.scale_noise(x, t, eps)) if flow else scheduler.add_noise
    for k in (5, 20, 30):
        scheduler.set_timesteps(40, **({"mu": 0.8} if case.startswith("flux") else {}))
        t = scheduler.timesteps[k]
        a, b = (float(add(x, eps, t[None])) for x, eps in ((one, zero), (zero, one)))
        logsnr = 2 * math.log(a / b)
        assert model.schedule.time(logsnr) == pytest.approx(float(t), rel=2e-4, abs=2e-3)
        # and of it the scheduler makes what the network takes, as scale does of z
        made = a if flow else float(scheduler.scale_model_input(a * one, t))
        scale, a2 = model.schedule.scale(logsnr), 1 / (1 + math.exp(-logsnr))
        assert scale * math.sqrt(a2) == pytest.approx(made, rel=2e-3)


@pytest.mark.parametrize("case", CASES)
def test_both_sides_end_with_one_latent(case: str, tiny: Tiny) -> None:
    photo, sent, received = picture(15, 18), model_of(tiny(case)), model_of(tiny(case))
    sender = Sender(photo, sent, Room(lambda n: n + 7, 150), 5, Effort(1.0, 6, 2))
    sender.run(None)
    receiver = diffc.Receiver(Head("diffc", 15, 18, 3, 0, bytes([LOSSY, 6]), 5), received)
    receiver.take_all(sender.payloads)
    assert torch.equal(receiver.chain.z, sender.chain.z)
    assert receiver.chain.number == sender.chain.number > 1
    assert receiver.chain.logsnr == sender.chain.logsnr > sent.logsnr_min


@pytest.mark.parametrize("case", CASES)
def test_streams_keep_budgets_and_prefixes_show(case: str, tiny: Tiny) -> None:
    photo, wanted = picture(15, 18), f"diffusers:{tiny(case)}"
    for size in (120, 400):
        data = diffcodec.encode(photo, "diffc", wanted, max_bytes=size, effort=1)
        assert len(data) <= size
    info = diffcodec.inspect(data)
    assert info["model"] == case and info["numerics"] == "tolerant"
    shown = diffcodec.decode(data, model=wanted, reconstruction="mean")
    assert shown.shape == photo.shape
    previews = list(diffcodec.decode_progressive(data, model=wanted, reconstruction="mean"))
    assert all(one.image.shape == photo.shape for one in previews) and len(previews) > 1
    assert np.array_equal(previews[-1].image, shown)
    first = diffcodec.decode(data, model=wanted, reconstruction="mean", upto_bytes=previews[0].bytes_read)
    assert np.array_equal(first, previews[0].image)


@pytest.mark.parametrize("case", ["ddpm", "sd15", "flux-dev"])
def test_what_is_shown_is_nearer_than_nothing(case: str, tiny: Tiny) -> None:
    """Even of a random network the chain ends at the picture's latent."""
    model, photo = model_of(tiny(case)), picture(16, 16)
    sender = Sender(photo, model, Room(lambda n: n + 7, 1500), 0, Effort(0.4, 8, 4))
    sender.run(None)
    error = float((sender.chain.x_hat() - sender.x).square().mean())
    assert error < 0.3 * float(sender.x.square().mean())


# ---- against the pipelines' own sampling


def expected(model: Any, z: Tensor, logsnr: float) -> Tensor:
    """x_hat at a log-SNR that is no multiple of 1/1024."""
    a2 = 1 / (1 + math.exp(-logsnr))
    eps = model.predict(z, torch.tensor(logsnr)).double()
    return ((z.double() - math.sqrt(1 - a2) * eps) / math.sqrt(a2)).float()


@pytest.mark.parametrize("case", ["ddpm", "ddpm-v", "ddim", "euler", "edm", "edm-v", "ldm"])
def test_x_hat_is_the_schedulers_own(case: str, tiny: Tiny) -> None:
    """Asked as the pipeline's loop asks, at one of its timesteps."""
    model = model_of(tiny(case))
    pipe = model.opened.pipe
    pipe.scheduler.set_timesteps(40)
    t = pipe.scheduler.timesteps[20]
    x, eps = (torch.from_numpy(np.random.default_rng(k).standard_normal((2, 3, 8, 8))).float() / 3 for k in range(2))
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    a, b = (float(pipe.scheduler.add_noise(*pair, t[None])) for pair in ((one, zero), (zero, one)))
    y = a * x + b * eps
    with torch.no_grad():
        out = pipe.unet(pipe.scheduler.scale_model_input(y, t), t, return_dict=False)[0]
        if case == "edm-v":  # whose solver tells no x
            want = pipe.scheduler.precondition_outputs(y, out, pipe.scheduler.sigmas[20])
        else:
            want = pipe.scheduler.step(out, t, y).pred_original_sample
    found = expected(model, y / math.hypot(a, b), 2 * math.log(a / b))
    assert torch.allclose(found, want.clamp(-1, 1) if model.pixels else want, atol=5e-4)


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("case", ["sd15", "sd21-zero-snr", "sdxl", "sd3", "flux-dev", "flux-schnell", "sana"])
def test_x_hat_is_what_the_pipeline_makes_in_one_step(case: str, scale: float, tiny: Tiny) -> None:
    """The whole call of a pipeline with a prompt, guided or not, from latents of one timestep straight to none."""
    model: Any = model_of(tiny(case))
    pipe, side, more = model.opened.pipe, 8, {}
    if case == "sana":  # its own solver starts at pure noise alone; the flow is the same
        pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
        side, more = 16, {"use_resolution_binning": False}
    flow = isinstance(pipe.scheduler, diffusers.FlowMatchEulerDiscreteScheduler)
    packed = case.startswith("flux")
    negative = "" if packed or scale == 1 else "the blue dog"
    more |= {"negative_prompt": negative} if negative else {}
    y = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 4, side, side))).float()
    made = pipe(
        prompt="a red cat", height=2 * side, width=2 * side, num_inference_steps=1, guidance_scale=scale,
        latents=pipe._pack_latents(y, 1, 4, side, side) if packed else y, output_type="latent",
        **more, **({"sigmas": [0.5]} if flow else {}),
    ).images  # fmt: skip
    made = pipe._unpack_latents(made, 2 * side, 2 * side, 2) if packed else made
    t = float(pipe.scheduler.timesteps[0])
    if flow:
        t /= 1000
        logsnr, z = 2 * math.log(1 / t - 1), y / math.hypot(t, 1 - t)
    else:
        a2 = float(pipe.scheduler.alphas_cumprod[int(t)])
        logsnr, start = math.log(a2 / (1 - a2)), float(pipe.scheduler.init_noise_sigma)
        z = y * start * (math.sqrt(a2) if case == "sdxl" else 1)  # Euler's latents are x + s eps
    led = model.given(Text("a red cat", negative, scale)).further
    assert torch.allclose(expected(led, z, logsnr), made, atol=1e-3)


# ---- files are what they were


def damaged(folder: Path, to: Path, path: str, change: Callable[[bytes], bytes]) -> Path:
    shutil.copytree(folder, to)
    (to / path).write_bytes(change((to / path).read_bytes()))
    return to


def flipped(data: bytes) -> bytes:
    """With the lowest bit of its last weight but one."""
    return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]


FILES = {
    "a byte of a weight": ("unet/diffusion_pytorch_model.safetensors", flipped),
    "a byte of the autoencoder": ("vae/diffusion_pytorch_model.safetensors", flipped),
    "a byte of the text's reader": ("text_encoder/model.safetensors", flipped),
    "the betas": ("scheduler/scheduler_config.json", lambda data: data.replace(b"0.002", b"0.0021")),
    "the vocabulary": ("tokenizer/tokenizer.json", lambda data: data + b"\n"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_changed_file_is_told(what: str, tiny: Tiny, tmp_path: Path) -> None:
    folder = tiny("sd15")
    data = diffcodec.encode(picture(), "diffc", f"diffusers:{folder}", max_bytes=150, effort=1)
    other = damaged(folder, tmp_path / "sd15", *FILES[what])
    assert (other / FILES[what][0]).read_bytes() != (folder / FILES[what][0]).read_bytes()
    with pytest.raises(ModelMismatch, match="fingerprint"):
        diffcodec.decode(data, model=f"diffusers:{other}")
    same = shutil.copytree(folder, tmp_path / "elsewhere")  # another place, and so another name, but the same files
    assert diffcodec.decode(data, model=f"diffusers:{same}").shape == picture().shape


def test_a_stream_opens_no_folder(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    data = diffcodec.encode(picture(), "diffc", f"diffusers:{tiny('ddpm')}", max_bytes=150, effort=1)
    monkeypatch.chdir(tiny("ddpm").parent)
    with pytest.raises(ModelNotFound, match="neither bundled nor registered"):
        diffcodec.decode(data)
    assert diffcodec.decode(data, model="diffusers:ddpm").shape == picture().shape


# ---- what is not understood is refused by name


def index_with(**more: Any) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps(json.loads(data) | more).encode()


STRANGE: dict[str, tuple[str, str, Callable[[bytes], bytes], type[Exception], str]] = {
    "a class": ("ddpm", "model_index.json", index_with(_class_name="WanPipeline"), ModelMismatch, "WanPipeline"),
    "code": ("ddpm", "model_index.json", index_with(unet=["mine", "Net"]), ModelMismatch, "its unet is of mine"),
    "a part elsewhere": (
        "ddpm", "model_index.json", index_with(**{"../x": ["diffusers", "A"]}), ModelMismatch, "no folder",
    ),
    "no table": ("ddpm", "model_index.json", lambda data: b"[]", ModelMismatch, "table"),
    "no JSON": ("ddpm", "model_index.json", lambda data: data[:9], ModelMismatch, "cannot be read"),
    "a scheduler": (
        "ddpm", "model_index.json", index_with(scheduler=["diffusers", "VQDiffusionScheduler"]), ModelMismatch, "VQ",
    ),
    "a prediction": (
        "ddpm", "scheduler/scheduler_config.json", index_with(prediction_type="score"), ModelMismatch, "'score'",
    ),
    "inverted sigmas": (
        "flux-dev", "scheduler/scheduler_config.json", index_with(invert_sigmas=True), ModelMismatch, "invert_sigmas",
    ),
    "no weights": ("ddpm", "unet/diffusion_pytorch_model.safetensors", lambda data: b"", ModelMismatch, "no model"),
    "another shape": ("ddpm", "unet/config.json", index_with(in_channels=1), ModelMismatch, "makes no model"),
}  # fmt: skip


@pytest.mark.parametrize("what", STRANGE)
def test_what_is_not_understood_is_refused_by_name(what: str, tiny: Tiny, tmp_path: Path) -> None:
    case, path, change, error, words = STRANGE[what]
    folder = damaged(tiny(case), tmp_path / case, path, change)
    with pytest.raises(error, match=words) as found:
        model_of(folder)
    assert "\n" not in str(found.value)


def test_without_the_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFound, match=r"diffusers and transformers: pip install 'diffcodec\[diffusers\]'"):
        registry.load("diffusers:anything", codec="diffc")


def test_opening_draws_nothing(tiny: Tiny) -> None:
    with nobody_drew():
        model_of(tiny("sd15"))


def test_pickles_are_not_opened(tiny: Tiny, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny("ddpm"), tmp_path / "pickled")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(diffusers.UNet2DModel.from_pretrained(folder / "unet").state_dict(), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ModelMismatch, match="no model"):
        model_of(folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("?dtype=int8", "float32, bfloat16, float16, found 'int8'"),
        ("?speed=9", "no option 'speed'"),
        ("?tiling=maybe", "yes, no, found 'maybe'"),
        ("?label=cat", "expected a number, found 'cat'"),
        ("?label=3", "takes no label"),
    ],
)
def test_options_that_are_none(options: str, words: str, tiny: Tiny) -> None:
    with pytest.raises(InputError, match=words):
        model_of(tiny("ddpm"), options)


@pytest.mark.parametrize("place", ["nowhere", "/nowhere/at/all", "own/er/name", "../x/y"])
def test_a_place_that_is_none(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound, match="no folder"):
        registry.load(f"diffusers:{place}", codec="diffc")
    with pytest.raises(ModelNotFound, match="no saved pipeline"):
        registry.load(f"diffusers:{tmp_path}", codec="diffc")


# ---- the hub's cache


def test_a_hub_id_is_pinned_to_its_revision(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the cache's own layout; nothing is asked of the network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--some--ddpm"
    shutil.copytree(tiny("ddpm"), repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    models = [registry.load(f"diffusers:some/ddpm{at}", codec="diffc") for at in ("", "@main", f"@{commit}")]
    assert {model.name for model in models} == {"some:ddpm@0123456789ab"}
    assert {model.fingerprint for model in models} == {model_of(tiny("ddpm")).fingerprint}
    for absent in ("some/ddpm@other", "some/other"):
        with pytest.raises(ModelNotFound, match="nothing is fetched without"):
            registry.load(f"diffusers:{absent}", codec="diffc")


@given(st.text(max_size=80))
@settings(max_examples=30)
def test_any_name_can_be_recorded(name: str) -> None:
    assert recordable(source.recorded(name))


# ---- objects


@pytest.mark.parametrize("case", ["ddpm", "sd15", "flux-dev"])
def test_an_object_is_a_model(case: str, tiny: Tiny) -> None:
    folder = tiny(case)
    kind = getattr(diffusers, json.loads((folder / "model_index.json").read_text())["_class_name"])
    pipe = kind.from_pretrained(folder)
    data = diffcodec.encode(picture(), "diffc", pipe, max_bytes=200, effort=1)
    assert diffcodec.decode(data, model=pipe).shape == picture().shape
    model, saved = source.provider(pipe), model_of(folder)
    assert model.name == case and source.provider(pipe, name="mine").name == "mine"
    again = source.provider(kind.from_pretrained(folder))
    assert model.fingerprint == again.fingerprint
    z, t = noisy(saved, 0.0)
    assert torch.allclose(model.predict(z, t), saved.predict(z, t), atol=1e-5)
    network = getattr(pipe, model.opened.row.network)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1e-3
    with pytest.raises(ModelMismatch, match="fingerprint"):
        diffcodec.decode(data, model=pipe)


def test_an_object_without_a_row_is_refused(tiny: Tiny) -> None:
    class Mine(diffusers.DDPMPipeline):
        pass

    pipe = diffusers.DDPMPipeline.from_pretrained(tiny("ddpm"))
    with pytest.raises(ModelMismatch, match="no row for pipeline Mine"):
        registry.load(Mine(pipe.unet, pipe.scheduler), codec="diffc")
    grey = diffusers.DDPMPipeline(tiny_pipelines.unet(in_channels=1, out_channels=1), pipe.scheduler)
    with pytest.raises(ModelMismatch, match="takes 1 channels, where 3 are expected"):
        registry.load(grey, codec="diffc")


# ---- options


def test_halves_and_tiles(tiny: Tiny) -> None:
    whole, half = model_of(tiny("sd15")), model_of(tiny("sd15"), "?dtype=bfloat16&tiling=yes&offload=yes")
    assert (whole.arithmetic, half.arithmetic) == ("float32", "bfloat16")
    assert half.fingerprint == whole.fingerprint and half.opened.pipe.vae.use_tiling
    z, t = noisy(whole, 0.0)
    apart = (half.predict(z, t) - whole.predict(z, t)).abs().max()
    assert 0 < apart < 0.06
    data = diffcodec.encode(picture(), "diffc", whole, max_bytes=200, effort=1)
    a, b = (diffcodec.decode(data, model=one, reconstruction="mean").astype(int) for one in (whole, half))
    assert abs(a - b).max() < 12


def test_a_network_that_wants_more_is_refused_when_it_is_opened(tiny: Tiny) -> None:
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(tiny("sd15"))
    pipe.unet = tiny_pipelines.conditional_unet(in_channels=9)  # a mask and what is masked
    with pytest.raises(ModelMismatch, match="takes 9 channels, where 4 are expected"):
        source.provider(pipe)
    pipe.unet = tiny_pipelines.conditional_unet(cross_attention_dim=24)
    with pytest.raises(ModelMismatch, match="cannot be asked"):
        source.provider(pipe)


def test_pictures_beyond_the_places_of_a_network(tiny: Tiny) -> None:
    model = model_of(tiny("sd3"))
    assert model.latent_shape((128, 20)) == (4, 64, 10)
    with pytest.raises(InputError, match="128 pixels a side"):
        diffcodec.encode(picture(16, 130), "diffc", model, max_bytes=200)


def test_pictures_of_a_pixel(tiny: Tiny) -> None:
    """Of a network that normalises every channel by itself, which it cannot of one point."""
    scheduler = diffusers.DDPMPipeline.from_pretrained(tiny("ddpm")).scheduler
    network = tiny_pipelines.unet(norm_num_groups=8, block_out_channels=(8, 8))
    model = source.provider(diffusers.DDPMPipeline(network, scheduler))
    data = diffcodec.encode(picture(1, 1), "diffc", model, max_bytes=120, effort=1)
    assert diffcodec.decode(data, model=model, reconstruction="mean").shape == (1, 1, 3)


def test_labels_of_a_u_net(tiny: Tiny) -> None:
    scheduler = diffusers.DDPMPipeline.from_pretrained(tiny("ddpm")).scheduler
    pipe = diffusers.DDPMPipeline(tiny_pipelines.unet(num_class_embeds=3), scheduler)
    models = [source.provider(pipe, label=label) for label in (0, 2)]
    z, t = noisy(models[0], -2.0)
    assert models[0].fingerprint != models[1].fingerprint
    assert not torch.equal(*(model.predict(z, t) for model in models))
    for label in (None, 3):
        with pytest.raises(InputError, match="label of 0 to 2"):
            source.provider(pipe, label=label)


def test_a_label_is_another_model(tiny: Tiny) -> None:
    models = [model_of(tiny("dit"), options) for options in ("", "?label=3", "?label=4")]
    assert len({model.fingerprint for model in models}) == 3
    z, t = noisy(models[0], -2.0)
    assert len({model.predict(z, t).numpy().tobytes() for model in models}) == 3
    with pytest.raises(InputError, match="label of 0 to 10, found 11"):
        model_of(tiny("dit"), "?label=11")


def test_latents_are_scaled_as_the_configuration_says(tiny: Tiny) -> None:
    image = torch.from_numpy(picture().transpose(2, 0, 1))[None]
    for case in ("sd15", "flux-dev", "sdxl"):
        model = model_of(tiny(case))
        vae = model.opened.pipe.vae
        with torch.no_grad():
            mode = vae.encode(image.float() / 127.5 - 1).latent_dist.mode()
        mean, deviation = (vae.config.get(key) for key in ("latents_mean", "latents_std"))
        shift = torch.tensor(mean or [vae.config.get("shift_factor") or 0.0] * 4)[None, :, None, None]
        spread = torch.tensor(deviation or [1.0] * 4)[None, :, None, None]
        x = model.to_latent(image)
        assert torch.allclose(x * spread / vae.config.scaling_factor + shift, mode, atol=1e-5)
        with torch.no_grad():
            decoded = (vae.decode(mode).sample / 2 + 0.5).clamp(0, 1) * 255
        assert float((model.from_latent(x).float() - decoded).abs().max()) <= 0.6


# ---- texts


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures the network of a conditional U-Net is asked about in each call."""
    calls: list[int] = []
    forward = diffusers.UNet2DConditionModel.forward

    def counted(self: Any, sample: Tensor, *args: Any, **more: Any) -> Any:
        calls.append(len(sample))
        return forward(self, sample, *args, **more)

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "forward", counted)
    return calls


def test_guidance_leads_on_and_does_not_code(tiny: Tiny, asked: list[int]) -> None:
    """Coding and E[x|z] ask once a call; behind that the flow asks with the text and without."""
    wanted, gift = f"diffusers:{tiny('sd15')}", diffcodec.Prompt("a red cat", "blue", 4.0)
    data = diffcodec.encode(picture(), "diffc", wanted, max_bytes=200, effort=1, given=gift)
    plain = diffcodec.decode(data, model=wanted, reconstruction="mean")
    assert asked and set(asked) == {1}
    coding = len(asked)
    real = diffcodec.decode(data, model=wanted, reconstruction="flow")
    behind = asked[coding:]
    assert 2 in behind and behind[: behind.index(2)] == [1] * behind.index(2)
    assert set(behind[behind.index(2) :]) == {2}
    assert not np.array_equal(plain, real)
    weak = diffcodec.encode(picture(), "diffc", wanted, max_bytes=200, effort=1, given=diffcodec.Prompt("a red cat"))
    assert 2 not in asked[len(asked) - 3 :] and len(weak) <= 200


@pytest.mark.parametrize("case", TEXTS)
def test_guidance_goes_from_without_to_with(case: str, tiny: Tiny) -> None:
    model = model_of(tiny(case))
    z, t = noisy(model, -1.0, count=2)
    distilled = model.opened.row.distilled
    one = model.given(Text("a red cat"))  # type: ignore[attr-defined]
    guided = model.given(Text("a red cat", scale=3.0))  # type: ignore[attr-defined]
    assert torch.equal(guided.predict(z, t), one.predict(z, t)) and one.further is one
    empty, told, led = (who.asking(who.network, None).predict(z, t) for who in (model, one, guided.further))
    assert not torch.equal(empty, told)
    if distilled:  # its network is told the scale, where it asks for it
        assert torch.equal(led, told) is not model.opened.pipe.transformer.config.guidance_embeds
        with pytest.raises(InputError, match="negative"):
            model.given(Text("a cat", negative="dog", scale=3.0))  # type: ignore[attr-defined]
        return
    assert torch.allclose(led, empty + 3 * (told - empty), atol=2e-4)
    away = model.given(Text("a red cat", negative="the blue dog", scale=3.0)).further  # type: ignore[attr-defined]
    assert not torch.allclose(away.asking(away.network, None).predict(z, t), led, atol=1e-6)


# ---- a second stage


@pytest.mark.parametrize("level", [5, 250])
def test_a_second_stage_sees_what_its_pipeline_shows_it(
    level: int, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small picture at size, as strong as beside the noise of a level, and the level; noise itself is not added."""
    model: Any = model_of(tiny("deepfloyd-if-2"))
    pipe, seen = model.opened.pipe, []
    forward = diffusers.UNet2DConditionModel.forward

    def watched(self: Any, sample: Tensor, timestep: Any, *args: Any, class_labels: Any, **more: Any) -> Any:
        seen.append((sample[:, 3:].clone(), class_labels.float()))
        return forward(self, sample, timestep, *args, class_labels=class_labels, **more)

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "forward", watched)
    noising = pipe.image_noising_scheduler
    adds = type(noising).add_noise
    monkeypatch.setattr(noising, "add_noise", lambda x, noise, timesteps: adds(noising, x, 0 * noise, timesteps))
    small = picture(4, 6)
    pipe(
        prompt="a red cat", height=16, width=24, image=Image.fromarray(small), noise_level=level,
        num_inference_steps=1, guidance_scale=1.0, output_type="np", clean_caption=False,
    )  # fmt: skip
    a2 = float(noising.alphas_cumprod[level])
    observed = Observed(small, Box(4), round(1024 * math.log(a2 / (1 - a2))))
    text = Text("a red cat")
    for both in (model.given(observed).given(text), model.given(text).given(observed)):
        both.predict(torch.zeros(1, 3, 16, 24), torch.tensor(0.0))
        (theirs, at), (ours, own) = seen[0], seen[-1]
        assert torch.allclose(ours, theirs, atol=2e-3) and torch.allclose(own, at, atol=0.05)


def test_a_second_stage_codes_what_a_base_left(tiny: Tiny) -> None:
    """A cascade: given a nested stream, agreeing with one that has no loss; whatever the size, in colour and grey."""
    wanted = f"diffusers:{tiny('deepfloyd-if-2')}"
    for photo in (picture(18, 27), picture(16, 20)[..., 0]):
        for rate in (None, 3.0):
            base = diffcodec.base_of(photo, 4, bpp=rate)
            data = diffcodec.encode(photo, "diffc", wanted, given=[base, diffcodec.Prompt("waves")], bpp=12.0, effort=1)
            (told, prompt) = diffcodec.inspect(data)["given"]
            assert (told["kind"], told["operator"], told["numbers"]) == ("stream", "box", [4])
            assert (told["augmentation"] is None) is (rate is None) and prompt["prompt"] == "waves"
            shown = diffcodec.decode(data, model=wanted, reconstruction="mean")
            assert shown.shape == photo.shape
            if rate is None:
                planes = (one.reshape(*photo.shape[:2], -1) for one in (shown, photo))
                assert np.array_equal(*(Box(4).apply(np.ascontiguousarray(one)) for one in planes))


def test_a_second_stage_takes_no_other_look(tiny: Tiny) -> None:
    model: Any = model_of(tiny("deepfloyd-if-2"))
    with pytest.raises(InputError, match="takes box, text, and was given luma"):
        model.given(Observed.of(picture(), Luma()))
    seen = Observed.of(picture(), Box(4))
    with pytest.raises(InputError, match="takes text"):
        model.given(seen).given(seen)
    with pytest.raises(InputError, match="takes box"):
        model.given(Text("a")).given(Text("a"))


def test_texts_that_cannot_be_given(tiny: Tiny) -> None:
    model: Any = model_of(tiny("sd15"))
    with pytest.raises(InputError, match="takes text"):
        model.given(Observed.of(picture(), Box(2)))
    with pytest.raises(InputError, match="negative"):
        model.given(Text("a", negative="b"))
    with pytest.raises(ModelMismatch, match="'other'"):
        model.given(Text("a", encoder="other", fingerprint=b"12345678"))
    own = model.given(Text("a", encoder=model.name, fingerprint=model.fingerprint[:8]))
    assert own.fingerprint == model.fingerprint
    with pytest.raises(ModelMismatch, match="takes no text"):
        diffcodec.encode(picture(), "diffc", f"diffusers:{tiny('ddpm')}", max_bytes=200, prompt="a cat")


# ---- dynamic thresholding


@given(arrays(np.float32, (2, 3, 4, 5), elements=st.floats(-8, 8, width=32)), st.floats(0.5, 1.0), st.floats(1, 9))
def test_thresholding_keeps_pictures_within_one(values: np.ndarray, share: float, most: float) -> None:
    x = torch.from_numpy(values)
    y = thresholded(x, share, most)
    assert float(y.abs().max()) <= 1
    for before, after in zip(x, y, strict=True):
        s = np.quantile(before.abs().numpy(), share, method="higher")
        if s <= 1:  # as the static one
            assert torch.equal(after, before.clamp(-1, 1))
        low = min(most, max(1.0, float(np.quantile(before.abs().numpy(), share, method="lower"))))
        assert float((after * low - before.clamp(-low, low)).abs().max()) <= 8 * 1e-6 + max(0.0, s - low) * 2


def test_thresholding_is_of_each_picture_and_less_saturated() -> None:
    bright = torch.linspace(-4, 4, 1000).reshape(1, 1, 10, 100)
    both = thresholded(torch.cat([bright, bright / 8]), 0.995)
    assert torch.equal(both[1], bright[0] / 8)
    assert float((both[0].abs() == 1).float().mean()) < 0.02 < float((bright.clamp(-1, 1).abs() == 1).float().mean())


def test_the_schedulers_thresholding_is_taken(tiny: Tiny) -> None:
    model: Any = model_of(tiny("deepfloyd-if"))
    assert (model.opened.trained.share, model.opened.trained.most) == (0.95, 1.5)
    guided = model.given(Text("a red cat", scale=8.0)).further
    z, _ = noisy(model, -4.0)
    free = guided.asking(guided.network, None)
    x = thresholded(free.x_hat(z, -4096).float(), 0.95, 1.5)
    assert torch.allclose(guided.x_hat(z, -4096).float(), x, atol=2e-3)


# ---- the command


def test_the_command_takes_pipelines(run: Callable[..., tuple[int, bytes, str]], tiny: Tiny, tmp_path: Path) -> None:
    Image.fromarray(picture(16, 24)).save(tmp_path / "photo.png")
    model, stream = f"diffusers:{tiny('sd15')}", tmp_path / "photo.dfc"
    code, _, err = run(
        "encode", tmp_path / "photo.png", stream, "--model", model, "--max-bytes", 300, "--prompt", "a red cat"
    )
    assert code == 0, err
    code, out, err = run("info", stream, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["model"] == "sd15" and told["given"][0]["prompt"] == "a red cat"
    code, _, err = run("decode", stream, tmp_path / "back.png", "--model", model)
    assert code == 0, err
    assert Image.open(tmp_path / "back.png").size == (24, 16)
    code, _, err = run("decode", stream, tmp_path / "other.png")
    assert code == 1 and "neither bundled nor registered" in err
    code, _, err = run("decode", stream, tmp_path / "other.png", "--model", f"diffusers:{tiny('sdxl')}")
    assert code == 1 and "fingerprint" in err
