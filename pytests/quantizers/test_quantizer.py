"""The vector-quantizer layer, nearest codes and k-means, against NumPy in Float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, nn, optim

EPSILON = 2.0**-23

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "synchronized": {"sync_nu": 1.0},
    "affine": {"affine_lr": 1.0, "affine_groups": 4},
    "replacement": {"replace_freq": 2},
    "alternating": {"inplace_optimizer": lambda p: optim.SGD(p, lr=1.0)},
    "k-means start": {"kmeans_init": True},
    "l2": {"norm": "l2", "cb_norm": "l2"},
    "everything": {
        "sync_nu": 0.5,
        "affine_lr": 1.0,
        "affine_groups": 2,
        "replace_freq": 2,
        "kmeans_init": True,
        "cb_norm": "l2",
        "norm": "l2",
        "inner_steps": 2,
        "outer_steps": 2,
        "reassign": True,
        "inplace_optimizer": lambda p: optim.AdamW(p, lr=0.01),
    },
}


def vectors(*shape: int, seed: int = 1) -> Tensor:
    return vq.Generator(seed).normal(shape)


def brute_force(x: np.ndarray, codebook: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and squared distances, the sum in Float64."""
    difference = x.astype(np.float64)[:, None] - codebook.astype(np.float64)[None]
    distances = (difference**2).sum(-1)
    return distances.argmin(1), distances.min(1)


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 4, 6), (1, 6)])
def test_shapes_of_output_and_info(shape: tuple[int, ...]) -> None:
    layer = vq.VectorQuant(6, 16)
    z_q, info = layer(vectors(*shape))
    lead = shape[:-1]
    assert z_q.shape == info.z_q.shape == info.z.shape == shape
    assert info.q.shape == info.d.shape == lead
    assert info.q.dtype == np.int32 and info.loss.shape == ()
    assert isinstance(info.perplexity, float) and isinstance(info.active_codes, int)
    assert layer.codebook.shape == layer.effective_codebook.shape == (16, 6)


def test_forward_equals_its_formulas() -> None:
    layer, z = vq.VectorQuant(4, 32, beta=0.8), vectors(50, 4)
    z_q, info = layer(z)
    codebook = layer.codebook.numpy()
    codes, distances = brute_force(z.numpy(), codebook)
    assert np.array_equal(info.q.numpy(), codes)
    np.testing.assert_allclose(info.d.numpy(), distances, rtol=4 * EPSILON)
    # z + sg(z_q - z) rounds once at the size of its operands.
    np.testing.assert_allclose(z_q.numpy(), codebook[codes], atol=8 * EPSILON)
    error = distances.sum() / z.size
    assert info.loss.item() == pytest.approx(error, rel=8 * EPSILON)
    assert info.commitment_loss == pytest.approx(0.2 * error, rel=8 * EPSILON)
    assert info.codebook_loss == pytest.approx(0.8 * error, rel=8 * EPSILON)
    share = np.bincount(codes) / len(codes)
    entropy = -sum(p * np.log2(p) for p in share if p)
    assert info.perplexity == pytest.approx(2**entropy, rel=8 * EPSILON)
    assert info.active_codes == (share > 0).sum()


def test_gradients_are_straight_through() -> None:
    layer = vq.VectorQuant(3, 8, beta=0.75)
    z = Tensor(vectors(10, 3).numpy(), requires_grad=True)
    seed = vectors(10, 3, seed=2)
    z_q, info = layer(z)
    z_q.backward(seed)
    assert z.grad is not None and np.array_equal(z.grad.numpy(), seed.numpy())
    z.grad = None
    _, info = layer(z)
    info.loss.backward()
    difference = z.numpy().astype(np.float64) - layer.codebook.numpy()[info.q.numpy()]
    assert z.grad is not None and layer.codebook.grad is not None
    np.testing.assert_allclose(z.grad.numpy(), 0.25 * 2 * difference / z.size, atol=EPSILON)
    expected = np.zeros((8, 3))
    np.add.at(expected, info.q.numpy(), -0.75 * 2 * difference / z.size)
    np.testing.assert_allclose(layer.codebook.grad.numpy(), expected, atol=4 * EPSILON)


