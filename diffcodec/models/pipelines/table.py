"""What asks the network of each class of pipeline: `PIPELINES`. A class of one's own adds a row.

Tensors of what is known of a picture (a text's embedding, a label) are by name in `Known`, of one picture; networks are
asked as the pipelines ask theirs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.schedules import alpha_sigma
from ...runtime.errors import InputError
from ..condition import Observed
from ..network import Network
from .schedulers import trained

Known = dict[str, Tensor]  #: by name, (1, …)


@dataclass(frozen=True)
class Row:
    """A class of pipelines.

    network: the component that predicts. ask: (pipeline, input, time, known, each of N) -> prediction. multiple: of
    the sides of the input. autoencoder: the component between pictures and latents; None: x is the picture. words:
    (pipeline, text) -> what the network is told of it; None: it knows no texts. against: the same of a text to be led
    away from; None: ``words``. plain: (pipeline, label or None) -> what it is told without texts; None: it knows no
    labels. observed: (pipeline, the picture in small or None) -> what it is told of that; None: it takes none.
    distilled: whether its network is told the guidance. packed: channels of its input for one of x. most: the longest
    side of the input that it has places for; None: any. unused: components that are not loaded.
    """

    network: str
    ask: Callable[[Any, Tensor, Tensor, Known], Tensor]
    multiple: Callable[[Any], int]
    autoencoder: str | None = None
    words: Callable[[Any, str], Known] | None = None
    against: Callable[[Any, str], Known] | None = None
    plain: Callable[[Any, int | None], Known] | None = None
    observed: Callable[[Any, Observed | None], Known] | None = None
    distilled: bool = False
    packed: int = 1
    most: Callable[[Any], int] | None = None
    unused: tuple[str, ...] = ()

    def known(self, pipe: Any, label: int | None) -> Known:
        """What the network is told where nothing is given, but a label. Raises InputError for one it has not."""
        if self.plain is not None:
            return self.plain(pipe, label)
        if label is not None:
            raise InputError(f"{type(pipe).__name__} takes no label")
        told = {} if self.words is None else self.words(pipe, "")
        return told if self.observed is None else told | self.observed(pipe, None)

    def asking(self, pipe: Any, known: Known) -> Network:
        """The network that is told this."""

        def network(y: Tensor, time: Tensor) -> Tensor:
            return self.ask(pipe, y, time, _of_each(known, y))

        return network

    def guided(self, pipe: Any, known: Known, without: Known, scale: float) -> Network:
        """Guidance: from what it says ``without`` the text ``scale`` times as far as to what it says with it.

        Ho & Salimans, arXiv 2207.12598, with their w = scale - 1; both are asked in one batch.
        """
        if self.distilled:
            return self.asking(pipe, known | {GUIDANCE: torch.full_like(known[GUIDANCE], scale)})

        def network(y: Tensor, time: Tensor) -> Tensor:
            away, towards = (_of_each(told, y) for told in (without, known))
            both = {name: torch.cat([away[name], towards[name]]) for name in towards}
            first, second = self.ask(pipe, torch.cat([y, y]), torch.cat([time, time]), both).chunk(2)
            return first + scale * (second - first)

        return network


GUIDANCE, SEEN = "guidance", "seen"


def _of_each(known: Known, y: Tensor) -> Known:
    """What is known, for each of the inputs y, in their dtype."""
    spread = {name: one.expand(len(y), *one.shape[1:]) for name, one in known.items()}
    return {name: one.to(y.dtype) if one.is_floating_point() else one for name, one in spread.items()}


# ---- U-Nets


def _unet_multiple(pipe: Any) -> int:
    return int(2 ** (len(pipe.unet.config["block_out_channels"]) - 1))


def _unet(pipe: Any, y: Tensor, time: Tensor, known: Known) -> Tensor:
    out: Tensor = pipe.unet(y, time, **known, return_dict=False)[0]
    return out


def _label(pipe: Any, label: int | None) -> Known:
    """Of a U-Net with classes, if it has some. Raises InputError."""
    classes = pipe.unet.config["num_class_embeds"]
    if classes is not None:
        return {"class_labels": _number(label, classes, pipe)}
    if label is not None:
        raise InputError(f"this {type(pipe).__name__} takes no label")
    return {}


def _number(label: int | None, classes: int, pipe: Any) -> Tensor:
    if label is None or not 0 <= label < classes:
        raise InputError(f"{type(pipe).__name__} needs a label of 0 to {classes - 1}, found {label}")
    return torch.tensor([label], device=pipe.device)


def _read(pipe: Any, *texts: Any, **options: Any) -> Any:
    """What the pipeline's own reader makes of texts."""
    return pipe.encode_prompt(*texts, device=pipe._execution_device, num_images_per_prompt=1, **options)  # noqa: SLF001


