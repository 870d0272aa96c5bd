"""Train `photo-cond`, a denoiser that may be given something (SR3, CDM, Palette), from `photo-vdm`.

    python -m tools.training.train_cond PHOTOS.npz RUN_DIR --init VDM.safetensors --minutes 90 [--task box4 ...] [--l1]

Tasks and crops are those of `cond_data.py`. v-prediction; a share of the draws is at the lowest log-SNR, where x_hat is
what is to be told of a picture from the condition alone; the others are spread over the range. The squared error of
x_hat is weighted by 1 / s^2 + SNR, s^2 the scale of what the condition leaves open, so that a decibel counts alike for
every task and at every log-SNR.

RUN_DIR/log.csv holds, of held-out pictures, the PSNR of x_hat from the condition alone less that of what is given
(bicubic, grey, the JPEG), and the relative squared error of x_hat at three log-SNRs of what is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffcodec.models import registry
from diffcodec.models.cond.net import FACTS, PLANES, CondConfig, ConditionalUNet, Seen
from diffcodec.models.cond.seen import Exactly, moved
from diffcodec.models.condition import Observed
from diffcodec.models.operators import Box, Bytes, Luma, Mask
from tools.training import cond_data
from tools.training.cond_data import TASKS, Drawn
from tools.training.frame import Training, arguments, batches, low_precision
from tools.training.photo_data import Crops, load_tiles
from tools.training.train_vdm import diffuse, validation

LOW = 0.5  #: share of the draws at the lowest log-SNR
MIDDLE = (-2.0, 5.0)  #: where the network is asked for bits, and draws are denser


@dataclass
class Batch:
    """Of N crops. x (N, 3, S, S), what is ``seen`` of them, ``scale`` (N,) of what is open.

    exact (N, 3, S, S), way (N,): how x_hat is made to agree, a number of WAYS.
    """

    x: Tensor
    seen: Seen
    scale: Tensor
    exact: Tensor
    way: Tensor

    @classmethod
    def of(cls, every: Sequence[Drawn]) -> Batch:
        x = torch.cat([one.x for one in every])
        N, _, H, W = x.shape
        seen = Seen(torch.zeros(N, PLANES, H, W), torch.zeros(N, FACTS), torch.zeros(N))
        exact, way = torch.zeros_like(x), torch.zeros(N, dtype=torch.int64)
        for n, one in enumerate(every):
            if one.shown is None:
                continue
            told, agree = one.shown.seen, one.shown.agree
            seen.planes[n], seen.facts[n], seen.precision[n] = told.planes[0], told.facts[0], told.precision[0]
            if isinstance(agree, Exactly):
                exact[n], way[n] = agree.exact[0], WAYS.index((agree.kind, agree.k))
        return cls(x, seen, torch.tensor([one.scale for one in every]), exact, way)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """In the order that :meth:`from_tensors` takes."""
        return self.x, self.seen.planes, self.seen.facts, self.seen.precision, self.scale, self.exact, self.way

    @classmethod
    def from_tensors(cls, x: Tensor, planes: Tensor, facts: Tensor, precision: Tensor, *rest: Tensor) -> Batch:
        return cls(x.to(memory_format=torch.channels_last), Seen(planes, facts, precision), *rest)

    def agreeing(self, x_hat: Tensor) -> Tensor:
        """x_hat (N, 3, S, S), made to agree but for the cells of JPEG files, which are no linear function of x."""
        d, out = self.exact - x_hat, x_hat.clone()
        for number in sorted(set(self.way.tolist()) - {0}):
            (kind, k), these = WAYS[number], (self.way == number).nonzero()[:, 0]
            out = out.index_add(0, these, moved(d[these], kind, k, self.seen.planes[these, 3:]).to(out))
        return out


#: of :func:`moved`, by number; the first is nothing
WAYS = [("", 0), *(("box", k) for k in (2, 4, 8)), ("luma", 1), *(("chroma", k) for k in (2, 4, 8)), ("mask", 1)]


def x_hat_of(net: Callable[..., Tensor], z: Tensor, logsnr: Tensor, seen: Seen) -> Tensor:
    """E[x|z_t, what was given] float32 (N, 3, S, S), before it agrees."""
    with low_precision(z.device.type):
        return net(z, logsnr, seen).float()


class Draws:
    """Batches of crops with what is given of them."""

    def __init__(self, tiles: list[np.ndarray], crop: int, seed: int, shares: dict[str, float], rough: float):
        coder = registry.load("photo-vdm", codec="diffc", device="cpu")
        self.crops, self.rng = Crops(tiles, crop, seed), np.random.default_rng(seed + 1)
        self.tasks = cond_data.tasks(coder, rough)
        self.names, share = list(shares), np.array(list(shares.values()))
        self.edges = np.cumsum(share / share.sum())

    def __call__(self, batch: int) -> list[Drawn]:
        """As many; tasks in the proportions of their shares, within a batch too."""
        places = (np.arange(batch) + self.rng.random()) / batch
        out = []
        for place, (picture, _) in zip(places, self.crops(batch), strict=True):
            name = self.names[min(int(np.searchsorted(self.edges, place)), len(self.names) - 1)]
            if name == "nothing":
                out.append(cond_data.drawn(picture, None))
            else:
                out.append(cond_data.drawn(*self.tasks[name](picture, self.rng)))
        return out


def logsnrs(given: np.ndarray, rng: np.random.Generator, config: CondConfig) -> np.ndarray:
    """(N,): the lowest for a share of what was ``given`` something, bool (N,); else anything, MIDDLE for half."""
    low, high = config.logsnr_min, config.logsnr_max
    u = rng.permutation((np.arange(len(given)) + rng.random()) / len(given))
    spread = np.where(rng.random(len(given)) < 0.5, MIDDLE[0] + (MIDDLE[1] - MIDDLE[0]) * u, low + (high - low) * u)
    out: np.ndarray = np.where(given & (rng.random(len(given)) < LOW), low, spread)
    return out


class Validation:
    """Held-out pictures in every task: gains in dB at the lowest log-SNR, relative errors with z."""

    def __init__(self, pictures: np.ndarray, config: CondConfig, device: str):
        self.device = device
        rng = np.random.default_rng(1)
        square = np.zeros(pictures.shape[1:3], bool)
        square[40:88, 40:88] = True
        made: dict[str, Callable[[Bytes], tuple[Bytes, object]]] = {
            "jpeg10": lambda p: (p, cond_data.jpeg(p, 10)),
            "jpeg20": lambda p: (p, cond_data.jpeg(p, 20)),
            "jpeg40": lambda p: (p, cond_data.jpeg(p, 40)),
            "grey20": lambda p: ((g := Luma().apply(p)), cond_data.jpeg(g, 20)),
            "box4": lambda p: (p, Observed.of(p, Box(4))),
            "rough4": lambda p: (p, Observed(*cond_data.Boxes(None).rough_of(Box(4).apply(p), Box(4), rng))),
            "luma": lambda p: (p, Observed.of(p, Luma())),
            "fill": lambda p: (p, Observed.of(p, Mask(~square))),
        }
        self.low, self.cases = config.logsnr_min, {}
        for name, make in made.items():
            self.cases[name] = [cond_data.drawn(*make(p)) for p in pictures]  # type: ignore[arg-type]
        self.cases["nothing"] = [cond_data.drawn(p, None) for p in pictures]
        self.columns = [name for name in made] + [f"{name}@{t}" for name in self.cases for t in (0, 4)]

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> dict[str, list[str]]:
        gains, errors = [], []
        for name, every in self.cases.items():
            if name != "nothing":
                ratios = [self._before(part) / self._error(net, part, self.low) for part in _parts(every)]
                gains.append(f"{10 * float(torch.cat(ratios).log10().mean()):.3f}")
            for t in (0.0, 4.0):
                error = torch.cat([self._error(net, part, t) for part in _parts(every)])
                errors.append(f"{10 * float(torch.log10(4 / error).mean()):.3f}")
        return {"log": gains + errors}

    def _before(self, every: Sequence[Drawn]) -> Tensor:
        planes = torch.cat([one.shown.agree(one.shown.seen.planes[:, :3]) for one in every if one.shown])
        return (planes - Batch.of(every).x).square().flatten(1).mean(1)

    def _error(self, net: nn.Module, every: Sequence[Drawn], level: float) -> Tensor:
        batch = Batch.of(every)
        eps = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(1))
        t = torch.full((len(eps),), level)
        z, _ = diffuse(batch.x, t, eps)
        seen = Seen(*(one.to(self.device) for one in (batch.seen.planes, batch.seen.facts, batch.seen.precision)))
        x = x_hat_of(net, z.to(self.device), t.to(self.device), seen).cpu()
        parts = [one.shown.agree(x[n : n + 1]) if one.shown else x[n : n + 1] for n, one in enumerate(every)]
        return (torch.cat(parts) - batch.x).square().flatten(1).mean(1)


def _parts(every: list[Drawn]) -> list[list[Drawn]]:
    return [every[n : n + 8] for n in range(0, len(every), 8)]


def main() -> None:
    ap = arguments(__doc__, lr=6e-4, batch=8)
    ap.add_argument("--channels", type=int, nargs="+", default=[64, 96, 128, 160])
    ap.add_argument("--blocks", type=int, nargs="+", default=[2, 2, 2, 2])
    ap.add_argument("--crop", type=int, default=128)
    ap.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS), help="these alone: a specialist")
    ap.add_argument("--times", nargs="+", default=[], metavar="TASK=K", help="draw these so many times as often")
    ap.add_argument("--fades", type=float, default=30, help="how soon what was given counts less beside z")
    ap.add_argument("--rough", type=float, default=cond_data.ROUGH, help="share of boxes with an augmentation")
    ap.add_argument("--l1", action="store_true", help="absolute in place of squared error (Palette §4.1)")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    times = {name: float(k) for name, k in (one.split("=") for one in args.times)}
    shares = {name: TASKS[name] * times.get(name, 1) for name in args.task}
    config = CondConfig(tuple(args.channels), tuple(args.blocks), fades=args.fades)
    net = ConditionalUNet(config)
    run = Training(args, net, config.as_dict())
    tiles = load_tiles(args.data, "train")
    held_out = Validation(validation(args), config, args.device)
    forward = torch.compile(run.net, dynamic=False) if args.compile else run.net
    print(f"{sum(p.numel() for p in net.parameters())} parameters, step {run.step}", flush=True)

    def make(seed: int) -> Callable[[], tuple[Tensor, ...]]:
        draws = Draws(tiles, args.crop, seed, shares, args.rough)
        rng = np.random.default_rng(seed)

        def draw() -> tuple[Tensor, ...]:
            """Log-SNRs float32 (N,), and the tensors of a batch."""
            every = draws(args.batch)
            t = logsnrs(np.array([one.shown is not None for one in every]), rng, config)
            return (torch.from_numpy(t).float(), *Batch.of(every).tensors)

        return draw

    drawn = batches(make, args, run.seed)

    def loss() -> Tensor:
        t, *tensors = next(drawn)
        batch = Batch.from_tensors(*tensors)
        z, _ = diffuse(batch.x, t, torch.randn_like(batch.x))
        off = batch.agreeing(x_hat_of(forward, z, t, batch.seen)) - batch.x
        weight = (1 / batch.scale + t.exp())[:, None, None, None]  # 1 / s^2 + SNR
        if args.l1:
            return (off.abs() * weight.sqrt()).mean()
        return (off.square() * weight).mean()

    run.loop(loss, held_out, {"log": held_out.columns})


if __name__ == "__main__":
    main()
