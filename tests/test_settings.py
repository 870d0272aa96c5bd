"""Torch's global settings, and NumPy's and decimal's: exact streams do not care, and all is left as it was found.

Each setting is made in this process, and in a fresh one before anything of diffcodec is imported.
"""

from __future__ import annotations

import contextlib
import decimal
import hashlib
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import decoded, needs_weights

import diffcodec
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.vdm import codec as vdm
from diffcodec.codecs.vdm.schedule import Schedule
from diffcodec.models import registry, settings
from diffcodec.models.lattice import adjustment
from diffcodec.models.tokens import by_digit

MKLDNN = torch.backends.mkldnn
FINER = hasattr(MKLDNN, "matmul")  # torch 2.9 and later

#: name -> statements that make the setting; run here inside `setting`, which puts it back
SETTINGS = {
    "medium": "torch.set_float32_matmul_precision('medium')",
    "high": "torch.set_float32_matmul_precision('high')",
    "double": "torch.set_default_dtype(torch.float64)",
    "half": "torch.set_default_dtype(torch.float16)",
    "meta": "torch.set_default_device('meta')",
    "meta-context": "torch.device('meta').__enter__()",
    "inference": "guard = torch.inference_mode(); guard.__enter__()",
    "no-gradients": "torch.set_grad_enabled(False)",
    "bfloat16": "guard = torch.autocast('cpu', torch.bfloat16); guard.__enter__()",
    "float16": "guard = torch.autocast('cpu', torch.float16); guard.__enter__()",
    "deterministic": "torch.use_deterministic_algorithms(True)",
    "no-denormals": "torch.set_flush_denormal(True)",
    "threads": "torch.set_num_threads(3)",
    "no-mkldnn": "torch.backends.mkldnn.set_flags(_enabled=False)",
    "numpy": "np.seterr(all='raise')",
    "decimal": "decimal.setcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP, traps=[decimal.Inexact]))",
}
if FINER:
    SETTINGS |= {
        "fp32-generic": "torch.backends.fp32_precision = 'bf16'",
        "fp32-matmul": "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
        "fp32-conv": "torch.backends.mkldnn.conv.fp32_precision = 'bf16'",
    }


def found() -> dict[str, object]:
    """The settings as they are."""
    out: dict[str, object] = {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "inference": torch.is_inference_mode_enabled(),
        "gradients": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "numpy": np.geterr(),
        "decimal": repr(decimal.getcontext()).partition("flags")[0],
        "random": torch.get_rng_state().sum() if torch.get_default_device().type == "cpu" else None,
        "denormals": float(np.float32(1e-40) * np.float32(1)),
    }
    if FINER:
        parts = {
            "all": torch.backends,
            "matmul": MKLDNN.matmul,
            "conv": MKLDNN.conv,
            "cuda": torch.backends.cuda.matmul,
        }
        out |= {name: part.fp32_precision for name, part in parts.items()}
    with contextlib.suppress(RuntimeError):  # torch refuses to say where the finer ones differ
        out["precision"] = torch.get_float32_matmul_precision()
    return out


@contextlib.contextmanager
def setting(name: str) -> Iterator[None]:
    names: dict[str, Any] = {"torch": torch, "np": np, "decimal": decimal}
    dtype, threads, numpy, context = (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        np.geterr(),
        decimal.getcontext(),
    )
    enabled = MKLDNN.set_flags(_enabled=True)[0]
    try:
        exec(SETTINGS[name], names)
        before = found()
        yield
        assert found() == before
    finally:
        if "guard" in names:
            names["guard"].__exit__(None, None, None)
        if name == "meta-context":
            torch.device("cpu").__exit__(None, None, None)
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(True)
        torch.use_deterministic_algorithms(False)
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
        MKLDNN.set_flags(_enabled=enabled)
        np.seterr(**numpy)
        decimal.setcontext(context)
        if FINER:
            torch.backends.fp32_precision = "none"
            MKLDNN.conv.fp32_precision = "none"
        torch.set_float32_matmul_precision("highest")
        if FINER:  # which the line above sets, where there was nothing
            MKLDNN.matmul.fp32_precision = torch.backends.cuda.matmul.fp32_precision = "none"


