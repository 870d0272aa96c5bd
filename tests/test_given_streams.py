"""What a model is given, in streams: chunk G, nested streams, consistency, limits, what is missing or damaged."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import needs_weights
from PIL import Image

import diffcodec
from diffcodec.bitstream import Chunk, StreamReader, given, write
from diffcodec.models.condition import FileGiven, Outside, Text, check
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.models.operators import Box, Crop, Luma, LumaChroma, Mask
from diffcodec.runtime.errors import (
    CorruptStream,
    InputError,
    LimitExceeded,
    ModelMismatch,
    ModelNotFound,
    Truncated,
)
from diffcodec.stream import cascade
from diffcodec.stream.given import Base, File, Prompt
from diffcodec.stream.given import Outside as FromOutside

pytestmark = needs_weights
SIZE = (32, 24)


@cache
def model() -> GaussianPictures:
    return GaussianPictures.smooth()


@cache
def picture() -> np.ndarray:
    x = model().sample(SIZE, 3)[0].transpose(1, 2, 0)
    return np.rint(np.clip((x + 1) * 127.5, 0, 255)).astype(np.uint8)


def base_of(operator: Any, **options: Any) -> Base:
    return Base(diffcodec.encode(operator.apply(picture())), operator, **options)


OPERATORS = {
    "box": Box(4),
    "luma": Luma(),
    "chroma": LumaChroma(2),
    "mask": Mask(np.add.outer(np.arange(SIZE[0]) // 8, np.arange(SIZE[1]) // 8) % 2 == 0),
}


@cache
def conditional(name: str = "box") -> bytes:
    return diffcodec.encode(picture(), "diffc", model(), psnr=33, given=base_of(OPERATORS[name]))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(65025 / np.mean((a.astype(float) - b) ** 2)))


# ---- the laws of DESIGN §3, in streams


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("reconstruction", ["mean", "flow"])
def test_a_decoded_picture_agrees_with_what_was_given(name: str, reconstruction: str) -> None:
    operator, data = OPERATORS[name], conditional(name)
    shown = diffcodec.decode(data, model=model(), reconstruction=reconstruction)
    off = operator.apply(shown).astype(int) - operator.apply(picture())
    assert abs(off).max() <= operator.within
    assert psnr(shown, picture()) > 30


def test_a_prefix_behind_what_was_given_is_a_picture() -> None:
    data = conditional()
    chunks = StreamReader().feed(data)
    end = next(chunk.end for chunk in chunks if chunk.type == "G")
    assert chunks[1].type == "G"
    alone = diffcodec.decode(data, upto_bytes=end, model=model(), reconstruction="mean")
    assert (Box(4).apply(alone) == Box(4).apply(picture())).all()
    wide = Box(4).apply(picture()).repeat(4, 0).repeat(4, 1)
    assert psnr(alone, picture()) > psnr(wide, picture()) + 0.2  # it is the conditional mean, no mere enlargement
    with pytest.raises(Truncated):
        diffcodec.decode(data, upto_bytes=end - 1, model=model())
    previews = list(diffcodec.decode_progressive(data, model=model(), reconstruction="mean"))
    assert previews[0].bytes_read == end and (previews[0].image == alone).all() and previews[-1].complete


@cache
def rough() -> bytes:
    """A base with loss, far from what it shows."""
    return diffcodec.encode(Box(2).apply(picture()), "diffc", small(), psnr=22)


@pytest.mark.parametrize("augmentation", [None, 3000])
def test_a_lossy_base_decodes_alike_however_it_is_looked_at(augmentation: int | None) -> None:
    """The exact picture comes back whatever reconstruction is asked for, singly or pass by pass, and agrees last."""
    diffcodec.register_model(small().name, small())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gift = Base(rough(), Box(2), augmentation)
        data = diffcodec.encode(picture(), "diffc", model(), given=gift)
    for reconstruction in ("mean", "flow", "ancestral"):
        options: Any = {"model": model(), "reconstruction": reconstruction}
        assert (diffcodec.decode(data, **options) == picture()).all()
        previews = list(diffcodec.decode_progressive(data, **options))
        assert (previews[-1].image == picture()).all() and previews[-1].complete
    base = diffcodec.decode(rough(), model=small(), reconstruction="mean")
    agrees = (Box(2).apply(previews[0].image) == base).all()
    assert agrees == (augmentation is None)


def test_a_model_decodes_what_it_made_of_what_is_nested() -> None:
    """The one that the reader has; another has to be registered."""
    inner = diffcodec.encode(Box(2).apply(picture()), "diffc", own(), psnr=34, given=Base(tiny(), Box(2), 4096))
    data = diffcodec.encode(picture(), "diffc", own(), psnr=33, given=Base(inner, Box(2), 4096))
    assert psnr(diffcodec.decode(data, model=own(), reconstruction="mean"), picture()) > 30
    with pytest.raises(ModelNotFound):
        diffcodec.decode(data)


@cache
def own() -> GaussianPictures:
    made = GaussianPictures.smooth(4, deviation=0.3)
    made.name = "gaussian-own"
    return made


def test_pictures_of_other_modes_agree_as_well() -> None:
    """In their colours: alpha, low bytes and grey that stands as colour are as they were."""
    alpha = np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])).astype(np.uint8)
    grey = picture()[..., :1].repeat(3, 2)
    for image in (np.dstack([picture(), alpha]), picture().astype(np.uint16) * 257, grey):
        colours = (image if image.dtype == np.uint8 else image >> 8).astype(np.uint8)[..., :3]
        gift = Base(diffcodec.encode(Box(4).apply(colours)), Box(4))
        data = diffcodec.encode(image, "diffc", model(), psnr=30, given=gift)
        shown = diffcodec.decode(data, model=model(), reconstruction="mean")
        high = (shown if shown.dtype == np.uint8 else shown >> 8).astype(np.uint8)[..., :3]
        assert shown.dtype == image.dtype and (Box(4).apply(high) == Box(4).apply(colours)).all()
        assert (shown[..., 3:] == image[..., 3:]).all()
        assert shown.dtype == np.uint8 or (shown >> 8 == shown & 255).all()


def test_what_was_given_saves_bits() -> None:
    plainly = diffcodec.encode(picture(), "diffc", model(), psnr=34)
    told = diffcodec.encode(picture(), "diffc", model(), psnr=34, given=base_of(Box(4)))
    assert len(told) - diffcodec.inspect(told)["given"][0]["bytes"] < 0.95 * len(plainly)


def test_the_tree_is_told() -> None:
    diffcodec.register_model(small().name, small())
    inner = diffcodec.encode(Box(2).apply(picture()), "diffc", small(), psnr=30, given=Base(tiny(), Box(2)))
    data = diffcodec.encode(picture(), "diffc", model(), psnr=33, given=[Base(inner, Box(2), 4096), base_of(Luma())])
    first, second = diffcodec.inspect(data)["given"]
    assert (first["kind"], first["operator"], first["codec"]) == ("stream", "box", "diffc")
    assert first["given"][0]["width"] == SIZE[1] // 4 and first["given"][0]["given"] == []
    assert second["operator"] == "luma" and second["mode"] == "L[1]"
    shown = diffcodec.decode(data, model=model(), reconstruction="mean")
    assert (Luma().apply(shown) == Luma().apply(picture())).all()


@cache
def small() -> GaussianPictures:
    made = GaussianPictures.smooth(4)
    made.name = "gaussian-small"
    return made


@cache
def tiny() -> bytes:
    return diffcodec.encode(Box(4).apply(picture()))


def test_work_and_pixels_count_what_is_nested() -> None:
    told = diffcodec.inspect(conditional())["decode_cost"]
    assert told["pixels"] == SIZE[0] * SIZE[1] * 17 // 16
    with pytest.raises(LimitExceeded):
        diffcodec.decode(conditional(), model=model(), max_pixels=SIZE[0] * SIZE[1] + 3)


# ---- what is missing or wrong


def test_a_model_that_takes_nothing_says_so() -> None:
    with pytest.raises(ModelMismatch, match="photo-octaves"):
        diffcodec.encode(picture(), "diffc", bpp=4, given=base_of(Box(4)))
    with pytest.raises(ModelMismatch, match="takes no text"):
        diffcodec.encode(picture(), "diffc", bpp=4, prompt="a field")
    with pytest.raises(InputError, match="takes box, chroma, luma, mask, and was given text"):
        diffcodec.encode(picture(), "diffc", model(), bpp=4, given=Prompt("a field"))
    with pytest.raises(InputError, match="found a int"):
        diffcodec.encode(picture(), "diffc", model(), bpp=4, given=[3])  # type: ignore[list-item]


def test_a_condition_of_another_size() -> None:
    with pytest.raises(InputError):
        diffcodec.encode(picture(), "diffc", model(), bpp=4, given=Base(diffcodec.encode(picture()[:5, :7]), Box(4)))


class Anything(GaussianPictures):
    """Takes every kind, and thinks of nothing."""

    takes = frozenset({"text", "file", "outside", "crop"})

    def given(self, condition: Any) -> Any:
        check(self, condition)
        self.seen = [*getattr(self, "seen", []), condition]
        return self


def anything() -> Anything:
    made = Anything.__new__(Anything)
    made.__dict__.update(model().__dict__, seen=[])
    return made


def test_texts_files_and_what_lies_outside() -> None:
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "JPEG", quality=50)
    field = np.arange(12, dtype=np.int32).reshape(3, 4)
    gifts = [
        Prompt("a photo of a field, sharp focus", "grey", 2.5, "t5", bytes(range(8))),
        File(file.getvalue()),
        FromOutside(field, "the field"),
        Base(diffcodec.encode(picture()[3:8, 2:9]), Crop(3, 2, 5, 7), augmentation=-2048),
    ]
    data = diffcodec.encode(picture(), "diffc", anything(), psnr=24, given=gifts)
    reader = anything()
    diffcodec.decode(data, model=reader, reconstruction="mean", given={"the field": field})
    text, jpeg, outside, crop = reader.seen
    assert isinstance(text, Text) and text.prompt.startswith("a photo") and text.scale == 2.5
    assert isinstance(jpeg, FileGiven) and jpeg.data == file.getvalue() and jpeg.samples.shape == picture().shape
    assert isinstance(outside, Outside) and (outside.value == field).all()
    assert crop.augmentation == -2048 and (crop.samples == picture()[3:8, 2:9]).all()
    told = diffcodec.inspect(data)["given"]
    assert [one["kind"] for one in told] == ["text", "file", "outside", "stream"]
    assert told[0]["bytes"] < 60 and told[1]["bytes"] == len(file.getvalue())
    with pytest.raises(InputError, match="'the field' from outside"):
        diffcodec.decode(data, model=anything())
    with pytest.raises(InputError, match="digest"):
        diffcodec.decode(data, model=anything(), given={"the field": field + 1})


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_a_small_file_is_what_the_picture_agrees_with(form: str) -> None:
    """And it stands in the stream as it is, to be cut out."""
    base = cascade.base_of(picture(), 4, bpp=8, form=form)
    assert isinstance(base, File) and base.augmentation is not None
    data = diffcodec.encode(picture(), "diffc", model(), psnr=26, given=base)
    assert base.data in data and diffcodec.given_files(data) == [base.data]
    assert diffcodec.given_files(data[: data.index(base.data) + len(base.data) + 4]) == [base.data]
    info = diffcodec.inspect(data)
    assert info["format"] == "1.6"
    (told,) = info["given"]
    assert (told["kind"], told["operator"], told["numbers"]) == ("small file", "box", [4])
    shown = diffcodec.decode(data, model=model(), reconstruction="mean")
    assert psnr(shown, picture()) > 25.5
    exact = File(base.data, Box(4))  # believed to the last level, which it need not deserve
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = diffcodec.encode(picture(), "diffc", model(), psnr=24, given=exact)
    shown = diffcodec.decode(data, model=model(), reconstruction="mean")
    small = np.asarray(Image.open(io.BytesIO(base.data)))
    assert (Box(4).apply(shown) == small).mean() > 0.99


def test_a_small_file_without_loss() -> None:
    base = cascade.base_of(picture(), 4, form="webp")
    assert isinstance(base, File) and base.augmentation is None
    data = diffcodec.encode(picture(), "diffc", model(), psnr=26, given=base)
    shown = diffcodec.decode(data, model=model(), reconstruction="mean")
    assert (Box(4).apply(shown) == Box(4).apply(picture())).all()


def test_small_files_that_cannot_be() -> None:
    base = cascade.base_of(picture(), 4, bpp=8, form="jpeg")
    assert isinstance(base, File)
    with pytest.raises(InputError, match="JPEG base needs"):
        cascade.base_of(picture(), 4, form="jpeg")
    with pytest.raises(InputError, match="no webp file of"):
        cascade.base_of(picture(), 4, bpp=0.01, form="webp")
    with pytest.raises(InputError, match="no augmentation"):
        diffcodec.encode(picture(), "diffc", anything(), psnr=24, given=File(base.data, augmentation=3))
    known = np.ones(picture().shape[:2], bool)
    with pytest.raises(InputError, match="a file of what mask leaves"):
        diffcodec.encode(picture(), "diffc", anything(), psnr=24, given=File(base.data, Mask(known)))
    for operator in (Box(3), Luma()):
        with pytest.raises(InputError, match="where"):
            diffcodec.encode(picture(), "diffc", anything(), psnr=24, given=File(base.data, operator))


def test_a_file_that_is_none() -> None:
    with pytest.raises(InputError, match="none of JPEG, WEBP"):
        diffcodec.encode(picture(), "diffc", anything(), bpp=8, given=File(b"GIF89a but not"))


def test_something_given_where_no_model_works() -> None:
    header, *rest = StreamReader().feed(diffcodec.encode(np.random.default_rng(0).integers(0, 2, (300, 300), np.uint8)))
    assert header.type == "H"
    with pytest.raises(CorruptStream, match="does not use"):
        diffcodec.decode(write([header, Chunk("G", given.write([given.File(b"x")])), *rest]))


def test_streams_of_given_things_are_1_5_and_say_so() -> None:
    assert diffcodec.inspect(conditional())["format"] == "1.5"  # by its codec; G itself is of 1.4


@pytest.mark.parametrize("name", OPERATORS)
def test_every_flipped_byte_of_the_chunk_is_our_error(name: str) -> None:
    chunks = StreamReader().feed(conditional(name))
    payload = next(chunk.payload for chunk in chunks if chunk.type == "G")
    for at in range(min(len(payload), 60)):
        forged = bytearray(payload)
        forged[at] ^= 0x41
        data = write([Chunk("G", bytes(forged)) if chunk.type == "G" else chunk for chunk in chunks])
        try:
            diffcodec.decode(data, model=model(), reconstruction="mean")
        except diffcodec.DiffcodecError as error:
            assert "\n" not in str(error) and type(error).__name__ != "Unforeseen", (at, error)
