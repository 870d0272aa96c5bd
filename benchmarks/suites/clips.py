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

import math
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import about, arguments, command, kept, note, save, segments, validation_clips
from diffcodec import Clip
from diffcodec.bench import coders, films, sources
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


# ---- without loss


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
    for codec, ways in films.LOSSLESS.items():
        if not ways[clip.sampling][0].takes(clip):
            print(f"{name}: {codec} takes even sides only, left out")
            continue
        found = films.kept(codec, clip)
        yield row(codec, found.size, found.overhead, found.encode_s, found.decode_s)
    if clip.sampling == "RGB":
        start = time.perf_counter()
        size = films.jxl_size(clip)
        yield row("jxl per frame", size, 0, time.perf_counter() - start, math.nan)


# ---- to a rate

MEASURED = ("psnr", "lpips_squeeze", "swd", "flicker")


def measured(decoded: np.ndarray, clip: np.ndarray) -> dict[str, float]:
    """MEASURED of uint8 (T, H, W, 3) both."""
    found = sources.of_clips(decoded, clip)
    return {name: found[name] for name in MEASURED}


def at_bytes(rated: films.Rated, clip: Clip, length: int, most: int) -> bytes | None:
    """The file of the best quality that takes no more; None where even the worst does."""
    made: dict[int, bytes] = {}

    def size(quality: int) -> int:
        if quality not in made:
            made[quality] = rated.encode(clip.rate, length, clip.planes[0], quality)
        return len(made[quality])

    found = coders.highest(size, most, 0, rated.highest, made)
    return None if found is None else made[found]


def lossy(name: str, clip: Clip, args: Any) -> Iterator[dict[str, Any]]:
    """A row for each codec and rate; peers take what ours took."""
    clip = Clip((clip.rgb(),), "RGB", clip.rate)
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
                yield {**head, "codec": f"diffcodec {realism:g}", **rates, **measured(back, original), **times}
        if args.per_frame:
            start = time.perf_counter()
            each = [diffcodec.encode(frame, "diffc", max_bytes=most // len(original)) for frame in original]
            seconds, size = time.perf_counter() - start, sum(map(len, each))
            for realism in args.realism:
                back = np.stack([diffcodec.decode(one, realism=realism, budget=math.inf) for one in each])
                rates = {"bytes": size, "overhead": 0, "bpp": 8 * size / clip.units, "encode_s": seconds}
                yield {**head, "codec": f"per frame {realism:g}", **rates, **measured(back, original)}
        for codec, rated in films.LOSSY.items():
            start = time.perf_counter()
            found = at_bytes(rated, clip, args.group, most)
            if found is None:
                print(f"{name}: {codec} takes more than {most} bytes at its worst, left out")
                continue
            seconds = time.perf_counter() - start
            back = rated.decode(original.shape, found)
            rates = {"bytes": len(found), "overhead": 0, "bpp": 8 * len(found) / clip.units}
            yield {**head, "codec": codec, **rates, **measured(back, original), "encode_s": seconds}


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
