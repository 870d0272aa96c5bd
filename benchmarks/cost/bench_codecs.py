"""What the codecs are made of: noise, transform, channel, bits-back windows, network calls, planes; and whole codecs.

    pytest benchmarks/cost/bench_codecs.py --benchmark-json=OUT.json --benchmark-columns=min,median
    python -m benchmarks.cost.throughput        # both, as tables

Each case names its size; models run on one thread, so that cases can be compared. A case "raw" is what a library does
in the place of "ours".
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard

import diffcodec
from diffcodec.channel import polar, trellis, walk
from diffcodec.channel.noise import Key, normals
from diffcodec.entropy import window
from diffcodec.entropy.stack import AnsStack
from diffcodec.media import picture as image
from diffcodec.models import registry

SYMBOLS = 60_000


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.benchmark(group="noise")
@pytest.mark.parametrize("who", ["ours", "raw"])
def test_normals_60k(benchmark, who):
    """raw: NumPy's Philox, whose stream no specification fixes."""
    benchmark.extra_info["symbols"] = SYMBOLS
    code = {
        "ours": lambda: normals(Key(1, 2, 3), SYMBOLS),
        "raw": lambda: np.random.Generator(np.random.Philox(1)).standard_normal(SYMBOLS, np.float32),
    }[who]
    assert len(benchmark(code)) == SYMBOLS


@pytest.mark.benchmark(group="transform")
@pytest.mark.parametrize("who", ["ours", "raw"])
def test_walsh_hadamard_transform_of_1024(benchmark, who):
    """raw: the product with the matrix by NumPy's BLAS."""
    values = np.random.default_rng(0).standard_normal(1024).astype(np.float32)
    matrix = hadamard(1024).astype(np.float32)
    wanted = matrix @ values

    def ours() -> np.ndarray:
        out = values.copy()
        walk.walsh(out)
        return out

    found = benchmark({"ours": ours, "raw": lambda: matrix @ values}[who])
    assert np.allclose(found, wanted, atol=1e-2)


@pytest.mark.benchmark(group="picture to planes and back")
def test_planes_of_256(benchmark):
    given = image.Picture.from_any(picture(256))

    def there_and_back() -> image.Picture:
        photo, extra, layout = image.planes(given)
        return image.unplanes(photo, extra, layout, given.info)

    assert (benchmark(there_and_back).samples == given.samples).all()


def means() -> np.ndarray:
    return (0.2 * np.random.default_rng(0).standard_normal(SYMBOLS)).astype(np.float32)


def test_trellis_encode_500_bits_of_60k(benchmark):
    benchmark(trellis.encode, means(), 500, Key(1, 0, 0))


def test_trellis_decode_500_bits_of_60k(benchmark):
    payload, sample = trellis.encode(means(), 500, Key(1, 0, 0))
    assert (benchmark(trellis.decode, payload, SYMBOLS, 500, Key(1, 0, 0)) == sample).all()


def test_polar_encode_500_bits_of_60k(benchmark):
    benchmark(polar.encode, means(), 500, Key(1, 0, 0))


def test_polar_decode_500_bits_of_60k(benchmark):
    payload, sample = polar.encode(means(), 500, Key(1, 0, 0))
    assert (benchmark(polar.decode, payload, SYMBOLS, 500, Key(1, 0, 0)) == sample).all()


@pytest.mark.parametrize("open_ended", [False, True])
def test_window_pop_60k(benchmark, open_ended):
    rng = np.random.default_rng(0)
    mean64, bits = rng.integers(-(1 << 20), 1 << 20, SYMBOLS), rng.bytes(SYMBOLS)
    benchmark(lambda: window.pop(AnsStack.from_bytes(bits + b"\1"), mean64, 4.0, open_ended=open_ended))


def test_window_push_60k(benchmark):
    rng = np.random.default_rng(0)
    mean64 = rng.integers(-(1 << 20), 1 << 20, SYMBOLS)
    z = np.rint(mean64 / 64 + 4 * rng.standard_normal(SYMBOLS)).astype(np.int64)
    benchmark(lambda: window.push(AnsStack(), z, mean64, 4.0, open_ended=True))


@pytest.mark.parametrize("name", ["photo-vdm", "photo-vdm-exact"])
@pytest.mark.parametrize("shape", [(8, 3, 32, 32), (1, 3, 256, 256)])
def test_network_call(benchmark, name, shape):
    model = registry.load(name, codec="vdm", device="cpu")
    z, logsnr = torch.randn(shape), torch.tensor(2.0)
    benchmark(model.predict, z, logsnr)


def few(benchmark, code, *args) -> None:
    """Whole codecs take seconds: one round to load and compile, then three."""
    benchmark.pedantic(code, args, rounds=3, warmup_rounds=1)


def picture(side: int) -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:side, 100 : 100 + side])


def test_ardm_encode_128(benchmark):
    few(benchmark, diffcodec.encode, picture(128))


def test_ardm_decode_128(benchmark):
    few(benchmark, diffcodec.decode, diffcodec.encode(picture(128)))


def test_diffc_encode_128_at_half_a_bit(benchmark):
    few(benchmark, lambda: diffcodec.encode(picture(128), "diffc", bpp=0.5))


def test_diffc_decode_128_at_half_a_bit(benchmark):
    few(benchmark, diffcodec.decode, diffcodec.encode(picture(128), "diffc", bpp=0.5))


def small() -> list[np.ndarray]:
    whole = picture(256)
    return [np.ascontiguousarray(whole[y : y + 32, x : x + 32]) for y in (0, 100) for x in (0, 60, 120, 180)]


def test_archive_encode_8_of_32_in_10_steps(benchmark):
    few(benchmark, lambda: diffcodec.encode_archive(small(), steps=10))


def test_archive_decode_8_of_32_in_10_steps(benchmark):
    few(benchmark, diffcodec.decode_archive, diffcodec.encode_archive(small(), steps=10))
