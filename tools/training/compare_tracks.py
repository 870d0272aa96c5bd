"""What the parts of the network of tracks are worth: attention, the predictive objective, by how much data there is.

    python -m tools.training.compare_tracks FOOTBALL.npz OUT.csv [--steps 1000]

Every network has the same steps, batches and schedule, and about as many parameters; what is compared are bits a
coordinate of the plays for validation, by the float networks, without those that come.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch

from diffcodec.models.tracks import prediction
from diffcodec.models.tracks.net import TracksConfig, TracksNet
from tools.training.tracks_data import Seen, copy_of, joined, plays, seen
from tools.training.train_tracks import asked, validate

#: (attention, weight of the predictive objective, every so manieth play)
RUNS = ((True, 0.1, 1), (False, 0.1, 1), (True, 0.0, 1), (True, 0.1, 10), (True, 0.0, 10), (False, 0.1, 10))
BATCH, RATE = 64, 3e-3
ALONE = TracksConfig(146, 0)  #: as many parameters as the default with attention


def trained(data: Seen, config: TracksConfig, ahead: float, steps: int) -> TracksNet:
    """After so many steps, the learning rate falling as a cosine."""
    torch.manual_seed(0)
    net = TracksNet(config)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 100) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)
        some = data[torch.randint(len(data), (BATCH,))]
        found, error = asked(net, some)
        optimiser.zero_grad()
        (found[some.there].mean() + ahead * error).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
    return net


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("tracks", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--steps", type=int, default=1000)
    args = ap.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    learned = [copy_of(*play, rng, other=False) for play in plays(args.tracks, "train")]
    held = joined([seen(*play, prediction.KNOWN[2]) for play in plays(args.tracks, "val")])
    rows = ["attention,predictive,plays,parameters,steps,val_bits"]
    for attention, ahead, part in RUNS:
        start, config = time.process_time(), TracksConfig() if attention else ALONE
        net = trained(joined(learned[::part]), config, ahead, args.steps)
        count = sum(p.numel() for name, p in net.named_parameters() if not name.startswith("ahead"))
        told = (int(attention), ahead, len(learned[::part]), count, args.steps, f"{validate(net, held):.4f}")
        rows.append(",".join(map(str, told)))
        args.out.write_text("\n".join(rows) + "\n")
        print(rows[-1], f"{time.process_time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
