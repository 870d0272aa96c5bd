"""A photograph through the codecs: what it becomes, pass by pass, beside PNG, WebP and JPEG."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import api, files, output
from .errors import InputError, Truncated
from .forms import picture_of
from .image import Picture

_PANEL, _TEXT, _GAP, _COLUMNS = 256, 34, 8, 4
_LOSSY_BPP = 0.5


def run(
    directory: str,
    image: str | None = None,
    *,
    model: Any = None,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Encode and decode `image` (a path; None: scikit-image's astronaut) without and with loss, and write photo.dfc,
    photo.png, previews.png, lossy.dfc, lossy.png and lossy-previews.png to `directory`, replacing what an earlier demo
    left there. ``model`` is for the lossless part. Returns the figures.
    """
    picture = files.read(image) if image is not None else Picture.from_any(_astronaut())
    os.makedirs(directory, exist_ok=True)
    corner = Picture(np.ascontiguousarray(picture.samples[:48, :48]), picture.mode)
    api.decode(api.encode(corner, model=model, device=device), model=model, device=device)  # loads, compiles: not timed
    start = time.perf_counter()
    data = api.encode(picture, model=model, device=device, progress=progress)
    encoded = time.perf_counter()
    decoded = api.decode_picture(data, model=model, device=device, progress=progress)
    seconds = time.perf_counter() - encoded
    previews = list(api.decode_progressive(data, model=model, device=device))
    if len(previews) > 1:
        del previews[-2]  # the last pass again, before its check
    paths = {name: os.path.join(directory, name) for name in ("photo.dfc", "photo.png", "previews.png")}
    output.write(paths["photo.dfc"], data, True)
    output.write(paths["photo.png"], files.write(decoded, "PNG"), True)
    output.write(paths["previews.png"], _png(_strip(previews, decoded)), True)
    info = api.inspect(data)
    lossy, files_of_lossy = _lossy(directory, picture, device, progress)
    return {
        "picture": image or "scikit-image astronaut",
        "width": picture.width,
        "height": picture.height,
        "model": info["model"],
        "identical": bool(np.array_equal(decoded.samples, picture.samples)),
        "bytes": len(data),
        "bpp": info["bpp"],
        "bpd": info["bpd"],
        "png_bytes": len(_png(picture.to_pillow())) if picture.info.pillow else None,
        "webp_bytes": _webp_bytes(picture),
        "encode_seconds": round(encoded - start, 3),
        "decode_seconds": round(seconds, 3),
        "previews": [{"bytes": p.bytes_read, "bpp": p.bpp} for p in previews],
        "lossy": lossy,
        "files": [*paths.values(), *files_of_lossy],
    }


