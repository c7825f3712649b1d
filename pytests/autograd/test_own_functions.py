"""Operators whose gradient is written in Python."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import run_python
from vqswift import _core, nn

pytestmark = pytest.mark.usefixtures("no_leak")


class Cube(vq.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: vq.Tensor) -> vq.Tensor:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, gradient: vq.Tensor) -> vq.Tensor:
        (x,) = ctx.saved_tensors
        return gradient * 3 * x * x


class Affine(vq.autograd.Function):
    """x scale + shift, the scale a number, with what was wanted kept as an attribute."""

    wanted: tuple[bool, ...] = ()

    @staticmethod
    def forward(ctx: Any, x: vq.Tensor, scale: float, shift: vq.Tensor) -> vq.Tensor:
        ctx.scale = scale
        return x * scale + shift

    @staticmethod
    def backward(ctx: Any, gradient: vq.Tensor) -> tuple[Any, ...]:
        Affine.wanted = ctx.needs_input_grad
        shift = gradient.sum(axis=0) if ctx.needs_input_grad[2] else None
        return gradient * ctx.scale, None, shift


class Parts(vq.autograd.Function):
    """Two float32 results and a position."""

    given: tuple[Any, ...] = ()

    @staticmethod
    def forward(ctx: Any, x: vq.Tensor) -> tuple[vq.Tensor, ...]:
        return x[:, :1] * 2, x.argmax(-1), x.sum()

    @staticmethod
    def backward(ctx: Any, left: Any, position: Any, total: Any) -> vq.Tensor:
        Parts.given = (left, position, total)
        return vq.concatenate([left * 2, left * 0], axis=1) + total


def leaf(values: Any) -> vq.Tensor:
    return vq.Tensor(np.array(values, np.float32), requires_grad=True)


def test_the_gradient_is_the_one_that_is_written() -> None:
    x = leaf([1.0, -2.0])
    y = Cube.apply(x)
    np.testing.assert_array_equal(y.numpy(), [1, -8])
    (y * vq.Tensor([1.0, 10.0])).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 120])


def test_numbers_and_constants_need_no_gradient() -> None:
    x, shift = leaf([[1.0, 2.0], [3.0, 4.0]]), vq.Tensor([5.0, 6.0])
    Affine.apply(x, 2.0, shift).sum().backward()
    assert Affine.wanted == (True, False, False)
    np.testing.assert_array_equal(x.grad.numpy(), np.full((2, 2), 2))
    shift = leaf([5.0, 6.0])
    Affine.apply(x, 2.0, shift).sum().backward()
    assert Affine.wanted == (True, False, True)
    np.testing.assert_array_equal(shift.grad.numpy(), [2, 2])


def test_several_results_have_a_gradient_each() -> None:
    x = leaf([[1.0, 2.0], [4.0, 3.0]])
    left, position, total = Parts.apply(x)
    assert left.shape == (2, 1) and total.shape == () and not position.requires_grad
    np.testing.assert_array_equal(position.numpy(), [1, 0])
    (left.sum() * 5 + total * 7).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[17, 7], [17, 7]])
    assert Parts.given[1] is None and Parts.given[0].shape == (2, 1)
    Parts.given = ()


def test_a_result_that_is_not_used_has_a_gradient_of_zeros() -> None:
    x = leaf([[1.0, 2.0]])
    Parts.apply(x)[2].backward()
    np.testing.assert_array_equal(Parts.given[0].numpy(), [[0.0]])
    np.testing.assert_array_equal(x.grad.numpy(), [[1, 1]])
    Parts.given = ()


def test_an_input_may_be_the_result() -> None:
    class Same(vq.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: vq.Tensor) -> vq.Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, gradient: vq.Tensor) -> vq.Tensor:
            return -gradient

    x = leaf([1.0, 2.0])
    (Same.apply(x) * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [-2, -2])
    with vq.no_grad():
        assert not Same.apply(x).requires_grad
    assert not Same.apply(vq.Tensor([1.0])).requires_grad


def test_no_gradient_is_none() -> None:
    class Cut(Cube):
        @staticmethod
        def backward(ctx: Any, gradient: vq.Tensor) -> None:
            return None

    x = leaf([2.0])
    (Cut.apply(x) + x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1])


def test_nothing_is_recorded_inside() -> None:
    modes = []

    class Asks(Cube):
        @staticmethod
        def forward(ctx: Any, x: vq.Tensor) -> vq.Tensor:
            modes.append(_core.grad_enabled())
            return x * 1

        @staticmethod
        def backward(ctx: Any, gradient: vq.Tensor) -> vq.Tensor:
            modes.append(_core.grad_enabled())
            return gradient

    Asks.apply(leaf([1.0])).backward()
    assert modes == [False, False] and _core.grad_enabled()


def test_the_tape_is_kept_where_that_is_asked() -> None:
    x = leaf([2.0])
    y = Cube.apply(x)
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [24])
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        y.backward()


def test_a_saved_tensor_that_was_written_is_refused() -> None:
    x = leaf([2.0])
    y = Cube.apply(x)
    x.assign([3.0])
    with pytest.raises(RuntimeError, match="that Cube saved, shape .1., was changed in place"):
        y.backward()


class Fault(Exception):
    """What a backward of a user's raises."""


def failing(error: BaseException | type[BaseException]) -> type[vq.autograd.Function]:
    class Fails(Cube):
        @staticmethod
        def backward(ctx: Any, gradient: vq.Tensor) -> vq.Tensor:
            raise error

    return Fails


