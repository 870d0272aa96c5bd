"""Archives by VDM bits-back: bits against the model's bound and JPEG XL, time outside of the network, exactness.

    python benchmarks/archive.py CIFAR.npz [--photos PHOTOS.npz] [--model M] [--steps T ...] [--jobs 2] [--out CSV]

Sets: `test` of CIFAR.npz (uint8 N×32×32×3) and 64×64 crops of the validation tiles of PHOTOS.npz
(tools/prepare_photos.py). The bound is that of the coded model at the same T with continuous latents, one draw of noise
per picture and step; "plain" is VDM eq. 13, whose p has no variance for x. A row per T and set.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import time
from pathlib import Path

import numpy as np
import torch

import diffcodec
from diffcodec.codecs import vdm
from diffcodec.diffusion import samplers
from diffcodec.entropy import gaussian
from diffcodec.models import registry


def crops(path: Path, side: int = 64) -> list[np.ndarray]:
    """One crop of the centre of every validation tile."""
    with np.load(path) as z:
        shapes, pixels = z["val_shapes"], z["val_pixels"]
    out, at = [], 0
    for h, w in shapes:
        tile = pixels[at : at + h * w * 3].reshape(h, w, 3)
        at += h * w * 3
        if min(h, w) >= side:
            y, x = (h - side) // 2, (w - side) // 2
            out.append(np.ascontiguousarray(tile[y : y + side, x : x + side]))
    return out


def bound(images: list[np.ndarray], model, schedule: vdm.Schedule) -> tuple[float, float]:
    """Bits per dimension (of the model as coded, plain)."""
    chain = vdm._Chain(model, schedule)
    generator = torch.Generator().manual_seed(1)
    coded = plain = dims = 0.0
    for at in range(0, len(images), 32):
        levels = torch.from_numpy(np.stack(images[at : at + 32])).permute(0, 3, 1, 2)
        x = model.to_latent(levels)
        dims += x.numel()

        def x_hat(i: int, x: torch.Tensor = x) -> torch.Tensor:
            z = chain.alpha[i] * x + chain.sigma[i] * torch.randn(x.shape, generator=generator)
            return samplers.mean(model.predict, z, chain.units[i] * vdm.UNIT)

        a2, s2 = chain.alpha[-1] ** 2, chain.sigma[-1] ** 2  # KL(q(z_T|x) || N(0, I))
        prior = float((a2 * x.double().square() + s2 - 1 - math.log(s2)).sum()) / 2
        coded, plain = coded + prior, plain + prior
        for i, (b, std, p) in enumerate(zip(chain.b, chain.std, chain.p_std, strict=False)):
            d2 = float((b * (x - x_hat(i + 1))).double().square().sum())
            coded += x.numel() * (math.log(p / std) + std * std / (2 * p * p) - 0.5) + d2 / (2 * p * p)
            plain += d2 / (2 * std * std)
        mean64 = vdm.means(x_hat(0).numpy())
        symbols = levels.numpy().ravel().astype(np.int64)
        _, freqs = gaussian.intervals(symbols, mean64, np.full(mean64.size, chain.scale), vdm.LEVELS)
        told = -float(np.log(freqs / 2**24).sum())
        coded, plain = coded + told, plain + told
    return coded / dims / math.log(2), plain / dims / math.log(2)


def jpeg_xl(images: list[np.ndarray]) -> float:
    """Bytes of one lossless file each, effort 9."""
    import pillow_jxl  # noqa: F401
    from PIL import Image

    total = 0
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "JXL", lossless=True, effort=9)
        total += out.tell()
    return total


def share_outside(images: list[np.ndarray], model, steps: int) -> float:
    """Share of an archive's time that is not spent in the network, one process, of the first 48 pictures."""
    inside = 0.0
    predict = model.predict

    def timed(*args):
        nonlocal inside
        start = time.perf_counter()
        out = predict(*args)
        inside += time.perf_counter() - start
        return out

    schedule = vdm.measure(images[:8], model, steps)
    some, initial = images[:48], np.random.default_rng(0).bytes(8 * images[0].size * 2)
    sizes = vdm.batches([i.shape[:2] for i in some], 8 * len(initial))
    vdm.encode(some[:8], vdm.batches([i.shape[:2] for i in some[:8]], 10**7), model, schedule, initial)  # compiles
    model.predict = timed
    start = time.perf_counter()
    vdm.encode(some, sizes, model, schedule, initial)
    total = time.perf_counter() - start
    del model.predict
    return 1 - inside / total


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("cifar", type=Path)
    ap.add_argument("--photos", type=Path)
    ap.add_argument("--model")
    ap.add_argument("--steps", type=int, nargs="+", default=[vdm.STEPS])
    ap.add_argument("--group", type=int, nargs="+", default=[512])
    ap.add_argument("--jobs", type=int, default=2)
    ap.add_argument("--count", type=int, default=10**6, help="pictures of each set at most")
    ap.add_argument("--out", type=Path)
    args = ap.parse_args()
    with np.load(args.cifar) as z:
        sets = {"cifar10-test": list(z["test"][: args.count])}
    if args.photos:
        sets["crops-64"] = crops(args.photos)[: args.count]
    model = registry.load(args.model, codec="vdm")
    rows = []
    for name, images in sets.items():
        if not images:
            continue
        dims = sum(i.size for i in images)
        jxl = 8 * jpeg_xl(images) / dims
        for steps in args.steps:
            outside = share_outside(images, model, steps)
            for group in args.group:
                start = time.perf_counter()
                data = diffcodec.encode_archive(images, args.model, steps=steps, group=group, jobs=args.jobs)
                middle = time.perf_counter()
                back = diffcodec.decode_archive(data, model=args.model, jobs=args.jobs)
                seconds = middle - start, time.perf_counter() - middle
                exact = all(np.array_equal(a, b) for a, b in zip(images, back, strict=True))
                with diffcodec.archive.open_archive(data) as reader:
                    params = reader.header.params
                ours, plain = bound(images, model, vdm.Schedule.from_bytes(params)[0])
                bpd = 8 * len(data) / dims
                rows.append(
                    {
                        "set": name,
                        "pictures": len(images),
                        "model": model.name,
                        "T": steps,
                        "group": group,
                        "bpd": f"{bpd:.4f}",
                        "bound": f"{ours:.4f}",
                        "ratio": f"{bpd / ours:.4f}",
                        "plain_bound": f"{plain:.4f}",
                        "jpeg_xl_e9": f"{jxl:.4f}",
                        "exact": exact,
                        "outside_network": f"{outside:.3f}",
                        "encode_s": f"{seconds[0]:.1f}",
                        "decode_s": f"{seconds[1]:.1f}",
                    }
                )
                print(rows[-1], flush=True)
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
