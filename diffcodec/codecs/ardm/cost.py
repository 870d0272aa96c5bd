"""What decoding an ARDM's stream takes. Plain integers: importing this loads nothing."""

from __future__ import annotations

from ...models.lattice.geometry import TARGETS, grid_size, pass_units
from ...runtime.errors import CorruptStream
from ...runtime.fields import Fields
from ..codec import Prefix
from ..cost import EXTRA_PLANES, FILLED, NOTHING_ALLOWED, Allowance, Cost, Rate, context_pixels, plain_bytes
from .sampling import sampling_and_gap, sampling_of

#: how ARDM codes the photo planes, first byte of its parameters; REFINED is LATTICE with statistics of values, NUMBERS
#: has no photo planes, and its extra ones are whole numbers, TEMPORAL has frames of a clip, each given the one before,
#: TRACKS rows of numbers of agents that move; LEARNED is REFINED, or LATTICE, whose network learns from what was coded;
#: BETWEEN has frames of a clip, each given up to two others
LATTICE, CONTEXT, NO_PHOTO, ORDERED, REFINED, NUMBERS, TEMPORAL, TRACKS, LEARNED, BETWEEN = range(10)

LATTICE_BYTES, STRIP_BYTES = 80, 2500  #: of memory for a pixel of the picture, and of the strips that are in work
FILLED_BYTES = 20  #: for a pixel that a preview fills in
STRIP_POSITIONS, STRIPS = 2**16, 4
ORDERED_BYTES, ORDERED_NETWORK = 300, 6000  #: for a token, of the order and of the network

#: the lattice network takes 6 µs a pixel, and where a pixel takes below 0.02 bits other methods code it; every frame
#: of a sequence has calls of its own, some three for each pass
LATTICE_ALLOWED = Allowance(Rate(2**12), Rate(2**21, 2**12), Rate(2**32, 2**19))
#: of memory for a pixel of a frame and of the strips in work, of which the first layer sees much more
PAST_BYTES, PAST_STRIP_BYTES = 240, 7500
#: as of a picture, and as many frames as there are bytes for them
TEMPORAL_ALLOWED = Allowance(Rate(2**13, 2**7), Rate(2**21, 2**12), Rate(2**32, 2**19))
MOST_AGENTS = 256  #: of tracks that are in a plane at once
#: bits of tracks' parameters: of the prediction's number, that what else is done follows; of the last byte of that,
#: that who is there is told frame by frame, and that some frames are told before all others
FURTHER, WALKED, LAYERED = 8, 1, 2
#: a frame is a call; the memory is of pairs of agents
TRACKS_ALLOWED = Allowance(Rate(2**16, 2**7), Rate(2**21, 2**12), Rate(2**32, 2**19))
TRACKS_BYTES, PAIR_BYTES, RUNNING_BYTES = 2**11, 2**11, 48
STAGES = 8  #: of depth upscaling at most: the binary digits of a byte
#: 50 calls for a picture unless the sender asks for more, at most 4096 a stage
ORDERED_ALLOWED = Allowance(Rate(STAGES * 2**12, STAGES * 8), Rate(STAGES * 2**20, STAGES * 2**15), Rate(2**30, 2**19))


def cost(prefix: Prefix) -> tuple[Cost, Allowance]:
    """Of an ARDM's stream. Raises CorruptStream where a whole stream lacks passes."""
    head = prefix.head
    method = head.params[0] if head.params else -1
    return _COSTS.get(method, _adaptive)(prefix)


def _adaptive(prefix: Prefix) -> tuple[Cost, Allowance]:
    """Of the context coder alone."""
    plain, read = plain_bytes(prefix.head), context_pixels(prefix, prefix.passes)
    return Cost(prefix.head.pixels, context_pixels=read, plain_bytes=plain, memory_bytes=plain), NOTHING_ALLOWED


def _numbers(prefix: Prefix) -> tuple[Cost, Allowance]:
    """Of whole numbers, a pass of which has no form without a body."""
    head, plain = prefix.head, plain_bytes(prefix.head)
    read = head.pixels * len(prefix.passes)
    return Cost(head.pixels, context_pixels=read, plain_bytes=plain, memory_bytes=plain), NOTHING_ALLOWED


