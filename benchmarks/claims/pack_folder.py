"""A folder of mixed photographs: `pack` beside single files, in bytes and seconds, neither larger nor slower.

    python -m benchmarks.claims.pack_folder [FOLDER] [--save] [--count 12] [--crop 320] [--jobs 1] [--repeats 1]

FOLDER holds pictures; without it they are scikit-image's, in colour and in grey, and parts of these. Both commands
leave all at its default and take as many processes, of their own, so that loading counts; kernels are compiled before.
What `pack` may take more is what its directory holds: names, times, permissions, digests.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import diffcodec
from benchmarks.common import arguments, centre, photographs, save
from benchmarks.cost.many_files import seconds, size


def mixed(folder: Path | None, count: int, crop: int | None) -> list[np.ndarray]:
    """Photographs uint8 (H, W) or (H, W, 3), at most ``crop`` a side."""
    if folder is None:
        found = [picture for _, picture in photographs()]
        found += [np.ascontiguousarray(picture[::2, ::2]) for picture in found]
    else:
        found = [np.asarray(Image.open(path)) for path in sorted(folder.iterdir()) if path.is_file()]
    return [np.ascontiguousarray(centre(one, crop)) if crop else one for one in found[:count]]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--crop", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    took: dict[str, list[tuple[float, float]]] = {"encode": [], "pack": []}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "in").mkdir()
        pictures = mixed(options.folder, options.count, options.crop)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(root / "in" / f"photo-{number:02}.png")
        (root / "first").mkdir()
        for what, picture in {"colour": pictures[0], "grey": pictures[0][..., 0]}.items():
            Image.fromarray(np.ascontiguousarray(picture[:64, :64])).save(root / "first" / f"{what}.png")
        seconds("encode", "-r", root / "first", "--out-dir", root / "compiled")
        for number in range(options.repeats):
            coded, packed = root / f"coded{number}", root / f"{number}.dfca"
            took["encode"].append(seconds("encode", "-r", root / "in", "--out-dir", coded, "-j", options.jobs))
            took["pack"].append(seconds("pack", root / "in", packed, "-j", options.jobs))
        back = diffcodec.decode_archive(str(packed))
        assert all((one == other).all() for one, other in zip(back, pictures, strict=True))
        found = diffcodec.inspect_archive(str(packed))
        row: dict[str, object] = {"pictures": len(pictures), "megapixels": sum(p[..., 0].size if p.ndim == 3 else p.size
                                  for p in pictures) / 1e6, "jobs": options.jobs, "model": found["model"]}  # fmt: skip
        row |= {"groups": len(found["groups"]), "png_bytes": size(root / "in")}
        row |= {"files_bytes": size(coded), "archive_bytes": packed.stat().st_size}
    for what, times in took.items():
        wall, own = (statistics.median(column) for column in zip(*times, strict=True))
        row |= {f"{what}_seconds": f"{wall:.1f}", f"{what}_processor_seconds": f"{own:.1f}"}
    print(" ".join(f"{key} {value}" for key, value in row.items()))
    save(options.save, [row])


if __name__ == "__main__":
    main()
