"""A stream that is pushed, and one that is awaited: the same previews as of one that is read, no pass decoded twice."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import FakeReceiver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec.runtime.errors import ChecksumMismatch, CorruptStream, InputError, NotADiffcodecFile, Truncated

pytestmark = pytest.mark.usefixtures("fake_codec")

Told = list[tuple[int, bool, int, bytes]]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 13, 3), dtype=np.uint8)


@pytest.fixture
def stream(picture: np.ndarray) -> bytes:
    return diffcodec.encode(picture)


def told(previews: Any) -> Told:
    return [(one.bytes_read, one.complete, one.frame, one.image.tobytes()) for one in previews]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(data)) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(ends)]


@given(st.lists(st.integers(0, 600), max_size=8), st.lists(st.booleans(), min_size=10, max_size=10))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_it_is_cut_and_asked_the_previews_are_those_of_the_stream(places: list[int], asks: list[bool]) -> None:
    """What nobody asks for now comes with the next bytes, or is decoded by `close`."""
    picture = np.random.default_rng(0).integers(0, 256, (12, 13, 3), dtype=np.uint8)
    data = diffcodec.encode(picture)
    whole = told(diffcodec.decode_progressive(data))
    decoder, seen = diffcodec.PushDecoder(), []
    for piece, ask in zip(cut(data, places), asks, strict=False):
        previews = decoder.feed(piece)
        seen += told(previews) if ask else []
    assert np.array_equal(decoder.close(), picture) and np.array_equal(decoder.close(), picture)
    assert seen == whole[: len(seen)] if all(asks) else set(seen) <= set(whole)
    assert [one[0] for one in seen] == sorted({one[0] for one in seen})


def test_no_pass_is_decoded_twice(picture: np.ndarray, stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []
    real = FakeReceiver.take
    monkeypatch.setattr(
        FakeReceiver, "take", lambda self, payload, progress=None: taken.append(payload) or real(self, payload)
    )
    decoder = diffcodec.PushDecoder()
    for byte in stream:
        first = decoder.feed(bytes([byte]))
        next(first, None)
        assert list(decoder.feed(b"")) == [] and list(first) == []
    decoder.close()
    assert len(taken) == 2


def test_an_older_iterator_goes_on_where_a_newer_one_stopped(stream: bytes) -> None:
    whole = told(diffcodec.decode_progressive(stream))
    decoder = diffcodec.PushDecoder()
    older = decoder.feed(stream[:-1])
    seen = told([next(older)])
    newer = decoder.feed(stream[-1:])
    seen += told([next(newer)]) + told(older)
    assert seen == whole and list(newer) == []


def test_frames_come_between() -> None:
    from PIL import Image

    frames = [Image.fromarray(np.full((8, 9), k, np.uint8)) for k in range(3)]
    from diffcodec.media.picture import Picture, with_frames

    data = diffcodec.encode(with_frames([Picture.from_any(frame) for frame in frames]))
    decoder = diffcodec.PushDecoder()
    seen = [one for k in range(0, len(data), 5) for one in decoder.feed(data[k : k + 5])]
    assert told(seen) == told(diffcodec.decode_progressive(data[k : k + 5] for k in range(0, len(data), 5)))
    assert {one.frame for one in seen} == {0, 1, 2} and seen[-1].complete
    decoder.close()


@pytest.mark.parametrize("end", [0, 5, 30, -1])
def test_a_stream_that_ends_early_is_named_at_the_close(stream: bytes, end: int) -> None:
    decoder = diffcodec.PushDecoder()
    seen = list(decoder.feed(stream[:end]))
    with pytest.raises(Truncated, match="before its end chunk"):
        decoder.close()
    assert [one.complete for one in seen] == [False] * len(seen) and (len(seen) == 2 or end != -1)


def test_an_error_stays(stream: bytes) -> None:
    damaged = bytearray(stream)
    damaged[-2] ^= 1
    decoder = diffcodec.PushDecoder()
    for again in (bytes(damaged), b"", stream):
        with pytest.raises(ChecksumMismatch):
            decoder.feed(again)
    with pytest.raises(ChecksumMismatch):
        decoder.close()
    with pytest.raises(NotADiffcodecFile):
        diffcodec.PushDecoder().feed(b"no stream at all")
    with pytest.raises(InputError, match="expected bytes, found str"):
        diffcodec.PushDecoder().feed("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        diffcodec.PushDecoder(sieze=3)  # type: ignore[call-arg]
    behind = diffcodec.PushDecoder()
    list(behind.feed(stream))
    with pytest.raises(CorruptStream, match="follow the end"):
        behind.feed(b"x")


# ---- awaited


async def arriving(data: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[at : at + size]


def test_awaited_previews_are_the_same_and_made_in_another_thread(
    stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    real = FakeReceiver.take
    monkeypatch.setattr(
        FakeReceiver,
        "take",
        lambda self, payload, progress=None: threads.add(threading.get_ident()) or real(self, payload),
    )

    async def all_of_it() -> Told:
        return told([one async for one in diffcodec.decode_async(arriving(stream))])

    seen = asyncio.run(all_of_it())
    assert threads and threading.get_ident() not in threads
    assert seen == told(diffcodec.decode_progressive(stream[k : k + 7] for k in range(0, len(stream), 7)))


def test_the_loop_goes_on_while_a_pass_is_decoded(stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that waits for what the loop does would never end if it held the loop."""
    there = threading.Event()
    real = FakeReceiver.take

    def take(self: Any, payload: bytes, progress: Any = None) -> None:
        assert there.wait(60)
        real(self, payload)

    monkeypatch.setattr(FakeReceiver, "take", take)

    async def other() -> None:
        there.set()

    async def both() -> int:
        task = None
        count = 0
        previews = diffcodec.decode_async(arriving(stream, len(stream)))
        task = asyncio.get_running_loop().create_task(other())
        async for _ in previews:
            count += 1
        await task
        return count

    assert asyncio.run(both()) == 3


def test_awaited_errors(stream: bytes) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield stream[:20]
        raise ConnectionResetError("gone")

    async def run(source: Any, **options: Any) -> None:
        async for _ in diffcodec.decode_async(source, **options):
            pass

    wrong = ((arriving(stream[:-1]), Truncated), (failing(), ConnectionResetError), ([stream], InputError))
    for source, error in wrong:
        with pytest.raises(error):
            asyncio.run(run(source))
    with pytest.raises(InputError, match="realism"):
        asyncio.run(run(arriving(stream), realism=7))


def test_leaving_early_is_no_error(stream: bytes) -> None:
    read: list[int] = []

    async def watched() -> AsyncIterator[bytes]:
        for at in range(0, len(stream), 5):
            read.append(at)
            yield stream[at : at + 5]

    async def first() -> bool:
        previews = diffcodec.decode_async(watched())
        async for one in previews:
            await previews.aclose()  # type: ignore[attr-defined]
            return one.complete
        return True

    assert asyncio.run(first()) is False and read[-1] < len(stream) - 5


def test_the_pulled_form_reads_no_further_than_it_is_asked(stream: bytes) -> None:
    read: list[int] = []

    def watched() -> Iterator[bytes]:
        for at in range(0, len(stream), 5):
            read.append(at)
            yield stream[at : at + 5]

    next(diffcodec.decode_progressive(watched()))
    assert read[-1] < len(stream) - 5
