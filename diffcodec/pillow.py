"""`.dfc` in Pillow: after `import diffcodec.pillow`, `Image.open("x.dfc")` and `image.save("x.dfc")` work.

Opening reads the header only; pixels are decoded on first use. `save` takes encode's `model`, `device` and `seed`, and
Pillow's usual `icc_profile` and `exif`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import IO, Any

from PIL import Image, ImageFile

from . import api
from .bitstream import read
from .bitstream.container import SIGNATURE
from .errors import InputError
from .image import Picture
from .modes import mode_of

FORMAT = "DFC"


class DfcImageFile(ImageFile.ImageFile):
    """A `.dfc` stream as a Pillow image."""

    format = FORMAT
    format_description = "diffcodec"

    def _open(self) -> None:
        assert self.fp is not None
        self._stream: bytes | None = self.fp.read()
        container = read(self._stream)
        mode = mode_of(container.header.mode)
        if mode.pillow is None:
            raise InputError(f"Pillow has no mode for {mode.name} pixels: use diffcodec.decode, which gives the array")
        self._mode = mode.pillow
        self._size = (container.header.width, container.header.height)
        if "i" in container.ancillary:
            self.info["icc_profile"] = container.ancillary["i"]
        if "x" in container.ancillary:
            self.info["exif"] = b"Exif\0\0" + container.ancillary["x"]
        self.tile = []

    def load(self) -> Any:
        if self._stream is not None:
            image = api.decode_picture(self._stream).to_pillow()
            self._stream = None
            self.im = image.im
            self.readonly = 0
        return super().load()


_OPTIONS = ("codec", "model", "device", "seed", "max_bytes", "bpp", "psnr")


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    options = dict(image.encoderinfo)
    picture = Picture.from_any(image)
    if (icc := options.pop("icc_profile", None)) is not None:
        picture = replace(picture, icc=icc)
    if (exif := options.pop("exif", None)) is not None:
        data = exif.tobytes() if isinstance(exif, Image.Exif) else bytes(exif)
        picture = replace(picture, exif=data.removeprefix(b"Exif\0\0") or None)
    known = {key: options[key] for key in _OPTIONS if key in options}
    if "codec" not in known and {"bpp", "psnr"} & known.keys():
        known["codec"] = "diffc"
    file.write(api.encode(picture, **known))


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


Image.register_open(FORMAT, DfcImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".dfc")
Image.register_mime(FORMAT, "image/x-diffcodec")
