"""Elements of a tensor by integers, slices, `...` and `None`."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core


def indexed(handle: _core.TensorHandle, shape: tuple[int, ...], key: Any) -> _core.TensorHandle:
    """What `key` takes of a tensor of `shape`."""
    keys = key if isinstance(key, tuple) else (key,)
    taken = sum(1 for k in keys if k is not None and k is not Ellipsis)
    if taken > len(shape):
        raise IndexError(f"[getitem] {taken} indices for shape {list(shape)}")
    if sum(1 for k in keys if k is Ellipsis) > 1:
        raise IndexError("[getitem] '...' may stand once")
    axis, result = 0, []
    for k in keys:
        if k is None:
            result.append(1)
        elif k is Ellipsis:
            rest = len(shape) - taken
            result += shape[axis : axis + rest]
            axis += rest
        elif isinstance(k, slice):
            start, stop, step = k.indices(shape[axis])
            if step < 1:
                raise ValueError(f"[getitem] step = {step}: it must be at least 1")
            # A step beyond the axis takes the first element alone.
            step = min(step, max(shape[axis], 1))
            handle = _core.tensor_slice(handle, axis, start, max(start, stop), step)
            result.append(len(range(start, stop, step)))
            axis += 1
        elif isinstance(k, (int, np.integer)) and not isinstance(k, bool):
            index = int(k) + shape[axis] if k < 0 else int(k)
            if not 0 <= index < shape[axis]:
                raise IndexError(f"[getitem] index {k} is outside an axis of {shape[axis]}")
            handle = _core.tensor_slice(handle, axis, index, index + 1, 1)
            axis += 1
        else:
            raise TypeError(f"[getitem] {type(k).__name__}: integers and slices are taken")
    return _core.tensor_reshape(handle, [*result, *shape[axis:]])
