"""A training forward that is refused changes nothing; other guards of the quantizer family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import optim

VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
# The second group's moments do not fit float32.
LARGE = VECTORS * np.float32([1, 1, 1e30, -1e30])


def poisoned(layer: Any, name: str) -> Any:
    tensor = (dict(layer._walk_parameters(True)) | dict(layer.named_buffers()))[name]
    tensor.assign(np.full(tensor.shape, np.nan, np.float32))
    return layer


def sgd(p: list[vq.Tensor]) -> optim.Optimizer:
    return optim.SGD(p, lr=1.0)


REFUSED: dict[str, tuple[Callable[[], Any], np.ndarray]] = {
    "too few for the inner steps after a batch norm": (
        lambda: vq.VectorQuant(4, 8, norm="bn", inplace_optimizer=sgd, inner_steps=7),
        VECTORS,
    ),
    "the second group's moments": (
        lambda: vq.GroupVectorQuant(
            4, 8, groups=2, affine="ema", ema_decay=0.9, replace_freq=1, init="kmeans"
        ),
        LARGE,
    ),
    "the second stage's codebook": (
        lambda: poisoned(
            vq.ResidualVectorQuant(
                4, 8, stages=2, norm="bn", affine="ema", ema_decay=0.9, quantizer_dropout=0.0
            ),
            "1.codebook",
        ),
        VECTORS,
    ),
    "a diverging later inner step": (
        lambda: vq.VectorQuant(
            4,
            1,
            inner_steps=3,
            inplace_optimizer=lambda p: optim.SGD(p, lr=1e25, momentum=0.9),
        ),
        VECTORS,
    ),
    "a diverging Adam": (
        lambda: vq.VectorQuant(
            4, 8, inner_steps=3, inplace_optimizer=lambda p: optim.Adam(p, lr=3e38)
        ),
        VECTORS * 3,
    ),
}


@pytest.mark.parametrize(("make", "z"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_forward_changes_nothing(make: Callable[[], Any], z: np.ndarray) -> None:
    layer = make()
    before = layer.state_dict()
    steps = [o.state_dict() for o in layer.inplace_optimizers]
    with pytest.raises(ValueError, match="must be finite|as many vectors"):
        layer(z)
    after = layer.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert np.array_equal(value, after[name], equal_nan=True), name
    for optimizer, old in zip(layer.inplace_optimizers, steps, strict=True):
        new = optimizer.state_dict()
        assert old.keys() == new.keys()
        assert all(np.array_equal(value, new[name]) for name, value in old.items())


def test_an_update_with_nothing_pending_changes_nothing() -> None:
    layer = vq.VectorQuant(4, 8, ema_decay=0.9, ema_manual=True)
    layer(VECTORS)
    layer.update()
    before = layer.state_dict()
    for _ in range(1000):
        layer.update()
    assert all(np.array_equal(value, before[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("cb_norm", ["bn", "in"])
def test_replacement_under_a_norm_over_codes_lands_on_the_data(cb_norm: str) -> None:
    layer = vq.VectorQuant(4, 16, cb_norm=cb_norm, replace_freq=1)
    random = np.random.default_rng(1)
    codes = (10 * random.normal(size=(16, 4)) + 100).astype(np.float32)
    codes[:4] = codes[4:8]  # of equal codes the first is used
    layer.codebook.assign(codes)
    z = random.normal(size=(64, 4)).astype(np.float32)
    unused = np.setdiff1d(np.arange(16), layer.encode(z).numpy())
    layer(z)
    placed = layer.effective_codebook.numpy()[unused]
    distance = np.linalg.norm(placed[:, None] - z, axis=2).min(1)
    # Writing a few of sixteen codes moves the moments that the norm takes away.
    assert len(unused) >= 4 and distance.mean() < 0.8
    assert placed.std(0).min() > 0.3


def test_no_parameter_belongs_to_two_optimizers() -> None:
    layer = vq.VectorQuant(4, 8, inplace_optimizer=sgd)
    with pytest.raises(ValueError, match="in-place optimizer of a vector_quant owns it"):
        optim.SGD([layer.codebook], lr=1.0)


def test_manual_seed_seeds_codebooks_unless_a_seed_is_given() -> None:
    def codebook(manual: int, **options: int) -> np.ndarray:
        vq.manual_seed(manual)
        return vq.VectorQuant(2, 4, **options).codebook.numpy()

    assert np.array_equal(codebook(1), codebook(1))
    assert not np.array_equal(codebook(1), codebook(2))
    assert np.array_equal(codebook(1, seed=5), codebook(2, seed=5))


def test_effective_codebooks_pass_gradients_to_what_the_loss_trains() -> None:
    layer = vq.VectorQuant(4, 8, affine_lr=1.0)
    layer.effective_codebook.sum().backward()
    assert layer.codebook.grad is not None and layer.affine_scale.grad is not None


@pytest.mark.parametrize("shared", [False, True])
def test_stage_losses_and_regularization_make_the_loss(shared: bool) -> None:
    layer = vq.ResidualVectorQuant(
        4, 8, stages=3, shared=shared, entropy_weight=0.5, orthogonal_weight=0.3
    )
    info = layer(VECTORS)[1]
    whole = info.stage_losses.numpy().sum() + info.regularization
    assert info.loss.item() == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("count", [0, -1, 2**16 + 1, 2**62, 2**63 - 1])
def test_so_many_groups_or_stages_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=r"stages = -?\d+: must be in 1...65536"):
        vq.ResidualVectorQuant(4, 8, stages=count, shared=True)
    with pytest.raises(ValueError, match=r"groups = -?\d+: must be in 1...65536"):
        vq.GroupVectorQuant(max(count, 4), 8, groups=count)


def test_recipes_step_at_a_rate_that_sizes_do_not_change() -> None:
    recipe = vq.recipes.get("alternating")
    for feature_size, num_codes, changes in ((32, 16, {}), (8, 64, {}), (32, 16, {"code_size": 4})):
        layer = recipe.build(feature_size, num_codes, **changes)
        (optimizer,) = layer.inplace_optimizers
        k, d = layer.codebook.shape
        assert optimizer.lr == pytest.approx(0.25 * k * d / 2)
