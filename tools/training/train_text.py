"""Train `icons-text`, a denoiser that may be told in words what a picture shows (Imagen), from `photo-vdm`.

    python -m tools.training.train_text ICONS.zip RUN_DIR --init VDM.safetensors --minutes 60 [--width 64] [--layers 1]
    python -m tools.training.train_text ICONS.zip RUN_DIR --sketch-minutes 1 --minutes 0 [--width 64] [--layers 1]

First what reads texts is fitted alone, for the minutes of --sketch-minutes: to say of a name the picture in small that
has least squared error. It prints what share of the variance of held-out pictures in small that explains, and the bits
that it is worth to a code of independent normals, the principal components (the second form ends there: sizes of
readers are compared by it). Then the whole network is trained: v-prediction, log-SNR as by `train_vdm`; a share of
the texts is left out, for guidance. RUN_DIR/log.csv holds the bits of held-out icons from the lowest log-SNR to UPTO in
bytes a picture, by what is told: the name, nothing, another icon's name; of drawings whose name is known in the other
style, and of names never seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffcodec.models.captions.net import CaptionConfig, CaptionedUNet
from diffcodec.models.captions.words import numbers_of
from tools.training.frame import Training, arguments, batches, low_precision
from tools.training.icons_data import HELD, STYLES, Draws, Icon, icons
from tools.training.train_vdm import diffuse

UPTO = 4.0  #: log-SNR where some 0.5 bit a pixel have been sent
LEVELS = np.arange(-8, UPTO + 0.1, 1.5)
MOST = 64  #: pictures of each kind that are looked at in training
COMPONENTS = 64  #: that sketches are judged by
RIDGE = 100.0  #: of the fit from style to style


class Validation:
    """Bytes a picture up to UPTO (VDM eq. 17), of both kinds of held-out icons, by what is told."""

    def __init__(self, held: dict[str, list[Icon]], buckets: int, device: str):
        self.device, self.columns, self.cases = device, list[str](), list[tuple[Tensor, Tensor]]()
        for kind in ("drawings", "names"):
            every = held[kind][:MOST]
            x = _pictures([icon.picture for icon in every])
            names = [icon.name for icon in every]
            told = {"right": names, "none": [""] * len(names), "wrong": [*names[7:], *names[:7]]}
            for what, texts in told.items():
                self.columns.append(f"{kind} {what}")
                self.cases.append((x, _numbers(texts, buckets)))

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> dict[str, list[str]]:
        return {"log": [f"{self._bytes(net, x, numbers):.2f}" for x, numbers in self.cases]}

    def _bytes(self, net: nn.Module, x: Tensor, numbers: Tensor) -> float:
        generator, errors = torch.Generator().manual_seed(1), []
        for level in LEVELS:
            t = torch.full((len(x),), float(level))
            eps = torch.randn(x.shape, generator=generator)
            z, v = diffuse(x, t, eps)
            with low_precision(self.device):
                found = net(z.to(self.device), t.to(self.device), numbers.to(self.device)).float().cpu()
            errors.append(float((v - found).square().flatten(1).sum(1).mean()) / (1 + math.exp(level)))
        bits = np.trapezoid(np.array(errors) * np.exp(LEVELS), LEVELS) / 2 / math.log(2)
        return float(bits) / 8


def _pictures(every: list[np.ndarray]) -> Tensor:
    """x float32 (N, 3, 64, 64)."""
    return torch.from_numpy(np.stack(every)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _numbers(texts: Sequence[str], buckets: int) -> Tensor:
    """int64 (N, WORDS, PARTS)."""
    return torch.from_numpy(np.stack([numbers_of(one, buckets) for one in texts]))


class Sketches:
    """What a reader says of names, in small: fitted by least squares, and judged."""

    def __init__(self, net: CaptionedUNet, every: dict[str, list[Icon]], buckets: int):
        self.net, self.every, self.buckets = net, every, buckets
        small = self._small(every["train"]).flatten(1)
        self.mean = small.mean(0)
        self.axes = torch.linalg.svd(small - self.mean, full_matrices=False)[2][:COMPONENTS]

    def _small(self, icons: Sequence[Icon]) -> Tensor:
        """float32 (N, 3, side, side)."""
        return F.adaptive_avg_pool2d(_pictures([icon.picture for icon in icons]), self.net.side)

    def fit(self, minutes: float, draws: Draws, hidden: float) -> None:
        """By AdamW on batches of 256 for so long of processor time; a share of the parts of words is ``hidden``."""
        net = self.net
        parameters = [*net.reader.parameters(), *net.sketch.parameters()]
        opt = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-3)
        with torch.no_grad():
            net.sketch.weight.zero_()
            net.sketch.bias.copy_(self.mean)
        small = self._small(draws.every)
        rng, start = np.random.default_rng(0), time.process_time()
        while (done := (time.process_time() - start) / 60 / minutes) < 1:
            these = rng.choice(len(small), min(256, len(small)), replace=False)
            numbers = _hidden(_numbers([draws.told(draws.every[n]) for n in these], self.buckets), hidden)
            for group in opt.param_groups:
                group["lr"] = 3e-3 * (1 + math.cos(math.pi * done)) / 2
            opt.zero_grad()
            (net.sketch_of(net.reader(numbers)) - small[these]).square().mean().backward()
            opt.step()

    @torch.no_grad()
    def judge(self) -> None:
        """Print it, of names alone and with their style."""
        for kind in ("drawings", "names"):
            icons = self.every[kind]
            off = self._small(icons).flatten(1) - self.mean
            for told in ([icon.name for icon in icons], [f"{icon.name}, {STYLES[icon.style]}" for icon in icons]):
                said = self.net.sketch_of(self.net.reader(_numbers(told, self.buckets))).flatten(1) - self.mean
                share = 1 - (off - said).square().sum() / off.square().sum()
                before, after = ((one @ self.axes.T).square().mean(0) for one in (off, off - said))
                print(f"{kind}, '{told[0]}': {share:.3f} explained, {(before / after).log2().sum() / 2:.2f} bits")


    def judge_pairs(self) -> None:
        """Print what a drawing's counterpart in the other style tells of it, by least squares: more than a name can."""
        pairs: dict[str, dict[str, Icon]] = {}
        for icon in self.every["train"]:
            pairs.setdefault(icon.name, {})[icon.style] = icon
        other = next(style for style in STYLES if style != HELD)
        both = [pair for pair in pairs.values() if len(pair) == len(STYLES)]
        seen, wanted = (self._small([pair[style] for pair in both]).flatten(1) for style in (other, HELD))
        there = self._small([pairs[icon.name][other] for icon in self.every["drawings"]]).flatten(1)
        truth = self._small(self.every["drawings"]).flatten(1)
        axes = torch.linalg.svd(seen - seen.mean(0), full_matrices=False)[2][:COMPONENTS]
        x, y = (seen - seen.mean(0)) @ axes.T, wanted - wanted.mean(0)
        fit = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(len(axes)), x.T @ y)
        off = truth - wanted.mean(0)
        left = off - (there - seen.mean(0)) @ axes.T @ fit
        before, after = ((one @ self.axes.T).square().mean(0) for one in (off, left))
        share = 1 - left.square().sum() / off.square().sum()
        print(f"drawings, by the other style's: {share:.3f} explained, {(before / after).log2().sum() / 2:.2f} bits")


