"""Small pictures, whose stream is one chunk: what takes that form, what does not, and what its reader refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_weights

import diffcodec
from diffcodec import api
from diffcodec.bitstream import Chunk, StreamReader, read, small, write
from diffcodec.media.picture import Picture
from diffcodec.models import registry
from diffcodec.runtime.errors import BitstreamError, DecodeMismatch, ModelMismatch, ModelNotFound

pytestmark = needs_weights
Y, X = np.mgrid[0:32, 0:32]
NOISE = np.random.default_rng(4).integers(0, 9, (32, 32, 3))
PICTURE = ((Y * 3 + X * 4)[..., None] + 7 * np.arange(3) + NOISE).astype(np.uint8)


def letters(data: bytes) -> str:
    return "".join(chunk.type for chunk in StreamReader().feed(data))


@pytest.mark.parametrize(("model", "image"), [("cifar10-ardm", PICTURE), (None, X.astype(np.uint8) // 2)])
def test_a_small_picture_is_one_chunk(model: str | None, image: np.ndarray) -> None:
    """Coded by a network, or, as a ramp is, without one."""
    data = diffcodec.encode(image, model=model, seed=300)
    assert letters(data) == "S" and np.array_equal(diffcodec.decode(data), image)
    info = diffcodec.inspect(data)
    assert (info["format"], info["model"], info["seed"], info["complete"]) == ("1.1", model, 300, True)
    assert info["passes"][0]["end"] == info["bytes"] == len(data)
    (preview,) = diffcodec.decode_progressive(data)
    assert preview.complete and np.array_equal(preview.image, image)


def test_it_takes_less_than_the_long_form() -> None:
    data = diffcodec.encode(PICTURE, model="cifar10-ardm")
    long = diffcodec.encode(Picture(PICTURE, "RGB", exif=b"II*\0"), model="cifar10-ardm")
    assert letters(long) == "HxPE" and read(long).passes == read(data).passes
    assert len(data) + 35 <= len(long) - len(b"x\x04II*\0") - 4
    assert np.array_equal(diffcodec.decode(long), PICTURE)


def test_large_pictures_and_others_models_are_told_at_length(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert letters(diffcodec.encode(noise, model="cifar10-ardm")) == "HPE"  # a pass above small.WORTH
    for kind in (".safetensors", ".json"):
        shutil.copy(registry.FOLDER / f"cifar10-ardm{kind}", tmp_path / f"mine{kind}")
    card = tmp_path / "mine.json"
    card.write_text(card.read_text().replace('"name": "cifar10-ardm"', '"name": "mine"'))
    data = diffcodec.encode(PICTURE, model=tmp_path / "mine")
    assert letters(data) == "HPE" and diffcodec.inspect(data)["model"] == "mine"
    assert np.array_equal(diffcodec.decode(data, model=tmp_path / "mine"), PICTURE)


def test_every_damaged_byte_is_found() -> None:
    data = diffcodec.encode(PICTURE[:9, :7], model="cifar10-ardm")
    for at in range(len(data)):
        for bit in (1, 128):
            with pytest.raises(BitstreamError):
                diffcodec.decode(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
        with pytest.raises(BitstreamError):
            diffcodec.decode(data[:at])


def test_forged_under_a_valid_checksum() -> None:
    header, one_pass, digest, _ = small.unpack(
        StreamReader().feed(diffcodec.encode(PICTURE, model="cifar10-ardm"))[0].payload
    )

    def forged(fingerprint: bytes = header.fingerprint, digest: bytes = digest) -> bytes:
        changed = type(header)(**{**vars(header), "fingerprint": fingerprint})
        return write([Chunk("S", small.pack(changed, one_pass, digest))])

    with pytest.raises(DecodeMismatch, match="digest"):
        diffcodec.decode(forged(digest=bytes(4)))
    unknown = forged(fingerprint=b"\1\2\3\4")
    assert diffcodec.inspect(unknown)["model"] is None
    with pytest.raises(ModelNotFound, match="01020304"):
        diffcodec.decode(unknown)
    with pytest.raises(ModelMismatch, match="01020304"):
        diffcodec.decode(unknown, model="cifar10-ardm")


def test_bundled_models_are_told_apart_by_four_bytes() -> None:
    found = [bytes.fromhex(card["fingerprint"])[: small.MODEL_BYTES] for card in registry.cards()]
    assert len(set(found)) == len(found)


def test_streams_of_before_still_decode() -> None:
    """The same picture written as format 1.0 does: name, 8 bytes of fingerprint, a digest of 8."""
    data = diffcodec.encode(PICTURE, model="cifar10-ardm")
    header, one_pass, *_ = small.unpack(StreamReader().feed(data)[0].payload)
    provider = registry.load("cifar10-ardm")
    named = type(header)(**{**vars(header), "model": "cifar10-ardm", "fingerprint": provider.fingerprint[:8]})
    digest = Picture(PICTURE, "RGB").digest()
    before = write([Chunk("H", named.to_bytes()), Chunk("P", one_pass), Chunk("E", digest)])
    assert read(before).version == (1, 0) and np.array_equal(api.decode(before), PICTURE)
