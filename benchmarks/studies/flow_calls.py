"""The `flow` in few network calls beside that in 17, on what DiffC delivers: PSNR, SWD, LPIPS.

    python -m benchmarks.studies.flow_calls PICTURES [--decoder NAME_OR_PATH ...] [--crop 256] [--first N] [--save]

The middle of each picture is coded once, to the highest of --bpp, and shown at each of them, by every decoder of the
same bits: "teacher" is the stream's model in 17 calls, "own" the same in its few, others are what `decode(decoder=)`
takes; `mean` stands beside them. Means over the pictures, and how far each is off the teacher's. LPIPS is
LPIPS-squeeze, nan without its weights (`diffcodec.bench.squeeze`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import accumulate, islice
from pathlib import Path

import numpy as np

from benchmarks.common import arguments, centre, pictures, printed
from diffcodec.bench.metrics import measure
from diffcodec.codecs.codec import Head, Room
from diffcodec.codecs.diffc import codec as diffc
from diffcodec.codecs.diffc.cost import RECONSTRUCTION_CALLS
from diffcodec.codecs.reconstruction import MEAN, Decoder, Reconstruction
from diffcodec.models import registry
from diffcodec.models.protocols import Shortened

TEACHER = "teacher"
FRAME = 7  #: bytes of a pass in a stream beside its payload
NAMES = ("psnr", "swd", "lpips_squeeze")
Scores = dict[tuple[float, str], list[dict[str, float]]]  #: by bits per pixel and decoder, of each picture


def shown(picture: np.ndarray, rates: list[float], ways: dict[str, Reconstruction], scores: Scores) -> None:
    """Adds what every way makes of a picture, uint8 (H, W, 3), at each of the rates."""
    (H, W, _), model = picture.shape, registry.load(codec="diffc")
    room = Room(lambda n: n + FRAME, int(max(rates) * H * W / 8))
    params, payloads = diffc.encode(picture, picture[..., :0], model, room, seed=0)
    receiver = diffc.Receiver(Head("diffc", H, W, 3, 0, params), model)
    ends, spent = list(accumulate(len(payload) + FRAME for payload in payloads)), 0
    for rate in sorted(rates):
        reached = sum(8 * end <= rate * H * W for end in ends)
        receiver.take_all(payloads[spent:reached])
        spent = max(spent, reached)
        for name, way in ways.items():
            scores[rate, name].append(measure(receiver.show(way)[0], picture))


def decoder(name: str) -> Decoder:
    """Another model, in its few calls where it has them."""
    model = registry.load(name, codec="diffc")
    own = model.shortcut if isinstance(model, Shortened) else None
    return Decoder(model, own.calls if own else RECONSTRUCTION_CALLS["flow"])


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("pictures", type=Path)
    ap.add_argument("--decoder", nargs="*", default=[])
    ap.add_argument("--bpp", type=float, nargs="+", default=[0.1, 0.25, 0.5])
    ap.add_argument("--crop", type=int, default=256)
    ap.add_argument("--first", type=int)
    args = ap.parse_args()
    real = Reconstruction.of("flow")
    ways = {TEACHER: real.by(Decoder(None, RECONSTRUCTION_CALLS["flow"])), "own": real, "mean": MEAN}
    ways |= {Path(name).stem: real.by(decoder(name)) for name in args.decoder}
    scores: Scores = defaultdict(list)
    for _, image in islice(pictures(args.pictures), args.first):
        shown(np.ascontiguousarray(centre(np.asarray(image), args.crop)), args.bpp, ways, scores)
    with printed(args.save):
        print("  bpp  decoder                PSNR           SWD          LPIPS")
        for (rate, name), rows in sorted(scores.items(), key=lambda item: (item[0][0], [*ways].index(item[0][1]))):
            found, wanted = (
                [float(np.mean([row[key] for row in some])) for key in NAMES] for some in (rows, scores[rate, TEACHER])
            )
            off = [
                f"{100 * (a / b - 1):+4.0f} %" if not math.isnan(b) else "" for a, b in zip(found, wanted, strict=True)
            ]
            print(
                f"{rate:5.2f}  {name:18} {found[0]:6.2f} {found[0] - wanted[0]:+5.2f} dB {found[1]:6.1f} {off[1]}"
                f" {found[2]:7.4f} {off[2]}"
            )


if __name__ == "__main__":
    main()
