"""What the receivers of `ardm` and `diffc` share: payloads come one by one, after any of them there is a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Progress = Callable[[float], None]


class Receiver:
    """The mirror of a codec's ``encode``."""

    def take(self, payload: bytes, progress: Progress | None = None) -> None:
        """Decode the next payload. Raises CorruptStream."""
        raise NotImplementedError

    def show(self, reconstruction: str) -> tuple[np.ndarray, np.ndarray | None]:
        """(photo uint8 (H, W, n_photo), extra or None while its payload is missing). Raises Truncated."""
        raise NotImplementedError

    def take_all(self, payloads: Sequence[bytes], progress: Progress | None = None) -> None:
        """Decode several payloads."""
        done, total = 0, max(1, sum(map(len, payloads)))
        for payload in payloads:

            def part(fraction: float, done: int = done, size: int = len(payload)) -> None:
                if progress:
                    progress((done + fraction * size) / total)

            self.take(payload, part)
            done += len(payload)
