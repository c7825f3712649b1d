"""Codebooks that learn over ranks: the bits of one process, for shards of any sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from ranks import on_ranks
from vqswift import _core, distributed
from vqswift._deferral import in_block
from vqswift.distributed._codebooks import update_blocks

STEPS, D, K = 6, 5, 16
Shards = list[np.ndarray]


def batches(sizes: tuple[int, ...]) -> list[Shards]:
    """Of each step the shards, whose rows together do not depend on how they are cut."""
    draws = np.random.default_rng(3)
    total = sum(sizes)
    centers = draws.normal(size=(6, D)) * 2
    found = []
    for _ in range(STEPS):
        rows = centers[draws.integers(0, 6, total)] + draws.normal(size=(total, D)) * 0.2
        found.append(np.split(rows.astype(np.float32), np.cumsum(sizes)[:-1]))
    return found


def state(layer: Any) -> dict[str, np.ndarray]:
    return layer.state_dict()


def told(updates: list[distributed.CodebookUpdate]) -> list[tuple]:
    return [
        (u.codebook, u.counts.tolist(), u.replaced.tolist(), u.rows.tolist(), u.perplexity)
        for u in updates
    ]


def train(layer: Any, shard: Callable[[int], np.ndarray | None]) -> dict[str, Any]:
    """A rank's training: states and what was told, after every step."""
    states, updates, codes = [], [], []
    layer.train()
    for step in range(STEPS):
        z = shard(step)
        if z is not None:
            found = layer(z)[1].q.numpy()
            codes.append(found)
        updates.append(told(distributed.update(layer)))
        states.append(state(layer))
    return {"states": states, "updates": updates, "codes": codes}


def train_here(layer: Any, shards: list[Shards]) -> dict[str, Any]:
    """The same in one process, where the shards are blocks."""
    states, updates, codes = [], [], []
    layer.train()
    here = distributed.current()
    for parts in shards:
        found = []
        for block, z in enumerate(parts):
            with in_block(block):
                found.append(layer(z)[1].q.numpy())
        blocks = list(range(len(parts)))
        updates.append(told(update_blocks(layer, here, [(0, len(parts))], blocks)))
        states.append(state(layer))
        codes.append(np.concatenate(found))
    return {"states": states, "updates": updates, "codes": codes}


def equal_states(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


EMA = {"ema_decay": 0.8, "replace_freq": 2, "seed": 1}
LAYERS: dict[str, Callable[[], Any]] = {
    "ema": lambda: vq.VectorQuant(D, K, **EMA),
    "affine": lambda: vq.VectorQuant(D, K, affine="ema", affine_groups=2, **EMA),
    "kmeans": lambda: vq.VectorQuant(D, K, init="kmeans", kmeans_freq=3, **EMA),
    "l2": lambda: vq.VectorQuant(D, K, norm="l2", cb_norm="l2", **EMA),
    "in place": lambda: vq.VectorQuant(
        D,
        K,
        inplace_optimizer=lambda p: vq.optim.SGD(p, lr=5.0, momentum=0.9),
        replace_freq=2,
        outer_steps=2,
        seed=1,
    ),
    "drawn": lambda: vq.VectorQuant(D, K, temperature=0.5, temperature_decay=0.9, **EMA),
    "residual": lambda: vq.ResidualVectorQuant(
        D, K, stages=3, quantizer_dropout=0.5, init="kmeans", **EMA
    ),
    "shared residual": lambda: vq.ResidualVectorQuant(D, K, stages=3, shared=True, **EMA),
    "groups": lambda: vq.GroupVectorQuant(D, K, groups=5, **EMA),
    "shared groups": lambda: vq.GroupVectorQuant(D, K, groups=5, shared=True, **EMA),
    "projected": lambda: vq.VectorQuant(D, K, code_size=3, **EMA),
}
SIZES = {1: (20,), 2: (13, 7), 3: (9, 1, 10), 4: (4, 6, 7, 3), 8: (1, 2, 3, 4, 5, 2, 1, 2)}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [2, 3, 4, 8])
def test_ranks_with_uneven_shards_have_the_state_of_one_process(name: str, size: int) -> None:
    shards = batches(SIZES[size])
    expected = train_here(LAYERS[name](), shards)
    found = on_ranks(size, lambda rank: train(LAYERS[name](), lambda step: shards[step][rank]))
    for step in range(STEPS):
        codes = np.concatenate([each["codes"][step] for each in found])
        assert np.array_equal(codes, expected["codes"][step]), step
        for each in found:
            assert each["updates"][step] == expected["updates"][step], step
            assert equal_states(each["states"][step], expected["states"][step]), step


@pytest.mark.parametrize("name", ["ema", "l2", "groups", "shared groups", "projected", "kmeans"])
def test_codes_counts_and_replacements_are_those_of_the_whole_batch_at_once(name: str) -> None:
    if name == "kmeans":  # what is deferred by one step: here the start is made beforehand
        pytest.skip("its start passes the first batch unquantized")
    shards = batches(SIZES[3])
    whole = LAYERS[name]()
    found = on_ranks(3, lambda rank: train(LAYERS[name](), lambda step: shards[step][rank]))
    for step in range(STEPS):
        codes = whole(np.concatenate(shards[step]))[1].q.numpy()
        assert np.array_equal(codes, np.concatenate([each["codes"][step] for each in found]))
        expected, own = state(whole), found[0]["states"][step]
        assert np.array_equal(
            expected["unused_steps" if "unused_steps" in expected else "0.unused_steps"],
            own["unused_steps" if "unused_steps" in own else "0.unused_steps"],
        )
        for key, value in expected.items():
            # Sums of Float64 in another order, rounded to float32.
            np.testing.assert_allclose(own[key], value, rtol=1e-6, atol=1e-7, err_msg=key)


