"""ResNet-50 against the same network in PyTorch in Float64, with weights copied by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor
from vqswift.nn import functional as F

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")
layers = torch.nn

EPSILON = 2.0**-23
# Each of 53 convolutions, 3x3 of 512 channels at most, rounds a sum by about EPSILON sqrt(terms)
# of its size, and the errors of all of them add up.
OUTPUT_ERROR = 53 * EPSILON * math.sqrt(9 * 512)
# The way back has as many products again. A unit nearer to zero than its error may also fall on
# the other side of ReLU and change its gradient by all of it: that is one unit in 1 / error for
# each of 49 ReLUs, and the length of the change is the root of the share.
GRADIENT_ERROR = {"open": 2 * OUTPUT_ERROR, "cutting": math.sqrt(49 * OUTPUT_ERROR)}


class Block(layers.Module):  # type: ignore[misc, name-defined]
    """1x1, 3x3 with the stride, 1x1, around a sum."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = layers.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = layers.BatchNorm2d(width)
        self.conv2 = layers.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = layers.BatchNorm2d(width)
        self.conv3 = layers.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = layers.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = layers.Sequential(
                layers.Conv2d(inputs, outputs, 1, stride, bias=False), layers.BatchNorm2d(outputs)
            )

    def forward(self, x: Any) -> Any:
        kept = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return (self.bn3(self.conv3(x)) + kept).relu()


class Peer(layers.Module):  # type: ignore[misc, name-defined]
    """The network, images [n, h, w, c]."""

    def __init__(self, classes: int, small_images: bool) -> None:
        super().__init__()
        kernel, stride = (3, 1) if small_images else (7, 2)
        self.conv1 = layers.Conv2d(3, 64, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = layers.BatchNorm2d(64)
        self.pool = layers.Identity() if small_images else layers.MaxPool2d(3, 2, padding=1)
        self.layer1 = self.stage(3, 64, 64, 1)
        self.layer2 = self.stage(4, 256, 128, 2)
        self.layer3 = self.stage(6, 512, 256, 2)
        self.layer4 = self.stage(3, 1024, 512, 2)
        self.fc = layers.Linear(2048, classes)

    @staticmethod
    def stage(blocks: int, inputs: int, width: int, stride: int) -> Any:
        rest = [Block(4 * width, width, 1) for _ in range(blocks - 1)]
        return layers.Sequential(Block(inputs, width, stride), *rest)

    def forward(self, x: Any) -> Any:
        x = self.pool(self.bn1(self.conv1(x.permute(0, 3, 1, 2))).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


def distance(found: np.ndarray, expected: Any, unit: Any = None) -> float:
    """The error's length in units of the longer of the expected array and `unit`."""
    arrays = [a.detach().numpy() for a in (expected, unit) if a is not None]
    return float(np.linalg.norm(found - arrays[0]) / max(map(np.linalg.norm, arrays)))


def trained_state(
    model: vq.models.ResNet50, relu: str, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The model's state with norms that are not those of the start.

    Open ReLUs let everything pass in training: the norms' bias is six of their deviations or more.
    """
    state = model.state_dict()
    shift = 6.0 if relu == "open" else 0.0
    for name, value in state.items():
        if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            state[name] = rng.uniform(0.5, 1.0, value.shape).astype(np.float32)
        elif name.endswith("running_mean"):
            state[name] = rng.normal(0, 0.1, value.shape).astype(np.float32)
        elif name.endswith("bias"):
            state[name] = rng.normal(shift, 0.1, value.shape).astype(np.float32)
    return state


@pytest.mark.parametrize(
    ("training", "relu"),
    [(True, "open"), (True, "cutting"), (False, "cutting")],
    ids=["train, open", "train", "eval"],
)
@pytest.mark.parametrize(("small", "side"), [(False, 75), (True, 20)])
def test_logits_gradients_and_statistics_equal_torch(
    small: bool, side: int, training: bool, relu: str, rng: np.random.Generator
) -> None:
    mine = vq.models.ResNet50(10, small_images=small, generator=vq.Generator(3)).train(training)
    theirs = Peer(10, small).double().train(training)
    state = trained_state(mine, relu, rng)
    mine.load_state_dict(state)
    theirs.load_state_dict({n: torch.tensor(v) for n, v in state.items()}, strict=True)
    x = rng.normal(size=(4, side, side, 3)).astype(np.float32)
    labels = rng.integers(0, 10, 4)

    images = Tensor(x, requires_grad=True)
    logits = mine(images)
    F.cross_entropy(logits, Tensor(labels.astype(np.int32))).backward()
    peer_images = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    peer_logits = theirs(peer_images)
    layers.functional.cross_entropy(peer_logits, torch.tensor(labels)).backward()

    assert distance(logits.numpy(), peer_logits) <= OUTPUT_ERROR
    assert images.grad is not None
    assert distance(images.grad.numpy(), peer_images.grad) <= GRADIENT_ERROR[relu]
    own = dict(mine.named_parameters())
    assert own.keys() == dict(theirs.named_parameters()).keys()
    peer_gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, expected in peer_gradients.items():
        gradient = own[name].grad
        assert gradient is not None, name
        # A bias that the next norm takes away has the gradient 0.
        weight = peer_gradients[name.removesuffix("bias").removesuffix("weight") + "weight"]
        assert distance(gradient.numpy(), expected, weight) <= GRADIENT_ERROR[relu], name
    after = mine.state_dict()
    for name, buffer in theirs.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert after[name] == buffer.item() == training, name
        else:
            assert distance(after[name], buffer) <= OUTPUT_ERROR, name
