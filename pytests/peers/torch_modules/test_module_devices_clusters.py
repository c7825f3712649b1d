"""k-means, starts and replaced codes by the formulas for other devices, on the CPU."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402
from vqswift.torch import _device  # noqa: E402

MAPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "EMA": {"ema_decay": 0.8},
    "affine": {"affine_lr": 0.5, "affine_groups": 2},
    "affine, EMA": {"affine_lr": 0.5, "ema_decay": 0.8},
    "SimVQ": {"simvq": True},
}
every_map = pytest.mark.parametrize("name", MAPS)


def layer(kind: Any = vqt.VectorQuant, **options: Any) -> Any:
    module = kind(D, K, seed=1, **options)
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if "affine_" in key:
                parameter.copy_(0.5 * vectors(*parameter.shape, seed=5))
            if "transform" in key:
                parameter.add_(0.1 * vectors(*parameter.shape, seed=6))
    return module


def clusters(n: int) -> torch.Tensor:
    """K far points, each several times, and a little noise."""
    centers = 40 * vectors(K, D, seed=3)
    return centers.repeat(n, 1) + 1e-3 * vectors(n * K, D, seed=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("iterations", [0, 1, 3, 40])
def test_clusters_are_the_kernels(dtype: torch.dtype, iterations: int) -> None:
    x = vectors(400, D).to(dtype)
    # Equal starts, and far ones, leave clusters empty.
    start = torch.cat([x[:6], x[:2], 30 + x[6:9], x[9:20]])
    expected = vqt.kmeans(x, len(start), iterations, start)
    with _device.forced():
        found = vqt.kmeans(x, len(start), iterations, start)
    assert torch.equal(found.codes, expected.codes)
    assert found.iterations == expected.iterations
    assert found.inertia == pytest.approx(expected.inertia, rel=1e-6)
    assert found.centroids.dtype == dtype
    torch.testing.assert_close(found.centroids, expected.centroids)


def test_points_are_drawn_as_k_means_plus_plus_does() -> None:
    """Two of 0, 1 and 3: the second with probability proportional to its squared distance."""
    x = torch.tensor([[0.0], [1.0], [3.0]])
    expected = {(0, 1): (1 / 10 + 1 / 5) / 3, (0, 3): (9 / 10 + 9 / 13) / 3}
    expected[1, 3] = 1 - sum(expected.values())
    draws = 1000
    found = []
    with _device.forced():
        for seed in range(draws):
            centroids = vqt.kmeans(x, 2, iterations=0, seed=seed).centroids
            found.append(tuple(sorted(int(value) for value in centroids[:, 0])))
    for pair, probability in expected.items():
        error = 5 * np.sqrt(probability * (1 - probability) / draws)
        assert abs(found.count(pair) / draws - probability) < error


@pytest.mark.parametrize("init", ["kmeans++", "random"])
def test_more_clusters_than_points(init: str) -> None:
    x = vectors(3, D).repeat(2, 1)
    with _device.forced():
        first, again = (vqt.kmeans(x, 8, 5, init, seed=2) for _ in range(2))
    assert torch.equal(first.centroids, again.centroids)
    assert first.centroids.shape == (8, D)
    assert first.inertia < 1e-12
    assert (torch.cdist(first.centroids, x).amin(1) < 0.1 * x.norm(dim=1).max()).all()


BAD = [
    ({"k": 0}, "k = 0"),
    ({"iterations": -1}, "iterations = -1"),
    ({"init": "best"}, "init = 'best'"),
    ({"init": torch.ones(2, D)}, "k = 3 rows"),
    ({"x": torch.full((4, D), torch.nan)}, "x .* not finite"),
    ({"x": torch.ones(0, D)}, "elements"),
]


@pytest.mark.parametrize(("change", "told"), BAD)
def test_bad_clusterings_are_named(change: dict[str, Any], told: str) -> None:
    with _device.forced(), pytest.raises(ValueError, match=rf"\[kmeans\] .*{told}"):
        vqt.kmeans(**({"x": vectors(9, D), "k": 3} | change))


def test_the_nearest_of_float64_and_of_integers() -> None:
    x = 1e6 + 1e-4 * vectors(60, D).double()
    codebook = 1e6 + 1e-4 * vectors(K, D, seed=1).double()
    whole = torch.randint(-(2**30), 2**30, (60, D), generator=torch.Generator().manual_seed(0))
    for z, codes in ((x, codebook), (whole, whole[:K] + 1)):
        expected = vqt.nearest_codes(z, codes, return_distances=True)
        several = vqt.nearest_codes(z, codes, return_distances=True, topk=4)
        with _device.forced():
            found = vqt.nearest_codes(z, codes, return_distances=True)
            ranked = vqt.nearest_codes(z, codes, return_distances=True, topk=4)
        for ours, theirs in zip((*found, *ranked), (*expected, *several), strict=True):
            torch.testing.assert_close(ours, theirs)


@every_map
@pytest.mark.parametrize("init", ["kmeans", "kmeans++"])
def test_a_layer_starts_by_its_first_vectors(name: str, init: str) -> None:
    torch.manual_seed(0)
    module, z = layer(init=init, **MAPS[name]), clusters(4)
    with _device.forced():
        for call in (module.encode, module.eval()):
            with pytest.raises(RuntimeError, match="waits for its start"):
                call(z)
        with torch.no_grad():
            info = module.train()(z)[1]
        assert module.initialized == 1
        assert len(info.q.unique()) == K
        # k-means++ takes the vectors themselves; both are within the noise of each cluster.
        assert info.d.max() < 1e-3
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(z)[1].q, info.q)


@pytest.mark.parametrize("shared", [False, True])
def test_stages_start_by_what_those_before_leave(shared: bool) -> None:
    torch.manual_seed(0)
    module = layer(vqt.ResidualVectorQuant, stages=2, shared=shared, init="kmeans")
    z = clusters(2) + clusters(2).flip(0)
    with _device.forced(), torch.no_grad():
        info = module(z)[1]
    assert info.stage_losses.shape == (2,)
    assert all(int(flag) == 1 for key, flag in module.state_dict().items() if "initialized" in key)
    assert info.d[:, 1].sum() <= info.d[:, 0].sum() or shared


def test_clusters_again_when_they_are_due() -> None:
    torch.manual_seed(0)
    native = layer(kmeans_freq=2, replace_freq=9)
    module = copy.deepcopy(native)
    z = clusters(3)
    for _ in range(6):
        native(z)
        with _device.forced():
            info = module(z)[1]
        assert module.kmeans_phase == native.kmeans_phase
        assert torch.equal(module.unused_steps > 0, native.unused_steps > 0)
    assert info.d.max() < 1e-3


@every_map
def test_replaced_codes_are_vectors_by_the_map(name: str) -> None:
    torch.manual_seed(0)
    native = layer(replace_freq=1, **MAPS[name])
    module, z = copy.deepcopy(native), 9 + vectors(40, D)
    leaves = [z.clone().requires_grad_() for _ in range(2)]
    with _device.forced():
        z_q, info = module(leaves[0])
        (z_q.square().sum() + info.loss).backward()
    dead = torch.ones(K).bool()
    dead[info.q.unique()] = False
    assert dead.any()
    values = module.decode(torch.arange(K)).detach()
    assert (torch.cdist(values[dead], z).amin(1) < 0.2 * z.norm(dim=1).max()).all()
    assert not module.unused_steps.any()
    # What the forward gave is of the codes before.
    expected, wanted = native(leaves[1])
    (expected.square().sum() + wanted.loss).backward()
    torch.testing.assert_close(z_q, expected)
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)
    for (key, ours), theirs in zip(module.named_parameters(), native.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, msg=key)
