"""Rows of tokens for `train_tokens.py`, from text or audio files.

    python -m tools.training.token_data OUT.npz text FILE.txt ...     27 symbols as in text8: a to z, else a space
    python -m tools.training.token_data OUT.npz audio FILE.wav ...    8 bits a sample at --rate, the first channel

The last --val share of each file is the validation split.
"""

from __future__ import annotations

import argparse
import re
import wave
from pathlib import Path

import numpy as np


def text_tokens(text: str) -> np.ndarray:
    """uint8 (n,) in 0..26: space, a to z."""
    letters = re.sub(r"[^a-z]+", " ", text.lower()).strip()
    codes = np.frombuffer(letters.encode(), np.uint8)
    return np.where(codes == 32, 0, codes - 96).astype(np.uint8)


def audio_tokens(path: Path, rate: int) -> np.ndarray:
    """uint8 (n,) of a WAV file of 8 or 16 bits, averaged down to about ``rate`` samples a second."""
    with wave.open(str(path)) as file:
        width, channels, source = file.getsampwidth(), file.getnchannels(), file.getframerate()
        raw = file.readframes(file.getnframes())
    if width not in (1, 2):
        raise SystemExit(f"{path.name}: expected 8 or 16 bits a sample, found {8 * width}")
    samples = np.frombuffer(raw, np.uint8).astype(float) - 128 if width == 1 else np.frombuffer(raw, "<i2") / 256
    samples = samples.reshape(-1, channels)[:, 0]
    every = max(1, round(source / rate))
    samples = samples[: len(samples) // every * every].reshape(-1, every).mean(1)
    return np.clip(np.rint(samples + 128), 0, 255).astype(np.uint8)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", type=Path)
    ap.add_argument("kind", choices=["text", "audio"])
    ap.add_argument("files", type=Path, nargs="+")
    ap.add_argument("--rate", type=int, default=8000)
    ap.add_argument("--val", type=float, default=0.1)
    args = ap.parse_args()
    parts: dict[str, list[np.ndarray]] = {"train": [], "val": []}
    for path in args.files:
        tokens = text_tokens(path.read_text(errors="replace")) if args.kind == "text" else audio_tokens(path, args.rate)
        cut = round(len(tokens) * (1 - args.val))
        parts["train"].append(tokens[:cut])
        parts["val"].append(tokens[cut:])
    arrays = {name: np.concatenate(items) for name, items in parts.items()}
    np.savez_compressed(args.out, **arrays)
    print(", ".join(f"{name} {len(tokens)} tokens" for name, tokens in arrays.items()))


if __name__ == "__main__":
    main()
