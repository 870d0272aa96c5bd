"""What models are given, for `fuzz` beside this file: seeds of every kind, and changes of chunk `G` part by part."""

from __future__ import annotations

import contextlib
import io
import random
import zlib
from typing import Any, Protocol

import numpy as np
from PIL import Image

import diffcodec
from diffcodec import Base, File, Outside, Prompt
from diffcodec.bitstream import given
from diffcodec.models.condition import Condition
from diffcodec.models.gaussian import WhiteInBoxes, WhitePictures
from diffcodec.models.operators import Box, Crop, Luma, LumaChroma, Mask, Operator
from tools.leb128 import read_varint, varint

SUPPLIED = {"depth": b"depth", "": b""}  #: what readers supply
STREAM = b"\x8bDFC\r\n\x1a\n"


class Taking(WhiteInBoxes):
    """The test model, which takes whatever it is given, and makes something of boxes only."""

    takes = frozenset({"text", "file", "before", "outside", "box", "luma", "chroma", "mask", "crop"})

    def given(self, condition: Condition) -> WhitePictures:
        """Itself, so that more may follow, but of boxes the model that knows them."""
        return super().given(condition) if condition.kind == "box" else self


def seeds() -> list[tuple[str, bytes]]:
    """(name, stream) of every kind, of a small picture."""
    y, x = np.mgrid[:10, :12]
    picture = np.stack([128 + 80 * np.sin(x / k) * np.cos(y / 4) for k in (3, 4, 5)], 2).astype(np.uint8)
    board = (x + y) % 2 == 0
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=30)

    def base(operator: Operator, augmentation: int | None = None, **options: Any) -> Base:
        return Base(diffcodec.encode(operator.apply(picture), **options), operator, augmentation)

    lossy: dict[str, Any] = {"codec": "diffc", "model": Taking(), "psnr": 25}
    half = Base(diffcodec.encode(Box(4).apply(picture)), Box(2), 4000)
    gifts: dict[str, Any] = {
        "box": base(Box(4)), "luma": base(Luma()), "chroma": base(LumaChroma(2)), "mask": base(Mask(board)),
        "crop": base(Crop(1, 2, 5, 7)), "file": File(file.getvalue()), "text": Prompt("a photo of a field", "no", 3.5),
        "outside": Outside(SUPPLIED["depth"], "depth"), "twice": base(Box(2), 3000, **lossy, given=half),
        "many": [Prompt("a field"), base(Luma()), base(Mask(board), 5000), Outside(b""), base(Box(4))],
    }  # fmt: skip
    made = [(f"given-{name}.dfc", diffcodec.encode(picture, **lossy, given=gift)) for name, gift in gifts.items()]
    exact = diffcodec.encode(picture, "diffc", Taking(), given=base(Box(2), 3000, **lossy))
    return [*made, ("given-exact.dfc", exact)]


class Draw(Protocol):
    """What `fuzz_inputs.Draw` has of it."""

    r: random.Random

    def havoc(self, data: bytes, other: bytes = b"") -> bytes:
        """A few small changes of any kind."""
        ...

    def changed(self, data: bytes, other: bytes) -> bytes:
        """An input made from a whole file."""
        ...


def parts_of(payload: bytes) -> list[tuple[int, bytes]]:
    """(kind, fields) of every part. Raises IndexError for what is none."""
    at, out = 0, []
    while at < len(payload):
        size, start = read_varint(payload, at + 1)
        out.append((payload[at], payload[start : start + size]))
        at = start + size
    return out


def changed(draw: Draw, payload: bytes, other: bytes) -> bytes:
    """Another payload of the chunk: parts shuffled, one of them changed by what it holds, or any bytes."""
    r = draw.r
    try:
        parts = parts_of(payload)
    except IndexError:
        parts = []
    if not parts or r.random() < 0.1:
        return draw.havoc(payload, other)
    at = r.randrange(len(parts))
    kind, fields = parts[at]
    choice = r.random()
    if choice < 0.1:
        parts.insert(r.randrange(len(parts) + 1), parts[at])
    elif choice < 0.15:
        parts[at] = (r.randrange(7), fields)
    elif choice < 0.2:
        parts.append(r.choice([(1, bomb(r)), (4, b"\1"), (5, bytes(33)), (3, other[:40] or b"x")]))
    elif kind == given.Stream.kind:
        parts[at] = (kind, stream(draw, fields, other))
    else:
        parts[at] = (kind, draw.havoc(fields, other))
    return b"".join(bytes([kind]) + varint(len(fields)) + fields for kind, fields in parts)


def bomb(r: random.Random) -> bytes:
    """Fields of a text that inflates far."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=given.WORDS)
    data = b"\1" + engine.compress(b"x" * r.choice((2**16, 2**16 + 1, 2**22))) + engine.flush()
    return b"\0\0" + bytes(8) + varint(len(data)) + data + b"\0"


def stream(draw: Draw, fields: bytes, other: bytes) -> bytes:
    """A nested stream, or its mask, changed with its checksums mended, another one, or other numbers before it."""
    r, begins = draw.r, fields.find(STREAM)
    front, inner = (fields[:begins], fields[begins:]) if begins >= 0 else (fields, b"")
    mask = b""
    if front[:1] == b"\3" and inner:
        with contextlib.suppress(IndexError):
            _, at = read_varint(fields, 1)
            size, start = read_varint(fields, at)
            front, mask, inner = fields[:at], fields[start : start + size], fields[start + size :]
    choice = r.random()
    if choice < 0.3:
        front = draw.havoc(front)
    elif choice < 0.5 and mask:
        mask = nested(draw, mask, other)
    elif choice < 0.6:
        inner = other
    else:
        inner = nested(draw, inner, other)
    return front + (varint(len(mask)) + mask if mask else b"") + inner


def nested(draw: Draw, data: bytes, other: bytes) -> bytes:
    """A whole stream changed."""
    try:
        return draw.changed(data, other)
    except (IndexError, ValueError):
        return draw.havoc(data, other)
