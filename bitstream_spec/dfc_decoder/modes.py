"""MODES.md: planes of bytes to samples, and the digest."""

from __future__ import annotations

import hashlib

import numpy as np

from .refused import refuse

# number: (sample, channels; 0 for an array without a channel axis, photo planes)
MODES = {8 * row + n: (sample, n, (1, 1, 1, 3, 3)[n] if row < 2 else 0)
         for row, sample in enumerate(["u1", "u2", "i4", "f4", "bit", "i2", "u4", "f2"]) for n in range(5)}  # fmt: skip
MODES |= {64: ("u1", 4, 0), 65: ("u1", 3, 1), 66: ("u1", 3, 1), 67: ("u1", 3, 0), 68: ("u1", 4, 3), 69: ("u1", 4, 3),
          70: ("u1", 2, 1), 71: ("u1", 0, 1), 72: ("u2", 4, 3), 73: ("u2", 4, 3), 74: ("u2", 0, 0)}  # fmt: skip
CODED, CONSTANT, COPY = 0, 1, 2
KEPT = 4  #: of all planes of a clip: they are photo planes


class Planes:
    """What the parameters and the palette say of the planes; ``rest`` are the codec's own parameters."""

    def __init__(self, mode: int, params: bytes, palette: bytes | None, height: int):
        if mode not in MODES:
            refuse("CorruptStream", f"mode {mode}")
        self.mode = mode
        self.sample, self.channels, photo = MODES[mode]
        self.components = max(1, self.channels)
        self.bytes = 1 if self.sample == "bit" else int(self.sample[1])
        self.count = self.components * self.bytes
        if mode in (71, 74) and height != 1:
            refuse("CorruptStream", "tokens of more than one row")
        self.palette = None
        if palette is not None:
            if len(palette) % self.count or not 1 <= len(palette) // self.count <= 256:
                refuse("CorruptStream", "the palette's length")
            self.palette = np.frombuffer(palette, np.uint8).reshape(-1, self.count)
            self.n_photo, self.n_extra, self.rest = 0, 1, params
            return
        self.layout, at = [], 0
        for index in range(self.count):
            kind = params[at] if at < len(params) else -1
            size = 1 if kind == CODED else 2
            if kind not in (CODED, CONSTANT, COPY) or at + size > len(params):
                refuse("CorruptStream", f"the layout's entry {index}")
            value = params[at + 1] if size == 2 else 0
            if kind == COPY and value >= index:
                refuse("CorruptStream", "a plane copies a later one")
            self.layout.append((kind, value))
            at += size
        coded = [kind == CODED for kind, _ in self.layout]
        grey = [(CODED, 0), (COPY, 0), (COPY, 0)]
        if not any(coded) or not (all(coded[:photo]) or self.layout[:photo] == grey):
            refuse("CorruptStream", "the layout")
        self.n_photo = sum(coded[:photo])
        self.n_extra = sum(coded) - self.n_photo
        self.rest = params[at:]

    def samples(self, photo: np.ndarray, extra: np.ndarray) -> np.ndarray:
        """H×W or H×W×C samples of coded planes uint8 (H, W, n)."""
        planes = np.concatenate([photo, extra], 2)
        height, width = planes.shape[:2]
        if self.palette is not None:
            if planes.max() >= len(self.palette):
                refuse("CorruptStream", "an index beyond the palette")
            every = self.palette[planes[..., 0]]
        else:
            every, at = np.empty((height, width, self.count), np.uint8), 0
            for index, (kind, value) in enumerate(self.layout):
                if kind == CODED:
                    every[..., index], at = planes[..., at], at + 1
                else:
                    every[..., index] = value if kind == CONSTANT else every[..., value]
        if self.sample == "bit":
            if every.max() > 1:
                refuse("CorruptStream", "a bit above 1")
            samples = every * np.uint8(255)
        else:
            little = every.reshape(height, width, self.bytes, self.components)[:, :, ::-1].swapaxes(2, 3)
            samples = np.ascontiguousarray(little).view("<" + self.sample)[..., 0]
        return samples.reshape((height, width, self.channels) if self.channels else (height, width))

    def digest(self, samples: np.ndarray) -> bytes:
        """All 32 bytes; streams hold the first of them."""
        return digest(self.mode, samples)


def digest(mode: int, samples: np.ndarray) -> bytes:
    """Likewise, of pictures and tokens."""
    height, width = samples.shape[:2]
    head = bytes([mode]) + width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return hashlib.sha256(head + np.ascontiguousarray(samples).tobytes()).digest()
