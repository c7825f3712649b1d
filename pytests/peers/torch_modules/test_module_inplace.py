"""Alternating optimization: optimizers of PyTorch and of vqswift step codebooks in forwards."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402
from torch import nn  # noqa: E402
from twins import load, optimizers_of, state_of  # noqa: E402
from vqswift.torch import vqtorch  # noqa: E402

SGD = functools.partial(torch.optim.SGD, lr=0.7, momentum=0.9)
ADAM = functools.partial(torch.optim.Adam, lr=0.02)
OURS = functools.partial(vq.optim.SGD, lr=0.7, momentum=0.9)

LAYERS: dict[str, Callable[..., Any]] = {
    "plain": functools.partial(vqt.VectorQuant, D, K, seed=3),
    "affine, nu": functools.partial(vqt.VectorQuant, D, K, seed=3, affine_lr=0.5, sync_nu=0.4),
    "k-means, replaced": functools.partial(
        vqt.VectorQuant, D, K, seed=3, kmeans_init=True, replace_freq=2
    ),
    "directional, inner steps": functools.partial(
        vqt.VectorQuant, D, K, seed=3, gradient="directional", inner_steps=3, reassign=True
    ),
    "moments, outer steps": functools.partial(
        vqt.VectorQuant, D, K, seed=3, affine="ema", outer_steps=2
    ),
    "group, nu": functools.partial(vqt.GroupVectorQuant, D, K, seed=3, groups=2, sync_nu=0.3),
    "residual": functools.partial(vqt.ResidualVectorQuant, D, K, seed=3, stages=3),
    "shared residual": functools.partial(
        vqt.ResidualVectorQuant, D, K, seed=3, stages=2, shared=True, sync_nu=0.3
    ),
}
every = pytest.mark.parametrize("name", LAYERS)
makers = pytest.mark.parametrize("make", [SGD, ADAM, OURS], ids=["SGD", "Adam", "vqswift's SGD"])


def step(module: Any, seed: int) -> tuple[Any, ...]:
    z = vectors(3, 8, D, seed=seed).requires_grad_()
    z_q, info = module(z)
    (z_q.square().sum() + 3 * info.loss).backward()
    return z_q.detach(), info.q, info.loss.detach(), z.grad


def steps(module: Any, count: int = 3) -> Any:
    for seed in range(count):
        step(module, seed)
    return module


def everything(module: Any) -> list[torch.Tensor]:
    """All tensors that the module and its optimizers keep."""
    kept = [t for o in module.inplace_optimizers for m in o.state.values() for t in m.values()]
    return [*(torch.tensor(v) for v in state_of(module).values()), *kept]


def assert_go_on_alike(a: Any, b: Any) -> None:
    for seed in (20, 21):
        for ours, theirs in zip(step(a, seed), step(b, seed), strict=True):
            assert torch.equal(ours, theirs)
    for ours, theirs in zip(everything(a), everything(b), strict=True):
        assert torch.equal(ours, theirs)


def test_a_step_by_hand() -> None:
    """QUANTIZERS.md's example: one step of SGD, lr 1 on the mean squared error."""
    layer = vqt.VectorQuant(
        2, 4, beta=1.0, inplace_optimizer=functools.partial(torch.optim.SGD, lr=1.0)
    )
    layer.assign(torch.tensor([[1.0, 1.0], [2.0, 0.0], [-1.0, 0.0], [0.0, 3.0]]))
    z_q, info = layer(torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 0.5]]))
    expected = torch.tensor([[2 / 3, 7 / 6], [7 / 3, -1 / 3], [-1.0, 0.0], [0.0, 3.0]])
    torch.testing.assert_close(layer.codebook.data, expected)
    assert info.q.tolist() == [0, 1, 0]
    torch.testing.assert_close(z_q, expected[[0, 1, 0]])
    assert layer.codebook.grad is None


