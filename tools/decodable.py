"""Write the vectors that hold pictures: streams and archives with the SHA-256 of their samples (vectors/README.md)."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from diffcodec.archive import memory as archive
from diffcodec.bitstream import read
from diffcodec.channel import polar, trellis
from diffcodec.channel.noise import Key, normals
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.ardm import ordered
from diffcodec.codecs.ardm.orders import LATTICE
from diffcodec.codecs.codec import Encoded
from diffcodec.codecs.diffc import remainder
from diffcodec.codecs.table import CODECS
from diffcodec.entropy.context import coder as context
from diffcodec.media.medium import Signal
from diffcodec.media.metadata import Density, Frame, Metadata, Palette
from diffcodec.media.modes import MODES, Mode
from diffcodec.media.picture import Picture
from diffcodec.media.rows.tokens import MODES as TOKENS
from diffcodec.media.table import signal_of
from diffcodec.media.tokens import Tokens
from diffcodec.models import registry
from diffcodec.models.gaussian import WhiteInBoxes, WhitePictures
from diffcodec.models.lattice.geometry import TARGETS, UNKNOWN, level_count
from diffcodec.models.lattice.phases import phase_input, side_information
from diffcodec.models.lattice.walk import Walk
from diffcodec.models.operators import Box
from diffcodec.stream.written import stream_of
from tools import given_vectors
from tools.told import tell

SPEC = Path(__file__).parent.parent / "bitstream_spec"
sys.path.append(str(SPEC))
from dfc_decoder import Models, octaves_of, vdm  # noqa: E402
from dfc_decoder.ans import Stack  # noqa: E402
from dfc_decoder.archive import Fields  # noqa: E402
from dfc_decoder.conditional import GivenUNet  # noqa: E402
from dfc_decoder.given import Observed  # noqa: E402
from dfc_decoder.ordered import Masked  # noqa: E402
from dfc_decoder.unet import FloatUNet, IntegerUNet, signal  # noqa: E402

MODELS = Models(registry.FOLDER)


def _independent() -> Any:
    spec = importlib.util.spec_from_file_location("spec_reader", SPEC / "reader.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


independent = _independent()


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Shades, an edge and grain, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    light = 70 + 60 * np.sin(x / 9 + seed) * np.cos(y / 11) + 50 * (x + 2 * y > height)
    colours = light[..., None] * [1.0, 0.9, 0.7] + np.stack([0 * x, y / 2, x / 2], 2)
    grain = rng.normal(0, 2.5, (height, width, 1)) + rng.normal(0, 1, (height, width, 3))
    return np.clip(np.rint(colours + grain), 0, 255).astype(np.uint8)


def drawing(height: int, width: int) -> np.ndarray:
    """Letters of few colours on a plain ground, repeated, uint8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    ink = ((x % 7 * (y % 9)) % 5 < 2) & (y % 12 < 9)
    return np.where(
        ink[..., None], [20, 30, 90], np.where((x // 16 % 2)[..., None], [250, 250, 240], [240, 230, 250])
    ).astype(np.uint8)


def samples_of(mode: Mode) -> np.ndarray:
    """Samples of a mode whose planes are neither constant nor equal; a few pixels."""
    rng = np.random.default_rng(mode.number)
    height, width = (1, 40) if mode in TOKENS else (5, 6)
    shape = (height, width, *([mode.channels] if mode.channels else []))
    if mode.sample == "bit":
        return (rng.random(shape) < 0.4).astype(np.uint8) * np.uint8(255)
    steps = rng.integers(0, 256, (*shape, mode.sample_bytes), np.uint8)
    return np.ascontiguousarray(steps).view("<" + mode.sample)[..., 0]


def stream(
    image: np.ndarray | Signal,
    method: int,
    model: Any = None,
    *,
    adjustment: bytes | None = None,
    seed: int = 0,
    **options: Any,
) -> bytes:
    """A stream of ARDM by one method, of the form without a palette."""
    signal = signal_of(image)
    form = signal.forms()[-1]
    params, passes = ardm.encode(form.photo, form.extra, model, method=method, seed=seed, **options)
    encoded = Encoded(params, passes, model, adjustment=adjustment)
    return stream_of(signal, form, CODECS["ardm"], encoded, seed=seed, digest=signal.digest())


def contexts() -> Iterator[tuple[str, bytes]]:
    """Each body mode of the context coder, and what else its document tells."""
    rng = np.random.default_rng(1)
    noise, photo, letters = rng.integers(0, 256, (6, 7, 3), np.uint8), photograph(14, 18), drawing(20, 24)
    dither = (np.add.outer(7 * np.arange(16), 13 * np.arange(20)) % 29 * 8)[..., None].astype(np.uint8)
    window = np.concatenate([photo, letters[:16, :18]])
    many = rng.integers(0, 256, (270, 3), np.uint8)[np.minimum(np.arange(34 * 34) // 4, 269)].reshape(34, 34, 3)
    wide = np.zeros((2, 66000), np.uint8)
    wide[:, ::9000] = 9
    found = {
        "raw": noise, "numbers": photo, "numbers_and_pixels": window, "colours": dither, "colours_and_pixels": letters,
        "one_colour": np.full((9, 8), 7, np.uint8), "indices_of_two_bytes": many, "on_its_side": wide,
        "two_planes": photo[..., :2].copy(), "four_planes": np.dstack([photo, 255 - photo[..., :1]]),
    }  # fmt: skip
    for name, image in found.items():
        yield f"context_{name}", stream(image, ardm.CONTEXT)


def planes() -> Iterator[tuple[str, bytes]]:
    """Palettes, planes left out, more than eight planes."""
    photo = photograph(12, 14)
    letters = np.dstack([drawing(16, 20), np.full((16, 20), 200, np.uint8)])
    yield "palette", diffcodec.encode(letters)
    yield "constant_alpha", diffcodec.encode(np.dstack([photo, np.full((12, 14), 9, np.uint8)]))
    yield "grey_in_colour", diffcodec.encode(photo[..., :1].repeat(3, 2))
    yield "copied_low_bytes", diffcodec.encode(photo.astype(np.uint16) * 257)
    yield "sixteen_planes", diffcodec.encode(np.random.default_rng(3).normal(0, 1, (7, 9, 4)).astype("<f4"))
    yield "ancillary", diffcodec.encode(Picture(photo, "RGB", b"profile", b"II*\0exif"))
    some = Metadata(xmp=b"<x:xmpmeta/>" * 20, comments=(b"a", b"word"), density=Density(Fraction(300), Fraction(72)))
    yield "metadata", diffcodec.encode(Picture(photo, "RGB", b"profile" * 40, metadata=some))
    yield from palettes(photo)
    shown = [Picture(photo[k:, : 9 + k], "RGB", metadata=Metadata(frame=Frame(Fraction(1, 25)))) for k in range(3)]
    yield "frames", diffcodec.encode(Picture(photo, "RGB", frames=(*shown, Picture(photo[..., 0], "L"))))


def palettes(photo: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Small pictures with metadata: a palette in each order, with further entries, alphas and indices in doubt."""
    little = Metadata(density=Density(Fraction(72), Fraction(72)), colour=(("sRGB", b"\0"),))
    yield "small_with_metadata", diffcodec.encode(Picture(photo, "RGB", metadata=little))
    rng = np.random.default_rng(4)
    entries = rng.permutation(np.indices((3, 2, 3)).reshape(3, -1).T * np.array([120, 200, 90]))[:11].astype(np.uint8)
    index = np.minimum(rng.geometric(0.2, (12, 9)) - 1, 9)
    index.flat[:10] = np.arange(10)
    colours = [tuple(map(int, entry)) for entry in entries]
    shown = colours[:10]
    luma = sorted(shown, key=lambda c: (299 * c[0] + 587 * c[1] + 114 * c[2], c))
    counts = {colour: int((index == i).sum()) for i, colour in enumerate(shown)}
    orders = {
        "sorted": sorted(shown), "shown": shown, "luma_reversed": luma[::-1],
        "frequency": sorted(shown, key=lambda c: (-counts[c], c)), "permuted": shown[3:] + shown[:3],
        "further": [colours[10], *shown[4:], *shown[:4], shown[0], (9, 9, 9)],
    }  # fmt: skip
    samples = entries[index]
    for name, order in orders.items():
        metadata = Metadata(palette=Palette(b"".join(map(bytes, order))))
        yield f"palette_{name}", diffcodec.encode(Picture(samples, "RGB", metadata=metadata))
    grey = (index * 17).astype(np.uint8)[..., None].repeat(3, 2)
    ramp = Palette(bytes(17 * i for i in range(16) for _ in range(3)), b"\xff" * 3)
    yield "palette_ramp", diffcodec.encode(Picture(grey, "RGB", metadata=Metadata(palette=ramp)))
    alphas = bytes([7, 255, 0, *[255] * 7, 7, 255])
    doubt = Palette(bytes(entries[:10]) + bytes(entries[0]) * 2, alphas, bytes([0, 10] * 99)[: (index == 0).sum()])
    samples_with_alpha = np.dstack([samples, np.frombuffer(alphas, np.uint8)[index]])
    yield "palette_alphas", diffcodec.encode(Picture(samples_with_alpha, "RGBA", metadata=Metadata(palette=doubt)))
    other = Palette(bytes(33), b"\0")  # of none of the picture's colours
    yield "palette_of_another", diffcodec.encode(Picture(samples, "RGB", metadata=Metadata(palette=other)))


def lattices() -> Iterator[tuple[str, bytes]]:
    model = registry.load("photo-ardm")
    yield "lattice", stream(photograph(24, 28), ardm.LATTICE, model, tables=0)
    yield "lattice_grey", stream(photograph(17, 23)[..., :1], ardm.LATTICE, model, tables=0)
    yield "lattice_one_pixel", stream(photograph(1, 1), ardm.LATTICE, model, tables=0)
    yield "lattice_one_row", stream(photograph(1, 33), ardm.LATTICE, model, tables=0)
    yield (
        "lattice_with_alpha",
        stream(np.dstack([photograph(13, 16), drawing(13, 16)[..., :1]]), ardm.LATTICE, model, tables=0),
    )
    yield "lattice_four_passes", stream(photograph(96, 100, 2), ardm.LATTICE, model, tables=0)
    yield "lattice_of_32", stream(photograph(32, 32), ardm.LATTICE, registry.load("cifar10-ardm"), tables=0)
    posterised = photograph(20, 24) // 7 * 7
    for tables in (1, 2, 4, 7):
        yield f"statistics_{tables}", stream(posterised, ardm.LATTICE, model, tables=tables)
    yield "statistics_grey", stream(posterised[..., :1], ardm.LATTICE, model, tables=1)
    rng = np.random.default_rng(5)
    steps = np.zeros((*model.head_shape[:2], model.head_shape[2] + 1), np.int8)
    steps[rng.random(steps.shape) < 0.02] = 3
    steps[rng.random(steps.shape) < 0.02] = -5
    steps = model.limited(steps)
    payload = context.encode_planes((steps.reshape(-1, steps.shape[2], 1).astype(np.int16) + 128).astype(np.uint8))
    adjusted = stream(photograph(14, 16), ardm.LATTICE, model.adjusted(steps), tables=0, adjustment=payload)
    yield "adjusted", adjusted
    yield "adjusted_statistics", stream(posterised, ardm.LATTICE, model.adjusted(steps), tables=7, adjustment=payload)
    learns: dict[str, Any] = {"tables": 0, "learned": True}
    yield "learned", stream(photograph(38, 43), ardm.LATTICE, model, **learns)
    yield "learned_grey", stream(photograph(31, 64)[..., :1], ardm.LATTICE, model, **learns)
    yield "learned_one_row", stream(photograph(1, 300), ardm.LATTICE, model, **learns)
    yield "learned_statistics", stream(photograph(30, 33) // 7 * 7, ardm.LATTICE, model, tables=7, learned=True)
    adapted = model.adjusted(steps)
    yield "learned_adjusted", stream(photograph(26, 28), ardm.LATTICE, adapted, adjustment=payload, **learns)


def orders() -> Iterator[tuple[str, bytes]]:
    model = registry.load("cifar10-oa")
    yield "order_random", stream(photograph(16, 18), ardm.ORDERED, model, seed=2**40 + 3, calls=3)
    yield "order_random_grey", stream(photograph(11, 13)[..., :1], ardm.ORDERED, model, calls=2)
    picture = Picture.from_any(photograph(12, 16))
    form = picture.forms()[-1]
    plan = ordered.Plan(LATTICE, 4, 9)
    passes, _ = ordered.encode(form.photo, model, plan)
    params = bytes([ardm.ORDERED]) + plan.to_bytes()
    encoded = Encoded(params, passes, model)
    yield "order_lattice", stream_of(picture, form, CODECS["ardm"], encoded, seed=9, digest=picture.digest())


def lossy() -> Iterator[tuple[str, bytes]]:
    white, photo = WhitePictures(), photograph(20, 24)
    for name in ("white", "white_first_bits", "white_grey", "white_alpha", "photo_vdm"):
        # of methods that nothing writes any more
        yield f"diffc_{name}", (SPEC / "vectors" / "decodable" / f"diffc_{name}.dfc").read_bytes()
    yield "diffc_wide", diffcodec.encode(photo, "diffc", white, bpp=6.0, seed=2**33 + 1)
    yield "diffc_wide_first_bits", diffcodec.encode(photo, "diffc", white, bpp=1.5)
    alpha = np.dstack([photo, drawing(20, 24)[..., :1]])
    yield "diffc_wide_alpha", diffcodec.encode(alpha, "diffc", white, bpp=8.0)
    yield "diffc_wide_coarse", diffcodec.encode(photograph(68, 65), "diffc", white, bpp=1.2, effort=3)
    yield "diffc_wide_coarse_grey", diffcodec.encode(photograph(64, 70)[..., 0], "diffc", white, bpp=0.6)
    yield "diffc_wide_photo_vdm", diffcodec.encode(photograph(30, 36), "diffc", "photo-vdm", bpp=2.0)
    octaves = diffcodec.encode(photograph(64, 64)[..., 0], "diffc", "photo-octaves", max_bytes=110, effort=1)
    yield "diffc_wide_photo_octaves", octaves
    told = diffcodec.Base(diffcodec.encode(Box(4).apply(photograph(16, 20))), Box(4))
    given = diffcodec.encode(photograph(16, 20), "diffc", "photo-cond", psnr=25, effort=1, given=told)
    yield "diffc_wide_photo_cond", given
    yield from given_vectors.decodable(photo, drawing(20, 24)[..., :1])


def archives() -> Iterator[tuple[str, bytes]]:
    photos = [photograph(10, 12, 1), drawing(12, 16), photograph(9, 9, 2)[..., 0], photograph(10, 12, 1)]
    names = ["a.png", "drawn/b.png", "drawn/грей.png", "again.png"]
    yield "archive_of_streams", diffcodec.encode_archive(photos, "photo-ardm", names=names, group=3)
    tiny = [photograph(16, 16, seed) for seed in range(3)] + [photograph(16, 20, 7), photograph(16, 16, 1), photos[2]]
    grain = np.random.default_rng(0).integers(0, 256, (72, 72), np.uint8)  # initial bits
    yield "archive_chained", diffcodec.encode_archive([*tiny, grain], "photo-vdm-exact", steps=3)


def numbers(chained: bytes) -> dict[str, Any]:
    """Known answers in the middle: vectors/README.md tells what each is. ``chained``: the archive of that name."""
    return {
        "noise": _noise(), "trellis": _trellis(), "polar": _polar(), "remainder": _remainder(), "lattice": _lattice(),
        "unet": _unet(), "octaves": _octaves(), "given": _given(), "unet_exact": _unet_exact(), "masked": _masked(),
        "chain": _chain(chained),
    }  # fmt: skip


def _noise() -> list[dict[str, Any]]:
    keys = [Key(0, 0, 0), Key(5, 0, 1), Key(2**63 + 5, 7, 2**31)]
    return [{"key": list(key), "normals": [float(v) * 65536 for v in normals(key, 12)]} for key in keys]


def _trellis() -> list[dict[str, Any]]:
    out = []
    for n, bits, L in ((48, 20, 4), (300, 4, 6), (70, 70, 13), (4200, 2100, 9)):
        mu, key = np.random.default_rng(n).normal(0, 0.5, n).astype(np.float32), Key(2**34 + n, 3, 0)
        payload, sample = trellis.encode(mu, bits, key, L)
        shown = sample if n < 1000 else sample[:: n // 60]
        out.append(
            {
                "n": n,
                "bits": bits,
                "L": L,
                "key": list(key),
                "payload": payload.hex(),
                "every": 1 if n < 1000 else n // 60,
            }
            | {"sample": [float(v) for v in shown]}
        )
    return out


def _polar() -> list[dict[str, Any]]:
    out = []
    for n, bits in ((48, 20), (300, 4), (100, 9), (70, 70), (9000, 4100)):
        mu, key = np.random.default_rng(n).normal(0, 0.5, n).astype(np.float32), Key(2**34 + n, 3, 0)
        payload, sample = polar.encode(mu, bits, key)
        every = 1 if n < 1000 else n // 60
        known = {"n": n, "bits": bits, "key": list(key), "payload": payload.hex(), "every": every}
        out.append(known | {"sample": [float(v) for v in sample[::every]]})
    return out


def _remainder() -> dict[str, Any]:
    photo = photograph(4, 5)
    x = (photo / 127.5 - 1 + np.random.default_rng(0).normal(0, 0.02, photo.shape)).astype(np.float32)
    return {"x": x.ravel().tolist(), "payload": remainder.encode(photo, x).hex(), "samples": photo.tolist()}


def _lattice() -> dict[str, Any]:
    """Of the vector `lattice`: the last level's three phases at row 3, column 4 of each coset."""
    photo, model = photograph(24, 28), registry.load("photo-ardm")
    walk, at, out = Walk(photo.copy()), (3, 4), []
    before: np.ndarray | None = None
    sides = side_information(photo)
    for level in reversed(range(level_count(*photo.shape[:2]))):
        for phase in range(len(TARGETS)):
            target, base = walk.enter(level, phase)
            bias = model.bias(phase, level, sides.get(level, UNKNOWN))
            x = phase_input(walk.known, phase)
            params, before, codes = model.strip_and_codes(phase, x, before if phase else None, bias, 0, 0)
            if level == 0:
                window = x[:, at[0] : at[0] + 6, at[1] : at[1] + 6].ravel().astype(int) - 128
                out.append(
                    {"phase": phase + 1, "window": window.tolist(), "base": base[at].tolist(), "bias": bias.tolist()}
                    | {"head_codes": codes[at].astype(int).tolist(), "parameters": params[at].tolist()}
                    | {"pixel": target[at].tolist()}
                )
            walk.leave(target, base)
    return {"vector": "lattice", "level": 0, "row": at[0], "column": at[1], "phases": out}


def _latent(planes: int = 3, height: int = 20, width: int = 28) -> np.ndarray:
    return normals(Key(1, 0, 0), planes * height * width).reshape(planes, height, width)


def _unet() -> list[dict[str, Any]]:
    """eps_hat of photo-vdm in double, of noise, at three log-SNRs: at row 5, column 6 of each plane."""
    config, tensors = MODELS.find(registry.load("photo-vdm", codec="diffc").fingerprint)
    net, out = FloatUNet(tensors, config), []
    for logsnr in (-6.0, 0.5, 9.0):
        eps = net.eps(_latent().astype(np.float64), logsnr)
        first = net.first[:, 2, 3]
        found = {"logsnr": logsnr, "embedding": net.e[:4].tolist(), "first": [*first[:2], *first[32:34]]}
        out.append(found | {"eps": eps[:, 5, 6].tolist()})
    return out


def _octaves() -> list[dict[str, Any]]:
    """eps_hat of photo-octaves in double, of noise, at log-SNRs of either stretch: at row 5, column 6 of each plane."""
    config, tensors = MODELS.find(registry.load("photo-octaves", codec="diffc").fingerprint)
    model, out = octaves_of(config, tensors, MODELS), []
    for at, height, width in ((-4.5, 259, 256), (0.7, 67, 70)):
        eps = model.eps(_latent(3, height, width).astype(np.float64), at)
        out.append({"logsnr": at, "height": height, "width": width, "eps": eps[:, 5, 6].tolist()})
    return out


def _given() -> dict[str, Any]:
    """eps_hat of photo-cond in double, of noise, given nothing, boxes and a mask: at row 5, column 6 of each plane."""
    config, tensors = MODELS.find(registry.load("photo-cond", codec="diffc").fingerprint)
    photo, out = photograph(8, 12), []
    known = np.indices(photo.shape[:2]).sum(0) % 3 > 0
    gifts = [None, Observed("box", [4], None, Box(4).apply(photo)), Observed("mask", [], None, photo, known)]
    for observed in gifts:
        for at in (-6.0, 0.5):
            net = GivenUNet(tensors, config)
            net = net if observed is None else net.given(observed)
            eps = net.eps(_latent(3, 8, 12).astype(np.float64), at)
            kind = "nothing" if observed is None else observed.operator
            out.append({"given": kind, "logsnr": at, "eps": eps[:, 5, 6].tolist()})
    return {"samples": photo.tolist(), "answers": out}


def _unet_exact() -> list[dict[str, Any]]:
    """v of photo-vdm-exact of the same noise, bit for bit."""
    config, tensors = MODELS.find(registry.load("photo-vdm-exact", codec="vdm").fingerprint)
    net, out = IntegerUNet(tensors, config), []
    for units in (-8192, 517, 11776):
        sigma = signal(units)[1]
        v = net.v(np.rint(_latent().astype(np.float64) * 65536), units, sigma)
        first, (scale, shift) = net.first[:, 2, 3], net.films(units)[0]
        found = {"units": units, "sigma": sigma.hex(), "film": [float(scale[0, 0, 0]), float(shift[0, 0, 0])]}
        out.append(found | {"first": [*map(float, first[:2]), *map(float, first[32:34])], "v": v[:, 5, 6].tolist()})
    return out


def _masked() -> dict[str, Any]:
    """Base and parameters of cifar10-oa at row 5, column 6 of a picture whose even columns are known."""
    photo = photograph(12, 16)
    known = np.zeros(photo.shape[:2], bool)
    known[:, ::2] = True
    config, tensors = MODELS.find(registry.load("cifar10-oa").fingerprint)
    base, rows = Masked(tensors, config).ask(photo, known)
    at = 5, 7
    found = {"samples": photo.tolist(), "row": at[0], "column": at[1], "base": base[at].tolist()}
    return found | {"parameters": rows[:, at[0], at[1]].tolist()}


def _chain(data: bytes) -> dict[str, Any]:
    """Of the vector `archive_chained`: the chain's numbers, and the first latents that are popped."""
    with archive.open_archive(data) as opened:
        schedule = vdm.Schedule(opened.header.params)
        config, tensors = MODELS.find(opened.header.fingerprint)
        chain = vdm.Chain(schedule, IntegerUNet(tensors, config))
        group = opened.group(opened.places[0])
    runs = Fields(group.payload)
    sizes = [size for _ in range(runs.varint()) for size, n in [(runs.varint(), runs.varint())] for _ in range(n)]
    shapes = sorted(((e.height, e.width) for e in group.entries if e.width), key=lambda s: (s[0] * s[1], s[0]))
    shape = (sizes[-1], 3, *shapes[-1])
    stack = Stack(group.payload[runs.at :])
    last = vdm.Window(chain.p_std[-1] / chain.cell[-1], True).pop(stack, np.zeros(int(np.prod(shape)), np.int64))
    names = ("alpha", "sigma", "a", "b", "p_std", "q_std", "cell")
    found = {"vector": "archive_chained", "units": schedule.units, "scale": schedule.scale, "sizes": sizes}
    found |= {name: [v.hex() for v in getattr(chain, name)] for name in names}
    return found | {"Z_T": last[:8].tolist(), "mean64": chain.p(last, chain.T - 1, shape)[:8].tolist()}


def described(data: bytes) -> dict[str, Any]:
    """What a reader must find."""
    header = read(data).header
    model = WhiteInBoxes() if header.model == "white" else None
    signal = diffcodec.api.decode_signal(data, reconstruction="mean", model=model, frames=True)
    samples = signal.array.reshape(header.height, header.width) if signal.array.ndim == 1 else signal.array
    found = {"model": header.model or registry.name_of(header.fingerprint) if any(header.fingerprint) else None}
    shape = list(samples.shape)
    metadata = {letter: data.hex() for letter, data in signal.metadata.parts()}
    if metadata:
        found["metadata"] = metadata
    if signal.following:
        found["frames"] = [
            {"mode": one.number, "shape": list(one.array.shape), "digest": one.digest().hex()}
            | {"metadata": {letter: data.hex() for letter, data in one.metadata.parts()}}
            for one in signal.following
        ]
    found |= {"mode": header.mode, "shape": shape, "dtype": samples.dtype.newbyteorder("<").str}
    if read(data).digest:
        head = bytes([header.mode]) + header.width.to_bytes(4, "little") + header.height.to_bytes(4, "little")
        return found | {"sha256": hashlib.sha256(head + samples.tobytes()).hexdigest()}
    if read(data).given:  # before it is made to agree with that
        return found | {"samples": independent.decode(data).tolist(), "tolerance": 2}
    if model is not None:
        return found | {"samples": samples.tolist(), "tolerance": 1}
    return found | {"samples": independent.decode(data).tolist(), "tolerance": 3}  # a network in double


def described_archive(data: bytes) -> dict[str, Any]:
    told, pictures = diffcodec.inspect_archive(data), diffcodec.decode_archive(data)
    listed = []
    for name, samples in zip(told["names"], pictures, strict=True):
        assert samples is not None
        dtype = samples.dtype.newbyteorder("<").str
        sha256 = hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()
        listed.append({"name": name, "shape": list(samples.shape), "dtype": dtype, "sha256": sha256})
    return {"groups": [group["pictures"] for group in told["groups"]], "pictures": listed}


def check_bodies(vectors: dict[str, bytes]) -> None:
    """Every body mode of the context coder is among them."""
    modes = {name: read(data).passes[0][0] for name, data in vectors.items() if name.startswith("context_")}
    wanted = ["raw", "numbers", "numbers_and_pixels", "colours", "colours_and_pixels"]
    assert [modes[f"context_{name}"] for name in wanted] == [0, 1, 2, 3, 4], modes


def write_all(folder: Path) -> None:
    model = registry.load("photo-ardm")
    made = {f"mode_{m.number:02}": stream(Picture(samples_of(m), m.name), None, model) for m in MODES}
    made |= {f"mode_{m.number:02}": stream(Tokens(samples_of(m)[0]), None, model) for m in TOKENS}
    for part in (contexts, planes, lattices, orders, lossy):
        made |= dict(part())
    check_bodies(made)
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in made.items():
        (folder / f"{name}.dfc").write_bytes(data)
    packed = dict(archives())
    for name, data in packed.items():
        (folder / f"{name}.dfca").write_bytes(data)
    tell(folder, {name: described(data) for name, data in made.items()})
    tell(folder, {name: described_archive(data) for name, data in packed.items()})
    (folder / "numbers.json").write_text(json.dumps(numbers(packed["archive_chained"])) + "\n")
    from tools import corners, media_vectors

    corners.write_all(folder.parent)
    media_vectors.write_all(folder.parent)
