"""Sums over ranks: the same bits for every number of ranks, and what a rank sends."""

import numpy as np
import pytest
from ranks import on_ranks
from vqswift import distributed
from vqswift.distributed._moments import joined
from vqswift.distributed._tree import FixedTree, Node, nodes_of


def leaves(count: int, length: int = 33, dtype: type = np.float32) -> list[np.ndarray]:
    draws = np.random.default_rng(0)
    return [
        (draws.normal(size=length) * 10.0 ** draws.integers(-6, 6)).astype(dtype)
        for _ in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8, 12, 16])
def test_nodes_cover_a_range_and_are_those_of_a_tree(count: int) -> None:
    for first in range(count):
        for last in range(first, count + 1):
            covered = [
                i
                for level, index in nodes_of(first, last)
                for i in range(index << level, (index + 1) << level)
            ]
            assert covered == list(range(first, last))
            tree = FixedTree()
            for leaf in range(first, last):
                tree.add_leaf(leaf, np.zeros(1))
            assert [(n.level, n.place) for n in tree.nodes] == nodes_of(first, last)


def test_the_order_of_the_tree_is_that_of_its_definition() -> None:
    a, b, c, d, e = leaves(5)
    tree = FixedTree()
    for index, leaf in enumerate((a, b, c, d, e)):
        tree.add_leaf(index, leaf)
    assert np.array_equal(tree.total(), ((a + b) + (c + d)) + e)