def _clip(pipe: Any, text: str) -> Known:
    return {"encoder_hidden_states": _read(pipe, text, do_classifier_free_guidance=False)[0]}


def _two_clips(pipe: Any, text: str) -> Known:
    """Of SDXL, which was trained with zeros where there is no text, and is told the size of the picture."""
    tokens, _, pooled, _ = _read(pipe, text, do_classifier_free_guidance=False)
    keep = float(bool(text) or not pipe.config.get("force_zeros_for_empty_prompt", False))
    return {"encoder_hidden_states": tokens * keep, "text_embeds": pooled * keep}


def _unet_xl(pipe: Any, y: Tensor, time: Tensor, known: Known) -> Tensor:
    size = [side * pipe.vae_scale_factor for side in y.shape[2:]]
    ids = torch.tensor([[*size, 0, 0, *size]], dtype=y.dtype, device=y.device).expand(len(y), -1)  # whole, not cropped
    more = {"text_embeds": known["text_embeds"], "time_ids": ids}
    out: Tensor = pipe.unet(y, time, known["encoder_hidden_states"], added_cond_kwargs=more, return_dict=False)[0]
    return out


def _enlarging(pipe: Any, y: Tensor, time: Tensor, known: Known) -> Tensor:
    """Of a second stage, whose U-Net sees the picture in small beside y, brought to its size."""
    told = {name: one for name, one in known.items() if name != SEEN}
    beside = known[SEEN][..., : y.shape[2], : y.shape[3]]
    (h, w), (H, W) = beside.shape[2:], y.shape[2:]
    beside = F.pad(beside, (0, W - w, 0, H - h), mode="replicate")
    return _unet(pipe, torch.cat([y, beside], 1), time, told)


def _small(pipe: Any, seen: Observed | None) -> Known:
    """The small picture as the pipeline brings it to size, and the timestep of the noise on it (CDM, arXiv 2106.15282).

    What a base errs by counts for that noise, as far as its augmentation says, and none is added. Without a picture it
    is one of which noise has left nothing. Raises InputError for what is no picture in small.
    """
    schedule = trained(pipe.image_noising_scheduler).schedule
    logsnr, planes = schedule.logsnr_min, torch.zeros(1, 3, 1, 1)
    if seen is not None:
        logsnr = schedule.logsnr_max if seen.augmentation is None else seen.augmentation / 1024
        logsnr = min(max(logsnr, schedule.logsnr_min), schedule.logsnr_max)
        samples = seen.samples if seen.samples.shape[2] == 3 else seen.samples.repeat(3, 2)
        small = torch.from_numpy(samples.transpose(2, 0, 1).copy())[None].float() / 127.5 - 1
        size = seen.operator.size(seen.samples.shape)
        planes = F.interpolate(small, size, mode="bilinear", align_corners=True) * alpha_sigma(logsnr)[0]
    level = torch.tensor([schedule.time(logsnr)])
    return {SEEN: planes.to(pipe.device), "class_labels": level.to(pipe.device)}


# ---- transformers


def _patches(pipe: Any) -> int:
    return int(pipe.transformer.config["patch_size"])


def _places(pipe: Any) -> int:
    return int(pipe.transformer.config["pos_embed_max_size"]) * _patches(pipe)


def _classes(pipe: Any, label: int | None) -> Known:
    """Of DiT: without a label its class of all pictures, the last."""
    classes = pipe.transformer.config["num_embeds_ada_norm"]
    return {"class_labels": _number(classes if label is None else label, classes + 1, pipe)}


def _dit(pipe: Any, y: Tensor, time: Tensor, known: Known) -> Tensor:
    """Squares only: what is longer than wide, or wider than long, is continued by its border."""
    H, W = y.shape[2:]
    side = max(H, W)
    square = torch.nn.functional.pad(y, (0, side - W, 0, side - H), mode="replicate")
    out: Tensor = pipe.transformer(square, timestep=time, **known, return_dict=False)[0]
    return out[..., :H, :W]


