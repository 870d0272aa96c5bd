"""Train `clip-ardm`: the lattice ARDM of photographs, given the frame before of a clip as well.

    python -m tools.training.train_clip CLIPS.zip RUN_DIR --minutes 60 --core-minutes [--resume]

CLIPS.zip is described in `clip_data.py`. The network begins as `photo-ardm` (--init), whose means are moved by what it
would have got wrong in the frame before: as good for a frame without a past, and near what a frame with one needs.

Weights and activations are quantised to int8 (straight-through) for the last ``--qat`` share of the time.
RUN_DIR/log.csv holds validation bits a sample: of RGB without a past, with the frame before as it is, with its motion;
of luma alone and of luma with chroma, with motion. `frame.py` says how a run goes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from diffcodec.models.lattice.geometry import GREY, RGB, YUV
from diffcodec.models.lattice.net import MEAN_UNIT, PIXEL_UNIT, LatticeConfig, LatticeNet, QuantConv
from tools.training.clip_data import Frames, Moved, as_kind, load_clips, told
from tools.training.frame import Training, arguments, batches, low_precision
from tools.training.train_ardm import LN2, widened

CROP = (48, 64)  #: rows and columns: the lowest clip has 54
LEVELS = 4  #: that a crop has
PAST = 2  #: pictures that are given: the frame before, displaced, and as it is
SHARES = (1.0, 0.0, 0.9, 0.7, 0.4)  #: of what was wrong in the frame before, by which a component's means begin moved
COUPLINGS = (0.95, 0.68, 0.22)  #: of photographs, in the mean: of R to G, of B to G, of B to R
Batch = tuple[Tensor, Tensor, Tensor]


def clip_bits(net: LatticeNet, x: Tensor, past: Tensor, codes: Tensor) -> Tensor:
    """Bits of the levels of ``x`` (N, 3, H, W), given ``past`` (N, 3 PAST, H, W), codes (N, levels, 5)."""
    total = torch.zeros((), device=x.device)
    for level in range(codes.shape[1]):
        step, told = 2**level, codes[:, level]
        total = total + net.nats(x[..., ::step, ::step], level, told, past[..., ::step, ::step], told[:, 4] == GREY)
    return total / LN2


def samples(x: Tensor, codes: Tensor) -> float:
    """How many ``clip_bits`` are of; the coarsest grid's count too."""
    grey = float((codes[:, 0, 4] == GREY).float().mean())
    return x.numel() * (1 - grey * 2 / 3)


def tensors(pixels: np.ndarray, codes: np.ndarray) -> Batch:
    """x (N, 3, H, W), past (N, 3 PAST, H, W) uint8 of pictures (N, 1 + PAST, H, W, 3); codes."""
    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 1, 4, 2, 3)))
    return planes[:, 0], planes[:, 1:].flatten(1, 2), torch.from_numpy(codes)


