"""The lattice ARDM: pictures of any size, exactness of the integer network, the geometry; laws in test_codec_laws."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from conftest import decoded
from hypothesis import given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec.bitstream import Chunk, Header, StreamReader, write
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.ardm import lattice as lattice_codec
from diffcodec.codecs.ardm.row import ARDM
from diffcodec.codecs.codec import Head
from diffcodec.models import registry
from diffcodec.models.lattice import cpu as lattice_cpu
from diffcodec.models.lattice import geometry, walk
from diffcodec.models.lattice import net as lattice_net
from diffcodec.models.lattice import phases as lattice
from diffcodec.models.protocols import PhaseModel
from diffcodec.runtime.errors import CorruptStream, ModelMismatch, ModelNotFound


def photo_like(rng: np.random.Generator, h: int, w: int, c: int) -> np.ndarray:
    coarse = rng.normal(128, 60, (h // 6 + 2, w // 6 + 2, c))
    y, x = np.mgrid[:h, :w] / 6
    i, j = y.astype(int), x.astype(int)
    fy, fx = (y - i)[..., None], (x - j)[..., None]
    smooth = (coarse[i, j] * (1 - fy) + coarse[i + 1, j] * fy) * (1 - fx) + (
        coarse[i, j + 1] * (1 - fy) + coarse[i + 1, j + 1] * fy
    ) * fx
    return np.clip(smooth + rng.normal(0, 2, (h, w, c)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> PhaseModel:
    return registry.load("photo-ardm", device="cpu")


def encoded(photo: np.ndarray, model: PhaseModel, **options: object) -> tuple[bytes, list[bytes]]:
    return ardm.encode(photo, photo[..., :0], model, method=ardm.LATTICE, **options)  # type: ignore[arg-type]


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_inverse(h, w, c, seed, noise):
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (h, w, c), dtype=np.uint8) if noise else photo_like(rng, h, w, c)
    model = registry.load("photo-ardm", device="cpu")
    params, passes = encoded(photo, model)
    back, extra, stride = decoded(params, passes, h, w, c, 0, model)
    assert (back == photo).all() and extra is not None and extra.shape[2] == 0 and stride == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (2, 2), (3, 130), (97, 141)])
def test_sizes(model, shape):
    photo = photo_like(np.random.default_rng(1), *shape, 3)
    params, passes = encoded(photo, model)
    assert (decoded(params, passes, *shape, 3, 0, model)[0] == photo).all()


def test_previews_are_exact_on_their_grid(model):
    photo = photo_like(np.random.default_rng(2), 150, 190, 3)
    params, passes = encoded(photo, model)
    assert len(passes) >= 4
    for count in range(1, len(passes) + 1):
        preview, _, stride = decoded(params, passes[:count], 150, 190, 3, 0, model)
        assert (preview[::stride, ::stride] == photo[::stride, ::stride]).all()
    assert stride == 1


def test_same_integers_however_computed(model, monkeypatch):
    """Runtimes, accumulation types, block sizes and thread counts: identical bytes, and each decodes the other's."""
    photo = photo_like(np.random.default_rng(3), 37, 53, 3)
    params, passes = encoded(photo, model)
    runtimes = ["float32", "torch32", "torch64"] + (["int8"] if lattice_cpu.int8_is_exact() else [])
    for runtime, strip, threads in [*product(runtimes, [10**6], [1]), ("float32", 1, 2), ("torch32", 100, 2)]:
        monkeypatch.setattr(lattice_cpu, "CACHED_POSITIONS", 60 if strip == 10**6 else 1024)  # blocks of two rows
        other = registry.load("photo-ardm", device="cpu", runtime=runtime)
        assert encoded(photo, other, strip_positions=strip, threads=threads) == (params, passes), (runtime, strip)
        back = decoded(params, passes, 37, 53, 3, 0, other, strip_positions=strip, threads=threads)[0]
        assert (back == photo).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_and_cpu_agree(model):
    photo = photo_like(np.random.default_rng(3), 37, 53, 3)
    assert encoded(photo, registry.load("photo-ardm", device="cuda")) == encoded(photo, model)


