"""What a model is given, attacked: wrong sizes and kinds at encode and in forged streams, bombs, budgets, archives."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import needs_weights
from PIL import Image

import diffcodec
from diffcodec.archive import memory as archive
from diffcodec.bitstream import Chunk, Header, StreamReader, given, read, write
from diffcodec.bitstream.archive import Entry, Group, Writer, digest_of
from diffcodec.codecs.diffc.cost import DIFFC_ALLOWED
from diffcodec.media.modes import BY_NAME
from diffcodec.media.picture import Picture
from diffcodec.models.condition import FileGiven, check
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.models.operators import Box, Crop, Luma, LumaChroma, Mask
from diffcodec.runtime.errors import (
    CorruptStream,
    InputError,
    LimitExceeded,
    ModelMismatch,
    Truncated,
    UnsupportedVersion,
)
from diffcodec.stream.given import Base, File, Outside, Prompt

pytestmark = needs_weights
H, W = 24, 32
VECTORS = Path(__file__).parents[1] / "bitstream_spec" / "vectors" / "decodable"


class Anything(GaussianPictures):
    """Takes every kind, and thinks of nothing."""

    name = "anything"
    takes = frozenset({"text", "file", "before", "outside", "box", "luma", "chroma", "mask", "crop"})

    def given(self, condition: Any) -> Any:
        check(self, condition)
        return self


@cache
def anything() -> Anything:
    made = Anything.__new__(Anything)
    made.__dict__.update(GaussianPictures.smooth().__dict__, name="anything")
    return made


@cache
def picture() -> np.ndarray:
    y, x = np.mgrid[:H, :W]
    return np.stack([128 + 90 * np.sin(x / k) * np.cos(y / (k + 4)) for k in (5, 7, 9)], 2).astype(np.uint8)


BOARD = np.indices((H, W)).sum(0) % 2 == 0
OPERATORS: dict[str, Any] = {
    "box": Box(4), "luma": Luma(), "chroma": LumaChroma(2), "mask": Mask(BOARD), "crop": Crop(3, 2, 5, 7),
}  # fmt: skip


def base(name: str, **options: Any) -> Base:
    return Base(diffcodec.encode(OPERATORS[name].apply(picture())), OPERATORS[name], **options)


@cache
def made(name: str) -> bytes:
    return diffcodec.encode(picture(), "diffc", anything(), psnr=28, given=base(name))


def parts_of(data: bytes) -> list[given.Given]:
    return list(read(data).given)


def regiven(data: bytes, parts: list[given.Given], **header: Any) -> bytes:
    """The stream, given other things, with other fields in its header."""
    first, *chunks = StreamReader().feed(data)
    head = Header(**(vars(Header.from_bytes(first.payload)) | header))
    chunks = [Chunk("G", given.write(parts)) if chunk.type == "G" else chunk for chunk in chunks]
    return write([Chunk("H", head.to_bytes()), *chunks])


def error_of(data: bytes, **options: Any) -> str:
    """The name of the error of `decode`, "" if there is none; one line, and ours."""
    try:
        diffcodec.decode(data, model=anything(), reconstruction="mean", **options)
    except diffcodec.DiffcodecError as error:
        assert "\n" not in str(error)
        return type(error).__name__
    return ""


# ---- at encode: InputError, whatever is wrong


def jpeg(image: np.ndarray, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, **options)
    return out.getvalue()


WRONG: dict[str, Callable[[], Any]] = {
    "size": lambda: Base(diffcodec.encode(picture()[:5]), Box(4)),
    "size of luma": lambda: Base(diffcodec.encode(picture()[:5, :, 0]), Luma()),
    "grey": lambda: Base(diffcodec.encode(Box(4).apply(picture())[..., 0]), Box(4)),
    "colour": lambda: Base(diffcodec.encode(picture()), Luma()),
    "alpha": lambda: Base(diffcodec.encode(picture().repeat(2, 2)[..., :4]), Mask(BOARD)),
    "16 bit": lambda: Base(diffcodec.encode(picture().astype(np.uint16)), Mask(BOARD)),
    "boxes larger than the picture": lambda: Base(diffcodec.encode(picture()[:1, :1]), Box(H + 1)),
    "boxes beyond all numbers": lambda: Base(diffcodec.encode(picture()[:1, :1]), Box(2**40)),
    "boxes of a fraction": lambda: Base(diffcodec.encode(Box(4).apply(picture())), Box(4.0)),  # type: ignore[arg-type]
    "part beyond": lambda: Base(diffcodec.encode(picture()[:5, :7]), Crop(H - 4, 0, 5, 7)),
    "part so far out": lambda: Base(diffcodec.encode(picture()[:5, :7]), Crop(2**33, 0, 5, 7)),
    "mask of another size": lambda: Base(diffcodec.encode(picture()), Mask(BOARD[:5])),
    "no stream": lambda: Base(b"GIF89a", Box(4)),
    "part of a stream": lambda: Base(base("box").stream[:-3], Box(4)),
    "a path": lambda: Base("small.dfc", Box(4)),  # type: ignore[arg-type]
    "a number of bytes": lambda: Base(7, Box(4)),  # type: ignore[arg-type]
    "no operator": lambda: Base(base("box").stream, "box:4"),  # type: ignore[arg-type]
    "a class": lambda: Base(base("box").stream, Box),  # type: ignore[arg-type]
    "frames": lambda: Base(diffcodec.encode(animation()), Mask(BOARD)),
    "augmentation of a fraction": lambda: base("box", augmentation=0.5),
    "augmentation beyond": lambda: base("box", augmentation=2**19),
    "damaged pixels": lambda: Base(damaged(base("box").stream), Box(4)),
    "file of another size": lambda: File(jpeg(picture()[:5])),
    "file in grey": lambda: File(jpeg(picture()[..., 0])),
    "file that is cut": lambda: File(jpeg(picture())[:300]),
    "file of another format": lambda: File(jpeg(picture(), "PNG")),
    "file that is none": lambda: File(b"RIFFxxxxWEBPnot at all"),
    "file of nothing": lambda: File(b""),
    "file by its name": lambda: File("a.jpg"),  # type: ignore[arg-type]
    "text too long": lambda: Prompt("x" * (2**16 + 1)),
    "text of half a letter": lambda: Prompt("\ud800"),
    "text that is none": lambda: Prompt(3),  # type: ignore[arg-type]
    "encoder's name a path": lambda: Prompt("x", encoder="a/b"),
    "encoder's name too long": lambda: Prompt("x", encoder="e" * 65),
    "scale not a number": lambda: Prompt("x", scale=float("nan")),
    "scale without end": lambda: Prompt("x", scale=float("inf")),
    "scale below": lambda: Prompt("x", scale=-0.1),
    "fingerprint": lambda: Prompt("x", fingerprint="abc"),  # type: ignore[arg-type]
    "objects from outside": lambda: Outside(np.array([object()])),
    "a list from outside": lambda: Outside([1, 2]),  # type: ignore[arg-type]
    "label": lambda: Outside(b"", "a\nb"),
    "label too long": lambda: Outside(b"", "l" * 65),
    "one label twice": lambda: [Outside(b"a", "x"), Outside(b"b", "x")],
    "too many": lambda: [Prompt("x")] * 9,
    "something else": lambda: 3,
    "nested too deep": lambda: Base(deep(), Mask(BOARD)),
}


def animation() -> Any:
    return Picture(picture(), "RGB", frames=(Picture(picture()[::-1].copy(), "RGB"),))


def damaged(stream: bytes) -> bytes:
    """Its digest is another's."""
    (chunk,) = StreamReader().feed(stream)
    return write([Chunk("S", chunk.payload[:-1] + bytes([chunk.payload[-1] ^ 1]))])


