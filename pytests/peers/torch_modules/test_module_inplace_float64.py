"""In-place optimizers of layers in float64, whose codes the core has in float32."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402
from test_module_inplace import ADAM, SGD  # noqa: E402
from vqswift.torch import _device  # noqa: E402

LAYERS = {
    "plain": lambda **o: vqt.VectorQuant(D, K, seed=1, **o),
    "inner steps": lambda **o: vqt.VectorQuant(D, K, seed=1, inner_steps=2, **o),
    "outer steps": lambda **o: vqt.VectorQuant(D, K, seed=1, outer_steps=2, **o),
    "group": lambda **o: vqt.GroupVectorQuant(D, K, groups=2, seed=1, sync_nu=0.3, **o),
}


def moments(layer: Any) -> list[torch.Tensor]:
    return [v for o in layer.inplace_optimizers for s in o.state.values() for v in s.values()]


@pytest.mark.parametrize("make", [SGD, ADAM], ids=["SGD", "Adam"])
@pytest.mark.parametrize("name", LAYERS)
def test_moments_and_codes_are_those_of_the_formulas(name: str, make: Any) -> None:
    found = []
    for where in (contextlib.nullcontext, _device.forced):
        layer = LAYERS[name](inplace_optimizer=make).double()
        for seed in range(5):
            z = vectors(40, D, seed=seed).double().requires_grad_()
            with where():
                z_q, info = layer(z)
            (z_q.sum() + info.loss).backward()
        found.append([*layer.codebooks, *moments(layer)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
        assert ours.any()


def test_steps_smaller_than_float32_tells_apart_add_up() -> None:
    layer = vqt.VectorQuant(D, K, seed=1, inplace_optimizer=lambda p: torch.optim.SGD(p, lr=1e-9))
    layer.double()
    before = layer.codebook.detach().clone()
    layer(vectors(400, D).double())
    moved = (layer.codebook - before).abs().sum(1) > 0
    assert moved.any()
    assert torch.equal(layer.codebook.float(), before.float())


def test_replaced_codes_alone_have_no_moments() -> None:
    layer = vqt.VectorQuant(D, K, seed=1, replace_freq=2, inplace_optimizer=ADAM).double()
    layer(vectors(24, D).double())
    before = layer.codebook.detach().clone()
    layer(vectors(24, D, seed=1).double())
    (state,) = layer.inplace_optimizer.state.values()
    none = (state["exp_avg"] == 0).all(1)
    assert none.any()
    assert not none.all()
    assert ((layer.codebook - before).abs().amax(1)[none] > 1e-3).any()


def test_a_code_that_is_assigned_alone_loses_its_moments() -> None:
    layer = vqt.VectorQuant(D, K, seed=1, inplace_optimizer=SGD).double()
    for seed in range(3):
        layer(vectors(400, D, seed=seed).double())
    (moments_before,) = (m.clone() for m in moments(layer))
    given = layer.codebook.detach().clone()
    given[3] += 1
    layer.assign(given)
    (now,) = moments(layer)
    assert not now[3].any()
    others = torch.arange(K) != 3
    assert torch.equal(now[others], moments_before[others])
