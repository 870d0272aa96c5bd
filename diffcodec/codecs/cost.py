"""What decoding takes, told from a header and the bytes that are there; what a reader spends on them unless told more.

Pixels, network calls and memory follow from numbers in a stream, and a few bytes can name large ones. So each codec
tells (in its own `cost`) what its receiver will do, before that does anything, and how much of it the bytes are worth:
a floor, and so much a byte, many times what the encoder's own streams take (tests/test_limits.py). Encoders hold to it
as well.

Plain integers: importing this loads nothing, so that `inspect` tells the cost without NumPy, torch and weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..runtime.errors import LimitExceeded
from .codec import Head, Prefix

FILLED = 64  #: pixels that a preview interpolates for the work of one that a network is asked for
FLOORS = 16  #: frames of a stream that have each the floor of an allowance
EARLY = 96  #: bytes of a stream that may be worth more than those behind them
MARGIN = 0.1  #: the budget that encoders keep to where they have a choice: readers have ten times as much
EXTRA_PLANES = 8  #: coded in a pass at most
BLANK = (b"\3\0\0", b"\4\0\0")  #: how context-coded planes of one colour begin (entropy/context)
PLAIN_BYTES = 5  #: of memory for each byte of a picture: planes, samples, and what is between them
#: of memory for each pixel of a diffusion, and of a network's block, which has at most BLOCK_PIXELS
DIFFUSION_BYTES, DIFFUSION_NETWORK, BLOCK_PIXELS = 150, 1800, (1024 + 2 * 192) ** 2


@dataclass(frozen=True)
class Cost:
    """Upper bounds of what decoding takes.

    pixels:         of the picture
    network_calls:  calls of the network
    network_pixels: pixels that go through it, all calls together; FILLED pixels that a preview fills in count as one
    context_pixels: pixels that the context coder reads, all passes together; pictures of one colour are not read
    preview_pixels: those of network_pixels that showing a picture takes, however many passes there were before
    plain_bytes:    memory for the picture itself, which its header tells and ``max_pixels`` limits
    fixed_bytes:    memory for the strips or blocks that a network has in work, bounded whatever the header says
    memory_bytes:   memory for all, these two among it, beside the libraries, the network's weights and the stream
    """

    pixels: int
    network_calls: int = 0
    network_pixels: int = 0
    context_pixels: int = 0
    preview_pixels: int = 0
    plain_bytes: int = 0
    fixed_bytes: int = 0
    memory_bytes: int = 0

    @property
    def own_bytes(self) -> int:
        """Memory that the method takes beyond the picture's own and the network's."""
        return self.memory_bytes - self.plain_bytes - self.fixed_bytes


@dataclass(frozen=True)
class Rate:
    """What bytes are worth: ``floor`` for each of some streams, ``each`` byte, and ``early`` ones of each stream."""

    floor: int = 0
    each: int = 0
    early: int = 0
    streams: int = 1

    def of(self, size: int) -> int:
        """What ``size`` bytes are worth."""
        return self.floor * self.streams + self.each * size + self.early * min(size, EARLY * self.streams)


#: near-blank pictures take next to no bytes: 12 megapixels in nothing at all, ten times over, and less than 2^27
CONTEXT_RATE = Rate(2**27 - 2**24, 2**15)


@dataclass(frozen=True)
class Allowance:
    """Of a method. memory_bytes: beyond what the picture and the network in work take."""

    network_calls: Rate = Rate()
    network_pixels: Rate = Rate()
    memory_bytes: Rate = Rate()
    context_pixels: Rate = CONTEXT_RATE

    def times(self, count: int) -> Allowance:
        """Of so many streams together: each has its floor of calls, and FLOORS of them have the others."""
        few = min(count, FLOORS)
        return Allowance(
            replace(self.network_calls, streams=count),
            replace(self.network_pixels, streams=few),
            replace(self.memory_bytes, streams=few),
            replace(self.context_pixels, streams=few),
        )

    def of(self, cost: Cost, size: int, budget: float = 1.0) -> dict[str, int]:
        """What ``size`` bytes are allowed, ``budget`` times over."""

        def allowed(rate: Rate) -> int:
            return int(min(2**62, rate.of(size) * budget))

        return {
            "network_calls": allowed(self.network_calls),
            "network_pixels": allowed(self.network_pixels),
            "context_pixels": allowed(self.context_pixels),
            "memory_bytes": cost.plain_bytes + cost.fixed_bytes + allowed(self.memory_bytes),
        }

    def needed(self, cost: Cost, size: int) -> float:
        """The least budget that lets a stream of ``size`` bytes through."""
        shares = [
            (cost.network_calls, self.network_calls),
            (cost.network_pixels, self.network_pixels),
            (cost.context_pixels, self.context_pixels),
            (cost.own_bytes, self.memory_bytes),
        ]
        return max(found / max(1, rate.of(size)) for found, rate in shares)

    def exceeded(self, cost: Cost, size: int, budget: float = 1.0) -> list[tuple[str, int, int]]:
        """(what, found, allowed) of each that a stream of ``size`` bytes is above."""
        every = dataclasses.asdict(cost)
        return [(what, every[what], most) for what, most in self.of(cost, size, budget).items() if every[what] > most]


NOTHING_ALLOWED = Allowance()  # methods without a network


def plain_bytes(head: Head) -> int:
    """Memory for the picture itself."""
    return PLAIN_BYTES * head.pixels * max(head.planes, head.photo + head.extra)


def context_pixels(prefix: Prefix, passes: Sequence[bytes]) -> int:
    """Pixels of passes of the context coder; one that names a single colour has no more to read."""
    return prefix.head.pixels * sum(payload[:3] not in BLANK for payload in passes)


def check(cost: Cost, allowed: Allowance, size: int, budget: float = 1.0, what: str = "the stream") -> None:
    """Raises LimitExceeded where decoding takes more than ``size`` bytes are allowed, ``budget`` times over."""
    over = allowed.exceeded(cost, size, budget)
    if not over:
        return
    names = {
        "network_calls": "network calls",
        "network_pixels": "network pixels",
        "context_pixels": "context-coded pixels",
        "memory_bytes": "bytes of memory",
    }
    told = ", ".join(f"{found} {names[name]} where {most} are allowed" for name, found, most in over)
    raise LimitExceeded(
        f"{what} of {size} bytes takes {told} ({cost.pixels} pixels, budget {budget:g}): "
        f"give a budget of {1.01 * allowed.needed(cost, size):.3g} or more if you trust it"
    )


def total(costs: Sequence[Cost]) -> Cost:
    """Of streams that are decoded one after another, whose pictures stay."""
    plain = sum(cost.plain_bytes for cost in costs)
    fixed = max(cost.fixed_bytes for cost in costs)
    return Cost(
        pixels=sum(cost.pixels for cost in costs),
        network_calls=sum(cost.network_calls for cost in costs),
        network_pixels=sum(cost.network_pixels for cost in costs),
        context_pixels=sum(cost.context_pixels for cost in costs),
        preview_pixels=max(cost.preview_pixels for cost in costs),
        plain_bytes=plain,
        fixed_bytes=fixed,
        memory_bytes=plain + fixed + max(cost.own_bytes for cost in costs),
    )


def widest(allowances: Sequence[Allowance]) -> Allowance:
    """What streams of these methods are allowed together."""

    def most(rates: Iterable[Rate]) -> Rate:
        every = list(rates)
        return Rate(max(r.floor for r in every), max(r.each for r in every), max(r.early for r in every))

    together = Allowance(
        most(one.network_calls for one in allowances),
        most(one.network_pixels for one in allowances),
        most(one.memory_bytes for one in allowances),
        most(one.context_pixels for one in allowances),
    )
    return together.times(len(allowances))
