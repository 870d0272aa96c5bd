"""`.dfc` in Pillow: after `import diffcodec.pillow`, `Image.open("x.dfc")` and `image.save("x.dfc")` work.

Opening reads the header only; pixels are decoded on first use. `save` takes encode's `model`, `device` and `seed`, and
Pillow's usual `icc_profile`, `exif`, `xmp`, `dpi`, `comment` and `pnginfo` (its texts).
"""

from __future__ import annotations

from dataclasses import replace
from typing import IO, Any

from PIL import Image, ImageFile

from . import api
from .files import metadata_png
from .media.metadata import Metadata
from .media.modes import BY_NAME
from .media.picture import Picture
from .media.pillow_info import info_of, of_pillow
from .runtime.errors import InputError
from .runtime.hostile import guarded
from .stream.parsed import begins, read

FORMAT = "DFC"


class DfcImageFile(ImageFile.ImageFile):
    """A `.dfc` stream as a Pillow image."""

    format = FORMAT
    format_description = "diffcodec"
    _stream: bytes | None = None  # until it is decoded; copies and pickles are made of pixels

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

    @guarded
    def load(self) -> Any:
        """Decode the pixels on their first use. Raises as `diffcodec.decode`."""
        if self._stream is not None:
            picture = api.decode_picture(self._stream)
            self.metadata, image = picture.metadata, picture.to_pillow()
            self._stream = None
            self.im = image.im
            self.readonly = 0
        return super().load()


_OPTIONS = ("codec", "model", "device", "seed", "max_bytes", "bpp", "psnr", "effort")


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    options = dict(image.encoderinfo)
    picture = Picture.from_any(image)
    picture = replace(picture, metadata=_given(picture.metadata, options))
    known = {key: options[key] for key in _OPTIONS if key in options}
    file.write(api.encode(picture, **known))


def _given(metadata: Metadata, options: dict[str, Any]) -> Metadata:
    """The metadata with those that were given to `save`, by Pillow's names for them."""
    exif = options.get("exif")
    told = Image.new("1", (1, 1))
    told.info = {key: options[key] for key in ("icc_profile", "xmp", "dpi", "comment") if key in options}
    if exif is not None:
        told.info["exif"] = exif.tobytes() if isinstance(exif, Image.Exif) else bytes(exif)
    new = of_pillow(told)
    changes = {kind: value for kind in ("icc", "exif", "xmp", "density", "comments") if (value := getattr(new, kind))}
    if "pnginfo" in options:
        chunks = [(chunk[0].decode("latin-1"), chunk[1]) for chunk in options["pnginfo"].chunks]
        changes["text"] = metadata_png.read_chunks(chunks)[0].text
    return replace(metadata, **changes)


def _accept(prefix: bytes) -> bool:
    return begins(prefix)


Image.register_open(FORMAT, DfcImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".dfc")
Image.register_mime(FORMAT, "image/x-diffcodec")
