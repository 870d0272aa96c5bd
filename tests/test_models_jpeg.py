"""JPEG files as what is known of a picture: read as Pillow shows them, made as Pillow makes them, and met exactly."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diffcodec.models.jpeg import cells
from diffcodec.models.jpeg.coefficients import MAX_SCANS, Jpeg, read
from diffcodec.runtime.errors import CorruptStream, DiffcodecError, InputError, LimitExceeded, UnsupportedVersion

SIZES = [(1, 1), (7, 9), (8, 8), (33, 17), (50, 3)]
CODINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 1},
    "rows": {"restart_marker_rows": 1},
    "progressive restarts": {"progressive": True, "restart_marker_blocks": 2},
}
SAMPLING = {0: [(1, 1)] * 3, 1: [(2, 1), (1, 1), (1, 1)], 2: [(2, 2), (1, 1), (1, 1)]}
frequency, place = np.arange(8)[:, None], np.arange(8)
COSINES = np.cos((2 * place + 1) * frequency * np.pi / 16) * np.where(frequency, 0.5, np.sqrt(1 / 8))
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
KINDS = ("photo", "noise", "extreme", "flat")


def picture(size: tuple[int, int], kind: str = "photo", seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Of (width, height)."""
    random = np.random.default_rng(seed)
    shape = (size[1], size[0], 3)
    y, x, c = np.indices(shape)
    made = {
        "photo": lambda: 128 + 80 * np.sin(x / (4 + c) + seed) * np.cos(y / (7 - c)) + random.normal(0, 12, shape),
        "noise": lambda: random.integers(0, 256, shape),
        "extreme": lambda: random.integers(0, 2, shape) * 255,
        "flat": lambda: np.broadcast_to(random.integers(0, 256, 3), shape),
    }[kind]()
    return Image.fromarray(np.clip(np.rint(made), 0, 255).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def samples(image: Image.Image) -> np.ndarray:
    found = np.array(image)
    return found[..., None] if found.ndim == 2 else found


def shown(data: bytes) -> np.ndarray:
    """Luma as Pillow shows it."""
    image = Image.open(io.BytesIO(data))
    if image.mode == "RGB":
        image.draft("YCbCr", image.size)
    return samples(image)[..., 0]


def opened(data: bytes) -> np.ndarray:
    return samples(Image.open(io.BytesIO(data)))


def same(a: Any, b: Any) -> bool:
    """Whether two tuples of coefficients are the same."""
    return all(np.array_equal(x, y) for x, y in itertools.zip_longest(a, b))


def levels(jpeg: Jpeg) -> tuple[np.ndarray, ...]:
    return tuple(part.coefficients for part in jpeg.components)


def segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (2 + len(payload)).to_bytes(2, "big") + payload


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """(marker, all bytes) of a file's segments, coded data with their scan, up to the end of the picture."""
    found, at = [], 2
    while data[at + 1] != 0xD9:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xDA:
            while data[end] != 0xFF or data[end + 1] in (0, *range(0xD0, 0xD8)):
                end += 1
        found.append((data[at + 1], data[at:end]))
        at = end
    return found


def joined(parts: Any) -> bytes:
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


# ---- reading


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_luma_is_what_pillow_shows(mode: str, coding: str) -> None:
    for size, quality, subsampling in itertools.product(SIZES, (5, 50, 90, 100), (0, 1, 2) if mode == "RGB" else (0,)):
        data = saved(picture(size, mode=mode), quality=quality, subsampling=subsampling, **CODINGS[coding])
        jpeg = read(data)
        assert (jpeg.width, jpeg.height, jpeg.transform) == (*size, mode == "RGB")
        luma = jpeg.components[0]
        blocks = COSINES.T @ (luma.coefficients * luma.table.astype(float)) @ COSINES
        plane = blocks.swapaxes(1, 2).reshape(8 * len(blocks), -1)[: size[1], : size[0]] + 128
        assert np.abs(np.clip(plane, 0, 255) - shown(data)).max() <= 1


def test_codings_of_a_picture_are_one() -> None:
    for size, subsampling in itertools.product(SIZES, (0, 1, 2)):
        files = [saved(picture(size), quality=80, subsampling=subsampling, **coding) for coding in CODINGS.values()]
        assert all(same(levels(read(data)), levels(read(files[0]))) for data in files)


def test_tables_and_sizes() -> None:
    random = np.random.default_rng(0)
    luma, chroma = random.integers(1, 256, (2, 64))
    for size, subsampling in itertools.product(SIZES, (0, 1, 2)):
        data = saved(picture(size), qtables=[luma.tolist(), chroma.tolist()], subsampling=subsampling)
        jpeg = read(data)
        assert [(part.h, part.v) for part in jpeg.components] == SAMPLING[subsampling]
        h, v = SAMPLING[subsampling][0]
        for part, wanted, (high, wide) in zip(
            jpeg.components, (luma, chroma, chroma), [(8, 8), (8 * v, 8 * h), (8 * v, 8 * h)], strict=True
        ):
            assert part.table.dtype == np.uint16 and np.array_equal(part.table.ravel(), wanted)
            assert part.coefficients.dtype == np.int16
            assert part.coefficients.shape == (-(-size[1] // high), -(-size[0] // wide), 8, 8)
        steps, ratio = cells.tables(jpeg)
        assert np.array_equal(steps, [luma, chroma]) and steps.dtype == np.float32
        assert ratio == (h - 1, v - 1)
    steps, ratio = cells.tables(read(saved(picture((9, 9), mode="L"), qtables=[luma.tolist()])))
    assert np.array_equal(steps, [luma, 0 * luma]) and ratio == (0, 0)


@pytest.mark.parametrize("sampling", [(1, 1), (2, 1), (1, 2), (2, 2), (4, 2)])
def test_scans_of_one_component(sampling: tuple[int, int]) -> None:
    """Of three grey files one of YCbCr, whose scans are those of the files, with fill bytes, comments, bytes behind."""
    h, v = sampling
    for width, height in SIZES:
        smaller = -(-width // h), -(-height // v)
        files = [saved(picture(size, seed=k, mode="L")) for k, size in enumerate([(width, height), smaller, smaller])]
        head = b"".join(part for marker, part in segments(files[0]) if marker in (0xC4, 0xDB))
        frame = b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x03"
        frame += bytes((1, 16 * h + v, 0, 2, 0x11, 0, 3, 0x11, 0))
        scans = [segment(0xDA, bytes((1, k + 1, 0, 0, 63, 0))) + segments(file)[-1][1][10:] + b"\xff"
                 for k, file in enumerate(files)]  # fmt: skip
        data = joined([head, segment(0xFE, b"\xff\xd9"), segment(0xC1, frame), *scans]) + b"behind"
        jpeg = read(data)
        assert same(levels(jpeg), [levels(read(file))[0] for file in files])
        assert [part.number for part in jpeg.components] == [1, 2, 3] and jpeg.transform


def test_which_colours() -> None:
    """By JFIF, else by Adobe's marker, else by names of components: as libjpeg."""
    parts = segments(saved(picture((9, 9))))
    plain = [part for marker, part in parts if marker != 0xE0]
    frame = next(k for k, part in enumerate(plain) if part[1] == 0xC0)
    adobe = [segment(0xEE, b"Adobe\0d\0\0\0\0" + bytes([k])) for k in range(3)]
    named = plain.copy()
    for k, number in enumerate(b"RGB"):  # in the frame and in its scan
        for i, at in ((frame, 10 + 3 * k), (-1, 5 + 2 * k)):
            named[i] = named[i][:at] + bytes([number]) + named[i][at + 1 :]
    assert read(joined(plain)).transform and not read(joined(named)).transform
    assert [read(joined([part, *plain])).transform for part in adobe] == [False, True, True]
    assert read(joined([adobe[1], *named])).transform
    assert read(joined([adobe[0], parts[0][1], *plain])).transform
    rgb = saved(picture((9, 9)), keep_rgb=True)
    assert not read(rgb).transform
    with pytest.raises(UnsupportedVersion):
        cells.tables(read(rgb))


# ---- bytes that are not such a file


def changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


def test_kinds_that_are_not_read() -> None:
    data = saved(picture((9, 9)))
    at = data.index(b"\xff\xc0")
    for marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xDE):
        with pytest.raises(UnsupportedVersion):
            read(changed(data, at + 1, marker))
    for offset, value in ((4, 12), (11, 0x31), (9, 4)):  # bits, sampling, components
        with pytest.raises(UnsupportedVersion):
            read(changed(data, at + offset, value))
    with pytest.raises(UnsupportedVersion):
        read(changed(changed(data, at + 5, 0), at + 6, 0))  # a height that follows
    with pytest.raises(UnsupportedVersion):
        read(saved(picture((9, 9)).convert("CMYK")))


def test_sizes_are_checked_first() -> None:
    data = saved(picture((33, 17)))
    with pytest.raises(LimitExceeded):
        read(data, max_pixels=33 * 17 - 1)
    assert read(data, max_pixels=33 * 17).width == 33
    at = data.index(b"\xff\xc0")
    huge = data[: at + 5] + b"\xff\xff\xff\xff" + data[at + 9 :]
    with pytest.raises(LimitExceeded):
        read(huge)
    with pytest.raises(CorruptStream, match="too short"):
        read(huge, max_pixels=2**32)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_truncated(mode: str, coding: str) -> None:
    data = saved(picture((17, 9), mode=mode), quality=60, **CODINGS[coding])
    for end in range(len(data)):
        with pytest.raises(CorruptStream):
            read(data[:end])


@cache
def attacked() -> list[bytes]:
    return [saved(picture((33, 17), "photo", 1, mode), quality=70, **coding)
            for mode in ("L", "RGB") for coding in CODINGS.values()]  # fmt: skip


@pytest.mark.parametrize("number", range(4))
def test_flipped(number: int) -> None:
    random = np.random.default_rng(number)
    read_anyway = 0
    for _ in range(1000):
        data = bytearray(attacked()[random.integers(len(attacked()))])
        for _ in range(random.integers(1, 4)):
            data[random.integers(len(data))] = random.choice([0, 1, 17, 34, 255, random.integers(256)])
        try:
            jpeg = read(bytes(data), max_pixels=1 << 20)
        except DiffcodecError as error:
            assert "\n" not in str(error)
        else:
            read_anyway += 1
            assert all(part.coefficients.size and part.table.all() for part in jpeg.components)
    assert read_anyway


@given(st.binary(max_size=80))
def test_anything(data: bytes) -> None:
    for start in (b"", b"\xff\xd8", joined([])[:-2] + segments(attacked()[0])[1][1]):
        with pytest.raises(DiffcodecError):
            read(start + data)


def test_scans_follow_each_other() -> None:
    parts = segments(saved(picture((17, 9)), progressive=True))
    scans = [k for k, (marker, _) in enumerate(parts) if marker == 0xDA]
    for k in scans:
        with pytest.raises(CorruptStream):  # twice
            read(joined(part for i, (_, part) in enumerate(parts) for _ in range(1 + (i == k))))
        with pytest.raises(CorruptStream):  # not at all
            read(joined(part for i, (_, part) in enumerate(parts) if i != k))
    with pytest.raises(CorruptStream):
        read(joined(part for _, part in [*parts[: scans[0]], *parts[: scans[0] - 1 : -1]]))
    with pytest.raises(CorruptStream):
        read(joined([part for _, part in parts] + [parts[scans[-1]][1]] * MAX_SCANS))


# ---- making


@given(sizes, st.sampled_from(KINDS), st.integers(0, 99), st.integers(1, 100), st.sampled_from([0, 1, 2, None]))
@settings(max_examples=150)
def test_forward_is_what_pillow_makes(
    size: tuple[int, int], kind: str, seed: int, quality: int, subsampling: int | None
) -> None:
    image = picture(size, kind, seed, "L" if subsampling is None else "RGB")
    jpeg = read(saved(image, quality=quality, subsampling=subsampling or 0))
    assert same(cells.forward(samples(image), jpeg), levels(jpeg))


@given(sizes, st.sampled_from(KINDS), st.integers(0, 99), st.sampled_from([1, 3, 40, 255, 8191]))
@settings(max_examples=40)
def test_forward_with_any_steps(size: tuple[int, int], kind: str, seed: int, most: int) -> None:
    tables = np.random.default_rng(seed).integers(1, most + 1, (2, 64)).tolist()
    image = picture(size, kind, seed)
    jpeg = read(saved(image, qtables=tables, subsampling=seed % 3))
    assert same(cells.forward(samples(image), jpeg), levels(jpeg))
    rgb = read(saved(image, qtables=tables, keep_rgb=True))
    assert same(cells.forward(samples(image), rgb), levels(rgb))


@pytest.mark.parametrize("subsampling", ["411", "440"])
def test_forward_of_other_sampling(subsampling: str) -> None:
    codecs = pytest.importorskip("imagecodecs")
    for size, kind in itertools.product(SIZES, KINDS):
        image = samples(picture(size, kind))
        jpeg = read(codecs.jpeg8_encode(image, level=85, subsampling=subsampling))
        assert same(cells.forward(image, jpeg), levels(jpeg))
        met, wrong = cells.agree(np.full_like(image, 128), jpeg, rounds=20, steps=50)
        assert wrong == 0 or kind in ("noise", "extreme")
        assert wrong == differing(met, jpeg)


# ---- cells


def in_cells(x: np.ndarray, jpeg: Jpeg) -> float:
    """How far luma and averaged chroma of whole MCUs are out of their cells, at most, in levels."""
    weights = np.array([[0.299, 0.587, 0.114], [-0.16874, -0.33126, 0.5], [0.5, -0.41869, -0.08131]])
    planes = x @ weights.T if x.shape[2] == 3 else x
    h, v = jpeg.components[0].h, jpeg.components[0].v
    off = 0.0
    for c, part in enumerate(jpeg.components):
        plane = planes[..., c] - (0 if c else 128)
        if c:
            plane = plane.reshape(len(plane) // v, v, -1, h).mean((1, 3))
        blocks = plane.reshape(len(plane) // 8, 8, -1, 8).swapaxes(1, 2)
        found = COSINES @ blocks @ COSINES.T
        steps = part.table.astype(float)
        off = max(off, float((np.abs(found - part.coefficients * steps) - steps / 2).max()))
    return off


@pytest.mark.parametrize("subsampling", [0, 1, 2, None])
def test_projected_pictures_lie_in_their_cells(subsampling: int | None) -> None:
    for size, quality, kind in itertools.product([(16, 16), (48, 32)], (10, 75), KINDS):
        image = picture(size, kind, mode="L" if subsampling is None else "RGB")
        jpeg = read(saved(image, quality=quality, subsampling=subsampling or 0))
        x = samples(picture(size, "noise", 1, image.mode)).astype(np.float64)
        projected = cells.project(x, jpeg)
        assert projected.dtype == np.float64 and projected.shape == x.shape
        assert in_cells(projected, jpeg) < 0.02  # the weights above are rounded
        assert np.abs(cells.project(projected, jpeg) - projected).max() < 1e-9
        true = samples(image).astype(np.float64)
        assert np.abs(cells.project(true, jpeg) - true).max() < 2  # an encoder rounds on its way
        assert ((projected - true) ** 2).sum() <= ((x - true) ** 2).sum()


def test_projected_at_odd_sizes() -> None:
    for size, subsampling in itertools.product(SIZES, (0, 1, 2)):
        jpeg = read(saved(picture(size), quality=50, subsampling=subsampling))
        true = samples(picture(size)).astype(np.float64)
        assert np.abs(cells.project(true, jpeg) - true).max() < 2


@pytest.mark.parametrize("function", [cells.forward, cells.project, cells.agree])
def test_sizes_belong_together(function: Any) -> None:
    jpeg = read(saved(picture((9, 8))))
    for shape in ((9, 8, 3), (8, 9, 1), (8, 9), (8, 10, 3)):
        with pytest.raises(InputError):
            function(np.zeros(shape, np.uint8), jpeg)


# ---- agreement


def differing(found: np.ndarray, jpeg: Jpeg) -> int:
    return sum(int((a != b).sum()) for a, b in zip(cells.forward(found, jpeg), levels(jpeg), strict=True))


@pytest.mark.parametrize("subsampling", [0, 1, 2, None])
@pytest.mark.parametrize("quality", [5, 40, 80, 95])
def test_agreeing_pictures_are_the_same_file(quality: int, subsampling: int | None) -> None:
    """From what Pillow shows, and from that smoothed: as near the true picture, and the same bytes when saved."""
    options = {"quality": quality, "subsampling": subsampling or 0}
    for size in ((64, 48), (45, 19)):
        if size == (45, 19) and quality == 95:
            continue  # a pixel that is continued counts for several, and so fine steps may be out of reach
        image = picture(size, mode="L" if subsampling is None else "RGB")
        data = saved(image, **options)
        jpeg, true, start = read(data), samples(image), opened(data)
        assert cells.agree(true, jpeg)[1] == 0 and np.array_equal(cells.agree(true, jpeg)[0], true)
        smooth = np.rint((start + np.roll(start, 1, 0) * 1.0 + np.roll(start, 1, 1)) / 3).astype(np.uint8)
        for given_picture in (start, smooth):
            before = given_picture.copy()
            found, wrong = cells.agree(given_picture, jpeg)
            assert wrong == 0 and found.dtype == np.uint8
            assert saved(Image.fromarray(found.squeeze(2) if subsampling is None else found), **options) == data
            assert np.array_equal(before, given_picture)
            assert ((found - true * 1.0) ** 2).mean() < 1.1 * ((given_picture - true * 1.0) ** 2).mean() + 0.5


@given(sizes, st.sampled_from(KINDS), st.integers(0, 99), st.integers(1, 100), st.sampled_from([0, 1, 2, None]))
@settings(max_examples=40)
def test_agreement_from_anything(
    size: tuple[int, int], kind: str, seed: int, quality: int, subsampling: int | None
) -> None:
    """What is not met is counted."""
    image = picture(size, kind, seed, "L" if subsampling is None else "RGB")
    jpeg = read(saved(image, quality=quality, subsampling=subsampling or 0))
    found, wrong = cells.agree(samples(picture(size, "noise", seed + 1, image.mode)), jpeg, rounds=20, steps=50)
    assert wrong == differing(found, jpeg)


@pytest.mark.parametrize("subsampling", [0, 1, 2, None])
def test_whole_blocks_agree_from_noise(subsampling: int | None) -> None:
    for kind, quality in itertools.product(("photo", "flat"), (1, 20, 60, 90)):
        image = picture((32, 16), kind, quality, "L" if subsampling is None else "RGB")
        jpeg = read(saved(image, quality=quality, subsampling=subsampling or 0))
        found, wrong = cells.agree(samples(picture((32, 16), "noise", 1, image.mode)), jpeg)
        assert wrong == differing(found, jpeg) == 0


def test_what_agrees_is_left_alone() -> None:
    image = samples(picture((64, 48)))
    jpeg = read(saved(picture((64, 48)), quality=85, subsampling=2))
    damaged = image.copy()
    damaged[16:20, 32:48] = 200
    found, wrong = cells.agree(damaged, jpeg)
    assert wrong == differing(found, jpeg) == 0
    found[16:32, 32:48] = image[16:32, 32:48]
    assert np.array_equal(found, image)


def test_agreement_of_colours_as_they_are() -> None:
    data = saved(picture((33, 17)), quality=80, keep_rgb=True)
    found, wrong = cells.agree(opened(data), read(data))
    assert wrong == 0 and differing(found, read(data)) == 0


def test_coefficients_of_no_picture() -> None:
    """What cannot be met is counted, and given up in time."""
    jpeg = read(saved(picture((33, 17)), quality=95))
    random = np.random.default_rng(0)
    for most in (40, 32767):
        parts = [replace(part, coefficients=random.integers(-most, most + 1, part.coefficients.shape, np.int16),
                         table=np.full((8, 8), 1 if most == 40 else 65535, np.uint16))
                 for part in jpeg.components]  # fmt: skip
        impossible = replace(jpeg, components=tuple(parts))
        found, wrong = cells.agree(np.zeros((17, 33, 3), np.uint8), impossible, rounds=5, steps=20)
        assert 0 < wrong == differing(found, impossible)
        assert np.isfinite(cells.project(np.zeros((17, 33, 3)), impossible)).all()


def test_agreement_goes_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture((45, 70)), quality=60)
    monkeypatch.setattr(cells, "STRIP", 16 * 45 * 2)
    found, wrong = cells.agree(opened(data), read(data))
    assert wrong == 0 and differing(found, read(data)) == 0