@pytest.mark.parametrize("length", [5, 40_000])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("count", [8, 11])
def test_a_tree_over_ranks_gives_the_bits_of_one_process(
    size: int, count: int, length: int
) -> None:
    values = leaves(count, length)
    whole = FixedTree()
    for index, value in enumerate(values):
        whole.add_leaf(index, value)
    ranges = [(count * r // size, count * (r + 1) // size) for r in range(size)]

    def body(rank: int) -> np.ndarray:
        tree = FixedTree()
        for index in range(*ranges[rank]):
            tree.add_leaf(index, values[index])
        return distributed.current().reduce_tree(tree.nodes, ranges)

    for found in on_ranks(size, body):
        assert np.array_equal(found, whole.total())


def test_ranks_without_leaves_take_part() -> None:
    values = leaves(2)
    ranges = [(0, 0), (0, 2), (2, 2)]

    def body(rank: int) -> np.ndarray:
        tree = FixedTree()
        for index in range(*ranges[rank]):
            tree.add_leaf(index, values[index])
        return distributed.current().reduce_tree(tree.nodes, ranges)

    for found in on_ranks(3, body):
        assert np.array_equal(found, values[0] + values[1])


def test_all_reduce_takes_sum_max_and_min_of_any_shape() -> None:
    values = [np.arange(6.0).reshape(2, 3) * (rank - 1) for rank in range(3)]

    def body(rank: int) -> list[np.ndarray]:
        here = distributed.current()
        return [here.all_reduce(values[rank], o) for o in ("sum", "max", "min")]

    for total, most, least in on_ranks(3, body):
        assert np.array_equal(total, values[0] + values[1] + values[2])
        assert np.array_equal(most, np.maximum.reduce(values))
        assert np.array_equal(least, np.minimum.reduce(values))
    with pytest.raises(ValueError, match=r"operation = 'mean': it must be 'sum', 'max' or 'min'"):
        distributed.current().all_reduce(values[0], "mean")


def test_gathered_arrays_may_differ_in_length() -> None:
    def body(rank: int) -> list[np.ndarray]:
        return distributed.current().all_gather(np.full((rank, 2), rank, np.int32))

    for found in on_ranks(3, body):
        assert [len(each) for each in found] == [0, 1, 2]
        assert all(
            (each == rank).all() and each.dtype == np.int32 for rank, each in enumerate(found)
        )


@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_broadcast_gives_the_array_of_its_root(shape: tuple[int, ...]) -> None:
    value = np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape)

    def body(rank: int) -> np.ndarray:
        return distributed.current().broadcast(value if rank == 1 else None, 1)

    for found in on_ranks(3, body):
        assert np.array_equal(found, value) and found.dtype == value.dtype


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_large_sum_sends_two_shares_of_each_byte(size: int) -> None:
    length = 30_000 * size  # float32, beyond one round

    def body(rank: int) -> int:
        here = distributed.current()
        here.all_reduce(np.ones(length, np.float32))
        return here.sent

    told = 8 * (size - 1)  # of the array's dtype and shape
    assert on_ranks(size, body) == [told + 2 * (size - 1) * length * 4 // size] * size


def test_moments_join_to_those_of_all_vectors() -> None:
    points = np.random.default_rng(0).normal(1e4, 1.0, (100, 3))

    def moments(part: np.ndarray) -> np.ndarray:
        if not len(part):
            return np.zeros(7)
        mean = part.mean(0)
        return np.concatenate([[len(part)], mean, ((part - mean) ** 2).sum(0)])

    found = np.zeros(7)
    for begin, end in ((0, 0), (0, 1), (1, 60), (60, 60), (60, 100)):
        found = joined(found, moments(points[begin:end]))
    np.testing.assert_allclose(found, moments(points), rtol=1e-12)


def test_wrong_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"nodes \[\(0, 1\)\] of rank 0: its leaves \(0, 1\) make"):
        distributed.current().reduce_tree([Node(0, 1, np.zeros(1))], [(0, 1)])


def test_a_rank_that_fails_ends_the_wait_of_others() -> None:
    def body(rank: int) -> None:
        if rank == 1:
            raise KeyError("gone")
        with pytest.raises(distributed.PeerLost):
            distributed.current().barrier()

    with pytest.raises(KeyError, match="gone"):
        on_ranks(3, body)


def test_one_process_is_the_rank_0_of_1() -> None:
    assert (distributed.rank(), distributed.size()) == (0, 1)
    distributed.current().barrier()
    assert distributed.init() is distributed.current()


def test_arrays_of_another_byte_order_are_summed() -> None:
    def body(rank: int) -> list[np.ndarray]:
        here = distributed.current()
        return [
            here.all_reduce(np.array([1, 2], ">f4")),
            here.all_reduce(np.array([1, rank], ">i4"), "max"),
            *here.all_gather(np.array([rank], ">i2")),
        ]

    for found in on_ranks(2, body):
        assert [value.tolist() for value in found] == [[2, 4], [1, 1], [0], [1]]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_arrays_of_nothing_are_summed(shape: tuple[int, ...]) -> None:
    for found in on_ranks(3, lambda _: distributed.current().all_reduce(np.empty(shape, "f"))):
        assert found.shape == shape and found.dtype == np.float32


@pytest.mark.parametrize("size", [1, 2])
def test_results_are_arrays_of_their_own(size: int) -> None:
    def body(_: int) -> list[float]:
        given = np.zeros(3)
        here = distributed.current()
        for found in (here.all_reduce(given), here.broadcast(given)):
            found += 1
        return given.tolist()

    assert on_ranks(size, body) == [[0.0] * 3] * size


def test_unlike_arrays_are_an_error_on_every_rank() -> None:
    cases = [
        (lambda here, rank: here.all_reduce(np.zeros(2, "fi"[rank])), "float32|<f4"),
        (lambda here, rank: here.all_reduce(np.zeros(2 + rank)), r"rank 1: <f8 \[3\]"),
        (lambda here, rank: here.all_gather(np.zeros(2, "fi"[rank])), r"rank 1: <i4 \[n\]"),
        (lambda here, rank: here.all_gather(np.zeros((rank, 2 + rank))), r"rank 0: <f8 \[n, 2\]"),
    ]

    def body(rank: int) -> int:
        here = distributed.current()
        refused = 0
        for call, told in cases:
            with pytest.raises(ValueError, match=told):
                call(here, rank)
            refused += 1
        return refused + int(here.all_reduce(np.ones(1))[0])  # the ranks are still in step

    assert on_ranks(2, body) == [len(cases) + 2] * 2


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_a_barrier_takes_a_positive_time(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"\[barrier\] timeout = .*: must be positive and finite"):
        distributed.current().barrier(timeout)
