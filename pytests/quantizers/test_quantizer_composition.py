"""What options mean together, in layers of groups and stages as in the plain one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from matrix.layers import (
    LAYERS,
    Layer,
    every_layer,
    group,
    named,
    plain,
    shared_group,
    vectors,
)
from vqswift import optim

EPSILON = 2.0**-23


# Groups and stages that share a codebook


@pytest.mark.parametrize("norm", ["none", "l2", "l2c", "gn", "bn", "in"])
def test_groups_that_share_a_codebook_equal_groups_of_equal_codebooks(norm: str) -> None:
    own_options = {"gn": {"norm_groups": 1}, "l2c": {"max_norm": 1.0}}
    options: dict[str, Any] = {"norm": norm, **own_options.get(norm, {})}
    own, shared = group(**options), shared_group(**options)
    # Channels of unlike scales: a norm of channels must not mix those of two groups.
    z = vectors(5, 7, 4) * np.array([1, 5, 0.2, 20], np.float32)
    for codebook in own.codebooks:
        codebook.assign(shared.codebooks[0].numpy())
    for _ in range(2):
        for a, b in zip(own(z)[:1], shared(z)[:1], strict=True):
            assert np.array_equal(a.numpy(), b.numpy())
    own.eval(), shared.eval()
    assert np.array_equal(own(z)[0].numpy(), shared(z)[0].numpy())
    assert np.array_equal(own.encode(z).numpy(), shared.encode(z).numpy())


@pytest.mark.parametrize("make", [group, shared_group], ids=named)
def test_a_norm_over_positions_needs_positions(make: Callable[..., Layer]) -> None:
    with pytest.raises(ValueError, match="statistics of a sample need an axis of positions"):
        make(norm="in")(vectors(6, 4))


@every_layer
def test_active_codes_count_each_code_once(make: Callable[..., Layer]) -> None:
    layer = make()
    _, info = layer(vectors(100, 4))
    codes, books = info.q.numpy().reshape(100, -1), len(layer.codebooks)
    used = [np.unique(codes if books == 1 else codes[:, i]).size for i in range(books)]
    assert info.active_codes == sum(used)
    with vq.no_quantization(layer):
        assert layer(vectors(100, 4))[1].active_codes == sum(used)


def test_inner_steps_of_shared_stages_take_the_orthogonal_regularizer_once() -> None:
    def moved(stages: int) -> np.ndarray:
        vq.manual_seed(0)
        layer = vq.ResidualVectorQuant(
            4,
            8,
            stages=stages,
            shared=True,
            orthogonal_weight=1.0,
            inplace_optimizer=lambda p: optim.SGD(p, lr=1.0),
        )
        codebook = layer.codebooks[0]
        # A zero code keeps the residuals of z = 0 at zero: the regularizer alone has a gradient.
        start = codebook.numpy()
        start[0] = 0
        codebook.assign(start)
        layer(np.zeros((6, 4), np.float32))
        return codebook.numpy() - start

    once, thrice = moved(1), moved(3)
    assert np.abs(once).max() > 1e-3
    np.testing.assert_allclose(thrice, once, atol=4 * EPSILON)


# Stages


def test_every_stage_starts_before_any_is_dropped() -> None:
    layer = vq.ResidualVectorQuant(4, 8, stages=4, quantizer_dropout=1.0, kmeans_init=True)
    layer(vectors(50, 4))
    state = layer.state_dict()
    assert all(state[f"{stage}.initialized"] == 1 for stage in range(4))
    used = [(layer(vectors(50, 4))[1].q.numpy()[0] >= 0).sum() for _ in range(40)]
    assert set(used) == {1, 2, 3, 4}


def test_dropout_draws_numbers_of_its_own() -> None:
    layer = vq.ResidualVectorQuant(4, 8, stages=2, quantizer_dropout=0.5)
    state = layer.state_dict()
    assert not np.array_equal(state["generator"][:4], state["0.generator"][:4])


# Nothing quantized, freezing, what is refused


@pytest.mark.parametrize("options", [{}, {"code_size": 3}], ids=["plain", "projected"])
@pytest.mark.parametrize("make", LAYERS[:4], ids=named)
def test_an_empty_batch_has_the_shapes_of_any_other(
    make: Callable[..., Layer], options: dict[str, Any]
) -> None:
    layer = make(**options).eval()

    def shapes(count: int) -> list[tuple[int, ...]]:
        _, info = layer(vectors(count, 5, 4))
        parts = (info.q, info.d, info.z, info.z_q)
        return [x.shape[1:] for x in parts] + [info.stage_losses.shape]

    assert shapes(0) == shapes(2)


@every_layer
def test_a_frozen_codebook_refuses_to_be_fitted(make: Callable[..., Layer]) -> None:
    layer = make().freeze()
    before = layer.state_dict()
    with pytest.raises(RuntimeError, match=r"\.fit\] the codebook is frozen"):
        layer.fit(vectors(30, 4))
    after = layer.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"affine": "ema", "kmeans_init": True}, "affine_vector_variance holds inf"),
        ({"norm": "bn"}, "running_var holds inf"),
        ({"entropy_weight": 0.1, "affine": "ema", "kmeans_init": True}, "elements must be below"),
    ],
    ids=["moments", "batch norm", "entropy"],
)
@every_layer
def test_vectors_too_large_for_statistics_poison_nothing(
    make: Callable[..., Layer], options: dict[str, Any], reason: str
) -> None:
    layer = make(**options)
    before = layer.state_dict()
    with pytest.raises(ValueError, match=reason):
        layer(vectors(5, 7, 4) * np.float32(1e25))
    after = layer.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert np.isfinite(layer(vectors(5, 7, 4))[0].numpy()).all()


def test_sums_of_an_ema_codebook_stay_finite() -> None:
    layer = plain(ema_decay=0.5)
    for _ in range(3):
        layer(np.full((6, 4), 3e38, np.float32))
    assert all(np.isfinite(value).all() for value in layer.state_dict().values())
