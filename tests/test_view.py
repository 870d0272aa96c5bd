"""view, thumbnail, desktop: a page that asks nobody for anything, shows what there is, and runs nobody's script."""

from __future__ import annotations

import base64
import configparser
import hashlib
import io
import json
import os
import re
import shutil
import webbrowser
from collections.abc import Callable, Iterator
from fractions import Fraction
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import browsing
import numpy as np
import pytest
from conftest import FakeModel, White
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import diffcodec
from diffcodec import api
from diffcodec.cli import desktop
from diffcodec.cli.view import drawn, page, seen, small
from diffcodec.media.clip import Clip, Colour
from diffcodec.media.metadata import Metadata, Text
from diffcodec.media.modes import BY_NAME, DTYPES
from diffcodec.media.picture import Picture
from diffcodec.runtime.errors import DiffcodecError

Run = Callable[..., tuple[int, bytes, str]]
pytestmark = pytest.mark.usefixtures("fake_codec")
RNG = np.random.default_rng(3)
ARRAY = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
SMOOTH = np.clip(RNG.normal(127, 40, (12, 16, 3)).repeat(4, 0).repeat(4, 1), 0, 255).astype(np.uint8)
HOSTILE = "</style></script><script>document.title='taken'</script><img src=x onerror=alert(1)>\" onload=\"alert(2)"
VOID = {"meta", "img", "input", "br"}
TAGS = VOID | set(
    "html style title main h1 h2 small nav ul li a section p div button output label select option svg rect figure "
    "figcaption details summary dl dt dd table thead tbody tr th td b script".split()
)


class Page(HTMLParser):
    """A page's elements, its policy, its texts; refuses what a page must not have."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.inner: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        found = {name: value or "" for name, value in attrs}
        for name, value in found.items():
            assert not name.startswith("on") and name not in ("style", "srcset", "action", "srcdoc"), (tag, name)
            assert name not in ("src", "href") or value.startswith(("data:image/", "#")), (tag, name, value[:40])
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.inner[self.open[-1]] = self.inner.get(self.open[-1], "") + data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, tag: str, kind: str = "") -> list[dict[str, str]]:
        return [found for name, found in self.tags if name == tag and kind in ["", *found.get("class", "").split()]]


def parsed(text: str) -> Page:
    """A page that keeps to what every page must."""
    found = Page(text)
    assert len(found.all("script")) == len(found.all("style")) == 1
    (policy,) = (one["content"] for one in found.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:" and "unsafe" not in policy
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(found.inner[tag].encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    outside = text.replace("".join(found.inner["script"]), "")
    assert not re.search(r"(https?:)?//[a-z]|@import|url\(|file:", re.sub(r'src="data:[^"]*"', "", outside))
    return found


def picture_of(url: str) -> Image.Image:
    """A data URL's."""
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1])))
    image.load()
    return image


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    path = tmp_path / "photo.dfc"
    path.write_bytes(diffcodec.encode(ARRAY))
    return path


@pytest.fixture
def lossy(tmp_path: Path) -> Path:
    path = tmp_path / "lossy.dfc"
    path.write_bytes(diffcodec.encode(SMOOTH, "diffc", bpp=6))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "many.dfca"
    photos = [RNG.integers(0, 256, (300, 200 + n, 3), dtype=np.uint8) for n in range(5)]
    names = ["a.png", "<script>alert(1)</script>", 'b" onload="x.png', "deep/c.png", "d.png"]
    path.write_bytes(diffcodec.encode_archive([*photos, photos[3]], FakeModel(), names=[*names, "copy.png"], group=3))
    return path


def viewed(run: Run, *args: object) -> tuple[int, Page, str]:
    """What `view -o` says and writes."""
    out = Path(str(args[0])).parent / "page.html"
    code, stdout, err = run("view", *args, "-o", out, "--overwrite")
    assert stdout == b""
    return code, parsed(out.read_text(encoding="utf-8")), err


# ---- streams