def in_float64(
    codes: torch.Tensor, z: torch.Tensor, rate: float, nu: float, waiting: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """vqtorch's step written out: assign, step the codebook on `mse(sg z, z_q)`, read again."""
    q = torch.cdist(z, codes).argmin(1)
    own = codes.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((own[q] - z).square().mean(), own)
    return q, gradient + nu * waiting


@pytest.mark.parametrize("nu", [0.0, 0.4])
def test_vqtorch_s_definition_in_float64(nu: float) -> None:
    rate, momentum = 0.8, 0.9
    make: Any = lambda *a, **k: torch.optim.SGD(*a, **k, lr=rate, momentum=momentum)  # noqa: E731
    layer = vqtorch.VectorQuant(D, K, beta=1.0, sync_nu=nu, inplace_optimizer=make, dim=-1)
    codes = layer.get_codebook().double()
    buffer, waiting = torch.zeros_like(codes), torch.zeros_like(codes)
    for seed in range(5):
        z = vectors(40, D, seed=seed).requires_grad_()
        pull = vectors(40, D, seed=100 + seed)
        z_q, told = layer(z)
        ((z_q * pull).sum() + 3 * told["loss"]).backward()

        q, gradient = in_float64(codes, z.detach().double(), rate, nu, waiting)
        buffer = momentum * buffer + gradient
        codes = codes - rate * buffer
        waiting = torch.zeros_like(codes).index_add(0, q, pull.double())
        assert torch.equal(told["q"][:, 0], q)
        torch.testing.assert_close(z_q.double(), codes[q], rtol=0, atol=1e-5)
        torch.testing.assert_close(layer.get_codebook().double(), codes, rtol=0, atol=1e-5)
        torch.testing.assert_close(z.grad, pull, rtol=0, atol=1e-6)
        (optimizer,) = layer.layer.inplace_optimizers
        (moments,) = optimizer.state.values()
        torch.testing.assert_close(moments["momentum_buffer"].double(), buffer, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("make", "native"), [(SGD, OURS), (ADAM, "adam")], ids=["SGD", "Adam"])
@every
def test_torch_s_optimizers_make_vqswift_s_states(name: str, make: Any, native: Any) -> None:
    """As its own layer with its own optimizer of the same settings, to float32's rounding."""
    vq.manual_seed(1)
    module = LAYERS[name](inplace_optimizer=make)
    given = functools.partial(vq.optim.Adam, lr=0.02) if native == "adam" else native
    options = {n: v for n, v in module._options.items() if n != "inplace_optimizer"}
    layer = getattr(vq, type(module).__name__)(**options, inplace_optimizer=given)
    load(module, layer.state_dict())
    for seed in range(4):
        z = vectors(3, 8, D, seed=seed)
        values = vq.Tensor(z.numpy(), requires_grad=True)
        z_q, info = layer(values)
        ((z_q * z_q).sum() + 3 * info.loss).backward()
        _, q, loss, gradient = step(module, seed)
        assert (q.numpy() == info.q.numpy()).all()
        assert loss.item() == pytest.approx(info.loss.item(), rel=1e-5)
        np.testing.assert_allclose(gradient.numpy(), values.grad.numpy(), atol=2e-5)
        for key, value in layer.state_dict().items():
            np.testing.assert_allclose(state_of(module)[key], value, atol=2e-5, err_msg=key)


def test_a_vqswift_optimizer_is_wrapped() -> None:
    layer = vqt.VectorQuant(D, K, inplace_optimizer=OURS)
    assert isinstance(layer.inplace_optimizer, torch.optim.Optimizer)
    before = layer.codebook.detach().clone()
    layer.inplace_optimizer.param_groups[0]["lr"] = 0.0
    steps(layer, 1)
    assert torch.equal(layer.codebook, before)


# MARK: State


@makers
@every
def test_copies_pickles_and_states_go_on(name: str, make: Any) -> None:
    first = steps(LAYERS[name](inplace_optimizer=make))
    assert_go_on_alike(copy.deepcopy(first), pickle.loads(pickle.dumps(first)))
    second = steps(LAYERS[name](inplace_optimizer=make), 1)
    missing, unexpected = second.load_state_dict(first.state_dict(), strict=True)
    assert not missing
    assert not unexpected
    assert_go_on_alike(first, second)


@makers
def test_a_copy_shares_nothing(make: Any) -> None:
    first = steps(LAYERS["affine, nu"](inplace_optimizer=make))
    second = copy.deepcopy(first)
    third = LAYERS["affine, nu"](inplace_optimizer=make)
    third.load_state_dict(first.state_dict())
    before = [tensor.clone() for tensor in everything(first)]
    steps(second), steps(third)
    for now, then in zip(everything(first), before, strict=True):
        assert torch.equal(now, then)
    (owned,) = second.inplace_optimizer.param_groups[0]["params"]
    assert owned is second.codebook


def test_a_lambda_s_optimizer_is_pickled() -> None:
    layer = steps(vqt.VectorQuant(D, K, inplace_optimizer=lambda p: torch.optim.SGD(p, lr=0.1)))
    assert_go_on_alike(layer, pickle.loads(pickle.dumps(layer)))


def test_assigned_parameters_are_stepped() -> None:
    first = steps(LAYERS["plain"](inplace_optimizer=SGD))
    second = LAYERS["plain"](inplace_optimizer=SGD)
    state = copy.deepcopy(first.state_dict())
    second.load_state_dict(state, assign=True)
    assert_go_on_alike(first, second)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@makers
def test_a_cast_layer_goes_on(make: Any, dtype: torch.dtype) -> None:
    layer = steps(LAYERS["affine, nu"](inplace_optimizer=make)).to(dtype)
    before = layer.codebook.detach().clone()
    z_q, _ = layer(vectors(3, 8, D).to(dtype))
    assert z_q.dtype == layer.codebook.dtype == dtype
    assert not torch.equal(layer.codebook, before)


def test_an_outer_optimizer_of_all_parameters_leaves_the_codebook_alone() -> None:
    layer = LAYERS["affine, nu"](inplace_optimizer=SGD)
    assert [n for n, p in layer.named_parameters() if p.requires_grad] == [
        "affine_scale",
        "affine_bias",
    ]
    outer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    steps(layer, 2)
    before = layer.codebook.detach().clone()
    assert layer.codebook_gradient.abs().sum() > 0
    outer.step()
    outer.zero_grad()
    assert torch.equal(layer.codebook, before)
    assert layer.codebook_gradient.abs().sum() > 0


@every
def test_evaluation_freezing_and_passing_step_nothing(name: str) -> None:
    layer = steps(LAYERS[name](inplace_optimizer=SGD))
    before = [tensor.clone() for tensor in everything(layer)]
    layer.eval()
    step(layer, 9)
    for now, then in zip(everything(layer), before, strict=True):
        assert torch.equal(now, then)
    layer.train()
    codebooks = [book.detach().clone() for book in layer.codebooks]
    layer(vectors(3, 8, D), freeze=True)
    with vqt.no_quantization(layer):
        layer(vectors(3, 8, D))
    for now, then in zip(layer.codebooks, codebooks, strict=True):
        assert torch.equal(now, then)


def test_replaced_codes_have_no_moments_and_no_waiting_gradient() -> None:
    layer = vqt.VectorQuant(D, K, seed=1, sync_nu=0.5, replace_freq=2, inplace_optimizer=ADAM)
    steps(layer, 1)
    (moments,) = layer.inplace_optimizer.state.values()
    before = layer.codebook.detach().clone()
    z_q, info = layer(vectors(3, 8, D, seed=1))
    changed = (layer.codebook != before).any(1)
    unused = torch.ones(K, dtype=torch.bool)
    unused[info.q.flatten()] = False
    replaced = unused & changed & (moments["exp_avg"] == 0).all(1)
    assert replaced.any()
    assert (layer.codebook_gradient[replaced] == 0).all()
    assert (moments["exp_avg"][~unused] != 0).any()


def test_a_forward_that_raises_changes_nothing() -> None:
    class Failing(torch.optim.SGD):
        fails = False

        def step(self, closure: Any = None) -> Any:
            found = super().step(closure)
            if Failing.fails:
                raise ArithmeticError("no step")
            return found

    layer = LAYERS["group, nu"](inplace_optimizer=lambda p: Failing(p, lr=0.5, momentum=0.9))
    steps(layer)
    before = [tensor.clone() for tensor in everything(layer)]
    Failing.fails = True
    with pytest.raises(ArithmeticError, match="no step"):
        layer(vectors(3, 8, D))
    Failing.fails = False
    for now, then in zip(everything(layer), before, strict=True):
        assert torch.equal(now, then)
    step(layer, 5)


def test_assign_and_fit_forget_moments() -> None:
    layer = steps(LAYERS["affine, nu"](inplace_optimizer=SGD))
    (moments,) = layer.inplace_optimizer.state.values()
    given = layer.codebook.detach().clone()
    given[3] += 1
    layer.assign(given)
    for tensor in (moments["momentum_buffer"], layer.codebook_gradient):
        assert (tensor[3] == 0).all()
    assert (moments["momentum_buffer"] != 0).any()
    layer.fit(vectors(50, D))
    assert (moments["momentum_buffer"] == 0).all()


# MARK: Refusals


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inplace_optimizer": lambda p: 3}, TypeError, "must return an optimizer"),
        ({"inplace_optimizer": lambda p: torch.optim.LBFGS(p)}, ValueError, "closure"),
        (
            {"inplace_optimizer": lambda p: torch.optim.SGD([*p, nn.Parameter(torch.ones(1))])},
            ValueError,
            "nothing else",
        ),
        ({"inplace_optimizer": SGD, "ema_decay": 0.9}, RuntimeError, "exclude each other"),
        ({"inplace_optimizer": SGD, "simvq": True}, RuntimeError, "SimVQ freezes"),
        ({"inner_steps": 2}, ValueError, "no inplace_optimizer"),
    ],
)
def test_what_cannot_be_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        vqt.VectorQuant(D, K, **options)


