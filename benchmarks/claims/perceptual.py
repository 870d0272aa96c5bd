"""The default reconstruction of DiffC against AVIF, JPEG XL and WebP at equal bytes, by LPIPS, SWD, MS-SSIM and PSNR.

    python -m benchmarks.claims.perceptual KODAK_DIR [--every N] [--side S] [--realism R ...] [--save]

For every picture and rate: of each codec the file of the highest quality within 1.02 times the rate, and a DiffC stream
that takes no more bytes; the same one for files that differ by less than 3 %, as time is short. With --side only the
middle of every picture. A codec without a file at a rate has no row there (JPEG XL ends at 0.2 to 0.4 bpp). Rows are
kept picture by picture. Needs the extra "bench", and the weights of LPIPS-squeeze where DIFFCODEC_LPIPS says
(`diffcodec.bench.squeeze`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import arguments, centre, pictures, save
from diffcodec.bench import codecs, metrics
from diffcodec.bench.ours import Remembering
from diffcodec.codecs.reconstruction import Reconstruction
from diffcodec.models import registry

RATES = (0.1, 0.25, 0.5)
OTHERS = ("avif", "jxl", "webp")
MEASURES = ("lpips_squeeze", "swd", "ms_ssim", "psnr")


def compared(name: str, original: np.ndarray, realisms: Sequence[float | None]) -> Iterator[dict[str, Any]]:
    """A row for each file of another codec and each realism, None for the default: both codecs' measures."""
    files = [
        (codec, point, point.target)
        for codec in OTHERS
        for point in codecs.BY_NAME[codec].points(original, RATES)
        if point.target
    ]
    room = shared([point.size for _, point, _ in files])
    looks = {size: _looks(original, size, realisms) for size in set(room.values())}
    for codec, point, target in files:
        taken, images = looks[room[point.size]]
        row: dict[str, Any] = {"image": name, "codec": codec, "target_bpp": target, "bytes": point.size}
        row |= {"ours_bytes": taken} | _measures("", point.image, original)
        for realism, image in images.items():
            yield row | {"realism": realism} | _measures("ours_", image, original)


def shared(sizes: Sequence[int], apart: float = 1.03) -> dict[int, int]:
    """Every size and the smallest one that it is less than ``apart`` times of, from the smallest on."""
    out: dict[int, int] = {}
    least = 0
    for size in sorted(sizes):
        least = least if size < apart * least else size
        out[size] = least
    return out


def _looks(original: np.ndarray, size: int, realisms: Sequence[float | None]) -> tuple[int, dict[float, np.ndarray]]:
    """The bytes of a stream of at most ``size``, and what it is decoded to by realism."""
    network = Remembering(registry.load(None, codec="diffc"))
    data = diffcodec.encode(original, "diffc", network.model, max_bytes=size)
    shown = {realism: np.asarray(diffcodec.decode(data, realism=realism, model=network.model)) for realism in realisms}
    return len(data), {Reconstruction.of(realism=realism).realism: image for realism, image in shown.items()}


def _measures(prefix: str, image: np.ndarray, original: np.ndarray) -> dict[str, float]:
    found = metrics.measure(image, original)
    return {f"{prefix}{name}": found[name] for name in MEASURES}


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("folder", type=Path)
    ap.add_argument("--every", type=int, default=1, help="only the first picture of so many")
    ap.add_argument("--side", type=int, help="only the middle of every picture, at most so wide and high")
    ap.add_argument("--realism", type=float, nargs="+", help="in place of the default")
    args = ap.parse_args()
    for reason in (metrics.missing("lpips_squeeze"), *(codecs.BY_NAME[codec].missing() for codec in OTHERS)):
        if reason:
            ap.error(reason)
    rows: list[dict[str, Any]] = []
    for name, picture in list(pictures(args.folder))[:: args.every]:
        original = np.asarray(picture)
        original = np.ascontiguousarray(centre(original, args.side)) if args.side else original
        rows += compared(name, original, args.realism or [None])
        save(args.save, rows)
        print(name, flush=True)
    tell(rows)


def tell(rows: Sequence[dict[str, Any]]) -> None:
    """Means, and of LPIPS also how many times the other's ours is."""
    print("codec bpp realism pictures |", *(f"{name} of both |" for name in MEASURES), "LPIPS, times")
    keys = [dict.fromkeys(row[key] for row in rows) for key in ("codec", "target_bpp", "realism")]
    for codec, rate, realism in product(*keys):
        some = [r for r in rows if (r["codec"], r["target_bpp"], r["realism"]) == (codec, rate, realism)]
        if some:
            means = {key: statistics.fmean(r[key] for r in some) for key in MEASURES}
            ours = {key: statistics.fmean(r[f"ours_{key}"] for r in some) for key in MEASURES}
            cells = (f"{means[key]:.4f} {ours[key]:.4f} |" for key in MEASURES)
            times = ours["lpips_squeeze"] / means["lpips_squeeze"]
            print(f"{codec} {rate:g} {realism:g} {len(some)} |", *cells, f"{times:.3f}")


if __name__ == "__main__":
    main()
