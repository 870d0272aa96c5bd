"""Train the network of tracks, `tracks-ardm`.

    python -m tools.training.train_tracks FOOTBALL.npz RUN_DIR --minutes 24 --core-minutes [--others 0] [--ahead 0]

The loss is bits a coordinate, and ``--ahead`` times the error of the agents' own next displacements, the predictive
objective of arXiv 2104.09402. Plays of the split "train" alone are learned from, each mirrored and turned, and some
of its copies are of another rate and grid; RUN_DIR/log.csv holds bits a coordinate of those for validation, which
nothing is chosen by.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffcodec.models.tracks import prediction
from diffcodec.models.tracks.net import TracksConfig, TracksNet, bits
from diffcodec.models.tracks.past import UNIT
from tools.training.frame import Training, arguments, batches
from tools.training.tracks_data import Seen, copy_of, joined, plays, seen


def asked(net: nn.Module, some: Seen) -> tuple[Tensor, Tensor]:
    """(bits of every agent's coordinates (N, A), error of the displacements ahead)."""
    found, ahead = net(some.features.float() / UNIT, some.relative(), some.there)
    known = ~some.ahead.isnan()
    error = F.smooth_l1_loss(ahead[known], some.ahead[known])
    return bits(found, some.residual, some.sigma), error


@torch.no_grad()
def validate(net: nn.Module, held: Seen) -> float:
    """Bits a coordinate."""
    total = number = 0.0
    for part in torch.arange(len(held)).split(128):
        some = held[part]
        total += float(asked(net, some)[0][some.there].sum())
        number += float(some.there.sum())
    return total / number


def main() -> None:
    ap = arguments(__doc__, lr=2e-3, batch=64, ema=0.998)
    ap.add_argument("--channels", type=int, default=128)
    ap.add_argument("--others", type=int, default=24, help="width of a pair of agents; 0: each alone")
    ap.add_argument("--ahead", type=float, default=0.1, help="weight of the predictive objective")
    ap.add_argument("--part", type=int, default=1, help="learn from every so manieth play")
    ap.add_argument("--copies", type=int, default=2, help="of a play as it is")
    ap.add_argument("--foreign", type=int, default=3, help="copies of another rate and grid")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    config = TracksConfig(args.channels, args.others)
    run = Training(args, TracksNet(config), config.as_dict())
    rng = np.random.default_rng(args.seed)
    learned = list(plays(args.data, "train"))[:: args.part]
    kinds = [False] * args.copies + [True] * args.foreign
    data = joined([copy_of(*play, rng, kind) for play in learned for kind in kinds])
    held = joined([seen(*play, prediction.KNOWN[2]) for play in plays(args.data, "val")])
    print(f"{sum(p.numel() for p in run.net.parameters())} parameters, {len(data)} frames", flush=True)

    def make(seed: int) -> Callable[[], Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return lambda: torch.randint(len(data), (args.batch,), generator=generator)

    drawn = batches(make, args, run.seed)

    def loss() -> Tensor:
        some = data[next(drawn)]
        found, error = asked(run.net, some)
        return found[some.there].mean() + args.ahead * error

    run.loop(loss, lambda ema: {"log": [f"{validate(ema, held):.4f}"]}, {"log": ["val_bits"]})


if __name__ == "__main__":
    main()
