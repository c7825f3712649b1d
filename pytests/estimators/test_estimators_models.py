"""Models with quantized weights against plain models that hold the quantized values."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from test_estimators import boundary, rounded, spacing
from vqswift import Tensor, _core, estimators, nn, optim
from vqswift.estimators import WeightedLayer, quantize_model, quantized_layers, weighted_layers

EPSILON = 2.0**-23


class Branches(nn.Module):
    """Python's forward around native parts, one of them in two places."""

    def __init__(self) -> None:
        super().__init__()
        source = vq.Generator(2)
        self.head = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, generator=source),
            nn.BatchNorm(4),
            nn.ReLU(),
            nn.Residual(nn.Conv2d(4, 4, 1, generator=source)),
        )
        self.up = nn.ConvTranspose2d(4, 3, 2, 2, generator=source)
        self.again = self.up
        self.out = nn.Linear(3, 5, generator=source)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.up(self.head(x)).tanh()).mean((1, 2))


def chain() -> nn.Sequential:
    source = vq.Generator(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1, generator=source),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(6, 4, 3, 2, 1, generator=source),
        nn.Flatten(),
        nn.Linear(36, 5, generator=source),
    )


def sqvae_part(name: str) -> nn.Module:
    quantizer = vq.VectorQuant(8, 4, seed=0)
    return getattr(vq.models.SQVAE(quantizer, width=8, generator=vq.Generator(3)), name)


def resnet() -> nn.Module:
    return vq.models.ResNet50(4, small_images=True, generator=vq.Generator(4))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(5, 3, generator=vq.Generator(5)), (4, 5)),
    "conv": (lambda: nn.Conv2d(2, 3, 3, generator=vq.Generator(5)), (2, 5, 5, 2)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3, generator=vq.Generator(5)), (2, 4, 4, 2)),
    "chain": (chain, (2, 9, 9, 3)),
    "nested": (Branches, (2, 6, 6, 3)),
    "encoder": (lambda: sqvae_part("encoder"), (2, 8, 8, 3)),
    "decoder": (lambda: sqvae_part("decoder"), (2, 2, 2, 8)),
    "resnet": (resnet, (2, 8, 8, 3)),
    "net a": (lambda: vq.models.mnist_net_a(generator=vq.Generator(6)), (1, 28, 28, 1)),
}
COUNTS = {
    "linear": 1,
    "conv": 1,
    "transposed": 1,
    "chain": 3,
    "nested": 4,
    "encoder": 7,
    "decoder": 7,
    "resnet": 54,
    "net a": 4,
}


def images(*shape: int) -> Tensor:
    return vq.Generator(7).normal(shape)


def layer(model: nn.Module, name: str) -> WeightedLayer:
    return next(found for found in weighted_layers(model) if found.name == name)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_every_layer_computes_with_its_quantized_weight(name: str, training: bool) -> None:
    make, shape = MODELS[name]
    model, plain, x = make().train(training), make().train(training), images(*shape)
    latent = model.state_dict()
    before = model(x).numpy()
    plain(x)
    assert quantize_model(model, bits=2) is model
    assert len(quantized_layers(model)) == len(weighted_layers(model)) == COUNTS[name]
    for quantized, held in zip(weighted_layers(model), weighted_layers(plain), strict=True):
        bound = estimators.he_bound(quantized.weight.shape)
        exact = held.weight.numpy().astype(np.float64)
        held.weight.assign(rounded(exact, 2, bound).astype(np.float32))
        assert quantized.name == held.name
    after = model(x).numpy()
    assert np.array_equal(after, plain(x).numpy())
    assert not np.array_equal(after, before)
    own = [k for k in latent if not k.endswith(("running_mean", "running_var", "tracked"))]
    state = model.state_dict()
    assert list(state) == list(latent)
    assert all(np.array_equal(state[k], latent[k]) for k in own)


