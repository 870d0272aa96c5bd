"""What the settings of archives cost, on pictures that no reported figure is measured on.

    python -m benchmarks.studies.archive_settings CIFAR.npz [--model cifar10-vdm] [--count 64] [--save]

Pictures: the validation split of the training images. Network calls per picture, T, and the log-SNR of z_0 set the
bound, which follows from the model's errors alone: with p's variance that of q and that of x,
step i costs log2(1 + b_i^2 mse / std_i^2) / 2 bits per sample. So the errors are measured once, on a fine grid, and the
bound of every T and LAST computed from them. Then coded for real, at few steps: how fine the latents' grid is, and how
many pictures a group has.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

import diffcodec
from benchmarks.common import arguments, held_out, save, signal
from diffcodec.archive import memory as archive
from diffcodec.codecs.diffc.remainder import LEVELS, means
from diffcodec.codecs.vdm import chain
from diffcodec.codecs.vdm import codec as vdm
from diffcodec.codecs.vdm.schedule import UNIT, Schedule, best_scale, measure
from diffcodec.entropy import gaussian
from diffcodec.models import registry

LASTS = [9.0, 10.0, 10.5, 11.0, 11.25, 11.5, 11.75, 12.0, 13.0]
STEPS = [10, 25, 50, 100, 150, 250, 500, 1000]


def errors(images: np.ndarray, model) -> tuple[np.ndarray, np.ndarray, dict[float, float]]:
    """(log-SNRs in units, mean squared errors there, bits per sample of p(x|z_0) at each LAST)."""
    knots = np.rint(np.arange(model.logsnr_min, model.logsnr_max + 1e-9, 0.25) / UNIT).astype(int)
    squared, told = np.zeros(len(knots)), dict.fromkeys(LASTS, 0.0)
    generator = torch.Generator().manual_seed(1)
    for at in range(0, len(images), 16):
        levels = torch.from_numpy(images[at : at + 16]).permute(0, 3, 1, 2)
        x = model.to_latent(levels)
        for k, knot in enumerate(knots):
            a, s = signal(knot * UNIT)
            z = a * x + s * torch.randn(x.shape, generator=generator)
            x_hat = model.x_hat(z, int(knot))
            squared[k] += float((x - x_hat).double().square().sum())
            last = float(knot) * UNIT
            if last in told:
                mean64, symbols = means(x_hat.numpy()), levels.numpy().ravel().astype(np.int64)
                scale = best_scale(symbols, mean64)
                _, freqs = gaussian.intervals(symbols, mean64, np.full(mean64.size, scale), LEVELS)
                told[last] -= float(np.log2(freqs / 2**24).sum())
    return knots, squared / images.size, {k: v / images.size for k, v in told.items()}


def computed_bound(steps: int, last: float, knots: np.ndarray, mse: np.ndarray, told: float, energy: float) -> float:
    """Bits per sample of a schedule of ``steps`` up to ``last``; ``energy`` is E x^2."""
    upto = knots <= round(last / UNIT)
    profile = tuple(int(v) for v in np.rint(-256 * np.log2(mse[upto])))
    schedule = Schedule.placed(steps, tuple(int(k) for k in knots[upto]), profile, 0)
    nats = 0.0
    for here, there in zip(schedule.units, schedule.units[1:], strict=False):
        keep = math.exp((there - here) * UNIT)
        alpha, sigma = signal(here * UNIT)
        b2, var = ((1 - keep) * alpha) ** 2, (1 - keep) * sigma**2
        nats += math.log1p(b2 * 2 ** (-schedule.log2_mse(there) / 256) / var) / 2
    alpha, sigma = signal(schedule.units[-1] * UNIT)
    nats += (alpha**2 * energy + sigma**2 - 1 - 2 * math.log(sigma)) / 2
    return nats / math.log(2) + told


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("cifar", type=Path)
    ap.add_argument("--model", default="cifar10-vdm")
    ap.add_argument("--count", type=int, default=64, help="pictures that the errors are measured on")
    ap.add_argument("--groups", type=int, nargs="+", default=[1, 4, 16, 64])
    ap.add_argument("--only", choices=["bound", "fineness", "group"])
    args = ap.parse_args()
    images = held_out(args.cifar)
    model = registry.load(args.model, codec="vdm")
    rows: list[dict[str, object]] = []

    def row(**fields: object) -> None:
        rows.append({"model": model.name, **fields})
        print(rows[-1], flush=True)

    if args.only in (None, "bound"):
        some = images[:: max(1, len(images) // args.count)][: args.count]
        energy = float(np.square(some / 127.5 - 1).mean())
        knots, mse, told = errors(some, model)
        for last in LASTS:
            for steps in STEPS:
                bits = computed_bound(steps, last, knots, mse, told[last], energy)
                row(what="bound", pictures=len(some), T=steps, LAST=last, value=f"{bits:.4f}")
    if args.only in (None, "fineness"):
        some = list(images[:24])
        schedule = measure(some[:8], model, 25)
        initial = np.random.default_rng(0).bytes(8 * some[0].size * 2)
        for chain.FINENESS in (1.0, 2.0, 3.0, 4.0, 6.0, 8.0):
            data = vdm.encode(some, [8, 8, 8], model, schedule, initial)
            bits = 8 * (len(data) - len(initial)) / sum(i.size for i in some)
            row(what="coded, by FINENESS", pictures=len(some), T=25, value=f"{bits:.4f}", FINENESS=chain.FINENESS)
        chain.FINENESS = 4.0
    if args.only in (None, "group"):
        images, steps = images[:64], 50
        for group in args.groups:
            data = diffcodec.encode_archive(images, args.model, steps=steps, group=group)
            with archive.open_archive(data) as reader:
                chained = sum(e.kind == archive.CHAINED for p in reader.places for e in reader.group(p).entries)
            bits = 8 * len(data) / images.size
            row(
                what="archive, by group",
                pictures=len(images),
                T=steps,
                group=group,
                chained=chained,
                value=f"{bits:.4f}",
            )
    save(args.save, rows)


if __name__ == "__main__":
    main()
