"""Archives by VDM bits-back: bits against the model's bound and JPEG XL, time outside of the network, exactness.

    python -m benchmarks.suites.archive [--cifar CIFAR.npz] [--photos PHOTOS.npz] [--steps T ...] [--save]

Sets: `test` of CIFAR.npz (uint8 N×32×32×3) and 64×64 crops of the validation tiles of PHOTOS.npz
(tools.training.prepare_photos). The bound is that of the coded model at the same T with continuous latents, at the very
latents that the archive drew (pictures it keeps outside of the chain: one draw of noise per step); "plain" is VDM
eq. 13, whose p has no variance for x. Decoded in another process. A row per set, T and group size.
"""

from __future__ import annotations

import io
import math
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.common import arguments, classical, crops, save
from diffcodec.archive import group as groups
from diffcodec.archive import memory as archive
from diffcodec.archive.plan import make_plan
from diffcodec.bitstream.archive import Group, Writer
from diffcodec.codecs.diffc.remainder import LEVELS, means
from diffcodec.codecs.vdm import codec as vdm
from diffcodec.codecs.vdm.chain import Chain
from diffcodec.codecs.vdm.schedule import STEPS, Schedule
from diffcodec.entropy import gaussian
from diffcodec.media.picture import Picture
from diffcodec.models import registry


def prior(chain: Chain, x: torch.Tensor) -> float:
    """KL(q(z_T|x) || N(0, I)) in nats."""
    a2, s2 = chain.alpha[-1] ** 2, chain.sigma[-1] ** 2
    return float((a2 * x.double().square() + s2 - 1 - math.log(s2)).sum()) / 2


def step(chain: Chain, i: int, x: np.ndarray, x_hat: np.ndarray) -> tuple[float, float]:
    """KL(q(z_i|z_{i+1}, x) || p(z_i|z_{i+1})) in nats, of p as coded and of the p of VDM eq. 13."""
    std, p = chain.std[i], chain.p_std[i]
    d2 = float(np.square(chain.b[i] * (x - x_hat)).sum())
    return x.size * (math.log(p / std) + std * std / (2 * p * p) - 0.5) + d2 / (2 * p * p), d2 / (2 * std * std)


def told(chain: Chain, levels: np.ndarray, x_hat: np.ndarray) -> float:
    """-log p(x|z_0) in nats."""
    mean64 = means(x_hat)
    _, freqs = gaussian.intervals(levels.astype(np.int64), mean64, np.full(mean64.size, chain.scale), LEVELS)
    return -float(np.log(freqs / 2**24).sum())


def bound(images: Sequence[np.ndarray], model, schedule: Schedule) -> tuple[float, float]:
    """Bits per dimension (of the model as coded, plain), one draw of noise per picture and step."""
    chain = Chain(model, schedule)
    generator = torch.Generator().manual_seed(1)
    coded = plain = dims = 0.0
    for at in range(0, len(images), 32):
        levels = torch.from_numpy(np.stack(images[at : at + 32])).permute(0, 3, 1, 2)
        x = model.to_latent(levels)
        dims += x.numel()

        def x_hat(i: int, x: torch.Tensor = x) -> np.ndarray:
            z = chain.alpha[i] * x + chain.sigma[i] * torch.randn(x.shape, generator=generator)
            return model.x_hat(z, chain.units[i]).numpy().ravel()

        flat, fixed = x.double().numpy().ravel(), prior(chain, x) + told(chain, levels.numpy().ravel(), x_hat(0))
        coded, plain = coded + fixed, plain + fixed
        for i in range(chain.T):
            with_variance, without = step(chain, i, flat, x_hat(i + 1))
            coded, plain = coded + with_variance, plain + without
    return coded / dims / math.log(2), plain / dims / math.log(2)


class Watch:
    """While a group is coded in this process: the bound, in nats, at the latents that were drawn."""

    def __init__(self) -> None:
        self.coded = self.plain = 0.0

    def __enter__(self) -> Watch:
        self._push, self._x_hat = vdm._push_batch, Chain.x_hat

        def push(stack, chain, photos, progress):
            self.levels = photos.transpose(0, 3, 1, 2).ravel()
            self.x = self.levels / 127.5 - 1
            fixed = prior(chain, torch.from_numpy(self.x))
            self.coded, self.plain = self.coded + fixed, self.plain + fixed
            self._push(stack, chain, photos, progress)

        def x_hat(chain, z, i, shape):
            real, found = self._x_hat(chain, z, i, shape)
            terms = step(chain, i - 1, self.x, found) if i else (told(chain, self.levels, found),) * 2
            self.coded, self.plain = self.coded + terms[0], self.plain + terms[1]
            return real, found

        vdm._push_batch, Chain.x_hat = push, x_hat
        return self

    def __exit__(self, *_: object) -> None:
        vdm._push_batch, Chain.x_hat = self._push, self._x_hat


def watched(task: tuple) -> tuple[Group, float, float]:
    """`groups.encode_group` of a task: the group and the bound of its chain (coded, plain) in nats."""
    with Watch() as watch:
        group = groups.encode_group(task)
    return group, watch.coded, watch.plain


