"""What the codecs are made of: noise, trellis, windows of the bits-back chain, network calls, whole codecs.

pytest benchmarks/throughput/bench_codecs.py --benchmark-columns=median,ops
Each case names its size; models run on one thread, so that cases can be compared.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import diffcodec
from diffcodec.channel import trellis
from diffcodec.channel.noise import Key, normals
from diffcodec.codecs import vdm
from diffcodec.entropy import window
from diffcodec.entropy.stack import AnsStack
from diffcodec.models import registry

SYMBOLS = 60_000


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_normals_60k(benchmark):
    benchmark(normals, Key(1, 2, 3), SYMBOLS)


def means() -> np.ndarray:
    return (0.2 * np.random.default_rng(0).standard_normal(SYMBOLS)).astype(np.float32)


def test_trellis_encode_500_bits_of_60k(benchmark):
    benchmark(trellis.encode, means(), 500, Key(1, 0, 0))


def test_trellis_decode_500_bits_of_60k(benchmark):
    payload, sample = trellis.encode(means(), 500, Key(1, 0, 0))
    assert (benchmark(trellis.decode, payload, SYMBOLS, 500, Key(1, 0, 0)) == sample).all()


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


def picture(side: int) -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:side, 100 : 100 + side])


def test_ardm_encode_256(benchmark):
    benchmark(diffcodec.encode, picture(256))


def test_ardm_decode_256(benchmark):
    benchmark(diffcodec.decode, diffcodec.encode(picture(256)))


def test_diffc_encode_128_at_half_a_bit(benchmark):
    benchmark(lambda: diffcodec.encode(picture(128), "diffc", bpp=0.5))


def test_archive_encode_8_of_32_in_10_steps(benchmark):
    image = picture(256)
    images = [image[y : y + 32, x : x + 32] for y in (0, 100) for x in (0, 60, 120, 180)]
    benchmark(lambda: diffcodec.encode_archive(images, steps=10))


def test_archive_chain_of_8_in_10_steps(benchmark):
    image = picture(256)
    images = [np.ascontiguousarray(image[y : y + 32, x : x + 32]) for y in (0, 100) for x in (0, 60, 120, 180)]
    model = registry.load("photo-vdm-exact", codec="vdm", device="cpu")
    schedule, initial = vdm.measure(images, model, 10), np.random.default_rng(0).bytes(50_000)
    benchmark(lambda: vdm.encode(images, [8], model, schedule, initial))
