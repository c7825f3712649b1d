"""Tensors for other libraries in place: what they may write, types, sizes, lifetimes."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import vqswift as vq

VERSION = (1, 0)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3), (4, 1, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", ["float32", "int32", "bool", "float16"])
def test_elements_and_shape_are_the_same(shape: tuple[int, ...], dtype: str) -> None:
    values = np.random.default_rng(0).integers(-3, 4, shape)
    tensor = vq.Tensor(values).astype(dtype)
    found = np.from_dlpack(tensor)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values.astype(dtype))


def test_memory_is_shared_to_be_read() -> None:
    tensor = vq.Tensor(np.arange(6, dtype=np.float32))
    view, other = np.from_dlpack(tensor), np.from_dlpack(tensor)
    assert np.shares_memory(view, other)
    assert not view.flags.writeable


def test_a_copy_is_the_takers() -> None:
    tensor = vq.Tensor(np.arange(6, dtype=np.float32))
    copy = np.from_dlpack(tensor, copy=True)
    copy[:] = 9
    np.testing.assert_array_equal(tensor.numpy(), np.arange(6))
    # Masks are int32 inside: always a copy.
    mask = np.from_dlpack(tensor > 2)
    mask[:] = True
    np.testing.assert_array_equal((tensor > 2).numpy(), np.arange(6) > 2)


def test_memory_outlives_the_tensor() -> None:
    tensor = vq.Tensor(np.arange(100_000, dtype=np.float32)) + 1
    view = np.from_dlpack(tensor)
    del tensor
    gc.collect()
    others = [vq.Tensor(np.zeros(100_000)) for _ in range(4)]
    np.testing.assert_array_equal(view, np.arange(1, 100_001))
    assert len(others) == 4


@pytest.mark.parametrize("version", [None, (0, 8), VERSION, (2, 5)])
def test_the_capsule_is_of_the_version_that_is_taken(version: tuple[int, int] | None) -> None:
    capsule = vq.Tensor([1.0]).__dlpack__(max_version=version)
    name = "dltensor_versioned" if version and version[0] >= 1 else "dltensor"
    assert f'"{name}"' in repr(capsule)


def test_a_parameter_is_given_without_its_tape() -> None:
    weight = vq.Tensor([1.0, 2.0], requires_grad=True)
    np.testing.assert_array_equal(np.from_dlpack(weight * 2), [2, 4])
    assert weight.__dlpack_device__() == (1, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stream": 1}, "[dlpack] device None, stream 1: tensors are on the CPU, (1, 0)"),
        ({"dl_device": (2, 0)}, "[dlpack] device (2, 0), stream None: tensors are on the CPU"),
        ({"copy": False}, "[dlpack] copy = False: others might write into a tensor"),
    ],
)
def test_what_it_cannot_give_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BufferError) as error:
        vq.Tensor([1.0]).__dlpack__(**options)
    assert said in str(error.value)


def test_a_mask_in_place_is_refused() -> None:
    with pytest.raises(BufferError, match=r"\[dlpack\] copy = False: bools are kept as int32"):
        np.from_dlpack(vq.Tensor([1.0]) > 0, copy=False)
