"""What is frozen requires no gradient and stands still."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn, optim

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU())
        self.scale = vq.Tensor(np.ones(4), requires_grad=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Any) -> vq.Tensor:
        return self.head(self.body(x) * self.scale)


def step(model: nn.Module, optimizer: optim.Optimizer) -> None:
    out: Any = model(X)
    y, loss = (out[0], out[1].loss) if isinstance(out, tuple) else (out, 0.0)
    optimizer.zero_grad()
    (y.square().mean() + loss).backward()
    optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda p: optim.AdamW(p, lr=0.1),
    ],
)
def test_a_part_that_is_frozen_stands_still(make: Any) -> None:
    model = Network()
    optimizer = make(model.parameters())
    step(model, optimizer)
    (model(X) ** 2).sum().backward()
    assert model.body.freeze() is model.body
    assert all(p.grad is None and not p.requires_grad for p in model.body.parameters())
    before = model.state_dict()
    optimizer.step()
    for _ in range(2):
        step(model, optimizer)
    after = model.state_dict()
    for name, value in before.items():
        assert np.array_equal(after[name], value) == name.startswith("body"), name
    assert model.body(X).requires_grad is False
    model.body.unfreeze()
    step(model, optimizer)
    for name, value in model.state_dict().items():
        assert not np.array_equal(after[name], value), name


def test_gradients_pass_through_what_is_frozen() -> None:
    model = Network().freeze()
    x = vq.Tensor(X, requires_grad=True)
    model(x).sum().backward()
    assert x.grad is not None and np.abs(x.grad.numpy()).sum() > 0
    assert all(p.grad is None for p in model.parameters())
    assert len(model.parameters()) == 7
    with pytest.raises(RuntimeError, match="does not depend on any"):
        model(X).sum().backward()


def test_every_parameter_of_own_modules_and_native_ones() -> None:
    for model in (Network(), vq.models.ResNet50(2, small_images=True), nn.GRU(4, 3)):
        assert not any(p.requires_grad for p in model.freeze().parameters())
        assert all(p.requires_grad for p in model.unfreeze().parameters())


@pytest.mark.parametrize(
    "make",
    [
        lambda: vq.VectorQuant(4, 8, seed=0),
        lambda: vq.VectorQuant(4, 8, code_size=2, seed=0),
        lambda: vq.VectorQuant(4, 8, seed=0, ema_decay=0.5),
        lambda: vq.SQVAEQuant(4, 8, seed=0),
    ],
)
def test_a_model_freezes_its_quantizers(make: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 4), make())
    optimizer = optim.AdamW(model.parameters(), lr=0.1)
    step(model, optimizer)
    model.freeze()
    moving = ("generator", "temperature")
    before = {n: v for n, v in model.state_dict().items() if not n.endswith(moving)}
    model(X)
    optimizer.step()
    for name, value in before.items():
        np.testing.assert_array_equal(model.state_dict()[name], value, err_msg=name)
    assert model[1].frozen
    assert not model.unfreeze()[1].frozen
    step(model, optimizer)


def test_copies_are_frozen_too() -> None:
    model = Network()
    model.body.freeze()
    model.scale.requires_grad = False
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        fixed = [n for n, p in other.named_parameters() if not p.requires_grad]
        assert fixed == ["scale", *(f"body.{n}" for n, _ in model.body.named_parameters())]
        other.unfreeze()
        step(other, optim.SGD(other.parameters(), lr=0.1))
    assert not model.scale.requires_grad


def test_a_frozen_parameter_stays_one() -> None:
    model = Network()
    model.scale.requires_grad = False
    assert model.scale.is_leaf and "scale" in dict(model.named_parameters())
    model.load_state_dict(model.state_dict())
    with pytest.raises(TypeError, match="is a parameter"):
        model.scale = vq.Tensor(np.ones(4))
    with pytest.raises(TypeError, match="in place"):
        model.scale += 1.0


def test_a_tape_from_before_still_reaches_it() -> None:
    w = vq.Tensor([2.0], requires_grad=True)
    y = w * 3
    w.requires_grad = False
    y.backward()
    assert w.grad is not None and w.grad.item() == 3
    assert not (w * 3).requires_grad


def test_only_leaves_are_frozen() -> None:
    w = vq.Tensor([2.0], requires_grad=True)
    for tensor in (vq.Tensor([1.0]), w * 2):
        with pytest.raises(RuntimeError, match=r"\[requires_grad\] only a tensor made with"):
            tensor.requires_grad = False