def test_a_stream_and_its_passes(run: Run, stream: Path) -> None:
    code, found, err = viewed(run, stream)
    assert code == 0 and "page.html: 1 file" in err
    layers = found.all("img", "layer")
    told = diffcodec.inspect(stream)
    assert [int(one["data-size"]) for one in layers] == [told["passes"][0]["end"], told["bytes"]]
    assert np.array_equal(np.asarray(picture_of(layers[-1]["src"])), ARRAY)  # the picture itself, to the bit
    assert "exact" in layers[-1]["alt"] and "exact" not in layers[0]["alt"]
    assert [int(one["data-end"]) for one in found.all("rect")] == [one["end"] for one in told["passes"]]
    assert "60×40 RGB" in found.text and "fake" in found.text and told["digest"] in found.text
    (viewer,) = found.all("div", "viewer")
    assert (viewer["data-width"], viewer["data-height"]) == ("60", "40")


def test_previews_are_few_and_in_the_order_of_bytes(run: Run, lossy: Path) -> None:
    ends = [one["end"] for one in diffcodec.inspect(lossy)["passes"]]
    assert len(ends) > 5
    for most in (1, 3, 12, 64):
        code, found, _ = viewed(run, lossy, "--previews", most)
        sizes = [int(one["data-size"]) for one in found.all("img", "layer")]
        assert code == 0 and sizes == sorted(set(sizes)) and len(sizes) == min(most, len(ends))
        assert sizes[-1] == lossy.stat().st_size and (most == 1 or sizes[0] == ends[0])
        scrubs = found.all("input", "scrub")
        assert [one["max"] for one in scrubs] == ([str(len(sizes) - 1)] if len(sizes) > 1 else [])
    assert len(found.all("rect")) == len(ends)


def test_previews_are_spread_evenly() -> None:
    for count in range(1, 40):
        ends = list(range(100, 100 + count))
        for most in range(1, 15):
            wanted = seen._wanted(ends, most)
            assert len(wanted) == min(most, count) and wanted[-1] == ends[-1]
            gaps = np.diff([ends[0], *wanted[1:]])
            assert wanted == sorted(wanted) and (not gaps.size or gaps.max() - gaps.min() <= 1)


def test_beside_its_original(run: Run, lossy: Path, tmp_path: Path) -> None:
    original = tmp_path / "original.png"
    Image.fromarray(SMOOTH).save(original)
    code, found, _ = viewed(run, lossy, "--original", original)
    layers = found.all("img", "layer")
    assert code == 0 and len(found.all("div", "second")) == 1 and len(found.all("option")) == 3
    assert layers[-1]["alt"] == f"original, {seen.grouped(original.stat().st_size)} bytes"
    assert np.array_equal(np.asarray(picture_of(layers[-1]["src"])), SMOOTH)
    quality = [float(re.search(r"([\d.]+) dB", one["alt"])[1]) for one in layers[:-1]]  # type: ignore[index]
    error = ((np.asarray(picture_of(layers[-2]["src"])).astype(float) - SMOOTH) ** 2).mean()
    assert quality[-1] > quality[0] and quality[-1] == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)

    Image.fromarray(SMOOTH[::2, ::2]).save(original)
    _, found, _ = viewed(run, lossy, "--original", original)
    assert "32×24 drawn as large as the stream" in found.all("img", "layer")[-1]["alt"] and "dB" not in found.text


def test_what_a_stranger_wrote_stays_text(run: Run, tmp_path: Path) -> None:
    """In names of files, texts, comments, labels and errors."""
    metadata = Metadata(text=(Text(HOSTILE[:70], HOSTILE * 20),), comments=(HOSTILE.encode(), b"@files@ \xff"))
    path = tmp_path / "<script>alert(1)<b onload=x>&amp;@files@\n\x1b.dfc"
    path.write_bytes(diffcodec.encode(Picture(ARRAY, "RGB", metadata=metadata)))
    broken = tmp_path / "<i>'\".dfc"
    broken.write_bytes(b"<script>alert(3)</script>")
    (tmp_path / "x").mkdir()
    out = tmp_path / "x" / "page.html"
    code, _, err = run("view", path, broken, "-o", out)
    assert code == 1 and err.count("error:") == 1
    found = parsed(out.read_text(encoding="utf-8"))
    assert "document.title='taken'" in found.text and "@files@" in found.text
    assert "<script>alert(1)<b onload=x>&amp;@files@ \\x1b.dfc" in found.text
    assert len(found.all("section")) == 2 and [one["href"] for one in found.all("a")] == ["#f0", "#f1"]


