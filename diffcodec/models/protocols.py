"""What a codec needs of a model. Any object that fits may be passed as ``model``; kinds are told by ``isinstance``.

Members are read, never set, so attributes, class attributes and properties fit alike. `denoiser.Denoiser` is a base
with defaults for most of what a `DiffusionModel` has. Importing this loads neither torch nor numpy.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..runtime.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from ..diffusion.samplers import Multistep
    from ..entropy.stack import AnsStack
    from .tracks.past import Past

EXACT, PINNED, TOLERANT = 0, 1, 2  #: numerics classes, DESIGN.md §6


@runtime_checkable
class Model(Protocol):
    """What every model has, whatever it models."""

    @property
    def name(self) -> str:
        """What a stream records, so that it finds its model again: `runtime.recorded.recordable`."""
        ...

    @property
    def fingerprint(self) -> bytes:
        """SHA-256, 32 bytes, of all that changes what the model says: weights and configuration."""
        ...

    @property
    def numerics(self) -> int:
        """EXACT, PINNED or TOLERANT: what another machine may do with this model's streams (docs/numerics.md)."""
        ...

    @property
    def device(self) -> torch.device | str:
        """Where it runs; recorded in a pinned stream."""
        ...


class Distributions(Protocol):
    """Of N tokens of C values each, as integers: `entropy.logistic.Mixtures` and `entropy.tables.Categorical`."""

    def intervals(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intervals (starts, freqs), uint32 (N C,) in coding order, of ``values`` uint8 (N, C)."""
        ...

    def pop(self, stack: AnsStack) -> np.ndarray:
        """Mirror of ``intervals``: uint8 (N, C) from an entropy coder."""
        ...


@runtime_checkable
class MaskedModel(Model, Protocol):
    """An order-agnostic ARDM, exact or pinned: any set of known tokens -> distributions of others.

    A token has a value below ``vocabulary`` for each channel. With depth upscaling (ARDM §4) a token becomes known in
    stages, most significant digit first.
    """

    @property
    def separate(self) -> bool:
        """Whether every colour is a token of its own: a picture is then given as (H, W C, 1)."""
        ...

    @property
    def vocabulary(self) -> int:
        """Values of a token: 2 to 256."""
        ...

    @property
    def branching(self) -> int:
        """Values of a digit: ``vocabulary`` or more means one stage."""
        ...

    @property
    def profile(self) -> Sequence[int]:
        """Bits of a token x 1024 at evenly spaced shares of known ones, 0 to 1, of 2^20 at most; two or more."""
        ...

    def ask(self, tokens: np.ndarray, known: np.ndarray, stage: int, asked: np.ndarray) -> Distributions:
        """Distributions of the digits of stage ``stage`` of tokens ``asked`` int (N,), places in raster order.

        tokens: uint8 (H, W, C), of which only the digits of earlier stages, and of this one where ``known`` bool
        (H, W) says so, are looked at. Raises InputError for shapes that the model does not take.
        """
        ...


def digit_units(vocabulary: int, branching: int) -> list[int]:
    """What a digit of each stage of depth upscaling counts, most significant first: powers of the base, 1 the last.

    Raises InputError for what is no alphabet.
    """
    if not 2 <= vocabulary <= 256 or branching < 2:
        raise InputError(f"expected a vocabulary of 2 to 256 in digits of 2 or more, found {vocabulary}, {branching}")
    units = [1]
    while units[0] * branching < vocabulary:
        units.insert(0, units[0] * branching)
    return units


@runtime_checkable
class PhaseModel(Model, Protocol):
    """An ARDM over the 2x lattice: known pixels -> integer distribution parameters of the next phase's pixels."""

    @property
    def halo(self) -> int:
        """Rows of context that a strip needs above and below."""
        ...

    def bias(self, phase: int, level: int, codes: tuple[int, int]) -> np.ndarray:
        """First-layer bias int32 (C,) of phase 0 to 2 from the level, 0 the finest, and its side-information codes.

        codes: of luma and chroma, 0 to 15; 16 where none is sent.
        """
        ...

    def strip(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Parameters of a strip of rows: int32 (rows', w, 10K), any values, as of `entropy.logistic.Mixtures`.

        x: the known cosets about the strip, uint8 (3 (phase + 1), rows + 5, w + 5): `lattice.phases.phase_input`.
        before: features that the phase before gave for these rows, (rows, w, C), None at phase 0. The first ``top``
        and last ``bottom`` rows are context and have no place in the result. With the parameters come the features
        for the next phase, (rows', w, C), None after the last.
        """
        ...


@runtime_checkable
class TrackModel(Model, Protocol):
    """An ARDM of agents that move in a plane, causal over time: what is known of all -> where each goes next."""

    def mixtures(self, past: Past, known: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """(parameters int32 (N, 6, K), K at most 16, any values, as of `entropy.grid.GridMixtures`; codes (N, C)).

        Of the agents ``known`` (N,), rising, of whom ``past`` was asked to look. codes: what the last layer was given
        of these, whole numbers below 2^15 in size, by which it may learn. The same numbers on any machine.
        """
        ...


@runtime_checkable
class Tunable(PhaseModel, Protocol):
    """A lattice ARDM whose last layer may be fitted to a picture: `lattice.adjustment`, bitstream_spec/SPEC.md §5.1."""

    @property
    def head_shape(self) -> tuple[int, int, int]:
        """(phases, outputs 10K, inputs C) of the last layers."""
        ...

    def steps(self) -> np.ndarray:
        """float64 (phases, 10K, 2): what a step adds to a parameter: by unit of an input code, and as bias."""
        ...

    def strip_and_codes(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """As :meth:`strip`, and what the last layer is given: codes float32 (rows', w, C)."""
        ...

    def limited(self, steps: np.ndarray) -> np.ndarray:
        """``steps`` int8 (phases, 10K, C + 1), the rows that :meth:`adjusted` would refuse made smaller."""
        ...

    def adjusted(self, steps: np.ndarray) -> Tunable:
        """As this one, with its last layers changed: ``steps`` int8 (phases, 10K, C + 1), the last column the biases'.

        Name and fingerprint stay. Raises ValueError where sums could leave the exact range.
        """
        ...


@runtime_checkable
class FrameModel(Model, Protocol):
    """An ARDM over the 2x lattice of a frame of a clip, which knows other pictures of the same size besides."""

    @property
    def past(self) -> int:
        """R, how many it is given: the frame before, displaced by its motion, and as it is."""
        ...

    @property
    def halo(self) -> int:
        """Rows of context that a strip needs above and below."""
        ...

    def frame_bias(self, phase: int, level: int, codes: tuple[int, ...]) -> np.ndarray:
        """First-layer bias int32 (C,) of phase 0 to 2 from the level, 0 the finest, and its side-information codes.

        codes: of luma and chroma, 0 to 15, or 16 where none is sent; of luma and chroma of how well the past tells the
        level, 0 to 15, 16 where none is sent, 17 where there is no past; `lattice.geometry.KINDS`.
        """
        ...

    def frame_strip(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As `PhaseModel.strip`, with x uint8 (3 (phase + 1 + 4R), rows + 5, w + 5): the past's cosets come last."""
        ...

    @property
    def head_shape(self) -> tuple[int, int, int]:
        """(phases, outputs 10K, inputs C) of the last layers."""
        ...

    def frame_strip_and_codes(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """As :meth:`frame_strip`, and what the last layer is given: codes float32 (rows', w, C)."""
        ...


@runtime_checkable
class DiffusionModel(Model, Protocol):
    """A denoiser of the variance-preserving diffusion z = alpha x + sigma eps, alpha^2 = sigmoid(logsnr)."""

    @property
    def channels(self) -> int:
        """C, of x and z."""
        ...

    @property
    def logsnr_min(self) -> float:
        """Where z is noise, and where a stream starts."""
        ...

    @property
    def logsnr_max(self) -> float:
        """Where x is known as well as this model can tell."""
        ...

    @property
    def grid(self) -> int:
        """Sides of pictures are continued to multiples of it by :meth:`to_latent`; 1: they are as they are."""
        ...

    @property
    def pixels(self) -> bool:
        """Whether x is the picture itself: samples / 127.5 - 1, a point for each pixel. False of a latent model."""
        ...

    @property
    def arithmetic(self) -> str:
        """What it multiplies: "float32", "bfloat16", ...; a fact of a pinned archive's environment."""
        ...

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, C, h, w), at one log-SNR, float32 ()."""
        ...

    def x_hat(self, z: Tensor, units: int) -> Tensor:
        """E[x|z_t] float64, of the shape of z float32 (N, C, h, w), at log-SNR ``units``/1024.

        Of a model of class EXACT the same numbers on any machine, for any batch.
        """
        ...

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """(C, h, w) of x of a picture of ``shape`` (H, W). Raises InputError for sizes that it does not take."""
        ...

    def to_latent(self, image: Tensor) -> Tensor:
        """x float32 (N, C, h, w), where the model is, of pictures uint8 (N, 3, H, W)."""
        ...

    def from_latent(self, x: Tensor) -> Tensor:
        """Pictures uint8 (N, 3, H', W') of x, sides continued to multiples of ``grid``: the inverse up to rounding."""
        ...


@runtime_checkable
class Shortened(DiffusionModel, Protocol):
    """A denoiser that may come to a picture of the picture's kind in fewer calls than others: fitted, or a student."""

    @property
    def shortcut(self) -> Multistep | None:
        """How; None as others do."""
        ...


@runtime_checkable
class Continued(DiffusionModel, Protocol):
    """A denoiser from whose E[x|z_t] on another one finds the picture of `flow`: it knows textures better."""

    @property
    def further(self) -> DiffusionModel:
        """That one, of the same x."""
        ...


@runtime_checkable
class Posed(DiffusionModel, Protocol):
    """A denoiser of pictures that are as likely mirrored: the mean of its answers to mirrored z errs less."""

    @property
    def poses(self) -> int:
        """How many to take the mean of for E[x|z_t] that is shown: 1 as it stands, 2, or 4."""
        ...

    def posed(self, z: Tensor, logsnr: Tensor, sides: tuple[int, ...]) -> Tensor:
        """As :meth:`predict`, by an answer to z and all that is known, both mirrored along ``sides``, 2, 3 or both."""
        ...


@runtime_checkable
class Framed(DiffusionModel, Protocol):
    """A denoiser that sees the frames of a clip together; as it is, of each picture by itself."""

    def framed(self, frames: int) -> DiffusionModel:
        """The model of so many frames of one height that lie one below another; name and fingerprint stay."""
        ...


def framed(model: DiffusionModel, frames: int) -> DiffusionModel:
    """The model of ``frames`` frames one below another: its own, if it is `Framed`, else itself, of a tall picture."""
    return model.framed(frames) if frames > 1 and isinstance(model, Framed) else model


def bfloat16_serves(device: str) -> bool:
    """Whether a kind of device multiplies bfloat16 itself.

    torch emulates it on other processors with AVX-512, which takes twice the time of float32.
    """
    import torch

    if device != "cpu":
        return device == "cuda"
    own = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if platform.machine() in ("x86_64", "AMD64") and not any(getattr(torch.cpu, name, bool)() for name in own):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


def device_of(device: str) -> str:
    """The device's name; "auto" is CUDA when there is one. Raises InputError for CUDA where there is none."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but torch finds no CUDA device; use device 'cpu' or 'auto'")
    return device


def single_threaded() -> None:
    """Makes torch use one thread in the thread that calls: for workers that run networks side by side."""
    import torch

    torch.set_num_threads(1)
