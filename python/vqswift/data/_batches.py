"""Reproducible batches of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from .._warning import warn
from ._ahead import Ahead
from ._cut import Cut, Share
from ._draws import Draws
from ._image_files import FileSamples, ImageFiles
from ._labels import checked_labels
from ._transform import applied
from ._values import ArraySamples, checked_range

_Key = tuple[int, int, int]  # seed, epoch, position
_BATCH_STREAM = 1  # of the draws; those of files are 0


@checked
class Batches:
    """Float32 batches in an order that the seed and the epoch give.

    Iterating yields the rest of the current epoch and moves to the next one; `forever()` goes on
    without end. With labels, each item is a pair `(images, labels)`. The position is two
    numbers, so that `state_dict` resumes exactly where an iterator stood; it counts what was
    handed out, and order, random numbers and results are the same with any number of workers::

        for x in Batches(photos("train").images, batch_size=128, seed=0):
            ...

    An exception while a batch is prepared has the batch's place as a note; StopIteration, which
    would end the iterator, comes as RuntimeError.

    Args:
        images: `[n, h, w, c]`, sequences `[n, t, c]`, video `[n, t, h, w, c]` or vectors
            `[n, features]`, uint8, uint16, float16, float32 or float64; or `ImageFiles`, such as
            an `ImageFolder`, which are read when a batch needs them.
        labels: `[n]` or `[n, k]` integers, or none; those of the files by default.
        batch_size: samples in a batch.
        seed: of the order and of what transforms draw.
        shuffle: a new order every epoch; otherwise as given.
        drop_last: leave out an incomplete last batch; by default as `shuffle`.
        value_range: the least and the greatest value. Floats must lie in it; uint8, uint16 and
            files are laid over it, black and white at its ends in float32. With None floats must
            be finite, and integers come in [0, 1].
        add_channel: add the last axis, of one channel, to gray images `[n, h, w]` and sounds
            `[n, t]`.
        transform: of a batch: a `Transform`, or a function of the images alone.
        workers: threads that prepare batches ahead; with 0 a batch is prepared when it is asked
            for.

    Raises:
        TypeError: for another dtype.
        ValueError: for another rank, no images, values outside the range or not finite, a range
            beyond float32, labels of another length or beyond int32, a negative seed or number of
            workers, or a batch size below 1 or (with `drop_last`) above n.
    """

    images: Any
    labels: NDArray[np.int32] | None
    seed: int
    drop_last: bool
    epoch: int
    position: int

    def __init__(
        self,
        images: NDArray[Any] | ImageFiles,
        labels: NDArray[Any] | None = None,
        *,
        batch_size: int = 128,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool | None = None,
        value_range: tuple[float, float] | None = (0.0, 1.0),
        add_channel: bool = False,
        transform: Callable[..., Any] | None = None,
        workers: int = 0,
    ) -> None:
        declared = checked_range(value_range)
        if isinstance(images, ImageFiles):
            if add_channel:
                raise ValueError("[batches] add_channel with files: they are read with channels")
            self._samples: Any = FileSamples(images, declared)
            self.images = images
            labels = images.labels if labels is None else labels
        else:
            self._samples = ArraySamples(images, declared, add_channel)
            self.images = self._samples.array
        count = len(self._samples)
        self.labels = None if labels is None else checked_labels("batches", labels, count)
        self.batch_size = batch_size = int(batch_size)
        self.seed = seed = int(seed)
        self.shuffle = shuffle
        self.drop_last = shuffle if drop_last is None else drop_last
        self.transform = transform
        self.workers = workers = int(workers)
        self.epoch = 0
        self.position = 0
        self._orders: dict[tuple[int, int], NDArray[np.intp]] = {}
        self._told: set[str] = set()
        self._share: Share | None = None  # of every batch; a trainer's
        for name, value in (("seed", seed), ("workers", workers)):
            if value < 0:
                raise ValueError(f"[batches] {name} {value}: must not be negative")
        if batch_size < 1:
            raise ValueError(f"[batches] batch_size {batch_size}: must be at least 1")
        if self.drop_last and batch_size > count:
            raise ValueError(
                f"[batches] batch_size {batch_size} and {count} images: "
                "no complete batch (drop_last)"
            )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self._samples), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        return self._taken(endless=False)

    def forever(self) -> Iterator[Any]:
        """Batches of one epoch after the other, without end."""
        return self._taken(endless=True)

    def state_dict(self) -> dict[str, int]:
        """The position: seed, epoch and number of batches taken from it."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continues where `state_dict` was taken.

        Raises `ValueError` when a key is missing, no integer or negative, or the position lies
        beyond an epoch.
        """
        seed, epoch, position = checked_state("batches", state, ("seed", "epoch", "position"))
        if position > len(self):
            raise ValueError(
                f"[batches] epoch {epoch}, position {position}: an epoch has {len(self)} batches"
            )
        self.seed, self.epoch, self.position = seed, epoch, position

    def _taken(self, *, endless: bool) -> Iterator[Any]:
        with Ahead(self._prepared, self.workers) as ahead:
            while True:
                if self.position >= len(self):
                    self.epoch += 1
                    self.position = 0
                    if not endless:
                        return
                batch, told = ahead.take(self._following(endless))
                for text in told:
                    if text not in self._told:
                        self._told.add(text)
                        warn(text)
                self.position += 1
                yield batch

    def _following(self, endless: bool) -> Iterator[_Key]:
        """Which batches come, from the position on."""
        epoch, position = self.epoch, self.position
        while True:
            while position < len(self):
                yield self.seed, epoch, position
                position += 1
            if not endless:
                return
            epoch, position = epoch + 1, 0

    def _prepared(self, key: _Key) -> tuple[Any, list[str]]:
        """A batch, and what is to be told of it; also called by the workers."""
        seed, epoch, position = key
        place = f"[batches] while batch {position} of epoch {epoch} was prepared"
        try:
            return self._batch(seed, epoch, position)
        except StopIteration as error:
            stopped = RuntimeError("[batches] StopIteration: a transform must not raise it")
            stopped.add_note(place)
            raise stopped from error
        except Exception as error:
            error.add_note(place)
            raise

    def _batch(self, seed: int, epoch: int, position: int) -> tuple[Any, list[str]]:
        start = position * self.batch_size
        rows = self._order(seed, epoch)[start : start + self.batch_size]
        if self._share is None:
            return self._samples_of(seed, epoch, rows)
        parts, told = {}, []
        for block, begin, end in self._share.rows(len(rows)):
            if end > begin:
                parts[block], texts = self._samples_of(seed, epoch, rows[begin:end])
                told += texts
        return Cut(len(rows), parts), told

    def _samples_of(self, seed: int, epoch: int, rows: NDArray[np.intp]) -> tuple[Any, list[str]]:
        images, rows, told = self._samples.take(rows, partial(Draws, seed, epoch))
        if self.transform is not None:
            draws = Draws(seed, epoch, rows, stream=_BATCH_STREAM)
            images = applied(self.transform, images, draws)
        return (images if self.labels is None else (images, self.labels[rows])), told

    def _order(self, seed: int, epoch: int) -> NDArray[np.intp]:
        if not self.shuffle:
            return np.arange(len(self._samples))
        orders = self._orders
        order = orders.get((seed, epoch))
        if order is None:
            # Without a lock, which a fork might find taken: two threads find the same.
            order = np.random.default_rng([seed, epoch]).permutation(len(self._samples))
            latest = dict([*orders.items()][-1:])
            self._orders = latest | {(seed, epoch): order}
        return order


def checked_state(operation: str, state: Mapping[str, int], keys: Sequence[str]) -> list[int]:
    """The values of these keys; ValueError for one that is missing, no integer or negative."""
    if missing := set(keys) - set(state):
        raise ValueError(f"[{operation}] state without {', '.join(sorted(missing))}")
    for key in keys:
        whole = isinstance(state[key], (int, np.integer)) and not isinstance(state[key], bool)
        if not whole or state[key] < 0:
            raise ValueError(f"[{operation}] {key} {state[key]!r}: must be an integer from 0")
    return [int(state[key]) for key in keys]
