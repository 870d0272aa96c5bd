"""What integers cost a VDM: bits and seconds of `photo-vdm-exact` against the float network it was made of.

    python -m benchmarks.cost.exact_vdm PHOTOS.npz [--count 24] [--steps 25] [--save]

Bound (suites/archive.py) of one schedule and the same noise on 64×64 crops of the validation tiles; processor time of a
network call on two pictures of that size, one thread, the networks in turn.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path

import torch

from benchmarks.common import arguments, crops, save
from benchmarks.suites.archive import bound
from diffcodec.codecs.vdm.schedule import measure
from diffcodec.models import registry


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("photos", type=Path)
    ap.add_argument("--count", type=int, default=24)
    ap.add_argument("--steps", type=int, default=25)
    args = ap.parse_args()
    torch.set_num_threads(1)
    images = crops(args.photos)
    images = images[:: max(1, len(images) // args.count)][: args.count]
    plain, exact = registry.load("photo-vdm", codec="vdm"), registry.load("photo-vdm-exact", codec="vdm")
    models = {"photo-vdm, float32": plain}
    if plain.half:  # where the processor has it
        models["photo-vdm, bfloat16"] = copy.copy(plain)
        plain.half = False
    models["photo-vdm-exact, integers"] = exact
    schedule = measure(images[:8], plain, args.steps)
    z = torch.randn(2, 3, 64, 64)
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(15):
        for name, model in models.items():
            start = time.process_time()
            model.predict(z, torch.tensor(2.0))
            times[name].append(time.process_time() - start)
    rows, reference = [], 0.0
    for name, model in models.items():
        bits = bound(images, model, schedule)[0]
        reference = reference or bits
        rows.append(
            {
                "network": name,
                "pictures": len(images),
                "T": args.steps,
                "bound": f"{bits:.4f}",
                "against_float32": f"{100 * (bits / reference - 1):+.2f} %",
                "ms_per_call": f"{1000 * min(times[name]):.1f}",
            }
        )
        print(rows[-1], flush=True)
    save(args.save, rows)


if __name__ == "__main__":
    main()
