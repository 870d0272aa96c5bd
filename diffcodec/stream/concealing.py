"""What is left of a damaged stream: the passes before the damage, and which pixels of them are what was encoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..bitstream.container import StreamReader
from ..codecs import budget as budgets
from ..media.medium import Signal
from ..runtime.errors import BitstreamError, Truncated
from ..runtime.progress import Progress
from .decode import Wanted, Work, decode
from .parsed import parse
from .sources import Source, read_all

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Concealed:
    """What is left of a stream.

    signal: at full size, with its metadata, and what was lost filled in from what came before it. known: bool (H, W),
    pixels whose colours are exactly what was encoded; none of a lossy stream. lost: what is wrong, "" if nothing is;
    passes: how many of them were there.
    """

    signal: Signal
    known: NDArray[np.bool_]
    lost: str
    passes: int

    @property
    def image(self) -> NDArray[Any]:
        """The samples of the signal: uint8 (H, W) or (H, W, C), or whatever `decode` gives of it."""
        return self.signal.array


def left_of(source: Source, wanted: Wanted, progress: Progress | None = None) -> Concealed:
    """The first signal of a stream, whole or damaged behind its first pass.

    Raises what `decode` raises where nothing can be shown: a damaged header, no pass, a model that is not here.
    """
    import numpy as np

    data = read_all(source, wanted.upto)
    reader, lost, damage = StreamReader(wanted.limits), "", None
    try:
        reader.feed(data)
        if reader.pending:
            lost = "the stream ends within a chunk"
    except BitstreamError as error:
        lost, damage = str(error).split(";")[0], error
    if not reader.begun:
        raise damage or Truncated("the stream ends within its header; nothing can be shown")
    container = reader.container()
    whole = container.complete and not lost
    stream = parse(container if whole else replace(container, frames=[], digest=None))
    budgets.check(stream.prefixes, len(data), wanted.budget, wanted.reconstruction)
    if whole:
        signal = decode(stream, wanted, progress)
        return Concealed(signal, np.full(signal.geometry, stream.lossless), "", len(container.passes))
    work = Work(stream, wanted)
    work.receiver.take_all(container.passes, progress)
    signal = work.signal(stream).told(stream.metadata, complete=False, exact=False)
    known = work.receiver.known()
    known = np.zeros(signal.geometry, bool) if known is None else known
    return Concealed(signal, known, lost or "the stream ends before its end chunk", len(container.passes))
