"""What divides has a floor: vectors and codes of any length give bounded gradients and values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, nn, optim

D, K = 4, 6
LENGTHS = [0.0, 1e-45, 3e-30, 1e-12, 1e-7, 1e-5, 1.0]


def directions(count: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, D))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def gradient(layer: Any, z: np.ndarray, pull: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The output's gradient in z, and codes."""
    given = Tensor(z.astype(np.float32), requires_grad=True)
    z_q, info = layer(given)
    (z_q * pull.astype(np.float32)).sum().backward()
    assert given.grad is not None
    return given.grad.numpy(), info.q.numpy()


def rotation(e: np.ndarray, q: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The rotation trick's gradient with lengths of at least 1e-6, as in its authors' code."""
    lengths = [max(float(np.linalg.norm(x)), 1e-6) for x in (e, q)]
    if not e.any() or not q.any():
        return g
    unit_e, unit_q = e / lengths[0], q / lengths[1]
    w = unit_e + unit_q
    if w @ w <= 1e-24:
        return g
    w /= np.linalg.norm(w)
    # R = I - 2 w w^T + 2 q^ e^^T turns e^ to q^; the gradient takes R^T.
    turned = g - 2 * w * (w @ g) + 2 * unit_e * (unit_q @ g)
    return np.linalg.norm(q) / lengths[0] * turned


@pytest.fixture
def denormals_kept() -> Iterator[None]:
    before = vq.set_flush_denormal(False)
    yield
    vq.set_flush_denormal(before)


@pytest.mark.usefixtures("denormals_kept")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("code_length", [3e-30, 1e-7, 1.0])
def test_rotation_gradients_have_the_authors_floor(length: float, code_length: float) -> None:
    layer = vq.VectorQuant(D, K, gradient="rotation", seed=1)
    codes = (directions(K, 1) * code_length).astype(np.float32)
    layer.codebook.assign(codes)
    z, pull = (directions(20) * length).astype(np.float32), directions(20, 2)
    found, q = gradient(layer, z, pull)
    expected = np.stack(
        [rotation(*map(np.float64, row)) for row in zip(z, codes[q], pull, strict=True)]
    )
    largest = max(1.0, code_length / max(length, 1e-6)) * 4
    assert np.abs(found).max() <= largest
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * largest)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("variance", [0.0, 1e-30, 5e-3])
def test_directional_gradients_are_bounded(length: float, variance: float) -> None:
    """dz = g - (g . s) u with unit vectors s and u."""
    layer = vq.VectorQuant(D, K, gradient="directional", directional_variance=variance, seed=1)
    for codes in (directions(K, 1) * length, directions(K, 1)):
        layer.codebook.assign(codes.astype(np.float32))
        found, _ = gradient(layer, directions(20) * length, directions(20, 2))
        assert np.linalg.norm(found, axis=1).max() <= 2 + 1e-5


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("norm", ["l2", "l2c", "bn", "gn", "in"])
def test_norms_of_short_vectors_have_bounded_gradients(norm: str, length: float) -> None:
    own = {"gn": {"norm_groups": 2}, "l2c": {"max_norm": 1.5}}
    options = {"norm": norm, "cb_norm": norm} | own.get(norm, {})
    layer = vq.VectorQuant(D, K, seed=1, **options)
    layer.codebook.assign((directions(K, 1) * length).astype(np.float32))
    z = (directions(20) * length).astype(np.float32)
    z, pull = z[None], directions(20, 2)[None]
    found, _ = gradient(layer, z, pull)
    # |x| is at least 1e-6; variances 1e-5.
    assert np.isfinite(found).all() and np.abs(found).max() <= 1e6
    _, info = layer(Tensor(z))
    info.loss.backward()
    grad = layer.codebook.grad.numpy()
    assert np.isfinite(grad).all() and np.abs(grad).max() <= 1e7
    if norm == "l2" and length > 1e-38:
        np.testing.assert_allclose(np.linalg.norm(info.z.numpy(), axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("length", LENGTHS)
def test_regularizers_of_short_codes_have_bounded_gradients(length: float) -> None:
    layer = vq.VectorQuant(D, K, orthogonal_weight=1.0, entropy_weight=1.0, seed=1)
    layer.codebook.assign((directions(K, 1) * length).astype(np.float32))
    layer((directions(20) * length).astype(np.float32))[1].loss.backward()
    grad = layer.codebook.grad.numpy()
    assert np.isfinite(grad).all() and np.abs(grad).max() <= 1e7


@pytest.mark.parametrize("epsilon", [0.0, 1e-5, 0.1])
@pytest.mark.parametrize("decay", [0.5, 0.99, 0.9999])
def test_ema_codes_that_nobody_chooses_keep_their_place(decay: float, epsilon: float) -> None:
    layer = vq.VectorQuant(D, K, ema_decay=decay, ema_epsilon=epsilon, seed=1)
    z = np.full((50, D), 3, np.float32) + 0.1 * directions(50).astype(np.float32)
    before = layer.codebook.numpy()
    for _ in range(3000):
        used = np.unique(layer(z)[1].q.numpy())
    rest = np.setdiff1d(np.arange(K), used)
    assert len(rest)
    assert np.array_equal(layer.codebook.numpy()[rest], before[rest])
    state = layer.state_dict()
    counts, sums = state["ema_counts"][rest], state["ema_sums"][rest]
    assert (counts > 0).all()
    # 3000 roundings, each of half a unit in the last place, of numbers that are not denormal.
    np.testing.assert_allclose(sums / counts[:, None], before[rest], rtol=3000 * 2.0**-23)


@pytest.mark.parametrize("affine", [{"affine": "ema"}, {"affine_lr": 1.0}])
def test_a_map_that_shrinks_a_channel_to_nothing_is_not_undone(affine: dict[str, Any]) -> None:
    for spread in (0.0, 1e-30, 1e-15):
        layer = vq.VectorQuant(D, K, replace_freq=1, ema_decay=0.9, seed=1, **affine)
        if "affine_lr" in affine:
            layer.affine_scale.assign(np.float32([[0, spread - 1, 0, 0]]))
        z = directions(40).astype(np.float32)
        if "affine" in affine:
            z[:, 1] = np.float32(spread) * z[:, 1]
        for _ in range(6):
            layer(z)
        assert np.abs(layer.codebook.numpy()).max() < 1e8
        assert np.isfinite(layer.effective_codebook.numpy()).all()


@pytest.mark.parametrize("value", [0.0, 1e-30, -1.0, np.nan])
def test_an_epsilon_that_divides_by_nothing_is_refused(value: float) -> None:
    for kind in (optim.Adam, optim.AdamW):
        with pytest.raises(ValueError, match="must be finite and at least 1e-20: it divides where"):
            kind([Tensor([1.0], requires_grad=True)], eps=value)
    if value != 1e-30:
        for layer in (nn.BatchNorm, nn.LayerNorm):
            with pytest.raises(ValueError, match="eps = .*must be finite and above 0"):
                layer(3, eps=value)


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-30, 1e-18, 1e18])
def test_adam_takes_gradients_of_any_size(size: float) -> None:
    for kind in (optim.Adam, optim.AdamW):
        parameter = Tensor([1.0], requires_grad=True)
        optimizer = kind([parameter], lr=0.1, weight_decay=0.0)
        for _ in range(5):
            parameter.grad = Tensor([size])
            optimizer.step()
        assert abs(parameter.item() - 1) <= 0.51