def _hidden(numbers: Tensor, share: float) -> Tensor:
    """Of a text's numbers some are left out."""
    return numbers * (torch.rand(numbers.shape) >= share)


def main() -> None:
    ap = arguments(__doc__, lr=1e-3, batch=32, ema=0.998)
    ap.add_argument("--channels", type=int, nargs="+", default=[64, 96, 128, 160])
    ap.add_argument("--blocks", type=int, nargs="+", default=[2, 2, 2, 1])
    ap.add_argument("--buckets", type=int, default=4096, help="of parts of words")
    ap.add_argument("--width", type=int, default=64, help="of a word")
    ap.add_argument("--layers", type=int, default=1, help="in which words look at each other")
    ap.add_argument("--sketch-minutes", type=float, default=2, help="of fitting what reads texts alone")
    ap.add_argument("--hidden", type=float, default=0.3, help="share of the parts of words that are left out")
    ap.add_argument("--silent", type=float, default=0.2, help="share of pictures that are told nothing")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    shape = (tuple(args.channels), tuple(args.blocks))
    config = CaptionConfig(*shape, attention=True, buckets=args.buckets, width=args.width, layers=args.layers)
    net, every = CaptionedUNet(config), icons(args.data)
    if args.sketch_minutes and not args.resume:
        sketches = Sketches(net, every, config.buckets)
        sketches.fit(args.sketch_minutes, Draws(every["train"], args.seed, 0.0), args.hidden)
        sketches.judge()
        sketches.judge_pairs()
    if not args.minutes:
        return
    # What reads texts knows its few thousand pictures by heart sooner than the rest learns anything.
    run = Training(args, net, config.as_dict(), pace=lambda name: 0.1 if name.startswith(("reader.", "sketch.")) else 1)
    held_out = Validation(every, config.buckets, args.device)
    forward = torch.compile(run.net, dynamic=False) if args.compile else run.net
    if run.rank == 0:
        print(f"{sum(p.numel() for p in net.parameters())} parameters, {len(every['train'])} icons", flush=True)
    knots, mass = np.array([-8.0, -5.0, 5.0, config.logsnr_max]), np.array([0.1, 0.7, 0.2])
    cdf = np.concatenate([[0.0], np.cumsum(mass)])  # of the density of log-SNR draws, constant between the knots

    def make(seed: int) -> Callable[[], tuple[Tensor, Tensor, Tensor]]:
        draws, rng = Draws(every["train"], seed, args.silent), np.random.default_rng(seed)

        def draw() -> tuple[Tensor, Tensor, Tensor]:
            """x float32 (N, 3, 64, 64), log-SNRs (N,), numbers of the texts."""
            pictures, texts = zip(*draws(args.batch), strict=True)
            u = rng.permutation((np.arange(args.batch) + rng.random()) / args.batch)
            t = torch.from_numpy(np.interp(u, cdf, knots)).float()
            return _pictures(list(pictures)), t, _hidden(_numbers(texts, config.buckets), args.hidden)

        return draw

    drawn = batches(make, args, run.seed)

    def loss() -> Tensor:
        x, t, numbers = next(drawn)
        z, v = diffuse(x.to(memory_format=torch.channels_last), t, torch.randn_like(x))
        with low_precision(args.device):
            return (forward(z, t, numbers).float() - v).square().mean()

    run.loop(loss, held_out, {"log": held_out.columns})


if __name__ == "__main__":
    main()
