"""Tracks as a picture: the way of each agent, a dot where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from ...media.tracks import named_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Samples = NDArray[np.generic]
    Places = np.ma.MaskedArray  # float64 (T, A, 2), masked where nobody is

SIDE = 960  #: pixels of the longer side
_FINER = 2  # times as large it is drawn
_MARGIN, _LINE, _DOT = 24, 3, 5
_POINTS = 2**17  # at most: of more every so many frames are drawn
_FURTHEST = 16  # frames without an agent, over which its way is drawn on
_PAPER, _TURN = (252, 252, 250), 0.618034  # of hues, from an agent to the next


def places_of(samples: Samples, columns: Sequence[dict[str, str]]) -> Places | None:
    """float64 (T, A, 2), by the grids of columns, of tracks' samples int64 (T, A, F), masked where there are none.

    By the columns that are named so, or the first two that vary; None where no two do. columns: as `inspect` tells.
    """
    gaps = np.ma.getmaskarray(samples)
    values = np.ma.MaskedArray(np.ma.getdata(samples).astype(np.float64), gaps)
    if not values.count():
        return None
    names = [column["name"] for column in columns]
    vary = [f for f in range(len(names)) if values[..., f].count() and np.ma.ptp(values[..., f]) > 0]
    places = named_places(names) if any(map(str.strip, names)) else (vary[0], vary[1]) if len(vary) > 1 else None
    if places is None or not values[..., list(places)].count():
        return None
    steps, offsets = (np.array([float(columns[f][key]) for f in places]) for key in ("step", "offset"))
    found: Places = values[..., list(places)] * steps + offsets
    return found


def bounds(places: Places) -> Floats:
    """float64 (2, 2): the least x and y, and the greatest."""
    every = places.reshape(-1, 2)
    return np.stack([np.ma.getdata(end(every, axis=0)) for end in (np.ma.min, np.ma.max)])


def drawn(places: Places, within: Floats) -> Image.Image:
    """RGB, y upwards, of what lies ``within`` bounds float64 (2, 2), places float64 (T, A, 2)."""
    least, sides = within[0], within[1] - within[0]
    scale = (SIDE * _FINER - 2 * _MARGIN) / max(sides.max(), 1e-9)
    wide, tall = (max(SIDE, round(side * scale) + 2 * _MARGIN) for side in sides.tolist())
    image = Image.new("RGB", (wide, tall), _PAPER)
    draw = ImageDraw.Draw(image)
    every = max(1, -(-places[..., 0].size // _POINTS))
    points = np.ma.getdata((places - least) * scale)[::every]
    points = np.stack([_MARGIN + points[..., 0], tall - _MARGIN - points[..., 1]], 2)
    seen = ~np.ma.getmaskarray(places)[::every, :, 0]
    for a in range(points.shape[1]):
        colour = tuple(round(255 * part) for part in hsv_to_rgb(a * _TURN % 1, 0.75, 0.8))
        frames = np.flatnonzero(seen[:, a])
        for part in np.split(frames, np.flatnonzero(np.diff(frames) * every > max(every, _FURTHEST)) + 1):
            way = [(float(x), float(y)) for x, y in points[part, a]]
            if len(way) > 1:
                draw.line(way, colour, _LINE, "curve")
        for x, y in points[frames[-1:], a].tolist():
            draw.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), colour)
    return image.reduce(_FINER)
