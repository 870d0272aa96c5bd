"""What a report says of the pictures of a folder, or of its clips."""

from __future__ import annotations

from dataclasses import dataclass

from .curves import Lossy, Mean
from .point import Medium

ANCHORS: dict[Medium, str] = {"picture": "jpeg", "clip": "x264"}  #: of the BD-rates


@dataclass(frozen=True)
class Part:
    """Means over ``number`` of a medium.

    lossy: codec -> a mean per rate. lossless: codec -> mean. partial: what has no mean, a line each. rates: codec ->
    metric -> BD-rate to the anchor, in percent.
    """

    medium: Medium
    number: int
    lossy: Lossy
    lossless: dict[str, Mean]
    partial: list[str]
    rates: dict[str, dict[str, float]]

    @property
    def anchor(self) -> str:
        """The codec that others are compared with."""
        return ANCHORS[self.medium]

    @property
    def count(self) -> str:
        """As "3 pictures"."""
        return f"{self.number} {self.medium}{'s' * (self.number != 1)}"
