"""Pictures that bring their own last layer: what it saves, that decoders agree on it, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import needs_weights

import diffcodec
from diffcodec.bitstream import Chunk, StreamReader, write
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.ardm import lattice as lattice_codec
from diffcodec.codecs.ardm.row import ARDM
from diffcodec.codecs.codec import Head
from diffcodec.entropy.context import coder as context
from diffcodec.media.picture import Picture
from diffcodec.models import registry
from diffcodec.models.lattice import adjustment
from diffcodec.models.lattice.model import LatticeModel
from diffcodec.runtime.errors import ChecksumMismatch, CorruptStream, InputError, ModelMismatch, Truncated

pytestmark = needs_weights
Y, X = np.mgrid[0:150, 0:163]


def picture() -> np.ndarray:
    """A photograph's shapes with a grain that no photograph has: red is too light where the others are too dark."""
    grain = np.random.default_rng(6).integers(-6, 7, (*Y.shape, 1)) * [-1, 1, 1]
    return ((120 + 60 * np.sin(Y / 17) * np.cos(X / 23))[..., None] + grain).astype(np.uint8)


def size(photo: np.ndarray, model: LatticeModel) -> int:
    """Bytes by the network without statistics of values, and without learning: both see through this grain as well."""
    return sum(map(len, ardm.encode(photo, photo[..., :0], model, method=ardm.LATTICE, tables=0, learned=False)[1]))


@pytest.fixture(scope="module")
def model() -> LatticeModel:
    found = registry.load("photo-ardm", device="cpu")
    assert isinstance(found, LatticeModel)
    return found


@pytest.fixture(scope="module")
def fitted(model: LatticeModel) -> tuple[LatticeModel, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adjustment, "STEPS", 50)
        seen: list[float] = []
        found = adjustment.fit(picture(), model, seen.append)
    assert found is not None and seen == sorted(seen) and seen[-1] == 1
    return found


def test_it_saves_more_than_it_takes(model: LatticeModel, fitted: tuple[LatticeModel, bytes]) -> None:
    adjusted, payload = fitted
    assert size(picture(), adjusted) + len(payload) < 0.75 * size(picture(), model)


def test_the_receiver_has_the_same_network(model: LatticeModel, fitted: tuple[LatticeModel, bytes]) -> None:
    adjusted, payload = fitted
    x = np.random.default_rng(1).integers(0, 256, (3, 11, 14), dtype=np.uint8)
    given = (0, x, None, model.bias(0, 1, (3, 4)), 0, 0)
    ours = adjusted.strip(*given)
    for runtime in ("float32", "torch32", "torch64"):
        theirs = adjustment.apply(registry.load("photo-ardm", device="cpu", runtime=runtime), payload).strip(*given)
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not np.array_equal(ours[0], model.strip(*given)[0])


@pytest.fixture(scope="module")
def tuned() -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adjustment, "STEPS", 50)
        patch.setattr(ardm, "_choose", lambda *given: ardm.LATTICE)  # the context coder sees through this grain as well
        patch.setattr(lattice_codec, "TRIED", (0,))  # and so do statistics of values
        patch.setattr(lattice_codec, "LEARNED_PIXELS", 2**40)  # and learning
        return diffcodec.encode(picture(), tune=True, seed=9)


def test_streams(tuned: bytes) -> None:
    letters = "".join(chunk.type for chunk in StreamReader().feed(tuned))
    assert letters.startswith("HAP") and np.array_equal(diffcodec.decode(tuned), picture())
    info = diffcodec.inspect(tuned)
    assert (info["format"], info["model"], info["seed"]) == ("1.2", "photo-ardm", 9) and info["adjustment_bytes"] > 100
    previews = list(diffcodec.decode_progressive(tuned))
    assert len(previews) == len(info["passes"]) + 1 and np.array_equal(previews[-1].image, picture())
    first = info["passes"][0]["end"]
    assert diffcodec.decode(tuned, upto_bytes=first).shape == picture().shape
    with pytest.raises(Truncated):
        diffcodec.decode(tuned, upto_bytes=first - 1)