def test_turned_and_coloured_as_metadata_say(run: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    icc = bytes(16) + b"RGB " + bytes(200)
    path = tmp_path / "x.dfc"
    path.write_bytes(diffcodec.encode(Picture(ARRAY, "RGB", icc=icc, exif=exif.tobytes()[6:])))
    _, found, _ = viewed(run, path)
    image = picture_of(found.all("img", "layer")[-1]["src"])
    assert np.array_equal(np.asarray(image), np.rot90(ARRAY, -1)) and image.info["icc_profile"] == icc
    assert found.all("div", "viewer")[0]["data-width"] == "40"
    for odd in (b"", b"II*\0\xff\xff\xff\xff", b"no directory", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abcd"):
        assert drawn.Look.of(Metadata(exif=odd)).orientation == 1


def test_every_mode_can_be_looked_at() -> None:
    for name, mode in BY_NAME.items():
        shape = (5, 7, mode.channels) if mode.channels else (5, 7)
        if mode.sample == "bit":
            samples = RNG.integers(0, 2, shape, dtype=np.uint8) * np.uint8(255)
        else:
            samples = (RNG.random(shape) * 200).astype(DTYPES[mode.sample])
        image = drawn.visible(samples, name)
        assert (image.size, image.mode) == ((7, 5), "RGB" if mode.alpha is None else "RGBA"), name


def test_samples_of_other_depths_are_scaled() -> None:
    ten = np.array([[0, 512, 1023]], np.uint16)
    assert np.asarray(drawn.visible(ten, "I;16", white=1023))[0, :, 0].tolist() == [0, 128, 255]
    floats = np.array([[-1, np.nan, 0, 1, np.inf]], np.float32)
    assert np.asarray(drawn.visible(floats, "F"))[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_pictures_take_no_more_than_their_room(tmp_path: Path) -> None:
    noise = RNG.integers(0, 256, (500, 700, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    for room in (2**10, 2**14, 2**17, 2**22):
        url = drawn.data_url(image, b"\0" * 5000, room)
        assert len(base64.b64decode(url.split(",")[1])) <= room
        assert url.startswith("data:image/png" if room == 2**22 else "data:image/webp")
    how = small.How(room=2**18)
    found = seen.look_at("x", diffcodec.encode(noise), how)
    assert len(found.layers) == 2 and len(page.render([found])) < 4 / 3 * how.room + 2**15
    wide = Image.new("RGB", (drawn.SIDE * 2 + 1, 3))
    assert drawn.reduced(wide, drawn.SIDE).width <= drawn.SIDE


# ---- what is cut or damaged


def test_a_cut_stream_is_shown_as_far_as_it_goes(run: Run, lossy: Path) -> None:
    data, ends = lossy.read_bytes(), [one["end"] for one in diffcodec.inspect(lossy)["passes"]]
    lossy.write_bytes(data[: ends[3] + 2])
    code, found, err = viewed(run, lossy)
    assert code == 1 and err.splitlines()[-1].startswith(f"error: {lossy}: ") and err.count("error") == 1
    assert [int(one["data-size"]) for one in found.all("img", "layer")] == ends[:4]
    assert len(found.all("p", "problem")) == 1 and len(found.all("rect")) == 4


def test_a_damaged_stream_is_shown_up_to_the_damage(run: Run, lossy: Path) -> None:
    data, ends = bytearray(lossy.read_bytes()), [one["end"] for one in diffcodec.inspect(lossy)["passes"]]
    data[ends[4] + 6] ^= 1
    lossy.write_bytes(data)
    code, found, err = viewed(run, lossy)
    assert code == 1 and "damaged" in err
    assert [int(one["data-size"]) for one in found.all("img", "layer")] == ends[:5]


@given(st.data())
def test_whatever_is_in_a_file_there_is_a_page_or_an_error(data: st.DataObject) -> None:
    small_one = SMOOTH[:24, :24]
    lossless = data.draw(st.booleans())
    whole = bytearray(diffcodec.encode(small_one) if lossless else diffcodec.encode(small_one, "diffc", bpp=4))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del whole[at:]
    try:
        found = seen.look_at("x", bytes(whole), small.How(previews=3))
    except DiffcodecError:
        return
    text = parsed(page.render([found])).text
    assert found.problem and found.problem.split("\n")[0][:20] in text


def test_no_stream_at_all(run: Run, tmp_path: Path, stream: Path) -> None:
    (tmp_path / "x.dfc").write_bytes(b"no stream")
    for args, words in (
        ([tmp_path / "x.dfc"], "x.dfc: expected"),
        ([tmp_path / "none.dfc"], "No such file"),
        ([tmp_path], "found the directory"),
        ([stream, "--original", tmp_path / "none.png"], "No such file"),
    ):
        code, out, err = run("view", *args, "-o", tmp_path / "p.html")
        assert (code, out) == (1, b"") and err.count("\n") == 1 and words in err
    assert run("view", stream, stream, "--original", stream)[0] == 2
    assert run("view", "-", "-")[0] == 2
    assert not (tmp_path / "p.html").exists()


VECTORS = Path(__file__).parents[1] / "bitstream_spec" / "vectors" / "valid"


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.dfc")), ids=lambda path: path.stem)
def test_whatever_the_format_has_is_looked_at(path: Path) -> None:
    """Containers around codecs' bytes that mean nothing: there is a page, or an error of ours, and no other."""
    try:
        found = seen.look_at(path.name, path.read_bytes(), small.How(previews=2))
    except DiffcodecError:
        return
    assert found.facts and (found.what or found.problem)
    assert "format" in parsed(page.render([found])).text


def test_files_that_were_given_are_named() -> None:
    found = seen.look_at("x", (VECTORS / "given_small_file.dfc").read_bytes(), small.How())
    told = dict(found.facts)["given"]
    assert re.fullmatch(r"[a-z]+( \d+)*: a file(, augmentation \d+)?, \d+ bytes", told), told


# ---- other signals


def test_clips_tracks_and_tokens_say_what_they_are(run: Run, tmp_path: Path) -> None:
    tracks = api.Tracks(RNG.integers(0, 9, (6, 2, 1)), (api.Column("x"),), names=("<b>one", "two"))
    frames = RNG.integers(0, 256, (3, 8, 10, 3), dtype=np.uint8)
    for name, signal, words in (
        ("clip", frames, "a clip of 3 frames"),
        ("tracks", tracks, "tracks of 2 agents over 6 frames, of which nothing is drawn"),
        ("tokens", np.arange(50, dtype=np.uint8), "a row of tokens, of which nothing is drawn"),
    ):
        path = tmp_path / f"{name}.dfc"
        path.write_bytes(diffcodec.encode(signal))
        code, found, err = viewed(run, path)
        layers = found.all("img", "layer")
        assert code == 0 and words in found.text and len(layers) == 3 * (name == "clip"), err
        for layer, frame in zip(layers, frames, strict=False):
            assert np.array_equal(np.asarray(picture_of(layer["src"])), frame)


def test_a_clip_is_played(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame by frame from the first on, at its rate; of a long one the first frames; of a cut one those there are."""
    frames = RNG.integers(0, 256, (5, 8, 10, 3), dtype=np.uint8)
    data = diffcodec.encode(Clip((frames,), rate=Fraction(25, 2)), group=2)
    path = tmp_path / "clip.dfc"
    path.write_bytes(data)
    _, found, _ = viewed(run, path)
    layers = found.all("img", "layer")
    assert len(layers) == 5 and "on" in layers[0]["class"] and "on" not in layers[4]["class"]
    assert layers[4]["alt"] == "frame 4 of 5, 0.32 s"
    viewer, (scrub,) = found.all("div", "viewer")[0], found.all("input", "scrub")
    assert viewer["data-rate"] == "12.5" and (scrub["max"], scrub["value"]) == ("4", "0")
    assert [one for one in found.all("button") if one.get("data-do") == "play"]
    monkeypatch.setattr(seen, "FRAMES", 3)
    _, found, _ = viewed(run, path)
    assert len(found.all("img", "layer")) == 3 and "of which the first 3 are shown" in found.text
    path.write_bytes(data[: len(data) * 2 // 3])
    _, found, _ = viewed(run, path)
    assert 2 <= len(found.all("img", "layer")) < 5
    still = tmp_path / "still.dfc"
    still.write_bytes(diffcodec.encode(SMOOTH))
    _, found, _ = viewed(run, still)
    assert not [one for one in found.all("button") if one.get("data-do") == "play"]


def test_colours_of_clips() -> None:
    def shown(y: int, u: int, v: int, **tags: int) -> list[int]:
        half = (1, 2, 3)
        planes = (np.full((1, 3, 5), y, np.uint8), np.full(half, u, np.uint8), np.full(half, v, np.uint8))
        image = np.asarray(drawn.frame_of(Clip(planes, "YUV420", colour=Colour(**tags)), 0))
        assert image.shape == (3, 5, 3) and (image == image[0, 0]).all()
        return image[0, 0].tolist()

    assert shown(16, 128, 128) == [0, 0, 0] and shown(235, 128, 128) == [255, 255, 255]
    assert shown(255, 128, 128, range=2) == [255, 255, 255]
    assert np.allclose(shown(81, 90, 240), [255, 0, 0], atol=2)  # BT.601
    assert np.allclose(shown(63, 102, 240, matrix=1), [255, 0, 0], atol=2)  # BT.709
    assert shown(10, 20, 30, matrix=0) == [30, 10, 20]


# ---- archives


def test_the_contact_sheet_of_an_archive(run: Run, archive: Path) -> None:
    code, found, err = viewed(run, archive)
    pictures = [one["src"] for one in found.all("img")]
    assert code == 0, err
    assert len(pictures) == 6 and pictures[3] == pictures[5] and len(found.all("figure")) == 6
    assert all(max(picture_of(url).size) <= seen.THUMBNAIL for url in pictures)
    for words in ("<script>alert(1)</script>", 'b" onload="x.png', "200×300 RGB"):
        assert words in found.text
    code, found, _ = viewed(run, archive, "--most", 2)
    assert code == 0 and len(found.all("img")) == 2 and len(found.all("figure")) == 6


def test_only_as_many_pictures_as_are_wanted_are_decoded(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    real = small.of_archive

    def counted(*args):
        nonlocal count
        count += 1
        return real(*args)

    monkeypatch.setattr(seen, "of_archive", counted)
    monkeypatch.setattr(seen, "_NAMED", 1)
    found = seen.look_at("x", archive.read_bytes(), small.How(most=2))
    assert count == 2 and [bool(one.url) for one in found.thumbnails] == [True, True, False, False]
    assert found.left_out == 2 and "and 2 more" in page.render([found])


def test_chains_are_decoded_for_their_pictures() -> None:
    photos = [RNG.integers(0, 256, (8, 8 + n, 3), dtype=np.uint8) for n in range(12)]
    data = diffcodec.encode_archive([*photos, photos[2]], White(), steps=6)
    found = seen.look_at("x", data, small.How())
    assert not found.problem and len(found.thumbnails) == 13
    for one, photo in zip(found.thumbnails, [*photos, photos[2]], strict=True):
        assert np.array_equal(np.asarray(picture_of(one.url)), photo)


def test_a_damaged_archive_shows_what_is_left(run: Run, archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[len(data) // 4] ^= 1
    archive.write_bytes(data)
    code, found, err = viewed(run, archive)
    assert code == 1 and err.count("error:") == 1 and 5 <= len(found.all("img"))
    assert "group 0 is damaged" in found.text and re.search(r" damaged, [\d ]+ bytes", found.text)
    archive.write_bytes(data[: 3 * len(data) // 4])
    code, found, err = viewed(run, archive)
    assert code == 1 and err.count("error:") == 1 and found.all("p", "problem")


# ---- the command


def test_several_files_make_one_page(run: Run, stream: Path, lossy: Path, archive: Path) -> None:
    out = stream.parent / "all.html"
    code, stdout, _ = run("view", stream, lossy, archive, "-o", out, "--json")
    told = [json.loads(line) for line in stdout.splitlines()]
    found = parsed(out.read_text(encoding="utf-8"))
    assert code == 0 and len(found.all("section")) == 3 and len(found.all("div", "viewer")) == 2
    assert [one["file"] for one in told] == [str(stream), str(lossy), str(archive)]
    assert told[0]["previews"][-1] == stream.stat().st_size and told[2]["thumbnails"] == 6
    assert {one["page"] for one in told} == {str(out)} and not any(one["problem"] for one in told)
    code, _, err = run("view", stream, "-o", out)
    assert code == 1 and "exists already" in err
    before = stream.read_bytes()
    code, _, err = run("view", stream, "-o", stream, "--overwrite")
    assert code == 1 and "same file" in err and stream.read_bytes() == before


def test_without_a_name_the_page_is_opened(run: Run, stream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or len(opened) < 2)
    monkeypatch.setenv("TMPDIR", str(stream.parent))
    monkeypatch.setattr("tempfile.tempdir", None)
    code, stdout, err = run("view", stream, "--no-open")
    path = Path(stdout.decode().strip())
    assert code == 0 and not opened and path.name == "photo.dfc.html" and path.parent.stat().st_mode & 0o777 == 0o700
    parsed(path.read_text(encoding="utf-8"))
    assert run("view", stream)[0] == 0 and opened[0].startswith("file:///") and opened[0].endswith("photo.dfc.html")
    code, _, err = run("view", stream)
    assert code == 0 and "no browser was found: open " in err


def test_from_a_pipe_to_a_pipe(run: Run, stream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stream.read_bytes())))
    code, stdout, _ = run("view", "-", "-o", "-")
    assert code == 0 and "standard input" in parsed(stdout.decode()).text


# ---- small pictures


def test_thumbnails(run: Run, stream: Path, archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.png"
    for source, size, expected in ((stream, 32, (32, 21)), (stream, 100, (60, 40)), (archive, 64, (43, 64))):
        assert run("thumbnail", source, out, "--size", size, "--overwrite")[0] == 0
        assert Image.open(out).format == "PNG" and Image.open(out).size == expected
    code, _, err = run("thumbnail", stream, out)
    assert code == 1 and "exists already" in err
    code, stdout, _ = run("thumbnail", stream, "-")
    assert code == 0 and np.array_equal(np.asarray(Image.open(io.BytesIO(stdout))), ARRAY)
    stream.write_bytes(diffcodec.encode(np.arange(9, dtype=np.uint8)))
    code, _, err = run("thumbnail", stream, out, "--overwrite")
    assert code == 1 and "holds tokens, of which there is no picture" in err and err.count("\n") == 1


def test_thumbnails_take_the_first_bytes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []
    real = api.decode_picture

    def recorded(data, **options):
        asked.append(options["upto_bytes"])
        return real(data, **options)

    monkeypatch.setattr(api, "decode_picture", recorded)
    big = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    data, first = diffcodec.encode(big), diffcodec.inspect(diffcodec.encode(big))["passes"][0]["end"]
    image, _ = small.small(data, 32, small.How())
    assert image.size == (32, 24) and asked == [first] and first < len(data)
    image, _ = small.small(diffcodec.encode(np.dstack([big, big[..., :1]])), 32, small.How())
    assert image.mode == "RGBA" and asked[1:] == [None]  # alpha comes last
    image, _ = small.small(data[:-4], 32, small.How())
    assert image.size == (32, 24)
    image, _ = small.small(data[: first + 3], 2000, small.How())
    assert image.size == (640, 480)


# ---- desktops


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    updater = bin_ / "update-mime-database"
    updater.write_text(f'#!/bin/sh\necho "$1" >> {bin_}/updated\n')
    updater.chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_), prepend=os.pathsep)
    return tmp_path


def written(home: Path) -> Iterator[Path]:
    return (path for path in (home / "data").rglob("*") if path.is_file())


def test_a_desktop_is_told_and_forgets(run: Run, home: Path) -> None:
    code, stdout, _ = run("desktop", "install", "--dry-run")
    assert code == 0 and not (home / "data").exists() and stdout.count(b"# ") == 2 and b"%i %o --size %s" in stdout
    code, stdout, _ = run("desktop", "install", "--json")
    told = json.loads(stdout)
    assert code == 0 and told["database_updated"] and sorted(map(str, written(home))) == sorted(told["files"])
    assert (home / "bin" / "updated").read_text().split() == [str(home / "data" / "mime")]
    assert run("desktop", "install")[0] == 0
    other = home / "data" / "mime" / "packages" / "other.xml"
    other.write_text("another's")
    code, stdout, _ = run("desktop", "uninstall", "--dry-run")
    assert code == 0 and len(list(written(home))) == 3
    assert run("desktop", "uninstall")[0] == 0 and list(written(home)) == [other]
    code, _, err = run("desktop", "uninstall")
    assert code == 0 and "nothing was there" in err


def test_a_desktop_without_the_updater(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    code, _, err = run("desktop", "install")
    assert code == 0 and "update-mime-database is not there" in err and len(list(written(home))) == 2
    monkeypatch.setattr("platform.system", lambda: "Windows")
    code, _, err = run("desktop", "install")
    assert code == 1 and "Windows" in err


def test_types_know_our_files(home: Path, archive: Path, stream: Path) -> None:
    root = ElementTree.fromstring(desktop.FILES["mime/packages/diffcodec.xml"])
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    found = {}
    for kind in root.iter(f"{space}mime-type"):
        match, glob = kind.find(f".//{space}match"), kind.find(f"{space}glob")
        assert match is not None and glob is not None and match.attrib["offset"] == "0"
        magic = match.attrib["value"].encode().decode("unicode_escape").encode("latin-1")  # as C has them
        found[glob.attrib["pattern"]] = kind.attrib["type"], magic
    assert found["*.dfc"] == (Image.MIME.get("DFC", "image/x-diffcodec"), bytes.fromhex("8B4446430D0A1A0A"))
    for path in (archive, stream):
        assert path.read_bytes().startswith(found[f"*{path.suffix}"][1])
    entry = configparser.ConfigParser(interpolation=None)
    entry.read_string(desktop.FILES["thumbnailers/diffcodec.thumbnailer"])
    kinds = entry["Thumbnailer Entry"]["mimetype"].strip(";").split(";")
    assert sorted(kinds) == sorted(kind for kind, _ in found.values())


def test_the_thumbnailer_is_a_command_that_works(run: Run, home: Path, stream: Path) -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.read_string(desktop.FILES["thumbnailers/diffcodec.thumbnailer"])
    out = home / "made before.png"
    out.touch()  # as those who ask for thumbnails do
    name, *words = entry["Thumbnailer Entry"]["exec"].split()
    places = {"%i": stream, "%o": out, "%s": 16}
    assert name == "diffcodec" and run(*(places.get(word, word) for word in words))[0] == 0
    assert Image.open(out).size == (16, 11)


# ---- a browser


@pytest.fixture
def dump(tmp_path: Path) -> Callable[[Path], str]:
    """The elements of a page once its script has run in Chromium."""
    browsing.browser()
    return lambda path: browsing.dumped(path, tmp_path / "profile")


def test_the_script_runs_under_the_policy(run: Run, lossy: Path, tmp_path: Path, dump: Callable[[Path], str]) -> None:
    original = tmp_path / "original.png"
    Image.fromarray(SMOOTH).save(original)
    code, found, _ = viewed(run, lossy, "--original", original)
    assert code == 0 and not found.all("div", "live")
    text = dump(tmp_path / "page.html")
    assert re.search(r"<html[^>]* data-ready=\"yes\"", text)
    assert re.search(r'class="viewer live[^"]*\bwipe\b', text) and re.search(r'<output class="zoom">[\d.]+ %', text)
    assert len(re.findall(r'<rect class="read"', text)) == len(found.all("rect"))

    page_ = (tmp_path / "page.html").read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(page_.replace("</html>", "<script>document.title = 'taken'</script></html>"))
    assert "<title>taken" not in dump(tmp_path / "page.html")


#: what a user does in a browser, and what is then to be seen, as [name, whether it is so]
USED = Path(__file__).parent / "data" / "view_used.js"


def test_zoom_previews_and_comparison_in_a_browser(
    run: Run, lossy: Path, tmp_path: Path, dump: Callable[[Path], str]
) -> None:
    original = tmp_path / "original.png"
    Image.fromarray(SMOOTH).save(original)
    viewed(run, lossy, "--original", original)
    text, used = (tmp_path / "page.html").read_text(encoding="utf-8"), USED.read_text(encoding="utf-8")
    text = re.sub("<meta http-equiv[^>]*>", "", text).replace("</html>", f"<script>{used}</script></html>")
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    told = re.search(r'data-seen="([^"]*)"', dump(tmp_path / "page.html"))
    assert told is not None
    done = json.loads(unescape(told[1]))
    assert len(done) == used.count("seen.push") and [name for name, held in done if not held] == []