def test_synchronized_update_gives_the_codebook_the_outputs_gradient() -> None:
    layer = vq.VectorQuant(3, 8, sync_nu=0.5)
    z, seed = vectors(10, 3), vectors(10, 3, seed=2)
    z_q, info = layer(z)
    z_q.backward(seed)
    expected = np.zeros((8, 3))
    np.add.at(expected, info.q.numpy(), 0.5 * seed.numpy().astype(np.float64))
    assert layer.codebook.grad is not None
    np.testing.assert_allclose(layer.codebook.grad.numpy(), expected, atol=10 * EPSILON * 4)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_channels_first_equals_transposed(options: dict[str, Any]) -> None:
    z = vectors(2, 5, 6, 4)
    vq.manual_seed(0)
    last = vq.VectorQuant(4, 16, seed=3, **options)
    vq.manual_seed(0)
    first = vq.VectorQuant(4, 16, dim=1, seed=3, **options)
    y, info = last(z)
    y_first, info_first = first(z.permute(0, 3, 1, 2))
    assert y_first.shape == (2, 4, 5, 6)
    assert np.array_equal(y_first.numpy(), y.numpy().transpose(0, 3, 1, 2))
    assert np.array_equal(info_first.q.numpy(), info.q.numpy())
    assert np.array_equal(info_first.d.numpy(), info.d.numpy())
    assert info_first.loss.item() == info.loss.item()
    assert np.array_equal(first.encode(z.permute(0, 3, 1, 2)).numpy(), last.encode(z).numpy())
    assert first.decode(info.q).shape == (2, 4, 5, 6)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_decoded_codes_equal_the_forward_in_evaluation(options: dict[str, Any]) -> None:
    layer, z = vq.VectorQuant(4, 16, **options), vectors(40, 4)
    for _ in range(3):
        layer(z)
    layer.eval()
    before = layer.state_dict()
    z_q, info = layer(z)
    codes = layer.encode(z)
    assert np.array_equal(codes.numpy(), info.q.numpy())
    decoded = layer.decode(codes).numpy()
    assert np.array_equal(decoded, layer.effective_codebook.numpy()[codes.numpy()])
    np.testing.assert_allclose(z_q.numpy(), decoded, atol=8 * EPSILON)
    assert all(np.array_equal(value, before[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_loss_falls(options: dict[str, Any]) -> None:
    vq.manual_seed(2)
    encoder, layer = nn.Linear(8, 4), vq.VectorQuant(4, 16, seed=1, **options)
    optimizer = optim.AdamW(encoder.parameters() + layer.parameters(), lr=1e-2, weight_decay=0.0)
    x, losses = vectors(256, 8), []
    for _ in range(60):
        _, info = layer(encoder(x))
        info.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(info.loss.item())
    assert np.isfinite(losses).all() and np.mean(losses[-5:]) < np.mean(losses[:5])


def test_more_codes_help() -> None:
    z = vectors(500, 3)
    losses = [vq.VectorQuant(3, k, kmeans_init=True)(z)[1].loss.item() for k in (4, 16, 64)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("options", [{}, {"kmeans_init": True}, {"replace_freq": 1}])
def test_more_codes_than_distinct_points(options: dict[str, Any]) -> None:
    z = Tensor(np.repeat(vectors(3, 2).numpy(), 5, 0))
    layer = vq.VectorQuant(2, 50, **options)
    for _ in range(4):
        _, info = layer(z)
        assert 1 <= info.active_codes <= 50 and np.isfinite(info.loss.item())


def test_unused_codes_are_replaced() -> None:
    layer, z = vq.VectorQuant(2, 64, replace_freq=3), vectors(200, 2) * 0.01 + 5.0
    active = [layer(z)[1].active_codes for _ in range(12)]
    assert active[-1] > 4 * active[0]


def test_an_in_place_optimizer_owns_the_codebook() -> None:
    made: list[list[Tensor]] = []

    def make(parameters: list[Tensor]) -> optim.Optimizer:
        made.append(parameters)
        return optim.SGD(parameters, lr=0.5)

    layer = vq.VectorQuant(3, 8, affine_lr=1.0, inplace_optimizer=make)
    assert len(made) == 1 and [p.shape for p in made[0]] == [(8, 3)]
    assert [name for name, _ in layer.named_parameters()] == ["affine_scale", "affine_bias"]
    assert "codebook" in layer.state_dict()
    before = layer.codebook.numpy()
    layer(vectors(30, 3))
    assert not np.array_equal(layer.codebook.numpy(), before)
    moved = layer.codebook.numpy()
    layer.eval()
    layer(vectors(30, 3))
    assert np.array_equal(layer.codebook.numpy(), moved)
    plain = vq.VectorQuant(3, 8)
    assert [name for name, _ in plain.named_parameters()] == ["codebook"]


def test_an_in_place_step_equals_a_gradient_step() -> None:
    layer = vq.VectorQuant(3, 8, inplace_optimizer=lambda p: optim.SGD(p, lr=2.0))
    z, before = vectors(30, 3), layer.codebook.numpy().astype(np.float64)
    codes, _ = brute_force(z.numpy(), before)
    gradient = np.zeros((8, 3))
    np.add.at(gradient, codes, 2 * (before[codes] - z.numpy()) / z.size)
    layer(z)
    np.testing.assert_allclose(layer.codebook.numpy(), before - 2 * gradient, atol=32 * EPSILON)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_restored_state_continues_bit_for_bit(options: dict[str, Any]) -> None:
    def make() -> tuple[vq.VectorQuant, optim.Optimizer]:
        vq.manual_seed(7)
        layer = vq.VectorQuant(4, 16, seed=2, **options)
        outer = nn.Linear(1, 1).parameters() + layer.parameters()
        return layer, optim.AdamW(outer, lr=0.01)

    def steps(layer: vq.VectorQuant, optimizer: optim.Optimizer, span: range) -> None:
        for step in span:
            _, info = layer(vectors(64, 4, seed=step))
            info.loss.backward() if info.loss.requires_grad else None
            optimizer.step()
            optimizer.zero_grad()

    whole, optimizer = make()
    steps(whole, optimizer, range(8))

    first, first_optimizer = make()
    steps(first, first_optimizer, range(4))
    second, second_optimizer = make()
    second.load_state_dict(first.state_dict())
    second_optimizer.load_state_dict(first_optimizer.state_dict())
    if first.inplace_optimizer is not None and second.inplace_optimizer is not None:
        second.inplace_optimizer.load_state_dict(first.inplace_optimizer.state_dict())
    steps(second, second_optimizer, range(4, 8))
    for name, value in whole.state_dict().items():
        assert np.array_equal(second.state_dict()[name], value), name


def test_norms_compare_directions() -> None:
    layer = vq.VectorQuant(3, 16, norm="l2", cb_norm="l2")
    z = vectors(40, 3)
    _, info = layer(z)
    unit = z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True)
    np.testing.assert_allclose(info.z.numpy(), unit, atol=4 * EPSILON)
    book = layer.effective_codebook.numpy()
    np.testing.assert_allclose(np.linalg.norm(book, axis=1), 1, rtol=4 * EPSILON)
    assert np.array_equal(info.q.numpy(), layer.encode(z * 100.0).numpy())
    zero = layer.eval()(Tensor(np.zeros((1, 3))))[1]
    assert np.isfinite(zero.loss.item())


def test_an_empty_batch_passes_in_evaluation() -> None:
    layer = vq.VectorQuant(4, 8).eval()
    z_q, info = layer(Tensor(np.zeros((0, 5, 4))))
    assert z_q.shape == (0, 5, 4) and info.q.shape == (0, 5)
    assert layer.encode(np.zeros((0, 4))).shape == (0,)
    assert layer.decode(np.zeros((2, 0), np.int32)).shape == (2, 0, 4)


# Nearest codes and k-means


@pytest.mark.parametrize(
    ("n", "k", "d"), [(1, 1, 1), (7, 1, 3), (1, 9, 2), (100, 33, 5), (1000, 257, 16), (300, 64, 65)]
)
def test_nearest_codes_equal_brute_force(n: int, k: int, d: int) -> None:
    x, codebook = vectors(n, d).numpy(), vectors(k, d, seed=2).numpy()
    codes, distances = vq.nearest_codes(x, codebook, return_distances=True)
    expected, squared = brute_force(x, codebook)
    assert codes.dtype == np.int32 and distances.dtype == np.float32
    assert np.array_equal(codes, expected)
    np.testing.assert_allclose(distances, squared, rtol=EPSILON)
    assert np.array_equal(vq.nearest_codes(x, codebook), codes)


def test_the_lowest_of_equal_codes_wins() -> None:
    codebook = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert vq.nearest_codes([[0.0, 3.0], [1.0, 0.0]], codebook).tolist() == [0, 0]


def test_nearest_codes_far_from_the_origin() -> None:
    """Where |x|^2 - 2 x.c + |c|^2 in float32 has no digit left."""
    offset = 1e4
    x = vectors(200, 8).numpy() + np.float32(offset)
    codebook = vectors(50, 8, seed=2).numpy() + np.float32(offset)
    assert np.array_equal(vq.nearest_codes(x, codebook), brute_force(x, codebook)[0])


def lloyd(x: np.ndarray, centroids: np.ndarray, iterations: int) -> np.ndarray:
    for _ in range(iterations):
        codes, _ = brute_force(x, centroids)
        centroids = np.stack([x[codes == code].mean(0) for code in range(len(centroids))])
    return centroids


def test_kmeans_from_given_centroids_equals_lloyd() -> None:
    centers = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    noise = vectors(300, 2).numpy().astype(np.float64)
    x = (centers.repeat(100, 0) + noise).astype(np.float32)
    result = vq.kmeans(x, 3, iterations=5, init=x[[0, 100, 200]])
    expected = lloyd(x.astype(np.float64), x[[0, 100, 200]].astype(np.float64), 5)
    np.testing.assert_allclose(result.centroids, expected, atol=16 * EPSILON)
    codes, distances = brute_force(x, result.centroids)
    assert np.array_equal(result.codes, codes)
    assert result.inertia == pytest.approx(distances.sum(), rel=1e-6)
    assert 1 <= result.iterations <= 5


@pytest.mark.parametrize("init", ["kmeans++", "random"])
def test_kmeans_is_reproducible_and_improves(init: str) -> None:
    x = vectors(500, 4)
    results = [vq.kmeans(x, 20, iterations=n, init=init, seed=3) for n in (0, 1, 10)]
    assert results[0].inertia > results[1].inertia > results[2].inertia
    again = vq.kmeans(x, 20, iterations=10, init=init, seed=3)
    assert np.array_equal(again.centroids, results[2].centroids)
    other = vq.kmeans(x, 20, iterations=10, init=init, seed=4)
    assert not np.array_equal(other.centroids, results[2].centroids)


def test_kmeans_with_more_clusters_than_points() -> None:
    result = vq.kmeans(vectors(3, 2), 10)
    assert result.centroids.shape == (10, 2) and np.isfinite(result.centroids).all()
    assert result.inertia == 0
