"""Elements of a tensor by integers, slices, `...`, `None`, arrays of integers and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _core
from ._arguments import described
from ._dtypes import contiguous


def indexed(handle: _core.TensorHandle, shape: tuple[int, ...], key: Any) -> _core.TensorHandle:
    """What `key` takes of a tensor of `shape`, by NumPy's rules.

    Beside an array or a mask integers are arrays too. The axes of arrays stand where they stood,
    or in front where something else stands between them.
    """
    keys = tuple(map(_understood, key if isinstance(key, tuple) else (key,)))
    taken = sum(_axes(k) for k in keys)
    if taken > len(shape):
        raise IndexError(f"[getitem] {taken} indices for shape {list(shape)}")
    if sum(1 for k in keys if k is Ellipsis) > 1:
        raise IndexError("[getitem] '...' may stand once")
    has_arrays = any(isinstance(k, np.ndarray) for k in keys)
    axis, runs, in_run = 0, 0, False
    result: list[int] = []
    chosen: list[tuple[int, np.ndarray]] = []
    for k in keys:
        is_array = has_arrays and isinstance(k, (int, np.ndarray))
        runs += is_array and not in_run
        in_run = is_array
        if is_array:
            for positions in _positions(k, shape, axis):
                chosen.append((len(result), positions))
                result.append(shape[axis])
                axis += 1
        elif k is None:
            result.append(1)
        elif k is Ellipsis:
            rest = len(shape) - taken
            result += shape[axis : axis + rest]
            axis += rest
        elif isinstance(k, slice):
            handle, length = _sliced(handle, axis, shape[axis], k)
            result.append(length)
            axis += 1
        else:
            index = int(_wrapped(np.asarray(k), axis, shape[axis]))
            handle = _core.tensor_slice(handle, axis, index, index + 1, 1)
            axis += 1
    result += shape[axis:]
    if not chosen:
        return _core.tensor_reshape(handle, result)
    return _at_arrays(_reshaped(handle, result), result, chosen, runs == 1)


def _reshaped(handle: _core.TensorHandle, shape: Sequence[int]) -> _core.TensorHandle:
    """The same tensor where it has the shape: rows are taken of halves as they are."""
    same = _core.tensor_shape(handle) == tuple(shape)
    return handle if same else _core.tensor_reshape(handle, shape)


def _understood(key: Any) -> Any:
    """A key of `indexed`: an int, a slice, `...`, None, or an array of int64 or bool."""
    from ._tensor import Tensor

    if key is None or key is Ellipsis or isinstance(key, slice):
        return key
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        return int(key)
    if not isinstance(key, (str, bytes, bool, float, np.generic)):
        try:
            array = key.numpy() if isinstance(key, Tensor) else np.asarray(key)
        except ValueError:  # lists of unequal lengths
            array = np.empty(0, object)
        if isinstance(key, (list, tuple)) and not array.size and array.dtype == np.float64:
            array = array.astype(np.int64)
        if array.dtype.kind in "iu":
            return array.astype(np.int64) if array.ndim else int(array)
        if array.dtype.kind == "b" and array.ndim:
            return array
    raise TypeError(
        f"[getitem] {described(key)}: integers, slices, '...', None, and arrays of integers or "
        "bools are taken"
    )


def _axes(key: Any) -> int:
    """How many axes a key takes."""
    if key is None or key is Ellipsis:
        return 0
    return key.ndim if isinstance(key, np.ndarray) and key.dtype == np.bool_ else 1


def _wrapped(positions: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Positions counted from the front; IndexError for one that there is not."""
    outside = (positions < -size) | (positions >= size)
    if outside.any():
        raise IndexError(
            f"[getitem] index {positions[outside].flat[0]} is outside axis {axis} of size {size}"
        )
    return np.where(positions < 0, positions + size, positions)


def _positions(key: int | np.ndarray, shape: tuple[int, ...], axis: int) -> Sequence[np.ndarray]:
    """Positions along the axes that an integer, an array or a mask takes, from `axis` on."""
    if isinstance(key, np.ndarray) and key.dtype == np.bool_:
        sizes = shape[axis : axis + key.ndim]
        if key.shape != sizes:
            raise IndexError(
                f"[getitem] a mask of shape {list(key.shape)} from axis {axis} on, of sizes "
                f"{list(sizes)}: they must be equal"
            )
        return np.nonzero(key)
    return (_wrapped(np.asarray(key), axis, shape[axis]),)


def _sliced(
    handle: _core.TensorHandle, axis: int, size: int, key: slice
) -> tuple[_core.TensorHandle, int]:
    """What a slice takes along an axis of `size`, and how many places that are."""
    places = range(*key.indices(size))
    if places == range(size):
        return handle, size
    if places.step > 0:
        # A step beyond the axis takes the first element alone.
        start, step = places.start, min(places.step, max(size, 1))
        handle = _core.tensor_slice(handle, axis, start, max(start, places.stop), step)
    else:
        positions = np.arange(places.start, places.stop, places.step)
        handle = _core.tensor_take(handle, _core.tensor_create(*contiguous(positions)), axis)
    return handle, len(places)


def _at_arrays(
    handle: _core.TensorHandle,
    shape: Sequence[int],
    chosen: Sequence[tuple[int, np.ndarray]],
    are_neighbors: bool,
) -> _core.TensorHandle:
    """What `chosen`, axes with positions along them, takes of a tensor of `shape`."""
    axes, arrays = [axis for axis, _ in chosen], [positions for _, positions in chosen]
    try:
        arrays = list(np.broadcast_arrays(*arrays))
    except ValueError:
        shapes = " and ".join(str(list(array.shape)) for array in arrays)
        raise IndexError(f"[getitem] index shapes {shapes}: they must broadcast") from None
    sizes = [shape[axis] for axis in axes]
    count = math.prod(sizes)
    if count > np.iinfo(np.int32).max:
        raise OverflowError(
            f"[getitem] axes of sizes {sizes}: arrays choose among 2**31 - 1 at most"
        )
    others = [axis for axis in range(len(shape)) if axis not in axes]
    first = axes[0] if are_neighbors else 0
    if not are_neighbors:
        handle = _core.tensor_permute(handle, [*axes, *others])
    joined = [shape[axis] for axis in others]
    handle = _reshaped(handle, [*joined[:first], count, *joined[first:]])
    places = np.zeros(arrays[0].shape, np.int64)
    for size, positions in zip(sizes, arrays, strict=True):
        places = places * size + positions
    return _core.tensor_take(handle, _core.tensor_create(*contiguous(places)), first)
