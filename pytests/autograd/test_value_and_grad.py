"""Functions that give gradients of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn
from vqswift.nn import functional as F

pytestmark = pytest.mark.usefixtures("no_leak")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4)).astype(np.float32)


def square(x: vq.Tensor) -> vq.Tensor:
    return (x * x).sum()


def test_value_and_gradient_by_hand() -> None:
    value, gradient = vq.value_and_grad(square)(X)
    assert value.item() == pytest.approx(float((X * X).sum()), rel=1e-6)
    np.testing.assert_array_equal(gradient.numpy(), 2 * X)
    assert not value.requires_grad and not gradient.requires_grad
    assert vq.grad(square)(3.0).item() == 6
    np.testing.assert_array_equal(vq.grad(square)(vq.Tensor(X)).numpy(), 2 * X)


def test_arguments_by_number() -> None:
    def f(a: vq.Tensor, b: vq.Tensor, scale: float = 1.0) -> vq.Tensor:
        return (a * b).sum() * scale

    a, b = vq.Tensor([1.0, 2.0]), vq.Tensor([3.0, 4.0])
    np.testing.assert_array_equal(vq.grad(f, 1)(a, b).numpy(), [1, 2])
    np.testing.assert_array_equal(vq.grad(f, -1)(a, b).numpy(), [1, 2])
    first, second = vq.grad(f, (1, 0))(a, b, scale=2.0)
    np.testing.assert_array_equal(first.numpy(), [2, 4])
    np.testing.assert_array_equal(second.numpy(), [6, 8])


class Pair(NamedTuple):
    a: Any
    b: Any


def test_gradients_have_the_form_of_the_argument() -> None:
    tree = {"w": vq.Tensor([1.0, 2.0]), "rest": [3.0, (vq.Tensor([4.0]),)], "pair": Pair(1.0, 2.0)}

    def f(tree: dict[str, Any]) -> vq.Tensor:
        (last,) = tree["rest"][1]
        pair = tree["pair"]
        return square(tree["w"]) + tree["rest"][0] * 5 + last.sum() * 7 + pair.a * 2 + pair.b * 3

    found = vq.grad(f)(tree)
    np.testing.assert_array_equal(found["w"].numpy(), [2, 4])
    assert found["rest"][0].item() == 5 and found["rest"][1][0].numpy().tolist() == [7]
    assert isinstance(found["rest"][1], tuple) and isinstance(found["pair"], Pair)
    assert (found["pair"].a.item(), found["pair"].b.item()) == (2, 3)


def test_what_stands_beside_the_value() -> None:
    def f(x: vq.Tensor) -> tuple[vq.Tensor, str]:
        return square(x), "aux"

    (value, aux), gradient = vq.value_and_grad(f, has_aux=True)(X)
    assert aux == "aux" and value.shape == ()
    np.testing.assert_array_equal(gradient.numpy(), 2 * X)
    gradient, aux = vq.grad(f, has_aux=True)(X)
    assert aux == "aux"


def test_zeros_where_nothing_depends_on_an_argument() -> None:
    for f in (lambda x: vq.Tensor(1.0), lambda x: square(vq.Tensor([2.0], requires_grad=True))):
        np.testing.assert_array_equal(vq.grad(f)(X).numpy(), np.zeros_like(X))
    assert vq.grad(lambda x: x.sum())(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_gradients_of_parameters_are_not_disturbed() -> None:
    layer = nn.Linear(4, 2)
    F.mse_loss(layer(X), np.zeros((3, 2), np.float32)).backward()
    before = {n: p.grad.numpy() for n, p in layer.named_parameters()}
    x = vq.Tensor(X, requires_grad=True)
    gradient = vq.grad(lambda x: square(layer(x)))(x)
    expected = 2 * (X @ layer.weight.numpy().T + layer.bias.numpy()) @ layer.weight.numpy()
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert x.grad is None
    for name, parameter in layer.named_parameters():
        np.testing.assert_array_equal(parameter.grad.numpy(), before[name])


def test_the_argument_itself_is_meant_not_what_it_was_computed_from() -> None:
    leaf = vq.Tensor(X, requires_grad=True)
    np.testing.assert_array_equal(vq.grad(square)(leaf * 2).numpy(), 4 * X)
    assert leaf.grad is None


def test_gradients_within_no_grad() -> None:
    with vq.no_grad():
        np.testing.assert_array_equal(vq.grad(square)(X).numpy(), 2 * X)


def test_gradients_within_gradients_are_values() -> None:
    outer = vq.grad(lambda x: (vq.grad(square)(x) * x).sum())(X)
    np.testing.assert_array_equal(outer.numpy(), 2 * X)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: vq.grad(lambda x: x * 2)(X),
            TypeError,
            r"shape \[3, 4\]: a float32 Tensor of one",
        ),
        (lambda: vq.grad(lambda x: 1.0)(X), TypeError, "gave 1.0: a float32 Tensor"),
        (lambda: vq.grad(square, 1)(X), ValueError, "argnums has 1: 1 positional arguments"),
        (lambda: vq.grad(square, (0, -1))(X), ValueError, "each argument once"),
        (lambda: vq.grad(square)(3), TypeError, "an argument is 3: only floats"),
        (lambda: vq.grad(square, has_aux=True)(X), TypeError, "a pair .value, aux. is required"),
        (lambda: vq.grad(3), TypeError, "f = 3: a function is required"),
        (lambda: nn.value_and_grad(nn.ReLU(), lambda: 1)(), TypeError, "gave 1: a float32 Tensor"),
    ],
)
def test_refused(call: Callable[[], object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_an_exception_of_the_function_comes_through() -> None:
    def f(x: vq.Tensor) -> vq.Tensor:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        vq.grad(f)(X)
    assert square(vq.Tensor(X, requires_grad=True)).requires_grad


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: Any) -> vq.Tensor:
        return self.second(self.first(x).tanh())


def test_gradients_of_a_model_by_name() -> None:
    model = Network()
    model.second.bias.requires_grad = False
    step = nn.value_and_grad(model, lambda x, y: F.mse_loss(model(x), y))
    target = np.ones((3, 2), np.float32)
    loss, gradients = step(X, target)
    assert list(gradients) == ["first.weight", "first.bias", "second.weight"]
    assert all(p.grad is None for p in model.parameters())
    expected = F.mse_loss(model(X), target)
    expected.backward()
    assert loss.item() == expected.item() and not loss.requires_grad
    for name, gradient in gradients.items():
        own = dict(model.named_parameters())[name].grad
        np.testing.assert_array_equal(gradient.numpy(), own.numpy())


def test_a_model_whose_function_gives_more() -> None:
    model = Network()

    def f(x: Any) -> tuple[vq.Tensor, vq.Tensor]:
        y = model(x)
        return square(y), y

    (loss, y), gradients = nn.value_and_grad(model, f)(X)
    assert loss.item() == pytest.approx(float((y.numpy() ** 2).sum()), rel=1e-5)
    np.testing.assert_allclose(
        gradients["second.bias"].numpy(), 2 * y.numpy().sum(0), rtol=1e-5, atol=1e-6
    )
    del y


def test_threads_add_to_the_parameters_that_they_share() -> None:
    import threading

    leaf = vq.Tensor(np.zeros(1000, np.float32), requires_grad=True)

    def work() -> None:
        for _ in range(1000):
            (leaf * 1.0).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(leaf.grad.numpy(), np.full(1000, 4000))
