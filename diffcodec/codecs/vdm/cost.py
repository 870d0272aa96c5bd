"""What decoding a chain of pictures takes. Plain integers: importing this loads nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ..cost import BLOCK_PIXELS, DIFFUSION_BYTES, DIFFUSION_NETWORK, PLAIN_BYTES, Allowance, Cost, Rate

#: T + 1 calls for each batch of pictures, which in a chain add at least some bytes each; at 100 steps a byte is worth
#: 90 pixels of photographs, and 6 200 of a group of 256 whose chain costs next to nothing above its initial bits
CHAIN_ALLOWED = Allowance(Rate(2**12, 8), Rate(2**22, 2**16), Rate(2**32, 2**22))


def cost(steps: int, shapes: Sequence[tuple[int, int]], sizes: Sequence[int]) -> tuple[Cost, Allowance]:
    """Of pictures (height, width) chained by VDM in ``steps`` diffusion steps and batches of these ``sizes``.

    To be checked with the bytes of the group: ``cost.check(*cost(...), size, budget, "a group")``.
    """
    pixels = sum(height * width for height, width in shapes)
    at, largest = 0, 0
    for size in sizes:
        if at < len(shapes):
            largest = max(largest, size * shapes[at][0] * shapes[at][1])
        at += size
    calls = len(sizes) * (steps + 1)
    plain = PLAIN_BYTES * 3 * pixels
    memory = plain + (DIFFUSION_BYTES + 8 * 24) * largest + 4 * DIFFUSION_NETWORK * min(largest, 4 * BLOCK_PIXELS)
    work = (steps + 1) * pixels
    return Cost(pixels, calls, work, plain_bytes=plain, memory_bytes=memory), CHAIN_ALLOWED
