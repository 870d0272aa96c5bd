"""Clips with loss: a network whose frames look at each other, frames that are known, colours there and back."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from conftest import needs_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import diffcodec
from diffcodec import Clip, testing
from diffcodec.bitstream import read
from diffcodec.media.rows.clip import PHOTOGRAPHS, Colour
from diffcodec.media.yuv import from_rgb, to_rgb
from diffcodec.models import registry
from diffcodec.models.clips.blending import blend
from diffcodec.models.clips.model import AT_ONCE, ClipVDM, stacked, unstacked
from diffcodec.models.clips.net import ClipConfig, ClipUNet
from diffcodec.models.condition import GUIDED, REPLACED, TOLD, Before, Frames
from diffcodec.models.protocols import Framed, framed
from diffcodec.models.unet.net import UNet, UNetConfig
from diffcodec.runtime.errors import BitstreamError, CorruptStream, InputError, ModelMismatch, UnsupportedVersion
from diffcodec.runtime.varint import read_varint

CONFIG = ClipConfig((8, 12), (1, 1), 16, width=8, down=(1, 3), up=(3,))
WAYS = (TOLD, REPLACED, GUIDED)
T = torch.tensor(1.0)


def network(seed: int = 0) -> ClipUNet:
    """Random weights, where nothing is zero."""
    torch.manual_seed(seed)
    net = ClipUNet(CONFIG)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.1 * torch.randn(value.shape))
        net.head.weight.mul_(0.1)  # so that v is small, as of a denoiser that knows nothing
        net.head.bias.zero_()
    return net.eval()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network of clips of random weights, as a file."""
    path = tmp_path_factory.mktemp("model") / "small-clip.safetensors"
    save_file({name: value.contiguous() for name, value in network().state_dict().items()}, path)
    card = {"name": "small-clip", "codec": "diffc", "config": {"architecture": "vdm-unet-clip-1", **CONFIG.as_dict()}}
    path.with_suffix(".json").write_text(json.dumps(card))
    return str(path)


@pytest.fixture(scope="module")
def model(path: str) -> ClipVDM:
    found = registry.load(path, device="cpu", codec="diffc")
    assert isinstance(found, ClipVDM)
    return found


def moving(frames: int = 5, height: int = 12, width: int = 17) -> np.ndarray:
    """uint8 (T, H, W, 3): waves that go to the right."""
    t, y, x = np.mgrid[0:frames, 0:height, 0:width]
    waves = [np.sin((x - t) / (3 + c)) * np.cos(y / 5 + c) for c in range(3)]
    return np.rint(127.5 + 90 * np.stack(waves, 3)).astype(np.uint8)


def tall(clip: np.ndarray) -> torch.Tensor:
    """x (1, 3, T h, w)."""
    x = torch.from_numpy(clip.astype(np.float32)) / 127.5 - 1
    return stacked(x.permute(0, 3, 1, 2), len(clip))


def noisy(clip: np.ndarray, seed: int = 0) -> torch.Tensor:
    """z (1, 3, T h, w) at log-SNR T."""
    x = tall(clip)
    eps = torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(x.shape), np.float32))
    return T.sigmoid().sqrt() * x + (-T).sigmoid().sqrt() * eps


def expected(denoiser: Any, z: torch.Tensor) -> torch.Tensor:
    """x_hat at log-SNR T."""
    return (z - (-T).sigmoid().sqrt() * denoiser.predict(z, T)) / T.sigmoid().sqrt()


# ---- the network


def test_of_one_frame_it_begins_as_the_network_of_pictures() -> None:
    torch.manual_seed(0)
    plain, clip = UNet(UNetConfig(CONFIG.channels, CONFIG.blocks, CONFIG.embedding)), ClipUNet(CONFIG)
    with torch.no_grad():
        plain.head.weight.normal_()
    clip.load_state_dict(plain.state_dict(), strict=False)
    z, t = torch.randn(6, 3, 12, 16), torch.linspace(-2, 3, 6)  # at knots of FiLM
    alpha, sigma = (torch.sigmoid(s * t).sqrt()[:, None, None, None] for s in (1, -1))
    with torch.no_grad():
        assert torch.allclose(clip(z, t, 1), alpha * z - sigma * plain(z, t), atol=1e-4)
        assert not torch.allclose(clip(z, t, 3), clip(z, t, 1), atol=1e-3)