def _lossy(
    directory: str, picture: Picture, device: str, progress: Callable[[float], None] | None
) -> tuple[dict[str, Any] | None, list[str]]:
    """A stream of DiffC and its previews: (figures, files); (None, []) for what is no 8-bit photograph."""
    if not picture.info.photo or picture.info.sample != "u1":
        return None, []
    start = time.perf_counter()
    try:
        data = api.encode(picture, "diffc", bpp=_LOSSY_BPP, device=device, progress=progress)
    except InputError:  # too small for a stream of that rate
        return None, []
    encode_seconds = time.perf_counter() - start
    previews, shown, decode_seconds = _walked(data, device, progress)
    few = previews[:: max(1, -(-len(previews) // 8))]
    few = [*few, previews[-1]] if few[-1] is not previews[-1] else few
    paths = {name: os.path.join(directory, name) for name in ("lossy.dfc", "lossy.png", "lossy-previews.png")}
    output.write(paths["lossy.dfc"], data, True)
    output.write(paths["lossy.png"], files.write(shown, "PNG"), True)
    output.write(paths["lossy-previews.png"], _png(_strip(few, shown)), True)
    jpeg = _jpeg_within(picture, len(data))
    figures = {
        "bytes": len(data),
        "bpp": 8 * len(data) / (picture.width * picture.height),
        "psnr_mean": round(_psnr(previews[-1].image, picture.samples), 2),
        "psnr_flow": round(_psnr(shown.samples, picture.samples), 2),
        "psnr_jpeg": round(_psnr(jpeg, picture.samples), 2) if jpeg is not None else None,
        "encode_seconds": round(encode_seconds, 3),
        "decode_seconds": round(decode_seconds, 3),
        "previews": [{"bytes": p.bytes_read, "bpp": p.bpp} for p in previews],
    }
    return figures, list(paths.values())


def _walked(
    data: bytes, device: str, progress: Callable[[float], None] | None
) -> tuple[list[api.Preview], Picture, float]:
    """(a preview of each payload, the picture by "flow", seconds of decoding it) of a stream of DiffC, in one walk."""
    container = api.read(data)
    receiver = api._receiver(container, api._provider(container, None, device))
    pixels = container.header.width * container.header.height
    previews, seconds = [], 0.0
    for payload, end in zip(container.passes, container.ends, strict=True):
        start = time.perf_counter()
        receiver.take(payload)
        seconds += time.perf_counter() - start
        with contextlib.suppress(Truncated):  # planes beside the colours alone show nothing
            image = picture_of(container, *receiver.show("mean")).array
            previews.append(api.Preview(image, end, 8 * end / pixels, False))
        if progress:
            progress(end / len(data))
    start = time.perf_counter()
    shown = picture_of(container, *receiver.show("flow"))
    return previews, shown, seconds + time.perf_counter() - start


def _psnr(a: Any, b: Any) -> float:
    return float(10 * np.log10(65025 / max(1e-9, np.mean((a.astype(np.float64) - b) ** 2))))


def _jpeg_within(picture: Picture, size: int) -> Any:
    """Samples of the best JPEG of at most ``size`` bytes; None where there is none."""
    if picture.mode not in ("L", "RGB"):
        return None
    for quality in range(95, 0, -2):
        out = io.BytesIO()
        picture.to_pillow().save(out, "JPEG", quality=quality, optimize=True)
        if len(out.getvalue()) <= size:
            return np.asarray(Image.open(out))
    return None


def text(result: dict[str, Any]) -> str:
    """The figures for a person to read."""
    size = result["bytes"]
    rows = [("diffcodec", size), ("PNG (optimised)", result["png_bytes"]), ("WebP lossless", result["webp_bytes"])]
    lines = [f"{result['picture']}, {result['width']}×{result['height']}, model {result['model']}"]
    for name, value in rows:
        if value is not None:
            ratio = f"  ({100 * (size / value - 1):+.1f} % with diffcodec)" if value != size else ""
            lines.append(f"  {name:16} {value:>10} bytes{ratio}")
    lines.append(f"  encoded in {result['encode_seconds']:.2f} s, decoded in {result['decode_seconds']:.2f} s")
    lines.append("  decoded pixels identical to the original" if result["identical"] else "  PIXELS DIFFER")
    if (lossy := result["lossy"]) is not None:
        jpeg = f", JPEG of that size {lossy['psnr_jpeg']:.1f} dB" if lossy["psnr_jpeg"] is not None else ""
        lines.append(
            f"  lossy, {lossy['bpp']:.2f} bits per pixel: {lossy['bytes']} bytes, "
            f"mean {lossy['psnr_mean']:.1f} dB, flow {lossy['psnr_flow']:.1f} dB{jpeg}"
        )
        lines.append(f"  encoded in {lossy['encode_seconds']:.1f} s, decoded in {lossy['decode_seconds']:.1f} s")
    return "\n".join([*lines, *(f"  wrote {path}" for path in result["files"])])


def _astronaut() -> Any:
    try:
        from skimage import data
    except ImportError:
        raise InputError(
            'the demo photograph comes with scikit-image: pip install "diffcodec[demo]", or give --image PATH'
        ) from None
    return data.astronaut()


def _strip(previews: list[api.Preview], picture: Picture) -> Image.Image:
    """Previews side by side, four to a row, the bytes each took under it."""
    scale = _PANEL / max(picture.width, picture.height)
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    columns = min(_COLUMNS, len(previews))
    rows = -(-len(previews) // columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * (height + _TEXT + _GAP) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, preview in enumerate(previews):
        left = _GAP + number % columns * (width + _GAP)
        top = _GAP + number // columns * (height + _TEXT + _GAP)
        small = _visible(preview.image, picture).resize((width, height), Image.Resampling.BOX)
        sheet.paste(small, (left, top))
        label = f"{preview.bytes_read:,} bytes".replace(",", " ") + ("  exact" if preview.complete else "")
        draw.text((left, top + height + 4), label, fill="black", font=font)
        draw.text((left, top + height + 18), f"{preview.bpp:.3f} bit/pixel", fill="grey", font=font)
    return sheet


def _visible(samples: Any, picture: Picture) -> Image.Image:
    """Any picture as 8-bit RGB, for looking at."""
    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8)
        picture = Picture.from_any(samples)
    return Picture(samples, picture.mode).to_pillow().convert("RGB")


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _webp_bytes(picture: Picture) -> int | None:
    if picture.mode not in files.FORMATS["WEBP"]:
        return None
    out = io.BytesIO()
    picture.to_pillow().save(out, "WEBP", lossless=True, quality=100, method=6)
    return len(out.getvalue())
