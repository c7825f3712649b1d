"""ResNet-50: state as torchvision's, images that fit, training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, optim
from vqswift.nn import functional as F


def batch_norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    vectors = "weight", "bias", "running_mean", "running_var"
    return {f"{name}.{vector}": (channels,) for vector in vectors} | {
        f"{name}.num_batches_tracked": ()
    }


def torchvision_shapes(classes: int, stem: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    shapes = {"conv1.weight": stem} | batch_norm("bn1", 64)
    inputs = 64
    for stage, blocks in enumerate([3, 4, 6, 3]):
        width = 64 * 2**stage
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, inputs, 1, 1)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            shapes[f"{name}.conv3.weight"] = (4 * width, width, 1, 1)
            for index, channels in enumerate([width, width, 4 * width]):
                shapes |= batch_norm(f"{name}.bn{index + 1}", channels)
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * width, inputs, 1, 1)
                shapes |= batch_norm(f"{name}.downsample.1", 4 * width)
            inputs = 4 * width
    return shapes | {"fc.weight": (classes, inputs), "fc.bias": (classes,)}


@pytest.mark.parametrize("small", [False, True])
def test_state_has_torchvisions_names_and_shapes(small: bool) -> None:
    model = vq.models.ResNet50(7, channels=4, small_images=small)
    stem = (64, 4, 3, 3) if small else (64, 4, 7, 7)
    found = {name: value.shape for name, value in model.state_dict().items()}
    assert found == torchvision_shapes(7, stem)


def test_imagenets_network_has_25557032_parameters() -> None:
    assert sum(p.numpy().size for p in vq.models.ResNet50().parameters()) == 25_557_032


@pytest.mark.parametrize(("small", "side"), [(False, 64), (False, 32), (True, 32)])
def test_logits_in_both_modes(small: bool, side: int) -> None:
    model = vq.models.ResNet50(5, small_images=small)
    x = vq.Generator(1).normal((2, side, side, 3))
    assert model(x).shape == (2, 5)
    assert model.eval()(x).shape == (2, 5)


def test_generator_decides_the_weights() -> None:
    one, same, other = (
        vq.models.ResNet50(2, generator=vq.Generator(s)).state_dict()["layer4.0.conv2.weight"]
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_loaded_state_gives_the_same_logits(tmp_path: Path) -> None:
    first, second = (vq.models.ResNet50(3, small_images=True) for _ in range(2))
    x = vq.Generator(1).normal((2, 16, 16, 3))
    first(x)  # moves running statistics
    vq.save(tmp_path / "model", first.state_dict())
    second.load_state_dict(vq.load(tmp_path / "model")[0])
    np.testing.assert_array_equal(first.eval()(x).numpy(), second.eval()(x).numpy())


def test_training_lowers_the_loss() -> None:
    model = vq.models.ResNet50(4, small_images=True, generator=vq.Generator(1))
    x = vq.Generator(2).normal((8, 8, 8, 3))
    labels = Tensor(np.arange(8, dtype=np.int32) % 4)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
