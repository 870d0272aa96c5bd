"""A lattice network that learns while it codes: both ends take the same steps, and what is learned saves bits."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import decoded, needs_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ardm import once_jpeg, photo_like

from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.ardm.cost import LEARNED, REFINED
from diffcodec.codecs.ardm.learning import Layer, Rule, band_rows
from diffcodec.codecs.ardm.row import ARDM
from diffcodec.codecs.codec import Head
from diffcodec.entropy.gradients import gradients
from diffcodec.entropy.logistic import bits, intervals
from diffcodec.models import registry
from diffcodec.models.protocols import PhaseModel, Tunable
from diffcodec.runtime.errors import CorruptStream, ModelMismatch

Coded = tuple[bytes, list[bytes]]


@pytest.fixture(scope="module")
def model() -> PhaseModel:
    found = registry.load("photo-ardm", device="cpu")
    assert isinstance(found, Tunable)
    return found


def coded(photo: np.ndarray, model: PhaseModel, **options: object) -> Coded:
    return ardm.encode(photo, photo[..., :0], model, method=ardm.LATTICE, **options)  # type: ignore[arg-type]


@needs_weights
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3]), st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_pictures_of_any_size_come_back(h: int, w: int, c: int, tables: int, seed: int) -> None:
    photo, model = photo_like(np.random.default_rng(seed), h, w, c), registry.load("photo-ardm", device="cpu")
    assert isinstance(model, PhaseModel)
    params, passes = coded(photo, model, tables=tables if c == 3 else tables & 1, learned=True)
    assert params[0] == LEARNED
    back, _, stride = decoded(params, passes, h, w, c, 0, model)
    assert (back == photo).all() and stride == 1


@needs_weights
def test_bytes_do_not_depend_on_strips_or_threads(model: PhaseModel) -> None:
    photo = once_jpeg(143, 131)
    params, passes = coded(photo, model)
    about = ARDM().about(params)
    assert params[0] == LEARNED and about.since == (1, 7) and about.learns and about.tables
    assert coded(photo, model, strip_positions=700, threads=3) == (params, passes)
    back = decoded(params, passes, 143, 131, 3, 0, model, strip_positions=900, threads=1)[0]
    assert (back == photo).all()
    for count in range(1, len(passes)):
        preview, _, stride = decoded(params, passes[:count], 143, 131, 3, 0, model)
        assert (preview[::stride, ::stride] == photo[::stride, ::stride]).all()


@needs_weights
def test_what_is_learned_saves_bits(model: PhaseModel) -> None:
    """Of a picture that is unlike photographs, and goes on alike."""
    photo = once_jpeg(190, 201)
    learned, plain = (coded(photo, model, tables=0, learned=way) for way in (True, False))
    assert plain[0][0] == ardm.LATTICE
    assert sum(map(len, learned[1])) < 0.98 * sum(map(len, plain[1]))
    small = photo[:128, :128]  # too little to learn from
    assert coded(np.ascontiguousarray(small), model)[0][0] in (ardm.LATTICE, REFINED)


@needs_weights
def test_parameters_that_do_not_fit_are_refused(model: PhaseModel) -> None:
    photo = photo_like(np.random.default_rng(3), 40, 40, 1)
    params, passes = coded(photo, model, tables=0, learned=True)
    head = Head("ardm", 40, 40, 1, 0, params)
    for tables in (2, 5, 8, 255):
        with pytest.raises(CorruptStream, match="tables"):
            ardm.Receiver(Head("ardm", 40, 40, 1, 0, bytes([LEARNED, tables]) + params[2:]), model)
    with pytest.raises(CorruptStream):
        ardm.Receiver(Head("ardm", 40, 40, 1, 0, bytes([LEARNED])), model)

    class Fixed:
        """The same network, which does not show what its last layer is given."""

        name, fingerprint, numerics, device = model.name, model.fingerprint, model.numerics, "cpu"
        halo, bias, strip = model.halo, staticmethod(model.bias), staticmethod(model.strip)

    fixed = Fixed()
    assert isinstance(fixed, PhaseModel) and not isinstance(fixed, Tunable)
    with pytest.raises(ModelMismatch, match="learns"):
        ardm.Receiver(head, fixed)
    large = photo_like(np.random.default_rng(4), 150, 150, 1)
    assert coded(large, fixed)[0][0] != LEARNED
    receiver = ardm.Receiver(head, model)
    for payload in passes:
        receiver.take(payload)
    assert (receiver.show()[0] == photo).all()


def mixtures(rng: np.random.Generator, n: int, K: int) -> np.ndarray:
    """int32 (n, 10, K) as networks give them."""
    rows = [
        rng.integers(-150, 150, (n, 1, K)),
        rng.integers(-600, 600, (n, 3, K)),
        rng.integers(90, 200, (n, 3, K)),
        rng.integers(-200, 300, (n, 3, K)),
    ]
    return np.concatenate(rows, 1).astype(np.int32)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_are_those_of_the_code_length(channels: int) -> None:
    """Beside differences of code lengths, where integers are fine enough to tell."""
    rng, n, K = np.random.default_rng(0), 400, 4
    params = mixtures(rng, n, K)
    base = rng.integers(200, 800, (n, channels)).astype(np.int32)
    pixels = np.clip(np.rint(base / 4 + rng.normal(0, 5, base.shape)), 0, 255).astype(np.uint8)
    found = gradients(params, base, pixels) / 65536

    def nats(moved: np.ndarray) -> np.ndarray:
        freqs = intervals(moved, base, pixels)[1].astype(np.float64)
        return -np.log(freqs / 2**24).sum(1)

    for rows, step, unit in ((range(1), 6, 64), (range(1, 4), 16, 64), (range(4, 7), 2, 32), (range(7, 10), 12, 256)):
        for row in rows:
            for k in range(K):
                up, down = params.copy(), params.copy()
                up[:, row, k] += step
                down[:, row, k] -= step
                wanted = (nats(up) - nats(down)) * unit / (2 * step)
                off = np.abs(wanted - found[:, row, k])
                assert np.median(off) < 0.02 and off.mean() < 0.05 * (0.2 + np.abs(wanted).mean())
    if channels == 1:
        assert not found[:, [2, 3, 5, 6, 7, 8, 9]].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([1, 3]))
def test_gradients_of_any_parameters_are_bounded(seed: int, K: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    params = rng.integers(-(2**15), 2**15, (20, 10, K)).astype(np.int32)
    base, pixels = rng.integers(0, 1021, (20, channels)).astype(np.int32), rng.integers(0, 256, (20, channels))
    assert np.abs(gradients(params, base, pixels.astype(np.uint8))).max() < 2**30


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_step_leaves_what_networks_give(seed: int) -> None:
    rng, K = np.random.default_rng(seed), 3
    layer = Layer(5, Rule.of_lattice(K))
    for _ in range(30):
        codes = rng.integers(-50, 206, (16, 5)).astype(np.float32)
        given_, base = mixtures(rng, 16, K), rng.integers(0, 1021, (16, 3)).astype(np.int32)
        params, inputs = layer.params(given_, codes)
        assert params.dtype == np.int32 and params[:, 4:7].min() >= 0 and params[:, 4:7].max() <= 256
        pixels = rng.integers(0, 256, (16, 3)).astype(np.uint8)
        layer.learn(inputs, gradients(params, base, pixels))
        assert bits(intervals(params, base, pixels)[1]) > 0


def test_bands_have_some_rows_of_narrow_pictures() -> None:
    assert [band_rows(width) for width in (0, 1, 50, 128, 129, 4000)] == [128, 128, 2, 1, 1, 1]


@needs_weights
@pytest.mark.parametrize("kind", ["photograph", "drawing", "enlarged", "noise", "ramp"])
def test_giving_the_network_up_early_costs_no_byte(kind: str, model: PhaseModel) -> None:
    """What is coded is the smaller of both, as if both had been coded to their end."""
    random, (y, x) = np.random.default_rng(0), np.mgrid[:150, :170]
    picture = {
        "photograph": lambda: once_jpeg(150, 170),
        "drawing": lambda: np.where(((y // 9 + x // 13) % 5 == 0)[..., None], [250, 20, 30], [255, 255, 255]),
        "enlarged": lambda: once_jpeg(38, 43).repeat(4, 0).repeat(4, 1)[:150, :170],
        "noise": lambda: random.integers(0, 256, (150, 170, 3)),
        "ramp": lambda: np.stack([y, x, y + x], 2) % 256,
    }[kind]()
    photo = np.ascontiguousarray(picture.astype(np.uint8))
    both = [ardm.encode(photo, photo[..., :0], model, method=method) for method in (ardm.CONTEXT, ardm.LATTICE)]
    adaptive, network = (sum(map(len, passes)) for _, passes in both)
    assert ardm.encode(photo, photo[..., :0], model) == both[adaptive >= ardm.PROGRESSIVE_WORTH * network]
