"""Decimal arithmetic that any machine, and any program around this one, rounds the same way."""

from __future__ import annotations

from contextlib import AbstractContextManager
from decimal import ROUND_HALF_EVEN, Context, DivisionByZero, InvalidOperation, Overflow, localcontext


def decimals(digits: int) -> AbstractContextManager[Context]:
    """Arithmetic of so many digits within: it owes nothing to the caller's context, nor to the module's defaults."""
    traps = [InvalidOperation, DivisionByZero, Overflow]
    return localcontext(Context(digits, ROUND_HALF_EVEN, -999_999, 999_999, 1, 0, [], traps))
