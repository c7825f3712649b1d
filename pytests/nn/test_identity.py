"""Parameters keep their identity; what would be ignored silently is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn, optim


def test_parameters_are_one_object_each() -> None:
    model = vq.models.SQVAE(vq.VectorQuant(64, 32))
    encoder = {id(p) for p in model.encoder.parameters()}
    rest = [name for name, p in model.named_parameters() if id(p) not in encoder]
    assert len(rest) == len(model.parameters()) - len(model.encoder.parameters())
    assert not set(model.encoder.parameters()) & set(model.decoder.parameters())
    assert model.quantizer.codebook is model.quantizer.codebook


def test_native_weights_are_assigned_not_replaced() -> None:
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    with pytest.raises(TypeError, match=r"weight belongs to the layer: write it by \.assign"):
        b.weight = a.weight
    b.weight.assign(a.weight)
    assert np.array_equal(b.state_dict()["weight"], a.state_dict()["weight"])


class Scaled(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 3)
        self.scale = vq.Tensor([2.0], requires_grad=True)
        self.register_buffer("calls", vq.Tensor(0.0))

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        self.calls = self.calls + 1
        return super().forward(x) * self.scale


def test_a_subclass_of_a_native_layer_keeps_its_own_tensors() -> None:
    layer = Scaled()
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias", "scale"]
    layer(np.ones((1, 3), np.float32))
    state = layer.state_dict()
    assert state["calls"] == 1
    other = Scaled()
    other.load_state_dict(state)
    assert all(np.array_equal(value, other.state_dict()[n]) for n, value in state.items())
    with pytest.raises(TypeError, match="scale is a parameter"):
        layer.scale = vq.Tensor([1.0])


def test_fused_modules_follow_their_children() -> None:
    x = np.ones((2, 3), np.float32)
    residual = nn.Residual(nn.Linear(3, 3))
    whole = nn.Sequential(residual, nn.ReLU())
    whole(x)
    residual.body = nn.Linear(3, 3)
    expected = np.maximum(x + residual.body(vq.Tensor(x)).numpy(), 0)
    assert np.array_equal(whole(x).numpy(), expected)
    residual.body.forward = lambda x: x
    assert np.array_equal(whole(x).numpy(), 2 * x)
    layer = nn.BatchNorm(3)
    layer.training = False
    assert np.allclose(layer(x).numpy(), x, atol=1e-4)
    with pytest.raises(TypeError, match="a Module is required"):
        nn.Sequential([nn.ReLU()])


def test_comparisons_give_tensors() -> None:
    t = vq.Tensor([1, 2, 3])
    assert (t == np.array([1, 0, 3])).tolist() == [True, False, True]
    assert (np.array([1, 2, 4]) == t).tolist() == [True, True, False]
    assert (t > 1).sum() == 2 and (t <= 2).sum() == 2
    assert 2 in t and 5 not in t
    assert [float(x) for x in t] == [1, 2, 3]
    with pytest.raises(TypeError):
        iter(vq.Tensor(3.0)).__next__()
    assert f"{vq.Tensor(0.5):.3f}" == "0.500"


def test_parameters_are_not_written_by_in_place_operators() -> None:
    w = vq.Tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match="a parameter is written by"):
        w -= 0.1
    x = vq.Tensor([1.0])
    x += 1
    assert x.item() == 2


def test_copies() -> None:
    t = pickle.loads(pickle.dumps(vq.Tensor([1.0, 2.0], requires_grad=True)))
    assert t.numpy().tolist() == [1, 2] and t.requires_grad
    generator = vq.Generator(3)
    generator.uniform((5,))
    twin = copy.deepcopy(generator)
    assert np.array_equal(twin.uniform((4,)).numpy(), generator.uniform((4,)).numpy())


def test_one_tensor_counts_as_a_list_of_one() -> None:
    p = vq.Tensor([3.0, 4.0], requires_grad=True)
    p.grad = vq.Tensor([30.0, 40.0])
    assert optim.clip_grad_norm(p, 1.0) == 50
    assert np.allclose(p.grad.numpy(), [0.6, 0.8])
    optim.SGD(p, lr=1.0).step()
    assert np.allclose(p.numpy(), [2.4, 3.2])


def test_an_optimizer_resumes_with_its_rates() -> None:
    def make() -> optim.SGD:
        return optim.SGD([{"params": nn.Linear(2, 2).parameters(), "lr": 0.5}], lr=0.1)

    first, second = make(), make()
    first.lr = 0.3
    second.load_state_dict(first.state_dict())
    assert second.lrs == [0.3]


def test_the_trainer_scales_each_groups_rate() -> None:
    model = vq.models.SQVAE(vq.VectorQuant(8, 16), width=8)
    groups = [
        {"params": model.encoder.parameters(), "lr": 0.5},
        {"params": model.decoder.parameters(), "lr": 0.001},
    ]
    images = np.random.default_rng(0).random((4, 32, 32, 3), dtype=np.float32)
    batches = vq.data.Batches(images, batch_size=4)
    trainer = vq.train.Trainer(
        model, optim.SGD(groups), batches, schedule=optim.constant_schedule()
    )
    trainer.fit(1, progress=False)
    assert trainer.optimizer.lrs == [0.5, 0.001]


def test_evaluation_leaves_frozen_parts_frozen() -> None:
    model = vq.models.SQVAE(vq.VectorQuant(8, 16), width=8)
    model.encoder.eval()
    vq.train.evaluate(model, np.zeros((2, 32, 32, 3), np.float32))
    assert model.training and not model.encoder.training and model.decoder.training


def test_an_interrupted_step_takes_its_batch_again() -> None:
    model = vq.models.SQVAE(vq.VectorQuant(8, 16), width=8)
    images = np.random.default_rng(0).random((8, 32, 32, 3), dtype=np.float32)
    batches = vq.data.Batches(images, batch_size=4)

    def interrupt(reconstruction: vq.Tensor, x: vq.Tensor) -> vq.Tensor:
        raise KeyboardInterrupt

    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = vq.train.Trainer(model, optimizer, batches, reconstruction_loss=interrupt)
    before = batches.state_dict()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(1, progress=False)
    assert batches.state_dict() == before
