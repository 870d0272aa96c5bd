"""Which model `pack` takes where nobody says, and what its groups are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import White
from PIL import Image

import diffcodec
from diffcodec.archive import choosing
from diffcodec.archive.folder import pack
from diffcodec.codecs.vdm import codec as vdm
from diffcodec.codecs.vdm import schedule
from diffcodec.media.picture import Picture

STREAMS = "photo-ardm"


def photo(seed: int, height: int, width: int) -> np.ndarray:
    """uint8 (H, W, 3), smooth in colour."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    return ((np.stack([y * 3, x * 2, y + x], 2) + rng.integers(0, 40, (height, width, 3))) % 256).astype(np.uint8)


def many(count: int, side: int = 16) -> list[Picture]:
    return [Picture(photo(n, side, side), "RGB") for n in range(count)]


@pytest.mark.parametrize(
    "pictures",
    [
        many(15),
        [Picture(photo(n, 100, 90), "RGB") for n in range(16)],
        [Picture(photo(n, 16, 16)[..., 0].copy(), "L") for n in range(20)],
        [*many(16), Picture(photo(0, 60, 60), "RGB"), Picture(np.zeros((100, 100, 4), np.uint8), "RGBA")],
    ],
    ids=["few", "large", "grey", "mostly others"],
)
def test_streams_without_asking_a_network(pictures: list[Picture], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_chained_bits", lambda *_: pytest.fail("asked"))
    assert choosing.chosen(pictures, "cpu") == STREAMS


@pytest.mark.parametrize(("side", "chain"), [(16, "photo-vdm-exact"), (32, "cifar10-vdm")])
def test_a_chain_where_it_is_worth_it(side: int, chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = many(18, side)
    sample = pictures[:: len(pictures) // 4][:4]
    alone = 8 * sum(len(diffcodec.encode(one, model=STREAMS)) for one in sample)
    asked = []

    def bits(share: float):
        return lambda sample, name, device: asked.append((len(sample), name)) or share * alone

    monkeypatch.setattr(choosing, "_chained_bits", bits(0.95))
    assert choosing.chosen(pictures, "cpu") == chain
    monkeypatch.setattr(choosing, "_chained_bits", bits(0.99))
    assert choosing.chosen(pictures, "cpu") == STREAMS
    assert asked == [(4, chain)] * 2


def test_the_bound_is_what_a_chain_takes() -> None:
    """Of a model whose chain is exact: a Gaussian of independent samples."""
    photos = [np.random.default_rng(n).integers(0, 256, (24, 24, 3), dtype=np.uint8) for n in range(4)]
    made, bits = schedule.measured(photos, White(), 50)
    assert made == schedule.measure(photos, White(), 50)
    initial = np.random.default_rng(9).bytes(4 * photos[0].size)
    coded = 8 * (len(vdm.encode(photos, [1] * 4, White(), made, initial)) - len(initial))
    assert abs(coded / bits - 1) < 0.02


def test_photographs_are_streams_as_single_files_in_small_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "STREAM_PIXELS", 4000)
    monkeypatch.setattr(choosing, "SMALL", 100)
    (tmp_path / "in").mkdir()
    single = 0
    for number in range(5):
        Image.fromarray(photo(number, 40, 40)).save(tmp_path / "in" / f"{number}.png")
        single += len(diffcodec.encode(photo(number, 40, 40)))
    done = pack(str(tmp_path / "in"), str(tmp_path / "x.dfca"), group=8)
    assert (done["model"], done["codec"], done["groups"]) == (STREAMS, "ardm", 3)
    assert done["bytes"] <= single + 5 * 50 + 3 * 50  # what the archive says of each picture, and of each group
    whole = pack(str(tmp_path / "in"), str(tmp_path / "y.dfca"), STREAMS, group=8)
    assert whole["groups"] == 1  # as it was asked for


def test_an_interrupted_archive_goes_on_with_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.fromarray(photo(number, 20, 20)).save(tmp_path / "in" / f"{number}.png")
    seen = []

    def stop(fraction: float) -> None:
        seen.append(fraction)
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(str(tmp_path / "in"), str(tmp_path / "x.dfca"), group=1, progress=stop)
    monkeypatch.setattr("diffcodec.archive.folder.chosen", lambda *_: pytest.fail("chosen anew"))
    done = pack(str(tmp_path / "in"), str(tmp_path / "x.dfca"), group=1)
    assert done["resumed"] >= 1 and done["model"] == STREAMS
