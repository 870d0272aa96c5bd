"""Export a training checkpoint with its card: of an ARDM, of tracks too, as integer weights, of a VDM as float16.

    python -m tools.training.export_model RUN_DIR/state.pt OUT.safetensors [--card CARD.json] [--exact PICTURES.npz]

In place of state.pt, RUN_DIR/ema-float16.safetensors serves as well, which is what a lent machine gives back.

--exact makes integer weights of a VDM (or of its float16 export, given as the checkpoint), its ranges taken from
training pictures of that file. An order-agnostic ARDM needs it, with CIFAR.npz, whose validation images give its
profile of bits by known share.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from diffcodec.models.captions.net import CaptionConfig
from diffcodec.models.clips.net import ClipConfig
from diffcodec.models.cond.net import CondConfig
from diffcodec.models.lattice import quant as lattice_quant
from diffcodec.models.lattice.net import LatticeConfig, LatticeNet, QuantConv
from diffcodec.models.masked.net import MaskedConfig, MaskedUNet
from diffcodec.models.registry import fingerprint_of
from diffcodec.models.tracks import quant as tracks_quant
from diffcodec.models.tracks.net import TracksConfig, TracksNet
from diffcodec.models.unet.net import UNet, UNetConfig
from diffcodec.models.unet.quant import quantise
from tools.training.cifar_data import SIDE, load_cifar
from tools.training.photo_data import load_tiles
from tools.training.train_oa import draw_known, profile
from tools.training.train_vdm import diffuse


def ardm_weights(state: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    config = LatticeConfig(**state["config"])
    net = LatticeNet(config)
    net.load_state_dict(state["ema"])
    for m in net.modules():
        if isinstance(m, QuantConv) and float(m.step) == 0:
            raise SystemExit("the checkpoint is not calibrated: resume training until its quantised phase has begun")
    architecture = "clip-ardm-1" if config.past else "lattice-ardm-1"
    return save(lattice_quant.quantise(net)), {"architecture": architecture, **config.as_dict()}


#: architectures of float diffusions and their configurations, by a tensor that no other has
FLOAT: dict[str, tuple[str, type[UNetConfig]]] = {
    "seen": ("vdm-unet-given-1", CondConfig),
    "reader.parts.weight": ("vdm-unet-text-1", CaptionConfig),
    "deviation": ("latent-1", UNetConfig),
    "times.0.0.far": ("vdm-unet-clip-1", ClipConfig),
    "stem": ("vdm-unet-1", UNetConfig),
}


def vdm_weights(state: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    half = {name: value.half().contiguous() for name, value in state["ema"].items()}
    architecture, config = next(told for tensor, told in FLOAT.items() if tensor in half)
    return save(half), {"architecture": architecture, **config.from_dict(state["config"]).as_dict()}


def exact_vdm_weights(state: dict[str, Any], pictures: Path) -> tuple[bytes, dict[str, Any]]:
    config = UNetConfig.from_dict(state["config"])
    net = UNet(config)
    net.load_state_dict({name: value.float() for name, value in state["ema"].items()})
    with np.load(pictures) as file:
        if "train" in file:
            images = file["train"][:64]
        else:
            tiles = [t for t in load_tiles(pictures, "train") if min(t.shape[:2]) >= 64]
            images = np.stack([t[:64, :64] for t in tiles[:: len(tiles) // 16][:16]])
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    torch.manual_seed(0)

    def calibrate(net: torch.nn.Module) -> None:
        for logsnr in np.arange(config.logsnr_min, config.logsnr_max, 1.5):
            t = torch.full((len(x),), float(logsnr))
            net(diffuse(x, t, torch.randn(x.shape))[0], t)

    tensors = {name: value.contiguous() for name, value in quantise(net, calibrate).items()}
    return save(tensors), {"architecture": "vdm-unet-exact-1", **config.as_dict()}


def exact_masked_weights(state: dict[str, Any], pictures: Path) -> tuple[bytes, dict[str, Any]]:
    config = MaskedConfig.from_dict(state["config"])
    net = MaskedUNet(config)
    net.load_state_dict(state["ema"])
    net.eval()
    x, held_out = (
        torch.from_numpy(load_cifar(pictures, split)[:n]).permute(0, 3, 1, 2).contiguous()
        for split, n in (("train", 32), ("val", 64))
    )
    rng = np.random.default_rng(0)

    def calibrate(net: torch.nn.Module) -> None:
        for share in np.linspace(0, 1, 13):
            count = min(SIDE * SIDE - 1, round(share * SIDE * SIDE))
            net(x, draw_known(len(x), np.full(len(x), count), rng))

    tensors = {name: value.contiguous() for name, value in quantise(net, calibrate).items()}
    described = {
        "architecture": "masked-unet-exact-1",
        **config.as_dict(),
        "profile": profile(net, held_out, "cpu"),
    }
    return save(tensors), described


def tracks_weights(state: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    config = TracksConfig(**state["config"])
    net = TracksNet(config)
    net.load_state_dict({name: value.float() for name, value in state["ema"].items()})
    return save(tracks_quant.quantise(net)), {"architecture": "tracks-ardm-1", **config.as_dict()}


def load_state(path: Path) -> dict[str, Any]:
    """A training state, or the EMA in float16, of a trainer or a VDM as exported, in the same form."""
    if path.suffix != ".safetensors":
        return torch.load(path, weights_only=True, map_location="cpu")
    with safe_open(path, "pt") as file:
        told = file.metadata() or {}
    if "config" in told:
        return {
            "ema": {name: value.float() for name, value in load_file(path).items()},
            "config": json.loads(told["config"]),
            "step": int(told["step"]),
            "minutes": float(told["minutes"]),
        }
    card = json.loads(path.with_suffix(".json").read_text())
    config = {k: v for k, v in card["config"].items() if k != "architecture"}
    return {"ema": load_file(path), "config": config, "training": card["training"]}


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("checkpoint", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--card", type=Path, help="JSON of further fields of the card")
    ap.add_argument("--exact", type=Path, help="integer weights of a VDM, calibrated on pictures of this file")
    args = ap.parse_args()
    state = load_state(args.checkpoint)
    masked = "components" in state["config"] and "logsnr_min" in state["config"]
    vdm = "logsnr_min" in state["config"] and not masked
    if masked and not args.exact:
        ap.error("an order-agnostic ARDM is exported with --exact")
    if args.exact:
        weights, described = (exact_masked_weights if masked else exact_vdm_weights)(state, args.exact)
        described = json.loads(json.dumps(described))
    else:
        tracks = "others" in state["config"]
        weights, described = (vdm_weights if vdm else tracks_weights if tracks else ardm_weights)(state)
    card = {
        "name": args.out.stem,
        "codec": "ardm" if not vdm else "vdm" if args.exact else "diffc",
        "numerics": "tolerant" if vdm and not args.exact else "exact",
        "config": described,
        "fingerprint": fingerprint_of(weights, described).hex(),
        "bytes": len(weights),
        "training": state.get("training") or {"steps": state["step"], "minutes": round(state["minutes"], 1)},
    }
    if args.card:
        card |= json.loads(args.card.read_text())
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(weights)
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{args.out}: {len(weights)} bytes, fingerprint {card['fingerprint'][:16]}")


if __name__ == "__main__":
    main()