@pytest.mark.parametrize("name", MODELS)
def test_without_its_quantizers_a_model_is_what_it_was(name: str) -> None:
    make, shape = MODELS[name]
    model, x = make().eval(), images(*shape)
    before = model(x).numpy()
    quantize_model(model, bits=1)
    model(x)
    for quantized in quantized_layers(model):
        quantized.quantizer = None
    assert not quantized_layers(model)
    assert np.array_equal(model(x).numpy(), before)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_the_quantized_weight_times_h(name: str) -> None:
    make, shape = MODELS[name]
    model, plain, x = make(), make(), images(*shape)
    quantize_model(model, bits=3, estimator=estimators.cosine(0.5))
    for held in weighted_layers(plain):
        bound = estimators.he_bound(held.weight.shape)
        exact = held.weight.numpy().astype(np.float64)
        held.weight.assign(rounded(exact, 3, bound).astype(np.float32))
    for one in (model, plain):
        one(x).square().mean().backward()
    for quantized, held in zip(weighted_layers(model), weighted_layers(plain), strict=True):
        w, m = quantized.weight.numpy().astype(np.float64), estimators.he_bound(held.weight.shape)
        t = (w - boundary(w, 3, m)) / spacing(3, m)
        g = held.weight.grad.numpy()
        wanted = g * (1 + 0.5 * np.cos(2 * np.pi * t)) * (np.abs(w) <= m)
        found = quantized.weight.grad.numpy()
        assert (np.abs(found - wanted) <= 32 * EPSILON * np.abs(g)).all(), quantized.name


def test_layers_by_kind_and_name() -> None:
    def names(**options: object) -> list[str]:
        return [found.name for found in quantized_layers(quantize_model(Branches(), **options))]

    assert names() == ["head.0", "head.3.body", "up", "out"]
    assert names(layers="conv") == ["head.0", "head.3.body", "up"]
    assert names(layers="linear") == ["out"]
    assert names(skip=["head.0", "out"]) == ["head.3.body", "up"]
    assert names(skip="head.*") == ["up", "out"]
    assert names(skip=["*d*", "up"], layers="all") == ["out"]
    assert [found.name for found in weighted_layers(nn.Linear(2, 3))] == [""]


def test_the_layer_left_out_is_computed_as_it_is() -> None:
    model, plain, x = chain(), chain(), images(2, 9, 9, 3)
    quantize_model(model, bits=2, layers="conv", skip="0", estimator="ste")
    held = layer(plain, "3").weight
    bound = (6 / (4 * 9)) ** 0.5
    held.assign(rounded(held.numpy().astype(np.float64), 2, bound).astype(np.float32))
    assert np.array_equal(model(x).numpy(), plain(x).numpy())


def test_bounds() -> None:
    assert estimators.he_bound((8, 3, 5, 5)) == (6 / 75) ** 0.5
    assert estimators.he_bound([8, 6]) == 1
    model = quantize_model(chain(), bits=2)
    assert [q.quantizer.estimator.bound for q in quantized_layers(model)] == [
        pytest.approx((6 / fan_in) ** 0.5, rel=1e-15) for fan_in in (27, 36, 36)
    ]
    model = quantize_model(chain(), bits=2, bound=0.25)
    for quantized in quantized_layers(model):
        values = np.unique(quantized.quantizer(quantized.weight).numpy())
        assert np.isin(values, np.float32([-0.25, -1 / 12, 1 / 12, 0.25])).all()


def test_a_second_call_replaces_the_quantizers() -> None:
    model = quantize_model(chain(), bits=2)
    quantize_model(model, bits=5, layers="conv", estimator=estimators.cosine(0.25))
    assert [str(q.quantizer) for q in quantized_layers(model)] == [
        "WeightQuantizer(5, 0.471405, cosine(0.25))",
        "WeightQuantizer(5, 0.408248, cosine(0.25))",
        "WeightQuantizer(2, 0.408248, dsq)",
    ]


