"""Sizes that a caller gives go through checked arithmetic: an exception, or what NumPy gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from vqswift import metrics, models, nn
from vqswift.nn import functional as F

#: Beyond what a tensor may hold, and beyond 64 bits when multiplied.
HUGE = [2**46, 2**61, 2**62, 2**63 - 1, -(2**63)]
REFUSALS = (ValueError, IndexError, OverflowError, MemoryError)


@pytest.mark.parametrize("step", [5, 6, 7, 2**31, 2**32, 2**62, 2**63 - 1, 2**70])
def test_slices_take_every_step_that_numpy_takes(step: int) -> None:
    array = np.arange(42, dtype=np.float32).reshape(6, 7)
    t = vq.Tensor(array, requires_grad=True)
    for key in [
        np.s_[::step],
        np.s_[1::step, ::step],
        np.s_[-4:5:step, 2:-1:step],
        np.s_[3:3:step],
        np.s_[:, 100::step],
    ]:
        part = t[key]
        expected = array[key] if step < 2**63 else array[_clamped(key)]
        assert np.array_equal(part.numpy(), expected)
        t.grad = None
        part.sum().backward()
        gradient = np.zeros_like(array)
        gradient[_clamped(key)] = 1
        assert t.grad is not None and np.array_equal(t.grad.numpy(), gradient)


def _clamped(key: slice | tuple[slice, ...]) -> tuple[slice, ...]:
    keys = key if isinstance(key, tuple) else (key,)
    return tuple(slice(k.start, k.stop, k.step and min(k.step, 100)) for k in keys)


@pytest.mark.parametrize("bound", [2**31, 2**62, 2**63 - 1, 2**70])
def test_slices_take_every_bound_that_numpy_takes(bound: int) -> None:
    array = np.arange(6, dtype=np.float32)
    t = vq.Tensor(array)
    for key in [np.s_[-bound:bound], np.s_[bound:], np.s_[:-bound], np.s_[2:bound:3]]:
        assert np.array_equal(t[key].numpy(), array[key])
    with pytest.raises(IndexError):
        t[bound]
    with pytest.raises(IndexError):
        t[-bound]


LAYERS: dict[str, Callable[[int], object]] = {
    "linear in": lambda n: nn.Linear(n, 2),
    "linear out": lambda n: nn.Linear(2**20, n),
    "conv2d in": lambda n: nn.Conv2d(n, 2, 2),
    "conv2d out": lambda n: nn.Conv2d(2**20, n, 2),
    "conv2d kernel": lambda n: nn.Conv2d(5, 8, (n, n)),
    "conv_transpose2d in": lambda n: nn.ConvTranspose2d(n, 2, 2),
    "conv_transpose2d kernel": lambda n: nn.ConvTranspose2d(5, 8, (n, n)),
    "conv_transpose2d one side": lambda n: nn.ConvTranspose2d(2**14, 2**10, (n, 1)),
    "embedding": lambda n: nn.Embedding(n, n),
    "batch_norm": lambda n: nn.BatchNorm(n),
    "layer_norm": lambda n: nn.LayerNorm(n),
    "encoder width": lambda n: models.SQVAE(vq.VectorQuant(64, 8), width=n),
    "encoder channels": lambda n: models.SQVAE(vq.VectorQuant(64, 8), channels=n),
    "resnet channels": lambda n: models.ResNet50(10, channels=n),
    "resnet classes": lambda n: models.ResNet50(n),
    "codes": lambda n: vq.VectorQuant(2**20, n),
    "features": lambda n: vq.VectorQuant(n, 2**20),
    "groups": lambda n: vq.GroupVectorQuant(4, 8, groups=n),
    "stages": lambda n: vq.ResidualVectorQuant(4, 8, stages=n),
    "gumbel": lambda n: vq.GumbelQuant(n, n),
    "gaussian": lambda n: vq.SQVAEQuant(n, n),
    "levels": lambda n: vq.FSQ([n, n]),
    "bits": lambda n: vq.LFQ(n),
    "centroids": lambda n: vq.kmeans(np.ones((3, 2**16), np.float32), n),
    "uniform": lambda n: vq.Generator(0).uniform((n, n)),
    "one_hot": lambda n: vq.Tensor(np.zeros(2**14, np.int32)).one_hot(n),
    "max_pool2d": lambda n: nn.MaxPool2d((n, n), 1, (n // 2, n // 2))(np.ones((1, 4, 4, 8))),
    "upsample": lambda n: nn.Upsample((n, n))(np.ones((1, 4, 4, 8))),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", HUGE)
def test_sizes_beyond_memory_are_refused(name: str, size: int) -> None:
    with pytest.raises(REFUSALS):
        LAYERS[name](size)


def test_the_message_names_the_layer_and_the_sizes() -> None:
    with pytest.raises(OverflowError, match=r"\[conv2d\] sizes \[2, 4611686018427387904, 2, 2\]"):
        nn.Conv2d(2**62, 2, 2)
    with pytest.raises(OverflowError, match=r"\[conv_transpose2d\] sizes \[5, 8, 4294967296"):
        nn.ConvTranspose2d(5, 8, (2**32, 2**32))
    with pytest.raises(OverflowError, match=r"\[max_pool2d\] sizes \[2147483647, 2147483647, 1\]"):
        F.max_pool2d(np.ones((1, 4, 4, 1)), 2**31 - 1, 1, 2**30 - 1)


def test_a_probability_without_a_digit_is_refused() -> None:
    sizes = {"height": 1, "width": 1, "at_least": 2**57}
    with pytest.raises(ValueError, match=r"more than 2\^40"):
        metrics.activation_probability(8, batch_size=2**60, **sizes)
    assert metrics.activation_probability(8, batch_size=2**40, **sizes) == 0
