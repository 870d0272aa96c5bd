"""MEDIA.md: clips and tracks, of planes of bytes, and their digests."""

from __future__ import annotations

import hashlib
from math import gcd
from typing import Any

import numpy as np

from . import modes
from .fields import Fields
from .refused import refuse

RGB, YUV420, YUV444, TRACKS = 75, 76, 77, 78
ALONE = (71, 74)  #: modes that nothing follows
GROUPED = (RGB, YUV420, YUV444, TRACKS)  #: of which further groups may follow


def planes_of(header: dict[str, Any], palette: bytes | None) -> Any:
    """What the parameters of a stream say of its planes, of whatever medium."""
    mode, params = header["mode"], bytes.fromhex(header["params"])
    if mode in (RGB, YUV420, YUV444, TRACKS):
        if palette is not None:
            refuse("CorruptStream", "a palette in a clip or tracks")
        return (Tracks if mode == TRACKS else Clip)(mode, params, header["height"], header["width"])
    return modes.Planes(mode, params, palette, header["height"])


def check_behind(first: dict[str, Any], header: dict[str, Any]) -> None:
    """Whether what stands behind a stream belongs to it: pictures behind pictures, groups behind one of their clip."""
    modes = (first["mode"], header["mode"])
    if any(mode in ALONE for mode in modes) or (any(mode in GROUPED for mode in modes) and modes[0] != modes[1]):
        refuse("CorruptStream", "something that does not belong to what it follows")
    if modes[0] in GROUPED:
        one, other = (planes_of(told, None) for told in (first, header))
        if one.alike != other.alike:
            refuse("CorruptStream", "a group of another clip, or of other tracks")


def rate(fields: Fields) -> None:
    numerator = fields.varint()
    if numerator and gcd(numerator, fields.varint()) != 1:
        refuse("CorruptStream", "a rate that is not in its lowest terms")


def text(fields: Fields) -> str:
    try:
        return fields.bytes(fields.varint()).decode()
    except UnicodeDecodeError:
        refuse("CorruptStream", "a text that is not UTF-8")


def signed(value: int) -> int:
    return -(value // 2) - 1 if value % 2 else value // 2


class Signal:
    """``n_photo``, ``n_extra``, ``rest`` as of `modes.Planes`; ``fields`` are what the digest covers."""

    n_photo = 0

    def lay_out(self, params: bytes, count: int) -> None:
        """A plane layout of ``count`` planes, which are all extra planes."""
        at, self.layout = 0, []
        if isinstance(self, Clip) and params.startswith(bytes([modes.KEPT]) * count):
            self.n_photo, self.n_extra, self.rest = count, 0, params[count:]
            return
        for index in range(count):
            kind = params[at] if at < len(params) else -1
            size = 1 if kind == modes.CODED else 2
            if kind not in (modes.CODED, modes.CONSTANT, modes.COPY) or at + size > len(params):
                refuse("CorruptStream", f"the layout's entry {index}")
            value = params[at + 1] if size == 2 else 0
            if kind == modes.COPY and value >= index:
                refuse("CorruptStream", "a plane copies a later one")
            self.layout.append((kind, value))
            at += size
        self.n_extra = sum(kind == modes.CODED for kind, _ in self.layout)
        if not self.n_extra:
            refuse("CorruptStream", "a layout without a coded plane")
        self.rest = params[at:]

    def every(self, extra: np.ndarray) -> np.ndarray:
        found, at = np.empty((*extra.shape[:2], len(self.layout)), np.uint8), 0
        for index, (kind, value) in enumerate(self.layout):
            if kind == modes.CODED:
                found[..., index], at = extra[..., at], at + 1
            else:
                found[..., index] = value if kind == modes.CONSTANT else found[..., value]
        return found


#: of red and blue in luma, by matrix of ITU-T H.273
WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}


