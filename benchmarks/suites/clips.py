"""Clips: lossless and lossy files beside those of FFV1, x264, x265, SVT-AV1 and JPEG XL.

    python -m benchmarks.suites.clips CLIPS.zip FILM.mp4 [--lossy] [--bpp 0.05 0.1] [--save lossless.csv]

CLIPS.zip is one of training clips, its table beside it: only those of benchmarks/validation-clips.txt are measured.
Whatever else `diffcodec.files` reads is a clip as a whole; --frames takes its first frames alone.

Bytes are those of whole files; `overhead` is what of them is no packet of video. x264, x265 and SVT-AV1 write streams
without a container, and without the message that names the encoder. Every lossless file is decoded and compared. Lossy
peers have groups of the same length, and the highest quality that takes no more bytes than ours; their chroma has half
the resolution, as usual. Of all frames: PSNR of the mean squared error, means of LPIPS and of the sliced Wasserstein
distance, and flicker, the root mean square of how much the change from frame to frame is off.
"""

from __future__ import annotations

import io
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from PIL import Image

import diffcodec
from benchmarks.common import about, arguments, command, kept, note, save, segments, validation_clips
from diffcodec import Clip
from diffcodec.bench import metrics
from diffcodec.files import grouped
from diffcodec.files.film import Film

RATES = (0.02, 0.05, 0.1, 0.2, 0.3)
OURS = "diffcodec"  #: the name of our rows begins so


# ---- clips


def clips(sources: Sequence[Path], frames: int | None) -> Iterator[tuple[str, Clip]]:
    """(name, clip) of each validation clip of zips, and of other files."""
    held = validation_clips()
    for source in sources:
        if source.suffix != ".zip":
            with grouped.opened(source) as film:
                assert isinstance(film, Film), f"{source} holds no clip"
                yield source.name, next(film.groups(frames or 10**9, 2**28))
            continue
        for row, every in segments(source, lambda row: row["id"] in held):
            rate = Fraction(row["fps"]).limit_denominator(1001)
            yield row["file"].removesuffix(".webp"), Clip((every[:frames],), "RGB", rate)


def rgb(clip: Clip) -> np.ndarray:
    """uint8 (T, H, W, 3): what is compared where something is lost."""
    if clip.sampling == "RGB":
        return clip.planes[0]
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames_of(clip, FORMATS[clip.sampling])])


# ---- by FFmpeg

FORMATS = {"RGB": "rgb24", "YUV420": "yuv420p", "YUV444": "yuv444p"}


def frames_of(clip: Clip, format: str) -> Iterator[av.VideoFrame]:
    """The frames in a pixel format of FFmpeg's, converted where it is another."""
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


@dataclass(frozen=True)
class Peer:
    """A codec of FFmpeg: its encoder, the pixel format that it is given, its options, its container."""

    encoder: str
    format: str
    options: dict[str, str]
    container: str = "matroska"
    even: bool = False  # whether sides have to be
    without: str = ""  # a filter of packets, which leaves out what a decoder does not read

    def encode(self, clip: Clip, **options: str) -> tuple[bytes, int]:
        """(a file, bytes of it that are no packet)."""
        out, rate, packets = io.BytesIO(), clip.rate or Fraction(25), 0
        with av.open(out, "w", format=self.container) as target:
            stream = target.add_stream(self.encoder, rate=rate, options=self.options | options)
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

    def decode(self, data: bytes) -> list[av.VideoFrame]:
        with av.open(io.BytesIO(data), format=self.container) as source:
            return list(source.decode(video=0))


