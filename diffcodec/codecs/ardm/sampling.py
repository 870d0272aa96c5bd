"""How the photo planes of a clip's frames are sampled, and what pictures they are coded as. Plain integers."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.errors import CorruptStream


@dataclass(frozen=True)
class Sampling:
    """number: in a stream's parameters. planes: how many there are. halved: whether two of three have half the size."""

    number: int
    planes: int
    halved: bool = False

    def fits(self, rows: int, width: int) -> bool:
        """Whether there are frames of so many rows: of YUV420 H + ⌈H/2⌉ of them, U and V beside each other."""
        H = self.luma_rows(rows)
        return not self.halved or (width % 2 == 0 and H + -(-H // 2) == rows)

    def luma_rows(self, rows: int) -> int:
        """H, of so many rows of a frame."""
        return 2 * rows // 3 if self.halved else rows

    def sizes(self, rows: int, width: int) -> list[tuple[int, int]]:
        """(height, width) of the pictures that a frame of so many rows is coded as."""
        H = self.luma_rows(rows)
        return [(H, width), (rows - H, width // 2)] if self.halved else [(H, width)]


#: by the names of a clip's (`media.rows.clip`)
SAMPLINGS = {"RGB": Sampling(0, 3), "YUV444": Sampling(1, 3), "YUV420": Sampling(2, 1, halved=True)}
MOST_GAP = 4  #: frames that others stand between are 2^0 to 2^4 apart
BY_NUMBER = {sampling.number: sampling for sampling in SAMPLINGS.values()}


def sampling_of(params: bytes, shape: tuple[int, ...], frames: int) -> Sampling:
    """What parameters say of photo planes (frames · rows, W, C). Raises CorruptStream where there is no such clip."""
    height, width, planes = shape
    sampling = BY_NUMBER.get(params[1]) if len(params) == 2 else None
    rows, left = divmod(height, frames)
    if sampling is None or left or sampling.planes != planes or not sampling.fits(rows, width):
        told = f"{frames} frames in {width}x{height} positions of {planes} planes"
        raise CorruptStream(f"codec parameters {params.hex()} do not fit {told}; the file is damaged")
    return sampling


def sampling_and_gap(params: bytes, shape: tuple[int, ...], frames: int) -> tuple[Sampling, int]:
    """As :func:`sampling_of`, and the number that tells the order of frames. Raises CorruptStream."""
    if len(params) != 3 or params[2] > MOST_GAP:
        raise CorruptStream(f"codec parameters {params.hex()} tell no order of {frames} frames; the file is damaged")
    return sampling_of(params[:2], shape, frames), params[2]
