"""float16 and bfloat16: rounding of every number, types by their names, reading and copies."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import vqswift as vq

HALVES = ("float16", "bfloat16")
BITS = np.arange(1 << 16, dtype=np.uint16)


def rounded(values: np.ndarray, name: str) -> np.ndarray:
    """float32 rounded to the nearest half, ties to even: by NumPy, or by integers."""
    values = values.astype(np.float32)
    if name == "float16":
        with np.errstate(over="ignore", invalid="ignore"):
            return values.astype(np.float16).astype(np.float32)
    bits = values.view(np.uint32).astype(np.uint64)
    kept, rest = bits >> 16, bits & 0xFFFF
    up = (rest > 0x8000) | ((rest == 0x8000) & (kept & 1 == 1))
    result = ((kept + up) << 16).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(values), np.float32(np.nan), result)


def widened(bits: np.ndarray, name: str) -> np.ndarray:
    if name == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal bit for bit, but any NaN for a NaN."""
    assert found.dtype == expected.dtype == np.float32 and found.shape == expected.shape
    is_nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), is_nan)
    np.testing.assert_array_equal(found.view(np.uint32)[~is_nan], expected.view(np.uint32)[~is_nan])


def floats() -> np.ndarray:
    """Random bit patterns, and the neighborhood of every half and of every tie between two."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 1 << 32, 1 << 18, dtype=np.uint32)
    halves = [
        BITS.view(np.float16).astype(np.float32).view(np.uint32),
        BITS.astype(np.uint32) << 16,
    ]
    near = [
        h + np.uint32(d) for h in halves for d in (0, 1, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000)
    ]
    near += [h + np.uint32(0x8001) for h in halves] + [h - np.uint32(1) for h in halves]
    # Denormal halves: multiples of 2^-26 are halves, ties and quarters between them.
    small = (np.arange(1 << 13) * 2.0**-26).astype(np.float32).view(np.uint32)
    return np.concatenate([patterns, *near, small, small + np.uint32(1)]).view(np.float32)


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("flushes", [True, False])
def test_float32_is_rounded_to_the_nearest_and_ties_to_even(name: str, flushes: bool) -> None:
    before = vq.set_flush_denormal(flushes)
    try:
        values = floats()
        assert_same(vq.Tensor(values).astype(name).astype("float32").numpy(), rounded(values, name))
    finally:
        vq.set_flush_denormal(before)


@pytest.mark.parametrize("name", HALVES)
def test_every_half_is_widened_exactly_and_comes_back(name: str) -> None:
    values = widened(BITS, name)
    half = vq.Tensor(values).astype(name)
    assert_same(half.astype(vq.float32).numpy(), values)
    if name == "float16":
        assert half.numpy().dtype == np.float16
        assert_same(half.numpy().astype(np.float32), values)


HAND = {
    "float16": [
        (65504, 65504),
        (65519.996, 65504),
        (65520, np.inf),
        (-1e9, -np.inf),
        (2.0**-24, 2.0**-24),
        (2.0**-25, 0),
        (2.0**-25 * 1.0001, 2.0**-24),
        (1 + 2.0**-11, 1),
        (1 + 3 * 2.0**-11, 1 + 2.0**-9),
    ],
    "bfloat16": [
        (3.39e38, 2.0**127 * (2 - 2.0**-7)),
        (3.4e38, np.inf),
        (1 + 2.0**-8, 1),
        (1 + 3 * 2.0**-8, 1 + 2.0**-6),
        (2.0**-133, 2.0**-133),
        (2.0**-134, 0),
        (2.0**-134 * 1.5, 2.0**-133),
    ],
}


@pytest.mark.parametrize("name", HALVES)
def test_hand_values(name: str) -> None:
    given, expected = np.array(HAND[name], np.float32).T
    found = vq.Tensor(given).astype(name).astype(np.float32).numpy()
    np.testing.assert_array_equal(found, expected)
    signs = vq.Tensor([-0.0, 0.0, -np.nan]).astype(name).astype(np.float32).numpy()
    np.testing.assert_array_equal(np.signbit(signs), [True, False, True])


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (7,), (8,), (9,), (40, 1001)])
def test_every_shape(name: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    half = vq.Tensor(values).astype(name)
    assert half.shape == shape and half.size == values.size and half.nbytes == 2 * values.size
    assert half.ndim == len(shape) and half.dtype.itemsize == 2
    assert_same(half.astype(np.float32).numpy(), rounded(values, name))


PROGRAM = """
import hashlib, sys, numpy as np, vqswift as vq
bits = np.random.default_rng(0).integers(0, 1 << 32, 100_003, dtype=np.uint32)
found = hashlib.sha256()
for name in ("float16", "bfloat16"):
    half = vq.Tensor(bits.view(np.float32)).astype(name)
    found.update(half.astype("float32").numpy().tobytes())
    every = np.arange(1 << 16, dtype=np.uint16)
    if name == "float16":
        found.update(half.numpy().tobytes())
        found.update(vq.Tensor(every.view(np.float16)).numpy().tobytes())
