"""Batches from any iterable."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked, refuse
from .._arrays import as_array
from ._batches import checked_state
from ._labels import as_int32
from ._values import unit_range

_IMAGE_RANK = 4  # [n, h, w, c]; maps of labels are [n, h, w]
_REMEMBERED = 16  # batches after a position that is asked for again
_END = object()


class _Given(NamedTuple):
    """A batch, with the positions before and after it."""

    before: tuple[int, int]
    after: tuple[int, int]
    batch: Any


@checked
class Stream:
    """Batches from an iterable, as `Trainer` and `Run` take them.

    What it yields is a batch: an array, or a tuple or list of arrays of which the first are the
    images and the others labels, or, with four axes and more, images too. Tensors of other
    libraries are read as arrays. uint8 and uint16 images come in [0, 1], floats as float32, and
    other integers, such as labels of any dtype, as int32.

    The position is counted. An iterable that begins anew with each `iter()`, such as a torch
    `DataLoader`, and a function that makes iterators resume by it: the batches before are taken
    and dropped, which is exact as far as the iteration repeats itself. A function gets the number
    of the epoch, from which it can seed its order, as its parameter `epoch` or, without one, as a
    positional parameter that has no default. An iterator, such as a generator, is gone through
    once and cannot be resumed.

    Args:
        iterable: of batches, or a function that makes one, such as a generator function.
        length: batches that count as an epoch for `Run`, where the iterable has no `len`.
        channels_first: move axis 1 of all images to the end: torch's layout to this package's.

    Raises `ValueError` for a length below 1; while it is gone through `TypeError` for a batch that
    is no array of numbers, and `ValueError` for numbers beyond float32 or int32, masked elements,
    an iterable without batches or one that has ended.
    """

    def __init__(
        self,
        iterable: Iterable[Any] | Callable[..., Iterable[Any]],
        *,
        length: int | None = None,
        channels_first: bool = False,
    ) -> None:
        if length is not None and length < 1:
            raise ValueError(f"[stream] length = {length}: must be at least 1")
        self.iterable: Any = iterable
        self.length = None if length is None else int(length)
        self.channels_first = channels_first
        self.epoch = 0
        self.position = 0
        self._is_iterator = isinstance(iterable, Iterator)
        self._live: Iterator[Any] | None = iterable if isinstance(iterable, Iterator) else None
        self._again: deque[_Given] = deque()
        self._given: list[_Given] | None = None  # since the position was asked for

    def __len__(self) -> int:
        """The number of batches in an epoch; TypeError where it is not known."""
        if self.length is not None:
            return self.length
        try:
            return len(self.iterable)
        except TypeError as error:  # also of a torch DataLoader, by its set
            raise TypeError(
                "[stream] the iterable has no len: length= must say how many batches count as an "
                "epoch"
            ) from error

    def __iter__(self) -> Iterator[Any]:
        return self._taken(endless=False)

    def forever(self) -> Iterator[Any]:
        """Batches of one epoch after the other; ValueError when an iterator has ended."""
        return self._taken(endless=True)

    def state_dict(self) -> dict[str, int]:
        """The position: epoch and number of batches taken from it."""
        self._given = []
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continues where `state_dict` was taken.

        Raises `ValueError` when a key is missing, no integer or negative, and for an iterator that
        stands elsewhere; back to the last position that was asked for it goes for 16 batches.
        """
        epoch, position = checked_state("stream", state, ("epoch", "position"))
        target = epoch, position
        for index, given in enumerate(self._given or ()):
            if given.before == target:
                assert self._given is not None
                self._again.extendleft(reversed(self._given[index:]))
                self._given = self._given[:index]
                self.epoch, self.position = target
                return
        if target == (self.epoch, self.position):
            return
        if self._is_iterator:
            raise ValueError(
                f"[stream] an iterator such as a generator cannot be resumed: it stands at batch "
                f"{self.position} of epoch {self.epoch} and the state at {position} of {epoch}; "
                "give a list, or the function that makes it"
            )
        self.epoch, self.position = target
        self._live, self._given = None, None
        self._again.clear()

    def _taken(self, *, endless: bool) -> Iterator[Any]:
        while True:
            before = self.epoch, self.position
            if self._again:
                _, after, batch = self._again[0]
                if after[0] != self.epoch and not endless:
                    self.epoch, self.position = after[0], 0
                    return
                self._again.popleft()
                self.epoch, self.position = after
            else:
                batch = self._next(endless)
                if batch is _END:
                    return
                self.position += 1
            self._remember(_Given(before, (self.epoch, self.position), batch))
            yield batch

    def _remember(self, given: _Given) -> None:
        if self._given is not None:
            self._given.append(given)
            if len(self._given) > _REMEMBERED:
                self._given = None

    def _next(self, endless: bool) -> Any:
        """The next batch; after the last of an epoch the first of the next, or the end."""
        while True:
            place = f"[stream] at batch {self.position} of epoch {self.epoch}"
            try:
                if self._live is None:
                    self._live = self._begun()
                batch = next(self._live, _END)
                if batch is not _END:
                    return self._converted(batch)
            except StopIteration as error:
                stopped = RuntimeError(
                    "[stream] StopIteration: what makes batches must not raise it"
                )
                stopped.add_note(place)
                raise stopped from error
            except Exception as error:
                error.add_note(place)
                raise
            if self._is_iterator and (endless or self.position == 0):
                raise ValueError(
                    f"[stream] the iterator has ended at batch {self.position} of epoch "
                    f"{self.epoch} and cannot begin anew: give a list, or the function that makes "
                    "it"
                )
            if self.position == 0:
                raise ValueError(f"[stream] epoch {self.epoch}: the iterable has no batches")
            self.epoch, self.position = self.epoch + 1, 0
            if not self._is_iterator:
                self._live = None
            if not endless:
                return _END

    def _begun(self) -> Iterator[Any]:
        """The epoch's iterator, after the batches before the position."""
        source = self.iterable
        made: Any = source
        if callable(source) and not hasattr(source, "__iter__"):
            made = _made(source, self.epoch)
        live: Iterator[Any] = iter(made)
        for number in range(self.position):
            if next(live, _END) is _END:
                raise ValueError(
                    f"[stream] position {self.position}: epoch {self.epoch} has {number} batches"
                )
        return live

    def _converted(self, batch: Any) -> Any:
        if not isinstance(batch, (tuple, list)):
            return self._images(_array(batch))
        if not batch:
            refuse("stream", "a batch", batch, "an array, or a tuple of arrays")
        first, *others = (_array(part) for part in batch)
        return self._images(first), *(
            self._images(part) if part.ndim >= _IMAGE_RANK else _narrow(part) for part in others
        )

    def _images(self, found: NDArray[Any]) -> NDArray[Any]:
        images = unit_range(found) if found.dtype in (np.uint8, np.uint16) else _narrow(found)
        if not self.channels_first:
            return images
        if images.ndim < 3:
            raise ValueError(
                f"[stream] channels_first and images {[*images.shape]}: must be [n, c, ...]"
            )
        return np.ascontiguousarray(np.moveaxis(images, 1, -1))


