"""ARDM in any order: rates and calls, the planner against brute force, upscaling, inpainting."""

from __future__ import annotations

import hashlib
import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec.bitstream import read
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.ardm import ordered
from diffcodec.codecs.ardm.ordered import Plan
from diffcodec.codecs.ardm.orders import LATTICE, RANDOM, groups, order
from diffcodec.diffusion.parallel import calls_at, plans, token_bits
from diffcodec.entropy.tables import Categorical, frequency_tables
from diffcodec.models import registry, tokens
from diffcodec.models.masked import exact as masked_exact
from diffcodec.models.masked import net as masked
from diffcodec.models.protocols import MaskedModel, digit_units
from diffcodec.models.unet.quant import quantise
from diffcodec.runtime.errors import CorruptStream, DecodeMismatch, InputError, ModelMismatch


class Counting:
    """Tokens like their known neighbours in the row: a model in microseconds, whose calls are recorded."""

    name, numerics, device, separate = "counting", 0, "cpu", False
    fingerprint = hashlib.sha256(b"counting").digest()
    profile = (9000, 4000, 3000, 2500)

    def __init__(self, vocabulary: int = 27, branching: int = 256):
        self.vocabulary, self.branching = vocabulary, branching
        self.calls: list[tuple[int, int]] = []

    def ask(self, tokens, known, stage, asked):
        self.calls.append((stage, len(asked)))
        unit = digit_units(self.vocabulary, self.branching)[stage]
        H, W, _ = tokens.shape
        flat, told = tokens.reshape(-1).astype(int), known.ravel()
        above = unit * self.branching if stage else 1 << 30
        values = np.arange(self.vocabulary)
        digits = min(self.branching, self.vocabulary)
        weights = np.zeros((len(asked), digits), np.int64)
        for n, place in enumerate(asked):
            near = [flat[p] // unit * unit for p in (place - 1, place + 1) if 0 <= p < H * W and told[p]]
            mass = np.ones(self.vocabulary)
            for value in near:
                mass[np.abs(values - value) <= unit] += 20
            low = flat[place] // above * above
            inside = (values >= low) & (values < low + above)
            np.add.at(weights[n], (values[inside] - low) // unit, (mass[inside] * 1000).astype(np.int64))
        return Categorical(frequency_tables(weights))


@cache
def picture_model() -> MaskedModel:
    """A small random network of pictures in integers."""
    torch.manual_seed(0)
    config = masked.MaskedConfig((16, 16), (1, 1), embedding=16, components=3)
    net = masked.MaskedUNet(config).eval()
    with torch.no_grad():
        net.head.weight.normal_(std=0.05)

    def calibrate(net: torch.nn.Module) -> None:
        x = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
        net(x, torch.rand(4, 1, 16, 16) < 0.5)

    fingerprint = hashlib.sha256(b"masked").digest()
    return masked_exact.ExactMaskedModel(
        quantise(net, calibrate), config, [20000, 15000, 12000], "masked", fingerprint, "cpu"
    )


@cache
def token_model(
    vocabulary: int = 27, branching: int = 4, data: bool = True, dims: int = 1, colours: int = 1
) -> tokens.TokenModel:
    torch.manual_seed(0)
    config = tokens.TokenConfig(vocabulary, dims, colours, branching, data, 16, 2, (1, 2), 16)
    net = tokens.TokenNet(config)
    fingerprint = hashlib.sha256(f"{vocabulary} {branching} {data} {dims}".encode()).digest()
    return tokens.TokenModel(net.state_dict(), config, (6000, 5000, 4800), "tokens", fingerprint, "cpu")


# ---- the planner


@given(st.lists(st.integers(0, 60), min_size=1, max_size=18))
@settings(max_examples=60)
def test_planner_finds_the_best_calls(values):
    L = np.sort(np.array(values, np.int64))[::-1]
    D = len(L)
    best = {(0, 0): 0}  # (calls, tokens) -> cost, by definition
    for k in range(1, D + 1):
        for b in range(k, D + 1):
            known = [best[k - 1, a] + (b - a) * int(L[a]) for a in range(b) if (k - 1, a) in best]
            best[k, b] = min(known)
    cost = plans(L, D)
    assert cost[:, D].tolist() == [best[k, D] for k in range(1, D + 1)]
    for k in range(1, D + 1):
        at = calls_at(L, cost, k)
        assert at[0] == 0 and sorted(set(at)) == at and len(at) == k
        assert sum((b - a) * int(L[a]) for a, b in zip(at, [*at[1:], D], strict=True)) == cost[k - 1, D]


def test_profile_is_interpolated_and_never_rises():
    bits = token_bits([1000, 400, 500, 100], 300)
    assert bits[0] == 1000 and bits[50] == 700 and bits[150] == 400 and (np.diff(bits) <= 0).all() and len(bits) == 300


@given(st.integers(1, 300), st.integers(1, 400), st.integers(0, 200))
def test_groups_cover_every_token_once(D, calls, known):
    known = min(known, D - 1)
    parts = groups(D, calls, (9000, 4000, 3000), known)
    assert parts[0][0] == 0 and parts[-1][1] == D - known and len(parts) == min(calls, D - known)
    assert all(a < b for a, b in parts) and all(x[1] == y[0] for x, y in itertools.pairwise(parts))


# ---- orders


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([RANDOM, LATTICE]), st.integers(0, 2**64 - 1))
def test_orders_are_permutations(h, w, kind, seed):
    places = order(kind, h, w, seed)
    assert sorted(places.tolist()) == list(range(h * w))
    assert (order(kind, h, w, seed) == places).all()


def test_random_orders_differ_by_seed_and_are_pinned():
    assert (order(RANDOM, 16, 16, 1) != order(RANDOM, 16, 16, 2)).any()
    digest = hashlib.sha256(order(RANDOM, 32, 32, 7).astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "f4842010efe3b38a"  # changing it takes a format version


def test_lattice_order_refines_grids():
    y, x = np.divmod(order(LATTICE, 16, 16, 3), 16)
    for level in range(4):
        count = (16 >> level) ** 2
        assert ((y[:count] % (1 << level) == 0) & (x[:count] % (1 << level) == 0)).all()


# ---- coding


MODELS = {
    "pictures": (picture_model, (11, 9, 3), 256),
    "grey": (picture_model, (7, 10, 1), 256),
    "one stage": (lambda: Counting(27), (1, 80, 1), 27),
    "counting, base 4": (lambda: Counting(27, 4), (1, 80, 1), 27),
    "counting, base 2": (lambda: Counting(200, 2), (4, 20, 1), 200),
    "base 2": (lambda: token_model(27, 2), (1, 60, 1), 27),
    "base 4": (lambda: token_model(27, 4), (1, 60, 1), 27),
    "base 16, direct": (lambda: token_model(256, 16, False), (1, 60, 1), 256),
    "base 4, direct, not a power": (lambda: token_model(27, 4, False), (1, 60, 1), 27),
    "subpixels": (lambda: token_model(256, 256, True, 2, 3), (5, 12, 1), 256),
}


def decoded(passes: list[bytes], shape: tuple[int, int, int], model: MaskedModel, plan: Plan):
    """(tokens, whether all passes were there)."""
    receiver = ordered.Receiver(shape, model, plan)
    for payload in passes:
        receiver.take(payload)
    return receiver.tokens(), receiver.complete


@pytest.mark.parametrize("kind", [RANDOM, LATTICE])
@pytest.mark.parametrize("name", MODELS)
def test_inverse_rate_and_calls(name, kind):
    make, shape, vocabulary = MODELS[name]
    model, values = make(), np.random.default_rng(1).integers(0, vocabulary, shape, dtype=np.uint8)
    values[0] = vocabulary - 1
    for calls in (1, 7, 10**4):
        plan = Plan(kind, calls if calls < 4096 else 4096, 11)
        passes, bits = ordered.encode(values, model, plan)
        back, complete = decoded(passes, shape, model, plan)
        assert complete and (back == values).all()
        assert 8 * sum(map(len, passes)) <= bits * 1.003 + 96


def test_more_calls_are_smaller_and_all_are_made():
    rng = np.random.default_rng(3)
    values = np.clip(np.cumsum(rng.integers(-1, 2, 200)) + 13, 0, 26).astype(np.uint8).reshape(1, 200, 1)
    sizes = []
    for calls in (1, 10, 200):
        model = Counting()
        _, bits = ordered.encode(values, model, Plan(RANDOM, calls, 5))
        assert len(model.calls) == calls and sum(n for _, n in model.calls) == 200
        sizes.append(bits)
    assert sizes[0] > 1.05 * sizes[1] > 1.05 * sizes[2]


def test_stages_are_walked_one_after_the_other():
    model = Counting(200, 4)
    ordered.encode(np.zeros((2, 30, 1), np.uint8), model, Plan(RANDOM, 3, 0))
    assert [stage for stage, _ in model.calls] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_integer_network_follows_the_float_one():
    torch.manual_seed(2)
    config = masked.MaskedConfig((16, 16), (1, 1), embedding=16, components=3)
    net = masked.MaskedUNet(config).eval()
    with torch.no_grad():
        net.head.weight.normal_(std=0.02)
    x = torch.randint(60, 200, (2, 3, 16, 16), dtype=torch.uint8)
    known = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    known.view(2, -1)[:, ::3] = True
    model = masked_exact.ExactMaskedModel(quantise(net, lambda n: n(x, known)), config, [1, 1], "m", bytes(32), "cpu")
    with torch.no_grad():
        expected = float(net.nats(x, known).sum()) / np.log(2)
    total = 0.0
    for image, told in zip(x, known, strict=True):
        values, told_ = image.permute(1, 2, 0).contiguous().numpy(), told[0].numpy()
        asked = np.nonzero(~told_.ravel())[0]
        _, freqs = model.ask(values, told_, 0, asked).intervals(values.reshape(-1, 3)[asked])
        total += 24.0 * freqs.size - float(np.log2(freqs.astype(float)).sum())
    assert total == pytest.approx(expected, rel=0.01)


def test_log_odds_of_both_networks_agree():
    for known in (0, 1, 77, 255, 256):
        told = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
        told.view(-1)[:known] = True
        assert masked_exact.log_odds(known, 256) / 1024 == pytest.approx(float(masked.log_odds(told)), abs=1e-3)


# ---- through the public surface


def test_pictures_by_a_random_order(monkeypatch):
    model = picture_model()
    picture = np.random.default_rng(8).integers(0, 256, (20, 17, 3), dtype=np.uint8)
    monkeypatch.setattr(ardm.context, "encode_planes", lambda photo, *_: bytes(10**6))
    streams = {seed: diffcodec.encode(picture, model=model, seed=seed, calls=9) for seed in (1, 2)}
    assert streams[1] != streams[2]
    for data in streams.values():
        assert diffcodec.inspect(data)["model"] == "masked" and (diffcodec.decode(data, model=model) == picture).all()
    with pytest.raises(ModelMismatch):
        diffcodec.decode(streams[1], model=Counting())


def test_tokens_round_trip_and_are_pinned(monkeypatch):
    model = token_model(27, 4)
    text = np.frombuffer(b"the quick brown fox jumps over the lazy dog" * 3, np.uint8)
    row = np.where(text == 32, 0, text - 96).astype(np.uint8)
    monkeypatch.setattr(ardm.context, "encode_planes", lambda photo, *_: bytes(10**6))
    data = diffcodec.encode(row, model=model)
    back = diffcodec.decode(data, model=model)
    assert back.shape == row.shape and back.dtype == np.uint8 and (back == row).all()
    info = diffcodec.inspect(data)
    assert info["mode"] == "tokens" and info["numerics"] == "pinned" and info["lossless"]
    with pytest.raises(InputError, match="below 27"):
        diffcodec.encode(row + np.uint8(20), model=model)
    with pytest.raises(InputError, match="rows of tokens"):
        diffcodec.encode(np.zeros((40, 40, 3), np.uint8), model=model)


def test_another_environment_is_told(monkeypatch):
    from diffcodec.models import environment as environments

    """Other sums of floats: a warning, then DecodeMismatch with the remedy, never wrong tokens."""

    model = token_model(27, 256)
    row = np.random.default_rng(1).integers(0, 27, 300, dtype=np.uint8)
    monkeypatch.setattr(ardm.context, "encode_planes", lambda photo, *_: bytes(10**6))
    data = diffcodec.encode(row, model=model)
    other = tokens.TokenModel(model.net.state_dict(), model.config, model.profile, "tokens", model.fingerprint, "cpu")
    with torch.no_grad():
        other.net.head.bias += torch.linspace(0, 1, 27)
    monkeypatch.setattr(environments, "environment", lambda device: f"torch 1.0, {device}, another machine")
    with pytest.warns(UserWarning, match="another machine"), pytest.raises(DecodeMismatch, match="decode it there"):
        diffcodec.decode(data, model=other)


def test_tokens_without_a_model_of_theirs():
    row = np.arange(200, dtype=np.uint8) // 9
    assert (diffcodec.decode(diffcodec.encode(row)) == row).all()


@pytest.mark.parametrize("make", [picture_model, lambda: Counting(27, 4)], ids=["pictures", "tokens"])
def test_inpainting_keeps_what_is_known(make):
    model, rng = make(), np.random.default_rng(4)
    shape = (10, 12, 3) if model.vocabulary == 256 else (1, 50, 1)
    values, known = rng.integers(0, model.vocabulary, shape, dtype=np.uint8), rng.random(shape[:2]) < 0.5
    drawn = [ordered.inpaint(values, known, model, Plan(RANDOM, 8, seed)) for seed in (1, 1, 2)]
    assert (drawn[0][known] == values[known]).all() and (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
    assert int(drawn[0].max()) < model.vocabulary
    assert (ordered.inpaint(values, np.ones(shape[:2], bool), model, Plan(RANDOM, 8, 1)) == values).all()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (picture_model, (12, 9, 3)),
        (picture_model, (12, 9)),
        (token_model, (40,)),
        (lambda: token_model(256, 256, True, 2, 3), (6, 5, 3)),
    ],
)
def test_inpaint_of_arrays(make, shape):
    model, rng = make(), np.random.default_rng(6)
    image = rng.integers(0, model.vocabulary, shape, dtype=np.uint8)
    known = rng.random(shape[:2]) < 0.5
    drawn = diffcodec.inpaint(image, known, model, calls=4, seed=3)
    assert drawn.shape == shape and (drawn[known] == image[known]).all() and (drawn != image).any()
    with pytest.raises(InputError, match="shape"):
        diffcodec.inpaint(image, known[:-1], model)


def test_inpaint_needs_an_order_agnostic_model():
    image, known = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool)
    with pytest.raises(InputError, match="order-agnostic"):
        diffcodec.inpaint(image, known, "photo-ardm")
    with pytest.raises(InputError, match="mode RGBA"):
        diffcodec.inpaint(np.zeros((8, 8, 4), np.uint8), known, picture_model())