print(found.hexdigest())
"""


def test_every_instruction_set_gives_the_same_bits() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"VQSWIFT_INSTRUCTIONS": name},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in ("portable", "avx2", "avx512")
    }
    assert len(told) == 1


# What a half tensor is


def test_types_by_their_names() -> None:
    x = vq.Tensor([1.5, -2.0])
    for name in (vq.bfloat16, "bfloat16"):
        assert x.astype(name).dtype == vq.bfloat16
    for name in (vq.float16, "float16", np.float16, np.dtype(np.float16), "half", "e"):
        assert x.astype(name).dtype == np.float16
    for name in (vq.float32, "float32", float, np.float32):
        assert x.astype(vq.bfloat16).astype(name).dtype == np.float32
    assert vq.bfloat16 == "bfloat16" and vq.bfloat16 != np.float16 and np.float32 != vq.bfloat16
    assert repr(vq.bfloat16) == str(vq.bfloat16) == vq.bfloat16.name == "bfloat16"
    assert {vq.bfloat16: 1}[x.astype("bfloat16").dtype] == 1
    with pytest.raises(TypeError, match="float64: tensors are float32, int32 or bool, and stored"):
        x.astype(np.float64)
    with pytest.raises(TypeError, match=r"\[astype\] dtype = 'bfloat8': a dtype is required"):
        x.astype("bfloat8")


def test_reading() -> None:
    half = vq.Tensor([[1.0, 0.1]]).astype(vq.bfloat16)
    assert repr(half) == "Tensor([[1.        , 0.10009766]], shape=[1, 2], dtype=bfloat16)"
    assert half.tolist() == [[1.0, 0.10009765625]]
    assert half.numpy().dtype == np.float32 and np.asarray(half).dtype == np.float32
    assert half[0, 1].item() == 0.10009765625 and float(half[0, 0]) == 1.0
    single = vq.Tensor(0.1, dtype=vq.float16)
    assert single.item() == float(np.float16(0.1)) and single.numpy().dtype == np.float16
    assert repr(single) == "Tensor(0.1, shape=[], dtype=float16)"
    assert not half.requires_grad and not half.is_leaf and half.grad is None


def test_making() -> None:
    given = np.array([0.1, 70000.0])
    assert vq.Tensor(np.ones(2, np.float16), dtype=None).dtype == np.float32
    made = vq.Tensor(given, dtype=vq.float16)
    assert made.dtype == np.float16 and made.tolist() == [float(np.float16(0.1)), np.inf]
    assert vq.Tensor(made).dtype == np.float32
    assert vq.Tensor([1, 2], dtype="bfloat16").tolist() == [1.0, 2.0]
    assert vq.Tensor([True], dtype="bfloat16").tolist() == [1.0]
    assert vq.Tensor([2.9], dtype=np.int32).tolist() == [2]
    assert vq.zeros((2, 3), vq.bfloat16).nbytes == 12
    assert vq.ones(2, "float16").dtype == np.float16
    filled = vq.full((1, 2), 0.1, vq.bfloat16)
    assert filled.dtype == vq.bfloat16 and filled.tolist() == [[0.10009765625] * 2]
    assert vq.Tensor([1.0, 0.0]).nbytes == vq.Tensor([True, False]).nbytes == 8


@pytest.mark.parametrize("name", HALVES)
def test_other_types_and_back(name: str) -> None:
    half = vq.Tensor([1.5, -3.0, 0.0]).astype(name)
    assert half.astype(np.int32).tolist() == [1, -3, 0]
    assert half.astype(bool).tolist() == [True, True, False]
    other = half.astype("bfloat16" if name == "float16" else "float16")
    assert other.dtype != half.dtype and other.tolist() == half.tolist()
    assert vq.Tensor([7, 257]).astype(name).dtype == half.dtype
    with pytest.raises(ValueError, match="must fit in int32"):
        vq.Tensor([np.nan]).astype(name).astype(np.int32)


@pytest.mark.parametrize("name", HALVES)
def test_copies_and_pickles_keep_the_type(name: str) -> None:
    half = vq.Tensor([[0.1, np.inf, -0.0]]).astype(name)
    for made in (copy.deepcopy(half), pickle.loads(pickle.dumps(half))):
        assert made.dtype == half.dtype
        np.testing.assert_array_equal(made.numpy(), half.numpy())
    assert half.detach().dtype == half.dtype
