"""Gradients of the formulas for other devices where lengths vanish, and second derivatives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402
from vqswift.torch import _device  # noqa: E402


def both(module: Any, run: Callable[[], Any]) -> list[Any]:
    found = []
    for where in (_device.forced(), contextlib.nullcontext()):
        module.zero_grad()
        with where:
            found.append(run())
    return found


@pytest.mark.parametrize("norm", ["l2", "l2c"])
@pytest.mark.parametrize("options", [{}, {"gradient": "rotation"}, {"sync_nu": 1.0}])
def test_zero_vectors_and_zero_codes_have_the_kernels_gradients(
    norm: str, options: dict[str, Any]
) -> None:
    module = vqt.VectorQuant(D, K, seed=1, norm=norm, cb_norm=norm, **options).eval()
    with torch.no_grad():
        module.codebook[3] = 0
    z = torch.cat([torch.zeros(2, D), 1e-3 * vectors(4, D), vectors(30, D)])

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        x = z.clone().requires_grad_()
        z_q, info = module(x)
        (z_q.sum() + info.loss).backward()
        return x.grad, module.codebook.grad.clone()

    for ours, theirs in zip(*both(module, run), strict=True):
        assert torch.isfinite(ours).all()
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e20, 1e37])
@pytest.mark.parametrize("norm", ["l2", "l2c"])
def test_norms_of_large_and_small_vectors_are_the_kernels(norm: str, scale: float) -> None:
    module = vqt.VectorQuant(D, K, seed=1, norm=norm, cb_norm="none").eval()
    ours, theirs = both(module, lambda: module(scale * vectors(20, D)))
    torch.testing.assert_close(ours[1].z, theirs[1].z, rtol=1e-6, atol=0)
    assert torch.equal(ours[1].q, theirs[1].q)


SECOND: dict[str, Callable[[], Any]] = {
    "plain": lambda: vqt.VectorQuant(D, K, seed=1, sync_nu=0.5),
    "rotation, affine": lambda: vqt.VectorQuant(
        D, K, seed=1, gradient="rotation", affine_lr=0.5, norm="l2", cb_norm="l2"
    ),
    "SimVQ": lambda: vqt.VectorQuant(D, K, seed=1, simvq=True),
    "group": lambda: vqt.GroupVectorQuant(D, K, groups=2, seed=1),
    "residual": lambda: vqt.ResidualVectorQuant(D, K, stages=2, seed=1),
    "residual, projected": lambda: vqt.ResidualVectorQuant(D, K, stages=2, seed=1, code_size=3),
    "FSQ": lambda: vqt.FSQ([8, 5, 4, 3, 2, 7]),
    "LFQ": lambda: vqt.LFQ(D, commitment_weight=0.3),
    "Gumbel": lambda: vqt.GumbelQuant(D, K, seed=1),
    "Gumbel, hard": lambda: vqt.GumbelQuant(D, K, seed=1, hard=True),
    "SQ-VAE": lambda: vqt.SQVAEQuant(D, K, seed=1),
}


@pytest.mark.parametrize("name", SECOND)
def test_a_second_derivative_raises(name: str) -> None:
    module = SECOND[name]()
    for where in (_device.forced, contextlib.nullcontext):
        for of_loss in (False, True):
            x = vectors(9, D).requires_grad_()
            with where():
                z_q, info = module(x)
                value = z_q.square().sum() + (info.loss if of_loss else 0)
                leaves = [x, *(p for p in module.parameters() if p.requires_grad)]
                first = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True)
                for gradient in first:
                    if gradient is None or not gradient.requires_grad:
                        continue
                    with pytest.raises(RuntimeError, match="no second derivative"):
                        torch.autograd.grad(
                            gradient.square().sum(), leaves, retain_graph=True, allow_unused=True
                        )


def test_decoded_vectors_and_effective_codebooks_have_no_second_derivative() -> None:
    module = vqt.VectorQuant(D, K, seed=1, norm="l2", cb_norm="l2")
    for where in (_device.forced, contextlib.nullcontext):
        for run in (
            lambda: module.decode(torch.arange(3)),
            lambda: module.effective_codebooks[0],
        ):
            with where():
                (first,) = torch.autograd.grad(
                    run().pow(3).sum(), module.codebook, create_graph=True
                )
                with pytest.raises(RuntimeError, match="no second derivative"):
                    torch.autograd.grad(first.square().sum(), module.codebook)


def test_what_passes_unquantized_is_not_the_vectors_themselves() -> None:
    for module in (SECOND[name]() for name in SECOND):
        z = vectors(9, D)
        with _device.forced(), vqt.no_quantization(module):
            z_q, _ = module(z)
        z_q.zero_()
        assert z.all()
