"""Is the default ever slower than one thread? Medians of both ways in turn, in one process, by size of the picture.

    python -m benchmarks.cost.threads [--save] [--repeats N] [--sides 16 32 64 128 256]

Wall time and the process's own processor time; ratios above 1 say that the default is slower. DiffC runs on the exact
model of white pictures, so that what is measured is the codec and not a network. On a machine that others use, wall
time tells little: the processor's time says what handing work over costs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

import diffcodec
from benchmarks.common import arguments, save
from diffcodec.models.gaussian import WhitePictures


def scene(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    grey = 128 + 60 * np.sin(x / 37) * np.cos(y / 23) + np.random.default_rng(0).normal(0, 3, (side, side))
    return np.clip(np.stack([grey, grey + 9, grey - 9], -1), 0, 255).astype(np.uint8)


def drawing(side: int) -> np.ndarray:
    """Few colours: the context coder's."""
    y, x = np.mgrid[:side, :side]
    return (np.stack([(x // 9) ^ (y // 7), x // 11, y // 13], -1) * 50 % 256).astype(np.uint8)


def works(side: int) -> dict[str, Callable[[int | None], object]]:
    model, photo, drawn = WhitePictures(), scene(side), drawing(side)
    size = 200 + side * side // 4
    by_network, by_context = diffcodec.encode(photo), diffcodec.encode(drawn)
    lossy = diffcodec.encode(photo, "diffc", model, max_bytes=size)
    return {
        "lattice encode": lambda threads: diffcodec.encode(photo, threads=threads),
        "lattice decode": lambda threads: diffcodec.decode(by_network, threads=threads),
        "context encode": lambda threads: diffcodec.encode(drawn, threads=threads),
        "context decode": lambda threads: diffcodec.decode(by_context, threads=threads),
        "diffc encode": lambda threads: diffcodec.encode(photo, "diffc", model, max_bytes=size, threads=threads),
        "diffc decode": lambda threads: diffcodec.decode(lossy, model=model, threads=threads),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    options = parser.parse_args()
    rows = []
    print(
        "| what | side | ms, one thread | ms, default | ratio | processor ms, one | default | ratio |\n"
        + "|---" * 8
        + "|"
    )
    for side in options.sides:
        for name, work in works(side).items():
            taken: dict[int | None, list[tuple[float, float]]] = {1: [], None: []}
            for number in range(options.repeats + 1):
                for threads in taken if number % 2 else reversed(taken):
                    wall, own = time.perf_counter(), time.process_time()
                    work(threads)
                    if number:  # the first one compiles and loads
                        taken[threads].append((time.perf_counter() - wall, time.process_time() - own))
            (one, one_own), (default, default_own) = (
                [1000 * statistics.median(values) for values in zip(*taken[threads], strict=True)] for threads in taken
            )
            numbers = (one, default, default / one, one_own, default_own, default_own / one_own)
            rows.append((name, side, *(f"{number:.2f}" for number in numbers)))
            print("|", " | ".join(map(str, rows[-1])), "|", flush=True)
    names = ("one_ms", "default_ms", "ratio", "one_processor_ms", "default_processor_ms", "processor_ratio")
    save(options.save, [dict(zip(("what", "side", *names), row, strict=True)) for row in rows])


if __name__ == "__main__":
    main()