def rounded(x: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


class Clip(Signal):
    def __init__(self, mode: int, params: bytes, height: int, width: int):
        fields, self.mode = Fields(params), mode
        self.T, self.W, self.H = T, W, H = fields.varint(), fields.varint(), fields.varint()
        if not T * W * H:
            refuse("CorruptStream", "a clip of nothing")
        sizes = fields.at
        rate(fields)
        _, _, self.matrix, range_, _ = fields.bytes(5)
        self.full = range_ == 2
        self.fields = params[: fields.at]
        self.alike = (W, H, params[sizes : fields.at])  # what all groups of a clip have in common
        self.h, self.w = (H + 1) // 2, (W + 1) // 2
        self.photographs = params[fields.at : fields.at + 3] == b"\3\3\3"
        beside = mode == YUV420 and not self.photographs
        if (height, width) != ((T * (H + self.h), 2 * self.w) if beside else (T * H, W)):
            refuse("CorruptStream", "the header's width and height are not those of the clip")
        if self.photographs:
            self.n_photo, self.n_extra, self.rest = 3, 0, params[fields.at + 3 :]
        else:
            self.lay_out(params[fields.at :], 1 if beside else 3)

    def samples(self, photo: np.ndarray, extra: np.ndarray) -> np.ndarray:
        """uint8 (T, H, W, 3); of YUV420 (T, H + h, 2w), with the column before the last one beside Y if W is odd."""
        if self.photographs:
            return self.shown(photo.reshape(self.T, self.H, self.W, 3))
        found = photo if self.n_photo else self.every(extra)
        if self.mode != YUV420:
            return found.reshape(self.T, self.H, self.W, 3)
        found = found.reshape(self.T, self.H + self.h, 2 * self.w)
        if self.W % 2:
            found[:, : self.H, self.W] = found[:, : self.H, self.W - 1]
        return found

    def shown(self, rgb: np.ndarray) -> np.ndarray:
        """Frames in RGB as the clip has them."""
        if self.mode == RGB:
            return rgb
        R, G, B = (rgb[..., c].astype(float) for c in range(3))
        if self.matrix == 0:
            planes = [G, B, R]
        else:
            r, b = WEIGHTS.get(self.matrix, (0.299, 0.114))
            y = r * R + (1 - r - b) * G + b * B
            low, luma, chroma = (0, 255, 255) if self.full else (16, 219, 224)
            both = (B - y) / (2 - 2 * b), (R - y) / (2 - 2 * r)
            planes = [low + luma / 255 * y, *(128 + chroma / 255 * one for one in both)]
        if self.mode == YUV444:
            return rounded(np.stack(planes, 3))
        out = np.zeros((self.T, self.H + self.h, 2 * self.w), np.uint8)
        out[:, : self.H, : self.W] = rounded(planes[0])
        if self.W % 2:
            out[:, : self.H, self.W] = out[:, : self.H, self.W - 1]
        for i in range(self.h):
            for j in range(self.w):
                for k in (0, 1):
                    rows, columns = ([2 * n, min(2 * n + 1, side - 1)] for n, side in ((i, self.H), (j, self.W)))
                    four = planes[1 + k][:, rows][:, :, columns]
                    out[:, self.H + i, k * self.w + j] = rounded(four.mean((1, 2)))
        return out

    def digest(self, samples: np.ndarray) -> bytes:
        parts = [samples]
        if self.mode == YUV444:
            parts = [samples[..., c] for c in range(3)]
        if self.mode == YUV420:
            below = samples[:, self.H :]
            parts = [samples[:, : self.H, : self.W], below[..., : self.w], below[..., self.w :]]
        fields = varint(len(samples)) + self.fields[len(varint(self.T)) :]  # of all groups, whose frames these are
        return hashlib.sha256(bytes([self.mode]) + fields + b"".join(p.tobytes() for p in parts)).digest()


def varint(value: int) -> bytes:
    """As it is written."""
    return bytes([value % 128 | 128]) + varint(value // 128) if value > 127 else bytes([value])


class Tracks(Signal):
    def __init__(self, mode: int, params: bytes, height: int, width: int):
        fields = Fields(params)
        self.T, sizes = fields.varint(), fields.at
        self.A, self.F = A, F = fields.varint(), fields.varint()
        T = self.T
        if max(T, 1) * max(A, 1) * max(F, 1) > 2**32:
            refuse("LimitExceeded", "the number of values")
        rate(fields)
        flags = fields.bytes(1)[0]
        if flags > 3:
            refuse("UnsupportedVersion", "the flags of tracks")
        if flags and not A:
            refuse("CorruptStream", "names of no agents")
        for _ in range(A if flags & 1 else 0):
            text(fields)
        if flags & 2:
            teams = [text(fields) for _ in range(fields.varint())]
            seen = -1
            for _ in range(A):
                number = fields.varint()
                if number > seen + 1:
                    refuse("CorruptStream", "the order of the teams")
                seen = max(seen, number)
            if seen + 1 != len(teams) or len(set(teams)) != len(teams):
                refuse("CorruptStream", "the number of the teams")
        for _ in range(F):
            text(fields)
            for what in ("step", "offset"):
                fields.varint(8)
                m = signed(fields.varint(64))
                if abs(m) >= 10**18 or (what == "step" and m <= 0):
                    refuse("CorruptStream", f"the {what} of a column")
        self.fields = params[: fields.at]
        self.alike = params[sizes : fields.at]  # what all groups have in common
        self.n = fields.bytes(1)[0]
        self.coding = [(fields.bytes(1)[0], signed(fields.varint(64))) for _ in range(F)]
        if not 1 <= self.n <= 8 or any(d > 3 for d, _ in self.coding):
            refuse("CorruptStream", "how the values are coded")
        if (height, width) != ((T, A * F) if T * A * F else (1, 1)):
            refuse("CorruptStream", "the header's width and height are not those of the tracks")
        self.lay_out(params[fields.at :], 1 + self.n)

    def samples(self, photo: np.ndarray, extra: np.ndarray) -> np.ndarray:
        """int64 (T, A, F), a masked array; 0 behind the mask."""
        T, A, F = self.T, self.A, self.F
        planes = self.every(extra)
        if not T * A * F:
            if planes.any():
                refuse("CorruptStream", "values where there are none")
            return np.ma.masked_array(np.zeros((T, A, F), np.int64), np.zeros((T, A, F), bool))
        if planes[..., 0].max() > 1:
            refuse("CorruptStream", "a gap that is neither 0 nor 1")
        values = [[0] * (A * F) for _ in range(T)]
        for column in range(A * F):
            order, least = self.coding[column % F]
            g = [int.from_bytes(planes[t, column, 1:].tobytes(), "big") + least for t in range(T)]
            for k in range(min(order, T - 1), 0, -1):
                for t in range(k, T):
                    g[t] += g[t - 1]
            for t in range(T):
                missing = planes[t, column, 0]
                values[t][column] = 0 if missing else (g[t] + 2**63) % 2**64 - 2**63
        gaps = planes[..., 0].reshape(T, A, F) == 1
        return np.ma.masked_array(np.array(values, np.int64).reshape(T, A, F), gaps)

    def digest(self, samples: np.ndarray) -> bytes:
        values, gaps = np.ma.getdata(samples).astype("<i8"), np.ma.getmaskarray(samples).astype(np.uint8)
        fields = varint(len(samples)) + self.alike  # of all groups, whose frames these are
        return hashlib.sha256(bytes([TRACKS]) + fields + values.tobytes() + gaps.tobytes()).digest()
