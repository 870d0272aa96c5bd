"""What a reader makes of a lossy stream: how far from the least squared error to a picture of the picture's kind.

Of all estimates of one Wasserstein-2 distance from the pictures that there are, the one of least squared error lies on
the straight line from the mean, E[x|z_t], to the best of those at distance 0 (arXiv 2107.02555, theorem 3). `flow`
stands for that end: it is it for Gaussian sources, and near it where the network's density is near the pictures'.
Importing this loads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..runtime.errors import InputError

if TYPE_CHECKING:
    from ..models.protocols import DiffusionModel

#: reconstructions by name, and the realism that each is
REALISM = {"flow": 1.0, "ancestral": 1.0, "mean": 0.0}
LINE = "flow"  #: what the straight line leads to
#: the lowest LPIPS of training photographs, mean of 0.1 to 0.5 bpp (`benchmarks.studies.realism`)
DEFAULT_REALISM = 0.75


@dataclass(frozen=True)
class Decoder:
    """What makes `flow` of z_t, in place of the stream's model by its own few calls.

    model: another one, whose calls of its own they are; None is the stream's, in as many as any model takes. calls: of
    the network at most.
    """

    model: DiffusionModel | None
    calls: int


@dataclass(frozen=True)
class Reconstruction:
    """x = (1 - realism) mean + realism real: ``name`` says what makes ``real``, a row of `samplers.RECONSTRUCTIONS`.

    decoder: what makes `flow`; None is the stream's model as it does that in the fewest calls.
    """

    name: str = LINE
    realism: float = DEFAULT_REALISM
    decoder: Decoder | None = None

    @classmethod
    def of(cls, name: str | None = None, realism: float | None = None) -> Reconstruction:
        """The one of a name, or of a realism, 0 to 1, on the line from `mean` to `flow`; the default of neither.

        Raises InputError for a name that there is not, a realism out of range, and the two where they disagree.
        """
        if name is not None and name not in REALISM:
            first, *others = REALISM
            raise InputError(f"expected reconstruction {first}, {' or '.join(others)}, found {name}")
        if realism is not None and not 0 <= realism <= 1:
            raise InputError(f"expected realism from 0 (mean) to 1 ({LINE}), found {realism}")
        if name is None:
            far = DEFAULT_REALISM if realism is None else float(realism)
            return cls(LINE, far) if far else MEAN
        if realism not in (None, REALISM[name]):
            raise InputError(
                f"reconstruction {name} is realism {REALISM[name]:g}, and realism {realism:g} was asked for: "
                "give one of the two"
            )
        return cls(name, REALISM[name])

    def by(self, decoder: Decoder | None) -> Reconstruction:
        """The same with another decoder. Raises InputError where there is no `flow` to make."""
        if decoder is not None and self.name != LINE:
            raise InputError(f"a decoder makes the {LINE}, and the {self.name} was asked for: leave one of them out")
        return replace(self, decoder=decoder)


MEAN = Reconstruction("mean", 0.0)
NAMED = {name: Reconstruction(name, realism) for name, realism in REALISM.items()}  #: all that have a name
DEFAULT = Reconstruction.of()
