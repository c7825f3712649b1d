"""Elements between PyTorch and the core, in place."""

from __future__ import annotations

import numpy as np
import torch
from torch._C import _from_dlpack

from .. import _core


def array(tensor: torch.Tensor) -> np.ndarray:
    """A view of the elements of a tensor on the CPU; of a copy unless they are contiguous."""
    view: np.ndarray = _in_order(tensor.detach()).numpy()
    return view


def borrowed(tensor: torch.Tensor) -> _core.TensorHandle:
    """The core's tensor over the elements of a float32 or int32 tensor on the CPU; with another
    order of axes in memory, as channels first that are seen last, a copy in the order of the axes.
    """
    if not tensor.is_contiguous():
        axes = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
        moved = tensor.permute(axes)
        if moved.is_contiguous():
            # PyTorch's own copy takes three times as long.
            places = sorted(range(tensor.ndim), key=axes.__getitem__)
            return _core.tensor_permute(_core.tensor_borrow(array(moved)), places)
    return _core.tensor_borrow(array(tensor))


def _in_order(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor whose memory has its elements, one after the other."""
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    return tensor if tensor.is_contiguous() else tensor.contiguous()


def borrowed_if(tensor: torch.Tensor | None) -> _core.TensorHandle | None:
    """The same of what may be missing."""
    return None if tensor is None else borrowed(tensor)


def given(handle: _core.TensorHandle) -> torch.Tensor:
    """A tensor over the elements of one of the core's: int32 for integers and bool."""
    # Not torch.utils.dlpack's, which looks for keywords first: a forward gives eight.
    return _from_dlpack(_core.tensor_dlpack(handle, False, False))


def refresh(handle: _core.TensorHandle, tensor: torch.Tensor) -> None:
    """Write a tensor's elements into one of the core's where they differ."""
    tensor = _in_order(tensor)
    if tensor.device.type != "cpu":
        raise RuntimeError(f"[refresh] a tensor on {tensor.device}: the core reads the CPU's alone")
    _core.tensor_refresh(handle, tensor.data_ptr(), tensor.nbytes)


def own(handle: _core.TensorHandle, *inputs: torch.Tensor | None) -> torch.Tensor:
    """The same, a copy where the elements are those of an input."""
    tensor = given(handle)
    place = tensor.data_ptr()
    is_input = any(i is not None and i.data_ptr() == place for i in inputs)
    return tensor.clone() if is_input else tensor


def apart(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Tensors that share no elements."""
    seen: set[int] = set()
    for index, tensor in enumerate(tensors):
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            tensors[index] = tensor.clone()
        seen.add(place)
    return tensors


def borrowed_mask(mask: torch.Tensor | None) -> _core.TensorHandle | None:
    """A mask as the core takes one."""
    return None if mask is None else borrowed((mask != 0).to(torch.int32))


def long_given(handle: _core.TensorHandle) -> torch.Tensor:
    """`given`, as int64."""
    return given(handle).long()
