"""Pictures as chunks of Zarr arrays, of formats 2 and 3: what comes back, what is recorded, what is refused."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import White
from hypothesis import given
from hypothesis import strategies as st

from diffcodec.archive.chunks import DTYPES, Chunks, frames_of
from diffcodec.models import registry
from diffcodec.runtime.errors import CorruptStream, DiffcodecError, InputError, ModelNotFound, NotADiffcodecFile

SHAPES = {
    (21, 18): (8, 8),
    (21, 18, 3): (8, 8, 3),
    (5, 21, 18): (2, 8, 8),
    (3, 9, 8, 3): (2, 8, 8, 3),
    (2, 1, 21, 18): (1, 1, 8, 8),
}


def samples(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


@given(st.lists(st.integers(0, 5), max_size=6).map(tuple), st.sampled_from([*DTYPES, "float32", "int16", "bool"]))
def test_shapes_are_frames_or_refused(shape: tuple[int, ...], dtype: str) -> None:
    try:
        frames = frames_of(shape, dtype)
    except InputError as error:
        assert "takes chunks" in str(error)
        return
    assert np.prod(frames) == np.prod(shape) > 0 and dtype in DTYPES
    assert len(frames) == 3 or (len(frames) == 4 and frames[-1] == 3)


@pytest.mark.usefixtures("fake_codec")
@pytest.mark.parametrize("shape", [*SHAPES.values(), (8, 1), (1, 3, 3), (4, 1, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_chunks_round_trip(shape: tuple[int, ...], dtype: str) -> None:
    array = samples(shape, dtype)
    chunks = Chunks.of(json.loads(json.dumps(Chunks(seed=7).config())))
    assert chunks == Chunks(seed=7)
    back = chunks.decode(chunks.encode(array))
    assert back.dtype == array.dtype and np.array_equal(back.reshape(shape), array)


@pytest.mark.usefixtures("fake_codec")
@pytest.mark.parametrize(("shape", "chunks"), SHAPES.items())
@pytest.mark.parametrize("dtype", ["uint8", ">u2"])
def test_zarr_of_format_3(shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str) -> None:
    zarr = pytest.importorskip("zarr", reason="needs the extra zarr")
    from diffcodec.archive.zarr_codec import Dfc

    array, store = samples(shape, np.dtype(dtype).name), {}
    made = zarr.create_array(store, shape=shape, chunks=chunks, dtype=dtype, serializer=Dfc(seed=5), compressors=None)
    made[:] = array
    back = zarr.open_array(store)
    assert np.array_equal(back[:], array)
    assert back.metadata.to_dict()["codecs"] == ({"name": "diffcodec", "configuration": {"seed": 5}},)
    assert np.array_equal(back[1:2], array[1:2])


@pytest.mark.usefixtures("fake_codec")
@pytest.mark.parametrize(("shape", "chunks"), SHAPES.items())
def test_zarr_of_format_2(shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    zarr = pytest.importorskip("zarr", reason="needs the extra zarr")
    from diffcodec.archive.numcodecs_codec import Dfc

    array, store = samples(shape), {}
    made = zarr.create_array(store, shape=shape, chunks=chunks, dtype="uint8", zarr_format=2, compressors=Dfc(seed=5))
    made[:] = array
    back = zarr.open_array(store)
    assert np.array_equal(back[:], array)
    assert back.metadata.to_dict()["compressor"] == {"id": "diffcodec", "seed": 5}


@pytest.mark.usefixtures("fake_codec")
def test_numcodecs() -> None:
    numcodecs = pytest.importorskip("numcodecs", reason="needs the extra zarr")
    from diffcodec.archive.numcodecs_codec import Dfc

    codec = Dfc(seed=5, realism=0.5)
    again = numcodecs.get_codec(codec.get_config())
    assert again == codec and "seed=5" in repr(again)
    array, out = samples((9, 8), "uint16"), np.zeros((9, 8), np.uint16)
    data = codec.encode(array)
    assert np.array_equal(again.decode(data), array)
    again.decode(bytearray(data), out)
    assert np.array_equal(out, array)


def test_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame takes what was asked for; the model is one that goes by a name."""
    monkeypatch.setattr(registry, "_registered", {"white": White()})
    y, x = np.mgrid[0:32, 0:40]
    frames = np.stack([(3 * x + 2 * y + 9 * k) % 200 for k in range(3)]).astype(np.uint8)
    chunks = Chunks(codec="diffc", model="white", bpp=3)
    data = chunks.encode(frames)
    assert 2.5 < 8 * len(data) / frames.size <= 3
    back = chunks.decode(data)
    assert back.shape == frames.shape and np.square(back - frames.astype(float)).mean() < np.var(frames) / 2
    blank = np.full((32, 40), 7, np.uint8)  # needs fewer bits than there are
    assert chunks.decode(chunks.encode(blank)).shape == blank.shape


@pytest.mark.parametrize(
    "config",
    [{"x": 1}, {"bpp": 1, "psnr": 30}, {"model": 3}, {"codec": "lzma"}, {"realism": 2}, {"bpp": -1, "codec": "diffc"}],
)
def test_configurations_that_are_none(config: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Chunks.of(config)


def test_the_name_of_a_model_in_an_array_opens_no_file(tmp_path: Path) -> None:
    for name in (str(tmp_path / "x"), "os:getcwd", "path:x", "diffusers:x"):
        with pytest.raises(ModelNotFound, match="neither bundled nor registered"):
            Chunks(model=name).encode(samples((8, 8)))


@pytest.mark.usefixtures("fake_codec")
def test_arrays_and_chunks_that_are_refused() -> None:
    zarr = pytest.importorskip("zarr", reason="needs the extra zarr")
    from diffcodec.archive.zarr_codec import Dfc

    for dtype, shape in (("float32", (8, 8)), ("uint8", (8,)), ("uint8", (4, 4, 4, 4))):
        with pytest.raises(InputError, match="takes chunks"):
            zarr.create_array({}, shape=shape, chunks=shape, dtype=dtype, serializer=Dfc(), compressors=None)
    store: dict[str, Any] = {}
    made = zarr.create_array(store, shape=(8, 8), chunks=(8, 8), dtype="uint8", serializer=Dfc(), compressors=None)
    made[:] = samples((8, 8))
    (name,) = (key for key in store if re.search(r"c/0/0$", key))
    buffer = type(store[name])
    whole = store[name].to_bytes()
    for data, error in (
        (Chunks().encode(samples((8, 9))), CorruptStream),
        (Chunks().encode(samples((8, 8), "uint16")), CorruptStream),
        (b"nothing", NotADiffcodecFile),
        (whole[:-1], DiffcodecError),
    ):
        store[name] = buffer.from_bytes(data)
        with pytest.raises(error):
            zarr.open_array(store)[:]


def test_entry_points_lead_to_the_codecs() -> None:
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    for group, library in (("numcodecs", "numcodecs"), ("zarr", "zarr")):
        found = re.search(rf'entry-points\."{group}\.codecs"\]\ndiffcodec = "([\w.]+):(\w+)"', pyproject)
        assert found
        pytest.importorskip(library, reason="needs the extra zarr")
        assert getattr(import_module(found[1]), found[2]).__name__ == "Dfc"
