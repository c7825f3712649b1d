"""States that no layer and no optimizer can come to are refused before anything is written."""

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq


class Network(vq.nn.Module):
    def __init__(self, layer: vq.nn.Module) -> None:
        super().__init__()
        self.first = vq.nn.Linear(4, 4, generator=vq.Generator(1))
        self.layer = layer


def quantized_linear() -> vq.nn.Module:
    layer = vq.nn.Linear(4, 4, generator=vq.Generator(1))
    vq.estimators.quantize_model(layer, bits=2, range="max")
    return layer


IMPOSSIBLE: list[tuple[Callable[[], vq.nn.Module], str, float, str]] = [
    (lambda: vq.nn.BatchNorm(4), "running_var", -1, "at least 0"),
    (lambda: vq.nn.BatchNorm(4), "num_batches_tracked", -1, "at least 0"),
    (lambda: vq.VectorQuant(4, 8, norm="bn"), "norm.running_var", -1, "at least 0"),
    (lambda: vq.VectorQuant(4, 8), "initialized", 2, "0 or 1"),
    (lambda: vq.VectorQuant(4, 8), "unused_steps", -1, "at least 0"),
    (lambda: vq.VectorQuant(4, 8), "inner_phase", -1, "at least 0"),
    (lambda: vq.VectorQuant(4, 8, kmeans_freq=3), "kmeans_phase", -1, "at least 0"),
    (lambda: vq.VectorQuant(4, 8, ema_decay=0.9), "ema_counts", -1, "at least 0"),
    (lambda: vq.VectorQuant(4, 8, temperature=0.5), "temperature", -1, "at least 0"),
    (lambda: vq.GumbelQuant(4, 8), "temperature", 0, "at least 1e-06"),
    (lambda: vq.SQVAEQuant(4, 8), "temperature", 0, "at least 1e-06"),
    (lambda: vq.estimators.LSQ(2), "initialized", -1, "0 or 1"),
]


@pytest.mark.parametrize(
    ("make", "name", "value", "rule"), IMPOSSIBLE, ids=[name for _, name, _, _ in IMPOSSIBLE]
)
def test_an_impossible_state_changes_nothing(
    make: Callable[[], vq.nn.Module], name: str, value: float, rule: str
) -> None:
    model = Network(make())
    before = model.state_dict()
    state = {key: np.copy(array) for key, array in before.items()}
    state["first.weight"] += 1
    state[f"layer.{name}"].reshape(-1)[-1] = value
    with pytest.raises(ValueError, match=f"{name.split('.')[-1]} = .*{rule}"):
        model.load_state_dict(state)
    after = model.state_dict()
    assert all(np.array_equal(after[key], array) for key, array in before.items())


def test_a_bound_that_is_not_positive_is_refused() -> None:
    model = quantized_linear()
    state = model.state_dict()
    (name,) = [name for name in state if name.endswith("bound")]
    with pytest.raises(ValueError, match="bound = .*above 0"):
        model.load_state_dict({**state, name: np.zeros_like(state[name])})


@pytest.mark.parametrize("options", [{"ema_decay": 0.9, "replace_freq": 3}, {"kmeans_freq": 4}])
def test_counters_at_the_end_of_int32_stay_there(options: dict[str, float]) -> None:
    layer = vq.VectorQuant(2, 4, **options)
    x = vq.Generator(0).normal((50, 2))
    layer(x)
    state = layer.state_dict()
    counters = [name for name in state if name.endswith(("_steps", "_phase"))]
    for name in counters:
        state[name] = np.full_like(state[name], 2**31 - 1)
    layer.load_state_dict(state)
    layer(x)
    assert all((layer.state_dict()[name] >= 0).all() for name in counters)


def test_steps_of_norm_layers_and_optimizers_stay_at_the_end_of_int32() -> None:
    layer = vq.nn.BatchNorm(2)
    layer.load_state_dict({**layer.state_dict(), "num_batches_tracked": np.int32(2**31 - 1)})
    optimizer = vq.optim.Adam(layer.parameters())

    def step() -> None:
        layer(vq.Generator(0).normal((8, 2))).square().sum().backward()
        optimizer.step()

    step()
    optimizer.load_state_dict({**optimizer.state_dict(), "0.step": np.int32(2**31 - 1)})
    step()
    assert layer.state_dict()["num_batches_tracked"] == 2**31 - 1
    assert optimizer.state_dict()["0.step"] == 2**31 - 1


def test_an_optimizer_goes_on_with_its_weight_decay() -> None:
    parameters = vq.nn.Linear(2, 2, generator=vq.Generator(1)).parameters()
    optimizer = vq.optim.Adam(
        [{"params": parameters[:1], "weight_decay": 0.25}, {"params": parameters[1:]}]
    )
    optimizer.weight_decay = 0.5
    optimizer.param_groups[1]["weight_decay"] = 0.125
    other = vq.optim.Adam([{"params": parameters[:1]}, {"params": parameters[1:]}])
    other.load_state_dict(optimizer.state_dict())
    assert [group["weight_decay"] for group in other.param_groups] == [0.5, 0.125]
