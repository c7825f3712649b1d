"""Gradients of shards: the mean over all samples, weighted by how many each rank has."""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq
from ranks import on_ranks
from vqswift import distributed

SHARDS = [
    np.random.default_rng(r).normal(size=(n, 3)).astype(np.float32)
    for r, n in enumerate((5, 1, 0, 6))
]


def layer() -> vq.nn.Linear:
    vq.manual_seed(0)
    return vq.nn.Linear(3, 400_000 // 4)  # more than one message


def gradients(linear: vq.nn.Linear) -> list[np.ndarray]:
    return [parameter.grad.numpy() for parameter in linear.parameters()]


def test_uneven_and_empty_shards_give_the_gradient_of_the_whole_batch() -> None:
    layers = [layer() for _ in SHARDS]

    def body(rank: int) -> list[np.ndarray]:
        if len(SHARDS[rank]):
            (layers[rank](SHARDS[rank]) ** 2).mean().backward()
        distributed.reduce_gradients(layers[rank].parameters(), count=len(SHARDS[rank]))
        return gradients(layers[rank])

    found = on_ranks(len(SHARDS), body)
    whole = layer()
    (whole(np.concatenate(SHARDS)) ** 2).mean().backward()
    for each in found:
        for own, first, expected in zip(each, found[0], gradients(whole), strict=True):
            assert np.array_equal(own, first)
            # Four float32 terms: a few units in the last place of the largest.
            np.testing.assert_allclose(own, expected, rtol=0, atol=4e-7 * np.abs(expected).max())


def test_a_parameter_without_a_gradient_on_all_ranks_keeps_none() -> None:
    layers = [vq.nn.Linear(3, 2) for _ in range(2)]

    def body(rank: int) -> bool:
        distributed.reduce_gradients(layers[rank].parameters())
        return all(parameter.grad is None for parameter in layers[rank].parameters())

    assert on_ranks(2, body) == [True, True]


def test_counts_that_make_no_mean_are_refused() -> None:
    linear = vq.nn.Linear(3, 2)
    for count in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="must be finite and not negative"):
            distributed.reduce_gradients(linear.parameters(), count=count)

    def body(rank: int) -> None:
        with pytest.raises(ValueError, match="count = 0 on every rank"):
            distributed.reduce_gradients(vq.nn.Linear(3, 2).parameters(), count=0)

    on_ranks(2, body)


def test_one_process_keeps_its_gradients() -> None:
    linear = vq.nn.Linear(3, 2)
    linear(SHARDS[0]).sum().backward()
    before = gradients(linear)
    distributed.reduce_gradients(linear.parameters(), count=5)
    assert all(np.array_equal(a, b) for a, b in zip(gradients(linear), before, strict=True))


def reduced(gradients: list[list[float]], counts: list[float]) -> list[list[float]]:
    """The gradients of one parameter that ranks have after `reduce_gradients`."""

    def body(rank: int) -> list[float]:
        parameter = vq.Tensor(np.zeros(len(gradients[rank]), np.float32), requires_grad=True)
        parameter.grad = vq.Tensor(np.array(gradients[rank], np.float32))
        distributed.reduce_gradients([parameter, parameter], count=counts[rank])
        return [] if parameter.grad is None else parameter.grad.numpy().tolist()

    return on_ranks(len(counts), body)


def test_gradients_of_no_samples_do_not_count() -> None:
    assert reduced([[2.0], [np.nan]], [4, 0]) == [[2.0], [2.0]]


def test_a_mean_is_finite_where_its_sum_is_not() -> None:
    for counts in ([1000, 1000], [1e38, 1e38], [1e-46, 1e-46]):
        for (found,) in reduced([[1e36], [2e36]], counts):
            assert found == pytest.approx(1.5e36)
    assert reduced([[1.0], [3.0]], [1e38, 3e38]) == [[2.5], [2.5]]


def test_no_samples_anywhere_leave_the_gradients_alone() -> None:
    parameters = [vq.Tensor(np.zeros(1, np.float32), requires_grad=True) for _ in range(2)]

    def body(rank: int) -> list[float]:
        parameters[rank].grad = vq.Tensor(np.ones(1, np.float32))
        with pytest.raises(ValueError, match="count = 0 on every rank"):
            distributed.reduce_gradients([parameters[rank]], count=0)
        return parameters[rank].grad.numpy().tolist()

    assert on_ranks(2, body) == [[1.0], [1.0]]
