"""Copies of layers, by `copy` and `pickle`: equal in state, and alike in all that follows."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import estimators, nn, optim


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


class Own(nn.Module):
    """A layer under two names, a parameter of its own, layers in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.again = self.first
        self.scale = vq.Tensor(np.full(8, 0.5), requires_grad=True)
        self.register_buffer("shift", vq.Tensor(np.ones(8)))
        self.layers = [nn.Tanh(), nn.Dropout(0.25)]

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        x = self.again(self.first(x)) * self.scale + self.shift
        for layer in self.layers:
            x = layer(x)
        return x


class Noisy(nn.Module):
    """Draws from a generator of its own, and what attention drops."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, 0.5, batch_first=True)
        self.noise = vq.Generator(5)

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        x = (x + self.noise.normal(x.shape)).reshape(1, *x.shape)
        return self.attention(x, x, x)[0]


MODELS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(8, 3),
    "network": lambda: nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.3), nn.LayerNorm(4)),
    "own": Own,
    "noisy": Noisy,
    "codebook": lambda: vq.VectorQuant(8, 16, affine_lr=0.1, replace_freq=2, temperature=0.5),
    "in place": lambda: vq.VectorQuant(
        8, 16, inplace_optimizer=partial(optim.SGD, lr=0.1, momentum=0.9), inner_steps=2
    ),
    "in place by factors": lambda: vq.VectorQuant(
        8, 16, inplace_optimizer=partial(optim.Adafactor, lr=0.1)
    ),
    "in place by directions": lambda: vq.VectorQuant(
        8, 16, inplace_optimizer=partial(optim.Muon, lr=0.1), inner_steps=2
    ),
    "group": lambda: vq.GroupVectorQuant(8, 16, groups=2, ema_decay=0.9),
    "residual": lambda: vq.ResidualVectorQuant(
        8, 16, stages=3, quantizer_dropout=0.5, kmeans_init=True
    ),
    "sampled": lambda: vq.GumbelQuant(8, 16),
    "recipe": lambda: vq.recipes.get("alternating").build(8, 16),
    "signs": lambda: vq.LFQ(8),
    "weights": lambda: estimators.quantize_model(network(), bits=2),
    "weights by channel": lambda: estimators.quantize_model(
        network(), bits=3, estimator="cosine", range="mse", per_channel=True
    ),
    "learned steps": lambda: estimators.quantize_model(network(), bits=3, estimator="lsq"),
    "annealed": lambda: estimators.quantize_model(network(), bits=1, estimator="ede"),
}


def pickled(model: nn.Module) -> Any:
    return pickle.loads(pickle.dumps(model))


def trained(model: nn.Module, steps: int = 3) -> np.ndarray:
    """The output of the last of so many steps."""
    x = vq.Tensor(vq.Generator(2).normal((16, 8)).numpy(), requires_grad=True)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2) if model.parameters() else None
    for _ in range(steps):
        out: Any = model(x)
        y, loss = (out[0], out[1].loss) if isinstance(out, tuple) else (out, 0)
        ((y * y).mean() + loss).backward()
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()
    return y.numpy()


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for one, other in (
        (a.state_dict(), b.state_dict()),
        (a.rng_state_dict(), b.rng_state_dict()),
    ):
        assert one.keys() == other.keys()
        for name, value in one.items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_goes_on_as_its_original(
    name: str, copied: Callable[[nn.Module], nn.Module], no_leak: None
) -> None:
    model = MODELS[name]()
    trained(model)
    twin = copied(model)
    assert_same(model, twin)
    assert repr(twin) == repr(model) and twin.training == model.training
    before = twin.state_dict()
    np.testing.assert_array_equal(trained(twin), trained(model))
    assert_same(model, twin)
    if model.parameters():
        assert any((twin.state_dict()[key] != value).any() for key, value in before.items())


def test_a_copy_keeps_what_is_shared_and_how_it_stands() -> None:
    twin = copy.deepcopy(Own().eval())
    assert twin.first is twin.again and not twin.layers[1].training
    assert len(twin.parameters()) == 3
    quantizer = copy.deepcopy(vq.VectorQuant(8, 4, dim=1).freeze())
    assert quantizer.frozen and quantizer.dim == 1
    assert repr(quantizer) == "VectorQuant(8, 4, dim=1)"


def test_a_model_that_is_copied_before_its_first_batch_starts_alike() -> None:
    vq.manual_seed(4)
    model = vq.models.SQVAE(vq.VectorQuant(16, 32, kmeans_init=True), width=16)
    twin = copy.deepcopy(model)
    x = vq.Generator(3).uniform((2, 16, 16, 3))
    np.testing.assert_array_equal(model(x)[0].numpy(), twin(x)[0].numpy())
    assert_same(model, twin)


def test_an_optimizer_is_not_copied() -> None:
    with pytest.raises(TypeError, match="build another and load the state_dict"):
        copy.deepcopy(optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1))


def in_place(**options: Any) -> vq.VectorQuant:
    step = partial(optim.AdamW, lr=0.25, weight_decay=0.0)
    return vq.VectorQuant(8, 16, sync_nu=1.0, inplace_optimizer=step, **options)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
@pytest.mark.parametrize(
    "make",
    [
        in_place,
        lambda: vq.GroupVectorQuant(
            8, 16, groups=2, sync_nu=1.0, inplace_optimizer=partial(optim.SGD, lr=0.1)
        ),
        lambda: vq.recipes.get("synchronized").build(8, 16),
    ],
    ids=["plain", "group", "synchronized"],
)
def test_a_gradient_that_waits_for_the_optimizer_is_copied(
    make: Callable[[], vq.VectorQuant], copied: Callable[[nn.Module], nn.Module]
) -> None:
    layer = make()
    trained(layer, 2)
    waiting = {n: v for n, v in layer.state_dict().items() if n.endswith("codebook_gradient")}
    assert waiting and all(value.any() for value in waiting.values())
    twin = copied(layer)
    assert_same(layer, twin)
    np.testing.assert_array_equal(trained(twin), trained(layer))
    assert_same(layer, twin)


def test_a_copy_has_the_rates_and_decays_that_were_written() -> None:
    layer = in_place()
    assert layer.inplace_optimizer is not None
    layer.inplace_optimizer.weight_decay = 0.1
    layer.inplace_optimizer.lr = 0.125
    layer.inplace_optimizer.scale_lr(0.5)
    twin = copy.deepcopy(layer)
    assert twin.inplace_optimizer is not None
    assert twin.inplace_optimizer.lr == 0.0625 and twin.inplace_optimizer.base_lrs == (0.125,)
    assert twin.inplace_optimizer.weight_decay == 0.1
    np.testing.assert_array_equal(trained(twin), trained(layer))
    twin.inplace_optimizer.scale_lr(1)
    assert twin.inplace_optimizer.lr == 0.125


def test_a_copy_that_is_made_without_quantization_quantizes() -> None:
    layer = vq.VectorQuant(8, 4, seed=1)
    with vq.no_quantization(layer):
        twin = copy.deepcopy(layer)
    z = vq.Generator(1).normal((5, 8))
    np.testing.assert_array_equal(twin(z)[0].numpy(), layer(z)[0].numpy())


class Holder(nn.Module):
    """A module with another's parameter among its own."""

    def __init__(self, parameter: vq.Tensor) -> None:
        super().__init__()
        self.weight = parameter


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
@pytest.mark.parametrize("order", [0, 1])
def test_a_parameter_of_two_modules_stays_one(copied: Callable[[Any], Any], order: int) -> None:
    embedding = nn.Embedding(5, 3)
    both = [embedding, Holder(embedding.weight)]
    model = copied(nn.ModuleList(both[::-1] if order else both))
    assert len(model.parameters()) == 1
    holder, embedding = model[1 - order], model[order]
    holder.weight.assign(np.ones((5, 3)))
    np.testing.assert_array_equal(embedding([2]).numpy(), np.ones((1, 3)))


def test_a_state_has_one_value_for_a_tensor_of_two_names() -> None:
    embedding = nn.Embedding(5, 3)
    model = nn.ModuleList([embedding, Holder(embedding.weight)])
    state = model.state_dict()
    state["1.weight"] = state["1.weight"] + 1
    before = embedding.weight.numpy()
    with pytest.raises(ValueError, match=r"0\.weight and 1\.weight are one tensor, and differ"):
        model.load_state_dict(state)
    np.testing.assert_array_equal(embedding.weight.numpy(), before)


@pytest.mark.parametrize("range", ["auto", "he", "max", "mse"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_weights_that_were_not_trained_keep_their_grid(range: str, copied: Any) -> None:
    vq.manual_seed(3)
    made = nn.Sequential(nn.Linear(64, 4))
    estimators.quantize_model(made, bits=4, estimator="ste", range=range)
    x = np.ones((1, 64), np.float32)
    again = copied(copied(made))
    np.testing.assert_array_equal(again(x).numpy(), made(x).numpy())
    assert list(again.state_dict()) == list(made.state_dict())
    assert again.fingerprint() == made.fingerprint()
