"""DiffC on to the exact picture: real bits per sample beside the KL of its own passes and beside `ardm`.

    python -m benchmarks.claims.exact_diffc

On 192x192 parts of scikit-image's photographs. "KL" is what the passes would take at ideal channel coding, plus the
remainder: the variational bound at these steps.
"""

from __future__ import annotations

import numpy as np
from skimage import data

import diffcodec
from benchmarks.common import arguments, printed
from diffcodec.codecs.diffc.rate import Sender


def main() -> None:
    args = arguments(__doc__).parse_args()
    with printed(args.save):
        measure()


def measure() -> None:
    spent: list[Sender] = []
    run = Sender.run
    Sender.run = lambda self, progress: (spent.append(self), run(self, progress))[1]  # type: ignore[assignment]
    print("picture     diffc exact   KL + remainder   ardm      bits per sample")
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        image = np.ascontiguousarray(getattr(data, name)()[100:292, 120:312])
        stream = diffcodec.encode(image, "diffc")
        if not np.array_equal(diffcodec.decode(stream), image):
            raise SystemExit(f"{name}: pixels differ")
        remainder = 8 * diffcodec.inspect(stream)["passes"][-1]["bytes"]
        ideal = spent[-1].delivered + remainder
        other = diffcodec.encode(image)
        bits = (8 * len(stream) / image.size, ideal / image.size, 8 * len(other) / image.size)
        print(f"{name:10} {bits[0]:8.3f} {bits[1]:14.3f} {bits[2]:14.3f}", flush=True)


if __name__ == "__main__":
    main()
