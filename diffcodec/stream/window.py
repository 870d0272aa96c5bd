"""Some frames of tracks, of the passes that hold them alone where the stream is made so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..codecs import budget as budgets
from ..codecs.codec import RowReceiver
from ..media.medium import RowForm
from ..runtime.errors import InputError
from ..runtime.hostile import guarded
from ..runtime.progress import Progress, end
from ..runtime.threads import limited
from .decode import Wanted, Work, decode
from .parsed import Stream, read
from .sources import Source, read_all

if TYPE_CHECKING:
    from ..media.tracks import Tracks


@guarded
def decode_frames(
    data: Source,
    first: int,
    last: int,
    *,
    model: Any = None,
    max_pixels: int | None = None,
    budget: float = 1.0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Tracks:
    """Frames ``first`` to ``last`` - 1 of tracks, of the passes alone that hold them where the stream is made so.

    Of such no digest is compared, which is of all frames, but the checksums are. Other options as of `decode`.
    Raises as that, and InputError for another medium and for frames that are not there.
    """
    wanted = Wanted.of(model=model, max_pixels=max_pixels, budget=budget)
    source = read_all(data)
    stream = read(source, limits=wanted.limits)
    if stream.medium.name != "tracks":
        raise InputError(f"the stream holds {stream.form.mode}, no tracks: use diffcodec.decode_signal")
    count = cast("int", stream.form.about()["frames"])
    if not 0 <= first < last <= count:
        raise InputError(f"expected frames within 0 to {count}, found {first} to {last}")
    budgets.check(stream.prefixes, len(source), budget)
    with limited(threads):
        found = _frames(stream, first, last, wanted, progress)
    end(progress)
    return found


def _frames(stream: Stream, first: int, last: int, wanted: Wanted, progress: Progress | None) -> Tracks:
    part = stream.form.rows(last - first) if isinstance(stream.form, RowForm) else None
    if part is not None:
        receiver = Work(stream, wanted).receiver
        if isinstance(receiver, RowReceiver):
            extra = receiver.rows(stream.container.passes, first, last, progress)
            return cast("Tracks", part.signal(extra[..., :0], extra).with_metadata(stream.metadata))
    return cast("Tracks", decode(stream, wanted, progress)).between(first, last)
