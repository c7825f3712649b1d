"""Every operator on inputs with each axis empty in turn, against NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn
from vqswift.nn import functional as F

SIZES = {"a": 2, "b": 3, "c": 17, "k": 4, "m": 2, "n": 3}


def empty_shapes(axes: str) -> list[dict[str, int]]:
    """Sizes of the axes with one, two and all of them 0."""
    return [
        {axis: 0 if axis in empty else SIZES[axis] for axis in axes}
        for count in sorted({1, 2, len(axes)})
        for empty in itertools.combinations(axes, count)
    ]


def filled(*shape: int) -> np.ndarray:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def check(ours: Callable[..., vq.Tensor], numpy: Callable[..., Any], *inputs: np.ndarray) -> None:
    """The same value, or a ValueError of both; gradients of the inputs' shapes."""
    tensors = [vq.Tensor(x, requires_grad=True) for x in inputs]
    try:
        with np.errstate(all="ignore"):
            expected = np.asarray(numpy(*inputs))
    except ValueError:
        with pytest.raises(ValueError):
            ours(*tensors)
        return
    result = ours(*tensors)
    assert result.shape == expected.shape
    assert np.allclose(result.numpy(), expected, rtol=1e-5, atol=1e-6)
    if not result.requires_grad:
        return
    result.backward(np.ones(result.shape, np.float32))
    for tensor in tensors:
        assert tensor.grad is not None and tensor.grad.shape == tensor.shape
        if result.size == 0:
            assert not tensor.grad.numpy().any()


AXES = [None, (), *(axes for n in (1, 2, 3) for axes in itertools.combinations(range(3), n))]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("sizes", empty_shapes("abc"), ids=str)
def test_reductions(sizes: dict[str, int], axes: Any, keepdims: bool) -> None:
    x = filled(*sizes.values())
    options = {"axis": axes, "keepdims": keepdims}
    check(lambda t: t.sum(**options), lambda a: a.sum(**options), x)
    check(lambda t: t.max(**options), lambda a: a.max(**options), x)
    check(lambda t: t.min(**options), lambda a: a.min(**options), x)
    seen = np.prod([x.shape[axis] for axis in (range(3) if axes is None else axes)])
    if seen:
        check(lambda t: t.mean(**options), lambda a: a.mean(**options), x)
    else:
        for name in ("mean", "var"):
            with pytest.raises(ValueError, match="at least"):
                getattr(vq.Tensor(x), name)(**options)
    if seen >= 2:
        check(lambda t: t.var(**options), lambda a: a.var(**options, ddof=1), x)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("sizes", empty_shapes("abc"), ids=str)
def test_along_one_axis(sizes: dict[str, int], axis: int) -> None:
    x = filled(*sizes.values())
    check(lambda t: t.argmax(axis=axis), lambda a: a.argmax(axis=axis), x)
    check(lambda t: t.softmax(axis=axis), np.zeros_like, x)
    check(lambda t: t.log_softmax(axis=axis), np.zeros_like, x)


