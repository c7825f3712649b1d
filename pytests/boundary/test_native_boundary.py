"""`vqswift._core` refuses what it cannot read, with an exception of the documented classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from vqswift import _core

FLOATS = vq.Tensor(np.ones(4, np.float32))._handle
CODES = vq.Tensor(np.ones(4, np.int32))._handle
LAYER = vq.nn.Linear(4, 4)._handle


def objects(count: int) -> np.ndarray:
    """Eight-byte elements that are pointers: written over, they end the process."""
    return np.array([[] for _ in range(count)] + [None], object)[:count]


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: _core.tensor_create(objects(4), 0), ["tensor", "'O'", "float32"]),
        (lambda: _core.tensor_create(np.ones(4, np.int32), 0), ["tensor", "'i'", "float32"]),
        (lambda: _core.tensor_create(np.ones(4, np.float32), 1), ["tensor", "'f'", "int32"]),
        (lambda: _core.tensor_create(np.ones(4, "V4"), 0), ["tensor", "float32"]),
        (lambda: _core.tensor_create(b"1234", 0), ["tensor", "float32"]),
        (lambda: _core.tensor_copy_out(FLOATS, objects(2)), ["copy_out", "'O'", "float32"]),
        (lambda: _core.tensor_copy_out(CODES, np.ones(4, np.float32)), ["copy_out", "int32"]),
        (lambda: _core.count_codes(CODES, objects(5)), ["count_codes", "'O'", "int64"]),
        (lambda: _core.count_codes(CODES, np.zeros(5)), ["count_codes", "'d'", "int64"]),
        (lambda: _core.code_usage(np.ones(5), None), ["code_usage", "'d'", "int64"]),
        (
            lambda: _core.code_usage(np.ones(5, np.int64), objects(5)),
            ["code_usage", "'O'", "float64"],
        ),
        (lambda: _core.active_codes(np.ones(5)), ["active_codes", "int64"]),
        (
            lambda: _core.gradient_gap([FLOATS], [FLOATS], objects(1)),
            ["gradient_gap", "'O'", "float64"],
        ),
        (
            lambda: _core.estimator_evaluate(
                _core.estimator_create("ste", {}, 2, 1.0), 0, np.ones(3), objects(3)
            ),
            ["estimator_evaluate", "out", "'O'", "float64"],
        ),
        (lambda: _core.estimator_alpha([0, 2, 1.0]), ["estimator", "list", "handle"]),
        (lambda: _core.module_load(LAYER, [FLOATS], True, True), ["TensorHandle", "tuple", "name"]),
        (lambda: _core.module_load(LAYER, ["ab"], True, True), ["str", "tuple", "name"]),
        (
            lambda: _core.optimizer_add_group(_core.optimizer_create("sgd", {}), [1], 0.1, 0.0),
            ["optimizer_add_group", "parameters", "int", "tensor handle"],
        ),
        (
            lambda: _core.optimizer_create_hosted(FLOATS, 3),
            ["optimizer_create_hosted", "step", "function"],
        ),
        (
            lambda: _core.optimizer_create_hosted(3, print),
            ["optimizer_create_hosted", "parameter", "tensor handle"],
        ),
        (lambda: _core.archive_save("a", [], ["ab"]), ["save", "str", "tuple"]),
    ],
)
def test_refused(call: Callable[[], object], parts: list[str]) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


def test_counts_beyond_64_bits_are_refused() -> None:
    counts = np.array([2**62, 2**62], np.int64)
    with pytest.raises(OverflowError, match="code_usage"):
        _core.code_usage(counts, None)
    with pytest.raises(OverflowError, match="code_usage"):
        _core.active_codes(counts)
    nearly = np.array([2**63 - 2, 0], np.int64)
    before = nearly.copy()
    with pytest.raises(OverflowError, match="code_usage"):
        _core.count_codes(vq.Tensor(np.zeros(4, np.int32))._handle, nearly)
    assert (nearly == before).all()


def test_handles_stay_what_they_are() -> None:
    """A handle can be neither made, copied, subclassed nor turned into one of another kind."""
    with pytest.raises(TypeError):
        _core.TensorHandle()
    with pytest.raises(TypeError):
        object.__new__(_core.TensorHandle)
    with pytest.raises(TypeError):
        type("Mine", (_core.TensorHandle,), {})
    with pytest.raises(TypeError):
        FLOATS.__class__ = _core.ModuleHandle
    with pytest.raises(TypeError):
        LAYER.__class__ = _core.TensorHandle
