"""Which model an archive is coded with where nobody says: by what its first pictures are.

A chain of bits-back coding saves some percent of many small pictures in colour, and takes many times as long. Of
photographs of megapixels it saves nothing: these are streams of their own, as single files would be. So a chain has to
be worth it, on a sample of the pictures themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..media.medium import Signal
from ..models import registry
from ..runtime.stages import stage
from ..stream.encode import Sender, encode
from .group import pixels_of
from .plan import chainable

if TYPE_CHECKING:
    from ..media.picture import Picture

SMALL = 2**13  #: pixels of a picture that chains are tried on
STREAM_PIXELS = 2**21  #: of a group of streams, which are nothing to each other: what an interrupted run does anew
_FEWEST = 16  # pictures of a chain: the first three or four are its initial bits, and saved nothing
_SHARE = 0.75  # of the pixels, in pictures that may stand in a chain
_SAMPLED = 4  # pictures
_WORTH = 0.97  # of the streams' bits
_SIDE = 32  # of the pictures that a model of its own is bundled for


def group_pixels(group: int) -> int:
    """Pixels of a group, of a single picture more, while it is open how ``group`` pictures will be coded."""
    return max(STREAM_PIXELS, group * SMALL)


def chosen(pictures: Sequence[Signal], device: str) -> str:
    """The name of a bundled model for an archive that begins with these. Raises ModelNotFound."""
    small = [picture for picture in pictures if chainable(picture) and pixels_of(picture) <= SMALL]
    streams = registry.DEFAULT["ardm"]
    if len(small) < _FEWEST or sum(map(pixels_of, small)) < _SHARE * sum(map(pixels_of, pictures)):
        return streams
    same = all(picture.geometry == (_SIDE, _SIDE) for picture in small)
    chain = "cifar10-vdm" if same else registry.DEFAULT["vdm"]
    sample = small[:: len(small) // _SAMPLED][:_SAMPLED]
    with stage("choosing the model"):
        alone = 8 * sum(len(encode(one, Sender.of(None, streams, device))) for one in sample)
        return chain if _chained_bits(sample, chain, device) < _WORTH * alone else streams


def _chained_bits(pictures: Sequence[Picture], name: str, device: str) -> float:
    """The bound of a chain of pictures like these, in bits."""
    from ..codecs.vdm import schedule as vdm

    photos = [picture.samples for picture in pictures]
    _, bits = vdm.measured(photos, registry.load(name, device=device, codec="vdm"), vdm.STEPS)
    return bits
