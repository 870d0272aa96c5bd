"""Damage of every kind gives an error of the tree, the same one from both readers; never other content."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import chunk_lists, reader_verdict, streams, verdict

from diffcodec.bitstream import Chunk, Header, StreamReader, read, write

HEADER = Header(0, 0, 3, 2, 1, 0, 5, "toy", bytes(range(8)), b"\1\2")
PASSES = [b"coarse", b"finer", b"", b"finest"]
SMALL = write(
    [Chunk("H", HEADER.to_bytes()), Chunk("C", b"abc"), Chunk("i", b"icc")]
    + [Chunk("P", payload) for payload in PASSES]
    + [Chunk("E", b"digest!!")]
)


def test_every_flipped_bit_is_refused() -> None:
    for bit in range(8 * len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(verdict(bytes(damaged)), str), f"bit {bit % 8} of byte {bit // 8}"
        assert verdict(bytes(damaged)) == reader_verdict(bytes(damaged))


def test_every_flipped_bit_of_a_partial_stream_takes_passes_at_most() -> None:
    """A flip in a length may make the last chunk look cut off; what is before it is what was written."""
    for bit in range(8 * len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[bit // 8] ^= 1 << bit % 8
        found = verdict(bytes(damaged), partial=True)
        assert found == reader_verdict(bytes(damaged), partial=True)
        if not isinstance(found, str):
            assert found["digest"] is None and found["header"]["model"] == "toy"
            assert found["passes"] == [payload.hex() for payload in PASSES][: len(found["passes"])]


def test_every_truncation_is_refused_or_has_fewer_passes() -> None:
    ends = read(SMALL).ends
    header_end = StreamReader().feed(SMALL)[0].end
    for size in range(len(SMALL)):
        cut = SMALL[:size]
        assert verdict(cut) == "Truncated" == reader_verdict(cut)
        found = verdict(cut, partial=True)
        assert found == reader_verdict(cut, partial=True)
        if size < header_end:
            assert found == "Truncated"
        else:
            assert not isinstance(found, str) and found["digest"] is None
            assert found["passes"] == [payload.hex() for payload in PASSES][: sum(end <= size for end in ends)]


def pieces(data: bytes) -> list[bytes]:
    """Signature and version, then every chunk with its checksum."""
    ends = [0, 10] + [chunk.end for chunk in StreamReader().feed(data)]
    return [data[start:end] for start, end in itertools.pairwise(ends)]


def test_whole_chunks_missing_repeated_or_moved_are_refused() -> None:
    parts = pieces(SMALL)
    for number in range(1, len(parts)):
        one = parts[number : number + 1]
        others = parts[:number] + parts[number + 1 :]
        assert isinstance(verdict(b"".join(others)), str)
        for place in range(1, len(parts) + 1):
            repeated = b"".join(parts[:place] + one + parts[place:])
            assert isinstance(verdict(repeated), str) and verdict(repeated) == reader_verdict(repeated)
        for place in range(1, len(parts)):
            moved = b"".join(others[:place] + one + others[place:])
            assert moved == SMALL or isinstance(verdict(moved), str)


def test_no_prefix_shows_passes_that_do_not_belong() -> None:
    """Partial reading has no digest to lean on: the chain of checksums has to tell."""
    parts = pieces(SMALL)
    assert read(b"".join(parts[:5]), partial=True).passes == PASSES[:1]
    without_first = b"".join(parts[:4] + parts[5:6])
    swapped = b"".join([*parts[:4], parts[5], parts[4]])
    sealed_elsewhere = pieces(
        write([Chunk("H", HEADER.to_bytes()), Chunk("P", b"foreign"), Chunk("P", PASSES[1]), Chunk("E", bytes(8))])
    )
    spliced = b"".join(parts[:5] + sealed_elsewhere[3:4])
    for data in (without_first, swapped, spliced):
        assert verdict(data, partial=True) == "ChecksumMismatch"


def mutate(data: bytes, kind: str, draw: st.DataObject) -> bytes:
    at = draw.draw(st.integers(0, len(data) - 1))
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << draw.draw(st.integers(0, 7))]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + draw.draw(st.binary(min_size=1, max_size=3)) + data[at:]
    if kind == "delete":
        return data[:at] + data[at + draw.draw(st.integers(1, 20)) :]
    end = at + draw.draw(st.integers(1, 30))
    return data[:end] + data[at:]


@pytest.mark.parametrize("partial", [False, True])
@given(data=streams, kind=st.sampled_from(["flip", "cut", "insert", "delete", "repeat"]), draw=st.data())
@settings(max_examples=250)
def test_both_readers_judge_mutations_alike(partial: bool, data: bytes, kind: str, draw: st.DataObject) -> None:
    damaged = mutate(data, kind, draw)
    found = verdict(damaged, partial=partial)
    assert found == reader_verdict(damaged, partial=partial)
    if not isinstance(found, str):
        whole = verdict(data)
        assert not isinstance(whole, str)
        assert found["header"] == whole["header"] and found["passes"] == whole["passes"][: len(found["passes"])]
        assert found["digest"] in (None, whole["digest"]) and (partial or damaged == data)


@given(chunks=chunk_lists(), draw=st.data())
@settings(max_examples=250)
def test_both_readers_judge_forgeries_alike(chunks: list[Chunk], draw: st.DataObject) -> None:
    """Any payloads in any order under valid checksums: what the checksum cannot tell, the rules must."""
    which = draw.draw(st.integers(0, len(chunks) - 1))
    kind = draw.draw(st.sampled_from(["payload", "type", "order", "drop", "double"]))
    if kind == "payload":
        payload = mutate(chunks[which].payload + b"\0", "flip", draw)[: draw.draw(st.integers(0, 300))]
        chunks[which] = Chunk(chunks[which].type, payload)
    elif kind == "type":
        chunks[which] = Chunk(draw.draw(st.sampled_from("HCGPEixtzQ09")), chunks[which].payload)
    elif kind == "order":
        chunks = draw.draw(st.permutations(chunks))
    elif kind == "drop":
        del chunks[which]
    else:
        chunks.insert(draw.draw(st.integers(0, len(chunks))), chunks[which])
    data = write(chunks)
    for partial in (False, True):
        assert verdict(data, partial=partial) == reader_verdict(data, partial=partial)


@given(st.binary(max_size=80))
def test_both_readers_judge_noise_alike(noise: bytes) -> None:
    for data in (noise, SMALL[:10] + noise, SMALL[: read(SMALL).ends[0]] + noise):
        assert verdict(data) == reader_verdict(data) and isinstance(verdict(data), str)
