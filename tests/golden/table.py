"""What a golden file's row says about it: measured when it is made, and again by the tests."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from diffcodec.api import decode_signal
from diffcodec.media.medium import Signal
from diffcodec.media.table import signal_of
from diffcodec.models.environment import environment

from .recipes import FOLDER, LOSSY, Recipe


def newest(name: str) -> Path | None:
    """The file of this name in the newest set that has one."""

    def version(path: Path) -> list[int]:
        return [int(part) for part in path.parent.name.split(".")]

    return max(FOLDER.glob(f"*/{name}"), key=version, default=None)


def sha(samples: np.ndarray) -> str:
    """SHA-256 of type, shape and samples in little-endian order."""
    little = np.ascontiguousarray(samples.astype(samples.dtype.newbyteorder("<"), copy=False))
    return hashlib.sha256(f"{samples.dtype.name} {samples.shape}".encode() + little.tobytes()).hexdigest()


def sha_of_bytes(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    squared = float(np.square(a.astype(float) - b.astype(float)).mean())
    return 99.0 if squared == 0 else float(10 * np.log10(255**2 / squared))


def of_signal(signal: Signal) -> dict[str, Any]:
    return {
        "mode": signal.mode,
        "samples": sha(signal.array),
        "icc": sha_of_bytes(signal.metadata.icc),
        "exif": sha_of_bytes(signal.metadata.exif),
    }


def of_stream(data: bytes, model: Path | None) -> dict[str, Any]:
    """Of a stream that decodes exactly: the signal, and after how many bytes which samples can be seen."""
    told = diffcodec.inspect(data)
    ends = [] if told["lossless"] and len(told["passes"]) == 1 else [p["end"] for p in told["passes"][:-1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        how: dict[str, Any] = {"model": model, "device": "cpu", "reconstruction": "flow", "decoder": "teacher"}
        previews = {str(end): sha(diffcodec.decode(data, upto_bytes=end, **how)) for end in ends}
        signal = decode_signal(data, model=model, device="cpu", frames=True)
    more = {
        "metadata": hashlib.sha256(signal.metadata.to_bytes()).hexdigest(),
        "frames": [of_signal(frame) for frame in signal.following],
    }
    return of_signal(signal) | more | {"previews": previews}


def of_archive(data: bytes) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arrays = diffcodec.decode_archive(data, device="cpu")
    return {"names": diffcodec.inspect_archive(data)["names"], "samples": [sha(a) for a in arrays if a is not None]}


def row(recipe: Recipe, inputs: Any, data: bytes, path: Path) -> dict[str, Any]:
    """Of a file just made. What a lossy one decodes to is kept beside it."""
    about: dict[str, Any] = {"kind": recipe.kind, "bytes": len(data), "environment": environment("cpu")}
    if path.suffix == ".dfca":
        about |= {"format": diffcodec.inspect_archive(data)["format"]} | of_archive(data)
        assert about["samples"] == [sha(signal_of(image).array) for image in inputs], path
        return about
    told = diffcodec.inspect(data)
    about |= {"format": told["format"], "codec": told["codec"], "model": told["model"], "passes": len(told["passes"])}
    if recipe.kind != LOSSY:
        about |= of_stream(data, recipe.model)
        assert about["samples"] == sha(signal_of(inputs).array), path
        return about
    shown = decode_signal(data, reconstruction="mean", device="cpu")
    np.save(path.with_suffix(".npy"), shown.array)
    return about | {"mode": shown.mode, "psnr": round(psnr(shown.array, signal_of(inputs).array), 3)}
