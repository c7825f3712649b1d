"""What gives a tensor another shape or order of elements, made of operators of the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arguments import checked

if TYPE_CHECKING:
    from ._tensor import Tensor


def place(operation: str, axis: int, rank: int) -> int:
    """`axis` counted from the front; IndexError for one that there is not."""
    if not -rank <= axis < rank:
        raise IndexError(f"[{operation}] axis {axis}: there are {rank}")
    return axis % rank


def _reshaped(x: Any, shape: Sequence[int]) -> Tensor:
    result: Tensor = x.reshape(tuple(shape))
    return result


def _permuted(x: Any, axes: Sequence[int]) -> Tensor:
    result: Tensor = x.permute(tuple(axes))
    return result


@checked
class Shapes:
    """Shapes and orders of a `Tensor`, as PyTorch and NumPy name them."""

    __slots__ = ()

    def squeeze(self: Any, axis: int | None = None) -> Tensor:
        """Without the axes of size 1, or without that one; ValueError for one of another size."""
        shape: tuple[int, ...] = self.shape
        if axis is None:
            return _reshaped(self, [size for size in shape if size != 1])
        at = place("squeeze", axis, len(shape))
        if shape[at] != 1:
            raise ValueError(f"[squeeze] shape {list(shape)}: axis {axis} must have the size 1")
        return _reshaped(self, [*shape[:at], *shape[at + 1 :]])

    def unsqueeze(self: Any, axis: int) -> Tensor:
        """With an axis of size 1 more, at `axis` of the result."""
        at = place("unsqueeze", axis, self.ndim + 1)
        return _reshaped(self, [*self.shape[:at], 1, *self.shape[at:]])

    def flatten(self: Any, start: int = 0, end: int = -1) -> Tensor:
        """The axes from `start` to `end` as one."""
        shape = self.shape or (1,)
        first, last = place("flatten", start, len(shape)), place("flatten", end, len(shape))
        if first > last:
            raise ValueError(f"[flatten] start = {start}: must not be behind end = {end}")
        joined = int(np.prod(shape[first : last + 1], dtype=np.int64))
        return _reshaped(self, [*shape[:first], joined, *shape[last + 1 :]])

    def transpose(self: Any, axis0: int, axis1: int) -> Tensor:
        """Two axes exchanged."""
        a, b = (place("transpose", axis, self.ndim) for axis in (axis0, axis1))
        order = list(range(self.ndim))
        order[a], order[b] = b, a
        return _permuted(self, order)

    def flip(self: Any, axis: int) -> Tensor:
        """In reverse order along `axis`."""
        at = place("flip", axis, self.ndim)
        flipped: Tensor = self[(*(slice(None),) * at, slice(None, None, -1))]
        return flipped

    def roll(self: Any, shift: int, axis: int) -> Tensor:
        """Each element `shift` places further along `axis`, those beyond its end at its start."""
        at = place("roll", axis, self.ndim)
        size = self.shape[at]
        cut = -shift % size if size else 0
        before = (slice(None),) * at
        from ._functions import concatenate

        parts = [self[(*before, slice(cut, size))], self[(*before, slice(0, cut))]]
        return concatenate(parts, at)

    def split(self: Any, size: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
        """Parts of `size` along `axis`, the last perhaps smaller, or of the sizes given."""
        at = place("split", axis, self.ndim)
        length = self.shape[at]
        if isinstance(size, (int, np.integer)):
            if size < 1:
                raise ValueError(f"[split] size = {size}: must be at least 1")
            sizes = [min(int(size), length - start) for start in range(0, length, int(size))]
        else:
            sizes = [int(part) for part in size]
            if sum(sizes) != length or min(sizes, default=0) < 0:
                raise ValueError(f"[split] sizes {sizes}: they must add up to {length}")
        ends = np.cumsum([0, *sizes])
        before = (slice(None),) * at
        return tuple(
            self[(*before, slice(int(a), int(b)))] for a, b in zip(ends[:-1], ends[1:], strict=True)
        )

    def chunk(self: Any, count: int, axis: int = 0) -> tuple[Tensor, ...]:
        """`count` parts along `axis` of equal size, the last perhaps smaller; fewer of few."""
        if count < 1:
            raise ValueError(f"[chunk] count = {count}: must be at least 1")
        at = place("chunk", axis, self.ndim)
        parts: tuple[Tensor, ...] = self.split(max(-(-self.shape[at] // count), 1), at)
        return parts

    def repeat(self: Any, *counts: int) -> Tensor:
        """So many copies along each axis; more counts than axes put new axes in front."""
        if len(counts) < self.ndim or min(counts, default=0) < 0:
            raise ValueError(
                f"[repeat] counts {list(counts)}: one of at least 0 is required for each of "
                f"{self.ndim} axes"
            )
        shape = (1,) * (len(counts) - self.ndim) + self.shape
        spread = [size for pair in zip(counts, shape, strict=True) for size in pair]
        apart = _reshaped(self, [size for axis in shape for size in (1, axis)])
        joined = [count * size for count, size in zip(counts, shape, strict=True)]
        return _reshaped(apart.broadcast_to(spread), joined)

    def logsumexp(
        self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False
    ) -> Tensor:
        """log sum exp(x) over `axis`."""
        from ._tensor import Tensor

        largest = self.detach().max(axis, True).numpy()
        # An infinite maximum is not subtracted from itself.
        shift = Tensor(np.where(np.isfinite(largest), largest, 0).astype(np.float32))
        exponentials = (self - shift).exp()
        total: Tensor = exponentials.sum(axis, True).log() + shift
        return total if keepdims else _reshaped(total, exponentials.detach().sum(axis).shape)

    def std(
        self: Any,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        unbiased: bool = True,
    ) -> Tensor:
        """Standard deviation over `axis`, of n - 1, or of n unless `unbiased`."""
        deviation: Tensor = self.var(axis, keepdims, unbiased).sqrt()
        return deviation

    def argmin(self: Any, axis: int = -1) -> Tensor:
        """int32 position of the first minimum along `axis`."""
        # The negative of an integer may not be one.
        opposite = ~self if self._is_whole else -self
        position: Tensor = opposite.argmax(axis)
        return position