os.environ.setdefault("SVT_LOG", "1")
SEI = "filter_units=remove_types=6"  #: x264's message of 700 bytes, which tells its settings
X264 = {"preset": "veryslow", "qp": "0", "g": "300"}
#: one slice is smaller than four; of two models of contexts the one that suits
FFV1 = [{"level": "3", "coder": "1", "g": "300", "slices": "1", "slicecrc": "0", "context": one} for one in "01"]
FFV1_SLICE = 2**17  #: pixels of a frame
X265 = {"preset": "veryslow", "x265-params": "log-level=error:lossless=1:info=0"}
LOSSLESS: dict[str, dict[str, list[Peer]]] = {
    "RGB": {
        "ffv1": [Peer("ffv1", "bgr0", options) for options in FFV1],
        "x264rgb": [Peer("libx264rgb", "bgr24", X264, "h264", without=SEI)],
        "x265": [Peer("libx265", "gbrp", X265, "hevc")],
    },
    "YUV420": {
        "ffv1": [Peer("ffv1", "yuv420p", options) for options in FFV1],
        "x264": [Peer("libx264", "yuv420p", X264, "h264", even=True, without=SEI)],
        "x265": [Peer("libx265", "yuv420p", X265, "hevc", even=True)],
    },
    "YUV444": {
        "ffv1": [Peer("ffv1", "yuv444p", options) for options in FFV1],
        "x264": [Peer("libx264", "yuv444p", X264, "h264", without=SEI)],
        "x265": [Peer("libx265", "yuv444p", X265, "hevc")],
    },
}  #: by sampling and name, the ways of which the smallest counts


def _slices(way: Peer, clip: Clip) -> dict[str, str]:
    """FFV1 refuses large frames in one slice."""
    return {"slices": "4"} if way.encoder == "ffv1" and clip.units > FFV1_SLICE * clip.shape[0] else {}


def same(clip: Clip, format: str, back: list[av.VideoFrame]) -> bool:
    """Whether decoded frames are those that were encoded."""
    kept = frames_of(clip, format)
    return all(np.array_equal(_array(a, format), _array(b, format)) for a, b in zip(kept, back, strict=True))


def _array(frame: av.VideoFrame, format: str) -> np.ndarray:
    """All samples; of RGB in whatever order, as RGB: so two layouts of the same are the same."""
    if format in ("bgr0", "bgr24", "gbrp"):
        return np.asarray(frame.reformat(format="rgb24").to_ndarray())
    return np.concatenate([_rows(plane).ravel() for plane in frame.planes])


def _rows(plane: av.video.plane.VideoPlane) -> np.ndarray:
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


# ---- without loss


def jxl(clip: Clip) -> int:
    """Bytes of JPEG XL files of all frames, effort 7."""
    import pillow_jxl  # noqa: F401

    total = 0
    for frame in clip.planes[0]:
        out = io.BytesIO()
        Image.fromarray(frame).save(out, "JXL", lossless=True, effort=7)
        total += len(out.getvalue())
    return total


def lossless(name: str, clip: Clip, args: Any) -> Iterator[dict[str, Any]]:
    """A row for each codec."""
    samples = sum(plane.size for plane in clip.planes)
    head = {"clip": name, "sampling": clip.sampling, "frames": clip.shape[0], "pixels": clip.units}

    def row(codec: str, size: int, overhead: int, seconds: float, back: float) -> dict[str, Any]:
        rates = {"bytes": size, "overhead": overhead, "bpd": 8 * size / samples}
        return {**head, "codec": codec, **rates, "encode_s": seconds, "decode_s": back}

    start = time.perf_counter()
    data = diffcodec.encode(clip, model=args.model, group=args.group)
    middle = time.perf_counter()
    back = diffcodec.decode_signal(data, medium="clip", model=args.model)
    end = time.perf_counter()
    assert back.equals(clip), f"{name} did not come back"
    yield row(OURS, len(data), 0, middle - start, end - middle)
    if args.per_frame and clip.sampling == "RGB":
        start = time.perf_counter()
        size = sum(len(diffcodec.encode(frame, "ardm")) for frame in clip.planes[0])
        yield row("ardm per frame", size, 0, time.perf_counter() - start, math.nan)
    for codec, ways in LOSSLESS[clip.sampling].items():
        if ways[0].even and (clip.shape[1] % 2 or clip.shape[2] % 2):
            print(f"{name}: {codec} takes even sides only, left out")
            continue
        start = time.perf_counter()
        made = [(*way.encode(clip, **_slices(way, clip)), way) for way in ways]
        data, overhead, peer = min(made, key=lambda one: len(one[0]))
        middle = time.perf_counter()
        frames = peer.decode(data)
        end = time.perf_counter()
        assert same(clip, peer.format, frames), f"{name} by {codec} did not come back"
        yield row(codec, len(data), overhead, middle - start, end - middle)
    if clip.sampling == "RGB":
        start = time.perf_counter()
        size = jxl(clip)
        yield row("jxl per frame", size, 0, time.perf_counter() - start, math.nan)


