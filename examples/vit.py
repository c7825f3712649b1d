# python examples/vit.py
"""A vision transformer: digits as patches, attention among them, a class."""

import sys

import numpy as np
import vqswift as vq
from sklearn.datasets import load_digits
from vqswift import nn


class VisionTransformer(nn.Module):
    """Images [n, 8, 8, 1] as 16 patches and a token that gathers them; scores of ten classes."""

    def __init__(self, width: int = 64, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, stride=2)
        self.token = nn.Parameter(np.zeros((1, 1, width), np.float32))
        self.positions = nn.Parameter(vq.Generator(1).normal((1, 17, width), std=0.02))
        block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, depth, nn.LayerNorm(width))
        self.head = nn.Linear(width, 10)

    def forward(self, images: vq.Tensor) -> vq.Tensor:
        x = self.patches(images).flatten(1, 2)
        token = self.token.broadcast_to((len(images), 1, x.shape[-1]))
        x = vq.concatenate([token, x], axis=1) + self.positions
        return self.head(self.blocks(x)[:, 0])


def loss_of(model: VisionTransformer, images: np.ndarray, labels: np.ndarray) -> vq.Tensor:
    return nn.functional.cross_entropy(model(vq.Tensor(images)), labels)


def main(steps: int) -> None:
    digits = load_digits()
    images = (digits.images[..., None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int32)
    training, test = slice(0, 1500), slice(1500, None)
    vq.manual_seed(0)
    model = VisionTransformer()
    optimizer = vq.optim.AdamW(model.parameters(), lr=1e-3)
    batches = vq.data.Batches(images[training], labels[training], batch_size=64, seed=0)
    step = 0
    while step < steps:
        for x, y in batches:
            loss = loss_of(model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step == 1 or step % max(steps // 4, 1) == 0:
                print(f"step {step}: loss {loss.item():.3f}")
            if step == steps:
                break
    model.eval()
    with vq.no_grad():
        found = model(vq.Tensor(images[test])).argmax(-1).numpy()
    print(f"accuracy on {len(found)} other digits: {(found == labels[test]).mean():.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
