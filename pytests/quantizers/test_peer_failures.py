"""What other libraries are known to get wrong, one test each.

Elsewhere: nearest codes far from the origin and the lowest of equal codes (`test_quantizer.py`),
strict loading, evaluation that moves nothing and a decoding that knows the affine map, in every
pair of options (`test_quantizer_matrix.py`), beta on its term (`test_quantizer_gradients.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import run_python
from matrix.layers import Layer, every_layer, group, named, plain, residual, vectors
from vqswift import Tensor, optim

EPSILON = 2.0**-23
AFFINE: dict[str, dict[str, Any]] = {
    "learned": {"affine_lr": 1.0},
    "moments": {"affine": "ema", "affine_momentum": 1.0},
}


def sgd(parameters: list[Tensor]) -> optim.Optimizer:
    return optim.SGD(parameters, lr=1.0)


def bend(layer: Layer) -> None:
    """Move learned affine maps away from the identity."""
    for name, tensor in layer.named_parameters():
        if "affine" in name:
            tensor.assign(vectors(*tensor.shape, seed=9) * np.float32(0.3))


def brute_force(z: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    difference = z.astype(np.float64)[:, None] - codebook.astype(np.float64)[None]
    return (difference**2).sum(-1).argmin(1)


def rows(layer: Layer, z: np.ndarray) -> list[np.ndarray]:
    """The vectors that each codebook of a layer without stages sees."""
    return np.split(z, len(layer.codebooks), axis=-1)


# Initialization


@every_layer
@pytest.mark.parametrize("init", ["kmeans", "kmeans++"])
def test_a_k_means_start_runs_here_and_before_the_first_assignment(
    make: Callable[..., Layer], init: str
) -> None:
    vq.manual_seed(0)  # k-means++ misses one of these clusters once in 400 draws
    layer = make(init=init)
    # Eight clusters, alike in both groups: a start that finds them leaves their noise alone.
    centers = np.arange(8)[:, None] * np.array([10, -10, 10, -10])
    z = (centers.repeat(20, 0) + 0.1 * vectors(160, 4)).astype(np.float32)
    z_q, info = layer(z)
    assert np.array_equal(layer.decode(info.q).numpy(), z_q.numpy())
    assert np.abs(z_q.numpy() - z).max() < 1
    assert np.unique(info.q.numpy().reshape(160, -1)[:, 0]).size == 8


@every_layer
@pytest.mark.parametrize("init", ["kmeans", "kmeans++"])
@pytest.mark.parametrize("points", [1, 3, 8])
def test_k_is_kept_when_there_are_no_more_points(
    make: Callable[..., Layer], init: str, points: int
) -> None:
    layer = make(init=init)
    _, info = layer(vectors(points, 4))
    assert all(codebook.shape[0] == 8 for codebook in layer.codebooks)
    assert all(np.isfinite(codebook.numpy()).all() for codebook in layer.codebooks)
    assert info.q.numpy().max() < 8 and np.isfinite(info.loss.item())


# In-place steps


@pytest.mark.parametrize("form", AFFINE.values(), ids=AFFINE.keys())
def test_the_lookup_after_an_in_place_step_is_fresh_under_affine_maps(form: dict[str, Any]) -> None:
    def make(**options: Any) -> Layer:
        vq.manual_seed(0)
        layer = plain(inplace_optimizer=lambda p: optim.SGD(p, lr=20.0), **options, **form)
        bend(layer)
        return layer

    z = vectors(60, 4)
    layer = make(reassign=True)
    z_q, info = layer(z)
    fresh = layer.effective_codebooks[0].numpy()
    assert np.array_equal(info.q.numpy(), brute_force(z, fresh))
    assert np.array_equal(z_q.numpy(), fresh[info.q.numpy()])
    kept = make()
    z_q, before = kept(z)
    assert not np.array_equal(before.q.numpy(), info.q.numpy())
    assert np.array_equal(z_q.numpy(), kept.effective_codebooks[0].numpy()[before.q.numpy()])


@pytest.mark.parametrize("make", [group, residual], ids=named)
def test_in_place_steps_reach_every_codebook_of_groups_and_stages(
    make: Callable[..., Layer],
) -> None:
    layer, z = make(inplace_optimizer=sgd), vectors(40, 4)
    before = [codebook.numpy().astype(np.float64) for codebook in layer.codebooks]
    _, info = layer(z)
    parts = rows(layer, z) if make is group else [z]
    left = z.astype(np.float64)
    for index, codebook in enumerate(layer.codebooks):
        part = parts[index] if make is group else left
        codes = info.q.numpy()[:, index]
        expected = before[index].copy()
        np.add.at(expected, codes, 2 * (part - before[index][codes]) / part.size)
        np.testing.assert_allclose(codebook.numpy(), expected, atol=16 * EPSILON)
        assert not np.array_equal(codebook.numpy(), before[index])
        if make is residual:
            left = left - codebook.numpy()[codes]


# Replacement


@every_layer
@pytest.mark.parametrize("form", AFFINE.values(), ids=AFFINE.keys())
def test_replaced_codes_land_near_the_vectors_under_affine_maps(
    make: Callable[..., Layer], form: dict[str, Any]
) -> None:
    layer = make(replace_freq=1, **form)
    bend(layer)
    # Of equal codes the first is used alone.
    for codebook in layer.codebooks:
        codebook.assign(codebook.numpy()[[0, 1, 1, 1, 1, 1, 1, 1]])
    z = np.float32(40) + vectors(50, 4)
    _, info = layer(z)
    for index, codebook in enumerate(layer.effective_codebooks):
        codes = info.q.numpy().reshape(50, -1)
        own = codes if len(layer.codebooks) == 1 else codes[:, index]
        replaced = np.setdiff1d(np.arange(8), own)
        assert replaced.size >= 6
        seen = seen_by(layer, z, info, index)
        for code in codebook.numpy()[replaced]:
            distance = np.linalg.norm(seen - code, axis=1)
            # Noise of 1% of the length, in a few elements rarely above 4%.
            assert (distance <= 0.06 * np.linalg.norm(seen, axis=1) + 1e-3).any()


def seen_by(layer: Layer, z: np.ndarray, info: vq.QuantizerInfo, index: int) -> np.ndarray:
    """All vectors that codebook `index` was compared with, [m, width]."""
    books = [codebook.numpy() for codebook in layer.effective_codebooks]
    if isinstance(layer, vq.GroupVectorQuant):
        parts = np.split(z, 2, axis=-1)
        return np.concatenate(parts) if len(books) == 1 else parts[index]
    if isinstance(layer, vq.VectorQuant):
        return z
    residuals, left = [], z
    for stage in range(info.q.shape[1]):
        residuals.append(left)
        left = left - books[min(stage, len(books) - 1)][info.q.numpy()[:, stage]]
    return np.concatenate(residuals) if len(books) == 1 else residuals[index]


# What a forward tells


@every_layer
def test_perplexity_is_a_number(make: Callable[..., Layer]) -> None:
    layer = make()
    _, info = layer(vectors(100, 4))
    assert isinstance(info.perplexity, float)
    codes = info.q.numpy().reshape(100, -1)
    usage = [codes] if info.stage_perplexities.shape == (1,) else list(codes.T)
    expected = []
    for own in usage:
        share = np.bincount(own.ravel(), minlength=8) / own.size
        expected.append(2 ** -np.sum(share[share > 0] * np.log2(share[share > 0])))
    np.testing.assert_allclose(info.stage_perplexities.numpy(), expected, rtol=4 * EPSILON)
    assert info.perplexity == pytest.approx(np.mean(expected), rel=4 * EPSILON)


@every_layer
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_gets_no_code(make: Callable[..., Layer], bad: float) -> None:
    layer = make(kmeans_init=True, ema_decay=0.9, affine="ema", replace_freq=1)
    before, z = layer.state_dict(), vectors(20, 4)
    z[7, 2] = bad
    for call in (layer, layer.encode, layer.fit):
        with pytest.raises(ValueError, match=f"z holds {bad} at flat index 30"):
            call(z)
    after = layer.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@every_layer
def test_codes_far_from_the_origin_are_the_nearest(make: Callable[..., Layer]) -> None:
    """In the first stage: what it leaves is near the origin."""
    layer, offset = make(), np.float32(500)
    z = vectors(200, 4) + offset
    for codebook in layer.codebooks:
        codebook.assign(vectors(*codebook.shape, seed=3) + offset)
    codes = layer.encode(z).numpy().reshape(200, -1)
    parts = rows(layer, z) if isinstance(layer, vq.GroupVectorQuant) else [z]
    for index, part in enumerate(parts):
        book = layer.codebooks[index].numpy()
        if part.shape[1] != book.shape[1]:
            part = part[:, : book.shape[1]]
        assert np.array_equal(codes[:, index], brute_force(part, book))


@every_layer
def test_the_lowest_of_equal_codes_is_told(make: Callable[..., Layer]) -> None:
    layer = make()
    for codebook in layer.codebooks:
        codebook.assign(np.tile(codebook.numpy()[:4], (2, 1)))
    _, info = layer(vectors(60, 4))
    assert info.q.numpy().max() < 4
    assert np.array_equal(layer.eval().encode(vectors(60, 4)).numpy(), info.q.numpy())


# Masks

MASKED: dict[str, dict[str, Any]] = {
    "ema": {"ema_decay": 0.8},
    "k-means": {"kmeans_init": True, "kmeans_freq": 2},
    "moments": {"affine": "ema"},
    "replacement": {"replace_freq": 1},
    "batch norm": {"norm": "bn"},
    "in-place": {"inplace_optimizer": sgd},
    "entropy": {"entropy_weight": 0.1},
    "temperature": {"temperature": 0.5},
}


@every_layer
@pytest.mark.parametrize("options", MASKED.values(), ids=MASKED.keys())
def test_nan_under_a_mask_is_as_if_it_were_not_there(
    make: Callable[..., Layer], options: dict[str, Any]
) -> None:
    kept = np.random.default_rng(5).random((3, 7)) < 0.6
    states = []
    for is_masked in (True, False):
        vq.manual_seed(0)
        layer = make(**options)
        for step in range(4):
            z = vectors(3, 7, 4, seed=step)
            if is_masked:
                z[~kept] = np.nan
                given, mask = Tensor(z, requires_grad=True), kept
            else:
                given, mask = Tensor(z[kept], requires_grad=True), None
            z_q, info = layer(given, mask)
            (info.loss + z_q.sum()).backward()
        assert given.grad is not None
        gradient, output, codes = given.grad.numpy(), z_q.numpy(), info.q.numpy()
        if is_masked:
            assert not gradient[~kept].any() and not output[~kept].any()
            assert (codes[~kept] == -1).all()
            gradient, output, codes = gradient[kept], output[kept], codes[kept]
        numbers = {"gradient": gradient, "output": output, "codes": codes}
        states.append(layer.state_dict() | numbers | {"loss": info.loss.numpy()})
    for name, value in states[0].items():
        assert np.array_equal(value, states[1][name]), name


# Memory


@pytest.mark.parametrize(
    "layer",
    [
        "vq.VectorQuant(4, 8192)",
        "vq.VectorQuant(4, 8192, ema_decay=0.9, replace_freq=20)",
        "vq.VectorQuant(4, 8192, temperature=0.5)",
        "vq.VectorQuant(4, 8192, entropy_weight=0.1)",
        "vq.VectorQuant(4, 8192, orthogonal_weight=0.1)",
        "vq.ResidualVectorQuant(4, 8192, stages=2, shared=True, gradient='rotation')",
    ],
)
def test_no_table_of_vectors_by_codes_is_made(layer: str) -> None:
    """4096 vectors by 8192 codes of float32 are 128 MB."""
    program = f"""
