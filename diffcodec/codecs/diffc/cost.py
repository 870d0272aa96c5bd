"""What decoding a DiffC stream takes. Plain integers: importing this loads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from ..codec import Head, Prefix
from ..cost import (
    BLOCK_PIXELS,
    DIFFUSION_BYTES,
    DIFFUSION_NETWORK,
    Allowance,
    Cost,
    Rate,
    context_pixels,
    plain_bytes,
)
from ..reconstruction import DEFAULT, LINE, MEAN, Reconstruction


@dataclass(frozen=True)
class Method:
    """What the first byte of the parameters says.

    exact: whether the exact picture follows the last pass. wide: whether p has the variance of natural pictures, and
    passes have a coarse part (format 1.5); that of q otherwise.
    """

    exact: bool
    wide: bool


METHODS = {0: Method(False, False), 1: Method(True, False), 2: Method(False, True), 3: Method(True, True)}
LOSSY, EXACT = 2, 3  #: those that are written
SINCE = (1, 5)  #: version of streams with these
#: network calls of each reconstruction at most, the first of them that of the mean: of "flow" 8 steps of two calls,
#: and one, whatever the realism, where a model has no shorter way; of the mean alone as many as there are poses
RECONSTRUCTION_CALLS = {"flow": 17, "ancestral": 41, "mean": 4}
COUNTED = 2**16  #: passes beyond which nobody counts

#: of the whole range of log-SNR there are at most some 540 passes, at the greatest effort; the sender chooses the
#: rate, so bytes may be worth many pixels: 12 megapixels in 90 bytes, ten times over, and 2^27 in no 300
DIFFC_ALLOWED = Allowance(Rate(2**12), Rate(2**24, 2**20, early=48_000_000), Rate(2**24, 2**19, early=192_000_000))


def cost(prefix: Prefix, reconstruction: Reconstruction = DEFAULT) -> tuple[Cost, Allowance]:
    """Of a DiffC stream: a call for each pass, and those of the reconstruction."""
    head = prefix.head
    photo = prefix.passes[1:] if head.extra else prefix.passes
    last = _last_calls(head, reconstruction)
    method = METHODS.get(head.params[0]) if head.params else None
    share = int(method is not None and method.wide)
    calls = sum(_diffusion_passes(payload, share) for payload in photo[:COUNTED]) + last
    pixels, plain = head.pixels, plain_bytes(head)
    fixed = DIFFUSION_NETWORK * min(pixels, BLOCK_PIXELS)
    found = Cost(
        pixels=pixels,
        network_calls=calls,
        network_pixels=calls * pixels,
        context_pixels=context_pixels(prefix, prefix.passes[: int(head.extra > 0)]),
        preview_pixels=last * pixels,
        plain_bytes=plain,
        fixed_bytes=fixed,
        memory_bytes=plain + fixed + DIFFUSION_BYTES * pixels,
    )
    return found, DIFFC_ALLOWED


def _last_calls(head: Head, reconstruction: Reconstruction) -> int:
    """Of the reconstruction; another model's beside the one call of the stream's for the mean."""
    decoder = reconstruction.decoder
    if reconstruction.name == LINE and decoder is not None:
        return decoder.calls + (decoder.model is not None)
    from ...models import bundled

    known = {LINE: bundled.shortcut_calls, MEAN.name: bundled.pose_calls}.get(reconstruction.name)
    return (known(head.fingerprint) if known else 0) or RECONSTRUCTION_CALLS[reconstruction.name]


def _diffusion_passes(payload: bytes, share: int) -> int:
    """Passes in a payload, up to COUNTED."""
    return len(steps(payload, share))


def steps(payload: bytes, share: int) -> list[int]:
    """Of the passes in a payload, up to COUNTED, in spread.UNIT of log-SNR; 0 of what ends it: the remainder, or worse.

    share: bytes in front of a pass's bits.
    """
    at, found = 0, list[int]()
    while at < len(payload) and len(found) < COUNTED:
        bits, at = _number(payload, at)
        units, at = _number(payload, at)
        at += (share if bits else 0) + -(-bits // 8)
        found.append(units)
        if not units:
            break
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    """LEB128, whatever stands there: who decodes it checks it."""
    value = 0
    for k in range(5):
        if at + k >= len(data):
            break
        value |= (data[at + k] & 127) << 7 * k
        if data[at + k] < 128:
            return value, at + k + 1
    return value, len(data)
