"""Rates in the fields of media: frames a second as fractions."""

from __future__ import annotations

import math
from fractions import Fraction

from ...runtime.errors import CorruptStream, InputError
from ...runtime.fields import Fields
from ...runtime.varint import write_varint

BITS = 32  #: of numerator and denominator


def check_rate(rate: Fraction | None) -> None:
    """Raises InputError for a rate that is not above 0, or not in two numbers of 32 bits."""
    if rate is not None and not (0 < rate.numerator < 2**BITS and rate.denominator < 2**BITS):
        raise InputError(f"expected a rate above 0, a fraction of two numbers below 2^{BITS}, found {rate}")


def write_rate(rate: Fraction | None) -> bytes:
    """Numerator and denominator as varints; a single 0 for None."""
    return b"\0" if rate is None else write_varint(rate.numerator) + write_varint(rate.denominator)


def read_rate(fields: Fields) -> Fraction | None:
    """Mirror of :func:`write_rate`. Raises CorruptStream, for a fraction that is not in its lowest terms as well."""
    numerator = fields.varint(BITS)
    if not numerator:
        return None
    denominator = fields.varint(BITS)
    if not denominator or math.gcd(numerator, denominator) > 1:
        raise CorruptStream(f"a rate of {numerator}/{denominator} is not in its lowest terms; the file is damaged")
    return Fraction(numerator, denominator)
