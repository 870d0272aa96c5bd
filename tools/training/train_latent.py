"""Train a denoiser in the latents of a tiny autoencoder (arXiv 2112.10752): architecture latent-1.

    python -m tools.training.train_latent PHOTOS.npz RUN_DIR --encoder E.safetensors --decoder D.safetensors [...]

The autoencoder's files have TAESD's layout (`models.latent.tae`); every tile of PHOTOS.npz is encoded once, and once
mirrored, into RUN_DIR/latents.npz, which is looked for first. x is a latent less the mean of its channel, over its
deviation. v-prediction, log-SNR as of `train_vdm`. RUN_DIR/log.csv holds the validation bits of a dimension of latents
(VDM eq. 17); what is exported of RUN_DIR/state.pt has the autoencoder in it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from diffcodec.models.latent import tae
from diffcodec.models.unet.net import UNet, UNetConfig
from tools.training.frame import Training, arguments, batches, low_precision
from tools.training.photo_data import load_tiles
from tools.training.train_vdm import diffuse, validate

MOST = 24  #: validation crops


class LatentNet(nn.Module):
    """The denoiser, and beside it what is between pictures and x, which is not trained."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: UNetConfig, encoder: nn.Module, decoder: nn.Module, channels: int):
        super().__init__()
        self.net = UNet(config, channels, channels)
        self.encoder, self.decoder = encoder, decoder
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def forward(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """``z`` (N, C, h, w), ``logsnr`` (N,) -> v_hat."""
        v: Tensor = self.net(z, logsnr)
        return v


@torch.no_grad()
def encoded(encoder: nn.Module, tiles: list[np.ndarray], mirrored: bool) -> list[np.ndarray]:
    """Latents float16 (C, h, w) of the middles of tiles uint8 (H, W, 3), sides cut to multiples of FACTOR."""
    out = []
    for tile in tiles:
        H, W = (side // tae.FACTOR * tae.FACTOR for side in tile.shape[:2])
        picture = torch.from_numpy(np.ascontiguousarray(tile[:H, :W].transpose(2, 0, 1)))[None].float() / 255
        for one in (picture, picture.flip(3)) if mirrored else (picture,):
            out.append(encoder(one)[0].half().numpy())
    return out


def latents(path: Path, encoder: nn.Module, data: Path, crop: int) -> dict[str, list[np.ndarray]]:
    """Of the tiles that are large enough, by split; kept at ``path``."""
    if not path.exists():
        arrays = {}
        for split in ("train", "val"):
            large = [one for one in load_tiles(data, split) if min(one.shape[:2]) >= crop * tae.FACTOR]
            every = encoded(encoder, large, split == "train")
            arrays |= {f"{split}_shapes": np.array([one.shape for one in every])}
            arrays |= {f"{split}_values": np.concatenate([one.ravel() for one in every])}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
    found = {}
    with np.load(path) as z:
        for split in ("train", "val"):
            shapes, values = z[f"{split}_shapes"], z[f"{split}_values"]
            parts = np.split(values, np.cumsum(shapes.prod(1))[:-1])
            found[split] = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    return found


def main() -> None:
    ap = arguments(__doc__, lr=1e-3, batch=16)
    ap.add_argument("--encoder", type=Path, required=True)
    ap.add_argument("--decoder", type=Path, required=True)
    ap.add_argument("--channels", type=int, nargs="+", default=[96, 160, 224])
    ap.add_argument("--blocks", type=int, nargs="+", default=[2, 2, 2])
    ap.add_argument("--crop", type=int, default=16, help="side of the latents' crops")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    encoder = tae.encoder(load_file(args.encoder))
    every = latents(args.run / "latents.npz", encoder, args.data, args.crop)
    channels = len(every["train"][0])
    config = UNetConfig(tuple(args.channels), tuple(args.blocks), logsnr_min=-8.0, logsnr_max=10.0)
    net = LatentNet(config, encoder, tae.decoder(load_file(args.decoder)), channels)
    some = np.concatenate([one.reshape(channels, -1) for one in every["train"][::7]], 1).astype(np.float32)
    net.mean.copy_(torch.from_numpy(some.mean(1)))
    net.deviation.copy_(torch.from_numpy(some.std(1)))
    run = Training(args, net, config.as_dict())
    forward = torch.compile(run.net.net, dynamic=False) if args.compile else run.net
    if run.rank == 0:
        count = sum(p.numel() for p in net.net.parameters())
        print(f"{count} parameters, {len(every['train'])} pictures of {channels} channels", flush=True)

    def crop_of(one: np.ndarray, y: int, x: int) -> Tensor:
        part = torch.from_numpy(one[:, y : y + args.crop, x : x + args.crop].astype(np.float32))
        return (part - net.mean[:, None, None].cpu()) / net.deviation[:, None, None].cpu()

    middles = [crop_of(one, *((side - args.crop) // 2 for side in one.shape[1:])) for one in every["val"][:MOST]]
    held_out, levels = torch.stack(middles), torch.arange(config.logsnr_min, config.logsnr_max + 0.5)

    def make(seed: int) -> Callable[[], tuple[Tensor, Tensor]]:
        rng = np.random.default_rng(seed)

        def draw() -> tuple[Tensor, Tensor]:
            """x float32 (N, C, crop, crop) and log-SNRs float32 (N,)."""
            chosen = [every["train"][k] for k in rng.integers(0, len(every["train"]), args.batch)]
            places = [[int(rng.integers(0, side - args.crop + 1)) for side in one.shape[1:]] for one in chosen]
            x = torch.stack([crop_of(one, *place) for one, place in zip(chosen, places, strict=True)])
            u = (np.arange(args.batch) + rng.random()) / args.batch
            spread = np.interp(u, [0, 0.1, 0.9, 1], [config.logsnr_min, -5, 5, config.logsnr_max])
            return x, torch.from_numpy(rng.permutation(spread)).float()

        return draw

    drawn = batches(make, args, run.seed)

    def loss() -> Tensor:
        x, t = next(drawn)
        z, v = diffuse(x.to(memory_format=torch.channels_last), t, torch.randn_like(x))
        with low_precision(args.device):
            return (forward(z, t).float() - v).square().mean()

    def lines(ema: nn.Module) -> dict[str, list[str]]:
        bits, psnr = validate(ema, held_out, levels, args.device)
        return {"log": [f"{bits:.4f}", *(f"{p:.3f}" for p in psnr.tolist())]}

    run.loop(loss, lines, {"log": ["val_diffusion_bpd", *(f"{s:g}" for s in levels.tolist())]})


if __name__ == "__main__":
    main()
