"""NumPy's scalars beside tensors, and the array API, which there is not."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq

SCALARS = [
    *(np.float16(2), np.float32(2), np.float64(2)),
    *(np.int8(2), np.uint8(2), np.int32(2), np.int64(2), np.bool_(True)),
]
OPERATORS = [
    *(operator.add, operator.sub, operator.mul, operator.truediv),
    *(operator.lt, operator.ge, operator.eq, operator.ne),
]
FLOATS, INTEGERS = np.array([1.5, 2, 0.25], np.float32), np.array([1, 2, 7], np.int32)


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: scalar.dtype.name)
@pytest.mark.parametrize("function", OPERATORS, ids=lambda function: function.__name__)
def test_operators_beside_scalars(function: Callable[..., Any], scalar: np.generic) -> None:
    for array in (FLOATS, INTEGERS):
        for sides in (lambda x: (x, scalar), lambda x: (scalar, x)):
            found = function(*sides(vq.Tensor(array)))
            # Python's number in the place of NumPy's: the kind that it has decides.
            expected = function(*sides(array.astype(np.float64)))
            assert isinstance(found, vq.Tensor)
            np.testing.assert_allclose(found.numpy(), expected, rtol=2.0**-22)
            whole = array.dtype.kind == "i" and scalar.dtype.kind in "iub"
            if function in (operator.add, operator.mul):
                assert found.dtype == (np.int32 if whole else np.float32)


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: scalar.dtype.name)
def test_powers_of_scalars(scalar: np.generic) -> None:
    found = vq.Tensor(FLOATS) ** scalar
    np.testing.assert_allclose(found.numpy(), FLOATS ** float(scalar), rtol=2.0**-22)
    assert np.power(vq.Tensor(FLOATS), scalar).numpy().tolist() == found.numpy().tolist()
    if scalar.dtype.kind in "iub":
        whole = vq.Tensor(INTEGERS) ** scalar
        assert (
            whole.dtype == np.int32 and whole.numpy().tolist() == (INTEGERS ** int(scalar)).tolist()
        )


def test_scalars_that_are_no_real_numbers_are_refused() -> None:
    for scalar in (np.complex64(1), np.str_("a")):
        for array in (FLOATS, INTEGERS):
            for function in (operator.pow, operator.add, operator.mul):
                with pytest.raises(TypeError):
                    function(vq.Tensor(array), scalar)


def test_scalars_are_sizes_positions_and_values() -> None:
    x = vq.Tensor(INTEGERS)
    assert x[np.int64(2)].item() == 7 and x.reshape(np.int64(3), 1).shape == (3, 1)
    assert vq.full((np.int64(2),), np.float64(3)).numpy().tolist() == [3, 3]
    assert vq.Tensor(FLOATS).clamp(np.float64(0.5)).numpy().min() == np.float32(0.5)
    assert np.float32(x[1]) == 2 and list(range(x[1])) == [0, 1]  # type: ignore[arg-type, call-overload]


def test_the_array_api_is_refused_and_says_so() -> None:
    x = vq.Tensor(FLOATS)
    assert not hasattr(x, "__array_namespace__")
    with pytest.raises(AttributeError, match="float64, int64 and complex"):
        _ = x.__array_namespace__  # type: ignore[attr-defined]
    np.testing.assert_array_equal(np.asarray(x), FLOATS)
    np.testing.assert_array_equal(np.from_dlpack(x), FLOATS)
