"""A pipeline of the shape of Stable Diffusion 1.5, its weights random: calls, seconds, peak memory of 512×512 pixels.

    python -m benchmarks.cost.large_pipeline [--bpp 0.02] [--effort 1] [--dtype bfloat16] [--device auto] [--save]

A U-Net of 860 M parameters, an autoencoder of 84 M and a reader of texts of 123 M, as their configurations stand in the
published folder; no weights are needed, and what random ones decode to is noise. A photograph of scikit-image is
encoded with a prompt to so many bits a pixel, and decoded. Memory is the process's peak, or, with a GPU, what torch
had of it.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import arguments, printed

SIDE = 512


def pipeline(dtype: Any) -> Any:
    import diffusers
    import torch
    import transformers

    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    blocks = "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"
    unet = diffusers.UNet2DConditionModel(
        sample_size=64, block_out_channels=(320, 640, 1280, 1280), layers_per_block=2, cross_attention_dim=768,
        attention_head_dim=8, down_block_types=blocks,
        up_block_types=tuple(one.replace("Down", "Up") for one in reversed(blocks)),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), latent_channels=4, layers_per_block=2, sample_size=SIDE,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    config = transformers.CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        bos_token_id=52, eos_token_id=53, pad_token_id=53,
    )  # fmt: skip
    reader = transformers.CLIPTextModel(config)
    torch.set_default_dtype(torch.float32)
    words = {piece: number for number, piece in enumerate(pieces)}
    return diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=reader, unet=unet,
        tokenizer=transformers.CLIPTokenizer(vocab=words, merges=[], model_max_length=77),
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def peak(device: str) -> float:
    """GB."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("--bpp", type=float, default=0.02)
    ap.add_argument("--effort", type=int, default=1)
    ap.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    ap.add_argument("--realism", type=float, nargs="+", default=[0.0], help="of decoding")
    ap.add_argument("--device", default="auto")
    args = ap.parse_args()
    import torch
    from skimage import data

    from diffcodec.models.pipelines.source import provider

    pipe = pipeline(getattr(torch, args.dtype))
    device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    pipe.to(device)
    pipe.unet.register_forward_hook(count)
    start = time.perf_counter()
    model = provider(pipe)
    picture = np.ascontiguousarray(data.astronaut()[:SIDE, :SIDE])
    with printed(args.save):
        print(f"{args.dtype} on {device}: its weights digested in {time.perf_counter() - start:.0f} s")
        print(f"the model alone: {peak(device):.2f} GB at most")
        start, calls = time.perf_counter(), 0
        stream = diffcodec.encode(
            picture, "diffc", model, bpp=args.bpp, effort=args.effort, prompt="an astronaut", device=device
        )
        told = f"{calls} calls, {time.perf_counter() - start:.0f} s, {peak(device):.2f} GB"
        print(f"encoded to {len(stream)} bytes: {told}", flush=True)
        for realism in args.realism:
            start, calls = time.perf_counter(), 0
            shown = diffcodec.decode(stream, model=model, realism=realism, device=device)
            assert shown.shape == picture.shape
            told = f"{calls} calls, {time.perf_counter() - start:.0f} s, {peak(device):.2f} GB"
            print(f"decoded with realism {realism:g}: {told}")


if __name__ == "__main__":
    main()
