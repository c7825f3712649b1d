"""VQGAN, MaskGIT, PatchGAN and LPIPS beside the same networks in torch, with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift.experiments.straightening._weights import Weights
from vqswift.experiments.straightening.generation import _sets, _table9
from vqswift.nn import functional as F

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")
from benchmarks._torch_maskgit import MaskGIT as TorchMaskGIT  # noqa: E402

nn = torch.nn


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.GroupNorm(groups, inputs, 1e-6), nn.SiLU()),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            *(nn.GroupNorm(groups, outputs, 1e-6), nn.SiLU()),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Any) -> Any:
        return (self.shortcut(x) if hasattr(self, "shortcut") else x) + self.body(x)


class PixelAttention(nn.Module):
    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, 1e-6)
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Any) -> Any:
        n, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).chunk(3, 1)  # each [n, c, h w]
        shares = (q.transpose(1, 2) @ k / c**0.5).softmax(-1)
        return x + self.out((v @ shares.transpose(1, 2)).reshape(n, c, h, w))


def torch_vqgan(width: int, multipliers: Sequence[int], features: int, groups: int) -> Any:
    """Two blocks a level, attention at the lowest map."""
    widths = [width * multiplier for multiplier in multipliers]
    lowest = [
        *(Residual(widths[-1], widths[-1], groups), PixelAttention(widths[-1], groups)),
        Residual(widths[-1], widths[-1], groups),
    ]
    down: list[Any] = [nn.Conv2d(3, width, 3, padding=1)]
    before = width
    for size in widths:
        down += [nn.AvgPool2d(2)] if len(down) > 1 else []
        down += [Residual(before, size, groups), Residual(size, size, groups)]
        before = size
    down += [*lowest, nn.GroupNorm(groups, before, 1e-6), nn.SiLU(), nn.Conv2d(before, features, 1)]
    up: list[Any] = [nn.Conv2d(features, before, 3, padding=1)]
    up += [
        *(Residual(widths[-1], widths[-1], groups), PixelAttention(widths[-1], groups)),
        Residual(widths[-1], widths[-1], groups),
    ]
    for place in range(len(widths) - 1, -1, -1):
        size = widths[place]
        up += [Residual(before, size, groups), Residual(size, size, groups)]
        if place:
            up += [nn.Upsample(scale_factor=2), nn.Conv2d(size, size, 3, padding=1)]
        before = size
    up += [nn.GroupNorm(groups, before, 1e-6), nn.SiLU(), nn.Conv2d(before, 3, 3, padding=1)]
    model = nn.Module()
    model.encoder, model.decoder = nn.Sequential(*down), nn.Sequential(*up)
    return model


def torch_discriminator(width: int, layers: int) -> Any:
    made: list[Any] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    inputs = width
    for place in range(1, layers + 1):
        outputs, stride = min(2**place, 8) * width, 1 if place == layers else 2
        made += [nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False)]
        made += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
        inputs = outputs
    model = nn.Module()
    model.layers = nn.Sequential(*made, nn.Conv2d(inputs, 1, 4, 1, 1))
    return model


def spread(model: vq.nn.Module, scale: float) -> None:
    """Weights at which every parameter shows."""
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.assign(parameter.numpy() + scale * rng.normal(size=parameter.shape))


def copied(own: vq.nn.Module, peer: Any) -> Any:
    """`peer` in Float64 with the weights of `own`, whose names it has."""
    state = own.state_dict()
    assert state.keys() == peer.state_dict().keys()
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return peer.double()


def same(found: np.ndarray, wanted: Any, tolerance: float, name: str = "") -> None:
    expected = wanted.detach().numpy()
    assert found.shape == expected.shape, name
    assert np.linalg.norm(found - expected) < tolerance * np.linalg.norm(expected), name


def same_gradients(own: vq.nn.Module, peer: Any, tolerance: float) -> None:
    theirs = {name: parameter.grad for name, parameter in peer.named_parameters()}
    for name, parameter in own.named_parameters():
        same(parameter.grad.numpy(), theirs[name], tolerance, name)


def images(n: int, side: int) -> tuple[np.ndarray, Any]:
    x = np.random.default_rng(1).random((n, side, side, 3), np.float32)
    return x, torch.from_numpy(x).double().permute(0, 3, 1, 2)


def test_vqgan_is_the_same_in_torch() -> None:
    vq.manual_seed(0)
    sizes: dict[str, Any] = {"width": 8, "multipliers": (1, 2, 2), "features": 6, "groups": 4}
    own = vq.models.VQGAN(None, **sizes, attention=True)
    spread(own, 0.05)
    peer = copied(own, torch_vqgan(**sizes))
    x, theirs = images(3, 16)
    reconstruction, info = own(x)
    z = peer.encoder(theirs)
    expected = peer.decoder(z)
    same(info.z.numpy(), z.permute(0, 2, 3, 1), 1e-5)
    same(reconstruction.numpy(), expected.permute(0, 2, 3, 1), 1e-5)
    F.mse_loss(reconstruction, x).backward()
    torch.nn.functional.mse_loss(expected, theirs).backward()
    same_gradients(own, peer, 1e-4)


@pytest.mark.parametrize("norm_first", [False, True])
def test_maskgit_is_the_same_in_torch(norm_first: bool) -> None:
    vq.manual_seed(0)
    own = vq.models.MaskGIT(
        11, 9, classes=3, width=12, depth=2, heads=2, hidden=24, dropout=0.0, norm_first=norm_first
    )
    spread(own, 0.3)
    peer = copied(own, TorchMaskGIT(11, 9, 3, 12, 2, 2, 24, norm_first))
    rng = np.random.default_rng(1)
    codes, labels = rng.integers(-1, 11, size=(4, 9)), np.array([0, 2, -1, 1])
    g = rng.normal(size=(4, 9, 11)).astype(np.float32)
    logits = own(codes, labels)
    expected = peer(torch.from_numpy(codes), torch.from_numpy(labels))
    same(logits.numpy(), expected, 1e-5)
    (logits * g).sum().backward()
    (expected * torch.from_numpy(g)).sum().backward()
    same_gradients(own, peer, 1e-4)


def test_masked_prediction_is_torchs_cross_entropy() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 10, 7)).astype(np.float32)
    codes = np.random.default_rng(1).integers(7, size=(3, 10))

    class Fixed(vq.nn.Module):
        def forward(self, visible: Any, labels: Any = None) -> vq.Tensor:
            self.hidden = visible < 0
            return vq.Tensor(logits)

    model = Fixed()
    found = vq.train.MaskedPrediction(0.1)(model, codes).loss.item()
    each = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).double().reshape(-1, 7),
        torch.from_numpy(codes).reshape(-1),
        label_smoothing=0.1,
        reduction="none",
    ).reshape(3, 10)
    wanted = np.mean([each[row][model.hidden[row]].mean().item() for row in range(3)])
    assert found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("layers", [1, 3])
def test_discriminator_is_the_same_in_torch(layers: int) -> None:
    vq.manual_seed(0)
    own = vq.models.PatchDiscriminator(width=4, layers=layers)
    spread(own, 0.1)
    peer = copied(own, torch_discriminator(4, layers))
    x, theirs = images(3, 32)
    real, fake = own(x), own(x[::-1] ** 2)
    flipped = theirs.flip(0) ** 2
    expected = peer.layers(theirs), peer.layers(flipped)
    for found, wanted in zip((real, fake), expected, strict=True):
        same(found.numpy(), wanted.permute(0, 2, 3, 1), 1e-5)
    loss = vq.train.hinge_discriminator_loss(real, fake)
    loss.backward()
    wanted = ((1 - expected[0]).relu().mean() + (1 + expected[1]).relu().mean()) / 2
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    same_gradients(own, peer, 1e-4)


def test_adversarial_loss_is_weighed_as_in_torch() -> None:
    """What reaches the autoencoder of both losses together."""
    vq.manual_seed(0)
    sizes: dict[str, Any] = {"width": 8, "multipliers": (1, 2), "features": 4, "groups": 4}
    own = vq.models.VQGAN(None, **sizes, attention=True)
    critic = vq.models.PatchDiscriminator(width=4, layers=1)
    spread(critic, 0.1)
    peer = copied(own, torch_vqgan(**sizes))
    judge = copied(critic, torch_discriminator(4, 1))
    x, theirs = images(2, 16)
    reconstruction, _ = own(x)
    error = F.mse_loss(reconstruction, x)
    adversarial = vq.train.AdversarialLoss(critic, weight=0.5)
    (error + adversarial.of_generator(reconstruction, error, own.last_layer, 0)).backward()
    made = peer.decoder(peer.encoder(theirs))
    rest = torch.nn.functional.mse_loss(made, theirs)
    fooled = -judge.layers(made).mean()
    last = peer.decoder[-1].weight
    norms = [
        torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (rest, fooled)
    ]
    weight = norms[0] / (norms[1] + 1e-4)
    (rest + 0.5 * weight.detach() * fooled).backward()
    same_gradients(own, peer, 2e-4)


def alexnet(lpips: Any, folder: Path) -> tuple[Path, Any]:
    """A file of weights of the published shapes, and LPIPS by them."""
    torch.manual_seed(0)
    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    names = {name: "features." + name.partition(".")[2] for name in reference.net.state_dict()}
    state = {names[name]: value * 1.5 for name, value in reference.net.state_dict().items()}
    torch.save(state, folder / "alexnet.pth")
    reference.net.load_state_dict({name: state[own] for name, own in names.items()})
    return folder / "alexnet.pth", reference


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_perceptual_loss_is_lpips(tmp_path: Path) -> None:
    """With weights of the published shapes; the heads are the published ones."""
    lpips = pytest.importorskip("lpips", reason="lpips is not installed: make test-peers")
    path, reference = alexnet(lpips, tmp_path)
    reference = reference.double()
    state = torch.load(path, weights_only=True)
    a, theirs = images(3, 48)
    b = np.clip(a + 0.2 * np.random.default_rng(2).normal(size=a.shape), 0, 1).astype(np.float32)
    x = vq.Tensor(a, requires_grad=True)
    own = vq.train.PerceptualLoss(path)
    loss = own(x, b)
    loss.backward()
    theirs.requires_grad_(True)
    expected = reference(
        theirs, torch.from_numpy(b).double().permute(0, 3, 1, 2), normalize=True
    ).mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    same(x.grad.numpy(), theirs.grad.permute(0, 2, 3, 1), 1e-4)
    assert loss.item() == pytest.approx(vq.metrics.lpips(a, b, weights=path), rel=1e-5)
    assert own(a, a).item() == 0
    assert all(parameter.grad is None for parameter in own.parameters())
    # Where all features are 0 torch's gradient is NaN.
    dark = vq.Tensor(np.zeros((1, 31, 31, 3), np.float32), requires_grad=True)
    for layer in own.stages:
        layer[-2].bias.assign(np.full(layer[-2].bias.shape, -10, np.float32))
    own(dark, b[:1, :31, :31]).backward()
    assert (dark.grad.numpy() == 0).all()
    del state["features.8.bias"]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"\[perceptual_loss\] .*alexnet.pth: features.8.bias is"):
        vq.train.PerceptualLoss(path)
    for bad, text in (
        ((a, b[:2]), "shapes [3, 48, 48, 3] and [2, 48, 48, 3]: [n, h, w, 3] twice is required"),
        ((a[:, :30], b[:, :30]), "sides of at least 31 are required"),
    ):
        with pytest.raises(ValueError) as caught:
            own(*bad)
        assert text in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"\[perceptual_loss\] weights = '.*none'"):
        vq.train.PerceptualLoss(tmp_path / "none")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_tokenizer_of_table_9_trained_by_lpips_too(tmp_path: Path) -> None:
    lpips = pytest.importorskip("lpips", reason="lpips is not installed: make test-peers")
    path, reference = alexnet(lpips, tmp_path)
    x, theirs = images(2, 32)
    settings = _table9.Table9Settings(
        perceptual=0.5, lpips=path, tokenizer_width=8, codes=16, batch_size=2
    )
    chosen = _table9.configuration("MaskGIT", 0, settings).tokenizer
    assert chosen.loss == "MSE + 0.5 LPIPS"
    pictures = np.uint8(255 * x)
    labels = np.zeros(2, np.int32)
    both = _sets.Images("cifar10", pictures, pictures, labels, labels, 10, "test", False)
    trainer = chosen.trainer(both, Weights(path))
    found = trainer.objective(trainer.model, x)
    with vq.no_grad():
        made = torch.from_numpy(trainer.model.eval()(x)[0].numpy()).permute(0, 3, 1, 2)
    distance = reference(made, theirs.detach().float(), normalize=True).mean().item()
    error = (made - theirs).square().mean().item()
    assert found.task_loss.item() == pytest.approx(error + 0.5 * distance, rel=1e-4)
    assert distance > 1e-3
