"""Draws of a conditional model by the curvature of their steps and the number of calls, on training photographs.

    python -m benchmarks.studies.draws PHOTOS.npz [--cases enlarge4 jpeg10 fill colour] [--curvatures ...] [--calls ...]
        [--first N] [--model MODEL] [--save]

PHOTOS.npz is of `tools.training.prepare_photos`; from its training tiles the middle 128x128 of some are taken, told as
`benchmarks.claims.restoring` tells them. For each case, curvature and number of calls PSNR, SWD and LPIPS-squeeze of
all together, side by side, next to what a user would take else. The default of `refine` is chosen by this.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.claims.restoring import CASES, Case, measured
from benchmarks.common import arguments, centre, save, tiles
from diffcodec.codecs.diffc import refine
from diffcodec.models import registry
from diffcodec.models.condition import Condition, FileGiven, Observed, given
from diffcodec.models.operators import Box, Luma, Mask

SIDE, APART = 128, 53  #: of the tiles, and how many lie between two that are taken
ACROSS = 4  #: pictures of the one that is measured


def together(every: list[np.ndarray]) -> np.ndarray:
    """Pictures uint8 (H, W, 3) side by side in rows, those of a row that is not full left out."""
    rows = [np.concatenate(every[n : n + ACROSS], 1) for n in range(0, len(every) // ACROSS * ACROSS, ACROSS)]
    return np.concatenate(rows)


#: what there is, by task
CONDITIONS: dict[str, Callable[[Case], Condition]] = {
    "enlarge": lambda case: Observed(case.given, Box(case.options["scale"])),
    "colour": lambda case: Observed.of(case.truth, Luma()),
    "fill": lambda case: Observed.of(case.truth, Mask(case.options["known"])),
    "jpeg": lambda case: FileGiven(case.given, case.other[1]),
}


def drawn(case: Case, model: Any, number: int, calls: int, curvature: float) -> np.ndarray:
    condition = CONDITIONS[case.task](case)
    size = case.truth.shape[0], case.truth.shape[1]
    picture = refine.drawn(given(model, [condition]), size, number, calls, curvature=curvature)
    assert isinstance(condition, (Observed, FileGiven))
    return condition.project(picture)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("photos", type=Path)
    usual, choices = ["enlarge4", "jpeg10", "fill", "colour"], [one for one in CASES if one != "extend"]
    parser.add_argument("--cases", nargs="+", choices=choices, default=usual)
    parser.add_argument("--curvatures", nargs="+", type=float, default=[1.0, 1.5, 1.75, 2.0])
    parser.add_argument("--calls", nargs="+", type=int, default=[8])
    parser.add_argument("--first", type=int, default=16)
    parser.add_argument("--model", default=registry.CONDITIONAL)
    args = parser.parse_args()
    large = [one for one in tiles(args.photos, "train")[::APART] if min(one.shape[:2]) >= SIDE][: args.first]
    model, rows = registry.load(args.model, codec="diffc"), list[dict[str, Any]]()
    for label in args.cases:
        every = [CASES[label](np.ascontiguousarray(centre(one, SIDE))) for one in large]
        whole = Case(together([case.truth for case in every]), None, "", {}, ("", np.empty(0)))
        ways: dict[tuple[object, ...], list[np.ndarray]] = {(every[0].other[0], ""): [case.other[1] for case in every]}
        for calls, curvature in product(args.calls, args.curvatures):
            found = [drawn(case, model, number, calls, curvature) for number, case in enumerate(every)]
            ways[(calls, curvature)] = found
        for (calls, curvature), found in ways.items():
            row = {"case": label, "calls": calls, "curvature": curvature} | measured(together(found), whole)
            rows.append(row)
            print(*(f"{v:.4f}" if isinstance(v, float) else v for v in row.values()), flush=True)
    save(args.save, rows)


if __name__ == "__main__":
    main()