def test_statistics_of_values_go_with_it(fitted: tuple[LatticeModel, bytes]) -> None:
    photo, adjusted = picture(), fitted[0]
    params, passes = ardm.encode(photo, photo[..., :0], adjusted, method=ardm.LATTICE, learned=False)
    assert ARDM().about(params).statistics and sum(map(len, passes)) < size(photo, adjusted)
    receiver = ardm.Receiver(Head("ardm", *photo.shape[:2], 3, 0, params), adjusted)
    receiver.take_all(passes)
    assert np.array_equal(receiver.show()[0], photo)


def test_damage_is_found(tuned: bytes) -> None:
    header, _found, *rest = StreamReader().feed(tuned)
    at = header.end + 20
    with pytest.raises(ChecksumMismatch):
        diffcodec.decode(tuned[:at] + bytes([tuned[at] ^ 4]) + tuned[at + 1 :])
    with pytest.raises(CorruptStream, match="context-coded"):
        diffcodec.decode(write([header, Chunk("A", b""), *rest]))
    wild = np.full((150, 97, 1), 255, np.uint8)
    wild[:, ::2] = 0  # sums of 127 and more steps each way
    with pytest.raises(CorruptStream, match="exact range"):
        diffcodec.decode(write([header, Chunk("A", context.encode_planes(wild)), *rest]))
    flat = diffcodec.encode(np.zeros((9, 9), np.uint8), tune=True)  # needs no network
    (small,) = StreamReader().feed(flat)
    assert small.type == "S"


def test_an_adjustment_of_no_network_is_damage(tuned: bytes) -> None:
    screen = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8) % 3, np.ones((20, 20), np.uint8))
    chunks = StreamReader().feed(diffcodec.encode(Picture(screen, "L", exif=b"II*\0")))
    assert diffcodec.inspect(write(chunks))["model"] is None
    with pytest.raises(CorruptStream, match="does not use"):
        diffcodec.decode(write([chunks[0], StreamReader().feed(tuned)[1], *chunks[1:]]))


def test_grey(model: LatticeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adjustment, "STEPS", 50)
    grey = (picture()[..., :1] // 16 * 16) + 4 * (picture()[..., 1:2] % 3)  # flat steps in a strange noise
    found = adjustment.fit(grey, model)
    assert found is not None and size(grey, found[0]) + len(found[1]) < size(grey, model)


def test_rows_that_would_leave_the_exact_range_shrink(model: LatticeModel) -> None:
    phases, outputs, inputs = model.head_shape
    wild = np.random.default_rng(2).integers(-128, 128, (phases, outputs, inputs + 1)).astype(np.int8)
    with pytest.raises(ValueError, match="exact range"):
        model.adjusted(wild)
    limited = model.limited(wild)
    model.adjusted(limited)
    assert (np.abs(limited.astype(int)) <= np.abs(wild.astype(int))).all() and limited.any(-1).all()


def test_small_pictures_stay_as_they_are() -> None:
    photo = picture()[:60, :70]
    assert diffcodec.encode(photo, tune=True) == diffcodec.encode(photo)


def test_crops_lie_inside() -> None:
    for height, width in ((150, 163), (8, 2100), (1, 20000), (1500, 1301)):
        crops = adjustment._crops(height, width)
        assert len(crops) <= adjustment.CROPS
        for part in crops:
            for side, length in zip(part, (height, width), strict=True):
                assert 0 <= side.start < side.stop <= length and (side.stop - side.start) % 8 == 0
        assert len({(y.start, x.start) for y, x in crops}) == len(crops)
    assert adjustment._crops(150, 163) == [(slice(0, 144), slice(0, 160))]


def test_what_cannot_be_tuned_says_so(model: LatticeModel) -> None:
    with pytest.raises(InputError, match="cannot be tuned"):
        diffcodec.encode(picture(), "diffc", bpp=1, tune=True)
    with pytest.raises(InputError, match="cifar10-oa"):
        diffcodec.encode(picture()[:32, :32], model="cifar10-oa", tune=True)
    with pytest.raises(ModelMismatch, match="does not allow"):
        adjustment.apply(registry.load("cifar10-oa", device="cpu"), b"")
