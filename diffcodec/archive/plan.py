"""The plan that all groups of an archive share: the model, and of a diffusion its schedule, told by the header."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from ..bitstream.header import NUMERICS
from ..media.medium import Signal
from ..models import registry
from ..models.protocols import DiffusionModel, Model
from ..runtime.errors import InputError
from ..runtime.stages import stage

if TYPE_CHECKING:
    import numpy as np

    from ..codecs.vdm.schedule import Schedule
    from ..media.picture import Picture

_PROBE = 128  # side of the parts that the schedule is measured on
EXACT, PINNED = NUMERICS.index("exact"), NUMERICS.index("pinned")


@dataclass(frozen=True)
class Plan:
    """What a group's coding takes besides its pictures; sent to worker processes.

    batch: pictures a network call takes at most, None by their size. max_pixels: of a picture to decode, None for the
    default. budget: how many times the work that a group's bytes stand for by default may be done.
    """

    model: Any
    device: str
    params: bytes
    batch: int | None = None
    max_pixels: int | None = None
    budget: float = 1.0

    @property
    def codec(self) -> str:
        """Of the chain; where there is none, of the streams."""
        return "vdm" if self.params else "ardm"

    @property
    def stream_model(self) -> Any:
        """The model of the pictures that are streams of their own: beside a chain the codec's default."""
        return None if self.params else self.model

    def provider(self, fingerprint: bytes | None = None) -> Model:
        """The model itself. Raises ModelNotFound, ModelMismatch."""
        return registry.load(self.model, device=self.device, fingerprint=fingerprint, codec=self.codec)

    def denoiser(self, fingerprint: bytes | None = None) -> DiffusionModel:
        """The model of a chain. Raises ModelNotFound, ModelMismatch."""
        return registry.load(self.model, device=self.device, fingerprint=fingerprint, codec="vdm")

    def schedule(self) -> tuple[Schedule | None, str]:
        """(schedule, environment) from the parameters; (None, "") of an ARDM's archive. Raises CorruptStream."""
        if not self.params:
            return None, ""
        from ..codecs.vdm.schedule import Schedule

        schedule, rest = Schedule.from_bytes(self.params)
        return schedule, rest.decode("utf-8", "replace")


def make_plan(
    model: Any,
    device: str,
    steps: int | None,
    batch: int | None,
    pictures: Callable[[], Sequence[Signal]],
    earlier: bytes = b"",
) -> Plan:
    """The plan for an archive that begins with these pictures: a diffusion's schedule is measured on them.

    Where ``earlier``, the parameters of another plan, are of a schedule of as many steps, made where this one would be,
    they are kept instead. Raises InputError, ModelNotFound, ModelMismatch.
    """
    from ..codecs.vdm import schedule as vdm

    ardm = Plan(model, device, b"", batch)
    if model is not None and not isinstance(registry.load(model, device=device, codec=None), DiffusionModel):
        if steps is not None:
            raise InputError(f"'{ardm.provider().name}' is no diffusion model and takes no steps: leave them out")
        return ardm
    provider = registry.load(model, device=device, codec="vdm")
    steps, environment = vdm.STEPS if steps is None else steps, environment_of(provider)
    before, made = Plan(model, device, earlier).schedule()
    if before is not None and (before.steps, made) == (steps, environment):
        return Plan(model, device, earlier, batch)
    parts = [_centre(p.samples) for p in pictures() if chainable(p)]
    if not parts:
        import numpy as np

        parts = [np.zeros((32, 32, 3), np.uint8)]
    with stage("measuring the schedule"):
        schedule = vdm.measure(parts, provider, steps)
    return Plan(model, device, schedule.to_bytes() + environment.encode(), batch)


def chainable(signal: Signal) -> TypeGuard[Picture]:
    """Whether it may stand in a chain: a picture of 8 bits in colour, without frames; the others are streams."""
    if signal.mode != "RGB" or signal.following:
        return False
    return not bool((signal.array[..., :1] == signal.array).all())


def _centre(samples: np.ndarray) -> np.ndarray:
    y, x = (max(0, (n - _PROBE) // 2) for n in samples.shape[:2])
    return samples[y : y + _PROBE, x : x + _PROBE]


def environment_of(provider: DiffusionModel) -> str:
    """What decoding depends on besides the model: nothing if that is exact."""
    from ..models.environment import environment, numerics_of

    if provider.numerics == EXACT:
        return ""
    with numerics_of(provider):
        where = environment(str(provider.device).partition(":")[0])
    return f"{where}, {provider.arithmetic}"


def differing(made: str, here: str) -> str:
    """The facts of an environment that differ from those of another: "torch 2.9 (here torch 2.13), ..."."""
    pairs = itertools.zip_longest(made.split(", "), here.split(", "), fillvalue="nothing")
    return ", ".join(f"{a} (here {b})" for a, b in pairs if a != b)
