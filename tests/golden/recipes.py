"""What the golden files are made from: small inputs drawn from a seed by integers alone, and the calls that code them.

A recipe never changes once a file was made by it; a new one gets a new name. `tools/make_golden.py` runs those whose
files a set lacks.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from diffcodec.media.clip import Clip
from diffcodec.media.modes import BY_NAME, MODES
from diffcodec.media.picture import Picture
from diffcodec.media.rows.clip import Colour
from diffcodec.media.rows.tracks import Column
from diffcodec.media.table import signal_of
from diffcodec.media.tokens import Tokens
from diffcodec.media.tracks import Tracks
from diffcodec.models.operators import Box

FOLDER = Path(__file__).parent
TEXT = FOLDER.parent / "data" / "text-ardm"

#: how a file has to decode, and be encoded: EXACT by any machine to the same samples, and to the same bytes; FITTED to
#: the same samples, but to the same bytes only where its environment is; PINNED where its environment is;
#: LOSSY to nearly the recorded samples
EXACT, FITTED, PINNED, LOSSY = "exact", "fitted", "pinned", "lossy"


# ---- inputs


def drawn(count: int, seed: int) -> np.ndarray:
    """uint8 (count,): the same on every machine and under every version of NumPy."""
    return np.frombuffer(hashlib.shake_128(seed.to_bytes(8, "little")).digest(count), np.uint8).copy()


def noise(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    return drawn(height * width * channels, seed).reshape(height, width, channels)


def scene(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """uint8 (H, W, C) like a photograph: ever finer bricks of ever less contrast, its colours much alike."""
    total = np.zeros((height, width, channels), np.int64)
    for octave in (4, 3, 2, 1, 0):
        h, w = -(-height >> octave) + 1, -(-width >> octave) + 1
        grey = noise(h, w, 1, 1000 * seed + octave).astype(np.int64) - 128
        tint = noise(h, w, channels, 1000 * seed + 100 + octave).astype(np.int64) - 128
        bricks = (4 * grey + tint).repeat(1 << octave, 0).repeat(1 << octave, 1)
        half = (1 << octave) // 2
        total += bricks[half : half + height, half : half + width] * (1 << octave)
    return np.clip(128 + total // 64, 0, 255).astype(np.uint8)


def drawing(height: int, width: int, channels: int, seed: int, colours: int = 6) -> np.ndarray:
    """uint8 (H, W, C) of few colours in rectangles."""
    ink, places = noise(colours, 1, channels, seed)[:, 0], drawn(4 * 12, seed + 1).reshape(12, 4).astype(int)
    out = np.broadcast_to(ink[0], (height, width, channels)).copy()
    for n, (y, x, h, w) in enumerate(places):
        top, left = y * height // 256, x * width // 256
        out[top : top + 1 + h * height // 512, left : left + 1 + w * width // 512] = ink[n % colours]
    return out


def tiled(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """uint8 (H, W, C) of many colours that come again and again in the same places, as letters on a screen do."""
    letter = noise(8, 8, channels, seed)
    page = np.tile(letter, (-(-height // 8), -(-width // 8), 1))[:height, :width].copy()
    ramp = np.arange(width, dtype=np.int64)[None, :, None] * 3 + np.arange(height, dtype=np.int64)[:, None, None]
    blank = drawn(page.shape[0] // 8 * (page.shape[1] // 8), seed + 1).reshape(page.shape[0] // 8, -1) < 128
    where = blank.repeat(8, 0).repeat(8, 1)
    page[where] = np.broadcast_to(ramp % 256, page.shape)[where].astype(np.uint8)
    return page


def photograph(height: int, width: int) -> np.ndarray:
    """uint8 (H, W, 3): of the 128×128 photograph that lies here (from NASA's portrait of E. Collins, public domain)."""
    from PIL import Image

    return np.array(Image.open(FOLDER / "astronaut.png"))[:height, :width]


def relief(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """uint16 (H, W, C): a slope with grain, a hole in it."""
    y, x = np.mgrid[:height, :width]
    slope = (20_000 + 311 * y + 97 * x)[..., None] + noise(height, width, channels, seed) % 64
    slope[(y - height // 3) ** 2 + (x - width // 2) ** 2 < 40] = 0
    return slope.astype(np.uint16)


def under(height: int, width: int, colours: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 4): a disc of these colours with a soft edge, black where it is transparent."""
    y, x = np.mgrid[:height, :width]
    away = 4 * ((2 * y - height) ** 2 + (2 * x - width) ** 2)
    cover = np.clip(255 + 3 * (height * width) - away, 0, 255)[..., None]
    return np.concatenate([np.where(cover, colours, 0), cover], 2).astype(np.uint8)


def of_mode(name: str, height: int, width: int, seed: int) -> Picture:
    """A picture of any mode of MODES.md; of those wider than 8 planes one whose high bytes are the same everywhere."""
    mode = BY_NAME[name]
    shape = (height, width, mode.channels) if mode.channels else (height, width)
    high = scene(height, width, mode.components, seed).reshape(shape)
    low = noise(height, width, mode.components, seed + 1).reshape(shape)
    if mode.sample == "bit":
        return Picture((high >= 128).astype(np.uint8) * np.uint8(255), name)
    if mode.sample == "u1":
        return Picture(high, name)
    wide = high.astype(np.uint16) << 8 | low
    if mode.sample in ("u2", "i2"):
        return Picture(wide.view(np.dtype(f"{mode.sample[0]}2")), name)
    if mode.sample == "f2":
        return Picture((wide & 0x7BFF).view(np.float16), name)
    if mode.sample == "u4":
        return Picture(wide.astype(np.uint32) * 65537, name)
    if mode.sample == "i4":
        return Picture(wide.astype(np.int32) if mode.channels > 2 else wide.astype(np.int32) * 3000 - 98_765_432, name)
    floats = (wide & 0xFF00).astype(np.uint32) << 15 if mode.channels > 2 else wide.astype(np.uint32) * 60_000 + 7
    return Picture(np.ascontiguousarray(floats.astype(np.uint32)).view(np.float32), name)


def tokens(count: int, vocabulary: int, seed: int) -> np.ndarray:
    return (drawn(count, seed) % vocabulary).astype(np.uint8)


def wide_tokens(count: int, seed: int) -> Tokens:
    """Of 16 bits, from few of them."""
    return Tokens(drawn(count, seed).astype(np.uint16) % 40 * 1009)


def clip(sampling: str, frames: int, height: int, width: int, seed: int) -> Clip:
    """A scene that moves to the left; of odd sizes too."""
    wide = scene(height, width + 2 * frames, 3, seed)
    return clip_of(np.stack([wide[:, 2 * n : 2 * n + width] for n in range(frames)]), sampling)


def clip_of(samples: np.ndarray, sampling: str) -> Clip:
    """Frames uint8 (T, H, W, 3), of YUV420 with every second sample of chroma."""
    if sampling == "RGB":
        return Clip((samples,), rate=Fraction(30000, 1001), colour=Colour(1, 13, 0, 2))
    every = 2 if sampling == "YUV420" else 1
    y, u, v = np.moveaxis(samples, 3, 0)
    return Clip((y, u[:, ::every, ::every], v[:, ::every, ::every]), sampling, Fraction(25), Colour(1, 1, 1, 1, 1))


def tracks(frames: int, agents: int, seed: int) -> Tracks:
    """Random walks with gaps; a feature of large numbers beside two of small ones."""
    steps = drawn(frames * agents * 3, seed).reshape(frames, agents, 3).astype(np.int64) - 128
    values = np.cumsum(np.cumsum(steps, 0), 0) // [8, 8, 1] * [1, 1, 10**12]
    missing = drawn(values.size, seed + 1).reshape(values.shape) < 40
    columns = (Column("x", Decimal("0.01"), Decimal("-5")), Column("y", Decimal("0.01")), Column("ns", Decimal("1E-9")))
    names, teams = tuple(f"agent {n}" for n in range(agents)), tuple("home" if n % 2 else "away" for n in range(agents))
    return Tracks(values, columns, missing, names, teams, Fraction(10))


def film(sampling: str) -> Clip:
    """Something smooth that goes by, with new grain in every frame, and in the end what no frame before tells."""
    frames, height, width = 4, 30, 44
    smooth = noise(height + 24, width + 24, 3, 310).astype(np.int64)
    for axis in (0, 1, 0, 1):
        sums = np.cumsum(smooth, axis)
        smooth = (sums.take(range(6, sums.shape[axis]), axis) - sums.take(range(sums.shape[axis] - 6), axis)) // 6
    wide = 128 + 6 * (smooth - 128)
    cuts = [wide[n : n + height, 2 * n : 2 * n + width] for n in range(frames - 1)]
    grain = noise(frames * height, width, 3, 311).reshape(frames, height, width, 3) % 7
    return clip_of(np.clip(np.stack([*cuts, cuts[0][::-1, ::-1]]) + grain, 0, 255).astype(np.uint8), sampling)


def movers(frames: int, agents: int, seed: int) -> Tracks:
    """Agents in a plane, of whom one is not there all the time."""
    pushes = drawn(frames * agents * 2, seed).reshape(frames, agents, 2).astype(np.int64) - 128
    values = np.cumsum(np.cumsum(pushes, 0), 0) // 16
    missing = np.zeros(values.shape, bool)
    missing[: frames // 3, 0] = True
    columns = (Column("x", Decimal("0.01")), Column("y", Decimal("0.01")))
    return Tracks(values, columns, missing, rate=Fraction(10))


def passers(frames: int, agents: int, seed: int) -> Tracks:
    """Agents who are seen in every third frame, each from its own on, and of whom one is lost for some time."""
    walk = movers(frames, agents, seed)
    missing = walk.gaps.copy()
    missing[(np.arange(frames)[:, None] + np.arange(agents)) % 3 > 0] = True
    missing[frames // 2 : frames // 2 + 12, 1] = True
    return Tracks(walk.values, walk.columns, missing, rate=Fraction(10))


def turners(frames: int, agents: int, seed: int) -> Tracks:
    """Agents in a plane, how fast they are, and where they look, in tenths of a degree, of whom one is told no more."""
    walk = movers(frames, agents, seed).values
    steps = np.diff(walk, axis=0, prepend=walk[:1])
    noise = drawn(frames * agents * 2, seed + 1).reshape(frames, agents, 2).astype(np.int64) - 128
    speed = np.abs(steps).sum(2) * 40 + noise[..., 0] // 8
    looks = (np.cumsum(noise[..., 1] * (noise[..., 0] > -60), 0) + 1800) % 3600
    values = np.concatenate([walk, speed[..., None], looks[..., None]], 2)
    missing = np.zeros(values.shape, bool)
    missing[frames // 2 :, 0, 3] = True
    columns = (Column("x"), Column("y"), Column("speed"), Column("looks", Decimal("0.1")))
    return Tracks(values, columns, missing, rate=Fraction(10))


# ---- calls


@dataclass(frozen=True)
class Recipe:
    """A golden file: what is coded, how, and how it has to come back. model: what decoding has to be told."""

    kind: str
    inputs: Callable[[], Any]
    encode: Callable[[Any], bytes]
    model: Path | None = None


def stream(kind: str, inputs: Callable[[], Any], model: Path | None = None, **options: Any) -> Recipe:
    """By `diffcodec.encode` with these options."""
    if model is not None:
        options["model"] = model
    return Recipe(kind, inputs, lambda image: diffcodec.encode(image, **options), model)


def archive(kind: str, inputs: Callable[[], Any], **options: Any) -> Recipe:
    return Recipe(kind, inputs, lambda images: diffcodec.encode_archive(images, **options))


def ordered_by(name: str | Path, kind: int, calls: int, seed: int) -> Callable[[np.ndarray], bytes]:
    """An ordered stream even where the context coder's is smaller, and over the lattice, as `encode` never does."""

    def encode(image: np.ndarray) -> bytes:
        from diffcodec.codecs.ardm import codec as ardm
        from diffcodec.codecs.ardm import ordered
        from diffcodec.codecs.codec import Encoded
        from diffcodec.codecs.table import CODECS
        from diffcodec.models import registry
        from diffcodec.models.environment import environment
        from diffcodec.models.protocols import PINNED as FLOAT
        from diffcodec.stream.written import stream_of

        signal, model = signal_of(image), registry.load(name, device="cpu")
        form = signal.forms(palettes=False)[0]
        plan = ordered.Plan(kind, calls, seed)
        passes, _ = ordered.encode(ordered.arranged(form.photo, model), model, plan)
        params = bytes([ardm.ORDERED]) + plan.to_bytes()
        if model.numerics == FLOAT:
            params += environment("cpu").encode()
        encoded = Encoded(params, passes, model)
        return stream_of(signal, form, CODECS["ardm"], encoded, seed=seed, digest=signal.digest())

    return encode


def by_frames(method: int) -> Callable[[Clip], bytes]:
    """A clip by one of the methods of ARDM that code frames, of which `encode` takes the newest alone."""

    def encode(clip: Clip) -> bytes:
        from diffcodec.codecs.ardm import codec as ardm
        from diffcodec.codecs.codec import Encoded
        from diffcodec.codecs.table import CODECS
        from diffcodec.models import registry
        from diffcodec.stream.written import stream_of

        model, form = registry.load("clip-ardm", device="cpu"), clip.forms()[-1]
        told = {"method": method, "frames": form.frames, "sampling": form.sampling}
        params, passes = ardm.encode(form.photo, form.extra, model, **told)
        return stream_of(clip, form, CODECS["ardm"], Encoded(params, passes, model), digest=clip.digest())

    return encode


def by_walking(*further: int) -> Callable[[Tracks], bytes]:
    """Tracks by their network, smaller or not, with so much that is done beside: `Further` of ARDM's method 7."""

    def encode(signal: Tracks) -> bytes:
        from diffcodec.codecs.ardm import tracks as ardm
        from diffcodec.codecs.ardm.track_plan import Further
        from diffcodec.codecs.codec import Encoded
        from diffcodec.codecs.table import CODECS
        from diffcodec.models import registry
        from diffcodec.stream.written import stream_of

        model, form = registry.load(registry.OF_TRACKS, device="cpu"), signal.forms()[-1]
        told = Further(*further[:2], bool(further[2:]))
        params, passes = ardm.encode(form.extra, form.columns, form.places, model, None, form.circles, told)
        return stream_of(signal, form, CODECS["ardm"], Encoded(params, passes, model), digest=signal.digest())

    return encode


def adjusted(image: np.ndarray) -> bytes:
    """A stream of a fitted network, though for so small a picture one without is as short."""
    from diffcodec.codecs.ardm import codec as ardm
    from diffcodec.codecs.codec import Encoded
    from diffcodec.codecs.table import CODECS
    from diffcodec.models import registry
    from diffcodec.models.lattice import adjustment
    from diffcodec.stream.written import stream_of

    picture, model = Picture.from_any(image), registry.load("photo-ardm", device="cpu")
    form = picture.forms(palettes=False)[0]
    fitted = adjustment.fit(form.photo, model)
    assert fitted is not None
    params, passes = ardm.encode(form.photo, form.extra, fitted[0], method=ardm.LATTICE)
    encoded = Encoded(params, passes, fitted[0], adjustment=fitted[1])
    return stream_of(picture, form, CODECS["ardm"], encoded, digest=picture.digest())


def learned(image: np.ndarray) -> bytes:
    """A stream whose network learns, as none does that is so small."""
    from diffcodec.codecs.ardm import codec as ardm
    from diffcodec.codecs.codec import Encoded
    from diffcodec.codecs.table import CODECS
    from diffcodec.models import registry
    from diffcodec.stream.written import stream_of

    picture, model = Picture.from_any(image), registry.load("photo-ardm", device="cpu")
    form = picture.forms(palettes=False)[0]
    coded = ardm.encode(form.photo, form.extra, model, method=ardm.LATTICE, learned=True)
    return stream_of(picture, form, CODECS["ardm"], Encoded(*coded, model), digest=picture.digest())


def with_metadata(samples: np.ndarray) -> Picture:
    return Picture(samples, "RGB", drawn(130, 77).tobytes(), b"II*\0" + drawn(60, 78).tobytes())


def with_little_metadata(samples: np.ndarray) -> Picture:
    return Picture(samples, "RGB", drawn(40, 79).tobytes(), b"II*\0" + drawn(30, 80).tobytes())


def with_much_metadata(samples: np.ndarray, frames: tuple[Picture, ...] = ()) -> Picture:
    """Every kind that stands behind the passes (format 1.4), larger than what may stand before them."""
    from diffcodec.media.metadata import Density, Frame, Metadata, Text

    metadata = Metadata(
        icc=drawn(90, 81).tobytes() * 3,
        exif=b"II*\0" + drawn(40, 82).tobytes() * 4,
        xmp=b"<x:xmpmeta>" + bytes(65 + v % 26 for v in drawn(200, 83)) + b"</x:xmpmeta>",
        text=(Text("Title", "golden"), Text("Comment", "schön", "de", "Kommentar", True)),
        density=Density(Fraction(300), Fraction(300)),
        frame=Frame(Fraction(1, 10), 0) if frames else None,
    )
    return Picture(samples, "RGB", metadata=metadata, frames=frames)


def frames() -> Picture:
    later = tuple(Picture(scene(10 + n, 12, 3, 90 + n), "RGB") for n in range(2))
    return with_much_metadata(scene(11, 13, 3, 89), later)


def cut(levels: int, height: int, width: int, channels: int) -> Callable[[], np.ndarray]:
    """A photograph whose levels have gaps."""

    def make() -> np.ndarray:
        stretched = photograph(height, width)[..., 3 - channels :].astype(int) // levels * levels
        return stretched.astype(np.uint8)

    return make


def mixture() -> list[Picture]:
    """For archives: colours of three sizes, grey, few colours, alpha, 16 bits, metadata, two copies."""
    colours = [Picture(scene(h, w, 3, 40 + n), "RGB") for n, (h, w) in enumerate([(8, 8), (8, 8), (9, 12), (5, 16)])]
    others = [
        Picture(scene(12, 12, 1, 50)[..., 0], "L"),
        Picture(drawing(16, 16, 3, 51), "RGB"),
        of_mode("RGBA", 7, 6, 52),
        of_mode("I;16", 6, 5, 53),
        with_metadata(scene(9, 9, 3, 54)),
    ]
    return [*colours, *others, colours[1], others[0]]


def small_of(photo: np.ndarray) -> diffcodec.Base:
    """Averages of 4×4, without loss."""
    return diffcodec.Base(diffcodec.encode(Box(4).apply(photo)), Box(4))


def jpeg_of(photo: np.ndarray, k: int = 0) -> diffcodec.File:
    """A JPEG of the picture, or of averages of k×k."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(Box(k).apply(photo) if k else photo).save(out, "JPEG", quality=60)
    return diffcodec.File(out.getvalue(), *((Box(k), 5000) if k else ()))


def given(what: Callable[[np.ndarray], diffcodec.Base | diffcodec.File], **options: Any) -> Recipe:
    """A stream of photo-cond that is given that of the photograph."""

    def encode(image: np.ndarray) -> bytes:
        return diffcodec.encode(image, "diffc", "photo-cond", given=what(image), device="cpu", **options)

    return Recipe(LOSSY, lambda: photograph(64, 56), encode)


NAMES = [
    "a.png",
    "b.png",
    "deep/er/c.png",
    "d d.png",
    "é/grey.png",
    "ink.png",
    "",
    "x.tif",
    "meta.png",
    "copy",
    "again",
]


def _recipes() -> dict[str, Recipe]:
    out = {
        "lattice-grey.dfc": stream(EXACT, lambda: photograph(128, 104)[..., 1]),
        "lattice-rgb.dfc": stream(EXACT, lambda: photograph(112, 128)),
        "lattice-rgb-24.dfc": stream(EXACT, lambda: photograph(128, 128)[40:64, 50:74]),
        "lattice-cifar10.dfc": Recipe(
            EXACT,
            lambda: photograph(128, 128)[10:42, 50:82],
            lambda image: diffcodec.encode(image, model="cifar10-ardm"),
        ),
        "lattice-1x1.dfc": stream(EXACT, lambda: noise(1, 1, 3, 1)),
        "lattice-1x40.dfc": stream(EXACT, lambda: scene(1, 40, 3, 2)),
        "lattice-37x3.dfc": stream(EXACT, lambda: scene(37, 3, 1, 3)[..., 0]),
        "lattice-alpha.dfc": stream(EXACT, lambda: np.dstack([photograph(40, 40), scene(40, 40, 1, 4)])),
        "lattice-16-bit.dfc": stream(EXACT, lambda: of_mode("RGB;16", 33, 29, 5)),
        "lattice-grey-as-rgb.dfc": stream(EXACT, lambda: photograph(48, 48)[..., :1].repeat(3, 2)),
        "lattice-metadata.dfc": stream(EXACT, lambda: with_metadata(photograph(30, 34))),
        "lattice-little-metadata.dfc": stream(EXACT, lambda: with_little_metadata(photograph(25, 26))),
        "lattice-seed.dfc": stream(EXACT, lambda: photograph(20, 20), seed=2**63 + 5),
        "learned-rgb.dfc": Recipe(EXACT, lambda: photograph(70, 83), learned),
        "learned-grey.dfc": Recipe(EXACT, lambda: photograph(60, 61)[..., 0], learned),
        "adjusted-rgb.dfc": Recipe(FITTED, lambda: photograph(128, 128), adjusted),
        "statistics-grey.dfc": stream(EXACT, cut(6, 128, 128, 1)),
        "statistics-rgb.dfc": stream(EXACT, cut(5, 128, 128, 3)),
        "ordered-rgb.dfc": Recipe(EXACT, lambda: photograph(42, 82)[10:, 50:], ordered_by("cifar10-oa", 0, 4, 9)),
        "ordered-passes.dfc": Recipe(EXACT, lambda: photograph(56, 52), ordered_by("cifar10-oa", 0, 5, 10)),
        "ordered-lattice.dfc": Recipe(EXACT, lambda: photograph(36, 70)[20:, 50:], ordered_by("cifar10-oa", 1, 6, 5)),
        "ordered-text.dfc": Recipe(PINNED, lambda: tokens(60, 27, 11), ordered_by(TEXT, 0, 6, 3), TEXT),
        "context-noise.dfc": stream(EXACT, lambda: Picture(noise(11, 13, 3, 12), "HSV")),
        "context-gradient.dfc": stream(EXACT, lambda: Picture(scene(40, 40, 4, 13), "CMYK")),
        "context-tiles.dfc": stream(EXACT, lambda: Picture(tiled(48, 64, 3, 14), "HSV")),
        "context-colours.dfc": stream(EXACT, lambda: Picture(scene(24, 24, 4, 15) // 64 * 85, "CMYK")),
        "context-drawing.dfc": stream(EXACT, lambda: Picture(drawing(40, 64, 3, 16, 40), "HSV")),
        "context-photo.dfc": stream(EXACT, lambda: tiled(64, 64, 1, 17)[..., 0]),
        "context-one-colour.dfc": stream(EXACT, lambda: Picture(np.full((90, 70), 200, np.uint8), "L")),
        "palette-rgb.dfc": stream(EXACT, lambda: drawing(30, 44, 3, 18)),
        "palette-rgba.dfc": stream(EXACT, lambda: drawing(21, 33, 4, 19, 12)),
        "palette-16-bit.dfc": stream(
            EXACT, lambda: Picture(drawing(60, 44, 2, 22, 200).reshape(60, 88).view(np.uint16), "I;16")
        ),
        "numbers-grey.dfc": stream(EXACT, lambda: relief(40, 44, 1, 90)[..., 0]),
        "numbers-colour.dfc": stream(EXACT, lambda: relief(30, 33, 3, 91)),
        "numbers-signed.dfc": stream(
            EXACT, lambda: (relief(36, 31, 1, 92)[..., 0].astype(np.int32) - 30_000).astype(np.int16)
        ),
        "numbers-whole.dfc": stream(EXACT, lambda: (relief(36, 31, 1, 93)[..., 0] >> 3).astype(np.float32)),
        "alpha-one-colour.dfc": stream(EXACT, lambda: Picture(under(16, 18, np.uint8([40, 44, 52])), "RGBA")),
        "alpha-hidden.dfc": stream(EXACT, lambda: Picture(under(33, 36, scene(33, 36, 3, 94)), "RGBA")),
        "palette-metadata.dfc": stream(EXACT, lambda: with_metadata(drawing(16, 16, 3, 20))),
        "diffc-rgb.dfc": stream(LOSSY, lambda: photograph(64, 64), model="photo-vdm", bpp=1.0, device="cpu"),
        "diffc-octaves.dfc": stream(LOSSY, lambda: photograph(80, 72), model="photo-octaves", bpp=0.5, device="cpu"),
        "diffc-grey.dfc": stream(
            LOSSY, lambda: photograph(40, 48)[..., 1], model="photo-vdm", bpp=1.2, device="cpu", seed=7
        ),
        "diffc-rgba.dfc": stream(
            LOSSY,
            lambda: np.dstack([photograph(48, 48), drawing(48, 48, 1, 21)]),
            model="photo-vdm",
            psnr=28.0,
            device="cpu",
        ),
        "diffc-exact-rgb.dfc": stream(
            PINNED, lambda: photograph(24, 24), codec="diffc", model="photo-vdm", device="cpu"
        ),
        "diffc-exact-grey.dfc": stream(
            PINNED, lambda: photograph(16, 20)[..., 0], codec="diffc", model="photo-vdm", device="cpu"
        ),
        "archive-exact.dfca": archive(EXACT, mixture, names=NAMES, model="photo-vdm-exact", steps=4, group=6),
        "archive-cifar10.dfca": archive(
            EXACT, lambda: [scene(8, 8, 3, 60 + n) for n in range(12)], model="cifar10-vdm", steps=3
        ),
        "archive-streams.dfca": archive(EXACT, mixture, names=NAMES, model="photo-ardm", group=4),
        "archive-ordered.dfca": archive(EXACT, lambda: [scene(8, 8, 3, 70), scene(8, 8, 3, 71)], model="cifar10-oa"),
        "archive-float.dfca": archive(
            PINNED, lambda: [scene(8, 8, 3, 80 + n) for n in range(8)], model="photo-vdm", steps=3, device="cpu"
        ),
    }
    out |= {
        "metadata-behind.dfc": stream(EXACT, lambda: with_much_metadata(photograph(30, 34))),
        "metadata-behind-palette.dfc": stream(EXACT, lambda: with_much_metadata(drawing(16, 16, 3, 20))),
        "frames.dfc": stream(EXACT, frames),
        "planes-12.dfc": stream(EXACT, lambda: Picture(noise(6, 5, 12, 95).view(np.int32), "I[3]")),
        "planes-16.dfc": stream(EXACT, lambda: Picture(scene(6, 5, 16, 96).view(np.float32), "F[4]")),
        "archive-extended.dfca": archive(
            EXACT,
            lambda: [frames(), with_much_metadata(scene(9, 9, 3, 97)), scene(8, 8, 3, 98)],
            names=["a.gif", "b.png", "c.png"],
            model="photo-ardm",
        ),
    }
    out |= {
        "mode-tokens.dfc": stream(EXACT, lambda: Tokens(scene(9, 7, 1, 271)[0, :, 0].copy())),
        "mode-tokens-16.dfc": stream(EXACT, lambda: wide_tokens(300, 300)),
        "clip-rgb.dfc": stream(EXACT, lambda: clip("RGB", 3, 7, 9, 301)),
        "clip-yuv420.dfc": stream(EXACT, lambda: clip("YUV420", 4, 7, 9, 302)),
        "clip-yuv444.dfc": stream(EXACT, lambda: clip("YUV444", 2, 6, 8, 303)),
        "clip-groups.dfc": stream(EXACT, lambda: clip("RGB", 18, 7, 9, 307)),
        "clip-groups-yuv420.dfc": stream(EXACT, lambda: clip("YUV420", 5, 7, 9, 308), group=2),
        "clip-frames.dfc": Recipe(EXACT, lambda: film("RGB"), by_frames(6)),
        "clip-frames-yuv420.dfc": Recipe(EXACT, lambda: film("YUV420"), by_frames(6)),
        "clip-frames-yuv444.dfc": Recipe(EXACT, lambda: film("YUV444"), by_frames(6)),
        "clip-between.dfc": stream(EXACT, lambda: film("RGB")),
        "clip-between-yuv420.dfc": stream(EXACT, lambda: film("YUV420")),
        "clip-lossy.dfc": stream(LOSSY, lambda: clip("RGB", 3, 16, 18, 315), codec="diffc", bpp=3.0, effort=1),
        "clip-lossy-yuv420.dfc": stream(
            LOSSY, lambda: clip("YUV420", 2, 16, 17, 316), codec="diffc", bpp=3.0, effort=1
        ),
        "clip-lossy-chained.dfc": stream(
            LOSSY, lambda: clip("RGB", 7, 16, 18, 317), codec="diffc", bpp=3.0, effort=1, group=3, chained=2
        ),
        "tracks-walked.dfc": Recipe(EXACT, lambda: movers(90, 4, 309), by_walking()),
        "tracks-turned.dfc": Recipe(FITTED, lambda: turners(120, 6, 312), by_walking()),
        "tracks-passing.dfc": stream(EXACT, lambda: passers(150, 8, 316)),
        "tracks-learned.dfc": Recipe(EXACT, lambda: movers(120, 4, 317), by_walking(9, 48, 1)),
        "tracks-layers.dfc": stream(FITTED, lambda: movers(200, 4, 318), progressive=True),
        "tracks-groups.dfc": stream(EXACT, lambda: tracks(20, 5, 314), group=7),
        "tracks.dfc": stream(EXACT, lambda: tracks(20, 5, 304)),
        "tracks-empty.dfc": stream(EXACT, lambda: tracks(0, 2, 306)),
    }
    out |= {
        "given-small.dfc": given(small_of, psnr=27.0),
        "given-jpeg.dfc": given(jpeg_of, psnr=31.0),
        "given-small-file.dfc": given(lambda photo: jpeg_of(photo, 4), psnr=26.0),
    }
    for mode in MODES:
        name = mode.name.replace("[", "x").replace("]", "").replace(";", "-")
        out[f"mode-{name}.dfc"] = stream(EXACT, lambda mode=mode: of_mode(mode.name, 9, 7, 200 + mode.number))
    return out


RECIPES = _recipes()
