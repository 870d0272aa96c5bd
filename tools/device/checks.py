"""The checks and figures of a run on a lent GPU machine (`run.py`), each a command of its own.

    python -m tools.device.checks identity OUT.jsonl [--device cuda] [--small] [--models NAME ...]
    python -m tools.device.checks figures OUT.jsonl [--device cuda] [--small]

identity: streams of exact models are the same bytes from the CPU and the device, and each decodes the other's; of a
tolerant one, decoding elsewhere costs at most LOSS dB against the original. With the CPU as the device, another
implementation of the same network stands in for it where there is one. Exit status 1 if a line is not ok.
figures: medians of seconds, the device synchronised around each.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

import diffcodec
from diffcodec import Clip, Column, Tracks
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.codec import Head
from diffcodec.models import registry
from diffcodec.models.protocols import FrameModel, MaskedModel, TrackModel
from tools.device.plan import LOSSY, cards

LOSS = 0.1  #: dB that a tolerant stream may lose where it was not made


def centre(picture: np.ndarray, side: int) -> np.ndarray:
    y, x = (max(0, (n - side) // 2) for n in picture.shape[:2])
    return np.ascontiguousarray(picture[y : y + side, x : x + side])


def pictures(side: int, count: int) -> list[np.ndarray]:
    """Centres of photographs, uint8 of at most (side, side, 3), or walks that stand in for them."""
    try:
        from skimage import data
    except ImportError:
        found = []
    else:
        found = [centre(photo(), side) for photo in (data.astronaut, data.coffee, data.chelsea, data.rocket)]
    rng = np.random.default_rng(0)
    while len(found) < count:
        walk = rng.normal(0, 3, (side, side, 3)).cumsum(0).cumsum(1) / side**0.5 + 128
        found.append(np.clip(walk, 0, 255).astype(np.uint8))
    return found[:count]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def sides(name: str, device: str) -> tuple[Any, Any]:
    """The model on the CPU and on the device; where that is a CPU too, by another implementation."""
    here = registry.load(name, device="cpu", codec=None)
    if torch.device(device).type != "cpu":
        return here, registry.load(name, device=device, codec=None)
    there = registry.load(name, device="cpu", runtime="torch32", codec=None)  # of the lattice: of torch, not numba
    if name == LOSSY:
        there = copy.copy(there)
        there.half = not there.half  # rounds otherwise, as another device does
    return here, there


def single(name: str, small: bool) -> list[np.ndarray]:
    """Pictures for an ARDM."""
    if name.startswith("cifar10"):
        return pictures(32, 1 if small else 8)
    if small:
        return [p[:37, :51] for p in pictures(64, 1)]
    shapes = [(512, 512), (301, 223), (64, 64), (7, 300)]
    return [p[:h, :w] for (h, w), p in zip(shapes, pictures(512, len(shapes)), strict=True)]


def exact_streams(name: str, here: Any, there: Any, small: bool) -> Iterator[dict[str, Any]]:
    """Passes by the network, though the context coder may be smaller, so that it is the network that is compared."""
    if isinstance(here, (FrameModel, TrackModel)):
        yield from exact_signal(name, here, there, small)
        return
    ordered = isinstance(here, MaskedModel)
    method, calls = (ardm.ORDERED, 3 if small else 12) if ordered else (ardm.LATTICE, None)
    for picture in single(name, small):
        H, W, C = picture.shape
        coded = [ardm.encode(picture, picture[..., :0], model, calls=calls, method=method) for model in (here, there)]
        back = []
        for (params, passes), model in zip(coded, (there, here), strict=True):
            receiver = ardm.Receiver(Head("ardm", H, W, C, 0, params), model)
            receiver.take_all(passes)
            back.append(np.array_equal(receiver.show()[0], picture))
        yield compared(name, picture.shape, [params + b"".join(passes) for params, passes in coded], back)


def exact_signal(name: str, here: Any, there: Any, small: bool) -> Iterator[dict[str, Any]]:
    """A clip that moves, or agents that walk: the smallest of their ways, as `encode` takes it."""
    frames, side = (3, 40) if small else (8, 96)
    signal: Clip | Tracks
    if isinstance(here, FrameModel):
        (wide,) = pictures(side + 2 * frames, 1)
        signal = Clip((np.stack([wide[t : t + side, 2 * t : 2 * t + side] for t in range(frames)]),))
    else:
        walk = np.random.default_rng(5).normal(0, 3, (40 * frames, 5, 2)).cumsum(0).cumsum(0)
        signal = Tracks(np.rint(walk).astype(np.int64), (Column("x"), Column("y")), rate=Fraction(10))
    streams = [diffcodec.encode(signal, model=model) for model in (here, there)]
    back = [diffcodec.decode_signal(s, model=m).equals(signal) for s, m in zip(streams, (there, here), strict=True)]
    yield compared(name, signal.array.shape, streams, back)


def exact_archive(name: str, here: Any, there: Any, small: bool) -> Iterator[dict[str, Any]]:
    group = pictures(32 if small or name.startswith("cifar10") else 64, 2 if small else 6)
    steps = 2 if small else 12
    streams = [diffcodec.encode_archive(group, model, steps=steps) for model in (here, there)]
    back = [diffcodec.decode_archive(s, model=m) for s, m in zip(streams, (there, here), strict=True)]
    same = [all(np.array_equal(a, b) for a, b in zip(images, group, strict=True)) for images in back]
    yield compared(name, (len(group), *group[0].shape), streams, same)


def compared(name: str, shape: tuple[int, ...], streams: list[bytes], decoded: list[bool]) -> dict[str, Any]:
    same = streams[0] == streams[1]
    return {
        "model": name, "shape": list(shape), "bytes": [len(s) for s in streams], "same bytes": same,
        "CPU's decodes there": decoded[0], "the device's decodes here": decoded[1], "ok": same and all(decoded),
    }  # fmt: skip


def tolerant(name: str, here: Any, there: Any, small: bool) -> Iterator[dict[str, Any]]:
    for picture in pictures(48 if small else 128, 1 if small else 2):
        for made, other in ((here, there), (there, here)):
            data = diffcodec.encode(picture, "diffc", made, bpp=1.0)
            own, elsewhere = (
                psnr(diffcodec.decode(data, model=model, reconstruction="mean"), picture) for model in (made, other)
            )
            yield {
                "model": name, "shape": list(picture.shape), "bytes": len(data), "made here": made is here,
                "dB where made": round(own, 3), "dB elsewhere": round(elsewhere, 3), "ok": own - elsewhere <= LOSS,
            }  # fmt: skip


KINDS = {"ardm": exact_streams, "vdm": exact_archive, "diffc": tolerant}


def check_identity(write: Callable[[dict[str, Any]], None], device: str, small: bool, models: list[str]) -> bool:
    """A line for every comparison; a model that fails to run has one that says so."""
    good = True
    codecs = {card["name"]: card["codec"] for card in registry.cards()}
    order = list(KINDS)
    for name in sorted(models, key=lambda name: order.index(codecs[name]) if name in codecs else len(order)):
        try:
            for line in KINDS[codecs[name]](name, *sides(name, device), small):
                write(line)
                good &= line["ok"]
        except Exception as error:  # the next model may run
            traceback.print_exc()
            write({"model": name, "ok": False, "error": f"{type(error).__name__}: {error}"})
            good = False
    return good


def synchronise(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Callable[[], Any], device: str, count: int, warm: int = 1) -> list[float]:
    for _ in range(warm):
        call()
    out = []
    for _ in range(count):
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        out.append(time.perf_counter() - start)
    return out


def take_figures(write: Callable[[dict[str, Any]], None], device: str, small: bool) -> bool:
    side, few, many = (48, 1, 2) if small else (512, 3, 20)
    (picture,) = pictures(side, 1)
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "CPU"
    lossy, lattice = registry.load(LOSSY, device=device, codec=None), registry.load("photo-ardm", device=device)
    z = torch.randn(1, 3, side, side).to(lossy.device)
    logsnr = torch.tensor(0.0)
    made = {
        "diffc": diffcodec.encode(picture, "diffc", lossy, bpp=0.5),
        "ardm": diffcodec.encode(picture, model=lattice),
    }
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        f"{LOSSY}: one network call": (lambda: lossy.predict(z, logsnr), many),
        f"{LOSSY}: one network call, batch of 8": (lambda: lossy.predict(z.expand(8, -1, -1, -1), logsnr), many),
        "diffc 0.5 bpp: encode": (lambda: diffcodec.encode(picture, "diffc", lossy, bpp=0.5), few),
        "diffc 0.5 bpp: decode, mean": (
            lambda: diffcodec.decode(made["diffc"], model=lossy, reconstruction="mean"), few
        ),
        "diffc 0.5 bpp: decode, flow": (
            lambda: diffcodec.decode(made["diffc"], model=lossy, reconstruction="flow"), few
        ),
        "photo-ardm: encode": (lambda: diffcodec.encode(picture, model=lattice), few),
        "photo-ardm: decode": (lambda: diffcodec.decode(made["ardm"], model=lattice), few),
    }  # fmt: skip
    good = True
    for label, (call, count) in calls.items():
        try:
            runs = seconds(call, device, count)
            line = {"figure": f"{label}, {side}x{side}", "seconds": round(statistics.median(runs), 6),
                    "least": round(min(runs), 6), "most": round(max(runs), 6), "runs": count}  # fmt: skip
            write({**line, "device": name, "torch": torch.__version__, "cpu threads": torch.get_num_threads()})
        except Exception as error:  # the next figure may be had
            traceback.print_exc()
            write({"figure": label, "error": f"{type(error).__name__}: {error}"})
            good = False
    return good


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["identity", "figures"])
    ap.add_argument("out", type=Path)
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.add_argument("--small", action="store_true", help="in seconds on a CPU")
    ap.add_argument("--models", nargs="+", help="of identity: all that are at hand")
    args = ap.parse_args()
    with args.out.open("a") as file:

        def write(line: dict[str, Any]) -> None:
            print(json.dumps(line), flush=True)
            file.write(json.dumps(line) + "\n")
            file.flush()

        if args.what == "identity":
            good = check_identity(write, args.device, args.small, args.models or list(cards()))
        else:
            good = take_figures(write, args.device, args.small)
    sys.exit(not good)


if __name__ == "__main__":
    main()