def test_a_refused_call_changes_nothing() -> None:
    model, x = chain(), images(2, 9, 9, 3)
    before = model(x).numpy()
    with pytest.raises(ValueError, match="bits = 2: must be 1"):
        quantize_model(model, bits=2, estimator="tanh")
    assert not quantized_layers(model) and np.array_equal(model(x).numpy(), before)


# State


def test_progress_is_in_the_state_and_changes_the_gradient() -> None:
    model = quantize_model(chain(), bits=1, estimator="ede")
    names = [f"{n}.weight_quantizer.progress" for n in ("0", "3", "5")]
    assert list(model.state_dict()) == [*chain().state_dict(), *names]
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in chain().named_parameters()]

    def slope(model: nn.Module) -> np.ndarray:
        model.zero_grad()
        model(images(2, 9, 9, 3)).sum().backward()
        return layer(model, "0").weight.grad.numpy()

    early = slope(model)
    for quantized in quantized_layers(model):
        quantized.quantizer.set_progress(0.75)
    late = slope(model)
    w = layer(model, "0").weight.numpy().astype(np.float64)

    def h(progress: float) -> np.ndarray:
        t = 10 ** (2 * progress - 1)
        return max(1, t) / np.cosh(t * w) ** 2

    wanted = early * h(0.75) / h(0)
    assert np.abs(late - wanted).max() <= 64 * EPSILON * np.abs(wanted).max()
    other = quantize_model(chain(), bits=1, estimator="ede")
    state = model.state_dict()
    assert [state[n].item() for n in names] == [0.75] * 3
    other.load_state_dict(state)
    assert np.array_equal(slope(other), late)


def test_saved_latent_weights_go_on(tmp_path: object) -> None:
    model, other = quantize_model(chain()), quantize_model(chain())
    x = images(2, 9, 9, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model(x).square().mean().backward()
    optimizer.step()
    vq.save(f"{tmp_path}/model.safetensors", model.state_dict())
    other.load_state_dict(vq.load(f"{tmp_path}/model.safetensors")[0])
    assert np.array_equal(model(x).numpy(), other(x).numpy())


def test_a_learned_quantizer_is_replaced_with_its_parameter() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    owned = layer(model, "0")
    for bits in (2, 4):
        owned.quantizer = estimators.LSQ(bits)
        model(images(5, 4))
        state, named = model.state_dict(), dict(model.named_parameters())
        step = owned.quantizer.step.numpy()
        assert np.array_equal(state["0.weight_quantizer.step"], step)
        assert np.array_equal(named["0.weight_quantizer.step"].numpy(), step)
    owned.quantizer = None
    assert sorted(model.state_dict()) == ["0.bias", "0.weight"]


def test_the_layers_quantizer_is_the_object_that_was_set() -> None:
    model = chain()
    quantizer = estimators.WeightQuantizer(2, 0.5)
    layer(model, "3").quantizer = quantizer
    assert layer(model, "3").quantizer is quantizer
    assert [found.name for found in quantized_layers(model)] == ["3"]


@pytest.mark.parametrize("given", ["itself", "a layer", "an estimator"])
def test_what_is_no_weight_quantizer_is_refused(given: str) -> None:
    """A layer that is its own quantizer would call itself without end."""
    model = chain()
    found = {"itself": model[0], "a layer": nn.ReLU(), "an estimator": estimators.dsq()}[given]
    with pytest.raises(TypeError, match=r"\[quantizer\] 0: a \w+: a WeightQuantizer, LSQ, "):
        layer(model, "0").quantizer = found
    model(images(2, 9, 9, 3))
    assert not quantized_layers(model)


def test_models_leave_no_handles(no_leak: None) -> None:
    model = quantize_model(chain())
    model(images(2, 9, 9, 3)).sum().backward()
    layer(model, "0").quantizer = None


# A network in Float64


def convolved(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x [n, h, w, c], w [o, c, k, k] -> [n, h', w', o]."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (1, 2))
    return np.einsum("nhwckl,ockl->nhwo", windows, w)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gradients_of_a_network_equal_float64s(bits: int) -> None:
    source = vq.Generator(8)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, generator=source), nn.Tanh(), nn.Conv2d(4, 3, 2, generator=source)
    )
    quantize_model(model, bits=bits)
    x, c = images(3, 5, 5, 2), vq.Generator(9).normal((3, 2, 2, 3))
    (model(x) * c).sum().backward()

    first, second = (found.weight.numpy().astype(np.float64) for found in weighted_layers(model))
    biases = [model[i].bias.numpy().astype(np.float64) for i in (0, 2)]
    x64, c64 = x.numpy().astype(np.float64), c.numpy().astype(np.float64)
    bounds = [(6 / 18) ** 0.5, (6 / 16) ** 0.5]
    q1, q2 = rounded(first, bits, bounds[0]), rounded(second, bits, bounds[1])
    hidden = np.tanh(convolved(x64, q1) + biases[0])
    windows = np.lib.stride_tricks.sliding_window_view
    to_second = np.einsum("nhwckl,nhwo->ockl", windows(hidden, (2, 2), (1, 2)), c64)
    to_hidden = np.zeros_like(hidden)
    for k in range(2):
        for j in range(2):
            to_hidden[:, k : k + 2, j : j + 2] += np.einsum("nhwo,oc->nhwc", c64, q2[:, :, k, j])
    to_hidden *= 1 - hidden**2
    to_first = np.einsum("nhwckl,nhwo->ockl", windows(x64, (3, 3), (1, 2)), to_hidden)
    sharpness = {1: 2.0, 2: 5.5, 4: 18.0}[bits]
    for index, (w, m, g) in enumerate(
        [(first, bounds[0], to_first), (second, bounds[1], to_second)]
    ):
        e = sharpness / (2**bits - 1)
        h = e / np.tanh(e) / np.cosh(sharpness * (w - boundary(w, bits, m)) / m) ** 2
        wanted = g * h * (np.abs(w) <= m)
        found = model[2 * index].weight.grad.numpy()
        # Sums of some 50 products of numbers below 4, in float32.
        assert np.abs(found - wanted).max() <= 64 * EPSILON * np.abs(g).max() * h.max()