# ---- to a rate


def _closed(length: int) -> dict[str, str]:
    return {"g": str(length), "keyint_min": str(length), "sc_threshold": "0"}


def lossy_peers(length: int) -> dict[str, tuple[Peer, Callable[[float], dict[str, str]], tuple[float, float]]]:
    """By name: a peer, what its options are at a quality, and the range of qualities, the best first."""
    x265 = f"log-level=error:info=0:keyint={length}:min-keyint={length}:open-gop=0:scenecut=0"
    svt = f"keyint={length}:scd=0"
    return {
        "x264": (
            Peer("libx264", "yuv420p", {"preset": "veryslow", **_closed(length)}, "h264", without=SEI),
            lambda q: {"crf": f"{q:.2f}"},
            (1, 51),
        ),
        "x265": (
            Peer("libx265", "yuv420p", {"preset": "veryslow", "x265-params": x265}, "hevc"),
            lambda q: {"crf": f"{q:.2f}"},
            (1, 51),
        ),
        "svt-av1": (
            Peer("libsvtav1", "yuv420p", {"preset": "2", "g": str(length), "svtav1-params": svt}, "obu"),
            lambda q: {"crf": str(round(q))},
            (1, 63),
        ),
    }


def at_bytes(
    peer: Peer, options: Callable[[float], dict[str, str]], span: tuple[float, float], clip: Clip, most: int
) -> tuple[bytes, int] | None:
    """The file of the best quality that takes no more; None where even the worst does."""
    best, worst = span
    data, overhead = peer.encode(clip, **options(worst))
    if len(data) > most:
        return None
    found = data, overhead
    for _ in range(7):
        middle = (best + worst) / 2
        data, overhead = peer.encode(clip, **options(middle))
        if len(data) <= most:
            worst, found = middle, (data, overhead)
        else:
            best = middle
    return found


def distances(decoded: np.ndarray, clip: np.ndarray) -> dict[str, float]:
    """Of uint8 (T, H, W, 3) both."""
    off = decoded.astype(np.float64) - clip
    error = float(np.square(off).mean())
    measured = [metrics.measure(a, b) for a, b in zip(decoded, clip, strict=True)]
    return {
        "psnr": 10 * math.log10(65025 / error) if error else math.inf,
        "lpips_squeeze": float(np.mean([one["lpips_squeeze"] for one in measured])),
        "swd": float(np.mean([one["swd"] for one in measured])),
        "flicker": float(np.sqrt(np.square(np.diff(off, axis=0)).mean())) if len(off) > 1 else 0.0,
    }


