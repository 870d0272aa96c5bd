"""How far encoding and decoding have come: never back, and to exactly 1, whatever the picture and the way it goes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from conftest import needs_weights

import diffcodec
from diffcodec.api import decode_picture
from diffcodec.entropy.context import coder as context
from diffcodec.media.picture import Picture
from diffcodec.runtime.progress import side_by_side

skimage = pytest.importorskip("skimage.data", reason="needs scikit-image")


def photo(height: int = 40, width: int = 50) -> np.ndarray:
    return np.ascontiguousarray(skimage.astronaut()[60 : 60 + height, 180 : 180 + width])


def frames(count: int) -> Picture:
    """A photograph and ``count`` other views of it, the last two alike."""
    views = [photo(), photo()[::-1], photo()[:, ::-1], photo()[:, ::-1]]
    first, *rest = (Picture(np.ascontiguousarray(view), "RGB") for view in views[: count + 1])
    return Picture(first.samples, "RGB", frames=tuple(rest))


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "lattice": (lambda: photo(100, 90), {}),
    "small": (photo, {}),
    "tuned": (lambda: photo(130, 130), {"tune": True}),
    "with alpha": (lambda: np.dstack([photo(), photo()[..., :1]]), {}),
    "floats": (lambda: photo()[..., 0].astype(np.float32), {}),
    "indices": (lambda: photo() // 64 * 64, {}),
    "16 bits": (lambda: photo()[..., 0].astype(np.uint16) * 3, {}),
    "blank": (lambda: photo() * 0, {}),
    "a pixel": (lambda: photo(1, 1), {}),
    "any order": (lambda: photo(32, 32), {"model": "cifar10-oa", "calls": 5}),
    "frames": (lambda: frames(3), {}),
    "to a rate": (photo, {"bpp": 1}),
    "to a quality": (photo, {"psnr": 20}),
    "to a size": (photo, {"max_bytes": 200}),
    "frames to a rate": (lambda: frames(2), {"bpp": 1}),
    "diffc, exact": (lambda: photo(24, 24), {"codec": "diffc"}),
}


@needs_weights
@pytest.mark.parametrize("name", CASES)
def test_progress_of_a_picture(name: str) -> None:
    make, options = CASES[name]
    coded: list[float] = []
    read: list[float] = []
    data = diffcodec.encode(make(), progress=coded.append, **options)
    decode_picture(data, frames=True, progress=read.append)
    for seen in (coded, read):
        assert seen == sorted(seen) and seen[0] >= 0 and seen[-1] == 1.0
    first = diffcodec.inspect(data)["passes"][0]["end"]
    read.clear()
    decode_picture(data, upto_bytes=first, progress=read.append)
    assert read == sorted(read) and read[-1] == 1.0


@pytest.mark.parametrize(
    "planes", [photo(64, 50), photo(64, 50) // 64 * 64, photo(1, 3000), np.zeros((9, 70_000, 1), np.uint8)]
)
def test_a_bar_moves_inside_what_the_context_coder_codes(planes: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Band by band, with any number of modes tried in threads; the bytes are the same however high a band is."""
    whole = context.encode_planes(planes)
    monkeypatch.setattr(context, "BAND", 500)
    monkeypatch.setattr(context, "SMALL", 0)
    coded: list[float] = []
    read: list[float] = []
    assert context.encode_planes(planes, progress=coded.append) == whole
    assert (context.decode_planes(whole, *planes.shape, progress=read.append) == planes).all()
    for seen in (coded, read):
        assert seen == sorted(seen)
        if planes.any() and len(planes) > 1:
            assert seen[-1] == pytest.approx(1) and len(seen) >= 6


def test_parts_side_by_side_add_up_and_never_fall() -> None:
    seen: list[float] = []
    parts = side_by_side(seen.append, 3)

    def work(report: Any) -> None:
        for step in range(1, 101):
            report(step / 100)

    workers = [threading.Thread(target=work, args=(report,)) for report in parts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert seen == sorted(seen) and len(seen) == 300 and seen[-1] == pytest.approx(1)
    assert side_by_side(None, 2) == [None, None]
