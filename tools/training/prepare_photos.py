"""Cut photographs (zips or folders) into tiles of at most 320 pixels a side and pack them for training.

    python -m tools.training.prepare_photos OUT.npz PHOTOS.zip [PHOTOS2.zip ...]

The validation split is by name: every file whose CRC-32 of the name is 0 modulo 20.
"""

from __future__ import annotations

import argparse
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

TILE = 320


def photographs(sources: list[Path]) -> Iterator[tuple[str, np.ndarray]]:
    for source in sources:
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.suffix.lower() in {".png", ".webp", ".jpg", ".jpeg"}:
                    yield path.name, np.asarray(Image.open(path).convert("RGB"))
        else:
            with zipfile.ZipFile(source) as z:
                for name in sorted(z.namelist()):
                    if not name.endswith("/"):
                        yield Path(name).name, np.asarray(Image.open(io.BytesIO(z.read(name))).convert("RGB"))


def tiles(image: np.ndarray) -> Iterator[np.ndarray]:
    H, W = image.shape[:2]
    ny, nx = -(-H // TILE), -(-W // TILE)
    for i in range(ny):
        for j in range(nx):
            yield image[H * i // ny : H * (i + 1) // ny, W * j // nx : W * (j + 1) // nx]


def is_validation(name: str) -> bool:
    return zlib.crc32(name.encode()) % 20 == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("sources", type=Path, nargs="+")
    args = parser.parse_args()
    packed: dict[str, list[np.ndarray]] = {"train": [], "val": []}
    for name, image in photographs(args.sources):
        packed["val" if is_validation(name) else "train"] += list(tiles(image))
    arrays = {}
    for split, items in packed.items():
        arrays[f"{split}_shapes"] = np.array([t.shape[:2] for t in items], np.int32)
        arrays[f"{split}_pixels"] = np.concatenate([t.reshape(-1) for t in items])
        print(f"{split}: {len(items)} tiles, {arrays[f'{split}_pixels'].size / 3e6:.1f} megapixels")
    np.savez(args.out, **arrays)


if __name__ == "__main__":
    main()