def begun(start: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights ``start`` of a network of pictures in the shapes of ``own``, one that is given a past."""
    out = {name: value.float() for name, value in start.items()}
    for phase in range(3):
        name, head = f"phases.{phase}.first", f"phases.{phase}.head"
        if len(start[name][0]) == len(own[name][0]):
            continue
        K, known = len(start[f"{head}.bias"]) // 10, phase + 1
        for means in (out[f"{head}.weight"][K : 4 * K], out[f"{head}.bias"][K : 4 * K], out[name][-3 * K :]):
            _from_base(means.unflatten(0, (3, K)))
        old = out[name].unflatten(1, (known, 3))
        old = old - old.mean((1, 3, 4), keepdim=True)  # as `PhaseNet.zero_sum_first`, of the known planes alone
        new = torch.zeros(len(old), own[name].shape[1] // 3, 3, *old.shape[3:])
        new[:, :known] = old
        for k in range(K):
            for row, colour in enumerate((1, 0, 2)):
                skip = len(old) - 3 * K + row * K + k
                new[skip, known : known + 4] = SHARES[k % len(SHARES)] * _wrong_before(old[skip], phase, colour)
        out[name] = new.flatten(1, 2)
    return widened(out, own)


def _from_base(means: Tensor) -> None:
    """Make rows (3, K, ...) of means of G, R, B whose couplings go from ``base`` such that go from the means' own."""
    a, b, c = COUPLINGS
    means[1] += a * means[0]
    means[2] += b * means[0] + c * means[1]


def _wrong_before(skip: Tensor, phase: int, colour: int) -> Tensor:
    """(4, 3, 6, 6): by how much the first past picture differs where the target is from what ``skip`` makes of it."""
    level = PIXEL_UNIT / MEAN_UNIT  # a weight that stands for a level as it is
    out = torch.zeros(4, *skip.shape[1:])
    out[: len(skip)] -= skip
    out[phase + 1, colour, 2, 2] += level
    #: taps of the four neighbours of `phase_base`: coset, row, column
    about = ((0, 2, 2), (0, 2, 3), (0, 3, 2), (0, 3, 3)), ((0, 2, 2), (0, 2, 3), (1, 2, 2), (1, 3, 2))
    for coset, y, x in (*about, ((0, 2, 2), (0, 3, 2), (1, 2, 2), (1, 2, 3)))[phase]:
        out[coset, colour, y, x] -= level / 4
    return out


def validation_sets(path: Path) -> dict[str, list[Batch]]:
    """By what is coded: the middle of two frames of every held-out segment."""
    sets: dict[str, list[Batch]] = {"none": [], "still": [], "motion": [], "grey": [], "yuv": []}
    for frames in load_clips(path, "val"):
        times = (len(frames) // 3, 2 * len(frames) // 3)
        moved = Moved.of(frames, times)
        for t in times:
            now, past = frames[t : t + 1], moved.past(t, 1)
            still = past[[1, 1]]
            cases = {"none": (still, RGB), "still": (still, RGB), "motion": (past, RGB)}
            cases |= {"grey": (past, GREY), "yuv": (past, YUV)}
            for name, (before, kind) in cases.items():
                pictures = as_kind(np.concatenate([now, before]), kind)
                codes = told(pictures, kind, LEVELS, name != "none")
                y, x = (n % 16 // 2 for n in pictures.shape[1:3])
                part = pictures[:, y : y + pictures.shape[1] // 16 * 16, x : x + pictures.shape[2] // 16 * 16]
                sets[name].append(tensors(part[None], codes[None]))
    return sets


@torch.no_grad()
def validate(net: LatticeNet, sets: dict[str, list[Batch]], device: str) -> list[str]:
    """Bits a sample, by set."""
    out = []
    for items in sets.values():
        bits = count = 0.0
        for item in items:
            x, past, codes = (part.to(device) for part in item)
            with low_precision(device):
                bits += float(clip_bits(net, x, past, codes))
            count += samples(x, codes)
        out.append(f"{bits / count:.4f}")
    return out


def main() -> None:
    ap = arguments(__doc__, batch=10, lr=1.5e-3)
    ap.add_argument("--qat", type=float, default=0.2, help="last share of the schedule with int8 in the loop")
    ap.add_argument("--channels", type=int, default=96)
    ap.set_defaults(init=Path(__file__).parent / "weights/photo-ardm-float16.safetensors")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    config = LatticeConfig(args.channels, past=PAST)
    net = LatticeNet(config)
    run = Training(args, net, config.as_dict(), betas=(0.9, 0.98), fit=begun)
    ema: LatticeNet = run.ema  # type: ignore[assignment]
    quantised = run.state.setdefault("quantised", False)
    net.set_quantised(quantised)
    ema.set_quantised(quantised)
    segments = [Moved.of(frames) for frames in load_clips(args.data, "train")]
    sets = validation_sets(args.data)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, step {run.step}", flush=True)

    def make(seed: int) -> Callable[[], Batch]:
        frames = Frames(segments, CROP, LEVELS, seed)
        return lambda: tensors(*frames(args.batch))

    drawn = batches(make, args, run.seed)
    forward = torch.compile(clip_bits, dynamic=False) if args.compile else clip_bits

    def begin_quantised() -> None:
        if not run.state["quantised"] and run.progress >= 1 - args.qat:
            run.state["quantised"] = True
            net.load_state_dict(ema.state_dict())
            convs = [m for m in net.modules() if isinstance(m, QuantConv)]
            for m in convs:
                m.observe = []
            with torch.no_grad(), low_precision(args.device):
                for _ in range(12):
                    clip_bits(net, *next(drawn))
            for m in convs:
                m.calibrate(0.9999)
            ema.load_state_dict(net.state_dict())
            run.same_weights()
            net.set_quantised(True)
            ema.set_quantised(True)

    def loss() -> Tensor:
        x, past, codes = next(drawn)
        with low_precision(args.device):
            return forward(net, x, past, codes) / samples(x, codes)

    def lines(ema: nn.Module) -> dict[str, list[str]]:
        scores = validate(ema, sets, args.device)  # type: ignore[arg-type]
        return {"log": [str(int(run.state["quantised"])), *scores]}

    run.loop(loss, lines, {"log": ["quantised", *sets]}, prepare=begin_quantised)


if __name__ == "__main__":
    main()