def test_frames_that_show_the_same_are_one_that_is_less_noisy() -> None:
    """Of what has not moved the mean counts, with its own log-SNR; what has is nothing to the others."""
    clip, generator = np.repeat(moving(1, 32, 32), 4, 0), torch.Generator().manual_seed(0)
    x, t = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 127.5 - 1, torch.full((4,), 2.0)
    z = t[0].sigmoid().sqrt() * x + (-t[0]).sigmoid().sqrt() * torch.randn(x.shape, generator=generator)
    joining = ClipUNet(CONFIG).joining
    with torch.no_grad():
        mean, joined = joining(z, t, 4, 13.5)
        assert mean.shape == z.shape and joined.shape == (4, 1, 16, 16)
        assert 2.5 < float(joined.mean()) <= 2 + np.log(4)
        assert float(joined.max()) <= 2 + np.log(4) + 1e-4 and float(joined.min()) >= 2
        y = mean / torch.sigmoid(joined).sqrt().repeat_interleave(2, 2).repeat_interleave(2, 3)
        assert float((y - x).square().mean()) < 0.6 * np.exp(-2)
        z[1] = -z[1]
        assert float(joining(z, t, 4, 13.5)[1][1].mean()) < 2.05


def test_clips_that_follow_each_other_are_strangers() -> None:
    net, z, t = network(), torch.randn(6, 3, 12, 16), torch.zeros(6)
    with torch.no_grad():
        both, one = net(z, t, 3), net(z[3:], t[3:], 3)
    assert torch.allclose(both[3:], one, atol=1e-5)


def test_time_has_a_direction_and_no_beginning() -> None:
    """Positions count relative to each other, so a clip that is longer than any before is nothing new."""
    net, z = network(), torch.randn(1, 3, 12, 16)
    with torch.no_grad():
        still = net(z.expand(24, -1, -1, -1), torch.zeros(24), 24)
    assert torch.allclose(still[11], still[12], atol=2e-2)  # as far from both ends as a frame can tell
    z = torch.randn(4, 3, 12, 16)
    with torch.no_grad():
        there, back = net(z, torch.zeros(4), 4), net(z.flip(0), torch.zeros(4), 4).flip(0)
    assert not torch.allclose(there, back, atol=1e-3)


def test_frames_lie_one_below_another() -> None:
    z = torch.arange(2 * 3 * 6 * 2.0).view(2, 3, 6, 2)
    one_by_one = unstacked(z, 3)
    assert torch.equal(one_by_one[1], z[0, :, 2:4]) and torch.equal(stacked(one_by_one, 3), z)


# ---- the provider


def test_it_keeps_the_laws(model: ClipVDM) -> None:
    testing.check(model)


@pytest.mark.parametrize("frames", [2, 5])
def test_its_frames_together_keep_the_laws(model: ClipVDM, frames: int) -> None:
    assert isinstance(model, Framed)
    testing.check(framed(model, frames), sizes=((4 * frames, 8), (frames, 1), (3 * frames, 5)))


def test_one_frame_is_a_picture(model: ClipVDM) -> None:
    z = noisy(moving(1))
    assert framed(model, 1) is model
    assert torch.allclose(model.framed(1).predict(z, T), model.predict(z, T), atol=1e-5)


def test_rows_of_other_frames_are_refused(model: ClipVDM) -> None:
    with pytest.raises(InputError, match="frames of one height"):
        model.framed(3).latent_shape((16, 8))
    with pytest.raises(InputError, match="were given of a clip"):
        model.given(Before((moving()[0],))).framed(2).latent_shape((16, 8))


def test_long_clips_are_seen_in_parts(model: ClipVDM) -> None:
    clip = moving(2 * AT_ONCE + 1, 4, 8)
    z = noisy(clip)
    whole = model.framed(len(clip)).predict(z, T)
    first = model.framed(AT_ONCE).predict(z[:, :, : 4 * AT_ONCE], T)
    assert whole.shape == z.shape
    assert torch.allclose(whole[:, :, :4], first[:, :, :4], atol=0.3)  # the first frame: what is far away counts little


