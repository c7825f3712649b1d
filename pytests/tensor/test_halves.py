"""float16 and bfloat16: rounding of every number, gradients, and operators, which widen."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT
from vqswift import _core, nn

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


def test_torch_types_are_taken() -> None:
    torch = pytest.importorskip("torch")
    x = vq.Tensor([1.5])
    assert x.astype(torch.bfloat16).dtype == vq.bfloat16
    assert x.astype(torch.float16).dtype == np.float16
    assert x.astype(torch.int32).dtype == np.int32


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


# Operators

OPERATORS: dict[str, Callable[[Any], Any]] = {
    "add": lambda h: h + h,
    "scalar": lambda h: 1 - h,
    "array": lambda h: h * np.full((4, 6), 2.0, np.float32),
    "integers": lambda h: h + vq.Tensor(np.arange(6)),
    "power": lambda h: h**2,
    "exp": lambda h: h.exp(),
    "sum": lambda h: h.sum(0),
    "argmin": lambda h: h.argmin(1),
    "argsort": lambda h: h.argsort(1),
    "matmul": lambda h: h @ h.T,
    "reshape": lambda h: h.reshape(6, 4),
    "permute": lambda h: h.T,
    "index": lambda h: h[1:3, ::-1],
    "mask": lambda h: h[h > 0],
    "concatenate": lambda h: vq.concatenate([h, vq.Tensor(np.ones((1, 6)))]),
    "where": lambda h: vq.where(h > 0, h, 0.0),
    "compare": lambda h: h >= 0.25,
    "softmax": lambda h: h.softmax(),
    "einsum": lambda h: vq.einsum("ij,kj->ik", h, h),
    "numpy": lambda h: np.log1p(np.abs(h)),
    "loss": lambda h: nn.functional.mse_loss(h, vq.zeros((4, 6))),
    "norm": lambda h: nn.functional.layer_norm(h, h[0]),
    "attention": lambda h: nn.functional.scaled_dot_product_attention(h, h, h, attn_mask=h[:, :4]),
    "layer": lambda h: nn.Linear(6, 3, generator=vq.Generator(0))(h),
    "network": lambda h: nn.Sequential(nn.Linear(6, 3, generator=vq.Generator(0)), nn.ReLU())(h),
    "image": lambda h: nn.MaxPool2d(2)(h.reshape(1, 4, 6, 1)),
    "quantizer": lambda h: vq.FSQ([5, 5, 5, 5, 5, 5])(h)[0],
    "codes": lambda h: vq.nearest_codes(h, np.eye(6, dtype=np.float32)),
    "clip": lambda h: np.clip(h, -0.5, 0.5),
    "contains": lambda h: float(h[0, 0]) in h,
    "checkpoint": lambda h: vq.autograd.checkpoint(lambda x: x * 2, h),
}


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
def test_operators_compute_with_the_widened_tensor(
    name: str, operator: Callable[[Any], Any]
) -> None:
    half = vq.Generator(3).normal((4, 6)).astype(name)
    found, expected = operator(half), operator(half.astype(np.float32))
    if isinstance(expected, vq.Tensor):
        assert found.dtype == expected.dtype
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("name", HALVES)
def test_gradients_pass_unchanged(name: str) -> None:
    random = np.random.default_rng(4)
    x = vq.Tensor(random.standard_normal((3, 5)), requires_grad=True)
    weights = random.standard_normal((3, 5)).astype(np.float32)
    half = x.astype(name)
    assert half.requires_grad and not half.is_leaf
    (half * weights).sum().backward()
    assert x.grad is not None and x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.numpy(), weights)
    x.grad = None
    # Twice, by both ways of widening, from a computed tensor.
    half = (x * 2).astype(name)
    (half.astype(np.float32) * weights + half * weights).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 4 * weights)
    x.grad = None
    x.sum().astype(name).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.ones((3, 5)))


@pytest.mark.parametrize("name", HALVES)
def test_what_cuts_gradients(name: str) -> None:
    x = vq.Tensor([1.0, 2.0], requires_grad=True)
    assert not x.astype(name).detach().requires_grad
    assert not (x.astype(name).detach() * 2).requires_grad
    with vq.no_grad():
        assert not x.astype(name).requires_grad
        half = x.astype(name)
    assert not (half * 2).requires_grad
    assert not x.astype(np.int32).astype(name).requires_grad
    x.requires_grad = False
    assert not x.astype(name).requires_grad


@pytest.mark.parametrize("name", HALVES)
def test_gradients_of_functions(name: str) -> None:
    half = vq.Tensor([1.0, 2.0]).astype(name)
    value, slope = vq.value_and_grad(lambda x: (x * x).sum().astype(name))(half)
    assert value.item() == 5 and slope.dtype == np.float32 and slope.tolist() == [2.0, 4.0]

    class Double(vq.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: vq.Tensor) -> vq.Tensor:
            ctx.save_for_backward(x)
            return (x * 2).astype(name)

        @staticmethod
        def backward(ctx: Any, gradient: vq.Tensor) -> vq.Tensor:
            assert ctx.saved_tensors[0].dtype == name
            return (gradient * 2).astype(name)

    x = vq.Tensor([3.0], requires_grad=True)
    result = Double.apply(x.astype(name))
    assert result.requires_grad and result.tolist() == [6.0]
    result.backward()
    assert x.grad is not None and x.grad.tolist() == [2.0]


def test_a_gradient_of_halves_is_widened() -> None:
    x = vq.Tensor([1.0, 2.0], requires_grad=True)
    (x * 1).backward(vq.Tensor([0.5, 0.25], dtype=vq.float16))
    assert x.grad is not None and x.grad.tolist() == [0.5, 0.25]
    x.grad = vq.Tensor([1.0, 3.0], dtype=vq.bfloat16)
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [1.0, 3.0]


@pytest.mark.parametrize("name", HALVES)
def test_rows_are_taken_without_widening_the_others(name: str) -> None:
    values = np.random.default_rng(5).standard_normal((50, 3, 5)).astype(np.float32)
    half = vq.Tensor(values, dtype=name)
    whole = half.astype(np.float32).numpy()
    order = np.random.default_rng(6).integers(-50, 50, (4, 6))
    keys: list[Any] = [7, -1, slice(3, 11), slice(40, 2, -3), slice(5, 5), order, order > 0, ...]
    keys += [(order, 1), (slice(2, 9), order[0] % 3), (None, 3), whole[:, 0, 0] > 0, slice(None)]
    keys[6] = np.arange(50) % 7 == 0
    for key in keys:
        found = half[key]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.numpy(), whole[key])
    np.testing.assert_array_equal(np.stack([row.numpy() for row in half]), whole)
    np.testing.assert_array_equal(np.take(half, [4, 2], 0).numpy(), whole[[4, 2]])
    for wrong in (50, -51, [0, 50]):
        with pytest.raises(IndexError):
            half[wrong]


@pytest.mark.parametrize("name", HALVES)
def test_rows_of_halves_on_the_tape(name: str) -> None:
    x = vq.Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    half = x.astype(name)
    (half[1:] * 2 + half[[0, 0]]).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[2, 2], [2, 2], [2, 2]]


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    guide = (ROOT / "docs/numerics.md").read_text()
    snippets = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "docs/numerics.md", "exec"), {})


# What halves are not

STORED = "halves are stored, not written or trained: convert with astype(float32)"


def half() -> vq.Tensor:
    return vq.Tensor([1.0, 2.0], dtype=vq.bfloat16)


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "leaf": (
        lambda: vq.Tensor([1.0], True, "float16"),
        TypeError,
        f"[requires_grad] dtype float16: {STORED}",
    ),
    "frozen": (
        lambda: setattr(half(), "requires_grad", False),
        TypeError,
        f"[requires_grad] dtype bfloat16: {STORED}",
    ),
    "assigned": (lambda: half().assign([1, 2]), TypeError, f"[assign] dtype bfloat16: {STORED}"),
    "gradient": (
        lambda: setattr(half(), "grad", vq.ones(2)),
        TypeError,
        f"[grad] dtype bfloat16: {STORED}",
    ),
    "optimized": (
        lambda: vq.optim.SGD([half()], lr=0.1),
        TypeError,
        f"[add_group] dtype bfloat16: {STORED}",
    ),
    "clipped": (
        lambda: vq.optim.clip_grad_norm([half()], 1.0),
        TypeError,
        f"[clip_grad_norm] dtype bfloat16: {STORED}",
    ),
    "clipped values": (
        lambda: vq.optim.clip_grad_value([half()], 1.0),
        TypeError,
        f"[clip_grad_value] dtype bfloat16: {STORED}",
    ),
    "gradients": (
        lambda: _core.tensor_gradients(vq.ones(1)._handle, None, [half()._handle], False),
        TypeError,
        f"[gradients] dtype bfloat16: {STORED}",
    ),
    "running mean": (
        lambda: _core.tensor_batch_norm(
            *(vq.ones(n)._handle for n in ((3, 2), 2, 2)),
            *(half()._handle, vq.ones(2)._handle, True, 0.1, 1e-5),
        ),
        TypeError,
        f"[batch_norm] dtype bfloat16: {STORED}",
    ),
    "index": (
        lambda: [0, 1][vq.Tensor(1.0, dtype="bfloat16")],
        TypeError,
        "[index] a bfloat16 tensor is no index: an integer one is required",
    ),
    "codes": (lambda: vq.FSQ([5]).decode(half()), TypeError, "float32: codes must be int32"),
    "saved": (
        lambda: vq.save("x", {}, dtype="int32"),
        TypeError,
        "[save] dtype int32: float32, float16 or bfloat16 is required",
    ),
    "half": (
        lambda: nn.Linear(2, 2).half(),
        AttributeError,
        "[linear] half: parameters are float32; float16 and bfloat16 are for storage: "
        "x.astype(vq.bfloat16), vq.save(path, state, dtype=vq.bfloat16)",
    ),
    "bfloat16": (lambda: nn.Residual(nn.ReLU()).bfloat16(), AttributeError, "[residual] bfloat16"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    call, exception, text = REFUSED[case]
    with pytest.raises(exception) as caught:
        call()
    assert text in str(caught.value)
