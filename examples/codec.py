# python examples/codec.py
"""A codec of sound: dilated convolutions with weight norm around a residual quantizer (SEANet)."""

import sys

import numpy as np
import vqswift as vq
from vqswift import nn

STRIDES = (2, 4)


class ResidualUnit(nn.Module):
    """x and two convolutions of it, the first dilated."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.weight_norm(
            nn.Conv1d(width, width // 2, 3, padding=dilation, dilation=dilation)
        )
        self.second = nn.weight_norm(nn.Conv1d(width // 2, width, 1))

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        hidden = self.first(nn.functional.elu(x))
        return x + self.second(nn.functional.elu(hidden))


class Encoder(nn.Module):
    """Sound [n, t, 1] to vectors [n, t / 8, features]."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.begin = nn.weight_norm(nn.Conv1d(1, width, 7, padding=3))
        self.units, self.downs = nn.ModuleList(), nn.ModuleList()
        for stride in STRIDES:
            self.units.extend(ResidualUnit(width, dilation) for dilation in (1, 3))
            down = nn.Conv1d(width, 2 * width, 2 * stride, stride, padding=stride // 2)
            self.downs.append(nn.weight_norm(down))
            width *= 2
        self.end = nn.weight_norm(nn.Conv1d(width, features, 7, padding=3))

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        x = self.begin(x)
        for place, down in enumerate(self.downs):
            for unit in self.units[2 * place : 2 * place + 2]:
                x = unit(x)
            x = down(nn.functional.elu(x))
        return self.end(nn.functional.elu(x))


class Decoder(nn.Module):
    """The way back."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        width *= 2 ** len(STRIDES)
        self.begin = nn.weight_norm(nn.Conv1d(features, width, 7, padding=3))
        self.units, self.ups = nn.ModuleList(), nn.ModuleList()
        for stride in reversed(STRIDES):
            up = nn.ConvTranspose1d(width, width // 2, 2 * stride, stride, padding=stride // 2)
            self.ups.append(nn.weight_norm(up))
            width //= 2
            self.units.extend(ResidualUnit(width, dilation) for dilation in (1, 3))
        self.end = nn.weight_norm(nn.Conv1d(width, 1, 7, padding=3))

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        x = self.begin(x)
        for place, up in enumerate(self.ups):
            x = up(nn.functional.elu(x))
            for unit in self.units[2 * place : 2 * place + 2]:
                x = unit(x)
        return self.end(nn.functional.elu(x))


class Codec(nn.Module):
    """Sound, its codes [n, t / 8, stages], and the sound that they stand for."""

    def __init__(
        self, width: int = 16, features: int = 32, codes: int = 64, stages: int = 4
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(width, features), Decoder(width, features)
        self.quantizer = vq.ResidualVectorQuant(features, codes, stages=stages)

    def forward(self, x: vq.Tensor) -> tuple[vq.Tensor, vq.QuantizerInfo]:
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info


def sounds(count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Tones of a few overtones that fade, [count, length, 1]."""
    pitch = rng.uniform(0.01, 0.05, (count, 1)) * np.arange(length)
    fading = np.exp(-rng.uniform(1e-3, 4e-3, (count, 1)) * np.arange(length))
    strengths = rng.uniform(0, 1, (4, count, 1))
    tone = sum(s * np.sin(2 * np.pi * k * pitch) for k, s in enumerate(strengths, 1))
    return (0.4 * fading * tone)[..., None].astype(np.float32)


def loss_of(model: Codec, x: np.ndarray) -> vq.Tensor:
    """The squared error of the sound, and the quantizer's own loss."""
    y, info = model(vq.Tensor(x))
    return nn.functional.mse_loss(y, x) + 0.1 * info.loss


def main(steps: int) -> None:
    vq.manual_seed(0)
    rng = np.random.default_rng(0)
    model = Codec()
    optimizer = vq.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(1, steps + 1):
        loss = loss_of(model, sounds(8, 1024, rng))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 1 or step % max(steps // 4, 1) == 0:
            print(f"step {step}: loss {loss.item():.4f}")
    model.eval()
    test = sounds(4, 2048, rng)
    codes = model.quantizer.encode(model.encoder(vq.Tensor(test)))
    decoded = model.decoder(model.quantizer.decode(codes)).numpy()
    lost = np.square(decoded - test).mean() / test.var()
    print(f"codes {codes.shape}: 3 bits a sample, {100 * lost:.1f}% of the variance is lost")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
