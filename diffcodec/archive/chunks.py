"""Pictures as chunks of an array: what a Zarr array records of their coding, and how a chunk becomes a stream.

Neither Zarr nor numcodecs is imported here: `zarr_codec` and `numcodecs_codec` are what they find by entry points.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from ..codecs.reconstruction import Reconstruction
from ..media.table import signal_of
from ..runtime.errors import CorruptStream, InputError
from ..runtime.hostile import guarded
from ..runtime.recorded import Recorded
from ..stream.decode import Wanted, decode_all
from ..stream.encode import Sender, encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.generic]

NAME = "diffcodec"  #: of the codec, in the metadata of arrays
DTYPES = ("uint8", "uint16")
SHAPES = "H×W, H×W×3, T×H×W or T×H×W×3, with further dimensions of 1 in front"
_one_at_a_time = threading.Lock()  # Zarr codes many chunks at once, and each takes all the threads there are


@dataclass(frozen=True)
class Chunks:
    """How chunks are coded: without loss, or lossy; options of `diffcodec.encode`.

    bpp: bits per pixel of a chunk at most, since blank ones need fewer. psnr: of each frame.
    model: a bundled or registered name; no file is opened by it. realism: of decoding, as of `diffcodec.decode`; 0,
    the least squared error, unless an array says otherwise.

    Raises InputError for what no chunk can be coded with.
    """

    codec: str | None = None
    model: str | None = None
    bpp: float | None = None
    psnr: float | None = None
    effort: int | None = None
    seed: int = 0
    realism: float = 0.0

    def __post_init__(self) -> None:
        if self.model is not None and not isinstance(self.model, str):
            raise InputError(f"expected the name of a model, which an array can record, found {self.model!r}")
        self._sender(bpp=self.bpp)
        Reconstruction.of(None, self.realism)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Chunks:
        """Mirror of :meth:`config`. Raises InputError."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(config.keys() - {*known}):
            raise InputError(f"codec {NAME} has no {', '.join(unknown)}: it takes {', '.join(known)}")
        return cls(**config)

    def config(self) -> dict[str, Any]:
        """What an array's metadata say: all that is not as it is by itself."""
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != usual[name]}

    def _sender(self, **rate: float | None) -> Sender:
        model = None if self.model is None else Recorded(self.model)
        wishes: dict[str, Any] = {"psnr": self.psnr, "effort": self.effort, "seed": self.seed, **rate}
        return Sender.of(self.codec, model, "auto", **wishes)

    def encode(self, chunk: Samples) -> bytes:
        """A stream, each frame of a chunk one of its own. Raises InputError, ModelNotFound, ModelMismatch."""
        import numpy as np

        chunk = np.asarray(chunk)
        frames = chunk.reshape(frames_of(chunk.shape, chunk.dtype.name))
        signals = [signal_of(np.ascontiguousarray(frame)) for frame in frames]
        signal = signals[0]
        if len(signals) > 1:
            from ..media.picture import with_frames

            signal = with_frames(signals)
        most = None if self.bpp is None else math.floor(self.bpp * math.prod(frames.shape[:3]) / 8)
        with _one_at_a_time:
            return encode(signal, self._sender(max_bytes=most))

    @guarded
    def decode(self, data: bytes) -> Samples:
        """The samples of a chunk: T×H×W or T×H×W×3, without T of one frame. Raises as `diffcodec.decode`."""
        import numpy as np

        wanted = Wanted(Reconstruction.of(None, self.realism), frames=True, medium="picture")
        with _one_at_a_time:
            first = decode_all(data, wanted)
        frames = [one.array for one in (first, *first.following)]
        if len({(frame.shape, frame.dtype) for frame in frames}) > 1:
            raise CorruptStream("the frames of a chunk differ in size; the file is damaged")
        return np.stack(frames) if len(frames) > 1 else frames[0]


def frames_of(shape: tuple[int, ...], dtype: str) -> tuple[int, ...]:
    """The shape as T×H×W or T×H×W×3; where the last of three or more dimensions is 3, it is colour.

    Raises InputError for what is coded as no pictures.
    """
    if dtype not in DTYPES:
        raise InputError(f"codec {NAME} takes chunks of {' or '.join(DTYPES)}, found {dtype}")
    colour = shape[-1:] if len(shape) > 2 and shape[-1] == 3 else ()
    places = shape[: len(shape) - len(colour)]
    while len(places) > 3 and places[0] == 1:
        places = places[1:]
    if not 2 <= len(places) <= 3 or 0 in shape:
        raise InputError(f"codec {NAME} takes chunks {SHAPES}, found {'×'.join(map(str, shape)) or 'a number'}")
    return (*(1,) * (3 - len(places)), *places, *colour)
