"""No honest file is refused: what decoding the extremes of pictures takes, as a share of a reader's default budget.

    python -m benchmarks.claims.budget [--save]

Pictures that take the fewest bytes for their pixels (black, grey, one dot, stars, ramps, rows that repeat), and others
that take many (noise, a smooth scene), by every method; frames; archives. DiffC of large pictures needs no network for
this: its streams are made of the passes that the encoder's rule of strides gives on pictures of spectrum 1/f^2, whose
information at each log-SNR is known, and on white ones. `share`: the least budget that lets the stream through.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import arguments, save
from diffcodec.bitstream import Chunk, Header, write
from diffcodec.channel import polar
from diffcodec.codecs.diffc import chain, rate
from diffcodec.codecs.diffc.cost import EXACT, LOSSY
from diffcodec.codecs.diffc.effort import EFFORTS
from diffcodec.codecs.diffc.passes import frame
from diffcodec.codecs.table import CODECS
from diffcodec.codecs.vdm.cost import cost as chain_cost
from diffcodec.media.picture import Picture
from diffcodec.models import registry
from diffcodec.models.gaussian import GaussianModel

RGB = b"\0\0\0"  # layout: three coded planes
SEEN = 2**15  # dimensions at which the spectrum of a large picture is looked at
RATES = (200, 300, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 200_000, 1_000_000)  # bytes

Row = tuple[str, int, int, str, float]


def pictures(height: int, width: int) -> Iterator[tuple[str, np.ndarray]]:
    """Of one size, by name."""
    y, x = np.mgrid[:height, :width]
    random = np.random.default_rng(0)
    yield "black", np.zeros((height, width, 3), np.uint8)
    yield "grey", np.full((height, width), 128, np.uint8)
    yield "ramp", ((x + y) * 255 // max(1, height + width - 2)).astype(np.uint8)
    rows = np.broadcast_to(random.integers(0, 256, (1, width, 3), dtype=np.uint8), (height, width, 3))
    yield "rows that repeat", np.ascontiguousarray(rows)
    dot = np.zeros((height, width, 3), np.uint8)
    dot[height // 2, width // 2] = 255, 0, 9
    yield "dot", dot
    yield "stars", (random.random((height, width, 3)) < 0.0005).astype(np.uint8)
    if height * width <= 2**18:
        scene = 128 + 60 * np.sin(x / 37) * np.cos(y / 23) + random.normal(0, 2, (height, width))
        yield "scene", np.clip(np.stack([scene, scene + 9, scene - 9], -1), 0, 255).astype(np.uint8)
        yield "noise", random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def row(name: str, data: bytes, count: int = 1) -> Row:
    told = diffcodec.inspect(data)
    kind, cost = told["codec"], told["decode_cost"]
    kind += "" if kind == "diffc" else " by " + ("network" if cost["network_calls"] else "context")
    return name, cost["pixels"], len(data), f"{kind}, {count} frames" if count > 1 else kind, cost["budget"]


def lossless() -> Iterator[Row]:
    """Of every size and setting."""
    yield from small()
    yield from large()
    yield from tuned()
    yield from any_order()


def small() -> Iterator[Row]:
    sizes = [(1, 1), (16, 16), (64, 64), (1, 2**12), (2**12, 1), (200, 200)]
    for height, width in sizes:
        for name, array in pictures(height, width):
            yield row(f"{name} {height}x{width}", diffcodec.encode(array))


def large() -> Iterator[Row]:
    for height, width in [(450, 460), (800, 800)]:  # about as large as the network has them in the fewest bytes
        for name, array in pictures(height, width):
            if name in ("black", "dot", "stars"):
                yield row(f"{name} {height}x{width}", diffcodec.encode(array))
    for name in ("black", "dot"):
        array = np.zeros((4096, 4096), np.uint8)
        array[2000, 2000] = 9 if name == "dot" else 0
        yield row(f"{name} 4096x4096", diffcodec.encode(array))
    wide = np.zeros((1, 2**22), np.uint8)
    for array in (wide, wide.T):
        yield row(f"black {array.shape[0]}x{array.shape[1]}", diffcodec.encode(np.ascontiguousarray(array)))


def tuned() -> Iterator[Row]:
    for name, array in pictures(128, 160):
        if name in ("stars", "scene"):
            yield row(f"{name} 128x160, tuned", diffcodec.encode(array, tune=True))


def any_order() -> Iterator[Row]:
    sizes = [(1, 1), (8, 8), (32, 32), (64, 64)]
    for height, width in sizes:
        for name, array in pictures(height, width):
            if array.ndim == 3 and (array.size < 4000 or name in ("black", "noise")):
                yield row(f"{name} {height}x{width}, any order", diffcodec.encode(array, model="cifar10-oa"))
    for calls in (1, 200):
        array = np.zeros((16, 16, 3), np.uint8)
        data = diffcodec.encode(array, model="cifar10-oa", calls=calls)
        yield row(f"black 16x16, any order, {calls} calls", data)


def frames() -> Iterator[Row]:
    """Near-black ones, each a stream of its own: the floors of a budget are for a few of them."""
    for side, count in [(16, 400), (64, 60), (440, 20)]:
        random = np.random.default_rng(0)
        dark = [(random.random((side, side, 3)) < 0.0005).astype(np.uint8) for _ in range(count)]
        yield row(f"stars {side}x{side}", of_frames("RGB", dark), count)
    yield row("grey 60x80", of_frames("L", [np.full((60, 80), k % 250, np.uint8) for k in range(300)]), 300)


def of_frames(mode: str, arrays: list[np.ndarray]) -> bytes:
    first, *others = (Picture(array, mode) for array in arrays)
    return diffcodec.encode(Picture(first.samples, mode, frames=tuple(others)))


def archives() -> Iterator[Row]:
    """Groups in one chain, by 100 steps of `cifar10-vdm`: what `groups` checks for them."""
    random = np.random.default_rng(0)
    for name, count in [("black", 40), ("noise", 12)]:
        shape = (32, 32, 3)
        some = [
            np.zeros(shape, np.uint8) + np.uint8(k) if name == "black" else random.integers(0, 256, shape, np.uint8)
            for k in range(count)
        ]
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder, "some.dfca")
            data = diffcodec.encode_archive(some)
            path.write_bytes(data)
            told = diffcodec.inspect_archive(path)
        steps = told["steps"]
        found, allowed = chain_cost(steps, [shape[:2]] * count, [count])
        share = allowed.needed(found, len(data))
        yield f"{name} 32x32, {count} in a chain", found.pixels, len(data), f"vdm, {steps} steps", share


# ---- DiffC, by its encoder's own rules, on spectra


def spectrum(height: int, width: int, white: bool) -> tuple[np.ndarray, int]:
    """(variances of some of the dimensions of a picture in [-1, 1], dimensions of all)."""
    n = 3 * height * width
    if white:
        return np.full(1, 0.3), n
    random = np.random.default_rng(0)
    fy, fx = random.uniform(-0.5, 0.5, (2, SEEN))
    least = 1 / max(height, width)
    power = 1 / np.maximum(fy * fy + fx * fx, least * least)
    luma = 0.25 * power / power.mean()
    return np.concatenate([luma, 0.05 * luma, 0.05 * luma]), n


def passes(variance: np.ndarray, n: int, room: int) -> list[bytes]:
    """Payloads of ``room`` bytes at most: each pass as long and of as many bits as the sender's rule makes it."""
    model, units = GaussianModel(variance), round(-8 / chain.UNIT)
    payload, top = b"", round(13.5 / chain.UNIT)
    while units < top:
        squared = n * model.mean_distortion(units * chain.UNIT)
        snr = math.exp(units * chain.UNIT)
        density = snr * squared / (2 * math.log(2))
        last = max(density, rate.PACE * 8 * room)
        length = max(EFFORTS[9].step * math.sqrt(last / density), math.sqrt(rate.PASS_COST / max(density, 1e-9)))
        step = min(round(min(rate.LONGEST, length) / chain.UNIT), top - units)
        kl = snr * math.expm1(step * chain.UNIT) * squared / (2 * math.log(2))
        bits = 0 if kl < rate.FEWEST_BITS else polar.bits_for(kl, n)
        record = frame(bits, 0, step) + bytes(-(-bits // 8))
        if len(payload) + len(record) > room:
            left = room - len(payload) - 5
            return [payload + frame(8 * left, 0, 1) + bytes(left)] if left > 0 else [payload]
        payload += record
        units += step
    return [payload]


def lossy() -> Iterator[Row]:
    card = next(card for card in registry.cards() if card["name"] == "photo-vdm")
    for height, width in [(16, 16), (256, 256), (512, 768), (2000, 2000), (3000, 4000), (4096, 4096)]:
        for white in (False, True):
            variance, n = spectrum(height, width, white)
            fingerprint = bytes.fromhex(card["fingerprint"])[:8]
            for params, end in ((bytes([LOSSY, 13]), b""), (bytes([EXACT, 13]), bytes(8))):
                numerics = 1 if end else 2
                head = Header(2, numerics, width, height, 3, 0, 0, "photo-vdm", fingerprint, RGB + params)
                least = Chunk("P", bytes(CODECS["diffc"].fewest_bytes))
                fewest = len(write([Chunk("H", head.to_bytes()), least, Chunk("E", end)]))
                for size in sorted({fewest, *RATES}) if not end else [n // 2]:
                    room = size - fewest + CODECS["diffc"].fewest_bytes
                    payloads = passes(variance, n, room)
                    if end:
                        payloads.append(b"\0\0" + bytes(n // 4))  # no bits and no step, then the remainder
                    chunks = [Chunk("P", payload) for payload in payloads]
                    data = write([Chunk("H", head.to_bytes()), *chunks, Chunk("E", end)])
                    if len(data) < 0.9 * size and size > 1000:
                        continue  # the picture is told before that
                    name = f"{'white' if white else '1/f^2'} {height}x{width}, {'exact' if end else 'lossy'}"
                    yield row(name, data)


KINDS: dict[str, Any] = {"lossy": lossy, "lossless": lossless, "frames": frames, "archives": archives}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=KINDS)
    options = parser.parse_args()
    rows: list[Row] = []
    for name in [options.only] if options.only else KINDS:
        found = list(KINDS[name]())
        largest = max(found, key=lambda one: one[4])
        print(
            f"{name}: {len(found)} streams, largest share {largest[4]:.3f} of the default budget: {largest}", flush=True
        )
        rows += found
    columns = ("stream", "pixels", "bytes", "method", "share")
    save(options.save, [dict(zip(columns, row, strict=True)) for row in rows], 4)


if __name__ == "__main__":
    main()
