"""Gradients that go out while the backward goes on: the same bits, sent in the same order."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from ranks import ThreadCommunicator, on_ranks
from vqswift import _core, nn
from vqswift.distributed import PeerLost, _gradients
from vqswift.distributed._current import current
from vqswift.distributed._gradients import GradientSum

X = np.random.default_rng(0).normal(size=(6, 12)).astype(np.float32)


def network() -> nn.Module:
    vq.manual_seed(0)
    layers = [nn.Linear(12, 12) for _ in range(6)]
    layers[2].freeze()
    return nn.Sequential(*layers[:5])  # the last layer is not used


class Parameters:
    """A network, and a parameter without a gradient."""

    def __init__(self) -> None:
        self.network = network()
        self.unused = vq.Tensor(np.ones(7, np.float32), requires_grad=True)
        self.all = [self.unused, *self.network.parameters()]  # its bucket is the last

    def loss(self, rows: Any) -> vq.Tensor:
        hidden = self.network[0](rows)
        # A leaf that several operators use, one of them computed again in backward.
        again = vq.autograd.checkpoint(self.network, rows)
        loss: vq.Tensor = (hidden.square().mean() + again.square().mean()) * 0.5
        return loss


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gradients, "_BUCKET", 160)


def summed(parameters: Parameters, overlapped: bool, blocks: list[int], every: int) -> list[Any]:
    here = current()
    ranges = [(every * rank, every * (rank + 1)) for rank in range(here.size)]
    adding = GradientSum(parameters.all, here, ranges)
    for block in blocks:
        for parameter in parameters.all:
            parameter.grad = None
        loss = parameters.loss(X[block : block + 2])
        if overlapped and block == blocks[-1]:
            adding.backward(loss, block)
            assert len(adding._sent) > 2
        else:
            loss.backward()
        adding.add(block, np.array([block], np.float32))
    (total,) = adding.finish(1)
    assert total == sum(range(every * here.size))
    return [None if p.grad is None else p.grad.numpy() for p in parameters.all]


@pytest.mark.parametrize(("size", "every"), [(2, 1), (2, 2), (3, 1)])
def test_overlapped_sums_have_the_bits_of_those_behind_the_backward(size: int, every: int) -> None:
    made = [(Parameters(), Parameters()) for _ in range(size)]

    def body(rank: int) -> tuple[list[Any], int]:
        blocks = list(range(every * rank, every * (rank + 1)))
        before = current().sent
        plain = summed(made[rank][0], False, blocks, every)
        middle = current().sent
        found = summed(made[rank][1], True, blocks, every)
        assert current().sent - middle == middle - before
        for own, expected in zip(found, plain, strict=True):
            assert (own is None and expected is None) or np.array_equal(own, expected)
        return found, len([each for each in found if each is None])

    found = on_ranks(size, body)
    # The unused parameter, and the frozen layer's two.
    assert all(none == 3 for _, none in found)


def test_messages_go_out_before_the_backward_ends() -> None:
    threads: list[str] = []

    class Watched(ThreadCommunicator):
        def reduce_tree(self, *arguments: Any, **options: Any) -> Any:
            threads.append(threading.current_thread().name)
            return super().reduce_tree(*arguments, **options)

    def body(rank: int) -> None:
        current().__class__ = Watched
        summed(Parameters(), True, [rank], 1)

    on_ranks(2, body)
    assert threads.count("vqswift message") >= 4


def test_an_engine_without_threads_sends_behind_the_backward() -> None:
    def body(rank: int) -> None:
        here = current()
        here.is_threaded = False
        parameters = Parameters()
        adding = GradientSum(parameters.all, here, [(0, 1), (1, 2)])
        adding.backward(parameters.loss(X), rank)
        assert not adding._sent
        adding.add(rank, np.ones(1, np.float32))
        adding.finish(1)

    on_ranks(2, body)


def test_a_lost_rank_is_told_where_sums_are_taken() -> None:
    def body(rank: int) -> None:
        if rank == 0:
            summed(Parameters(), True, [0], 1)

    with pytest.raises(PeerLost):
        on_ranks(2, body, timeout=0.3)


def test_a_leaf_is_told_once_with_all_of_its_gradient() -> None:
    parameters = Parameters()
    expected = Parameters()
    expected.loss(X).backward()
    told: dict[int, np.ndarray] = {}

    def done(place: int) -> None:
        gradient = parameters.all[place].grad
        assert place not in told and gradient is not None
        told[place] = gradient.numpy()

    leaves = [parameter._handle for parameter in parameters.all]
    _core.tensor_backward_by_leaf(parameters.loss(X)._handle, None, False, leaves, done)
    for place, parameter in enumerate(expected.all):
        if parameter.grad is None:
            assert place not in told
        else:
            assert np.array_equal(told[place], parameter.grad.numpy())


def test_what_the_function_raises_ends_the_backward() -> None:
    x = vq.Tensor(X, requires_grad=True)

    def done(place: int) -> None:
        raise LookupError(f"place {place}")

    with pytest.raises(LookupError, match="place 0"):
        _core.tensor_backward_by_leaf(x.sum()._handle, None, False, [x._handle], done)
    x.sum().backward()  # the tape of another
    assert x.grad is not None
