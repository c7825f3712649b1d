"""What a refused, diverged or evaluated forward must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq


def alternating(**options) -> vq.VectorQuant:
    return vq.VectorQuant(
        2, 4, sync_nu=1.0, inplace_optimizer=lambda p: vq.optim.SGD(p, lr=0.1), **options
    )


VECTORS = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)


def test_a_gradient_that_is_not_finite_reaches_no_code() -> None:
    layer = alternating()
    z_q, _ = layer(VECTORS)
    before = layer.codebook.numpy()
    (z_q * float("nan")).sum().backward()
    with pytest.raises(ValueError, match="the codebook's gradient holds"):
        layer(VECTORS)
    assert np.array_equal(layer.codebook.numpy(), before)
    layer.inplace_optimizer.zero_grad()
    assert np.isfinite(layer(VECTORS)[0].numpy()).all()


def test_an_inner_step_that_diverges_is_undone() -> None:
    layer = vq.VectorQuant(2, 4, inplace_optimizer=lambda p: vq.optim.SGD(p, lr=3e38))
    before = layer.codebook.numpy()
    with pytest.raises(ValueError, match="the codebook after the in-place step holds"):
        layer(VECTORS * 1e3)
    assert np.array_equal(layer.codebook.numpy(), before)


def test_backward_through_evaluation_leaves_nothing_on_the_codebook() -> None:
    layer = alternating().eval()
    before = layer.state_dict()
    z_q, info = layer(vq.Tensor(VECTORS, requires_grad=True))
    (z_q.sum() + info.loss).backward()
    after = layer.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before | after)


def test_a_refused_first_forward_keeps_the_initialization() -> None:
    layer = vq.VectorQuant(2, 4, affine_lr=1.0, kmeans_init=True)
    layer.affine_scale.assign(np.array([[np.nan, 0]], np.float32))
    before = layer.state_dict()
    with pytest.raises(ValueError, match="affine_scale holds nan"):
        layer(VECTORS)
    after = layer.state_dict()
    assert all(np.array_equal(before[n], after[n], equal_nan=True) for n in before)


def test_a_replaced_code_drops_the_gradient_that_waits_on_it() -> None:
    layer = vq.VectorQuant(
        1,
        2,
        sync_nu=1.0,
        replace_freq=1,
        outer_steps=3,
        inplace_optimizer=lambda p: vq.optim.SGD(p, lr=1.0),
    )
    layer.codebook.assign(np.array([[0], [100]], np.float32))
    z_q, _ = layer(np.array([[0], [100]], np.float32))
    (z_q * np.array([[0], [50]], np.float32)).sum().backward()
    assert layer.codebook.grad.numpy().tolist() == [[0], [50]]
    layer(np.array([[0], [2]], np.float32))  # replaces code 1
    assert np.abs(layer.codebook.numpy()).max() < 3
    assert layer.codebook.grad.numpy().tolist() == [[0], [0]]


def test_replacement_inverts_a_small_affine_factor() -> None:
    layer = vq.VectorQuant(1, 2, affine_lr=1.0, replace_freq=1)
    layer.codebook.assign(np.array([[0], [1e6]], np.float32))
    layer.affine_scale.assign(np.array([[-1 + 2**-12]], np.float32))
    layer(np.array([[5]], np.float32))
    # The noise has the standard deviation 0.01 * 5.
    assert abs(float(layer.effective_codebook[1, 0]) - 5) < 0.5
