"""What the container tests share: the independent reader, generated streams, both readers' verdicts."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from diffcodec.bitstream import Chunk, Container, Header, given, read, small, write
from diffcodec.runtime.ancillary import LETTERS
from diffcodec.runtime.errors import BitstreamError, LimitExceeded
from diffcodec.runtime.varint import write_varint

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
plain_names = names.filter(lambda name: not name.startswith("."))
headers = st.builds(
    Header,
    codec=st.sampled_from([0, 2]),
    numerics=st.integers(0, 2),
    width=numbers,
    height=numbers,
    mode=st.integers(0, 255),
    statistics=st.integers(0, 1),
    seed=st.integers(0, 2**64 - 1),
    model=plain_names,
    fingerprint=st.binary(min_size=8, max_size=8),
    params=st.binary(max_size=40),
)


#: payloads of metadata: the container looks at their compression and size only
metadata = st.builds(
    lambda method, size, data: bytes([method]) + write_varint(size) + data,
    st.integers(0, 4),
    st.integers(0, 2**14),
    st.binary(max_size=12),
)


likely = st.sampled_from(["a photo of a man", "x" * 3000])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | likely
#: what may be given of a picture of any size
plain_gifts = st.one_of(
    st.builds(given.Text, texts, texts, st.integers(0, 2**16 - 1), plain_names, st.binary(min_size=8, max_size=8)),
    st.builds(given.File, st.binary(min_size=1, max_size=50)),
    st.builds(given.Before, st.integers(1, 2**16 - 1)),
)


@st.composite
def observed(draw: st.DrawFn, size: tuple[int, int], depth: int) -> given.Given:
    """A file, or a nested stream of the size that an operator leaves of a picture of ``size`` (width, height)."""
    width, height = size
    name = draw(st.sampled_from(list(given.OPERATORS)))
    numbers: tuple[int, ...] = ()
    if name in ("box", "chroma"):
        numbers = (draw(st.integers(1, min(size))),)
    elif name == "crop":
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        numbers = (top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left)))
    left_of_it = given.OPERATORS[name].size(size, *numbers)
    assert left_of_it is not None
    augmentation = draw(st.none() | st.integers(-given.AUGMENTATIONS, given.AUGMENTATIONS))
    if name != "mask" and draw(st.integers(0, 3)) == 0:
        return given.SmallFile(name, numbers, augmentation, draw(st.binary(min_size=1, max_size=50)))
    mask = draw(sized_streams(size, 0)) if name == "mask" else b""
    return given.Stream(name, numbers, augmentation, draw(sized_streams(left_of_it, depth - 1)), mask)


def sized_streams(size: tuple[int, int], depth: int) -> st.SearchStrategy[bytes]:
    """Streams of pictures of ``size``, whole ones without frames."""
    small_one = Header(0, 0, *size, 1, 0, 0, "", bytes(4), b"")
    in_one = st.just(write([Chunk("S", small.pack(small_one, b"pass", b"dige"))]))
    return chunk_lists(True, size, depth).map(write) | in_one


@st.composite
def gifts(draw: st.DrawFn, size: tuple[int, int], depth: int) -> list[given.Given]:
    """What a model may be given of a picture of ``size``."""
    one = plain_gifts | observed(size, depth) if depth > 0 else plain_gifts
    found = draw(st.lists(one, max_size=3))
    labels = draw(st.lists(plain_names, unique=True, max_size=0 if found else 2))
    return [*found, *(given.Outside(draw(st.binary(min_size=32, max_size=32)), label) for label in labels)]


@st.composite
def chunk_lists(
    draw: st.DrawFn, nested: bool = False, size: tuple[int, int] | None = None, depth: int = 2
) -> list[Chunk]:
    """Lawful chunks of a whole stream, unknown ancillary ones among them."""
    header = draw(headers)
    if size is not None:
        header = replace(header, width=size[0], height=size[1])
    chunks = [Chunk("H", header.to_bytes())]
    if letter := draw(st.sampled_from(["", "C"] if header.codec else ["", "C", "A"])):
        chunks.append(Chunk(letter, draw(st.binary(max_size=30))))
    if draw(st.integers(0, 3)) == 0 and (parts := draw(gifts((header.width, header.height), depth))):
        chunks.append(Chunk("G", given.write(parts)))
    kinds = draw(st.lists(st.sampled_from("ixtkwnd"), unique=True))
    letters = draw(st.permutations(kinds + draw(st.lists(st.sampled_from("azq"), max_size=2))))
    ancillary = [Chunk(letter, draw(metadata if letter in LETTERS else st.binary(max_size=12))) for letter in letters]
    behind = draw(st.booleans())
    front = draw(st.integers(0, len(ancillary))) if behind else len(ancillary)
    chunks += ancillary[:front]
    chunks += [Chunk("P", payload) for payload in draw(st.lists(st.binary(max_size=200), max_size=4))]
    chunks += [Chunk("M", b""), *ancillary[front:]] if behind else []
    end = Chunk("E", draw(st.binary(min_size=8, max_size=8)))
    if nested:
        return [*chunks, end]
    frames = [Chunk("N", payload) for payload in draw(st.lists(chunk_lists(True, depth=1).map(write), max_size=2))]
    return within_limits(chunks, frames, end)


def within_limits(chunks: list[Chunk], frames: list[Chunk], end: Chunk) -> list[Chunk]:
    """The stream, without its frames, or what was given, if they make too many pixels."""
    plain = [chunk for chunk in chunks if chunk.type != "G"]
    for every in ([*chunks, *frames, end], [*chunks, end], [*plain, *frames, end]):
        try:
            read(write(every))
        except LimitExceeded:
            continue
        return every
    return [*plain, end]


#: header, pass, digest and ancillary data of a small picture, as they come back
small_pictures = st.tuples(
    st.builds(
        Header,
        codec=st.just(0),
        numerics=st.integers(0, 2),
        width=numbers,
        height=numbers,
        mode=st.integers(0, 255),
        statistics=st.just(0),
        seed=st.integers(0, 2**64 - 1) | st.just(0),
        model=st.just(""),
        fingerprint=st.binary(min_size=4, max_size=4) | st.just(bytes(4)),
        params=st.binary(max_size=40),
    ),
    st.binary(max_size=200),
    st.binary(min_size=4, max_size=4),
    (
        st.dictionaries(st.sampled_from("pegdkw"), metadata, max_size=3)
        | st.dictionaries(st.sampled_from("ixtq"), st.binary(max_size=9), max_size=2)
    ).map(lambda kinds: list(kinds.items())),
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
        **({"frames": [described(frame) for frame in container.frames]} if container.frames else {}),
        **({"given": list(map(described_part, container.given))} if container.given else {}),
    }


def described_part(part: given.Given) -> dict[str, Any]:
    """Something given, as the independent reader describes it."""
    found = {name: value for name, value in vars(part).items() if name not in ("containers", "packed")}
    if isinstance(part, (given.Stream, given.SmallFile)):
        found |= {"operator": list(given.OPERATORS).index(part.operator), "numbers": list(part.numbers)}
    if isinstance(part, given.Stream):
        stream, *masks = map(described, part.containers)
        found["stream"] = stream
        found = {name: value for name, value in found.items() if name != "mask"}
        found |= {"mask": masks[0]} if masks else {}
    if isinstance(part, given.Before) and part.augmentation is None:
        del found["augmentation"]
    return {"kind": part.name} | {n: value.hex() if isinstance(value, bytes) else value for n, value in found.items()}


def without_flags(found: dict[str, Any]) -> dict[str, Any]:
    header = {name: value for name, value in found["header"].items() if name != "flags"}
    frames = {"frames": [without_flags(frame) for frame in found["frames"]]} if "frames" in found else {}
    parts = [
        part | {name: without_flags(part[name]) for name in ("stream", "mask") if name in part}
        for part in found.get("given", [])
    ]
    return {**found, "header": header, **frames, **({"given": parts} if parts else {})}


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
