"""Pictures of an archive as a dataset of torch: any order, workers, and how often a group is decoded."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import needs_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec.archive import memory, reading
from diffcodec.runtime.errors import DiffcodecError, InputError, NotADiffcodecFile

GROUP = 3
PICTURES = [np.random.default_rng(k).integers(0, 256, (6, 5 + k % 3), dtype=np.uint8) for k in range(10)]
PICTURES[4] = PICTURES[3].copy()


@pytest.fixture
def archive(fake_codec: None) -> bytes:
    return diffcodec.encode_archive(PICTURES, "fake", group=GROUP)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the groups that were decoded, in their order."""
    seen: list[int] = []
    real = memory.decoded

    def counted(reader: Any, places: Any, *rest: Any) -> Any:
        seen.extend(place.number for place in places)
        return real(reader, places, *rest)

    monkeypatch.setattr(memory, "decoded", counted)
    return seen


def test_items_in_any_order(archive: bytes, decoded: list[int]) -> None:
    dataset = diffcodec.ArchiveDataset(archive, kept=2)
    assert len(dataset) == 10 and decoded == []
    for index in (9, 0, 1, 8, -1, 2, 3, 0):
        assert np.array_equal(dataset[index], PICTURES[index])
    assert decoded == [3, 0, 2, 3, 0, 1]
    for index in (10, -11):
        with pytest.raises(IndexError):
            dataset[index]
    assert [one.shape for one in dataset] == [one.shape for one in PICTURES]


def test_several_at_once_decode_each_group_once(archive: bytes, decoded: list[int]) -> None:
    dataset = diffcodec.ArchiveDataset(archive, lambda array: array.astype(np.float32) / 255, kept=1)
    items = dataset.__getitems__([9, 0, 4, 1, 9, 3])
    assert sorted(decoded) == [0, 1, 3]
    for index, item in zip([9, 0, 4, 1, 9, 3], items, strict=True):
        assert item.dtype == np.float32 and np.allclose(item * 255, PICTURES[index])


def test_what_is_done_to_an_item_stays_with_it(archive: bytes) -> None:
    dataset = diffcodec.ArchiveDataset(archive)
    dataset[0][:] = 0
    assert np.array_equal(dataset[0], PICTURES[0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 12), st.integers(0, 5), st.none() | st.integers(0, 9))
def test_batches_hold_every_picture_once(archive: bytes, size: int, workers: int, seed: int | None) -> None:
    dataset = diffcodec.ArchiveDataset(archive)
    batches = dataset.batches(size, workers=workers, seed=seed)
    assert sorted(itertools.chain(*batches)) == list(range(10)) and max(map(len, batches)) <= size
    assert batches == dataset.batches(size, workers=workers, seed=seed)
    if not workers:
        groups = [index // GROUP for index in itertools.chain(*batches)]
        assert len(list(itertools.groupby(groups))) == 4  # one after another
        assert seed is not None or list(itertools.chain(*batches)) == list(range(10))


def test_each_worker_has_groups_of_its_own(archive: bytes) -> None:
    batches = diffcodec.ArchiveDataset(archive).batches(GROUP, workers=2, seed=1)
    of = [{index // GROUP for batch in batches[k::2] for index in batch} for k in range(2)]
    assert not of[0] & of[1] and of[0] | of[1] == {0, 1, 2, 3}


def test_copies_open_the_archive_themselves(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dfca"
    path.write_bytes(archive)
    dataset = diffcodec.ArchiveDataset(path)
    assert np.array_equal(dataset[5], PICTURES[5])
    other = pickle.loads(pickle.dumps(dataset))
    assert np.array_equal(other[5], PICTURES[5]) and np.array_equal(dataset[6], PICTURES[6])


def test_bad_archives_and_wishes(archive: bytes) -> None:
    with pytest.raises(NotADiffcodecFile):
        diffcodec.ArchiveDataset(b"nothing")
    with pytest.raises(InputError, match="1 group"):
        diffcodec.ArchiveDataset(archive, kept=0)
    with pytest.raises(InputError, match="batches of 1"):
        diffcodec.ArchiveDataset(archive).batches(0)
    with pytest.raises(FileNotFoundError):
        diffcodec.ArchiveDataset("there-is-none.dfca")
    place = reading.reader_of(archive).places[1]
    damaged = bytearray(archive)
    damaged[place.offset + place.size // 2] ^= 1
    dataset = diffcodec.ArchiveDataset(bytes(damaged))
    assert np.array_equal(dataset[0], PICTURES[0]) and np.array_equal(dataset[9], PICTURES[9])
    with pytest.raises(DiffcodecError):
        dataset[4]
    cut = diffcodec.ArchiveDataset(archive[: place.offset + place.size])  # without an index
    assert len(cut) == 2 * GROUP and np.array_equal(cut[5], PICTURES[5])


@needs_weights
def test_a_loader_with_workers(tmp_path: Path) -> None:
    from torch.utils.data import DataLoader

    path = tmp_path / "a.dfca"
    path.write_bytes(diffcodec.encode_archive([picture[:6, :5].copy() for picture in PICTURES], "photo-ardm", group=3))
    dataset = diffcodec.ArchiveDataset(str(path))
    batches = dataset.batches(4, workers=2, seed=0)
    loader = DataLoader(dataset, batch_sampler=batches, num_workers=2, multiprocessing_context="spawn")
    seen = list(loader)
    assert len(seen) == len(batches)
    for batch, numbers in zip(seen, batches, strict=True):
        assert np.array_equal(batch.numpy(), np.stack([PICTURES[index][:6, :5] for index in numbers]))
