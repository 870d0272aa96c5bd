"""Codecs of films through FFmpeg (PyAV), and JPEG XL frame by frame: without loss, or at a rate.

x264, x265 and SVT-AV1 write streams without a container, and without the message that names the encoder. Where their
chroma has half the resolution, odd sides are made even by repeating the last row or column, and cut again.
"""

from __future__ import annotations

import functools
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..api import Clip
from .coders import by_quality
from .point import Codec, Point, Points

GROUP = 16  #: frames that hang together, of lossy codecs and of ours
FORMATS = {"RGB": "rgb24", "YUV420": "yuv420p", "YUV444": "yuv444p"}
_NO_RATE = Fraction(25)
_AS_RGB = ("bgr0", "bgr24", "gbrp")

os.environ.setdefault("SVT_LOG", "1")


def frames_of(clip: Clip, format: str) -> Iterator[Any]:
    """FFmpeg's frames in a pixel format of its own, converted where it is another than the clip's."""
    import av

    for planes in zip(*clip.planes, strict=True):
        if clip.sampling == "RGB":
            frame = av.VideoFrame.from_ndarray(planes[0], format="rgb24")
        else:
            height, width = planes[0].shape
            frame = av.VideoFrame(width, height, FORMATS[clip.sampling])
            for plane, samples in zip(frame.planes, planes, strict=True):
                rows = np.zeros((plane.height, plane.line_size), np.uint8)
                rows[:, : samples.shape[1]] = samples
                plane.update(rows.tobytes())
        yield frame if frame.format.name == format else frame.reformat(format=format)


def rgb_of(frames: Sequence[Any]) -> np.ndarray:
    """uint8 (T, H, W, 3) of FFmpeg's frames, as it converts them."""
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


@dataclass(frozen=True)
class Peer:
    """A codec of FFmpeg: its encoder, the pixel format that it is given, its options, its container.

    even: whether sides have to be. without: a filter of packets, which leaves out what a decoder does not read.
    """

    encoder: str
    format: str
    options: dict[str, str]
    container: str = "matroska"
    even: bool = False
    without: str = ""

    def encode(self, clip: Clip, **options: str) -> tuple[bytes, int]:
        """(a file, bytes of it that are no packet)."""
        import av
        from av.bitstream import BitStreamFilterContext

        out, rate, packets = io.BytesIO(), clip.rate or _NO_RATE, 0
        with av.open(out, "w", format=self.container) as target:
            stream: Any = target.add_stream(self.encoder, rate=rate, options=self.options | options)
            _, stream.height, stream.width = clip.shape
            stream.pix_fmt = self.format
            stream.codec_context.time_base = stream.time_base = 1 / rate
            stream.codec_context.open()
            through = BitStreamFilterContext(self.without, stream) if self.without else None
            for number, frame in enumerate([*frames_of(clip, self.format), None]):
                if frame is not None:
                    frame.pts, frame.time_base = number, 1 / rate
                for made in stream.encode(frame):
                    for packet in [made] if through is None else through.filter(made):
                        packets += packet.size
                        target.mux(packet)
        return out.getvalue(), len(out.getvalue()) - packets

    def decode(self, data: bytes) -> list[Any]:
        """FFmpeg's frames of a file."""
        import av

        with av.open(io.BytesIO(data), format=self.container) as source:
            return list(source.decode(video=0))

    def takes(self, clip: Clip) -> bool:
        """Whether its sides are such as it has."""
        return not (self.even and (clip.shape[1] % 2 or clip.shape[2] % 2))


# ---- without loss

SEI = "filter_units=remove_types=6"  #: x264's message of 700 bytes, which tells its settings
X264 = {"preset": "veryslow", "qp": "0", "g": "300"}
#: one slice is smaller than four; of two models of contexts the one that suits
FFV1 = [{"level": "3", "coder": "1", "g": "300", "slices": "1", "slicecrc": "0", "context": one} for one in "01"]
FFV1_SLICE = 2**17  #: pixels of a frame
X265 = {"preset": "veryslow", "x265-params": "log-level=error:lossless=1:info=0"}
LOSSLESS: dict[str, dict[str, list[Peer]]] = {
    "ffv1": {
        "RGB": [Peer("ffv1", "bgr0", options) for options in FFV1],
        "YUV420": [Peer("ffv1", "yuv420p", options) for options in FFV1],
        "YUV444": [Peer("ffv1", "yuv444p", options) for options in FFV1],
    },
    "x264-lossless": {
        "RGB": [Peer("libx264rgb", "bgr24", X264, "h264", without=SEI)],
        "YUV420": [Peer("libx264", "yuv420p", X264, "h264", even=True, without=SEI)],
        "YUV444": [Peer("libx264", "yuv444p", X264, "h264", without=SEI)],
    },
    "x265-lossless": {
        "RGB": [Peer("libx265", "gbrp", X265, "hevc")],
        "YUV420": [Peer("libx265", "yuv420p", X265, "hevc", even=True)],
        "YUV444": [Peer("libx265", "yuv444p", X265, "hevc")],
    },
}  #: by name and sampling, the ways of which the smallest counts


@dataclass(frozen=True)
class Kept:
    """A lossless file by a peer: its bytes, how many of them are no packet, seconds."""

    size: int
    overhead: int
    encode_s: float
    decode_s: float


