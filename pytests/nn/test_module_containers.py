"""Layers and parameters in lists, tuples and dicts are children, as in mlx; torch's containers."""

from __future__ import annotations

from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, estimators, nn, optim

Pair = namedtuple("Pair", ["first", "second"])


def linear() -> nn.Linear:
    return nn.Linear(2, 2)


HELD: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "list": (lambda: [linear(), linear()], ["0", "1"]),
    "tuple": (lambda: (linear(), linear()), ["0", "1"]),
    "dict": (lambda: {"a": linear(), "b": linear()}, ["a", "b"]),
    "numbered dict": (lambda: {3: linear()}, ["3"]),
    "ordered dict": (lambda: OrderedDict(b=linear(), a=linear()), ["b", "a"]),
    "named tuple": (lambda: Pair(linear(), linear()), ["0", "1"]),
    "list of lists": (lambda: [[linear()], [linear(), linear()]], ["0.0", "1.0", "1.1"]),
    "dict of lists": (lambda: {"a": [linear()], "b": (linear(),)}, ["a.0", "b.0"]),
    "list of dicts": (lambda: [{"a": {"b": linear()}}], ["0.a.b"]),
    "mixed": (lambda: [1, None, "x", linear(), np.ones(2)], ["3"]),
    "module list": (lambda: nn.ModuleList([linear(), linear()]), ["0", "1"]),
    "module dict": (lambda: nn.ModuleDict({"a": linear()}), ["a"]),
    "lists of module lists": (lambda: [nn.ModuleList([linear()])], ["0.0"]),
}


def holding(value: Any, name: str = "layers") -> nn.Module:
    model = nn.Module()
    setattr(model, name, value)
    return model


@pytest.mark.parametrize(("make", "paths"), HELD.values(), ids=HELD)
def test_layers_in_containers_are_children(make: Callable[[], Any], paths: list[str]) -> None:
    model = holding(make())
    names = [f"layers.{path}.{part}" for path in paths for part in ("weight", "bias")]
    assert [name for name, _ in model.named_parameters()] == names
    assert {*model.state_dict()} == {*names}
    assert len({id(p) for p in model.parameters()}) == len(names)
    assert sum(isinstance(m, nn.Linear) for m in model.modules()) == len(paths)
    model.eval()
    assert not any(m.training for m in model.modules())
    model.train()
    assert all(m.training for m in model.modules())


@pytest.mark.parametrize(("make", "paths"), HELD.values(), ids=HELD)
def test_states_of_containers_load_and_train(make: Callable[[], Any], paths: list[str]) -> None:
    first, second = holding(make()), holding(make())
    second.load_state_dict(first.state_dict())
    for name, value in second.state_dict().items():
        assert np.array_equal(value, first.state_dict()[name])
    with pytest.raises(ValueError, match="missing"):
        second.load_state_dict({})
    layers = [m for m in first.modules() if isinstance(m, nn.Linear)]
    x = Tensor(np.ones((1, 2)))
    for layer in layers:
        x = layer(x)
    x.sum().backward()
    optim.SGD(first.parameters(), lr=0.1).step()
    for name, value in first.state_dict().items():
        assert not np.array_equal(value, second.state_dict()[name]), name
    first.zero_grad()
    assert all(p.grad is None for p in first.parameters())
    assert "(layers." in repr(first) or "ModuleList" in repr(first) or "ModuleDict" in repr(first)


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.blocks: list[nn.Module] = []
        for _ in range(3):
            self.blocks.append(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(0.5)))
        self.heads = {"a": nn.Linear(4, 2), "b": nn.Linear(4, 2)}
        self.scales = [Tensor(np.ones(4), requires_grad=True)]
        self.quantizers = (vq.VectorQuant(4, 8), vq.VectorQuant(4, 8, ema_decay=0.9))

    def forward(self, x: Any) -> Any:
        x = self.stem(x) * self.scales[0]
        for block in self.blocks:
            x = block(x)
        for quantizer in self.quantizers:
            x, _ = quantizer(x)
        return self.heads["a"](x.mean((1, 2)))


def test_what_comes_later_counts_too() -> None:
    model = Deep()
    names = [name for name, _ in model.named_parameters()]
    assert names[:4] == ["scales.0", "stem.weight", "stem.bias", "blocks.0.0.weight"]
    assert "blocks.2.0.bias" in names and "heads.b.weight" in names
    assert "quantizers.0.codebook" in names and "quantizers.1.codebook" not in names
    assert "quantizers.1.ema_counts" in model.state_dict()
    assert {"blocks.0.1.generator", "blocks.2.1.generator"} <= {*model.rng_state_dict()}
    model.blocks[0] = nn.Conv2d(4, 5, 1)
    model.blocks.append(linear())
    del model.heads["b"]
    names = [name for name, _ in model.named_parameters()]
    assert "blocks.0.weight" in names and "blocks.3.bias" in names
    assert not any(name.startswith("heads.b") for name in names)
    model.blocks = model.blocks[1:2]
    assert "blocks.0.0.weight" in dict(model.named_parameters())
    del model.blocks
    model.heads = None
    assert not any(n.startswith(("blocks", "heads")) for n, _ in model.named_parameters())


def test_models_with_containers_are_quantized_frozen_and_resumed() -> None:
    first, second = Deep(), Deep()
    estimators.quantize_model(first, bits=2)
    layers = [layer.name for layer in estimators.quantized_layers(first)]
    assert layers == ["stem", *(f"blocks.{i}.0" for i in range(3)), "heads.a", "heads.b"]
    optimizer = optim.SGD(first.parameters(), lr=0.1)
    assert [c.layer for c in estimators.to_ste(first, optimizer)] == layers
    with vq.no_quantization(first):
        x = np.ones((1, 6, 6, 1), np.float32)
        assert not any(vq._core.quantizer_is_quantizing(q._handle) for q in first.quantizers)
        first(x)
    estimators.quantize_model(second, bits=2)
    second.load_state_dict(first.state_dict())
    first(x)
    first.load_rng_state_dict(second.rng_state_dict() | first.rng_state_dict())