def lossy(name: str, clip: Clip, args: Any) -> Iterator[dict[str, Any]]:
    """A row for each codec and rate; peers take what ours took."""
    clip = Clip((rgb(clip),), "RGB", clip.rate)
    if clip.shape[1] % 2 or clip.shape[2] % 2:
        height, width = (side // 2 * 2 for side in clip.shape[1:])
        clip = Clip((clip.planes[0][:, :height, :width],), "RGB", clip.rate)
    original = clip.planes[0]
    for bpp in args.bpp:
        head = {"clip": name, "frames": clip.shape[0], "pixels": clip.units, "asked": bpp}
        start = time.perf_counter()
        most = int(bpp * clip.units / 8)
        if not args.peers_only:
            data = diffcodec.encode(clip, "diffc", args.model, bpp=bpp, group=args.group)
            seconds, most = time.perf_counter() - start, len(data)
            for realism in args.realism:
                start = time.perf_counter()
                back = diffcodec.decode(data, model=args.model, realism=realism, budget=math.inf)
                rates = {"bytes": most, "overhead": 0, "bpp": 8 * most / clip.units}
                times = {"encode_s": seconds, "decode_s": time.perf_counter() - start}
                yield {**head, "codec": f"diffcodec {realism:g}", **rates, **distances(back, original), **times}
        if args.per_frame:
            start = time.perf_counter()
            each = [diffcodec.encode(frame, "diffc", max_bytes=most // len(original)) for frame in original]
            seconds, size = time.perf_counter() - start, sum(map(len, each))
            for realism in args.realism:
                back = np.stack([diffcodec.decode(one, realism=realism, budget=math.inf) for one in each])
                rates = {"bytes": size, "overhead": 0, "bpp": 8 * size / clip.units, "encode_s": seconds}
                yield {**head, "codec": f"per frame {realism:g}", **rates, **distances(back, original)}
        for codec, (peer, options, span) in lossy_peers(args.group).items():
            start = time.perf_counter()
            found = at_bytes(peer, options, span, clip, most)
            if found is None:
                print(f"{name}: {codec} takes more than {most} bytes at its worst, left out")
                continue
            data, overhead = found
            seconds = time.perf_counter() - start
            back = np.stack([frame.to_ndarray(format="rgb24") for frame in peer.decode(data)])
            rates = {"bytes": len(data), "overhead": overhead, "bpp": 8 * len(data) / clip.units}
            yield {**head, "codec": codec, **rates, **distances(back, original), "encode_s": seconds}


# ---- the table


def told(rows: list[dict[str, Any]], key: str) -> None:
    """All bytes of each codec beside ours, and means of what is measured, of the clips that both have."""
    ours = {(row["clip"], row.get("asked")): row["bytes"] for row in rows if row["codec"].startswith(OURS)}
    for codec in dict.fromkeys(row["codec"] for row in rows):
        own = [row for row in rows if row["codec"] == codec]
        both = [row for row in own if (row["clip"], row.get("asked")) in ours]
        total = sum(row["bytes"] for row in both)
        share = sum(ours[row["clip"], row.get("asked")] for row in both) / total if total else math.nan
        means = ", ".join(
            f"{name} {np.mean([row[name] for row in own]):.4f}"
            for name in (key, "psnr", "lpips_squeeze", "swd", "flicker")
            if name in own[0]
        )
        overhead = sum(row["overhead"] for row in own) / max(1, sum(row["bytes"] for row in own))
        print(f"{codec:18} {len(own):4} rows, {means}, ours / its bytes {share:.4f}, overhead {100 * overhead:.2f} %")


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("sources", type=Path, nargs="+")
    ap.add_argument("--lossy", action="store_true")
    ap.add_argument("--bpp", type=float, nargs="+", default=list(RATES))
    ap.add_argument("--realism", type=float, nargs="+", default=[0.0, 0.75])
    ap.add_argument("--model")
    ap.add_argument("--group", type=int, default=16)
    ap.add_argument("--frames", type=int, help="of each clip only the first")
    ap.add_argument("--limit", type=int, help="only the first clips")
    ap.add_argument("--per-frame", action="store_true", help="our picture codec beside them, frame by frame")
    ap.add_argument("--peers-only", action="store_true", help="lossy: bytes that are asked for, none of ours")
    args = ap.parse_args()
    rows: list[dict[str, Any]] = []
    for number, (name, clip) in enumerate(clips(args.sources, args.frames)):
        if args.limit is not None and number >= args.limit:
            break
        for row in (lossy if args.lossy else lossless)(name, clip, args):
            rows.append(row)
            figures = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if isinstance(value, float))
            print(f"{name}: {row['codec']}: {row['bytes']} bytes, {figures}", flush=True)
    told(rows, "bpp" if args.lossy else "bpd")
    save(args.save, rows)
    if args.save is not None and not args.lossy:
        picture = kept(args.save).with_suffix(".png")
        draw(rows, picture)
        note(picture.parent, [picture.name], about(command()))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Bits a sample without loss, a row of points for each clip, from the smallest to the largest of ours."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    own = sorted((row for row in rows if row["codec"] == OURS), key=lambda row: float(row["bpd"]))
    place = {row["clip"]: number for number, row in enumerate(own)}
    figure, axis = plt.subplots(figsize=(7.2, 0.3 * len(own) + 1.3))
    for codec in dict.fromkeys(row["codec"] for row in rows):
        points = [(float(row["bpd"]), place[row["clip"]]) for row in rows if row["codec"] == codec]
        axis.scatter(*zip(*points, strict=True), s=46 if codec == OURS else 22, label=codec, zorder=2)
    axis.set_yticks(range(len(own)), list(place), fontsize=8)
    axis.set_xlim(left=0)
    axis.set_xlabel("bits a sample")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
