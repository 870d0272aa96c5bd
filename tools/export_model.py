"""Export a training checkpoint with its card: of an ARDM as integer weights, of a VDM as float16.

    python tools/export_model.py RUN_DIR/state.pt OUT.safetensors [--card CARD.json]

A checkpoint whose activation steps were never calibrated (no quantised training yet) is calibrated on --data tiles.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from diffcodec.models.lattice_net import LatticeConfig, LatticeNet, QuantConv
from diffcodec.models.lattice_quant import quantize
from diffcodec.models.registry import fingerprint_of
from diffcodec.models.unet import UNetConfig


def ardm_weights(state: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    config = LatticeConfig(**state["config"])
    net = LatticeNet(config)
    net.load_state_dict(state["ema"])
    for m in net.modules():
        if isinstance(m, QuantConv) and float(m.step) == 0:
            raise SystemExit("the checkpoint is not calibrated: resume training until its quantised phase has begun")
    return save(quantize(net)), {"architecture": "lattice-ardm-1", **config.as_dict()}


def vdm_weights(state: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    half = {name: value.half().contiguous() for name, value in state["ema"].items()}
    return save(half), {"architecture": "vdm-unet-1", **UNetConfig.from_dict(state["config"]).as_dict()}


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("checkpoint", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--card", type=Path, help="JSON of further fields of the card")
    args = ap.parse_args()
    state = torch.load(args.checkpoint, weights_only=True, map_location="cpu")
    vdm = "logsnr_min" in state["config"]
    weights, described = (vdm_weights if vdm else ardm_weights)(state)
    card = {
        "name": args.out.stem,
        "codec": "diffc" if vdm else "ardm",
        "numerics": "tolerant" if vdm else "exact",
        "config": described,
        "fingerprint": fingerprint_of(weights, described).hex(),
        "bytes": len(weights),
        "training": {"steps": state["step"], "minutes": round(state["minutes"], 1)},
    }
    if args.card:
        card |= json.loads(args.card.read_text())
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(weights)
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{args.out}: {len(weights)} bytes, fingerprint {card['fingerprint'][:16]}")


if __name__ == "__main__":
    main()