@pytest.mark.parametrize(
    "error", [Fault("own"), KeyboardInterrupt(), MemoryError("m"), KeyError(1)]
)
def test_an_exception_of_backward_is_that_of_the_call(error: BaseException) -> None:
    x = leaf([2.0])
    y = failing(error).apply(x) * 2
    with pytest.raises(type(error)) as caught:
        y.backward()
    assert caught.value is error
    assert any(entry.name == "backward" for entry in caught.traceback)
    caught.value.__traceback__ = None
    # Nothing is left of it.
    z = Cube.apply(x)
    z.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [12])


def test_an_exception_comes_out_of_backward_within_backward() -> None:
    class Outer(Cube):
        @staticmethod
        def backward(ctx: Any, gradient: vq.Tensor) -> vq.Tensor:
            inner = leaf([1.0])
            with vq.enable_grad():
                failing(Fault).apply(inner).backward()
            return gradient

    with pytest.raises(Fault):
        Outer.apply(leaf([2.0])).backward()


def gives(result: Any, forward: Callable[..., Any] | None = None) -> type[vq.autograd.Function]:
    class Gives(vq.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            return inputs[0] * 1 if forward is None else forward(*inputs)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return result

    return Gives


@pytest.mark.parametrize(
    ("result", "kind", "text"),
    [
        (np.ones(3, np.float32), ValueError, r"\[Gives\] shapes \[3\] and \[2\]: the gradient of"),
        ((), ValueError, r"\[Gives\] backward gave 0 gradients: one, or None, .* each of 1 inputs"),
        (("a",), TypeError, "tensor"),
        (np.ones(2, np.int32), ValueError, r"\[Gives\] .* gradient of input 0 must be float32"),
    ],
)
def test_gradients_that_do_not_fit(result: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        gives(result).apply(leaf([1.0, 2.0])).sum().backward()


def test_a_gradient_of_a_number_is_refused() -> None:
    one = np.ones(1, np.float32)
    with pytest.raises(TypeError, match=r"\[Gives\] backward gave a gradient of input 1, which is"):
        gives((one, one)).apply(leaf([1.0]), 2.0).backward()


@pytest.mark.parametrize("result", [[1.0], None, (1.0,)])
def test_results_that_are_no_tensors(result: Any) -> None:
    with pytest.raises(TypeError, match=r"\[Gives\] the result is .*: a Tensor or a tuple of"):
        gives(None, lambda x: result).apply(leaf([1.0]))


def test_what_is_not_written_is_named() -> None:
    with pytest.raises(NotImplementedError, match="forward"):
        vq.autograd.Function.apply(leaf([1.0]))
    with pytest.raises(TypeError, match="save_for_backward"):
        gives(None, lambda x: vq.autograd.FunctionContext(()).save_for_backward(1.0)).apply(1)


def contexts() -> tuple[type[vq.autograd.Function], list[weakref.ref[Any]]]:
    kept: list[weakref.ref[Any]] = []

    class Kept(Cube):
        @staticmethod
        def forward(ctx: Any, x: vq.Tensor) -> vq.Tensor:
            kept.append(weakref.ref(ctx))
            return Cube.forward(ctx, x)

    return Kept, kept


def test_a_context_goes_with_the_tape() -> None:
    function, kept = contexts()
    x = leaf([2.0])
    y = function.apply(x)
    assert kept[0]() is not None
    y.backward()
    assert kept[0]() is None
    z = function.apply(x) * 2
    del z
    assert kept[1]() is None
    function.apply(vq.Tensor([1.0]))
    with vq.no_grad():
        function.apply(x)
    assert kept[2]() is None and kept[3]() is None


def test_a_context_goes_without_the_lock_of_the_interpreter() -> None:
    """Backward drops the tape on a thread that computes without it."""
    function, kept = contexts()

    def work() -> None:
        for _ in range(50):
            x = leaf(np.ones((40, 40)))
            (function.apply(x @ x) @ x).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert len(kept) == 200 and all(reference() is None for reference in kept)


def test_a_chain_of_contexts_is_released() -> None:
    function, kept = contexts()
    x = leaf([1.0])
    y = x
    for _ in range(20_000):
        y = function.apply(y)
    del y
    gc.collect()
    assert all(reference() is None for reference in kept)


def test_gradients_agree_with_central_differences() -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(4, 4, generator=vq.Generator(1))
    x = leaf(rng.standard_normal((3, 4)))
    Cube.apply(layer(x)).sum().backward()
    way = rng.standard_normal(x.shape).astype(np.float32)

    def value(step: float) -> float:
        given = x.numpy() + np.float32(step) * way
        y = given.astype(np.float64) @ layer.weight.numpy().T + layer.bias.numpy()
        return float((y**3).sum())

    slope = (value(1e-3) - value(-1e-3)) / 2e-3
    assert float((x.grad.numpy() * way).sum()) == pytest.approx(slope, rel=1e-3)


def test_a_fork_does_not_wait_for_a_backward_that_waits_for_the_interpreter() -> None:
    """A thread in `backward` wants the interpreter's lock, which the thread that forks holds."""
    program = """
import os, sys, threading, time
import numpy as np
import vqswift as vq

class Slow(vq.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1
    @staticmethod
    def backward(ctx, gradient):
        time.sleep(0.001)
        return gradient

stop = False
def step():
    x = vq.Tensor(np.ones(4, np.float32), requires_grad=True)
    Slow.apply(Slow.apply(x)).sum().backward()
    return x.grad.numpy().sum()

def work():
    while not stop:
        step()

step()  # what is imported at first use is imported before the forks

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
began = time.monotonic()
for _ in range(40):
    child = os.fork()
    if child == 0:
        os._exit(0 if step() == 4 else 1)
    assert os.waitpid(child, 0)[1] == 0
stop = True
for thread in threads:
    thread.join()
print(time.monotonic() - began)
"""
    # One wait in vain takes a second, and its child computes nothing.
    assert float(run_python(program)) < 20
