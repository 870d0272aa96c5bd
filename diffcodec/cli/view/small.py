"""A stream as far as it is sound, and small pictures from its beginning: thumbnails of files and of archives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ... import api
from ...runtime.errors import BitstreamError, DiffcodecError, InputError, Truncated
from .. import showing
from . import drawn
from .drawn import Look

if TYPE_CHECKING:
    from PIL import Image

    from ...media.clip import Clip
    from ...media.medium import Signal

#: modes whose early passes are all of the picture, but coarse
_WITHOUT_ALPHA = ("L", "RGB", "I;16", "RGB;16")


@dataclass(frozen=True)
class How:
    """How files are decoded and shown. previews: of a stream, at most; most: pictures of an archive that are decoded.

    room: bytes of picture files that one FILE may put into the page.
    """

    previews: int = 12
    most: int = 60
    room: int = 2**25
    model: Any = None
    device: str = "auto"
    max_pixels: int | None = None
    budget: float = 1.0

    @property
    def decoding(self) -> dict[str, Any]:
        """As the api takes it."""
        names = ("model", "device", "max_pixels", "budget")
        return {name: getattr(self, name) for name in names}


def as_far(data: bytes, max_pixels: int | None) -> tuple[dict[str, Any], bytes, str]:
    """What is said of a stream, the bytes of it that are sound, and what is wrong with it, "" if nothing is.

    Raises DiffcodecError where not even the header holds.
    """
    try:
        found, problem = showing.told(data, max_pixels)
    except BitstreamError as error:
        # a beginning is sound until it reaches the damage: the longest is found by halving
        least, most = 0, len(data)
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (middle, most) if _sound(data[:middle], max_pixels) else (least, middle)
        try:
            return dict(api.inspect(data[:least], partial=True, max_pixels=max_pixels)), data[:least], str(error)
        except DiffcodecError:
            raise error from None
    return found, data, "" if problem is None else str(problem)


def _sound(data: bytes, max_pixels: int | None) -> bool:
    """Whether nothing is wrong with a beginning but that it is one."""
    try:
        api.inspect(data, partial=True, max_pixels=max_pixels)
    except Truncated:
        return True
    except BitstreamError:
        return False
    return True


def small(data: bytes, side: int, how: How) -> tuple[Image.Image, bytes]:
    """A picture of at most ``side`` pixels a side from the beginning of a stream, upright, and its ICC profile.

    Only as many bytes are decoded as so few pixels want. Raises InputError for what is no picture, and as `decode`.
    """
    found, sound, problem = as_far(data, how.max_pixels)
    look = Look.of(api.metadata_of(sound, max_pixels=how.max_pixels))
    if found["medium"] == "clip":
        clip = next(api.decode_groups(sound, frames=slice(0, 1), **_parted(found, sound), **how.decoding))
        return _shrunk(drawn.frame_of(cast("Clip", clip), 0), side), look.icc
    if found["medium"] != "picture":
        raise InputError(f"the stream holds {found['medium']}, of which there is no picture")
    ends = [one["end"] for one in found["passes"]]
    if not ends:
        raise InputError(problem or "the stream holds no pass: nothing can be shown")
    upto = len(sound)
    if found["mode"] in _WITHOUT_ALPHA:
        # four times the pixels, for averaging, and twice their share of the bytes: coarse passes take more a pixel
        share = 8 * side * side / (found["width"] * found["height"])
        upto = next((end for end in ends if end >= share * len(sound)), upto)
    whole = upto == len(sound) and found["complete"]
    picture = api.decode_picture(sound, upto_bytes=None if whole else upto, **how.decoding)
    return _of_picture(picture, side, look)


def frames(found: Mapping[str, Any], sound: bytes, most: int, how: How) -> Iterator[Image.Image]:
    """Of a clip, at full size, the first ``most``, as they are decoded. Raises DiffcodecError."""
    for clip in api.decode_groups(sound, frames=slice(0, most), **_parted(found, sound), **how.decoding):
        yield from (drawn.frame_of(cast("Clip", clip), number) for number in range(clip.shape[0]))


def _parted(found: Mapping[str, Any], sound: bytes) -> dict[str, Any]:
    """What decodes a stream that is cut as far as it goes."""
    return {} if found["complete"] else {"upto_bytes": len(sound)}


def of_archive(held: bytes | Signal | DiffcodecError, side: int, how: How) -> tuple[Image.Image, bytes]:
    """As :func:`small`, of what `archive.listing.contents` gives. Raises InputError, and an error that is given."""
    if isinstance(held, DiffcodecError):
        raise held
    if isinstance(held, bytes):
        return small(held, side, how)
    if not isinstance(held, api.Picture):
        raise InputError(f"it is of mode {held.mode}, of which there is no picture")
    return _of_picture(held, side, Look.of(held.metadata))


def _of_picture(picture: api.Picture, side: int, look: Look) -> tuple[Image.Image, bytes]:
    image = drawn.visible(picture.samples, picture.mode, look.white)
    return _shrunk(drawn.turned(image, look), side), look.icc


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    image = drawn.reduced(image, 2 * side)
    image.thumbnail((side, side))
    return image
