"""The pictures of an archive as a dataset of torch, which is not imported here."""

from __future__ import annotations

import bisect
import itertools
import os
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..bitstream.archive import Place, Reader
from ..runtime.errors import DiffcodecError, InputError
from ..runtime.hostile import guarded
from . import memory as archive
from .reading import reader_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.utils.data import Dataset

    Samples = NDArray[np.generic]
    Base = Dataset[Any]
else:
    Base = object  # a loader asks for a length and for items, no more

KEPT = 4  #: groups


class ArchiveDataset(Base):
    """The pictures of an archive by their numbers, for `torch.utils.data.DataLoader`: arrays as from `decode`.

    source:    a path, here or elsewhere, or bytes. transform: what is made of each array, itself if None.
    kept:      groups whose pictures stay in memory, those that were asked for last: none is decoded for each item.
    device:    where decoding is done, "cpu" in worker processes. model, max_pixels, budget: as of `decode_archive`.

    A group is decoded as a whole: ask for pictures in the order of `batches`. Workers open the archive themselves.
    Raises as `inspect_archive`; items as `decode_archive`, and IndexError.
    """

    @guarded
    def __init__(
        self,
        source: Any,
        transform: Callable[[Samples], Any] | None = None,
        *,
        kept: int = KEPT,
        device: str = "cpu",
        model: Any = None,
        max_pixels: int | None = None,
        budget: float = 1.0,
    ):
        if kept < 1:
            raise InputError(f"expected to keep 1 group or more, found {kept}")
        self._source, self._transform, self._kept = source, transform, kept
        self._device, self._model, self._max_pixels, self._budget = device, model, max_pixels, budget
        self._groups: OrderedDict[int, list[Samples | DiffcodecError]] = OrderedDict()
        self._reader: Reader | None = None
        self._process = 0
        places = self._opened().places
        counts = (self._count(place) for place in places)
        self._starts = list(itertools.accumulate(counts, initial=0))  # of each group, and the end

    def _count(self, place: Place) -> int:
        """Pictures of a group, which an archive without an index does not tell."""
        return len(self._opened().group(place).entries) if place.pictures is None else place.pictures

    def _opened(self) -> Reader:
        """The archive, open in this process: those that are forked would share where they read."""
        if self._reader is None or self._process != os.getpid():
            self._reader = reader_of(self._source, self._max_pixels)
            self._process = os.getpid()
        return self._reader

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None, "_groups": OrderedDict()}

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        index %= len(self)
        group = bisect.bisect_right(self._starts, index) - 1
        found = self._pictures(group)[index - self._starts[group]]
        if isinstance(found, DiffcodecError):
            raise found
        array = found.copy()  # what a caller does to it stays with the caller
        return array if self._transform is None else self._transform(array)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Several items, each group decoded once."""
        found = {index: self[index] for index in sorted(set(indices))}
        return [found[index] for index in indices]

    def _pictures(self, group: int) -> list[Samples | DiffcodecError]:
        """Of a group, each or why it is lost."""
        if group not in self._groups:
            self._groups[group] = self._decoded(group)
            if len(self._groups) > self._kept:
                self._groups.popitem(last=False)
        self._groups.move_to_end(group)
        return self._groups[group]

    @guarded
    def _decoded(self, group: int) -> list[Samples | DiffcodecError]:
        reader = self._opened()
        place = reader.places[group]
        (one,) = archive.decoded(reader, [place], self._model, self._device, 1, None, self._budget)
        if one.error is not None:
            raise one.error
        return [found if isinstance(found, DiffcodecError) else found.array for found in one.pictures]

    def batches(self, size: int, *, workers: int = 0, seed: int | None = None) -> list[list[int]]:
        """Numbers of all pictures in batches, for ``DataLoader(dataset, batch_sampler=…)``: group after group.

        size:    pictures of a batch; the last ones may have fewer. seed: of a random order of groups, and of pictures
                 in each; None leaves them in their order.
        workers: as many as the loader has: then each is given groups of its own, and decodes no other's but at the end.
        Raises InputError for a size below 1.
        """
        if size < 1:
            raise InputError(f"expected batches of 1 picture or more, found {size}")
        groups = [list(range(a, b)) for a, b in itertools.pairwise(self._starts)]
        if seed is not None:
            source = random.Random(seed)
            source.shuffle(groups)
            for group in groups:
                source.shuffle(group)
        shares = [list(itertools.chain(*groups[k :: max(1, workers)])) for k in range(max(1, workers))]
        cut = ([share[at : at + size] for at in range(0, len(share), size)] for share in shares)
        turns = itertools.zip_longest(*cut)  # a loader hands batches to its workers in turn
        return [batch for turn in turns for batch in turn if batch is not None]
