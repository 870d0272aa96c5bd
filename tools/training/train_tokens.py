"""Train an order-agnostic ARDM of text, audio or pictures as categorical data (arXiv 2110.02037).

    python -m tools.training.train_tokens TOKENS.npz RUN_DIR --vocabulary 27 --minutes 10 [--branching 4] [--direct]
    python -m tools.training.train_tokens TOKENS.npz RUN_DIR --cifar SOURCE --size cifar10

TOKENS.npz holds `train` and `val`, uint8 (n,), as made by `tools.training.token_data`; with --cifar it is not opened.
--size takes a configuration of the paper (`diffcodec.models.tokens.PAPER`). A step draws a stage of depth upscaling,
how many tokens of a window are known, and which; the objective is ARDM eq. 3, of eq. 9 for each stage. Exports
RUN_DIR/model.safetensors and .json, which `diffcodec.encode(tokens, model=...)` takes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from diffcodec.models.registry import fingerprint_of
from diffcodec.models.tokens import PAPER, TokenConfig, TokenNet
from tools.training.cifar_data import SmallPictures, load_cifar
from tools.training.frame import Training, arguments, batches, low_precision

LN2 = math.log(2)
SHARES = 9  #: of known tokens, 0 to 1, that the profile is measured at


def draw_known(x: Tensor, counts: np.ndarray, rng: np.random.Generator) -> Tensor:
    """bool of the shape of ``x`` (N, ...) with counts[i] known tokens at random places."""
    rank = rng.random((len(x), x[0].numel())).argsort(1).argsort(1)
    return torch.from_numpy(rank < counts[:, None]).view(x.shape)


@torch.no_grad()
def profile(net: nn.Module, x: Tensor, device: str) -> np.ndarray:
    """Bits of a token, all stages, at SHARES shares of known ones, the last with one unknown."""
    rng = np.random.default_rng(1)
    D = x[0].numel()
    out = np.zeros(SHARES)
    for k, share in enumerate(np.linspace(0, 1, SHARES)):
        count = min(D - 1, round(share * D))
        for stage in range(len(net.config.units)):  # type: ignore[union-attr, arg-type]
            for part in x.split(16):
                known = draw_known(part, np.full(len(part), count), rng).to(device)
                stages = torch.full((len(part),), stage, device=device)
                with low_precision(device):
                    nats = net.nats(part.to(device), known, stages)  # type: ignore[operator]
                out[k] += float(nats.double().sum()) / LN2 / (len(x) * (D - count))
    return np.minimum.accumulate(out)


def main() -> None:
    ap = arguments(__doc__, batch=16)
    ap.add_argument("--size", choices=sorted(PAPER), help="a configuration of the paper")
    ap.add_argument("--vocabulary", type=int, default=256)
    ap.add_argument("--branching", type=int, default=256)
    ap.add_argument("--direct", action="store_true", help="direct instead of data parameterisation")
    ap.add_argument("--channels", type=int, default=64)
    ap.add_argument("--blocks", type=int, default=8)
    ap.add_argument("--dilations", type=int, nargs="+", default=[1, 2, 4, 8])
    ap.add_argument("--window", type=int, default=256)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    dims, colours = (2, 3) if args.cifar else (1, 1)
    config = TokenConfig(
        args.vocabulary, dims, colours, args.branching, not args.direct, args.channels, args.blocks,
        tuple(args.dilations),
    )  # fmt: skip
    config = PAPER[args.size] if args.size else config
    net = TokenNet(config)
    run = Training(args, net, config.as_dict())
    if args.cifar:
        images = load_cifar(args.cifar, "train")
        held_out = torch.from_numpy(load_cifar(args.cifar, "val")[:64]).permute(0, 3, 1, 2).long()
    else:
        with np.load(args.data) as file:
            train, val = file["train"], file["val"]
        usable = len(val) // args.window * args.window
        held_out = torch.from_numpy(val[:usable].reshape(-1, 1, args.window)[:256]).long()
    if run.rank == 0:
        print(f"{sum(p.numel() for p in net.parameters())} parameters, {len(held_out)} held out", flush=True)
    stages = len(config.units)
    forward = torch.compile(run.net.nats) if args.compile else run.net.nats

    def make(seed: int) -> Callable[[], tuple[Tensor, Tensor, Tensor, Tensor]]:
        rng = np.random.default_rng(seed)
        pictures = SmallPictures(images, [], 0.0, seed) if args.cifar else None

        def draw() -> tuple[Tensor, Tensor, Tensor, Tensor]:
            """Tokens (N, ...), which of them are known, the stage (N,), and how many are not known (N,)."""
            if pictures is None:
                starts = rng.integers(len(train) - args.window + 1, size=args.batch)
                x = torch.from_numpy(np.stack([train[s : s + args.window] for s in starts])[:, None]).long()
            else:
                x = pictures(args.batch).long()
            D = x[0].numel()
            u = (rng.permutation(len(x)) + rng.random()) / len(x)  # stratified, as in `train_oa.py`
            counts = np.floor(u * D).astype(int)
            stage = torch.from_numpy(rng.integers(stages, size=len(x)))
            return x, draw_known(x, counts, rng), stage, torch.from_numpy(D - counts)

        return draw

    drawn = batches(make, args, run.seed)

    def loss() -> Tensor:
        x, known, stage, unknown = next(drawn)
        with low_precision(args.device):
            nats = forward(x, known, stage)
        return stages * (nats.flatten(1).sum(1) / unknown).mean() / LN2

    def lines(ema: nn.Module) -> dict[str, list[str]]:
        bits = profile(ema, held_out, args.device)
        export(args.run, ema, config, bits)
        return {"log": [f"{(bits[1:] + bits[:-1]).mean() / 2:.4f}"], "profile": [f"{b:.4f}" for b in bits]}

    run.loop(loss, lines, {"log": ["val_bits"], "profile": [f"{s:.3f}" for s in np.linspace(0, 1, SHARES)]})


def export(folder, net: nn.Module, config: TokenConfig, bits: np.ndarray) -> None:
    """The model as a path that the codec takes."""
    weights = save({k: v.half().cpu().contiguous() for k, v in net.state_dict().items()})
    described = {
        "architecture": "tokens-1",
        **config.as_dict(),
        "profile": [int(v) for v in np.rint(bits * 1024)],
    }
    described = json.loads(json.dumps(described))
    card = {
        "name": folder.name,
        "codec": "ardm",
        "numerics": "pinned",
        "config": described,
        "fingerprint": fingerprint_of(weights, described).hex(),
        "bytes": len(weights),
    }
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "model.json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