def coded(images: list[np.ndarray], model: str | None, steps: int, size: int, jobs: int) -> tuple[bytes, np.ndarray]:
    """(archive as `encode_archive` makes it, bounds of its chains in bits, summed)."""
    pictures = [Picture.from_any(image) for image in images]
    parts = [pictures[at : at + size] for at in range(0, len(pictures), size)]
    plan = make_plan(model, "auto", steps, None, lambda: parts[0])
    out = io.BytesIO()
    writer = Writer(out, archive.header_of(plan))
    bits = np.zeros(2)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for group, *nats in pool.map(watched, [(plan, [""] * len(part), part) for part in parts]):
            writer.add(group)
            bits += np.array(nats) / math.log(2)
    writer.finish()
    return out.getvalue(), bits


def share_outside(images: list[np.ndarray], model, schedule: Schedule) -> float:
    """Share of the time to encode and decode that is not the network's, in this process, of the first 16 pictures."""
    inside = 0.0
    x_hat = Chain.x_hat

    def timed(*args):
        nonlocal inside
        start = time.perf_counter()
        out = x_hat(*args)
        inside += time.perf_counter() - start
        return out

    some, initial = images[:16], np.random.default_rng(0).bytes(16 * images[0].size)
    shapes = [i.shape[:2] for i in some]
    sizes = vdm.batches(shapes, 10**9)
    vdm.encode(some[:1], [1], model, schedule, initial)  # compiles
    Chain.x_hat = timed
    try:
        start = time.perf_counter()
        vdm.decode(vdm.encode(some, sizes, model, schedule, initial), shapes, sizes, model, schedule)
        return 1 - inside / (time.perf_counter() - start)
    finally:
        Chain.x_hat = x_hat


def same(path: Path, images: list[np.ndarray], model: str | None, jobs: int) -> bool:
    """Whether other processes decode the archive to these pictures."""
    np.savez(path.with_suffix(".npz"), *images)
    code = (
        "import sys, numpy as np, diffcodec\n"
        "if __name__ == '__main__':\n"
        "    found = diffcodec.decode_archive(sys.argv[1], model=sys.argv[3] or None, jobs=int(sys.argv[4]))\n"
        "    with np.load(sys.argv[2]) as wanted:\n"
        "        wanted = list(wanted.values())\n"
        "    alike = [np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)]\n"
        "    sys.exit(0 if all(alike) else 3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(path.with_suffix(".npz")), model or "", str(jobs)]
    )
    return done.returncode == 0


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("--cifar", type=Path)
    ap.add_argument("--photos", type=Path)
    ap.add_argument("--model")
    ap.add_argument("--steps", type=int, nargs="+", default=[STEPS])
    ap.add_argument("--group", type=int, nargs="+", default=[archive.GROUP])
    ap.add_argument("--jobs", type=int, default=1, help="processes")
    ap.add_argument("--count", type=int, default=10**6, help="pictures of each set at most")
    args = ap.parse_args()
    sets = {}
    if args.cifar:
        with np.load(args.cifar) as z:
            sets["cifar10-test"] = list(z["test"][: args.count])
    if args.photos:
        sets["crops-64"] = crops(args.photos)[: args.count]
    model = registry.load(args.model, codec="vdm")
    rows = []
    for name, images in sets.items():
        if not images:
            continue
        dims = sum(i.size for i in images)
        jxl = 8 * sum(classical(Image.fromarray(image), "jxl") for image in images) / dims
        for steps in args.steps:
            for group in args.group:
                start = time.perf_counter()
                data, bits = coded(images, args.model, steps, group, args.jobs)
                middle = time.perf_counter()
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, "x.dfca")
                    path.write_bytes(data)
                    exact = same(path, images, args.model, args.jobs)
                seconds = middle - start, time.perf_counter() - middle
                with archive.open_archive(data) as reader:
                    schedule = Schedule.from_bytes(reader.header.params)[0]
                    entries = [entry for place in reader.places for entry in reader.group(place).entries]
                apart = [i for i, e in zip(images, entries, strict=True) if e.kind != archive.CHAINED]
                rest = np.array(bound(apart, model, schedule)) * sum(i.size for i in apart) if apart else np.zeros(2)
                ours, plain = (bits + rest) / dims
                outside = share_outside(images, model, schedule)
                bpd = 8 * len(data) / dims
                rows.append(
                    {
                        "set": name,
                        "pictures": len(images),
                        "model": model.name,
                        "T": steps,
                        "group": group,
                        "chained": len(images) - len(apart),
                        "bpd": f"{bpd:.4f}",
                        "bound": f"{ours:.4f}",
                        "ratio": f"{bpd / ours:.4f}",
                        "plain_bound": f"{plain:.4f}",
                        "plain_ratio": f"{bpd / plain:.4f}",
                        "jpeg_xl_e9": f"{jxl:.4f}",
                        "exact": exact,
                        "outside_network": f"{outside:.3f}",
                        "encode_s": f"{seconds[0]:.1f}",
                        "decode_s": f"{seconds[1]:.1f}",
                    }
                )
                print(rows[-1], flush=True)
    save(args.save, rows)


if __name__ == "__main__":
    main()
