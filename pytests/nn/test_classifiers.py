"""AlexNet, ResNet-18 and ViT with quantizers: sizes, shapes, training, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift.nn import functional as F

# By network: parameters with 1000 classes, as torchvision and (of the transformer) timm count them.
COUNTS = {
    "AlexNet": 61_100_840,
    "ResNet18": 11_689_512,
    "VisionTransformer": 5_717_416,
}
SMALL: dict[str, tuple[Callable[..., Any], int, tuple[int, ...]]] = {
    "alexnet": (
        lambda quantizer: vq.models.AlexNet(
            quantizer, classes=10, width=4, hidden=16, image_size=32, dropout=0.0
        ),
        16,
        (2, 4, 4),
    ),
    "resnet18": (
        lambda quantizer: vq.models.ResNet18(quantizer, classes=10, width=8, small_images=True),
        16,
        (2, 16, 16),
    ),
    "vit": (
        lambda quantizer: vq.models.VisionTransformer(
            quantizer, classes=10, image_size=32, patch_size=8, width=16, depth=2, heads=2,
            hidden=32, quantized_after=1,
        ),
        16,
        (2, 17),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_parameters(name: str) -> None:
    model = getattr(vq.models, name)()
    assert sum(int(np.prod(p.shape)) for p in model.parameters()) == COUNTS[name]


@pytest.mark.parametrize("name", SMALL)
def test_trains_with_a_quantizer(name: str) -> None:
    make, width, places = SMALL[name]
    vq.manual_seed(0)
    model = make(vq.VectorQuant(width, 32, kmeans_init=True))
    rng = np.random.default_rng(0)
    x, labels = rng.random((2, 32, 32, 3), np.float32), np.array([3, 8])
    optimizer = vq.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(30):
        logits, info = model(x)
        assert logits.shape == (2, 10) and info.q.shape == places
        error = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        (error + 0.1 * info.loss).backward()
        optimizer.step()
        losses.append(error.item())
    assert min(losses[-5:]) < 0.9 * losses[0]
    model.eval()
    assert model.encode(x).shape == places


@pytest.mark.parametrize("name", SMALL)
def test_without_a_quantizer(name: str) -> None:
    make, _, _ = SMALL[name]
    model = make(None)
    logits, info = model(np.zeros((2, 32, 32, 3), np.float32))
    assert logits.shape == (2, 10)
    assert (info.loss.item(), info.perplexity, info.active_codes) == (0, 0, 0)
    assert (info.q.numpy() == -1).all()
    with pytest.raises(ValueError, match="the network has no quantizer"):
        model.encode(np.zeros((2, 32, 32, 3), np.float32))


def test_torchvisions_names_are_checked() -> None:
    model = SMALL["resnet18"][0](vq.VectorQuant(16, 4))
    state = model.torchvision_state()
    assert "layer2.0.downsample.0.weight" in state and "quantizer.codebook" not in state
    with pytest.raises(ValueError, match=r"unexpected \['fc.scale'\]"):
        model.load_torchvision_state(state | {"fc.scale": np.zeros(1)})
    del state["fc.bias"]
    with pytest.raises(ValueError, match=r"missing \['fc.bias'\]"):
        model.load_torchvision_state(state)


@pytest.mark.parametrize("size", [28, 32, 64, 128])
def test_sqvae_of_every_size(size: int) -> None:
    model = vq.models.SQVAE(vq.VectorQuant(8, 4), image_size=size, width=8)
    x = np.random.default_rng(0).random((2, size, size, 3), np.float32)
    reconstruction, info = model(x)
    assert reconstruction.shape == x.shape and info.q.shape == (2, size // 4, size // 4)
    blocks = {name.split(".")[1] for name in model.state_dict() if name.startswith("decoder")}
    assert len(blocks) == {28: 5, 32: 7, 64: 10, 128: 10}[size]


@pytest.mark.parametrize("kind", ["I", "II", "III", "IV"])
def test_sqvae_of_every_kind(kind: str) -> None:
    """The paper's own quantizer trains in its network."""
    vq.manual_seed(0)
    quantizer = vq.SQVAEQuant(8, 16, kind=kind, initial_variance=10.0)
    assert quantizer.state_dict()["log_variance"] == pytest.approx(np.log(10))
    model = vq.models.SQVAE(quantizer, width=8, start="sqvae")
    names = [name for name in model.state_dict() if ".variance." in name]
    assert bool(names) == (kind != "I")
    x = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    optimizer = vq.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        reconstruction, info = model(x)
        loss = vq.SQVAEQuant.reconstruction_loss(x, reconstruction) + info.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    # The code of the largest p is the nearest one for all but kind IV, whose channels have
    # weights of their own.
    model.eval()
    codes = model.encode(x)
    assert model.decode(codes).shape == x.shape
    np.testing.assert_array_equal(codes.numpy(), model(x)[1].q.numpy())


def test_sqvae_starts_as_published() -> None:
    vq.manual_seed(1)
    model = vq.models.SQVAE(vq.VectorQuant(64, 4), start="sqvae")
    for name, parameter in model.named_parameters():
        values = parameter.numpy()
        if name.endswith("bias"):
            assert not values.any(), name
        elif values.ndim == 4:
            assert values.std() == pytest.approx(0.02, rel=0.1) and abs(values.mean()) < 2e-3
        elif name != "quantizer.codebook":
            assert values.mean() == pytest.approx(1, abs=0.02) and 0.01 < values.std() < 0.03
    with pytest.raises(ValueError, match="start = 'other'"):
        vq.models.SQVAE(None, start="other")


def test_sqvae_without_a_quantizer() -> None:
    model = vq.models.SQVAE(None, width=8)
    reconstruction, info = model(np.zeros((1, 8, 8, 3), np.float32))
    assert reconstruction.shape == (1, 8, 8, 3) and info.loss.item() == 0
    with pytest.raises(ValueError, match=r"\[sqvae.encode\] the network has no quantizer"):
        model.encode(np.zeros((1, 8, 8, 3), np.float32))