def test_calls_belong_to_order_agnostic_models():
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(InputError, match="calls"):
        diffcodec.encode(picture, calls=5, model="photo-ardm")
    with pytest.raises(InputError, match="network calls"):
        diffcodec.encode(picture, calls=5000, model=picture_model())
    with pytest.raises(InputError, match="calls"):
        diffcodec.encode(picture, "diffc", bpp=1, calls=5)


@pytest.mark.parametrize("params", [b"", b"\x02\x05\x00", b"\x00\x00\x00", b"\x00\x05"])
def test_damaged_order_parameters(params):
    with pytest.raises(CorruptStream):
        Plan.from_bytes(params, 0)


@given(st.binary(max_size=60))
@settings(max_examples=40)
def test_damaged_passes_raise_or_decode_to_valid_tokens(payload):
    for model in (Counting(27, 4), token_model(27, 4, False)):
        try:
            back, _ = decoded([payload], (1, 12, 1), model, Plan(RANDOM, 3, 0))
        except CorruptStream:
            continue
        assert int(back.max()) < 27


def test_golden_stream():
    """Changing these bytes takes a format version, or other weights."""
    y, x = np.mgrid[:12, :16]
    picture = np.stack([10 * x + 5 * y, 200 - 8 * x + (x * y) % 7, 90 + 6 * y - (x * x) // 9], 2).astype(np.uint8)
    data = (Path(__file__).parent / "golden" / "order.dfc").read_bytes()
    assert (diffcodec.decode(data, device="cpu") == picture).all()
    model = registry.load("cifar10-oa", device="cpu")
    passes, _ = ordered.encode(picture, model, Plan(RANDOM, 12, 7))
    assert passes == read(data).passes
