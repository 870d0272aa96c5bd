"""Pack CIFAR-10 pictures for training, with a validation split that stays what it was.

    python -m tools.training.prepare_cifar PART.npz MOSAICS.zip OUT.npz
    python -m tools.training.prepare_cifar PACKED.zip OUT.npz         a file of `tools.device.prepare`

PART.npz has `train` uint8 (N, 32, 32, 3), every tenth of which is held out (`cifar_data.py`), and `test`;
MOSAICS.zip has further training pictures as mosaics of 25x40 (00.webp, ...). Pictures of the second that are in the
held-out split, in `test` or in the first are left out. PACKED.zip has mosaics train-*.webp and the held-out split as
val-N.webp, N of whose pictures count.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from tools.training.cifar_data import SIDE, load_cifar

ROWS, COLUMNS = 25, 40  #: pictures of a mosaic


def mosaics(source: Path, prefix: str = "") -> np.ndarray:
    """uint8 (N, 32, 32, 3) of all mosaics whose names begin so."""
    parts = []
    with zipfile.ZipFile(source) as z:
        for name in sorted(n for n in z.namelist() if n.startswith(prefix) and n.endswith(".webp")):
            a = np.asarray(Image.open(io.BytesIO(z.read(name))).convert("RGB"))
            cut = a.reshape(ROWS, SIDE, COLUMNS, SIDE, 3).transpose(0, 2, 1, 3, 4)
            parts.append(cut.reshape(-1, SIDE, SIDE, 3))
    return np.concatenate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    if len(args.sources) == 1:
        (packed,) = args.sources
        with zipfile.ZipFile(packed) as z:
            count = next(int(Path(n).stem.split("-")[1]) for n in z.namelist() if n.startswith("val-"))
        first, val, test = np.empty((0, SIDE, SIDE, 3), np.uint8), mosaics(packed, "val-")[:count], None
        more = mosaics(packed, "train-")
    else:
        part, source = args.sources
        first, val, test = (load_cifar(part, split) for split in ("train", "val", "test"))
        more = mosaics(source)
    seen = {image.tobytes() for images in (first, val, test) if images is not None for image in images}
    fresh = np.array([image.tobytes() not in seen for image in more])
    train = np.concatenate([first, more[fresh]])
    print(f"{len(first)} + {int(fresh.sum())} of {len(more)} training pictures, {len(val)} held out")
    np.savez(args.out, train=train, val=val, **({} if test is None else {"test": test}))


if __name__ == "__main__":
    main()
