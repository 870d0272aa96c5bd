"""A small random pipeline of every class that has a row, built with diffusers itself; no hub is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

WORDS = "a an the of waves every colour red blue dog cat on in"


def unet(**more: Any) -> Any:
    return diffusers.UNet2DModel(
        **{
            "sample_size": 16,
            "in_channels": 3,
            "out_channels": 3,
            "layers_per_block": 1,
            "block_out_channels": (8, 16),
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
            "norm_num_groups": 4,
            "attention_head_dim": 8,
        }
        | more
    )


def conditional_unet(**more: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        **{
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "layers_per_block": 1,
            "block_out_channels": (8, 16),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "norm_num_groups": 4,
            "attention_head_dim": 8,
            "cross_attention_dim": 16,
        }
        | more
    )


def autoencoder(channels: int = 4, **more: Any) -> Any:
    """Whose latents are small."""
    vae = diffusers.AutoencoderKL(
        **{
            "latent_channels": channels,
            "block_out_channels": (16, 16),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "norm_num_groups": 4,
            "sample_size": 16,
            "scaling_factor": 0.5,
        }
        | more
    )
    return calm(vae)


def calm(vae: Any) -> Any:
    """Whose pictures are nearly grey, as random ones are worse than that."""
    with torch.no_grad():
        for one in vae.decoder.conv_out.parameters():
            one.mul_(0.1)
    return vae


# ---- readers of texts


def clip_tokenizer() -> Any:
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=40)


def clip(projection: int | None = None) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=54, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=40, projection_dim=projection or 16, bos_token_id=52, eos_token_id=53, pad_token_id=53,
    )  # fmt: skip
    kind = transformers.CLIPTextModel if projection is None else transformers.CLIPTextModelWithProjection
    return kind(config)


def t5_tokenizer() -> Any:
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return transformers.T5Tokenizer(vocab=[*marks, *((f"▁{word}", -3.0) for word in WORDS.split())], extra_ids=0)


def t5() -> Any:
    return transformers.T5EncoderModel(
        transformers.T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    )


def gemma_tokenizer() -> Any:
    letters = "▁abcdefghijklmnopqrstuvwxyz"
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *letters]
    return transformers.GemmaTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[])


def gemma() -> Any:
    return transformers.Gemma2Model(
        transformers.Gemma2Config(
            vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, pad_token_id=0, eos_token_id=1, bos_token_id=2,
        )
    )  # fmt: skip


# ---- pipelines, by the name of a case


def betas(**more: Any) -> dict[str, Any]:
    return {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"} | more


#: for any weights x_hat is then as small as latents are
CLIPPED = {"steps_offset": 1, "clip_sample": True, "clip_sample_range": 1.0}


def stable_diffusion(scheduler: Any, **more: Any) -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=autoencoder(), text_encoder=clip(), tokenizer=clip_tokenizer(), unet=conditional_unet(**more),
        scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sdxl(scheduler: Any) -> Any:
    network = conditional_unet(
        cross_attention_dim=32, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16, transformer_layers_per_block=1, use_linear_projection=True,
    )  # fmt: skip
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(latents_mean=[0.1, 0.0, -0.1, 0.2], latents_std=[1.0, 2.0, 1.5, 1.0]),
        text_encoder=clip(), text_encoder_2=clip(16), tokenizer=clip_tokenizer(), tokenizer_2=clip_tokenizer(),
        unet=network, scheduler=scheduler,
    )  # fmt: skip


def dit() -> Any:
    network = diffusers.DiTTransformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=8, num_layers=1, num_attention_heads=2,
        attention_head_dim=8, num_embeds_ada_norm=10, norm_num_groups=4,
    )  # fmt: skip
    return diffusers.DiTPipeline(network, autoencoder(), diffusers.DDIMScheduler(**CLIPPED))


def sd3() -> Any:
    network = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=32,
        pos_embed_max_size=32,
    )  # fmt: skip
    return diffusers.StableDiffusion3Pipeline(
        transformer=network, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip(16), tokenizer=clip_tokenizer(), text_encoder_2=clip(16), tokenizer_2=clip_tokenizer(),
        text_encoder_3=None, tokenizer_3=None,
    )  # fmt: skip


def flux(guided: bool = True) -> Any:
    network = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, guidance_embeds=guided, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=autoencoder(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip(), tokenizer=clip_tokenizer(), text_encoder_2=t5(), tokenizer_2=t5_tokenizer(),
        transformer=network,
    )  # fmt: skip


def sana() -> Any:
    network = diffusers.SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=1,
        num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=16,
        sample_size=8, patch_size=1,
    )  # fmt: skip
    vae = diffusers.AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"), decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(16, 16), decoder_block_out_channels=(16, 16), encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)), encoder_layers_per_block=(1, 1), decoder_layers_per_block=[1, 1],
        downsample_block_type="conv", upsample_block_type="interpolate", decoder_norm_types="rms_norm",
        decoder_act_fns="silu", scaling_factor=0.41407,
    )  # fmt: skip
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return diffusers.SanaPipeline(
        tokenizer=gemma_tokenizer(), text_encoder=gemma(), vae=calm(vae),
        transformer=network, scheduler=scheduler,
    )  # fmt: skip


def deepfloyd() -> Any:
    network = conditional_unet(in_channels=3, out_channels=6, sample_size=16)
    scheduler = diffusers.DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", variance_type="learned_range", thresholding=True,
        dynamic_thresholding_ratio=0.95, sample_max_value=1.5,
    )  # fmt: skip
    return diffusers.IFPipeline(
        tokenizer=t5_tokenizer(), text_encoder=t5(), unet=network, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


def deepfloyd_enlarging() -> Any:
    network = conditional_unet(in_channels=6, out_channels=6, sample_size=16, class_embed_type="timestep")
    scheduler = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", variance_type="learned_range")
    return diffusers.IFSuperResolutionPipeline(
        tokenizer=t5_tokenizer(), text_encoder=t5(), unet=network, scheduler=scheduler,
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"), safety_checker=None,
        feature_extractor=None, watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


def ldm() -> Any:
    vae = diffusers.VQModel(
        latent_channels=3, block_out_channels=(16, 16), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, num_vq_embeddings=16,
        sample_size=16, scaling_factor=0.5,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(**betas(**CLIPPED))
    return diffusers.LDMPipeline(calm(vae), unet(sample_size=8), scheduler)


CASES: dict[str, Callable[[], Any]] = {
    "ddpm": lambda: diffusers.DDPMPipeline(unet(), diffusers.DDPMScheduler()),
    "ddpm-v": lambda: diffusers.DDPMPipeline(unet(), diffusers.DDPMScheduler(prediction_type="v_prediction")),
    "ddim": lambda: diffusers.DDIMPipeline(unet(), diffusers.DDIMScheduler(beta_schedule="squaredcos_cap_v2")),
    "pndm": lambda: diffusers.PNDMPipeline(unet(), diffusers.PNDMScheduler()),
    "euler": lambda: diffusers.DDPMPipeline(unet(), diffusers.EulerDiscreteScheduler()),
    "edm": lambda: diffusers.DDPMPipeline(unet(), diffusers.EDMEulerScheduler()),
    "edm-v": lambda: diffusers.DDPMPipeline(
        unet(), diffusers.EDMDPMSolverMultistepScheduler(prediction_type="v_prediction", sigma_data=0.6)
    ),
    "consistency": lambda: diffusers.ConsistencyModelPipeline(unet(), diffusers.CMStochasticIterativeScheduler()),
    "ldm": ldm,
    "dit": dit,
    # x_hat of a random eps errs by 1 / SNR, so noise is weak here
    "sd15": lambda: stable_diffusion(
        diffusers.DDIMScheduler(**betas(beta_end=0.002, steps_offset=1, clip_sample=False))
    ),
    "sd21-zero-snr": lambda: stable_diffusion(
        diffusers.DDIMScheduler(
            **betas(prediction_type="v_prediction", rescale_betas_zero_snr=True, steps_offset=1, clip_sample=False)
        )
    ),
    "sdxl": lambda: sdxl(diffusers.EulerDiscreteScheduler(**betas(prediction_type="v_prediction"))),
    "sd3": sd3,
    "flux-dev": flux,
    "flux-schnell": lambda: flux(guided=False),
    "sana": sana,
    "deepfloyd-if": deepfloyd,
    "deepfloyd-if-2": deepfloyd_enlarging,
}


def build(case: str, folder: Path) -> Path:
    """Saves the pipeline of a case into a folder of its name; the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CASES[case]().save_pretrained(folder / case, safe_serialization=True)
    return folder / case
