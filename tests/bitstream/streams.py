"""What the container tests share: the independent reader, generated streams, both readers' verdicts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from diffcodec.bitstream import Chunk, Container, Header, read, small, write
from diffcodec.errors import BitstreamError

SPEC = Path(__file__).parents[2] / "bitstream_spec"


def _load_reader() -> Any:
    spec = importlib.util.spec_from_file_location("spec_reader", SPEC / "reader.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reader = _load_reader()

numbers = st.one_of(st.sampled_from([1, 127, 128, 2**14 - 1, 2**14]), st.integers(1, 2**14))
names = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters="/\\"), max_size=16)
headers = st.builds(
    Header,
    codec=st.integers(0, 2),
    numerics=st.integers(0, 2),
    width=numbers,
    height=numbers,
    mode=st.integers(0, 255),
    colour_transform=st.integers(0, 1),
    seed=st.integers(0, 2**64 - 1),
    model=names.filter(lambda name: not name.startswith(".")),
    fingerprint=st.binary(min_size=8, max_size=8),
    params=st.binary(max_size=40),
)


@st.composite
def chunk_lists(draw: st.DrawFn) -> list[Chunk]:
    """Lawful chunks of a whole stream, unknown ancillary ones among them."""
    header = draw(headers)
    chunks = [Chunk("H", header.to_bytes())]
    if letter := draw(st.sampled_from(["", "C"] if header.codec else ["", "C", "A"])):
        chunks.append(Chunk(letter, draw(st.binary(max_size=30))))
    ancillary = draw(st.lists(st.sampled_from("ixt"), unique=True)) + draw(st.lists(st.sampled_from("azq"), max_size=2))
    chunks += [Chunk(letter, draw(st.binary(max_size=12))) for letter in draw(st.permutations(ancillary))]
    chunks += [Chunk("P", payload) for payload in draw(st.lists(st.binary(max_size=200), max_size=4))]
    return [*chunks, Chunk("E", draw(st.binary(min_size=8, max_size=8)))]


#: header, pass and digest of a small picture, as they come back
small_pictures = st.tuples(
    st.builds(
        Header,
        codec=st.just(0),
        numerics=st.integers(0, 2),
        width=numbers,
        height=numbers,
        mode=st.integers(0, 255),
        colour_transform=st.just(0),
        seed=st.integers(0, 2**64 - 1) | st.just(0),
        model=st.just(""),
        fingerprint=st.binary(min_size=4, max_size=4) | st.just(bytes(4)),
        params=st.binary(max_size=40),
    ),
    st.binary(max_size=200),
    st.binary(min_size=4, max_size=4),
)
long_streams = chunk_lists().map(write)
streams = long_streams | small_pictures.map(lambda parts: write([Chunk("S", small.pack(*parts))]))


def described(container: Container) -> dict[str, Any]:
    """A container as the independent reader describes it; flags, which the package ignores, left out."""
    fields = vars(container.header).items()
    header = {name: value.hex() if isinstance(value, bytes) else value for name, value in fields}
    return {
        "version": list(container.version),
        "palette": None if container.palette is None else container.palette.hex(),
        "adjustment": None if container.adjustment is None else container.adjustment.hex(),
        "ancillary": {letter: payload.hex() for letter, payload in container.ancillary.items()},
        "passes": [payload.hex() for payload in container.passes],
        "ends": container.ends,
        "digest": None if container.digest is None else container.digest.hex(),
        "header": header,
    }


def without_flags(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "header": {name: value for name, value in found["header"].items() if name != "flags"}}


def verdict(data: bytes, *, partial: bool = False) -> str | dict[str, Any]:
    """The package's: the error's name, or what was found. Every message is one line."""
    try:
        return described(read(data, partial=partial))
    except BitstreamError as error:
        assert str(error) and "\n" not in str(error)
        return type(error).__name__


def reader_verdict(data: bytes, *, partial: bool = False) -> str | dict[str, Any]:
    """The independent reader's."""
    try:
        return without_flags(reader.parse(data, partial=partial))
    except reader.Refused as error:
        return str(error.name)
