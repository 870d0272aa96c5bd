"""Sizes in a summary, the same for every command: what went in, what came out, their ratio."""

from __future__ import annotations

import warnings
from typing import Any


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
