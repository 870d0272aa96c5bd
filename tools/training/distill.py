"""Distil the `flow` of a VDM into a student of one call (after progressive distillation, arXiv 2202.00512).

    python -m tools.training.distill PHOTOS.npz RUN_DIR --teacher MODEL --init VDM.safetensors --minutes 60

The teacher makes a picture of z_t in its few calls (`models.shortcut`); the student, a network like the teacher's that
starts from its weights, predicts v once, and its x_hat is to be that picture: the last student of a chain of halvings.
z_t is drawn from q(z_t|x) at log-SNRs where streams end. The answers are what costs: each is used --reuse times, in
other poses.

The loss is the squared error of x_hat to the teacher's picture, weighted by SNR + 1, which is that of v, or by
max(SNR, 1) (truncated; §4 there). Squared error alone gives pictures between the mean and the teacher's, smoother than
these; --texture adds the squared error of local energies, over 16 pixels, of what the teacher's own first layers see of
the two pictures (after Gatys et al., arXiv 1505.07376).

RUN_DIR/log.csv holds for held-out pictures and each of LEVELS the PSNR of the student's pictures to the teacher's, that
of both to the original, and the relative error of the local energies.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffcodec.models import registry
from diffcodec.models.protocols import DiffusionModel, Shortened
from diffcodec.models.unet.net import UNet, UNetConfig
from tools.training.export_model import load_state
from tools.training.frame import Training, arguments, low_precision
from tools.training.photo_data import Crops, load_tiles
from tools.training.train_vdm import diffuse, stacked, validation

SCORES = ("to_teacher", "psnr", "teacher_psnr", "energies")
LEVELS = (0.0, 2.0, 4.0)  #: log-SNRs of the validation, near where 0.1 to 0.5 bits per pixel end
SEEN = 8.0  #: log-SNR at which the teacher's first layers look at a picture
WINDOW = 8  #: points of half resolution whose energy is compared
WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {  #: of the squared error of x_hat, by log-SNR
    "snr+1": lambda logsnr: logsnr.exp() + 1,
    "truncated": lambda logsnr: logsnr.exp().clamp_min(1),
}


def x_of(z: Tensor, logsnr: Tensor, v: Tensor) -> Tensor:
    """x_hat = alpha z - sigma v, all of the shape of z, at one log-SNR () (Salimans & Ho 2022, §4)."""
    return torch.sigmoid(logsnr).sqrt() * z - torch.sigmoid(-logsnr).sqrt() * v


class Eye:
    """What the first layers of a network see of pictures."""

    def __init__(self, net: UNet):
        self.net = net.requires_grad_(False)
        self.seen: list[Tensor] = []
        for blocks in net.down[:1]:
            assert isinstance(blocks, nn.ModuleList)
            blocks[0].register_forward_pre_hook(lambda block, inputs: self.seen.append(inputs[0]))
            blocks[-1].register_forward_hook(self._stop)

    class Seen(Exception):
        """Raised behind the layers that are looked through: the others are not needed."""

    def _stop(self, block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.seen.append(output)
        raise self.Seen

    def energies(self, x: Tensor) -> list[Tensor]:
        """Root mean squares (N, C, h, w) about the means of windows, of the first filters and blocks, of ``x``."""
        t = x.new_full((len(x),), SEEN)
        self.seen = []
        try:
            with low_precision(x.device.type):
                self.net(torch.sigmoid(t[0]).sqrt() * x, t)
        except self.Seen:
            pass
        return [_energy(one.float()) for one in self.seen]


def _energy(h: Tensor) -> Tensor:
    variance = F.avg_pool2d(h.square(), WINDOW) - F.avg_pool2d(h, WINDOW).square()
    return (variance.clamp_min(0) + 1e-4).sqrt()


def difference(made: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Squared error of energies, relative to the wanted ones', summed over what is compared: ()."""
    pairs = zip(made, wanted, strict=True)
    return torch.stack([(a - b).square().mean() / b.square().mean() for a, b in pairs]).sum()


def answer(teacher: DiffusionModel, z: Tensor, logsnr: float) -> Tensor:
    """The teacher's picture, float32 of the shape of z (N, 3, h, w). Raises SystemExit for one without a short way."""
    way = teacher.shortcut if isinstance(teacher, Shortened) else None
    if way is None:
        raise SystemExit(f"'{teacher.name}' has no few calls: fit them first (tools.training.fit_flow)")
    return way(teacher.predict, z, logsnr, teacher.logsnr_max).clone()