def test_ranks_may_have_no_vectors_masked_ones_or_fewer_batches() -> None:
    shards = batches((9, 8, 3))

    def body(rank: int) -> dict[str, Any]:
        layer = LAYERS["ema"]()
        states = []
        for step in range(STEPS):
            z = shards[step][rank]
            if rank == 0:
                layer(z)
            elif rank == 1:  # all masked, later some
                layer(z, np.arange(len(z)) < step)
            elif step < 3:  # ends early
                layer(z[:0] if step == 1 else z)
            distributed.update(layer)
            states.append(state(layer))
        return {"states": states}

    found = on_ranks(3, body)
    whole = LAYERS["ema"]()
    for step in range(STEPS):
        third = shards[step][2][: 0 if step in (1, 3, 4, 5) else None]
        whole(np.concatenate([shards[step][0], shards[step][1][:step], third]))
        for each in found:
            assert equal_states(each["states"][step], found[0]["states"][step])
        for key, value in state(whole).items():
            np.testing.assert_allclose(found[0]["states"][step][key], value, rtol=1e-6, atol=1e-7)


def test_nothing_changes_where_no_rank_had_vectors() -> None:
    def body(rank: int) -> tuple[dict, dict, list]:
        layer = LAYERS["ema"]()
        before = state(layer)
        layer(np.ones((4, D), np.float32), np.zeros(4, bool))
        updates = distributed.update(layer)
        return before, state(layer), updates

    for before, after, updates in on_ranks(2, body):
        assert equal_states(before, after)
        assert updates[0].active_codes == 0 and updates[0].perplexity == 0


def test_perplexity_is_that_of_all_vectors() -> None:
    def body(rank: int) -> float:
        layer = vq.VectorQuant(1, 4, ema_decay=0.5)
        layer.codebook.assign(np.arange(4, dtype=np.float32)[:, None])
        layer(np.full((8, 1), rank, np.float32))
        return distributed.update(layer)[0].perplexity

    assert on_ranks(4, body) == [4.0] * 4


def test_a_layer_made_before_the_ranks_joined_learns_from_all() -> None:
    layers = [LAYERS["ema"]() for _ in range(2)]
    shards = batches((6, 6))
    found = on_ranks(2, lambda rank: train(layers[rank], lambda step: shards[step][rank]))
    assert equal_states(found[0]["states"][-1], found[1]["states"][-1])
    alone = LAYERS["ema"]()
    alone(shards[0][0])
    assert not np.array_equal(alone.ema_counts.numpy(), found[0]["states"][0]["ema_counts"])


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: vq.GumbelQuant(4, 8), "changes state in training forwards"),
        (lambda: vq.VectorQuant(4, 8, norm="bn"), "norm = bn takes moments of a block"),
        (
            lambda: vq.VectorQuant(
                4, 8, inplace_optimizer=lambda p: vq.optim.SGD(p, lr=0.1), inner_steps=2
            ),
            "inner_steps above 1 needs the vectors of a batch in one place",
        ),
    ],
)
def test_what_cannot_wait_is_refused(make: Callable[[], Any], why: str) -> None:
    def body(rank: int) -> None:
        with pytest.raises(RuntimeError, match=why):
            distributed.update(make())

    on_ranks(2, body)


def test_a_layer_goes_back_to_learning_in_forwards() -> None:
    layer, other = LAYERS["ema"](), LAYERS["ema"]()
    z = batches((20,))[0][0]
    with in_block(0):
        layer(z)
    assert np.array_equal(layer.ema_counts.numpy(), other.ema_counts.numpy())
    update_blocks(layer, distributed.current(), [(0, 1)], [0])
    other(z)
    assert equal_states(state(layer), state(other))
    layer(z), other(z)
    assert equal_states(state(layer), state(other))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("counts", -1, r"\[vector_quant\] count = -1: must not be negative"),
        ("mean", np.nan, r"\[vector_quant\] moment = nan: must be finite"),
        ("variance", np.inf, r"\[vector_quant\] moment = inf: must be finite"),
        ("sums", np.nan, "the sum of a code's vectors"),
    ],
)
def test_statistics_that_cannot_be_are_refused(name: str, value: float, said: str) -> None:
    layer = vq.VectorQuant(D, K, ema_decay=0.9, affine="ema")
    arrays: dict[str, np.ndarray] = {
        "counts": np.ones(K, np.int64),
        "sums": np.ones((K, D)),
        "mean": np.zeros(D),
        "variance": np.ones(D),
    }
    arrays[name].flat[3] = value
    before = state(layer)
    with pytest.raises(ValueError, match=said):
        _core.quantizer_apply_statistics(layer._handle, 0, *arrays.values(), np.zeros(K, np.int32))
    after = state(layer)
    assert all(np.array_equal(before[key], after[key]) for key in before)