def test_a_factory_s_own_error_is_told() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        vqt.VectorQuant(D, K, inplace_optimizer=lambda p: torch.optim.SGD(p, rate=1))


# MARK: Compiling


def test_a_compiled_training_forward_is_whole_or_says_why_not() -> None:
    torch._dynamo.reset()
    eager = LAYERS["affine, nu"](inplace_optimizer=SGD)
    whole = torch.compile(copy.deepcopy(eager), fullgraph=True, backend="aot_eager")
    with pytest.raises(torch._dynamo.exc.Unsupported, match="steps an optimizer"):
        whole(vectors(3, 8, D))
    module = copy.deepcopy(eager)
    parts = torch.compile(module, backend="aot_eager")
    for seed in range(3):
        for ours, theirs in zip(step(parts, seed), step(eager, seed), strict=True):
            assert torch.equal(ours, theirs)
    for ours, theirs in zip(everything(module), everything(eager), strict=True):
        assert torch.equal(ours, theirs)


@every
def test_evaluation_is_compiled_and_exported_whole(name: str) -> None:
    torch._dynamo.reset()
    layer = steps(LAYERS[name](inplace_optimizer=SGD)).eval()
    z = vectors(4, 9, D)
    run = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(run(z)[0], layer(z)[0])
    program = torch.export.export(layer, (z,))
    assert torch.equal(program.module()(z)[0], layer(z)[0])


def test_a_state_has_the_optimizers_under_one_key() -> None:
    layer = steps(LAYERS["group, nu"](inplace_optimizer=SGD))
    assert list(optimizers_of(layer)) == ["inplace._extra_state"]
    without = {n: v for n, v in layer.state_dict().items() if n != "inplace._extra_state"}
    native = vq.GroupVectorQuant(D, K, groups=2, sync_nu=0.3, inplace_optimizer=OURS)
    native.load_state_dict({n: v.numpy() for n, v in without.items()}, strict=True)