def answers(
    teacher: DiffusionModel, tiles: list[np.ndarray], args: Namespace, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(z, the teacher's x, log-SNR ()), float32 (N, 3, crop, crop), each --reuse times in other orders and poses."""
    crops, rng = Crops(tiles, args.crop, seed), np.random.default_rng(seed)
    low, high = args.levels
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    uses: list[int] = []
    while True:
        if len(kept) < args.kept:
            x = (stacked(crops(args.batch)) / 127.5 - 1).to(args.device, memory_format=torch.channels_last)
            t = torch.tensor(low + (high - low) * rng.random(), device=args.device, dtype=torch.float32)
            z, _ = diffuse(x, t.expand(len(x)), torch.randn_like(x))
            kept.append((z, answer(teacher, z, float(t)), t))
            uses.append(0)
        turn = int(rng.integers(len(kept)))
        z, x, t = kept[turn]
        uses[turn] += 1
        if uses[turn] == args.reuse:
            kept.pop(turn), uses.pop(turn)
        pose = int(rng.integers(8))
        yield _posed(z, pose), _posed(x, pose), t


def _posed(x: Tensor, pose: int) -> Tensor:
    """In one of eight poses."""
    x = x.transpose(2, 3) if pose & 1 else x
    return x.flip([side for bit, side in ((2, 2), (4, 3)) if pose & bit]).contiguous(memory_format=torch.channels_last)


class Validation:
    """Held-out pictures, and what the teacher makes of them."""

    def __init__(self, teacher: DiffusionModel, eye: Eye, pictures: np.ndarray):
        self.x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
        self.x = self.x.to(teacher.device)
        self.eye, generator = eye, torch.Generator().manual_seed(1)
        self.cases = []
        for level in LEVELS:
            eps = torch.randn(self.x.shape, generator=generator).to(self.x.device)
            z, _ = diffuse(self.x, self.x.new_full((len(self.x),), level), eps)
            self.cases.append((level, z, answer(teacher, z, level)))

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> dict[str, list[str]]:
        values = []
        for level, z, wanted in self.cases:
            with low_precision(z.device.type):
                v = net(z, z.new_full((len(z),), level)).float()
            made = x_of(z, z.new_tensor(level), v)
            energies = difference(self.eye.energies(made), self.eye.energies(wanted))
            values += [_decibel(made, wanted), _decibel(made, self.x), _decibel(wanted, self.x), float(energies)]
        return {"log": [f"{value:.3f}" for value in values]}


def _decibel(a: Tensor, b: Tensor) -> float:
    """PSNR of pictures in [-1, 1]."""
    return 10 * math.log10(4 / float((a - b).square().mean()))


def main() -> None:
    ap = arguments(__doc__, lr=2e-4, batch=8, ema=0.99)
    ap.add_argument("--teacher", required=True, help="a model with few calls: a name, or its weights beside their card")
    ap.add_argument("--crop", type=int, default=128)
    ap.add_argument("--levels", type=float, nargs=2, default=[-2, 8], metavar=("LOW", "HIGH"), help="log-SNRs of z_t")
    ap.add_argument("--weighting", choices=WEIGHTS, default="snr+1")
    ap.add_argument("--texture", type=float, default=0.4, help="weight of the local energies' squared error")
    ap.add_argument("--reuse", type=int, default=2, help="times that an answer of the teacher is used")
    ap.add_argument("--kept", type=int, default=16, help="batches of answers to draw from")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    if args.init is None:
        ap.error("a student starts from weights: --init")
    weights = load_state(args.init)
    config = UNetConfig.from_dict(weights["config"])
    net, seeing = UNet(config), UNet(config)
    seeing.load_state_dict({name: value.float() for name, value in weights["ema"].items()})
    run = Training(args, net, config.as_dict())
    teacher, eye = registry.load(args.teacher, device=args.device, codec="diffc"), Eye(seeing.to(args.device))
    held_out = Validation(teacher, eye, validation(args)[:12])
    drawn = answers(teacher, load_tiles(args.data, "train"), args, run.seed)

    def loss() -> Tensor:
        z, x, t = next(drawn)
        with low_precision(args.device):
            v = net(z, t.expand(len(z))).float()
        made = x_of(z, t, v)
        value = (made - x).square().mean() * WEIGHTS[args.weighting](t)
        return value + args.texture * difference(eye.energies(made), eye.energies(x)) if args.texture else value

    run.loop(loss, held_out, {"log": [f"{name}_{level:g}" for level in LEVELS for name in SCORES]})


if __name__ == "__main__":
    main()
