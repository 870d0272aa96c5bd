"""The named icons: pictures of 64x64 on white in two styles, and what each shows, by the list beside them.

    python -m tools.training.icons_data ICONS.zip HELD.npz

writes those that are held out, for `benchmarks.claims.captions`: pictures, names, styles and kinds.

Held out are the names that the list says (``names``: never seen in either style), and STYLED drawings in the style
HELD whose name is seen in the other (``drawings``).
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HELD, STYLED = "fluent3d", 200
STYLES = {"fluent3d": "3D render", "noto128": "flat drawing"}
ASYMMETRIC = ("left", "right", "clock", "east", "west")  #: in names of what a mirror would make something else of
LETTERED = {"Flags", "Symbols"}  #: categories of such


@dataclass(frozen=True)
class Icon:
    """picture uint8 (64, 64, 3). names: the one of the list, and shorter ones. style: a folder's."""

    picture: np.ndarray
    name: str
    short: str
    style: str
    category: str

    @property
    def mirrors(self) -> bool:
        """Whether its mirror image shows the same."""
        told = f"{self.name} {self.short}".split()
        return self.category not in LETTERED and not any(word in ASYMMETRIC for word in told)


def icons(source: Path) -> dict[str, list[Icon]]:
    """Of the archive, by "train", "drawings" and "names"."""
    with zipfile.ZipFile(source) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("names.csv"), "utf-8")))
        trained: dict[str, set[str]] = {}
        for row in rows:
            if row["split"] == "train":
                trained.setdefault(row["name"], set()).add(row["file"].split("/")[0])
        both = [row["file"] for row in rows if len(trained.get(row["name"], ())) == len(STYLES)]
        drawings = sorted((one for one in both if one.startswith(HELD)), key=lambda one: zlib.crc32(one.encode()))
        held = set(drawings[:STYLED])
        out: dict[str, list[Icon]] = {"train": [], "drawings": [], "names": []}
        for row in rows:
            file, style = row["file"], row["file"].split("/")[0]
            picture = np.asarray(Image.open(io.BytesIO(archive.read(file))).convert("RGB"))
            icon = Icon(picture, row["name"], row["short_names"], style, row["category"])
            part = "names" if row["split"] == "val" else "drawings" if file in held else "train"
            out[part].append(icon)
    return out


class Draws:
    """Batches of pictures and of texts, in training: a little moved, enlarged or mirrored, told in several ways."""

    def __init__(self, every: list[Icon], seed: int, silent: float):
        """``silent``: the share that is told nothing (guidance needs both)."""
        self.every, self.rng, self.silent = every, np.random.default_rng(seed), silent
        self._order: list[int] = []

    def __call__(self, batch: int) -> list[tuple[np.ndarray, str]]:
        """(uint8 (64, 64, 3), text), every icon once before any comes again."""
        out = []
        for _ in range(batch):
            if not self._order:
                self._order = self.rng.permutation(len(self.every)).tolist()
            icon = self.every[self._order.pop()]
            out.append((self._moved(icon), self.told(icon)))
        return out

    def told(self, icon: Icon) -> str:
        """What is told of it: nothing, its name, its style too, or its short names."""
        draw = self.rng.random()
        if draw < self.silent:
            return ""
        if self.rng.random() < 0.2:
            return f"{icon.name}, {STYLES[icon.style]}"
        return f"{icon.name}, {icon.short}" if icon.short != icon.name and self.rng.random() < 0.2 else icon.name

    def _moved(self, icon: Icon) -> np.ndarray:
        picture, rng = icon.picture, self.rng
        if icon.mirrors and rng.random() < 0.5:
            picture = picture[:, ::-1]
        if rng.random() < 0.5:
            return np.ascontiguousarray(picture)
        side = len(picture)
        wide = np.pad(picture, ((4, 4), (4, 4), (0, 0)), constant_values=255)
        size = int(rng.integers(side - 4, side + 7))
        y, x = rng.integers(0, len(wide) - size + 1, 2)
        part = Image.fromarray(wide[y : y + size, x : x + size])
        return np.asarray(part.resize((side, side), Image.Resampling.BICUBIC))


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("icons", type=Path)
    ap.add_argument("out", type=Path)
    args = ap.parse_args()
    found = icons(args.icons)
    held = [(kind, icon) for kind in ("drawings", "names") for icon in found[kind]]
    pictures = np.stack([icon.picture for _, icon in held])
    told = {"names": [icon.name for _, icon in held], "styles": [STYLES[icon.style] for _, icon in held]}
    np.savez_compressed(args.out, pictures=pictures, kinds=[kind for kind, _ in held], **told)


if __name__ == "__main__":
    main()
