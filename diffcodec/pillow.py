"""`.dfc` in Pillow: after `import diffcodec.pillow`, `Image.open("x.dfc")` and `image.save("x.dfc")` work.

Opening reads the header only; pixels are decoded on first use, as few as `draft` and `thumbnail` need. `save` takes
encode's `model`, `device` and `seed`, and Pillow's usual `icc_profile`, `exif`, `xmp`, `dpi`, `comment` and `pnginfo`
(its texts), each of which, given as None, leaves out what the image has; it warns of others.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import IO, Any

from PIL import Image, ImageFile

from . import api
from .files import metadata_png
from .media.metadata import Metadata
from .media.modes import BY_NAME
from .media.picture import Picture
from .media.pillow_info import info_of, of_pillow
from .media.sizes import within
from .runtime.errors import InputError
from .runtime.hostile import guarded
from .stream.parsed import begins, read

FORMAT = "DFC"


class DfcImageFile(ImageFile.ImageFile):
    """A `.dfc` stream as a Pillow image."""

    format = FORMAT
    format_description = "diffcodec"
    _stream: bytes | None = None  # until it is decoded; copies and pickles are made of pixels
    _reduced: tuple[int, int] | None = None  # (width, height) that it is to be decoded at, by a draft

    @guarded
    def _open(self) -> None:
        assert self.fp is not None
        self._stream = self.fp.read()
        stream = read(self._stream)
        mode = stream.form.mode
        row = BY_NAME.get(mode)
        if row is None or row.pillow is None:
            raise InputError(f"Pillow has no mode for {mode} pixels: use diffcodec.decode, which gives the array")
        self._mode = row.pillow
        self._size = (stream.head.width, stream.head.height)
        self.metadata = replace(stream.metadata, palette=None)  # which needs the pixels
        self.info.update(info_of(self.metadata))
        self.tile = []

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decode it halved as often as leaves ``size`` (width, height) or more, once its pixels are wanted.

        mode: kept as it is, whatever it is. Returns the mode and the box of the reduced pixels that is the picture;
        None where the pixels are there, or would not be fewer.
        """
        if self._stream is None or self._reduced is not None or size is None:
            return None
        times = 1
        while self.width // (2 * times) >= max(size[0], 1) and self.height // (2 * times) >= max(size[1], 1):
            times *= 2
        if times == 1:
            return None
        self._reduced = -(-self.width // times), -(-self.height // times)
        self._size = within(self.size, self._reduced)
        return self.mode, (0, 0, float(self.width), float(self.height))

    @guarded
    def load(self) -> Any:
        """Decode the pixels on their first use. Raises as `diffcodec.decode`."""
        if self._stream is not None:
            picture = api.decode_picture(self._stream, size=self._reduced)
            self.metadata, image = picture.metadata, picture.to_pillow()
            self._stream = None
            self.im = image.im
            self.readonly = 0
        return super().load()


_OPTIONS = ("codec", "model", "device", "seed", "max_bytes", "bpp", "psnr", "effort")
#: Pillow's names for metadata, and what is left where they are given as None
_METADATA: dict[str, tuple[str, Any]] = {"icc_profile": ("icc", None), "exif": ("exif", None), "xmp": ("xmp", None)}
_METADATA |= {"dpi": ("density", None), "comment": ("comments", ()), "pnginfo": ("text", ())}


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    options = dict(image.encoderinfo)
    picture = Picture.from_any(image)
    picture = replace(picture, metadata=_given(picture.metadata, options))
    known = {key: options[key] for key in _OPTIONS if key in options}
    if unknown := options.keys() - known.keys() - _METADATA.keys():
        told = ", ".join(sorted(unknown))
        warnings.warn(f"saving a .dfc takes no {told}, which is left out: see diffcodec.encode", stacklevel=3)
    file.write(api.encode(picture, **known))


def _given(metadata: Metadata, options: dict[str, Any]) -> Metadata:
    """The metadata with those that were given to `save`, by Pillow's names for them."""
    dropped = dict(kind for name, kind in _METADATA.items() if name in options and not options[name])
    metadata, exif = replace(metadata, **dropped), options.get("exif") or None
    told = Image.new("1", (1, 1))
    told.info = {key: options[key] for key in ("icc_profile", "xmp", "dpi", "comment") if key in options}
    if exif is not None:
        told.info["exif"] = exif.tobytes() if isinstance(exif, Image.Exif) else bytes(exif)
    new = of_pillow(told)
    changes = {kind: value for kind in ("icc", "exif", "xmp", "density", "comments") if (value := getattr(new, kind))}
    if options.get("pnginfo"):
        chunks = [(chunk[0].decode("latin-1"), chunk[1]) for chunk in options["pnginfo"].chunks]
        changes["text"] = metadata_png.read_chunks(chunks)[0].text
    return replace(metadata, **changes)


def _accept(prefix: bytes) -> bool:
    return begins(prefix)


Image.register_open(FORMAT, DfcImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".dfc")
Image.register_mime(FORMAT, "image/x-diffcodec")