def _made(function: Callable[..., Any], epoch: int) -> Any:
    """What it gives for the epoch, where it takes one; keywords of a partial stay as they are."""
    parameters = inspect.signature(function).parameters.values()
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if any(parameter.name == "epoch" and parameter.kind in by_name for parameter in parameters):
        return function() if "epoch" in getattr(function, "keywords", ()) else function(epoch=epoch)
    by_place = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    takes_one = any(
        parameter.kind in by_place and parameter.default is parameter.empty
        for parameter in parameters
    )
    return function(epoch) if takes_one else function()


def _array(value: Any) -> NDArray[Any]:
    """Real numbers of any kind."""
    if hasattr(value, "detach"):
        value = value.detach()
        if hasattr(value, "cpu"):
            value = value.cpu()
        if str(getattr(value, "dtype", "")) == "torch.bfloat16":
            value = value.float()
    found = as_array("stream", "a batch", value)
    if found.dtype.kind not in "fiub":
        refuse("stream", "a batch", value, "an array of real numbers")
    return found


def _narrow(found: NDArray[Any]) -> NDArray[Any]:
    """Float32 or int32."""
    if found.dtype.kind != "f":
        return as_int32("stream", "integers", found)
    try:
        with np.errstate(over="raise"):
            return found.astype(np.float32, copy=False)
    except FloatingPointError:
        raise ValueError(
            f"[stream] floats {found.min():g}...{found.max():g}: they do not fit in float32"
        ) from None
