"""Previews of a stream as its bytes come: pushed, pulled, or awaited."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..bitstream import Container, StreamReader
from ..runtime.errors import CorruptStream, InputError, Truncated
from ..runtime.hostile import guarded
from .decode import Wanted
from .progressive import Progressive, Shown
from .sources import Source, pieces
from .typed import PreviewOptions, ReconstructionName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    Samples = NDArray[np.generic]


@dataclass(frozen=True)
class Preview:
    """A signal from the front of a stream.

    image: array as from `decode`; bpp: bits read so far per pixel, token or value of it; frame: its number among the
    frames, from 0.
    """

    image: Samples
    bytes_read: int
    bpp: float
    complete: bool
    frame: int = 0

    @classmethod
    def of(cls, shown: Shown) -> Preview:
        """What a caller is told of it."""
        signal, size = shown.signal, shown.size
        return cls(signal.array, size, 8 * size / signal.units, shown.complete, shown.frame)


class PushDecoder:
    """A decoder that is fed: a `Preview` for every pass as its bytes come, and in the end the signal itself, checked.

    Options as of `decode`. A pass that the budget does not allow yet waits for further bytes, and previews that
    together take more than PREVIEWS times of it are left out. No pass is decoded twice. Of one thread at a time.
    """

    @guarded
    def __init__(
        self,
        *,
        realism: float | None = None,
        reconstruction: ReconstructionName | None = None,
        decoder: Any = None,
        device: str = "auto",
        model: Any = None,
        max_pixels: int | None = None,
        budget: float = 1.0,
        given: Mapping[str, Any] | None = None,
    ):
        wanted = Wanted.of(
            realism=realism,
            reconstruction=reconstruction,
            decoder=decoder,
            device=device,
            model=model,
            max_pixels=max_pixels,
            budget=budget,
            given=given,
        )
        self._reader = StreamReader(wanted.limits)
        self._stream = Progressive(wanted)
        self._waiting: tuple[Container, int] | None = None  # what has come, up to which byte, and was not begun
        self._work: Iterator[Shown] = iter(())
        self._last: Shown | None = None
        self._error: Exception | None = None

    @guarded
    def feed(self, data: bytes) -> Iterator[Preview]:
        """Take the next bytes of the stream, any number, and give the previews that they allow.

        Checksums are checked at once. A preview is decoded when it is asked for; what nobody asked for goes to whom
        the next bytes give theirs. Raises as `decode`, but for Truncated, and the same from then on; InputError for
        what is no bytes.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InputError(f"expected bytes, found {type(data).__name__}")
        self._check()
        try:
            come = [chunk for chunk in self._reader.feed(bytes(data)) if chunk.type in "GPSNE"]
        except Exception as error:
            self._error = error
            raise
        if come:
            self._waiting = self._reader.container(), come[-1].end
        return self._previews()

    @guarded
    def close(self) -> Samples:
        """The signal, array as from `decode`: the bytes have come to their end.

        Raises Truncated where they ended before the stream, and what `feed` did raise, or would.
        """
        for _ in self._previews():
            pass
        self._check()
        if self._last is None or not self._last.complete:
            seen = self._stream.seen
            raise Truncated(f"the stream ends before its end chunk; the last preview used {seen} bytes: fetch the rest")
        return self._last.signal.array

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    @guarded
    def _previews(self) -> Iterator[Preview]:
        """Those that wait. Whoever asks goes on where another stopped."""
        try:
            while True:
                for shown in self._work:
                    self._last = shown
                    yield Preview.of(shown)
                if self._waiting is None:
                    return
                self._work, self._waiting = self._begun(*self._waiting), None
        except Exception as error:
            self._error = error
            raise

    def _begun(self, container: Container, size: int) -> Iterator[Shown]:
        if container.passes or container.given:
            yield from self._stream.more(container, size)
        elif container.complete:
            raise CorruptStream("the stream ends without a signal; the file is damaged")


def decode_progressive(source: Source | Iterable[bytes], **options: Unpack[PreviewOptions]) -> Iterator[Preview]:
    """A `Preview` for every pass, as soon as its bytes are there; the last is the signal itself, checked.

    What the model was given may be a picture before any pass. Further frames come between, whole and checked, once.

    source: bytes, a path, a binary file or an iterable of byte strings of any length. Options as of `PushDecoder`,
    whose work this is. Raises as `decode`; Truncated only after the previews that the bytes allow.
    """
    decoder = PushDecoder(**options)
    for data in pieces(source):
        yield from decoder.feed(data)
    decoder.close()


async def decode_async(source: AsyncIterable[bytes], **options: Unpack[PreviewOptions]) -> AsyncIterator[Preview]:
    """As `decode_progressive`, of bytes that are awaited, for ``async for``.

    source: an asynchronous iterable of byte strings of any length, read no faster than previews are taken. All work
    is done in a thread of the event loop's pool, so that the loop goes on meanwhile. Raises as `decode_progressive`.
    """
    import asyncio

    if not isinstance(source, AsyncIterable):
        raise InputError(f"expected an asynchronous iterable of bytes, found {type(source).__name__}")
    decoder = await asyncio.to_thread(lambda: PushDecoder(**options))
    async for data in source:
        previews = await asyncio.to_thread(decoder.feed, data)
        while (preview := await asyncio.to_thread(next, previews, None)) is not None:
            yield preview
    await asyncio.to_thread(decoder.close)