def kept(name: str, clip: Clip) -> Kept:
    """The smallest file of the ways of a codec of LOSSLESS. Raises ValueError where it does not come back."""
    ways = LOSSLESS[name][clip.sampling]
    if not ways[0].takes(clip):
        raise ValueError("it takes even sides only")
    # FFV1 refuses large frames in one slice
    slices = {"slices": "4"} if name == "ffv1" and clip.units > FFV1_SLICE * clip.shape[0] else {}
    start = time.perf_counter()
    (data, overhead), way = min(((way.encode(clip, **slices), way) for way in ways), key=lambda one: len(one[0][0]))
    middle = time.perf_counter()
    frames = way.decode(data)
    end = time.perf_counter()
    if not _same(clip, way.format, frames):
        raise ValueError("a lossless codec returned other samples")
    return Kept(len(data), overhead, middle - start, end - middle)


def _same(clip: Clip, format: str, back: list[Any]) -> bool:
    """Whether decoded frames are those that were encoded."""
    kept = list(frames_of(clip, format))
    return len(kept) == len(back) and all(
        np.array_equal(_array(a, format), _array(b, format)) for a, b in zip(kept, back, strict=True)
    )


def _array(frame: Any, format: str) -> np.ndarray:
    """All samples; of RGB in whatever order, as RGB: so two layouts of the same are the same."""
    if format in _AS_RGB:
        return np.asarray(frame.reformat(format="rgb24").to_ndarray())
    return np.concatenate([_rows(plane).ravel() for plane in frame.planes])


def _rows(plane: Any) -> np.ndarray:
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def _lossless(name: str) -> Points:
    def points(clip: Clip, rates: Sequence[float]) -> Iterator[Point]:
        found = kept(name, clip)
        yield Point(found.size, clip.rgb(), found.encode_s, found.decode_s, "lossless")

    return points


def jxl_size(clip: Clip) -> int:
    """Bytes of JPEG XL files of all frames, effort 7. Raises ValueError for other samples than RGB."""
    import pillow_jxl  # noqa: F401
    from PIL import Image

    if clip.sampling != "RGB":
        raise ValueError(f"it takes RGB, the clip is {clip.sampling}")
    total = 0
    for frame in clip.planes[0]:
        out = io.BytesIO()
        Image.fromarray(frame).save(out, "JXL", lossless=True, effort=7)
        if not np.array_equal(np.asarray(Image.open(io.BytesIO(out.getvalue()))), frame):
            raise ValueError("a lossless codec returned other samples")
        total += len(out.getvalue())
    return total


def _jxl(clip: Clip, rates: Sequence[float]) -> Iterator[Point]:
    start = time.perf_counter()
    size = jxl_size(clip)
    yield Point(size, clip.rgb(), time.perf_counter() - start, 0.0, "lossless, with decoding")


# ---- at a rate


@dataclass(frozen=True)
class Rated:
    """A lossy peer: what it is where groups have so many frames, and by a whole number its constant rate factor."""

    peer: Callable[[int], Peer]
    worst: int
    steps: int = 1  # of the factor, in one of it
    best: int = 1

    @property
    def highest(self) -> int:
        """The best quality; the worst is 0."""
        return (self.worst - self.best) * self.steps

    def crf(self, quality: int) -> str:
        """The constant rate factor of a quality."""
        return f"{self.worst - quality / self.steps:g}"

    def told(self, quality: int) -> str:
        """The same as a setting."""
        return f"crf {self.crf(quality)}"

    def encode(self, rate: Fraction | None, length: int, original: np.ndarray, quality: int) -> bytes:
        """A file of frames uint8 (T, H, W, 3), in groups of ``length``."""
        more = [(0, 0), (0, original.shape[1] % 2), (0, original.shape[2] % 2), (0, 0)]
        even = Clip((np.pad(original, more, "edge"),), "RGB", rate)
        return self.peer(length).encode(even, crf=self.crf(quality))[0]

    def decode(self, shape: tuple[int, ...], data: bytes) -> np.ndarray:
        """uint8 (T, H, W, 3) of ``shape``."""
        return rgb_of(self.peer(GROUP).decode(data))[:, : shape[1], : shape[2]]


def _closed(length: int) -> dict[str, str]:
    return {"g": str(length), "keyint_min": str(length), "sc_threshold": "0"}


def _x264(length: int) -> Peer:
    return Peer("libx264", "yuv420p", {"preset": "veryslow", **_closed(length)}, "h264", without=SEI)


def _x265(length: int) -> Peer:
    told = f"log-level=error:info=0:keyint={length}:min-keyint={length}:open-gop=0:scenecut=0"
    return Peer("libx265", "yuv420p", {"preset": "veryslow", "x265-params": told}, "hevc")


def _svt_av1(length: int) -> Peer:
    told = {"preset": "2", "g": str(length), "svtav1-params": f"keyint={length}:scd=0"}
    return Peer("libsvtav1", "yuv420p", told, "obu")


LOSSY = {"x264": Rated(_x264, 51, 4), "x265": Rated(_x265, 51, 4), "svt-av1": Rated(_svt_av1, 63)}


def _lossy(name: str) -> Points:
    rated = LOSSY[name]

    def points(clip: Clip, rates: Sequence[float]) -> Iterator[Point]:
        original = clip.rgb()
        encode = functools.partial(rated.encode, clip.rate, GROUP)
        decode = functools.partial(rated.decode, original.shape)
        yield from by_quality(encode, decode, 0, rated.highest, rated.told)(original, rates)

    return points


_AV = ("av",)
CODECS = (
    *(Codec(name, True, _lossless(name), _AV, medium="clip") for name in LOSSLESS),
    Codec("jxl-frames", True, _jxl, ("pillow_jxl",), medium="clip"),
    *(Codec(name, False, _lossy(name), _AV, medium="clip") for name in LOSSY),
)
