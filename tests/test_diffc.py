"""DiffC: both sides walk one chain, rates are met to the byte, prefixes decode, what contradicts itself is refused."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import White, needs_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import diffcodec
from diffcodec.bitstream import Chunk, read, write
from diffcodec.codecs.codec import Head, Room
from diffcodec.codecs.diffc import codec as diffc
from diffcodec.codecs.diffc.cost import LOSSY, RECONSTRUCTION_CALLS
from diffcodec.codecs.diffc.effort import Effort
from diffcodec.codecs.diffc.rate import Sender
from diffcodec.codecs.reconstruction import DEFAULT_REALISM, REALISM
from diffcodec.diffusion.samplers import RECONSTRUCTIONS
from diffcodec.models import environment as environments
from diffcodec.runtime.errors import CorruptStream, DecodeMismatch, InputError, ModelMismatch, Truncated


def noise(height: int, width: int, planes: int = 3, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(128, 70, (height, width, planes))
    return np.clip(values, 0, 255).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(65025 / max(1e-9, float(np.mean((a.astype(float) - b) ** 2))))


def coded(image: np.ndarray, **wish: object) -> bytes:
    return diffcodec.encode(image, "diffc", White(), **wish)  # type: ignore[arg-type]


def shown(data: bytes, reconstruction: str | None = "mean", **more: object) -> np.ndarray:
    return diffcodec.decode(data, model=White(), reconstruction=reconstruction, **more)  # type: ignore[arg-type]


def test_both_sides_walk_one_chain() -> None:
    image = noise(20, 30)
    sender = Sender(image, White(), Room(lambda n: n + 7, 2000), 5, Effort(0.3, 8, 4))
    sender.run(None)
    receiver = diffc.Receiver(Head("diffc", 20, 30, 3, 0, bytes([LOSSY, 8]), 5), White())
    receiver.take_all(sender.payloads)
    assert torch.equal(receiver.chain.z, sender.chain.z)
    assert receiver.chain.logsnr == sender.chain.logsnr > 0
    assert 0.8 < sender.delivered / sender.spent < 1.05


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), planes=st.sampled_from([1, 3]), size=st.integers(100, 4000),
    seed=st.integers(0, 2**64 - 1),
)  # fmt: skip
@settings(max_examples=40)
def test_max_bytes_is_never_exceeded_and_nearly_used(
    height: int, width: int, planes: int, size: int, seed: int
) -> None:
    image = noise(height, width, planes)
    data = coded(image, max_bytes=size, seed=seed)
    assert len(data) <= size
    back = shown(data)
    assert back.shape[:2] == (height, width)
    if len(data) < size - 5:  # then the model had no more to tell
        assert psnr(back.reshape(image.shape), image) > 35


@pytest.mark.parametrize("bpp", [1.0, 3.0, 8.0])
def test_bits_per_pixel_are_hit(bpp: float) -> None:
    image = noise(48, 40)
    assert 8 * len(coded(image, bpp=bpp)) / (48 * 40) == pytest.approx(bpp, rel=0.02)


@pytest.mark.parametrize("wanted", [12.0, 25.0, 38.0])
def test_psnr_is_reached_and_not_overshot(wanted: float) -> None:
    image = noise(48, 40)
    found = psnr(shown(coded(image, psnr=wanted)), image)
    assert wanted - 0.15 < found < wanted + 0.4  # from_latent rounds and clamps after the sender has measured


def test_more_bytes_are_better_and_reconstructions_differ_as_they_should() -> None:
    image = noise(40, 40)
    data = [coded(image, bpp=bpp) for bpp in (1, 2, 4, 8)]
    by_rate = [psnr(shown(d), image) for d in data]
    assert by_rate == sorted(by_rate) and by_rate[-1] - by_rate[0] > 8
    mean, flow, ancestral = (psnr(shown(data[1], kind), image) for kind in ("mean", "flow", "ancestral"))
    assert mean > flow > ancestral
    assert mean - flow < 3


def test_realism_leads_from_one_reconstruction_to_the_other() -> None:
    image = noise(40, 40)
    data = coded(image, bpp=2)
    found = [shown(data, None, realism=realism) for realism in (0, 0.25, 0.5, 0.75, 1)]
    assert np.array_equal(found[0], shown(data, "mean")) and np.array_equal(found[-1], shown(data, "flow"))
    assert np.array_equal(shown(data, "flow", realism=1), found[-1])
    assert np.array_equal(shown(data, None), shown(data, None, realism=DEFAULT_REALISM))
    quality = [psnr(picture, image) for picture in found]
    assert quality == sorted(quality, reverse=True) and quality[0] > quality[-1]
    inside = np.logical_and(*((picture > 0) & (picture < 255) for picture in (found[0], found[-1])))
    middle = (found[0].astype(float) + found[-1]) / 2
    assert np.abs(found[2] - middle)[inside].max() <= 1
    previews = list(diffcodec.decode_progressive(data, model=White(), realism=0.5))
    assert np.array_equal(previews[-1].image, found[2])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"realism": 1.01}, "realism from 0"),
        ({"realism": -0.5}, "realism from 0"),
        ({"realism": float("nan")}, "realism from 0"),
        ({"reconstruction": "median"}, "expected reconstruction flow, ancestral or mean, found median"),
        ({"reconstruction": "mean", "realism": 0.5}, "reconstruction mean is realism 0, and realism 0.5"),
        ({"reconstruction": "flow", "realism": 0}, "give one of the two"),
        ({"reconstruction": "ancestral", "realism": 0.5}, "give one of the two"),
    ],
)
def test_what_realism_is_not_is_refused(wrong: dict[str, Any], told: str) -> None:
    data = coded(noise(24, 24), bpp=2)
    for decode in (
        diffcodec.decode,
        diffcodec.decode_sequence,
        diffcodec.api.decode_signal,
        diffcodec.api.decode_picture,
        lambda *given, **more: list(diffcodec.decode_progressive(*given, **more)),
    ):
        with pytest.raises(InputError, match=told):
            decode(data, model=White(), **wrong)


def test_every_reconstruction_has_a_row_in_every_table() -> None:
    assert set(REALISM) == set(RECONSTRUCTIONS) == set(RECONSTRUCTION_CALLS)


def test_the_way_between_takes_no_call_more() -> None:
    class Counting(White):
        calls = 0

        def predict(self, z: Any, logsnr: Any) -> Any:
            Counting.calls += 1
            return super().predict(z, logsnr)

    data, calls = coded(noise(24, 24), bpp=2), []
    for realism in (0, 0.5, 1):
        Counting.calls = 0
        diffcodec.decode(data, model=Counting(), realism=realism)
        calls.append(Counting.calls)
    mean, middle, real = calls
    assert mean < middle == real <= mean + RECONSTRUCTION_CALLS["flow"] - 1


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("1", "L"), ("CMYK", "RGB"), ("HSV", "RGB"),
     ("P", "RGB")],
)  # fmt: skip
def test_pillow_modes(mode: str, kept: str) -> None:
    image = Image.fromarray(noise(24, 17, 4), "RGBA").convert("RGB" if mode in ("P", "HSV", "CMYK") else "RGBA")
    image = image.convert(mode)
    data = diffcodec.encode(image, "diffc", White(), max_bytes=3000)
    picture = diffcodec.api.decode_picture(data, model=White(), reconstruction="mean")
    assert picture.mode == kept and (picture.width, picture.height) == (17, 24)
    if mode in ("LA", "RGBA"):
        assert np.array_equal(picture.samples[..., -1], np.asarray(image)[..., -1])


def test_sixteen_bits_come_back_as_sixteen() -> None:
    image = noise(20, 20).astype(np.uint16) * 257
    back = shown(diffcodec.encode(image, "diffc", White(), bpp=12))
    assert back.dtype == np.uint16
    assert psnr(back >> 8, image >> 8) > 25


def test_every_prefix_of_whole_payloads_decodes_and_gets_better() -> None:
    image = noise(60, 50)
    data = coded(image, bpp=4)
    previews = list(diffcodec.decode_progressive(data, model=White(), reconstruction="mean"))
    assert len(previews) > 5 and previews[-1].complete and not previews[-2].complete
    quality = [psnr(p.image, image) for p in previews]
    assert quality[-1] > quality[0] + 4
    for preview in previews[:: len(previews) // 3]:
        assert np.array_equal(shown(data, upto_bytes=preview.bytes_read), preview.image)
    with pytest.raises(Truncated):
        shown(data, upto_bytes=previews[0].bytes_read - 1)


def test_more_effort_takes_more_calls_and_is_better() -> None:
    y, x = np.mgrid[0:72, 0:80]
    photo = np.clip(noise(72, 80) * 0.1 + 90 + 60 * np.sin(x / 9 + y / 14)[..., None], 0, 255).astype(np.uint8)
    found = []
    for effort in (1, 5, 9):
        data = coded(photo, bpp=2.0, effort=effort)
        calls = diffcodec.inspect(data)["decode_cost"]["network_calls"]
        found.append((calls, psnr(shown(data), photo)))
    assert [calls for calls, _ in found] == sorted({calls for calls, _ in found})
    assert found[2][1] > found[0][1] + 0.1
    assert coded(photo, bpp=2.0) == coded(photo, bpp=2.0, effort=5)
    for effort in (0, 10):
        with pytest.raises(InputError, match="effort from 1 to 9"):
            coded(photo, bpp=2.0, effort=effort)
    with pytest.raises(InputError, match="effort"):
        diffcodec.encode(photo, effort=5)


def test_same_seed_same_bytes_and_the_seed_matters() -> None:
    image = noise(20, 20)
    assert coded(image, bpp=2, seed=1) == coded(image, bpp=2, seed=1) != coded(image, bpp=2, seed=2)


@pytest.mark.parametrize("flat", [0, 77, 255])
def test_constant_pictures(flat: int) -> None:
    image = np.full((33, 9, 3), flat, np.uint8)
    assert psnr(shown(coded(image, max_bytes=2000)), image) > 40


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"bpp": 1, "psnr": 30}, "bpp and psnr"),
        ({"bpp": math.nan}, "above 0"),
        ({"bpp": -1}, "above 0"),
        ({"bpp": 0}, "above 0"),
        ({"bpp": 0.001}, "allow at least"),
        ({"max_bytes": 60}, "allow at least"),
        ({"bpp": 90}, "ask for less"),
        ({"psnr": 120}, "ask for less"),
    ],
)
def test_wishes_that_cannot_be_met(wish: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        coded(noise(32, 32), **wish)


def test_pictures_that_are_none() -> None:
    with pytest.raises(InputError, match="mode F"):
        coded(np.full((8, 8), np.nan, np.float32), bpp=1)
    with pytest.raises(InputError, match="lossless and takes no bpp"):
        diffcodec.encode(noise(8, 8), "ardm", bpp=1)


def test_alpha_that_leaves_no_room() -> None:
    with pytest.raises(InputError, match="alpha"):
        coded(noise(32, 32, 4), max_bytes=300)


@needs_weights
def test_a_model_without_a_diffusion_interface() -> None:
    with pytest.raises(ModelMismatch, match="needs a DiffusionModel"):
        diffcodec.encode(noise(8, 8), "diffc", "photo-ardm", bpp=10)


def rewritten(data: bytes, payload: bytes) -> bytes:
    """``data`` with one payload, its checksums right."""
    container = read(data)
    return write([Chunk("H", container.header.to_bytes()), Chunk("P", payload), Chunk("E", b"")])


@pytest.mark.parametrize(
    "payload",
    [
        b"\x05", b"\x08\x40", b"\x80\x00\x40\x00", b"\x08\x00\xaa", b"\x00\xff\xff\x7f", b"\x08\x40\xaa\xaa",
        b"\x05\x40\xff", b"\xff\xff\x03\x40" + bytes(8191), b"\xff" * 9,
    ],
)  # fmt: skip
def test_passes_that_contradict_themselves(payload: bytes) -> None:
    with pytest.raises(CorruptStream):
        shown(rewritten(coded(noise(9, 9), max_bytes=300), payload))


@pytest.mark.parametrize("planes", [1, 3, 4])
def test_without_a_rate_the_stream_goes_on_to_the_exact_picture(planes: int) -> None:
    image = noise(30, 21, planes)
    data = coded(image)
    info = diffcodec.inspect(data)
    assert info["lossless"] and info["numerics"] == "pinned" and info["digest"]
    assert np.array_equal(shown(data).reshape(image.shape), image)
    *previews, last = diffcodec.decode_progressive(data, model=White())
    assert len(previews) > 5 and last.complete and np.array_equal(last.image.reshape(image.shape), image)
    lossy = diffcodec.decode(data, model=White(), upto_bytes=previews[3].bytes_read)
    assert not np.array_equal(lossy.reshape(image.shape), image)


def test_an_exact_stream_from_another_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = coded(noise(30, 21))
    monkeypatch.setattr(environments, "environment", lambda device: "torch 1.0 elsewhere")
    with pytest.warns(UserWarning, match="torch 1.0 elsewhere"):
        assert np.array_equal(shown(data), noise(30, 21))
    monkeypatch.setattr(White, "predict", lambda self, z, t, exact=White.predict: exact(self, z, t) * 1.001)
    made = r"torch 1\.0 elsewhere"
    with pytest.warns(UserWarning, match=made), pytest.raises(DecodeMismatch, match=made):
        shown(data)


@needs_weights
def test_photo_vdm_to_the_exact_pixels() -> None:
    image = np.ascontiguousarray(noise(6, 6).repeat(8, 0).repeat(8, 1))
    data = diffcodec.encode(image, "diffc")
    assert np.array_equal(diffcodec.decode(data), image)


SMALL = coded(noise(9, 9), max_bytes=200)


def test_parameters_of_another_codec_are_refused() -> None:
    container = read(SMALL)
    for params in (b"\0\0\0", b"\0\0\0\x04\x0d", b"\0\0\0\x00\x02", b"\0\0\0\x00\x0d\x00"):
        header = container.header.__class__(**{**vars(container.header), "params": params})
        chunks = [Chunk("H", header.to_bytes()), *(Chunk("P", p) for p in container.passes), Chunk("E", b"")]
        with pytest.raises(CorruptStream):
            shown(write(chunks))


def test_golden_stream() -> None:
    """Noise, trellis and passes keep their meaning: this stream shows this picture for as long as the format stands."""
    back = shown(GOLDEN.read_bytes())
    expected = np.asarray(Image.open(GOLDEN.with_suffix(".png")))
    assert np.abs(back.astype(int) - expected).max() <= 1  # float arithmetic may round another way
    assert psnr(back, expected) > 60


GOLDEN = Path(__file__).parent / "golden" / "white.dfc"


@needs_weights
def test_photo_vdm_on_a_photograph() -> None:
    data = pytest.importorskip("skimage.data")
    image = data.astronaut()[96:224, 160:288]
    stream = diffcodec.encode(image, "diffc", bpp=1.0)
    assert 0.98 * 2048 <= len(stream) <= 2048
    mean = diffcodec.decode(stream, reconstruction="mean")
    flow, shown = diffcodec.decode(stream, realism=1), diffcodec.decode(stream)
    best = max(
        psnr(np.asarray(Image.open(file)), image)
        for quality in range(5, 60, 5)
        if len((file := _jpeg(image, quality)).getvalue()) <= 2048
    )
    assert psnr(mean, image) > best + 2
    assert psnr(flow, image) < psnr(shown, image) < psnr(mean, image) < psnr(flow, image) + 3


def _jpeg(image: np.ndarray, quality: int) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file


@needs_weights
def test_the_command(run, tmp_path: Path) -> None:
    import json

    picture = tmp_path / "in.png"
    Image.fromarray(np.uint8(np.linspace(0, 255, 48 * 40 * 3)).reshape(40, 48, 3)).save(picture)
    code, out, _ = run("encode", picture, tmp_path / "x.dfc", "--max-bytes", 400, "--seed", 3, "--json")
    found = json.loads(out)
    assert code == 0 and found["codec"] == "diffc" and found["model"] == "photo-octaves" and found["bytes"] <= 400
    assert (tmp_path / "x.dfc").stat().st_size == found["bytes"]
    for kind in ("flow", "ancestral", "mean"):
        code, _, _ = run("decode", tmp_path / "x.dfc", tmp_path / f"{kind}.png", "--reconstruction", kind)
        assert code == 0 and Image.open(tmp_path / f"{kind}.png").size == (48, 40)
    half = ("decode", tmp_path / "x.dfc", tmp_path / "half.png", "--realism", 0.5)
    assert run(*half)[0] == 0 and Image.open(tmp_path / "half.png").size == (48, 40)
    code, _, error = run(*half, "--reconstruction", "mean", "--overwrite")
    assert code == 1 and "give one of the two" in error
    code, _, error = run("encode", picture, tmp_path / "y.dfc", "--codec", "diffc", "--bpp", 1000)
    assert code == 1 and "ask for less" in error and not (tmp_path / "y.dfc").exists()


@needs_weights
def test_other_arithmetic_changes_the_picture_by_rounding_only() -> None:
    """float32 in place of bfloat16, and other threads, stand in for another device."""
    from diffcodec.models import registry

    image = noise(8, 8).repeat(12, 0).repeat(12, 1)
    stream = diffcodec.encode(image, "diffc", "photo-vdm", bpp=1.0)
    model = registry.load("photo-vdm", codec="diffc")
    one = diffcodec.decode(stream, reconstruction="mean", model=model).astype(float)
    half = model.half
    try:
        model.half = False
        other = diffcodec.decode(stream, reconstruction="mean", model=model).astype(float)
    finally:
        model.half = half
    assert psnr(one, other) > 40


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@needs_weights
def test_cuda_and_cpu_show_the_same_picture() -> None:
    data = pytest.importorskip("skimage.data")
    original = data.astronaut()[:128, :128]
    stream = diffcodec.encode(original, "diffc", bpp=1.0, device="cuda")
    on_cpu, on_cuda = (diffcodec.decode(stream, reconstruction="mean", device=d) for d in ("cpu", "cuda"))
    # bfloat16 on one side alone leaves some 50 dB between them; what counts is what it costs of the picture
    assert psnr(on_cpu, on_cuda) >= 45
    assert abs(psnr(on_cpu, original) - psnr(on_cuda, original)) < 0.1


@needs_weights
def test_blocks_of_a_large_picture_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffcodec.models import registry
    from diffcodec.models.unet import model as vdm

    model = registry.load("photo-vdm", codec="diffc")
    monkeypatch.setattr(model, "half", False)
    z = torch.randn(1, 3, 100, 660, generator=torch.Generator().manual_seed(0))
    whole = model.predict(z, torch.tensor(2.0))
    monkeypatch.setattr(vdm, "BLOCK", 320)
    assert torch.allclose(model.predict(z, torch.tensor(2.0)), whole, atol=1e-4)


class Unasked(White):
    """Must not be called."""

    def predict(self, z, logsnr):  # type: ignore[no-untyped-def]
        raise AssertionError("a network call for what cannot succeed")


@pytest.mark.parametrize("wanted", [{"bpp": 99}, {"bpp": 70}, {"psnr": 150}, {"bpp": 1e6}, {"psnr": 1e9}])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_no_picture_reaches_is_refused_before_any_network_call(wanted: dict[str, float], channels: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, channels), dtype=np.uint8)
    if channels == 4:
        wanted = {name: value + 8 * (name == "bpp") for name, value in wanted.items()}  # its alpha, without loss
    with pytest.raises(InputError, match=r"no (picture|model)"):
        diffcodec.encode(photo, "diffc", Unasked(), **wanted)


def test_the_highest_rates_are_still_tried() -> None:
    """Noise of black and white takes all that the chain can tell, of models that expect less all the more."""
    photo = np.random.default_rng(0).integers(0, 2, (24, 24, 3), dtype=np.uint8) * np.uint8(255)
    for variance in (1.0, 0.1):
        with pytest.raises(InputError, match="tells all it can of this picture in") as error:
            diffcodec.encode(photo, "diffc", White(variance), bpp=80)
        most = float(str(error.value).split("(")[1].split(" bpp")[0])
        assert 30 < most < 66
        data = diffcodec.encode(photo, "diffc", White(variance), bpp=0.95 * most)
        assert abs(8 * len(data) / photo[..., 0].size - 0.95 * most) < 1
