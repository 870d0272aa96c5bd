"""Lossless rate of real files on a folder of pictures: bits per dimension, the model's own entropy, seconds.

    python -m benchmarks.suites.lossless DIR|PHOTOS.npz [--against png webp jxl] [--save kodak.csv]

Every file is decoded and compared. Times are per picture, the model loaded and the kernels compiled before.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import arguments, classical, pictures, save
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.ardm import lattice
from diffcodec.entropy import logistic
from diffcodec.entropy.stack import AnsStack
from diffcodec.models import registry

FRAME = 70  #: bytes around the passes: signature, header, end; and at most 8 around each pass


class MeteredStack(AnsStack):
    """Adds up the ideal code length of what is pushed, and the part that cost nothing.

    Symbols of level 0 pushed onto an empty stack leave it empty, so the black border of a picture is free. Counted
    among the entropy it would hide what the coder adds.
    """

    ideal = free = 0.0  #: bits, of all stacks since `reset`

    @classmethod
    def reset(cls) -> None:
        cls.ideal = cls.free = 0.0

    def push_intervals(self, starts: np.ndarray, freqs: np.ndarray) -> None:
        MeteredStack.ideal += logistic.bits(freqs)
        if not self.size and not int(self.state):
            kept = np.flatnonzero(starts)  # the last of these is the first symbol to count: pushing is in reverse
            MeteredStack.free += logistic.bits(freqs[kept[-1] + 1 if len(kept) else 0 :])
        super().push_intervals(starts, freqs)


def by_network(pixels: np.ndarray, model: str | None, tables: int | None, learned: bool | None) -> float:
    """Bits per sample of a file by the network with these tables of statistics, None for those of its choice."""
    ways: dict[str, Any] = {"method": ardm.LATTICE, "tables": tables, "learned": learned}
    params, passes = ardm.encode(pixels, pixels[..., :0], registry.load(model), **ways)
    return 8 * (sum(map(len, passes)) + len(params) + FRAME + 8 * len(passes)) / pixels.size


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("folder", type=Path)
    ap.add_argument("--model")
    ap.add_argument("--against", nargs="*", default=[], choices=["png", "webp", "jxl"])
    ap.add_argument("--limit", type=int, default=None)
    args = ap.parse_args()
    shots = list(pictures(args.folder))[: args.limit]
    warm = np.zeros((64, 64, 3), np.uint8)
    diffcodec.decode(
        diffcodec.encode(warm + np.arange(64, dtype=np.uint8)[:, None, None], model=args.model), model=args.model
    )
    rows = []
    for name, image in shots:
        pixels = np.asarray(image)
        t0 = time.perf_counter()
        data = diffcodec.encode(image, model=args.model)
        t1 = time.perf_counter()
        back = diffcodec.decode(data, model=args.model)
        t2 = time.perf_counter()
        assert np.array_equal(back, pixels), f"{name} did not come back"
        row = {
            "file": name,
            "bytes": len(data),
            "bpd": 8 * len(data) / pixels.size,
            "encode_s": t1 - t0,
            "decode_s": t2 - t1,
        }
        # the network's own figures, whichever method the file took: as it is, learning but without tables, with the
        # tables of its choice but without learning, and as files are
        params = ardm.encode(pixels, pixels[..., :0], registry.load(args.model), method=ardm.LATTICE)[0]
        row["tables"] = params[1] if params[0] in (ardm.REFINED, ardm.LEARNED) else 0
        row["plain_bpd"] = by_network(pixels, args.model, 0, False)
        row["learning_bpd"] = by_network(pixels, args.model, 0, None)
        row["unlearned_bpd"] = by_network(pixels, args.model, None, False)
        MeteredStack.reset()
        lattice.AnsStack = MeteredStack  # type: ignore[misc]
        row["lattice_bpd"] = by_network(pixels, args.model, row["tables"], None)
        lattice.AnsStack = AnsStack  # type: ignore[misc]
        row["entropy_bpd"] = MeteredStack.ideal / pixels.size
        row["free_bpd"] = MeteredStack.free / pixels.size
        row["method"] = "lattice" if diffcodec.inspect(data)["model"] else "context"
        row |= {codec: 8 * classical(image, codec) / pixels.size for codec in args.against}
        rows.append(row)
        print(" ".join(f"{k} {v:.3f}" if isinstance(v, float) else str(v) for k, v in row.items()), flush=True)
    mean = {k: statistics.fmean(r[k] for r in rows) for k in rows[0] if k not in ("file", "bytes", "method", "tables")}
    print(f"MEAN of {len(rows)}:", " ".join(f"{k} {v:.4f}" for k, v in mean.items()))
    encode, decode = (statistics.median(r[k] for r in rows) for k in ("encode_s", "decode_s"))
    print(f"median encode {encode:.2f} s, decode {decode:.2f} s, {os.cpu_count()} CPUs")
    entropy, free = mean["entropy_bpd"], mean["free_bpd"]
    print(f"{sum(r['method'] == 'lattice' for r in rows)} files by the network, the others by the context coder")
    print(f"network alone: file size over the model's own entropy {100 * (mean['lattice_bpd'] / entropy - 1):+.3f} %,")
    print(
        f"  without what empty stacks take free of charge {100 * (mean['lattice_bpd'] / (entropy - free) - 1):+.3f} %"
    )
    print(f"slowest encode {max(r['encode_s'] for r in rows):.2f} s, decode {max(r['decode_s'] for r in rows):.2f} s")
    save(args.save, rows)


if __name__ == "__main__":
    main()