@pytest.mark.parametrize("way", WAYS)
def test_known_frames_are_what_they_are(model: ClipVDM, way: Any) -> None:
    clip = moving()
    z, known = noisy(clip), Frames((clip[1], clip[3]), (1, 3), way=way)
    found = unstacked(expected(model.given(known).framed(5), z), 5)
    kept = unstacked(tall(clip), 5)
    assert torch.allclose(found[[1, 3]], kept[[1, 3]], atol=1e-3)
    plain = unstacked(expected(model.framed(5), z), 5)
    assert torch.allclose(found[2], plain[2], atol=1e-3) == (way == REPLACED)  # there the sampler alone leads


def test_frames_before_and_their_augmentation_count(model: ClipVDM) -> None:
    clip = moving()
    z = noisy(clip[1:])
    plain, told, doubted = (
        denoiser.framed(4).predict(z, T)
        for denoiser in (model, model.given(Before((clip[0],))), model.given(Before((clip[0],), 1024)))
    )
    assert plain.shape == told.shape and not torch.allclose(plain, told) and not torch.allclose(told, doubted)


def test_places_that_are_not_there_are_refused(model: ClipVDM) -> None:
    frame = moving()[0]
    for where in ((-1,), (1, 1), (2, 1)):
        with pytest.raises(InputError, match="place"):
            Frames((frame,) * len(where), where)
    with pytest.raises(InputError, match="of a clip of 2"):
        model.given(Frames((frame,), (2,))).framed(2)
    both = model.given(Frames((frame,), (0,))).given(Frames((frame,), (1,), way=GUIDED))
    with pytest.raises(InputError, match="one way"):
        both.framed(3)


# ---- colours

COLOURS = st.builds(Colour, matrix=st.sampled_from([0, 1, 2, 5, 6, 9, 200]), range=st.integers(0, 2))