def picture(h: int = 21, w: int = 26) -> np.ndarray:
    """Smooth, with grain: coded by the networks, not by the context coder."""
    y, x = np.mgrid[0:h, 0:w]
    grain = np.random.default_rng(1).integers(-9, 10, (h, w, 3))
    return ((120 + 60 * np.sin(y / 7) * np.cos(x / 9))[..., None] + grain).astype(np.uint8)


# ---- what is coded: name -> (encode, decode), for all exact models


def _streams(model: str, **options: Any) -> tuple[Callable[[], bytes], Callable[[bytes], np.ndarray]]:
    return (
        lambda: diffcodec.encode(picture(), model=model, device="cpu", **options),
        lambda data: diffcodec.decode(data, device="cpu"),
    )


def _forced(runtime: str) -> tuple[Callable[[], bytes], Callable[[bytes], np.ndarray]]:
    """The runtimes that this machine would not choose by itself."""

    def load() -> Any:
        return registry.load("cifar10-ardm", device="cpu", runtime=runtime)

    return (
        lambda: diffcodec.encode(picture(), model=load()),
        lambda data: diffcodec.decode(data, model=load()),
    )


def _chain() -> tuple[Callable[[], bytes], Callable[[bytes], np.ndarray]]:
    """A bits-back chain through the integer U-Net."""
    photos = [picture(16, 16)]
    knots = tuple(range(-8000, 11001, 1000))
    schedule = Schedule.placed(2, knots, tuple(range(20, 20 + 90 * len(knots), 90)), 30)
    initial = bytes(np.random.default_rng(0).integers(0, 256, 4000, np.uint8))

    def model() -> Any:
        return registry.load("cifar10-vdm", device="cpu", codec="vdm")

    return (
        lambda: vdm.encode(photos, [1], model(), schedule, initial),
        lambda data: np.stack(vdm.decode(data, [(16, 16)], [1], model(), schedule)[0]),
    )


def _ordered() -> tuple[Callable[[], bytes], Callable[[bytes], np.ndarray]]:
    """The order-agnostic network, whether or not it is the smaller way to code so small a picture; one pass."""

    def encode() -> bytes:
        model = registry.load("cifar10-oa", device="cpu")
        params, (payload,) = ardm.encode(picture(), picture()[..., :0], model, method=ardm.ORDERED, calls=2)
        return bytes([len(params)]) + params + payload

    def decode(data: bytes) -> np.ndarray:
        model, end = registry.load("cifar10-oa", device="cpu"), 1 + data[0]
        return decoded(data[1:end], [data[end:]], *picture().shape, 0, model)[0]

    return encode, decode


CODED = {
    "photo-ardm": _streams("photo-ardm"),
    "cifar10-ardm": _streams("cifar10-ardm"),
    "float32": _forced("float32"),
    "torch32": _forced("torch32"),
    "cifar10-oa": _ordered(),
    "cifar10-vdm": _chain(),
}
pytestmark = needs_weights


def fresh() -> None:
    """Forget what is loaded: models are built under the setting as well."""
    registry._loaded.clear()


@pytest.fixture(scope="module")
def usual() -> dict[str, tuple[bytes, np.ndarray]]:
    """What each model makes of the picture under no setting."""
    fresh()
    out = {}
    for name, (encode, decode) in CODED.items():
        data = encode()
        out[name] = data, decode(data)
        assert name in ("cifar10-oa", "cifar10-vdm") or diffcodec.inspect(data)["model"]  # coded by its network
    return out