def test_rate_is_the_models_entropy(model, monkeypatch):
    photo = photo_like(np.random.default_rng(4), 160, 160, 3)
    ideal: list[float] = []
    inner = lattice_codec.intervals

    def metered(*args: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts, freqs = inner(*args)
        ideal.append(24 * freqs.size - float(np.log2(freqs.astype(float)).sum()))
        return starts, freqs

    monkeypatch.setattr(lattice_codec, "intervals", metered)
    _, passes = encoded(photo, model)
    assert 8 * sum(map(len, passes)) <= sum(ideal) * 1.003 + 96


def test_integer_network_follows_the_float_one():
    """A quantised random network against its float parent, phase by phase through the whole codec."""
    from diffcodec.models.lattice.model import LatticeModel
    from diffcodec.models.lattice.quant import quantise

    torch.manual_seed(0)
    config = lattice_net.LatticeConfig(channels=16, blocks=2, components=3)
    net = lattice_net.LatticeNet(config).eval()
    photo = photo_like(np.random.default_rng(5), 64, 64, 3)
    x = torch.from_numpy(photo).permute(2, 0, 1)[None]
    convs = [m for m in net.modules() if isinstance(m, lattice_net.QuantConv)]
    for m in convs:
        m.observe = []
    codes = lattice.side_codes(photo)
    assert codes == tuple(lattice_net.side_codes(x)[0].tolist())
    with torch.no_grad():
        net.nats(x, 0, torch.tensor([codes]))
        for m in convs:
            m.calibrate(1.0)
        expected = float(net.nats(x, 0, torch.tensor([codes]))) / np.log(2)
    model = LatticeModel(quantise(net), "random", bytes(32), device="cpu")
    _, passes = ardm.encode(photo, photo[..., :0], model, method=ardm.LATTICE)
    _, coarse = ardm.encode(np.ascontiguousarray(photo[::2, ::2]), photo[:32, :32, :0], model, method=ardm.LATTICE)
    # both streams spend the same on the coarse levels but for their level numbers, a small difference in bias
    assert 8 * (sum(map(len, passes)) - sum(map(len, coarse))) == pytest.approx(expected, rel=0.02)


def test_geometry_codes_every_pixel_once():
    for h, w in product([1, 2, 3, 5, 8, 17, 100], repeat=2):
        count = np.zeros((h, w), int)
        stride = 1 << geometry.level_count(h, w)
        count[::stride, ::stride] += 1
        for units in geometry.pass_units(h, w):
            for level, phase in units:
                walk.target_of(count, level, phase)[...] += 1
        assert (count == 1).all(), (h, w)


def test_registry_says_what_is_wrong(tmp_path):
    with pytest.raises(ModelNotFound, match="photo-ardm"):
        registry.load("no-such-model")
    with pytest.raises(ModelMismatch, match="fingerprint"):
        registry.load("photo-ardm", fingerprint=b"\xff" * 8)
    (tmp_path / "m.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelNotFound):
        registry.load(tmp_path / "m")
    (tmp_path / "m.json").write_text('{"name": "m", "config": {}}')
    with pytest.raises(ModelMismatch):
        registry.load(tmp_path / "m")


def test_cards_name_their_weights():
    for card in registry.cards():
        weights = (registry.FOLDER / f"{card['name']}.safetensors").read_bytes()
        assert registry.fingerprint_of(weights, card["config"]).hex() == card["fingerprint"]
        assert len(weights) == card["bytes"] <= 8 * 2**20


def test_golden_stream(model):
    """Bytes of one picture with the bundled model; a change needs new weights or a new format version."""
    photo = (np.add.outer(np.arange(48) * 5, np.arange(40) * 3)[..., None] * [1, 2, 3] % 251).astype(np.uint8)
    params, passes = encoded(photo, model)
    assert hashlib.sha256(params + b"".join(passes)).hexdigest()[:16] == GOLDEN


GOLDEN = "bbf5981082d3c926"


# ---- statistics of values


def once_jpeg(h: int, w: int) -> np.ndarray:
    """RGB from whole luma and chroma, as every JPEG decoder makes it."""
    rng = np.random.default_rng(11)
    y, cb, cr = np.moveaxis(photo_like(rng, h, w, 3).astype(int), -1, 0)
    cb, cr = 128 + (cb - 128) // 4, 128 + (cr - 128) // 4
    red, blue = np.rint(1.402 * (cr - 128)), np.rint(1.772 * (cb - 128))
    green = np.rint(-0.344136 * (cb - 128) - 0.714136 * (cr - 128))
    return np.clip(np.stack([y + red, y + green, y + blue], -1), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(75, 81), (190, 201)])
def test_statistics_of_values_save_where_values_are_few(model, shape):
    photo = once_jpeg(*shape)
    params, passes = encoded(photo, model, learned=False)
    about = ARDM().about(params)
    assert params[:2] == bytes([ardm.REFINED, lattice_codec.DIFFERENCES]) and about.needs_model and about.statistics
    for count in range(1, len(passes) + 1):
        preview, _, stride = decoded(params, passes[:count], *shape, 3, 0, model)
        assert (preview[::stride, ::stride] == photo[::stride, ::stride]).all()
    assert stride == 1
    assert encoded(photo, model, strip_positions=700, threads=3, learned=False) == (params, passes)
    back = decoded(params, passes, *shape, 3, 0, model, strip_positions=900, threads=1)[0]
    assert (back == photo).all()
    plain, longer = encoded(photo, model, tables=0, learned=False)
    assert plain[0] == ardm.LATTICE and sum(map(len, passes)) < 0.93 * sum(map(len, longer))


def test_stretched_grey(model):
    photo = (photo_like(np.random.default_rng(3), 120, 130, 1) // 4 * 4).astype(np.uint8)
    params, passes = encoded(photo, model)
    assert params[:2] == bytes([ardm.REFINED, lattice_codec.LEVELS])
    assert (decoded(params, passes, 120, 130, 1, 0, model)[0] == photo).all()
    for tables in (0, 2, 5, 8):
        with pytest.raises(CorruptStream, match="tables"):
            ardm.Receiver(Head("ardm", 120, 130, 1, 0, bytes([ardm.REFINED, tables]) + params[2:]), model)
    with pytest.raises(CorruptStream, match="tables"):
        ardm.Receiver(Head("ardm", 120, 130, 1, 0, bytes([ardm.REFINED])), model)


def test_photographs_of_all_values_go_without_tables(model):
    photo = photo_like(np.random.default_rng(4), 190, 201, 3)
    assert encoded(photo, model, learned=False)[0][0] == ardm.LATTICE
    assert encoded(photo, model)[0][:2] == bytes([ardm.LEARNED, 0])


def test_streams_with_statistics_say_so(monkeypatch):
    monkeypatch.setattr(lattice_codec, "LEARNED_PIXELS", 2**40)
    photo = once_jpeg(190, 201)
    data = diffcodec.encode(photo)
    info = diffcodec.inspect(data)
    assert info["format"] == "1.3" and info["statistics"] == ["differences"]
    assert np.array_equal(diffcodec.decode(data), photo)
    head, *rest = StreamReader().feed(data)
    header = Header.from_bytes(head.payload)
    for wrong in (
        replace(header, statistics=0),
        replace(header, params=header.params[:-4] + bytes([ardm.LATTICE]) + header.params[-2:]),
    ):
        with pytest.raises(CorruptStream, match="statistics"):
            diffcodec.decode(write([Chunk("H", wrong.to_bytes()), *rest]))
