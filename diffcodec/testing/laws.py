"""What suites of laws have in common, and the laws of every model."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from ..models.architectures import first_line
from ..models.protocols import EXACT, PINNED, TOLERANT, Model
from ..runtime.recorded import MOST_BYTES, recordable

if TYPE_CHECKING:
    from typing_extensions import Self


class LawBroken(AssertionError):
    """A model does not keep a law of its kind; the message says which, and what was found."""


def demand(holds: object, told: str) -> None:
    """Raises LawBroken with what is told unless ``holds``; unlike ``assert`` also where Python optimises."""
    if not holds:
        raise LawBroken(told)


class Laws:
    """A suite: every method whose name begins with ``test_`` is a law, a sentence in its docstring."""

    kind: ClassVar[type]  #: the protocol whose laws these are

    def make(self) -> Any:
        """The model, made anew or the same at every call."""
        raise NotImplementedError(f"{type(self).__name__} has no make()")

    def model(self) -> Any:
        """The model, of the kind whose laws these are. Raises LawBroken."""
        model = self.make()
        demand(isinstance(model, self.kind), f"{type(model).__name__} is no {self.kind.__name__}: members are missing")
        return model

    @classmethod
    def of(cls, model: object, **options: Any) -> Self:
        """The suite for one model; ``options`` take the place of attributes of the class."""
        made: type[Self] = type(cls.__name__, (cls,), {"make": lambda self: model, **options})
        return made()

    @classmethod
    def laws(cls) -> list[str]:
        """Names of the laws."""
        return sorted(name for name in dir(cls) if name.startswith("test_"))

    def check(self) -> None:
        """All laws, one after another. Raises LawBroken, also where the model fails within one."""
        for name in self.laws():
            try:
                getattr(self, name)()
            except LawBroken:
                raise
            except Exception as error:
                raise LawBroken(f"{name}: {type(error).__name__}: {first_line(error)}") from error


class ModelLaws(Laws):
    """What holds of every model."""

    kind: ClassVar[type] = Model

    def test_its_name_can_be_recorded(self) -> None:
        """A stream records the name: a plain one of few bytes, no path."""
        name = self.model().name
        demand(isinstance(name, str), f"expected a name that is a str, found {name!r}")
        demand(recordable(name), f"expected a plain name of 1 to {MOST_BYTES} bytes without slashes, found {name!r}")

    def test_its_fingerprint_is_a_digest(self) -> None:
        """32 bytes, as of SHA-256, the same whenever it is asked."""
        model = self.model()
        found = model.fingerprint
        demand(type(found) is bytes and len(found) == 32, f"expected a fingerprint of 32 bytes, found {found!r}")
        demand(found == model.fingerprint == self.model().fingerprint, "the fingerprint is another every time")

    def test_its_numerics_are_a_class(self) -> None:
        """Exact, pinned or tolerant."""
        numerics = self.model().numerics
        demand(numerics in (EXACT, PINNED, TOLERANT), f"expected numerics 0, 1 or 2, found {numerics!r}")

    def test_its_device_is_one(self) -> None:
        """A device of torch, or the name of one."""
        device = self.model().device
        try:
            torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise LawBroken(f"expected a device of torch, found {device!r}: {first_line(error)}") from error


# ---- settings of the process that a model must not depend on


def _torch_setting(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
    @contextlib.contextmanager
    def held() -> Iterator[None]:
        before = read()
        write(value)
        try:
            yield
        finally:
            write(before)

    return held


#: by name, contexts that a caller of the codecs may have set
SETTINGS: dict[str, Callable[[], Any]] = {
    "the default dtype": _torch_setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "the default device": lambda: torch.device("meta"),
    "the precision of products": _torch_setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "gradients": torch.enable_grad,
    "deterministic algorithms": _torch_setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "one thread": _torch_setting(torch.get_num_threads, torch.set_num_threads, 1),
    "three threads": _torch_setting(torch.get_num_threads, torch.set_num_threads, 3),
}


@contextlib.contextmanager
def nobody_drew() -> Iterator[None]:
    """That what happens within draws no number from anybody's global generator. Raises LawBroken."""
    before = _generators()
    yield
    demand(_generators() == before, "it draws from a global generator: of torch, of NumPy or of Python")


def _generators() -> tuple[object, ...]:
    numpys: Any = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), numpys[1].tobytes(), numpys[2:], random.getstate()