def test_learned_steps_of_a_model_train() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    quantize_model(model, bits=3, estimator="lsq", skip="2")
    optimizer = vq.optim.SGD(model.parameters(), lr=0.05)
    x = vq.Generator(0).normal((16, 6))
    losses, steps = [], []
    for _ in range(20):
        loss = (model(x) - 1.0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        steps.append(float(model.state_dict()["0.weight_quantizer.step"]))
    assert losses[-1] < losses[0] / 2
    assert len(set(steps)) == 20
    with pytest.raises(ValueError, match=r"bound 0.3: lsq learns its own"):
        quantize_model(model, estimator="lsq", bound=0.3)


def test_a_quantizer_takes_one_call_of_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def call(name: str, function: Callable[..., Any], *given: Any) -> Any:
        called.append(name)
        return function(*given)

    for name in dir(_core):
        if re.match(r"estimator_|weight_quantizer_|module_set_weight_quantizer", name):
            monkeypatch.setattr(_core, name, partial(call, name, getattr(_core, name)))
    quantize_model(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), bits=2)
    assert called == ["weight_quantizer_create"] * 2


def test_a_layer_that_is_refused_leaves_those_before_it_as_they_were() -> None:
    model = quantize_model(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), bits=4, estimator="ste")
    first, second = weighted_layers(model)
    before = first.quantizer, second.quantizer
    second.weight.assign(np.full((2, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="finite|NaN|nan"):
        quantize_model(model, bits=2, range="max")
    assert (first.quantizer, second.quantizer) == before
    given = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    quantized = first.quantizer.estimator.quantize(first.weight.numpy())
    found = list(model.children())[0](given).numpy() - first._owner.bias.numpy()
    np.testing.assert_allclose(found, given @ quantized.T, atol=1e-6)
