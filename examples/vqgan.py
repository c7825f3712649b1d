# python examples/vqgan.py
"""Encoder and decoder of a VQGAN: residual blocks with group norm, attention at the lowest map."""

import sys

import numpy as np
import vqswift as vq
from sklearn.datasets import load_digits
from vqswift import nn

GROUPS = 8


class ResidualBlock(nn.Module):
    """x and two convolutions of it, each behind a group norm and a SiLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, inputs), nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, outputs), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        hidden = self.conv1(nn.functional.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(nn.functional.silu(self.norm2(hidden)))


class Attention(nn.Module):
    """x and what its pixels gather from each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(1, 2).chunk(3, -1)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.reshape(*x.shape))


class VQGAN(nn.Module):
    """Images [n, h, w, 1], codes [n, h / 4, w / 4], and the images that they stand for."""

    def __init__(self, width: int = 16, features: int = 16, codes: int = 128) -> None:
        super().__init__()
        wide = 2 * width
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, width, 3, 1, 1), ResidualBlock(width, width), nn.AvgPool2d(2)),
            *(ResidualBlock(width, wide), nn.AvgPool2d(2)),
            *(ResidualBlock(wide, wide), Attention(wide), ResidualBlock(wide, wide)),
            *(nn.GroupNorm(GROUPS, wide), nn.SiLU(), nn.Conv2d(wide, features, 1)),
        )
        self.quantizer = vq.VectorQuant(features, codes)
        self.decoder = nn.Sequential(
            *(nn.Conv2d(features, wide, 3, 1, 1), ResidualBlock(wide, wide), Attention(wide)),
            *(ResidualBlock(wide, wide), nn.Upsample(2), nn.Conv2d(wide, width, 3, 1, 1)),
            *(ResidualBlock(width, width), nn.Upsample(2), nn.Conv2d(width, width, 3, 1, 1)),
            *(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, 1, 3, 1, 1)),
        )

    def forward(self, images: vq.Tensor) -> tuple[vq.Tensor, vq.QuantizerInfo]:
        z_q, info = self.quantizer(self.encoder(images))
        return self.decoder(z_q), info


def loss_of(model: VQGAN, images: np.ndarray) -> vq.Tensor:
    """The squared error of the images, and the quantizer's own loss."""
    decoded, info = model(vq.Tensor(images))
    return nn.functional.mse_loss(decoded, images) + 0.1 * info.loss


def digits() -> np.ndarray:
    """Digits, each pixel twice as wide and high: [1797, 16, 16, 1]."""
    images = load_digits().images.repeat(2, 1).repeat(2, 2)
    return (images[..., None] / 16).astype(np.float32)


def main(steps: int) -> None:
    images, rng = digits(), np.random.default_rng(0)
    vq.manual_seed(0)
    model = VQGAN()
    optimizer = vq.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(1, steps + 1):
        loss = loss_of(model, images[rng.integers(1500, size=32)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 1 or step % max(steps // 4, 1) == 0:
            print(f"step {step}: loss {loss.item():.4f}")
    model.eval()
    with vq.no_grad():
        test = images[1500:]
        codes = model.quantizer.encode(model.encoder(vq.Tensor(test)))
        decoded = model.decoder(model.quantizer.decode(codes)).numpy()
    lost = np.square(decoded - test).mean() / test.var()
    used = len(np.unique(codes.numpy()))
    print(f"codes {codes.shape}, {used} in use: {100 * lost:.1f}% of the variance is lost")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