def test_parameters_stand_in_containers_and_are_saved() -> None:
    model = holding({"w": [Tensor([1.0], requires_grad=True), Tensor([2.0])], "n": 3}, "parts")
    assert [n for n, _ in model.named_parameters()] == ["parts.w.0"]
    model.load_state_dict({"parts.w.0": [5.0]})
    assert model.parts["w"][0].item() == 5
    layer = nn.Linear(1, 1)
    layer.more = [Tensor([7.0], requires_grad=True)]
    state = layer.state_dict()
    assert {*state} == {"weight", "bias", "more.0"}
    layer.load_state_dict(state | {"more.0": [8.0]})
    assert layer.more[0].item() == 8


def test_a_layer_under_two_names_counts_once() -> None:
    layer = linear()
    model = holding([layer, layer])
    model.same = layer
    assert len(model.parameters()) == 2
    assert len(model.state_dict()) == 6


@pytest.mark.parametrize("make", [lambda m: {m}, lambda m: deque([m]), lambda m: frozenset([m])])
def test_other_containers_of_layers_are_refused(make: Callable[[Any], Any]) -> None:
    model = nn.Module()
    with pytest.raises(TypeError, match="layers is a .* that holds layers: a list, tuple or dict"):
        model.layers = make(linear())
    with pytest.raises(TypeError, match="mappingproxy that holds layers"):
        model.layers = MappingProxyType({"a": linear()})
    model.numbers = make(3)
    model.text = "abc"


def test_keys_that_are_no_names_are_refused() -> None:
    model = holding({"a.b": linear()})
    with pytest.raises(ValueError, match=r"layers\['a.b'\]: a key is part of a dotted name"):
        model.parameters()
    model.layers = {"1": linear(), 1: linear()}
    with pytest.raises(ValueError, match="layers has the keys '1' and 1: one name"):
        model.state_dict()
    model.layers = {"rate.first": 0.1, "": None, "a": linear()}
    assert len(model.parameters()) == 2


def test_a_list_that_holds_itself_is_walked_once() -> None:
    layers: list[Any] = [linear()]
    layers.append(layers)
    assert len(holding(layers).parameters()) == 2


def test_lists_before_the_base_is_set_up_count() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            self.layers: list[nn.Module] = []
            super().__init__()
            self.layers.append(linear())

    assert len(Early().parameters()) == 2


def test_module_lists_are_lists() -> None:
    layers = nn.ModuleList([linear(), linear()])
    third = linear()
    assert layers.append(third) is layers and len(layers) == 3 and layers[-1] is third
    layers += [linear()]
    layers.insert(0, nn.ReLU())
    assert [type(m).__name__ for m in layers] == ["ReLU"] + ["Linear"] * 4
    assert isinstance(layers[1:3], nn.ModuleList) and len(layers[1:3]) == 2
    assert layers.pop(0).__class__ is nn.ReLU and third in layers
    layers[0] = nn.Conv2d(1, 1, 1)
    assert "0.weight" in dict(layers.named_parameters())
    assert layers[0].weight.ndim == 4
    del layers[1:]
    assert [n for n, _ in layers.named_parameters()] == ["0.weight", "0.bias"]
    for wrong in (lambda: layers.append(3), lambda: nn.ModuleList([None])):
        with pytest.raises(TypeError, match="Modules are required|a Module is required"):
            wrong()
    with pytest.raises(IndexError):
        layers[5]
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        layers(3)


def test_module_dicts_are_dicts() -> None:
    layers = nn.ModuleDict({"a": linear()})
    layers["b"] = nn.ReLU()
    layers.update({"c": linear()})
    assert [*layers] == [*layers.keys()] == ["a", "b", "c"] and len(layers) == 3
    assert [type(m).__name__ for m in layers.values()] == ["Linear", "ReLU", "Linear"]
    assert dict(layers.items())["a"] is layers["a"] and "b" in layers and "z" not in layers
    assert layers.pop("b").__class__ is nn.ReLU
    del layers["c"]
    assert [n for n, _ in layers.named_parameters()] == ["a.weight", "a.bias"]
    layers.clear()
    assert not layers.parameters()
    for key, error in (("a.b", ValueError), ("", ValueError), (3, TypeError)):
        with pytest.raises(error, match="module_dict"):
            layers[key] = linear()
    with pytest.raises(TypeError, match="is no layer"):
        layers["a"] = 3


def test_a_parameter_is_a_tensor_that_is_trained() -> None:
    model = nn.Module()
    model.scale = nn.Parameter(np.ones(3))
    assert isinstance(model.scale, Tensor) and model.scale.requires_grad and model.scale.is_leaf
    assert [n for n, _ in model.named_parameters()] == ["scale"]
    model.scale = nn.Parameter(Tensor([2.0]))
    assert model.state_dict()["scale"] == [2]
    with pytest.raises(ValueError, match=r"register_buffer\(name, tensor\) keeps a tensor"):
        nn.Parameter([1.0], requires_grad=False)


def test_a_sequential_grows_and_shrinks_after_its_first_call() -> None:
    layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    x = np.ones((1, 4), np.float32)
    layers(x)
    layers.head = nn.Linear(4, 2)
    assert layers(x).shape == (1, 2)


def test_a_layers_parameter_under_a_second_name_comes_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 3)
            self.out = self.embedding.weight

    model = Tied()
    assert len(model.parameters()) == 1
    optim.SGD(model.parameters(), lr=0.1)
