"""ARDM on small pictures, in real bytes: order-agnostic by number of calls and by order, and over the lattice.

    python -m benchmarks.suites.order_agnostic CIFAR.npz [--save] [--all 1017] [--files 200] [--dense 16]

CIFAR.npz holds `test` (measuring only). Rows: what, model, calls, pictures, bits per dimension.

  file        real files, headers counted, decoded again and compared
  payload     the passes of those files alone
  archive     one archive of the same pictures
  calls       ANS stacks of the first --dense pictures at each K, and at K = D
  order       ANS stacks of the first --orders pictures in 50 calls, for each of 8 seeds
  plan        seconds for the best calls of every K at once, D = 3072 (median of 5)
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

import diffcodec
from benchmarks.common import arguments, save
from diffcodec.codecs.ardm.orders import RANDOM, groups, order
from diffcodec.entropy.logistic import Mixtures
from diffcodec.entropy.stack import AnsStack
from diffcodec.models import registry

COLUMNS = ("what", "model", "calls", "pictures", "bits_per_dimension")


def stack_bytes(model, images: np.ndarray, calls: int, seed: int, batch: int = 32) -> np.ndarray:
    """Bytes (N,) of each picture's stack: `codecs.ordered.encode`, with the network run for many pictures at once."""
    N, H, W, C = images.shape
    places = order(RANDOM, H, W, seed)
    sizes = []
    for part in np.split(images, range(batch, N, batch)):
        coded: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in part]
        known = np.zeros(H * W, bool)
        x = torch.from_numpy(part).permute(0, 3, 1, 2).contiguous()
        for a, b in groups(H * W, calls, model.profile):
            told = torch.from_numpy(known.reshape(H, W)).expand(len(part), 1, H, W)
            base, params = model.parameters(x * told, told)
            at = torch.from_numpy(places[a:b])
            rows = params.flatten(2).index_select(2, at).transpose(1, 2).reshape(len(part), b - a, 10, -1)
            sums = base.flatten(2).index_select(2, at).transpose(1, 2).int()
            for n, pixels in enumerate(part.reshape(len(part), -1, C)[:, places[a:b]]):
                mixtures = Mixtures(rows[n].contiguous().numpy(), sums[n].contiguous().numpy())
                coded[n].append(mixtures.intervals(pixels))
            known[places[a:b]] = True
        for intervals in coded:
            stack = AnsStack()
            for starts, freqs in reversed(intervals):
                stack.push_intervals(starts, freqs)
            sizes.append(len(stack.to_bytes()))
    return np.array(sizes)


def planning_seconds(profile) -> float:
    groups(8, 2, profile)  # compiled
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        groups(3072, 3072, profile)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("data")
    ap.add_argument("--lattice", nargs="*", default=["photo-ardm", "cifar10-ardm"], help="models over the lattice")
    ap.add_argument("--ordered", nargs="*", default=["cifar10-oa"], help="order-agnostic models")
    ap.add_argument("--all", type=int, default=1017, help="pictures coded as files over the lattice")
    ap.add_argument("--files", type=int, default=200, help="pictures coded as files in any order")
    ap.add_argument("--dense", type=int, default=16, help="pictures coded in up to D calls")
    ap.add_argument("--orders", type=int, default=64, help="pictures coded in 8 orders")
    args = ap.parse_args()
    with np.load(args.data) as file:
        test = file["test"]
    rows: list[dict[str, object]] = []

    def tell(*row: object) -> None:
        rows.append(dict(zip(COLUMNS, row, strict=True)))
        print(*row, flush=True)
        save(args.save, rows)

    for name in args.lattice:
        coded(test[: args.all], name, None, tell)
        archive = diffcodec.encode_archive(list(test[: args.all]), name, device="cpu")
        if not np.array_equal(np.stack(diffcodec.decode_archive(archive, device="cpu")), test[: args.all]):
            raise SystemExit("a picture of the archive came back changed")
        tell("archive", name, "", min(args.all, len(test)), f"{8 * len(archive) / test[: args.all].size:.4f}")
    for name in args.ordered:
        model = registry.load(name, device="cpu")
        tell("plan", name, "", "", f"{planning_seconds(model.profile):.3f}")
        for calls in (5, 10, 20, 50, 100, 200, 1024):
            sizes = stack_bytes(model, test[: args.dense], calls, 0)
            tell("calls", name, calls, args.dense, f"{8 * sizes.mean() / test[0].size:.4f}")
        means = []
        for seed in range(8):
            means.append(8 * stack_bytes(model, test[: args.orders], 50, seed).mean() / test[0].size)
            tell("order", name, f"50, seed {seed}", args.orders, f"{means[-1]:.4f}")
        tell("order spread", name, 50, args.orders, f"{max(means) - min(means):.4f}")
        coded(test[: args.files], name, 50, tell)


def coded(images: np.ndarray, name: str, calls: int | None, tell: Callable[..., None]) -> None:
    """Rows of files and their payloads, every picture decoded again and compared."""
    files, payload = [], []
    for image in images:
        data = diffcodec.encode(image, model=name, calls=calls, device="cpu")
        if not np.array_equal(diffcodec.decode(data, device="cpu"), image):
            raise SystemExit("a picture came back changed")
        files.append(len(data))
        payload.append(sum(p["bytes"] for p in diffcodec.inspect(data)["passes"]))
    for what, sizes in (("file", files), ("payload", payload)):
        tell(what, name, calls or "", len(files), f"{8 * np.mean(sizes) / images[0].size:.4f}")


if __name__ == "__main__":
    main()