def deep() -> bytes:
    data = diffcodec.encode(picture())
    for _ in range(4):
        data = regiven(made("mask"), [given.Stream("mask", (), None, data, parts_of(made("mask"))[0].mask)])  # type: ignore[union-attr]
    return data


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_given(what: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gift = WRONG[what]()
        with pytest.raises(InputError) as found:
            diffcodec.encode(picture(), "diffc", anything(), psnr=28, given=gift)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("image", [picture().astype(np.float32), picture() > 99, picture()[..., 0].astype(np.int16)])
def test_pictures_that_no_network_codes(image: np.ndarray) -> None:
    """They go through the context coder, which is given nothing."""
    for gift in (base("box"), Prompt("a field")):
        with pytest.raises((InputError, ModelMismatch)):
            diffcodec.encode(image, given=gift)


def test_an_untrue_base_is_told() -> None:
    """Decoded pictures are made to agree with it."""
    other = Base(diffcodec.encode(255 - Box(4).apply(picture())), Box(4))
    with pytest.warns(UserWarning, match="what box gives of the picture") as told:
        diffcodec.encode(picture(), "diffc", anything(), psnr=28, given=other)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diffcodec.encode(picture(), "diffc", anything(), psnr=28, given=Base(other.stream, Box(4), augmentation=2048))


# ---- in streams: never a foreign exception


SIZES = [(W, H), (H, W), (1, 1), (W, 1), (W // 4, H // 4), (7, 5), (W + 1, H)]


@pytest.mark.parametrize("name", OPERATORS)
def test_nested_streams_of_every_size(name: str) -> None:
    """Of the one size that belongs the stream decodes, of every other it is CorruptStream."""
    (part,) = parts_of(made(name))
    assert isinstance(part, given.Stream) and error_of(made(name)) == ""
    lawful = (part.containers[0].header.width, part.containers[0].header.height)
    channels = 1 if name == "luma" else 3
    for width, height in SIZES:
        image = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
        stream = diffcodec.encode(image)
        data = regiven(made(name), [given.Stream(name, part.numbers, None, stream, part.mask)])
        assert error_of(data) == ("" if (width, height) == lawful else "CorruptStream")
    for size in ((W + 1, H), (W, H - 4), (1, 1)):
        fits = given.OPERATORS[name].size(size, *part.numbers) == lawful and not part.mask
        found = error_of(regiven(made(name), [part], width=size[0], height=size[1]))
        assert found == ("" if fits else "CorruptStream")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16", "I", "F", "YCbCr", "HSV", "CMYK"])
def test_nested_streams_of_every_mode(mode: str) -> None:
    info = BY_NAME[mode]
    shape = (H // 4, W // 4, *([info.channels] if info.channels else []))
    stream = diffcodec.encode(Picture(np.zeros(shape, {"bit": "u1"}.get(info.sample, info.sample)), mode))
    wanted = "" if mode == "RGB" else "CorruptStream"
    assert error_of(regiven(made("box"), [given.Stream("box", (4,), None, stream)])) == wanted


def test_what_is_no_picture_is_given_none() -> None:
    """Clips and tracks: neither as what is coded nor as what is given."""
    for path in (*VECTORS.glob("clip*.dfc"), *VECTORS.glob("tracks*.dfc")):
        stream = path.read_bytes()
        head = read(stream).header
        data = regiven(made("mask"), [given.Stream("luma", (), None, stream)], width=head.width, height=head.height)
        assert error_of(data) == "CorruptStream"
        grey = diffcodec.encode(np.zeros((head.height, head.width), np.uint8))
        changed = {"width": head.width, "height": head.height, "mode": head.mode, "params": head.params}
        assert error_of(regiven(made("mask"), [given.Stream("luma", (), None, grey)], **changed)) == "CorruptStream"


def test_masks() -> None:
    (part,) = parts_of(made("mask"))
    assert isinstance(part, given.Stream)
    grey, short = diffcodec.encode(np.zeros((H, W), np.uint8)), diffcodec.encode(BOARD[:5])
    for mask in (grey, short, part.stream, b"", part.mask[:-1], damaged(part.mask)):
        data = regiven(made("mask"), [given.Stream("mask", (), None, part.stream, mask)])
        assert error_of(data) in ("CorruptStream", "DecodeMismatch")
    assert diffcodec.inspect(made("mask"))["decode_cost"]["pixels"] == 3 * H * W


def test_what_a_model_does_not_take() -> None:
    """Said of the model, which may be another than the one that wrote the stream."""
    strict = GaussianPictures.smooth()
    strict.name = "anything"
    with pytest.raises(ModelMismatch, match="takes box, chroma, luma, mask, and was given crop"):
        diffcodec.decode(made("crop"), model=strict)
    with pytest.raises(ModelMismatch, match="takes no box"):
        diffcodec.decode(regiven(photo_vdm(), parts_of(made("box"))))


@cache
def photo_vdm() -> bytes:
    first, *chunks = StreamReader().feed(diffcodec.encode(picture(), "diffc", bpp=6))
    return write([first, Chunk("G", b"\4\1\1"), *chunks])


@pytest.mark.parametrize("name", ["lattice_four_passes", "sixteen_planes"])
def test_a_model_of_another_kind_is_given_nothing(name: str) -> None:
    """Nor a stream that no model codes."""
    header, *rest = StreamReader().feed((VECTORS / f"{name}.dfc").read_bytes())
    data = write([header, Chunk("G", given.write([given.Text("a field")])), *rest])
    with pytest.raises(ModelMismatch if name.startswith("lattice") else CorruptStream, match="given"):
        diffcodec.decode(data)


def test_frames_before() -> None:
    assert error_of(regiven(made("box"), [given.Before(3)])) == "UnsupportedVersion"


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "JPEG": (lambda: jpeg(picture()), ""),
    "progressive": (lambda: jpeg(picture(), progressive=True), ""),
    "WebP": (lambda: jpeg(picture(), "WEBP", lossless=False), ""),
    "another size": (lambda: jpeg(picture()[:9]), "CorruptStream"),
    "grey": (lambda: jpeg(picture()[..., 0]), "CorruptStream"),
    "cut": (lambda: jpeg(picture())[:300], "CorruptStream"),
    "no header": (lambda: jpeg(picture())[:30], "CorruptStream"),
    "PNG": (lambda: jpeg(picture(), "PNG"), "UnsupportedVersion"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n(run) show", "UnsupportedVersion"),
    "RIFF that is no WebP": (lambda: b"RIFF" + bytes(40), "CorruptStream"),
    "65535×65535": (lambda: patched(jpeg(picture()), 65535, 65535), "CorruptStream"),
    "1×1": (lambda: patched(jpeg(picture()), 1, 1), "CorruptStream"),
}


def patched(data: bytes, width: int, height: int) -> bytes:
    """A JPEG file whose frame header tells another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4 :]


@pytest.mark.parametrize("what", FILES)
def test_files(what: str) -> None:
    make, error = FILES[what]
    assert error_of(regiven(made("box"), [given.File(make())])) == error


def test_files_that_were_changed_anyhow() -> None:
    rng, seen = np.random.default_rng(1), set()
    for number in range(120):
        data = bytearray(jpeg(picture(), ("JPEG", "WEBP")[number % 2]))
        for _ in range(rng.integers(3)):
            data[rng.integers(len(data) // 2, len(data))] = rng.integers(256)
        seen.add(
            error_of(
                regiven(made("box"), [given.File(bytes(data[: rng.choice([len(data), rng.integers(20, len(data))])]))])
            )
        )
    assert seen <= {"", "CorruptStream", "LimitExceeded"} and len(seen) > 1


@pytest.mark.parametrize("name", OPERATORS)
def test_every_flipped_byte_is_our_error(name: str) -> None:
    payload = next(chunk.payload for chunk in StreamReader().feed(made(name)) if chunk.type == "G")
    first, *chunks = StreamReader().feed(made(name))
    for at in range(min(len(payload), 60)):
        forged = bytearray(payload)
        forged[at] ^= 0x41
        data = write([first, *(Chunk("G", bytes(forged)) if chunk.type == "G" else chunk for chunk in chunks)])
        assert error_of(data) != "Unforeseen", at


# ---- what it costs


def test_work_of_what_is_nested_is_within_the_budget() -> None:
    """Nested pixels and calls count, before any model is loaded or anything is decoded."""
    told = diffcodec.inspect(made("box"))["decode_cost"]
    assert told["pixels"] == H * W * 17 // 16
    with pytest.raises(LimitExceeded):
        diffcodec.decode(made("box"), model=anything(), max_pixels=H * W + 47)
    with pytest.raises(LimitExceeded, match="budget"):
        diffcodec.decode(made("box"), model=anything(), budget=told["budget"] * 0.99)
    assert diffcodec.decode(made("box"), model=anything(), budget=told["budget"] * 1.01).shape == (H, W, 3)


def test_bombs_are_refused_unloaded() -> None:
    """Pictures within the limit, of hundreds of calls each, one at every level."""
    side = 2**13
    head = Header(2, 2, side, side, 3, 0, 0, "no such model", bytes(8), b"\0\0\0\0\x0d")
    tall = write([Chunk("H", head.to_bytes()), Chunk("P", b"\0\1" * 400), Chunk("E", b"")])
    data = tall
    for _ in range(3):
        nested = Chunk("G", given.write([given.Stream("luma", (), None, grey(data))]))
        data = write([Chunk("H", head.to_bytes()), nested, Chunk("P", b"\0\1" * 400), Chunk("E", b"")])
    with pytest.raises(LimitExceeded):
        diffcodec.decode(data)
    with pytest.raises(LimitExceeded):
        list(diffcodec.decode_progressive(bytes([one]) for one in data))
    cost = diffcodec.inspect(data)["decode_cost"]
    assert cost["pixels"] == 4 * side * side and cost["budget"] > 1
    assert cost["network_pixels"] > DIFFC_ALLOWED.network_pixels.of(len(data))


def grey(data: bytes) -> bytes:
    first, *chunks = StreamReader().feed(data)
    head = Header.from_bytes(first.payload)
    return write([Chunk("H", Header(**(vars(head) | {"mode": 0, "params": b"\0\0\x0d"})).to_bytes()), *chunks])


# ---- streams as they come


@pytest.mark.parametrize("name", ["box", "mask"])
def test_byte_by_byte_it_is_the_same(name: str) -> None:
    data = made(name)
    options: Any = {"model": anything(), "reconstruction": "mean"}
    at_once = list(diffcodec.decode_progressive(data, **options))
    singly = list(diffcodec.decode_progressive((bytes([one]) for one in data), **options))
    assert [p.bytes_read for p in at_once] == [p.bytes_read for p in singly] and at_once[-1].complete
    assert all((a.image == b.image).all() for a, b in zip(at_once, singly, strict=True))
    assert at_once[0].bytes_read == read(data).begins
    with pytest.raises(Truncated):
        list(diffcodec.decode_progressive(data[: read(data).begins - 1], **options))


def test_a_stream_whose_bytes_allow_more_later_waits() -> None:
    """A budget that the whole stream keeps to refuses none of its prefixes: it shows them later."""
    data = made("box")
    needed = diffcodec.inspect(data)["decode_cost"]["budget"]
    shown = list(diffcodec.decode_progressive(data, model=anything(), budget=1.01 * needed))
    assert shown[-1].complete and (shown[-1].image == diffcodec.decode(data, model=anything())).all()


def test_a_prefix_within_what_was_given_shows_nothing() -> None:
    data = made("box")
    for size in (read(data).begins - 1, 60):
        with pytest.raises(Truncated):
            diffcodec.decode(data, model=anything(), upto_bytes=size)
    assert diffcodec.inspect(data[:60], partial=True)["given"] == []


# ---- archives, and what knows no model


def test_archives_hold_no_such_streams() -> None:
    first, second = picture(), diffcodec.encode(picture(), "diffc", anything(), given=base("box"))
    with archive.open_archive(diffcodec.encode_archive([first, first[::-1].copy()])) as opened:
        header, group = opened.header, opened.group(opened.places[0])
    plain = group.payload[: group.entries[0].size]
    entries = (Entry("a", group.entries[0].kind, len(plain)), Entry("b", group.entries[0].kind, len(second)))
    models = (None, anything())
    digests = [diffcodec.api.decode_picture(s, model=m).digest() for s, m in zip((plain, second), models, strict=True)]
    forged = Group(entries, plain + second, digest_of(digests))
    out = io.BytesIO()
    writer = Writer(out, header)
    writer.add(SimpleNamespace(to_bytes=forged.to_bytes, entries=entries, digest=forged.digest))  # type: ignore[arg-type]
    writer.finish()
    with pytest.raises(UnsupportedVersion, match="in an archive was given something"):
        diffcodec.decode_archive(out.getvalue())
    with pytest.warns(UserWarning, match="is lost"):
        kept = diffcodec.decode_archive(out.getvalue(), damaged="skip")
    assert kept[0] is not None and (kept[0] == first).all() and kept[1] is None


def test_inspect_needs_nothing(tmp_path: Any) -> None:
    """Neither NumPy nor torch nor Pillow, whatever was given."""
    parts = [*parts_of(made("mask")), given.Text("a photo of a field"), given.File(jpeg(picture())), given.Before(2)]
    (tmp_path / "x.dfc").write_bytes(regiven(made("mask"), [*parts, given.Outside(bytes(32), "depth")]))
    program = (
        "import sys\n"
        "for name in ('numpy', 'torch', 'PIL', 'numba', 'constriction'):\n"
        "    sys.modules[name] = None\n"
        "import diffcodec\n"
        "told = diffcodec.inspect(sys.argv[1])\n"
        "print([one['kind'] for one in told['given']], told['given'][0]['given'], told['decode_cost']['pixels'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "x.dfc")], capture_output=True, text=True)
    assert done.stdout.strip() == f"['stream', 'text', 'file', 'before', 'outside'] [] {3 * H * W}", done.stderr


def test_what_comes_from_outside() -> None:
    data = regiven(made("box"), [given.Outside(bytes(32), "depth")])
    for supplied in ({}, {"depth": "text"}, {"depth": np.array([object()])}, {"depth": b"another"}):
        assert error_of(data, given=supplied) == "InputError"


def test_a_file_comes_as_it_was() -> None:
    """Byte for byte, and with its samples."""
    seen: list[Any] = []

    class Looks(Anything):
        def given(self, condition: Any) -> Any:
            seen.append(condition)
            return self

    model = Looks.__new__(Looks)
    model.__dict__.update(anything().__dict__)
    file = jpeg(picture(), quality=80)
    data = diffcodec.encode(picture(), "diffc", model, psnr=28, given=File(file))
    diffcodec.decode(data, model=model)
    assert len(seen) == 2 and all(isinstance(one, FileGiven) and one.data == file for one in seen)
    assert all((one.samples == np.asarray(Image.open(io.BytesIO(file)))).all() for one in seen)
    assert parts_of(data) == [given.File(file)]