@settings(max_examples=30, deadline=None)
@given(COLOURS, st.sampled_from(["YUV420", "YUV444"]), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_colours_there_and_back(colour: Colour, sampling: Any, height: int, width: int, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    planes = from_rgb(rgb, sampling, colour)
    clip = Clip(planes, sampling, colour=colour)  # whose shapes are right
    assert clip.rgb().shape == rgb.shape
    if sampling == "YUV444":
        assert int(abs(clip.rgb().astype(int) - rgb).max()) <= 3  # limited range has fewer levels
    grey = np.full_like(rgb, 100)
    assert int(abs(to_rgb(from_rgb(grey, sampling, colour), sampling, colour).astype(int) - 100).max()) <= 1


# ---- streams


def clips() -> list[Clip]:
    rgb = moving(3)
    colour = Colour(1, 1, 1, 1, 1)
    every: list[Any] = ["RGB", "YUV420", "YUV444"]
    return [Clip(from_rgb(rgb, one, colour), one, Fraction(25), colour) for one in every]


@pytest.mark.parametrize("clip", clips(), ids=lambda clip: clip.sampling)
def test_a_clip_comes_back_as_it_was_sampled(clip: Clip, path: str) -> None:
    data = diffcodec.encode(clip, "diffc", model=path, max_bytes=400)
    back = diffcodec.decode_signal(data, model=path, reconstruction="mean")
    assert isinstance(back, Clip)
    assert len(data) <= 400
    assert (back.sampling, back.shape, back.rate, back.colour) == (clip.sampling, clip.shape, clip.rate, clip.colour)
    told = diffcodec.inspect(data)
    assert told["medium"] == "clip" and not told["lossless"] and told["format"] == "1.7"
    assert told["bpp"] == pytest.approx(8 * len(data) / clip.units)


def test_a_prefix_shows_all_frames(path: str) -> None:
    clip = moving(4)
    data = diffcodec.encode(clip, "diffc", model=path, bpp=12.0)
    passes = diffcodec.inspect(data)["passes"]
    assert len(passes) > 1
    first = diffcodec.decode(data, model=path, upto_bytes=passes[0]["end"])
    assert first.shape == clip.shape
    shown = [preview.image for preview in diffcodec.decode_progressive(data, model=path)]
    assert len(shown) >= len(passes) and all(one.shape == clip.shape for one in shown)


def test_more_bytes_err_less(path: str) -> None:
    clip = moving(3)
    errors = []
    for bpp in (2.0, 8.0):
        back = diffcodec.decode(diffcodec.encode(clip, "diffc", model=path, bpp=bpp), model=path, reconstruction="mean")
        errors.append(float(np.square(back.astype(float) - clip).mean()))
    assert errors[1] < errors[0]


def test_groups_are_coded_each_by_itself(path: str) -> None:
    clip = moving(5)
    data = diffcodec.encode(clip, "diffc", model=path, max_bytes=900, group=2)
    assert len(data) <= 900 and len(read(data).frames) == 2
    whole = diffcodec.decode(data, model=path)
    assert whole.shape == clip.shape
    part = diffcodec.decode(data, model=path, frames=slice(2, 4))
    assert (part == whole[2:4]).all()


def test_frames_of_photographs_have_one_form(path: str) -> None:
    """Of 4:2:0 their positions differ from those of the planes: a header with the others is refused."""
    clip = clips()[1]
    data = diffcodec.encode(clip, "diffc", model=path, max_bytes=400)
    header = read(data).header
    assert (header.height, header.width) == (3 * 12, 17)
    form, rest = read_form(header.params, header.height, header.width)
    assert form.photo == 3 and form.extra == 0 and form.frames == 3 and len(rest) == 2
    with pytest.raises(CorruptStream, match="positions"):
        read_form(header.params, *clip.geometry)
    with pytest.raises(BitstreamError):
        read_form(header.params[: -2 - len(PHOTOGRAPHS.planes)] + b"\3\3\0", header.height, header.width)


def read_form(params: bytes, height: int, width: int) -> Any:
    from diffcodec.media.table import medium_of

    return medium_of(76).form(76, height, width, params, None)


def test_no_exact_clip_by_this_codec(path: str) -> None:
    with pytest.raises(InputError, match="without loss"):
        diffcodec.encode(moving(2), "diffc", model=path)


# ---- more frames


@pytest.mark.parametrize("way", ["moved", *WAYS])
def test_frames_between_and_behind(path: str, way: Any) -> None:
    clip = moving(3)
    between = diffcodec.restore(clip, "between", model=path, way=way, frames=2, calls=2)
    assert between.shape == (7, 12, 17, 3) and (between[::3] == clip).all()
    behind = diffcodec.restore(clip, "extend", model=path, way=way, frames=2, calls=2)
    assert behind.shape == (5, 12, 17, 3) and (behind[:3] == clip).all()


def test_what_to_expect_between_is_what_motion_tells(path: str) -> None:
    """Without a call of the network; draws go on from there, the same of the same seed."""
    clip = moving(3)
    least = diffcodec.restore(clip, "between", model=path, realism=0, frames=2)
    for place in range(2):
        for part in (1, 2):
            assert (least[3 * place + part] == blend(*clip[place : place + 2], part / 3).picture).all()
    behind = diffcodec.restore(clip, "extend", model=path, realism=0, frames=2)
    first = blend(clip[1], clip[2], 2.0).picture
    assert (behind[3] == first).all() and (behind[4] == blend(clip[2], first, 2.0).picture).all()
    held = diffcodec.restore(clip[:1], "extend", model=path, realism=0, frames=2)  # of one frame nothing moves
    assert (held == clip[0]).all()
    one, again = (diffcodec.restore(clip, "between", model=path, calls=2) for _ in range(2))
    half = diffcodec.restore(clip, "between", model=path, calls=2, realism=0.5)
    plain = diffcodec.restore(clip, "between", model=path, realism=0)
    assert (one == again).all() and (one != plain).any()
    assert np.abs(half.astype(float) - (one.astype(float) + plain) / 2).max() <= 1


def test_a_clip_stays_of_its_kind(path: str) -> None:
    clip = clips()[1]
    first, second = diffcodec.restore(clip, "between", model=path, samples=2, calls=2)
    assert isinstance(first, Clip) and first.sampling == "YUV420" and first.rate == 50 and first.colour == clip.colour
    assert all((made[::2] == own).all() for made, own in zip(first.planes, clip.planes, strict=True))
    assert (first.planes[0] != second.planes[0]).any()
    behind = diffcodec.restore(clip, "extend", model=path, realism=0)
    assert behind.shape == (11, 12, 17) and behind.rate == clip.rate


def test_what_cannot_be_restored_is_told(path: str) -> None:
    clip = moving(2)
    for task, told, more in (
        ("enlarge", "expected task between", {}),
        ("between", "expected way moved, told, replaced, guided, found 'sideways'", {"way": "sideways"}),
        ("between", "64 frames", {"frames": 65}),
        ("between", "at least 2 frames", {"clip": clip[:1]}),
    ):
        with pytest.raises(InputError, match=told):
            diffcodec.restore(more.pop("clip", clip), task, model=path, **more)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected task enlarge"):
        diffcodec.restore(clip[0], "between", model=path)


@needs_weights
def test_a_model_of_pictures_makes_no_frames() -> None:
    with pytest.raises(ModelMismatch, match="does not see the frames"):
        diffcodec.restore(moving(2), "between", model="photo-cond")


@needs_weights
def test_a_bundled_model_of_pictures_codes_a_clip() -> None:
    clip = moving(2, 16, 16)
    data = diffcodec.encode(clip, "diffc", model="photo-vdm", max_bytes=300)
    assert diffcodec.decode(data).shape == clip.shape


@needs_weights
def test_it_begins_as_the_bundled_one() -> None:
    start = load_file(registry.FOLDER / "photo-vdm.safetensors")
    own = ClipUNet(ClipConfig()).state_dict()
    assert all(own[name].shape == value.shape for name, value in start.items())
    assert all(name.startswith(("times.", "joining.")) for name in own.keys() - start.keys())
    assert 2 * sum(value.numel() for value in own.values()) < 8 * 2**20


# ---- groups that hang together


def test_groups_that_hang_together(path: str) -> None:
    clip = moving(7)
    data = diffcodec.encode(clip, "diffc", model=path, max_bytes=1500, group=2, chained=3)
    stream = read(data)
    assert len(data) <= 1500 and [bool(one.given) for one in (stream, *stream.frames)] == [False, True, True, False]
    told = diffcodec.inspect(stream_of_group(data))["given"][0]
    assert told["kind"] == "before" and told["frames"] == 2 and told["augmentation"] is not None
    for realism in (0.0, 1.0):  # what is shown changes nothing of what others are given
        whole = diffcodec.decode(data, model=path, realism=realism)
        assert whole.shape == clip.shape
        part = diffcodec.decode(data, model=path, realism=realism, frames=slice(4, 7))
        assert (part == whole[4:7]).all()
        groups = list(diffcodec.decode_groups(data, model=path, realism=realism, frames=slice(3, 7)))
        assert (np.concatenate([group.array for group in groups]) == whole[3:7]).all()
    *_, last = diffcodec.decode_progressive(data, model=path, realism=1.0)
    assert (last.image == whole).all()
    pieces = diffcodec.encode_groups([clip[k : k + 2] for k in (0, 2, 4, 6)], "diffc", path, bpp=8.0, chained=3)
    assert diffcodec.decode(b"".join(pieces), model=path).shape == clip.shape


def stream_of_group(data: bytes) -> bytes:
    """The third group of a stream, which is a stream of its own."""
    first, second = read(data).behind[:2]
    length, start = read_varint(data, first + 1, 35)
    assert data[first : first + 1] == b"N" and second > start + length
    return data[start : start + length]


def test_a_group_without_the_one_before_is_refused(path: str) -> None:
    data = diffcodec.encode(moving(5), "diffc", model=path, max_bytes=1200, group=2, chained=3)
    alone = stream_of_group(data)
    with pytest.raises(UnsupportedVersion, match="the group before"):
        diffcodec.decode(alone, model=path)
    with pytest.raises(InputError, match="hang together"):
        diffcodec.encode(moving(4), group=2, chained=2)
    with pytest.raises(InputError, match="hang together"):
        diffcodec.encode(moving(4), "diffc", model=path, bpp=1.0, chained=0)
