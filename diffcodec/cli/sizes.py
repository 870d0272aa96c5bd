"""Sizes in a summary, the same for every command: what went in, what came out, their ratio."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from . import console


def sizes(before: int, after: int) -> dict[str, Any]:
    """input_bytes, output_bytes and ratio, the second over the first; ratio is None of an empty input."""
    return {"input_bytes": before, "output_bytes": after, "ratio": round(after / before, 5) if before else None}


def told(summary: dict[str, Any]) -> str:
    """What `sizes` put into a summary, for a person to read."""
    ratio = "" if summary["ratio"] is None else f" ({100 * summary['ratio']:.1f} %)"
    return f"{summary['input_bytes']} bytes in, {summary['output_bytes']} bytes out{ratio}"


def warn_if_larger(what: str, after: int, source: str, before: int, remedy: str) -> None:
    """Warn where ``what`` came out larger than ``source``, from which it was made."""
    if after > before:
        line = f"the {what} takes {after} bytes, the {source} that it came from {before}: {remedy}"
        warnings.warn(line, stacklevel=2)


def summary_of(found: dict[str, Any], seconds: float, device: str) -> dict[str, Any]:
    """What is said of a stream that `inspect` has told of: bytes, bpp, bpd, unit, codec, model, seconds, device."""
    if device == "auto":
        torch = sys.modules.get("torch")
        device = "cuda" if torch is not None and found["model"] and torch.cuda.is_available() else "cpu"
    keys = ("bytes", "bpp", "bpd", "unit", "codec", "model")
    return {**{key: found[key] for key in keys}, "seconds": round(seconds, 4), "device": device}


def report(summary: dict[str, Any], target: str, as_json: bool, verbose: bool) -> None:
    """Say it, for a person or as a line of JSON."""
    if as_json:
        print(json.dumps(summary))
        return
    part = "" if summary.get("complete", True) else " (a preview)"
    by = f", {summary['codec']}{' by ' * bool(summary['model'])}{summary['model'] or ''}" if verbose else ""
    console.tell(
        f"{'standard output' if target == '-' else target}{part}: {told(summary)}, "
        f"{summary['bpp']:.3f} bits per {summary['unit']}, {summary['seconds']:.2f} s on {summary['device']}{by}"
    )