def _lattice(prefix: Prefix) -> tuple[Cost, Allowance]:
    head = prefix.head
    height, width, pixels = head.height, head.width, head.pixels
    passes = pass_units(height, width)
    expected = len(passes) + -(-head.extra // EXTRA_PLANES)
    if prefix.complete and len(prefix.passes) < expected:
        raise CorruptStream(f"the stream ends with {len(prefix.passes)} of its {expected} passes; the file is damaged")
    units = [unit for part in passes[: len(prefix.passes)] for unit in part]
    asked = sum(_coset(height, width, *unit) for unit in units)
    filled = 0 if len(prefix.passes) >= len(passes) else pixels
    strip = max([-(-width // 2), 1 << 11]) if prefix.passes else 0  # a strip has one row at least
    strips = min(STRIPS * max(strip, STRIP_POSITIONS), pixels + STRIPS * (1 << 11))
    fixed = STRIP_BYTES * min(strips, STRIPS * STRIP_POSITIONS)
    own = LATTICE_BYTES * min(pixels, 2 * asked) + FILLED_BYTES * filled + STRIP_BYTES * strips - fixed
    plain = plain_bytes(head)
    found = Cost(
        pixels=pixels,
        network_calls=len(units),
        network_pixels=asked + filled // FILLED,
        context_pixels=context_pixels(prefix, prefix.passes[len(passes) :]),
        preview_pixels=filled // FILLED,
        plain_bytes=plain,
        fixed_bytes=fixed,
        memory_bytes=plain + fixed + own,
    )
    return found, LATTICE_ALLOWED


def _temporal(prefix: Prefix) -> tuple[Cost, Allowance]:
    """Frame by frame; the network's work is that of one frame at a time."""
    head, taken = prefix.head, len(prefix.passes)
    if prefix.complete and taken < head.frames:
        raise CorruptStream(f"the stream ends with {taken} of its {head.frames} frames; the file is damaged")
    shape = head.height, head.width, head.photo
    if head.params[0] == BETWEEN:
        sampling, _ = sampling_and_gap(head.params, shape, head.frames)
    else:
        sampling = sampling_of(head.params, shape, head.frames)
    calls = asked = 0
    for height, width in sampling.sizes(head.height // head.frames, head.width):
        units = [unit for part in pass_units(height, width) for unit in part]
        calls += len(units)
        asked += sum(_coset(height, width, *unit) for unit in units)
    pixels = head.pixels // head.frames
    strips = min(STRIPS * max(-(-head.width // 2), STRIP_POSITIONS), pixels + STRIPS * (1 << 11))
    fixed = PAST_STRIP_BYTES * min(strips, STRIPS * STRIP_POSITIONS)
    plain, taken = plain_bytes(head), min(taken, head.frames)
    found = Cost(
        pixels=head.pixels,
        network_calls=calls * taken,
        network_pixels=asked * taken,
        plain_bytes=plain,
        fixed_bytes=fixed,
        memory_bytes=plain + fixed + PAST_BYTES * pixels + PAST_STRIP_BYTES * strips - fixed,
    )
    return found, TEMPORAL_ALLOWED


def _coset(height: int, width: int, level: int, phase: int) -> int:
    """Pixels that a phase of a level codes."""
    (y, x), (rows, columns) = TARGETS[phase], grid_size(height, width, level)
    return len(range(y, rows, 2)) * len(range(x, columns, 2))


def _ordered(prefix: Prefix) -> tuple[Cost, Allowance]:
    """As if every call of every stage had come: how many there are and a prefix holds, only the model can tell."""
    head = prefix.head
    tokens, calls = head.pixels, int.from_bytes(head.params[2:4], "little")
    calls = STAGES * min(calls, tokens)
    memory = ORDERED_BYTES * tokens + ORDERED_NETWORK * tokens
    plain, filled = plain_bytes(head), tokens // FILLED
    found = Cost(
        pixels=tokens,
        network_calls=calls,
        network_pixels=calls * tokens + filled,
        preview_pixels=filled,
        plain_bytes=plain,
        memory_bytes=plain + memory,
        context_pixels=tokens * -(-head.extra // EXTRA_PLANES),  # which passes these are, only the model can tell
    )
    return found, ORDERED_ALLOWED


def _tracks(prefix: Prefix) -> tuple[Cost, Allowance]:
    """A call for each frame, of all agents, and what stands beside their places, which the context coder reads."""
    head = prefix.head
    plain, agents = plain_bytes(head), min(head.width, MOST_AGENTS)
    filled = head.pixels if _layered(head.params) else 0
    found = Cost(
        pixels=head.pixels,
        network_calls=head.height,
        network_pixels=head.pixels + filled // FILLED,
        preview_pixels=filled // FILLED,
        plain_bytes=plain,
        fixed_bytes=PAIR_BYTES * agents**2,
        memory_bytes=plain + PAIR_BYTES * agents**2 + TRACKS_BYTES * head.width + RUNNING_BYTES * head.pixels,
        context_pixels=2 * head.pixels,  # gaps and other columns; which passes have these, only the payloads tell
    )
    return found, TRACKS_ALLOWED


def _layered(params: bytes) -> bool:
    """Whether tracks are told in layers, by parameters of whatever kind."""
    fields = Fields(params[1:], "the parameters of the tracks end")
    try:
        _, first = [fields.varint() for _ in range(4)], fields.byte()
        return bool(first & FURTHER) and bool(fields.take(3)[2] & LAYERED)
    except CorruptStream:
        return False


_COSTS = {
    LATTICE: _lattice,
    REFINED: _lattice,
    LEARNED: _lattice,
    ORDERED: _ordered,
    NUMBERS: _numbers,
    TEMPORAL: _temporal,
    BETWEEN: _temporal,
    TRACKS: _tracks,
}
