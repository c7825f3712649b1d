"""Halves in operators, which widen them, on the tape, and where they are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT
from vqswift import _core, nn

HALVES = ("float16", "bfloat16")

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
    "codes": (lambda: vq.FSQ([5]).decode(half()), TypeError, "float16: codes must be int32"),
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