def _three_readers(pipe: Any, text: str) -> Known:
    tokens, _, pooled, _ = _read(pipe, text, None, None, do_classifier_free_guidance=False)
    return {"encoder_hidden_states": tokens, "pooled_projections": pooled}


def _transformer(pipe: Any, y: Tensor, time: Tensor, known: Known) -> Tensor:
    out: Tensor = pipe.transformer(hidden_states=y, timestep=time, **known, return_dict=False)[0]
    return out


def _flux_reads(pipe: Any, text: str) -> Known:
    tokens, pooled, _ = _read(pipe, text, None)
    return {
        "encoder_hidden_states": tokens,
        "pooled_projections": pooled,
        GUIDANCE: torch.ones(1, device=tokens.device),
    }


def _flux(pipe: Any, y: Tensor, time: Tensor, known: Known) -> Tensor:
    """Of 2×2 latents a token each, with its place; time is t, 0 to 1, and guidance is told where the network asks."""
    N, C, H, W = y.shape
    tokens = y.reshape(N, C, H // 2, 2, W // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(N, H * W // 4, C * 4)
    rows, columns = torch.meshgrid(*(torch.arange(side // 2, device=y.device) for side in (H, W)), indexing="ij")
    places = torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3).to(y.dtype)
    text = torch.zeros(known["encoder_hidden_states"].shape[1], 3, dtype=y.dtype, device=y.device)
    told = known if pipe.transformer.config["guidance_embeds"] else known | {GUIDANCE: None}
    unit = pipe.scheduler.config["num_train_timesteps"]
    out = pipe.transformer(
        hidden_states=tokens, timestep=time / unit, **told, img_ids=places, txt_ids=text, return_dict=False
    )[0]
    back: Tensor = out.reshape(N, H // 2, W // 2, C, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(N, C, H, W)
    return back


def _sana_reads(pipe: Any, text: str) -> Known:
    """As the pipeline does, which puts its own instruction before a text, but not before a negative one."""
    told = inspect.signature(pipe.__call__).parameters["complex_human_instruction"].default
    return _sana_against(pipe, text, told) if text else _sana_against(pipe, text)


def _sana_against(pipe: Any, text: str, instruction: list[str] | None = None) -> Known:
    options = {"do_classifier_free_guidance": False, "complex_human_instruction": instruction}
    tokens, mask, _, _ = _read(pipe, text, **options)
    return {"encoder_hidden_states": tokens, "encoder_attention_mask": mask}


def _sana(pipe: Any, y: Tensor, time: Tensor, known: Known) -> Tensor:
    return _transformer(pipe, y, time * pipe.transformer.config["timestep_scale"], known)


# ---- the rows

_SAFETY = ("safety_checker", "feature_extractor", "image_encoder", "watermarker", "watermark")
_PIXELS = Row("unet", _unet, _unet_multiple, plain=_label)
PIPELINES: dict[str, Row] = {
    "DDPMPipeline": _PIXELS,
    "DDIMPipeline": _PIXELS,
    "PNDMPipeline": _PIXELS,
    "ConsistencyModelPipeline": _PIXELS,
    "LDMPipeline": replace(_PIXELS, autoencoder="vqvae"),
    "DiTPipeline": Row("transformer", _dit, _patches, "vae", plain=_classes),
    "StableDiffusionPipeline": Row("unet", _unet, _unet_multiple, "vae", _clip, unused=_SAFETY),
    "StableDiffusionXLPipeline": Row("unet", _unet_xl, _unet_multiple, "vae", _two_clips, unused=_SAFETY),
    "StableDiffusion3Pipeline": Row(
        "transformer", _transformer, _patches, "vae", _three_readers, most=_places, unused=_SAFETY
    ),
    "FluxPipeline": Row(
        "transformer", _flux, lambda pipe: 2, "vae", _flux_reads, distilled=True, packed=4, unused=_SAFETY
    ),
    "SanaPipeline": Row("transformer", _sana, _patches, "vae", _sana_reads, _sana_against),
    "IFPipeline": Row("unet", _unet, _unet_multiple, words=_clip, unused=_SAFETY),
    "IFSuperResolutionPipeline": Row(
        "unet", _enlarging, _unet_multiple, words=_clip, observed=_small, packed=2, unused=_SAFETY
    ),
}