@pytest.mark.parametrize("name", SETTINGS)
def test_exact_streams_do_not_care(name: str, usual: dict[str, tuple[bytes, np.ndarray]]) -> None:
    with setting(name):
        fresh()
        for model, (encode, decode) in CODED.items():
            data, pixels = usual[model]
            assert encode() == data, model
            assert np.array_equal(decode(data), pixels), model
    for model, (_, decode) in CODED.items():  # and what was loaded under it serves without
        assert np.array_equal(decode(usual[model][0]), usual[model][1]), model
    fresh()


@pytest.mark.parametrize("name", ["medium", "half", "meta", "inference", "bfloat16", "decimal"])
def test_a_fresh_process_under_the_setting(
    name: str, usual: dict[str, tuple[bytes, np.ndarray]], tmp_path: Any
) -> None:
    """The setting comes before the import of diffcodec: what modules compute when they are imported does not care."""
    script = f"""
import sys; sys.path[:0] = {sys.path!r}
import decimal, hashlib, numpy as np, torch
{SETTINGS[name]}
import test_settings as t
for name, (encode, decode) in t.CODED.items():
    data = encode()
    print(name, hashlib.sha256(data).hexdigest(), hashlib.sha256(decode(data).tobytes()).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    wanted = [
        f"{model} {hashlib.sha256(data).hexdigest()} {hashlib.sha256(pixels.tobytes()).hexdigest()}"
        for model, (data, pixels) in usual.items()
    ]
    assert done.stdout.split("\n")[: len(wanted)] == wanted


# ---- a machine that computes float32 products in bfloat16 when it may


def _round(*tensors: Any) -> list[Any]:
    return [
        t.bfloat16().to(t.dtype) if isinstance(t, torch.Tensor) and t.dtype == torch.float32 else t for t in tensors
    ]


class Bfloat16Machine(torch.overrides.TorchFunctionMode):
    """Products of float32 lose all but eight bits unless the setting that asks for them whole stands at that moment.

    Not every processor does so; on those that do, files made under "medium" were lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rounded = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        product = getattr(function, "__name__", "") in ("mm", "matmul", "__matmul__", "bmm", "addmm", "conv2d")
        if product and torch.get_float32_matmul_precision() != "highest" and _allowed():
            self.rounded += 1
            args = _round(*args)
        return function(*args, **(kwargs or {}))


def _allowed() -> bool:
    return not FINER or MKLDNN.matmul.fp32_precision not in settings.EXACT_FLOAT32


