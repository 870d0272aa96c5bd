"""Text and audio as rows of tokens, in real files, against general compressors.

    python -m benchmarks.suites.tokens MODEL TOKENS.npz [--calls 10 50 100 10000] [--limit 4000]

MODEL is a path as `tools.training.train_tokens` exports it, TOKENS.npz is made by `tools.training.token_data`. Of its
tokens, from a third of them on, the first --limit are coded in blocks of --block. Bits a token: of the network's
passes, and of files, headers counted, which take the context coder where that is smaller. All are decoded and compared.
"""

from __future__ import annotations

import argparse
import bz2
import lzma
from pathlib import Path

import numpy as np

import diffcodec
from benchmarks.common import arguments, printed
from diffcodec.codecs.ardm import ordered
from diffcodec.codecs.ardm.orders import MAX_PLANNED, RANDOM
from diffcodec.models import registry


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("model")
    ap.add_argument("tokens", type=Path)
    ap.add_argument("--calls", type=int, nargs="+", default=[10, 50, 100, 4096])
    ap.add_argument("--limit", type=int, default=4000)
    ap.add_argument("--block", type=int, default=4000)
    args = ap.parse_args()
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    with np.load(args.tokens) as z:
        tokens = np.concatenate([z["train"], z["val"]])
    tokens = tokens[len(tokens) // 3 :][: args.limit]  # past titles and silence
    _, counts = np.unique(tokens, return_counts=True)
    order_0 = -float((counts * np.log2(counts / len(tokens))).sum()) / len(tokens)
    print(f"{args.tokens.stem}: {len(tokens)} tokens; entropy of single tokens {order_0:.3f} bits")
    for name, compress in (("bz2", bz2.compress), ("lzma", lzma.compress)):
        print(f"{name} {8 * len(compress(tokens.tobytes())) / len(tokens):.3f}")
    model = registry.load(args.model, device="cpu")
    blocks = np.split(tokens, range(args.block, len(tokens), args.block))
    for calls in args.calls:
        plan, size = ordered.Plan(RANDOM, min(calls, MAX_PLANNED), 0), 0
        for block in blocks:
            row = block[None, :, None]
            passes, _ = ordered.encode(row, model, plan)
            receiver = ordered.Receiver(row.shape, model, plan)
            for payload in passes:
                receiver.take(payload)
            if not np.array_equal(receiver.tokens(), row):
                raise SystemExit("tokens came back changed")
            size += sum(map(len, passes))
        print(f"network, {min(calls, args.block)} calls: {8 * size / len(tokens):.3f}", flush=True)
    files = [diffcodec.encode(block, model=args.model, device="cpu") for block in blocks]
    for block, data in zip(blocks, files, strict=True):
        if not np.array_equal(diffcodec.decode(data, model=args.model, device="cpu"), block):
            raise SystemExit("tokens came back changed")
    chosen = sum(diffcodec.inspect(data)["model"] is not None for data in files)
    print(f"files: {8 * sum(map(len, files)) / len(tokens):.3f}; the network was smaller in {chosen} of {len(files)}")


if __name__ == "__main__":
    main()
