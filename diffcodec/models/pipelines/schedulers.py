"""What a scheduler's configuration says of a network: its prediction and its noise, on the variance-preserving chain.

Only what a network was trained on counts: spacing of timesteps, order of a solver, shifts and Karras' sigmas say where
a sampler asks, and are the sampler's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...diffusion.schedules import Flow, Outputs, Preconditioned, Schedule, Timesteps
from ...runtime.errors import ModelMismatch
from ..guidance import PERCENTILE
from ..network import Kind

KINDS = {"epsilon": "eps", "sample": "x", "v_prediction": "v", "flow_prediction": "flow"}  #: of `prediction_type`


@dataclass(frozen=True)
class Trained:
    """predicts, schedule: as `network.NetworkDenoiser` takes them. bound: x_hat is kept within ±it, None: nowhere.

    share, most: of dynamic thresholding, the quantile of |x_hat| and the most that it may be (Imagen, arXiv 2205.11487,
    §2.3). student: whether x_hat is the answer, a consistency model's.
    """

    predicts: Kind
    schedule: Schedule
    bound: float | None = None
    share: float = PERCENTILE
    most: float = float("inf")
    student: bool = False


def trained(scheduler: Any) -> Trained:
    """What the scheduler object says. Raises ModelMismatch for what is not understood, by name."""
    name = type(scheduler).__name__
    if name not in SCHEDULERS:
        raise ModelMismatch(f"no row for scheduler {name}: expected one of {', '.join(SCHEDULERS)}")
    return SCHEDULERS[name](scheduler, scheduler.config)


Row = Callable[[Any, Mapping[str, Any]], Trained]


def _kind(config: Mapping[str, Any]) -> str:
    told = config.get("prediction_type", "epsilon")
    if told not in KINDS:
        raise ModelMismatch(f"no prediction_type {told!r} is known: expected one of {', '.join(KINDS)}")
    return KINDS[told]


def _discrete(scheduler: Any, config: Mapping[str, Any]) -> Trained:
    """alpha^2 of each timestep, as the scheduler made them of betas, rescaled or not; or a flow where it says so."""
    kind = _kind(config)
    if (kind == "flow") is not bool(config.get("use_flow_sigmas", False)):
        raise ModelMismatch(f"use_flow_sigmas does not go with a prediction of {config.get('prediction_type')}")
    if config.get("timestep_type", "discrete") != "discrete":
        raise ModelMismatch(f"no timestep_type {config['timestep_type']!r} is known: expected 'discrete'")
    if kind == "flow":
        return _flow(scheduler, config)
    clip = config.get("clip_sample_range", 1.0) if config.get("clip_sample", False) else None
    dynamic = config.get("thresholding", False)
    return Trained(
        kind,
        Timesteps.of(scheduler.alphas_cumprod.tolist()),
        bound=clip,
        share=config["dynamic_thresholding_ratio"] if dynamic else Trained.share,
        most=config["sample_max_value"] if dynamic else Trained.most,
    )


def _flow(scheduler: Any, config: Mapping[str, Any]) -> Trained:
    """y = (1 - t) x + t eps; the timestep is t times ``num_train_timesteps``, at least 1."""
    if config.get("invert_sigmas", False):
        raise ModelMismatch("no scheduler with invert_sigmas is known")
    steps = config["num_train_timesteps"]
    return Trained("flow", Flow(unit=float(steps), least=1 / steps))


def _edm(scheduler: Any, config: Mapping[str, Any]) -> Trained:
    signs = {"epsilon": 1, "v_prediction": -1}
    if config["prediction_type"] not in signs:
        raise ModelMismatch(f"no prediction_type {config['prediction_type']!r} of EDM is known: expected {list(signs)}")
    data = config["sigma_data"]
    return Trained(
        Outputs(data, sign=signs[config["prediction_type"]]),
        Preconditioned(config["sigma_min"], config["sigma_max"], data),
    )


def _consistency(scheduler: Any, config: Mapping[str, Any]) -> Trained:
    low, high, data = config["sigma_min"], config["sigma_max"], config["sigma_data"]
    return Trained(Outputs(data, boundary=low), Preconditioned(low, high, data, unit=1000.0), bound=1.0, student=True)


#: by class: those of betas, EDM's (arXiv 2206.00364), those of flows (arXiv 2209.03003), consistency (arXiv 2303.01469)
SCHEDULERS: dict[str, Row] = {
    **dict.fromkeys(
        (
            "DDPMScheduler",
            "DDIMScheduler",
            "PNDMScheduler",
            "DEISMultistepScheduler",
            "DPMSolverMultistepScheduler",
            "DPMSolverSinglestepScheduler",
            "EulerAncestralDiscreteScheduler",
            "EulerDiscreteScheduler",
            "HeunDiscreteScheduler",
            "LMSDiscreteScheduler",
            "UniPCMultistepScheduler",
        ),
        _discrete,
    ),
    "EDMDPMSolverMultistepScheduler": _edm,
    "EDMEulerScheduler": _edm,
    "FlowMatchEulerDiscreteScheduler": _flow,
    "FlowMatchHeunDiscreteScheduler": _flow,
    "CMStochasticIterativeScheduler": _consistency,
}
