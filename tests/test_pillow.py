"""`.dfc` through Pillow's own open and save."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_image import PILLOW_MODES

import diffcodec
import diffcodec.pillow
from diffcodec import api
from diffcodec.runtime.errors import DiffcodecError, InputError

pytestmark = pytest.mark.usefixtures("fake_codec")


@pytest.mark.parametrize("mode", PILLOW_MODES)
def test_save_and_open(mode: str, tmp_path: Path, rng: np.random.Generator) -> None:
    length = len(Image.new(mode, (9, 8)).tobytes())
    image = Image.frombytes(mode, (9, 8), rng.integers(0, 256, length, dtype=np.uint8).tobytes())
    image.save(tmp_path / "x.dfc")
    with Image.open(tmp_path / "x.dfc") as back:
        assert (back.format, back.mode, back.size) == ("DFC", mode, (9, 8))
        assert back.tobytes() == image.tobytes()
    assert back.get_format_mimetype() == "image/x-diffcodec"


def test_pixels_are_decoded_on_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    data = diffcodec.encode(np.zeros((4, 5), np.uint8))
    calls = []
    real = api.decode_picture
    monkeypatch.setattr(api, "decode_picture", lambda *a, **k: calls.append(1) or real(*a, **k))
    image = Image.open(io.BytesIO(data))
    assert image.size == (5, 4) and not calls
    image.load()
    image.getpixel((0, 0))
    assert len(calls) == 1
    image.putpixel((0, 0), 7)
    assert image.getpixel((0, 0)) == 7 and image.resize((2, 2)).size == (2, 2)


def test_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    out = io.BytesIO()
    Image.new("RGB", (3, 3)).save(out, "DFC", icc_profile=b"profile", exif=exif)
    back = Image.open(io.BytesIO(out.getvalue()))
    assert back.info["icc_profile"] == b"profile" and back.getexif()[0x0112] == 3
    again = io.BytesIO()
    back.save(again, "DFC")
    assert again.getvalue() == out.getvalue()


def test_all_that_pillow_has_names_for() -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Title", "a picture")
    texts.add_itxt("Title", "ein Bild", lang="de")
    out = io.BytesIO()
    image = Image.new("RGB", (3, 3))
    image.save(out, "DFC", xmp=b"<x/>", dpi=(300, 72), comment=b"words", pnginfo=texts)
    back = Image.open(io.BytesIO(out.getvalue()))
    assert {key: back.info[key] for key in ("xmp", "dpi", "comment")} == {
        "xmp": b"<x/>",
        "dpi": (300, 72),
        "comment": b"words",
    }
    assert back.info["Title"] == "ein Bild" and [text.text for text in back.metadata.text] == ["a picture", "ein Bild"]
    again = io.BytesIO()
    back.save(again, "DFC")
    assert again.getvalue() == out.getvalue()


def test_a_png_opened_by_pillow_keeps_what_it_says() -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Title", "a picture")
    out = io.BytesIO()
    Image.new("RGB", (3, 3)).save(out, "PNG", pnginfo=texts, dpi=(300, 300))
    back = api.decode_picture(diffcodec.encode(Image.open(io.BytesIO(out.getvalue()))))
    assert [text.text for text in back.metadata.text] == ["a picture"]
    assert back.metadata.density is not None and back.metadata.density.dpi() is not None
    assert round(float((back.metadata.density.dpi() or (0,))[0])) == 300


def test_options() -> None:
    out = io.BytesIO()
    Image.radial_gradient("L").save(out, "DFC", seed=11, model="fake")
    assert diffcodec.inspect(out.getvalue())["seed"] == 11
    with pytest.raises(DiffcodecError):
        Image.new("L", (3, 3)).save(io.BytesIO(), "DFC", model="nothing")


def test_16_bit_colour_is_refused_by_name() -> None:
    data = diffcodec.encode(np.arange(75, dtype=np.uint16).reshape(5, 5, 3) * 800)
    with pytest.raises(InputError, match=r"diffcodec\.decode"):
        Image.open(io.BytesIO(data))


def test_damage() -> None:
    data = diffcodec.encode(np.arange(64, dtype=np.uint8).reshape(8, 8))
    with pytest.raises(DiffcodecError):
        Image.open(io.BytesIO(data[:-1]))
    with pytest.raises(OSError, match="cannot identify"):  # Pillow's own: no plugin claims these bytes
        Image.open(io.BytesIO(b"not a stream"))


def test_failed_save_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(DiffcodecError):
        Image.new("L", (3, 3)).save(tmp_path / "x.dfc", model="nothing")
    assert not (tmp_path / "x.dfc").exists()


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda image: pickle.loads(pickle.dumps(image))])
def test_copies_and_pickles(loaded: bool, copied: Callable[[Image.Image], Image.Image]) -> None:
    """Of an opened stream, before and after its pixels are there; the one that was opened stays as it was."""
    array = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    image = Image.open(io.BytesIO(diffcodec.encode(array)))
    if loaded:
        image.load()
    other = copied(image)
    assert np.array_equal(np.asarray(other), array) and other.mode == image.mode and other.size == image.size
    assert np.array_equal(np.asarray(image), array)


def test_effort_is_an_option_of_saving() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    for effort in (1, 7):
        out = io.BytesIO()
        image.save(out, "DFC", bpp=8.0, effort=effort)
        assert out.getvalue() == diffcodec.encode(image, bpp=8.0, effort=effort)
    with pytest.raises(InputError, match="effort"):
        image.save(io.BytesIO(), "DFC", bpp=8.0, effort=10)


def test_a_draft_decodes_fewer_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).integers(0, 256, (60, 101, 3), dtype=np.uint8)
    data = diffcodec.encode(array)
    asked = []
    real = api.decode_picture
    monkeypatch.setattr(api, "decode_picture", lambda *a, **k: asked.append(k["size"]) or real(*a, **k))
    image = Image.open(io.BytesIO(data))
    assert image.draft(None, (90, 50)) is None and image.size == (101, 60)
    mode, box = image.draft("L", (25, 15))
    assert (mode, box, image.size) == ("RGB", (0, 0, 25.0, 15.0), (25, 15))
    assert image.draft(None, (1, 1)) is None  # of the pixels that are drafted there is no draft
    image.load()
    assert image.size == (25, 15) and asked == [(26, 15)]
    assert np.array_equal(np.asarray(image), diffcodec.decode(data, size=(26, 15)))
    assert image.draft(None, (1, 1)) is None


def test_thumbnails_are_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    asked = []
    real = api.decode_picture
    monkeypatch.setattr(api, "decode_picture", lambda *a, **k: asked.append(k["size"]) or real(*a, **k))
    image = Image.open(io.BytesIO(diffcodec.encode(array)))
    image.thumbnail((12, 12))
    assert image.size == (12, 8) and asked == [(48, 32)]


def test_an_option_that_does_not_exist_is_warned_of() -> None:
    image = Image.new("RGB", (3, 3))
    with pytest.warns(UserWarning, match="takes no optimize, quality, which is left out"):
        image.save(io.BytesIO(), "DFC", quality=90, optimize=True)


@pytest.mark.parametrize("nothing", [None, b""])
@pytest.mark.parametrize("name", ["icc_profile", "exif", "xmp", "dpi", "comment"])
def test_metadata_given_as_nothing_is_dropped(name: str, nothing: bytes | None) -> None:
    said = {"icc_profile": b"profile", "exif": b"Exif\0\0II*\0", "xmp": b"<x/>"}
    said |= {"dpi": (300.0, 72.0), "comment": b"words"}
    out, again = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (3, 3)).save(out, "DFC", **said)
    image = Image.open(io.BytesIO(out.getvalue()))
    image.save(again, "DFC", **{name: nothing})
    kept = Image.open(io.BytesIO(again.getvalue())).info
    assert name in image.info and kept == {key: value for key, value in image.info.items() if key != name}
