"""In-place optimizers by the formulas for other devices, on the CPU, against the native kernels."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402
from test_module_inplace import LAYERS, OURS, everything, makers, step, steps  # noqa: E402
from torch import nn  # noqa: E402
from twins import state_of  # noqa: E402
from vqswift.torch import _device  # noqa: E402

ELSEWHERE: dict[str, Callable[..., Any]] = {
    name: LAYERS[name]
    for name in ("plain", "affine, nu", "group, nu", "residual", "shared residual")
} | {
    "inner and outer steps, rotation": functools.partial(
        vqt.VectorQuant, D, K, seed=3, inner_steps=3, outer_steps=2, gradient="rotation"
    ),
    "shared, inner steps, codes anew": functools.partial(
        *(vqt.ResidualVectorQuant, D, K),
        **{"seed": 3, "stages": 3, "shared": True, "inner_steps": 2, "reassign": True},
    ),
    "l2, nu": functools.partial(
        vqt.VectorQuant, D, K, seed=3, norm="l2", cb_norm="l2", sync_nu=0.4
    ),
}


@makers
@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_formulas_for_other_devices_are_the_kernels(name: str, make: Any) -> None:
    native = ELSEWHERE[name](inplace_optimizer=make)
    module = copy.deepcopy(native)
    for seed in range(4):
        with _device.forced():
            ours = step(module, seed)
        for value, other in zip(ours, step(native, seed), strict=True):
            torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5)
        for value, other in zip(everything(module), everything(native), strict=True):
            torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5)
    with _device.forced():
        found = step(module.eval(), 9)
    for value, other in zip(found, step(native.eval(), 9), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5)


@makers
def test_a_start_and_replaced_codes_have_no_moments_there(make: Any) -> None:
    torch.manual_seed(0)
    layer = LAYERS["k-means, replaced"](inplace_optimizer=make)
    with _device.forced():
        steps(layer)
        assert layer.initialized == 1
        dead = layer.unused_steps == 1
        dead[step(layer, 3)[1].unique()] = False
    assert dead.any()
    assert torch.isfinite(layer.codebook).all()
    (moments,) = layer.inplace_optimizer.state.values()
    of_codes = [moment for moment in moments.values() if moment.ndim]
    assert of_codes
    for moment in of_codes:
        assert not moment[dead].any()
        assert moment[~dead].any()


class Failing(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("no step")


def test_a_step_that_raises_leaves_the_layer_without_its_start() -> None:
    layer = LAYERS["k-means, replaced"](inplace_optimizer=functools.partial(Failing, lr=0.1))
    before = {name: torch.tensor(value) for name, value in state_of(layer).items()}
    with _device.forced(), pytest.raises(RuntimeError, match="no step"):
        layer(vectors(40, D))
    for name, value in state_of(layer).items():
        assert torch.equal(torch.tensor(value), before[name]), name


def test_vqswift_s_optimizers_step_on_the_cpu() -> None:
    (optimizer,) = LAYERS["plain"](inplace_optimizer=OURS).inplace_optimizers
    codebook = nn.Parameter(torch.empty(K, D, device="meta"))
    codebook.grad = torch.empty_like(codebook)
    optimizer.param_groups[0]["params"] = [codebook]
    with pytest.raises(NotImplementedError, match=r"on meta: .* torch\.optim"):
        optimizer.step()


@makers
@pytest.mark.parametrize("name", ["affine, nu", "k-means, replaced", "residual"])
def test_inference_mode_steps_as_a_forward_without_gradients_does(name: str, make: Any) -> None:
    layers = [(ELSEWHERE | LAYERS)[name](inplace_optimizer=make) for _ in range(2)]
    for layer, without in zip(layers, (torch.inference_mode, torch.no_grad), strict=True):
        torch.manual_seed(0)
        with _device.forced(), without():
            for seed in range(2):
                layer(vectors(40, D, seed=seed))
        with _device.forced():
            step(layer, 9)
    for ours, theirs in zip(*map(everything, layers), strict=True):
        assert not ours.is_inference()
        assert torch.equal(ours, theirs)


def test_a_step_that_raises_in_inference_mode_leaves_usable_moments() -> None:
    layer = LAYERS["plain"](inplace_optimizer=functools.partial(torch.optim.Adam, lr=0.1))
    with _device.forced():
        steps(layer, 1)
        before = [tensor.clone() for tensor in everything(layer)]
        # The optimizer's step comes before what raises.
        layer.inplace_optimizer.param_groups[0]["lr"] = torch.inf
        with torch.inference_mode(), pytest.raises(ValueError, match="not finite"):
            layer(vectors(40, D))
        for now, then in zip(everything(layer), before, strict=True):
            assert torch.equal(now, then)
        layer.inplace_optimizer.param_groups[0]["lr"] = 0.1
        step(layer, 3)