@pytest.mark.parametrize("sizes", empty_shapes("abc"), ids=str)
def test_elements(sizes: dict[str, int]) -> None:
    x = filled(*sizes.values())
    for name in ("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "gelu", "silu", "abs", "square"):
        check(lambda t, name=name: getattr(t, name)(), np.zeros_like, x)
    check(lambda t: t.clamp(0, 1), np.zeros_like, x)
    check(lambda t: t**1.5, np.zeros_like, x)
    check(lambda t: F.dropout(t, generator=vq.Generator(0)), np.zeros_like, x)


@pytest.mark.parametrize("sizes", empty_shapes("abc"), ids=str)
def test_pairs(sizes: dict[str, int]) -> None:
    a, b, c = sizes.values()
    pairs = [
        (filled(a, b, c), filled(a, b, c)),
        (filled(a, b, c), filled(b, 1)),
        (filled(1, b, 1), filled(a, 1, c)),
        (filled(c), filled(a, b, 1)),
        (filled(a, b, c), filled()),
    ]
    operators: list[tuple[Callable[..., vq.Tensor], Callable[..., Any]]] = [
        (lambda x, y: x + y, np.add),
        (lambda x, y: x - y, np.subtract),
        (lambda x, y: x * y, np.multiply),
        (lambda x, y: x / y, np.divide),
        (vq.maximum, np.maximum),
        (vq.minimum, np.minimum),
    ]
    for (x, y), (ours, numpy) in itertools.product(pairs, operators):
        check(ours, numpy, x, y)


@pytest.mark.parametrize("sizes", empty_shapes("bmkn"), ids=str)
def test_products(sizes: dict[str, int]) -> None:
    b, m, k, n = sizes.values()
    for left, right in [
        ((m, k), (k, n)),
        ((b, m, k), (b, k, n)),
        ((b, m, k), (k, n)),
        ((m, k), (b, k, n)),
        ((b, 1, m, k), (3, k, n)),
        ((k,), (k, n)),
        ((m, k), (k,)),
        ((k,), (k,)),
    ]:
        check(lambda x, y: x @ y, np.matmul, filled(*left), filled(*right))


@pytest.mark.parametrize("sizes", empty_shapes("abc"), ids=str)
def test_shapes(sizes: dict[str, int]) -> None:
    a, b, c = sizes.values()
    x = filled(a, b, c)
    check(lambda t: t.reshape(c, b, a), lambda x: x.reshape(c, b, a), x)
    check(lambda t: t.reshape(-1), lambda x: x.reshape(-1), x)
    check(lambda t: t.reshape(a, -1), lambda x: x.reshape(a, -1), x)
    check(lambda t: t.T, lambda x: x.T, x)
    for order in itertools.permutations(range(3)):
        check(lambda t, o=order: t.permute(o), lambda x, o=order: x.transpose(o), x)
    for key in (np.s_[:], np.s_[1:], np.s_[::2], np.s_[0:0], np.s_[:, 1:2], np.s_[..., None]):
        check(lambda t, key=key: t[key], lambda x, key=key: x[key], x)
    for axis in range(3):
        check(
            lambda s, t, axis=axis: vq.concatenate([s, t], axis=axis),
            lambda x, y, axis=axis: np.concatenate([x, y], axis=axis),
            *(x, filled(*(5 if i == axis else s for i, s in enumerate(x.shape)))),
        )
    for axis in range(4):
        check(
            lambda s, t, axis=axis: vq.stack([s, t], axis=axis),
            lambda x, y, axis=axis: np.stack([x, y], axis=axis),
            *(x, x),
        )
    check(
        lambda t: t.broadcast_to((a, b, c)),
        lambda x: np.broadcast_to(x, (a, b, c)),
        filled(b, 1),
    )


@pytest.mark.parametrize("sizes", empty_shapes("kmn"), ids=str)
def test_codes(sizes: dict[str, int]) -> None:
    k, m, n = sizes.values()
    codes = np.zeros(n, np.int32)
    if k == 0 and n:
        for call in (
            lambda: vq.Tensor(filled(k, m)).gather_rows(codes),
            lambda: vq.Tensor(filled(n, m)).scatter_add_rows(codes, k),
            lambda: vq.Tensor(codes).one_hot(k),
        ):
            with pytest.raises(IndexError):
                call()
        return
    check(lambda t: t.gather_rows(codes), lambda x: x[codes], filled(k, m))
    check(
        lambda t: t.scatter_add_rows(codes, k),
        lambda x: np.concatenate([x.sum(0)[None], np.zeros((k - 1, m))]) if k else np.zeros((k, m)),
        filled(n, m),
    )
    assert vq.Tensor(codes).one_hot(k).shape == (n, k)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("sizes", empty_shapes("nabmk"), ids=str)
def test_convolutions_add_up_nothing(sizes: dict[str, int], name: str, bias: bool) -> None:
    n, h, w, inputs, outputs = sizes.values()
    x = vq.Tensor(filled(n, h, w, inputs), requires_grad=True)
    shape = (outputs, inputs, 1, 1) if name == "conv2d" else (inputs, outputs, 1, 1)
    weight = vq.Tensor(filled(*shape), requires_grad=True)
    offset = vq.Tensor(filled(outputs), requires_grad=True) if bias else None
    if 0 in (h, w):
        with pytest.raises(ValueError):
            getattr(F, name)(x, weight, offset)
        return
    y = getattr(F, name)(x, weight, offset)
    assert y.shape == (n, h, w, outputs)
    expected = np.zeros(y.shape) if offset is None else np.broadcast_to(offset.numpy(), y.shape)
    assert np.array_equal(y.numpy(), expected)
    y.backward(np.ones(y.shape, np.float32))
    assert x.grad is not None and weight.grad is not None
    assert not x.grad.numpy().any() and not weight.grad.numpy().any()
    if offset is not None:
        assert offset.grad is not None
        assert np.array_equal(offset.grad.numpy(), np.full(outputs, n * h * w))


@pytest.mark.parametrize("kernel, padding", [(1, 0), (2, 0), (2, 1), (3, 1), (4, 2)])
@pytest.mark.parametrize("sizes", empty_shapes("nabm"), ids=str)
def test_windows_see_a_pixel(sizes: dict[str, int], kernel: int, padding: int) -> None:
    n, h, w, channels = sizes.values()
    x = vq.Tensor(filled(n, h, w, channels), requires_grad=True)
    out = [(size + 2 * padding - kernel) // kernel + 1 for size in (h, w)]
    fits = min(h, w) + 2 * padding >= kernel
    for name in ("max_pool2d", "avg_pool2d"):
        # Without pixels a mean counts the padding, and a maximum does not exist.
        if not fits or (name == "max_pool2d" and n and channels and 0 in (h, w)):
            with pytest.raises(ValueError):
                getattr(F, name)(x, kernel, padding=padding)
            continue
        y = getattr(F, name)(x, kernel, padding=padding)
        assert y.shape == (n, *out, channels) and not y.numpy().any()
        x.grad = None
        y.backward(np.ones(y.shape, np.float32))
        assert x.grad is not None and x.grad.shape == x.shape


@pytest.mark.parametrize("sizes", empty_shapes("nm"), ids=str)
def test_losses_need_elements(sizes: dict[str, int]) -> None:
    n, m = sizes.values()
    x = vq.Tensor(filled(n, m))
    for loss in (F.mse_loss, F.l1_loss):
        with pytest.raises(ValueError, match="no elements"):
            loss(x, x)
    with pytest.raises((ValueError, IndexError)):
        F.cross_entropy(x, np.zeros(n, np.int32))


@pytest.mark.parametrize("sizes", empty_shapes("abn"), ids=str)
def test_layers(sizes: dict[str, int]) -> None:
    a, b, n = sizes.values()
    x = vq.Tensor(filled(a, b, 4), requires_grad=True)
    for layer in (nn.Linear(4, 3), nn.LayerNorm(4), nn.BatchNorm(4).eval(), nn.ReLU()):
        x.grad = None
        if isinstance(layer, nn.LayerNorm):
            assert layer(x).shape == x.shape
            continue
        y = layer(x)
        assert y.shape[:2] == (a, b)
        y.backward(np.ones(y.shape, np.float32))
        assert x.grad is not None and x.grad.shape == x.shape
    if 0 in (a, b):
        with pytest.raises(ValueError):
            nn.BatchNorm(4)(x)
    assert nn.Embedding(5, 4)(np.zeros((a, n), np.int32)).shape == (a, n, 4)


QUANTIZERS: dict[str, Callable[[], Any]] = {
    "nearest": lambda: vq.VectorQuant(4, 8),
    "affine": lambda: vq.VectorQuant(4, 8, affine_lr=1.0, sync_nu=1.0, replace_freq=2),
    "EMA": lambda: vq.VectorQuant(4, 8, ema_decay=0.9),
    "cosine": lambda: vq.VectorQuant(4, 8, norm="l2", cb_norm="l2"),
    "projected": lambda: vq.VectorQuant(4, 8, code_size=2),
    "rotation": lambda: vq.VectorQuant(4, 8, gradient="rotation"),
    "stochastic": lambda: vq.VectorQuant(4, 8, temperature=1.0),
    "groups": lambda: vq.GroupVectorQuant(4, 8, groups=2),
    "stages": lambda: vq.ResidualVectorQuant(4, 8, stages=2),
    "FSQ": lambda: vq.FSQ([3, 3, 3, 3]),
    "LFQ": lambda: vq.LFQ(4),
    "Gumbel": lambda: vq.GumbelQuant(4, 8),
    "Gaussian": lambda: vq.SQVAEQuant(4, 8),
}


@pytest.mark.parametrize("name", QUANTIZERS)
@pytest.mark.parametrize("sizes", empty_shapes("ab"), ids=str)
def test_quantizers(sizes: dict[str, int], name: str) -> None:
    a, b = sizes.values()
    layer = QUANTIZERS[name]()
    x = vq.Tensor(filled(a, b, 4))
    before = {key: value.copy() for key, value in layer.state_dict().items()}
    with pytest.raises(ValueError):
        layer(x)
    for key, value in layer.state_dict().items():
        assert np.array_equal(value, before[key])
    layer.eval()
    codes = layer.encode(x)
    assert codes.shape[:2] == (a, b)
    assert layer.decode(codes).shape == (a, b, 4)
    with pytest.raises(ValueError):
        QUANTIZERS[name]()(vq.Tensor(filled(2, 3, 0)))


@pytest.mark.parametrize("n, d, k", [(0, 4, 3), (3, 0, 3), (3, 4, 0), (0, 0, 3), (0, 0, 0)])
def test_searches(n: int, d: int, k: int) -> None:
    x, codebook = filled(n, d), filled(k, d)
    with pytest.raises(ValueError):
        vq.nearest_codes(x, codebook)
    with pytest.raises(ValueError):
        vq.nearest_codes(x, codebook, True, topk=1)
    with pytest.raises(ValueError):
        vq.kmeans(x, k)
    with pytest.raises(ValueError):
        vq.kmeans(x, k, init=codebook)