@pytest.fixture
def bfloat16_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bfloat16Machine]:
    """Its mode is a thread's own, so workers' products are caught where they enter torch."""
    machine = Bfloat16Machine()

    def caught(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return machine.__torch_function__(function, (), args, kwargs)

        call.__name__ = function.__name__
        return call

    for name in ("mm", "addmm", "bmm"):
        monkeypatch.setattr(torch, name, caught(getattr(torch, name)))
    monkeypatch.setattr(torch.nn.functional, "conv2d", caught(torch.nn.functional.conv2d))
    with machine:
        yield machine


def test_medium_on_a_machine_that_has_bfloat16(
    usual: dict[str, tuple[bytes, np.ndarray]], bfloat16_machine: Bfloat16Machine
) -> None:
    with setting("medium"):
        a, b = torch.full((4, 4), 1.01), torch.eye(4)
        assert not torch.equal(torch.mm(a, b), a)  # it is such a machine
        rounded = bfloat16_machine.rounded
        assert rounded
        fresh()
        for model, (encode, decode) in CODED.items():
            data, pixels = usual[model]
            assert encode() == data, model
            assert np.array_equal(decode(data), pixels), model
    fresh()
    assert bfloat16_machine.rounded == rounded


def test_tuned_streams_under_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit to a picture runs, and what it sends decodes, under any of them."""
    monkeypatch.setattr(adjustment, "STEPS", 10)
    photo = picture(130, 131)
    wanted = diffcodec.encode(photo, tune=True, device="cpu")
    for name in ("half", "meta", "inference", "bfloat16"):
        with setting(name):
            data = diffcodec.encode(photo, tune=True, device="cpu")
            assert np.array_equal(diffcodec.decode(data, device="cpu"), photo), name
            assert abs(len(data) - len(wanted)) <= 0.001 * len(wanted), name
        assert np.array_equal(diffcodec.decode(data, device="cpu"), photo), name


# ---- lossy streams: not exact, and not upset


@pytest.fixture(scope="module")
def lossy() -> tuple[bytes, np.ndarray]:
    fresh()
    data = diffcodec.encode(picture(32, 32), "diffc", bpp=1.0, device="cpu")
    return data, diffcodec.decode(data, reconstruction="mean", device="cpu")


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - {"decimal", "threads"}))
def test_lossy_streams_differ_by_rounding(name: str, lossy: tuple[bytes, np.ndarray]) -> None:
    data, pixels = lossy
    with setting(name):
        fresh()
        again = diffcodec.decode(data, reconstruction="mean", device="cpu")
        made = diffcodec.encode(picture(32, 32), "diffc", bpp=1.0, device="cpu")
    fresh()
    assert np.square(again.astype(float) - pixels).mean() < 0.5  # 51 dB: rounding, not another picture
    error = [
        np.square(p.astype(float) - picture(32, 32)).mean() for p in (diffcodec.decode(made), diffcodec.decode(data))
    ]
    assert error[0] < 1.2 * error[1]


# ---- the holding itself


def test_held_by_several_threads_until_the_last_is_gone() -> None:
    """Were the first to leave the one that puts it back, the others would go on under the caller's setting."""
    seen, left, enter = [], threading.Event(), threading.Barrier(2, timeout=60)

    def long() -> None:
        with settings.held():
            enter.wait()
            left.wait(60)
            seen.append(torch.get_float32_matmul_precision() if not FINER else MKLDNN.matmul.fp32_precision)

    with setting("medium"):
        thread = threading.Thread(target=long)
        with settings.held():
            thread.start()
            enter.wait()
        left.set()
        thread.join()
        assert torch.get_float32_matmul_precision() == "medium"
    assert seen in (["ieee"], ["highest"])


def test_held_puts_back_after_an_error() -> None:
    with setting("medium"), pytest.raises(ZeroDivisionError), settings.held():
        raise ZeroDivisionError


@pytest.mark.skipif(not FINER, reason="this torch has one setting only")
def test_what_was_inherited_is_inherited_again() -> None:
    with setting("fp32-generic"):
        with settings.held():
            assert MKLDNN.matmul.fp32_precision == "ieee" == MKLDNN.conv.fp32_precision
        assert MKLDNN.matmul.fp32_precision == "bf16"
        torch.backends.fp32_precision = "tf32"
        assert MKLDNN.matmul.fp32_precision == "tf32"
        torch.backends.fp32_precision = "bf16"


def test_no_draw_is_taken_from_the_callers_generator() -> None:
    fresh()
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    for name in ("photo-vdm", "photo-ardm", "cifar10-oa"):
        registry.load(name, device="cpu", codec=None)
    assert torch.equal(torch.rand(3), wanted)


def test_digits_by_products_and_by_scattering() -> None:
    """The way of other devices gives what the CPU's gives, and does not add in any order."""
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(3, 5, 16, generator=generator).softmax(-1)
    digit = torch.arange(16).expand(3, 5, 16) // 4
    stacked = torch.stack([(p * (digit == k)).sum(-1) for k in range(4)], -1)
    assert torch.allclose(by_digit(p, digit, 4), stacked, atol=1e-6)
    assert by_digit(p.to("meta"), digit.to("meta"), 4).shape == (3, 5, 4)


def test_nothing_is_said() -> None:
    """Holding warns of nothing, whatever the setting."""
    for name in SETTINGS:
        with setting(name), warnings.catch_warnings():
            warnings.simplefilter("error")
            with settings.held(), settings.outside_inference():
                pass
