"""Train `clip-vdm`, a denoiser of all frames of a stretch of a clip (arXiv 2204.03458), from `photo-vdm`.

    python -m tools.training.train_clip_vdm CLIPS.zip RUN_DIR --init PHOTO_VDM.safetensors --photographs PHOTOS.npz
        --minutes 50 [--clips-only] [--pace 0.2]

CLIPS.zip is described in `clip_data.py`, PHOTOS.npz as of `train_vdm`. Clips and photographs, as clips of one frame,
are learned jointly (§3 there). v-prediction; in a share of the clips some frames are known, as they are, or as a stream
shows them: they have a log-SNR of their own, of what they err by. RUN_DIR/log.csv holds bits a pixel of held-out clips
from the lowest log-SNR to UPTO: frame by frame, all frames together, and of frames that have a known one in front;
RUN_DIR/psnr.csv the denoising PSNR by log-SNR, frame by frame and together.
"""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from diffcodec.models.clips.net import ClipConfig, ClipUNet
from tools.training.clip_data import load_clips
from tools.training.frame import Training, arguments, batches, low_precision
from tools.training.photo_data import Crops, load_tiles
from tools.training.stretches import Stretches, known
from tools.training.train_vdm import diffuse, stacked

UPTO = 4.0  #: log-SNR where some 0.5 bit a pixel have been sent of a picture, and far less of a clip
LEVELS = np.arange(-6, UPTO + 0.1, 2)
FRAMES = 8
SIDE = 64  #: of the middles of held-out clips that are looked at in training
KNOTS, MASS = (-8.0, -4.0, 6.0), (0.12, 0.76, 0.12)  #: where draws of log-SNRs fall, up to the network's greatest
#: log-SNRs of the streams that known frames are decoded of
CODED = (-1.0, 6.0)
#: pictures uint8 (N, 3, H, W), log-SNRs (N,), whether they are to be learned (N,), frames of a clip (), and log-SNRs of
#: streams that they are shown as decoded of (N,), infinite where they are shown as they are
Told = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class Validation:
    """Bits a pixel up to UPTO (VDM eq. 17) of FRAMES frames of each held-out clip."""

    def __init__(self, segments: list[np.ndarray], device: str):
        self.device = device
        middles = []
        for one in segments[::2]:
            t, y, x = ((n - side) // 2 for n, side in zip(one.shape, (FRAMES, SIDE, SIDE), strict=False))
            middles.append(one[t : t + FRAMES, y : y + SIDE, x : x + SIDE])
        self.x = torch.from_numpy(np.stack(middles)).permute(0, 1, 4, 2, 3).float() / 127.5 - 1

    columns = ("alone", "together", "given one")

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> dict[str, list[str]]:
        """Lines of the logs."""
        errors = [self._errors(net, frames, first) for frames, first in ((1, 0), (FRAMES, 0), (FRAMES, 1))]
        bits = [np.trapezoid(np.array(mse) * np.exp(LEVELS), LEVELS) * 3 / 2 / math.log(2) for mse in errors]
        psnr = [f"{10 * math.log10(4 / e):.3f}" for mse in errors[:2] for e in mse]
        return {"log": [f"{one:.4f}" for one in bits], "psnr": psnr}

    def _errors(self, net: nn.Module, frames: int, first: int) -> list[float]:
        """Mean squared error of x_hat by level, of all frames but the ``first`` ones, which are known."""
        generator, errors = torch.Generator().manual_seed(1), []
        for level in LEVELS:
            total = 0.0
            for x in self.x:
                t = torch.full((FRAMES,), float(level))
                t[:first] = 13.5
                eps = torch.randn(x.shape, generator=generator)
                z, _ = diffuse(x, t, eps)
                with low_precision(self.device):
                    found = net(z.to(self.device), t.to(self.device), frames).float().cpu()
                total += float((x - found)[first:].square().mean())
            errors.append(total / len(self.x))
        return errors


class Draws:
    """Batches of stretches of clips, and for a share of ``tiles``, if there are any, of photographs."""

    def __init__(self, segments: list[np.ndarray], tiles: list[np.ndarray], args: Namespace, most: float, seed: int):
        sides = (args.crop, args.large)
        self.rng, self.args, self.most = np.random.default_rng(seed), args, most
        self.share = args.share if tiles else 0.0
        self.stretches = {side: Stretches(segments, FRAMES, side, seed + side) for side in sides}
        self.crops = {side: Crops(tiles, side, seed + side) for side in sides} if tiles else {}

    def __call__(self) -> Told:
        wide = self.rng.random() < self.args.wide
        side, count = (self.args.large, max(1, self.args.batch // 2)) if wide else (self.args.crop, self.args.batch)
        if self.rng.random() < self.share:
            N = count * FRAMES
            none = torch.full((N,), torch.inf)
            return stacked(self.crops[side](N)), self._logsnrs(N), torch.ones(N), torch.tensor(1), none
        x = torch.from_numpy(np.concatenate([self.stretches[side]() for _ in range(count)])).permute(0, 3, 1, 2)
        t, learned = self._logsnrs(count)[:, None].repeat(1, FRAMES), torch.ones(count, FRAMES)
        coded = torch.full((count, FRAMES), torch.inf)
        for k in range(count):
            if self.rng.random() < self.args.known:
                there = torch.from_numpy(known(FRAMES, self.rng))
                t[k, there], learned[k, there] = self.most, 0
                coded[k, there] = torch.inf if self.rng.random() < 0.5 else self.rng.uniform(*CODED)
        return x, t.flatten(), learned.flatten(), torch.tensor(FRAMES), coded.flatten()

    def _logsnrs(self, count: int) -> Tensor:
        """One stratified draw, of a density that is constant between KNOTS."""
        u = self.rng.permutation((np.arange(count) + self.rng.random()) / count)
        return torch.from_numpy(np.interp(u, np.concatenate([[0.0], np.cumsum(MASS)]), [*KNOTS, self.most])).float()


@torch.no_grad()
def decoded(net: nn.Module, x: Tensor, logsnr: Tensor, most: float, device: str) -> tuple[Tensor, Tensor]:
    """Frames x (N, 3, H, W) as streams that end at ``logsnr`` (N,) show them, and the log-SNRs (N,) that is worth.

    The latter is -ln of the mean squared error, ``most`` at most.
    """
    z, _ = diffuse(x, logsnr, torch.randn_like(x))
    with low_precision(device):
        shown = net(z, logsnr, 1).float().clamp(-1, 1)
    return shown, -(shown - x).square().mean((1, 2, 3)).log().clamp_min(-most)


def main() -> None:
    ap = arguments(__doc__, lr=1.5e-3, batch=2, ema=0.998)
    ap.add_argument("--photographs", type=Path, help="tiles packed by prepare_photos.py")
    ap.add_argument("--share", type=float, default=0.3, help="of steps on photographs")
    ap.add_argument("--clips-only", action="store_true", help="no photographs")
    ap.add_argument("--known", type=float, default=0.3, help="share of clips of which some frames are known")
    ap.add_argument("--pace", type=float, default=0.2, help="learning rate of what photo-vdm has; 0: it stays")
    ap.add_argument("--crop", type=int, default=48)
    ap.add_argument("--large", type=int, default=64, help="side of a part of the crops, half as many at once")
    ap.add_argument("--wide", type=float, default=0.4, help="share of these")
    shape = ClipConfig()
    ap.add_argument("--channels", type=int, nargs="+", default=shape.channels)
    ap.add_argument("--blocks", type=int, nargs="+", default=shape.blocks)
    ap.add_argument("--width", type=int, default=shape.width, help="of what frames tell each other")
    ap.add_argument("--down", type=int, nargs="+", default=shape.down, help="side of places around, of every level")
    ap.add_argument("--up", type=int, nargs="+", default=shape.up, help="as --down, on the way up")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    sides = {"down": tuple(args.down), "up": tuple(args.up)}
    config = ClipConfig(tuple(args.channels), tuple(args.blocks), width=args.width, **sides)
    net = ClipUNet(config)

    def pace(name: str) -> float:
        return 1.0 if name.startswith(("times.", "joining.")) else args.pace

    for name, parameter in net.named_parameters():
        parameter.requires_grad_(pace(name) > 0)
    run = Training(args, net, config.as_dict(), pace=pace)
    segments = {split: load_clips(args.data, split) for split in ("train", "val")}
    joint = args.photographs is not None and not args.clips_only
    tiles = load_tiles(args.photographs, "train") if joint else []
    held_out = Validation(segments["val"], args.device)
    forward = torch.compile(run.net, dynamic=False) if args.compile else run.net
    if run.rank == 0:
        size = sum(p.numel() for p in net.parameters())
        frames = sum(map(len, segments["train"]))
        print(f"{size} parameters, {frames} frames, {len(tiles)} tiles, {len(segments['val'])} held out", flush=True)
    drawn = batches(lambda seed: Draws(segments["train"], tiles, args, config.logsnr_max, seed), args, run.seed)

    def loss() -> Tensor:
        pixels, t, learned, frames, coded = next(drawn)
        x = pixels.to(memory_format=torch.channels_last) / 127.5 - 1
        z, _ = diffuse(x, t, torch.randn_like(x))
        some = coded.isfinite()
        if some.any():
            shown, t[some] = decoded(run.net, x[some], coded[some], config.logsnr_max, args.device)
            z[some] = torch.sigmoid(t[some]).sqrt()[:, None, None, None] * shown
        with low_precision(args.device):
            error = (forward(z, t, int(frames)).float() - x).square().mean((1, 2, 3))
        # of v, of which an error is that of x over sigma
        return (error * learned / torch.sigmoid(-t)).sum() / learned.sum()

    levels = [f"{kind} {level:g}" for kind in Validation.columns[:2] for level in LEVELS]
    run.loop(loss, held_out, {"log": list(Validation.columns), "psnr": levels})


if __name__ == "__main__":
    main()
