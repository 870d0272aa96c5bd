"""Archives with altered bytes under checksums that are mended: every error is ours, no picture is silently wrong."""

from __future__ import annotations

import io
import warnings
import zlib
from functools import cache
from typing import Any

import google_crc32c
import numpy as np
import pytest
from conftest import FakeModel, White
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec.bitstream.archive import Reader, digest_of
from diffcodec.media.metadata import Metadata
from diffcodec.media.picture import Picture
from diffcodec.runtime.errors import DiffcodecError
from diffcodec.runtime.varint import read_varint, write_varint

PHOTOS = [np.random.default_rng(n).integers(0, 256, (5, 4, 3), dtype=np.uint8) for n in range(6)]
PICTURES = [
    *(Picture(photo, "RGB", metadata=Metadata(icc=b"profile", xmp=b"<x/>" * n)) for n, photo in enumerate(PHOTOS)),
    Picture(PHOTOS[1], "RGB", metadata=Metadata(icc=b"profile", xmp=b"<x/>")),
    Picture(np.random.default_rng(9).integers(0, 256, (20, 20), dtype=np.uint8), "L"),
]


def chunk(letter: bytes, payload: bytes, before: bytes) -> bytes:
    body = letter + write_varint(len(payload)) + payload
    return body + google_crc32c.value(before + body).to_bytes(4, "little")


@cache
def parts(kind: str) -> tuple[bytes, bytes, list[tuple[bytes, bytes, bytes]], bytes]:
    """(version, header, (digest, inflated directory, what follows) of each group, index) of an archive."""
    model: Any = FakeModel() if kind == "streams" else White()
    data = diffcodec.encode_archive(PICTURES, model, steps=None if kind == "streams" else 3, group=5)
    reader = Reader(io.BytesIO(data))
    size, at = read_varint(data, 11, 35)
    groups = []
    for place in reader.places:
        length, start = read_varint(data, place.offset + 1, 35)
        payload = data[start : start + length]
        n, inner = read_varint(payload, 8, 32)
        groups.append((payload[:8], zlib.decompress(payload[inner : inner + n]), payload[inner + n :]))
    last = reader.places[-1].offset + reader.places[-1].size
    length, start = read_varint(data, last + 1, 35)
    return data[8:10], data[at : at + size], groups, data[start : start + length]


def joined(version: bytes, header: bytes, groups: list[tuple[bytes, bytes, bytes]], index: bytes | None) -> bytes:
    """The archive of these parts, with sizes, checksums and, if None, the index mended."""
    out = b"\x8bDFA\r\n\x1a\n" + version + chunk(b"A", header, version)
    seal, sizes, digests = out[-4:], [], []
    for number, (digest, directory, rest) in enumerate(groups):
        packed = zlib.compress(directory, 9)
        one = chunk(b"G", digest + write_varint(len(packed)) + packed + rest, seal + number.to_bytes(4, "little"))
        count = read_varint(directory, 0, 32)[0] if directory and directory[0] < 128 else 1
        sizes.append((len(one), count))
        digests.append(digest)
        out += one
    place = len(out).to_bytes(8, "little")
    if index is None:
        numbers = [len(sizes), *(value for pair in sizes for value in pair)]
        index = b"".join(map(write_varint, numbers)) + digest_of(digests)
    else:
        index = index[:-8]
    return out + chunk(b"Z", index + place, seal + b"\xff" * 4)


def altered(data: bytes, draw: Any) -> bytes:
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        how = draw(st.sampled_from(["set", "flip", "insert", "delete", "huge"]))
        at = draw(st.integers(0, max(0, len(out) - 1)))
        if how == "insert" or not out:
            out.insert(at, draw(st.integers(0, 255)))
        elif how == "delete":
            del out[at]
        elif how == "huge":
            out[at : at + 1] = write_varint(draw(st.sampled_from([2**14, 2**28, 2**32 - 1])))
        else:
            out[at] = draw(st.integers(0, 255)) if how == "set" else out[at] ^ 1 << draw(st.integers(0, 7))
    return bytes(out)


@pytest.mark.parametrize("kind", ["streams", "chained"])
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_forged_archives_raise_our_errors(fake_codec: None, kind: str, data: st.DataObject) -> None:
    version, header, groups, index = parts(kind)
    groups, given_index = list(groups), None
    where = data.draw(st.sampled_from(["header", "directory", "directory", "digest", "payload", "index"]))
    number = data.draw(st.integers(0, len(groups) - 1))
    digest, directory, rest = groups[number]
    if where == "header":
        header = altered(header, data.draw)
    elif where == "directory":
        groups[number] = digest, altered(directory, data.draw), rest
    elif where == "digest":
        groups[number] = altered(digest, data.draw)[:8].ljust(8, b"\0"), directory, rest
    elif where == "payload":
        groups[number] = digest, directory, altered(rest, data.draw)
    else:
        given_index = altered(index, data.draw)
    forged = joined(version, header, groups, given_index)
    model: Any = FakeModel() if kind == "streams" else White()
    wanted = {picture.digest() for picture in PICTURES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for call in (
            lambda: diffcodec.inspect_archive(forged),
            lambda: diffcodec.decode_archive(forged, model=model),
            lambda: diffcodec.decode_archive(forged, model=model, damaged="skip"),
        ):
            try:
                found = call()
            except DiffcodecError as error:
                assert "\n" not in str(error)
                continue
            if isinstance(found, list):
                digests = {Picture.from_any(samples).digest() for samples in found if samples is not None}
                assert digests <= wanted


def test_the_parts_join_to_the_archive(fake_codec: None) -> None:
    for kind, model in (("streams", FakeModel()), ("chained", White())):
        whole = diffcodec.encode_archive(PICTURES, model, steps=None if kind == "streams" else 3, group=5)
        version, header, groups, index = parts(kind)
        assert joined(version, header, groups, index) == joined(version, header, groups, None) == whole