import resource
import numpy as np
import vqswift as vq

layer = {layer}
def step(n):
    z = vq.Tensor(np.random.default_rng(0).normal(size=(n, 4)), requires_grad=True)
    z_q, info = layer(z)
    (info.loss + z_q.sum()).backward()
step(8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
step(4096)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    assert int(run_python(program)) < 32 << 10  # kilobytes


# Residual stages


def test_later_stages_send_their_commitment_to_the_vectors() -> None:
    """r_1 = z, r_(s+1) = r_s - sg(z_q,s): each residual has the gradient 1 in z."""
    layer = residual(beta=0.25)
    z = Tensor(vectors(20, 4), requires_grad=True)
    _, info = layer(z)
    info.loss.backward()
    books = [book.numpy().astype(np.float64) for book in layer.codebooks]
    left, expected = z.numpy().astype(np.float64), np.zeros((20, 4))
    for stage, book in enumerate(books):
        codes = info.q.numpy()[:, stage]
        values, rest = book[codes], left - book[codes]
        expected += 0.75 * 2 * rest / z.size
        in_book = np.zeros_like(book)
        np.add.at(in_book, codes, -0.25 * 2 * rest / z.size)
        found = layer.codebooks[stage].grad
        assert found is not None
        np.testing.assert_allclose(found.numpy(), in_book, atol=16 * EPSILON)
        left = left - values
    assert z.grad is not None
    np.testing.assert_allclose(z.grad.numpy(), expected, atol=16 * EPSILON)
