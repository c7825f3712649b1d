# python examples/code_transformer.py
"""A small GPT over codes: causal attention with rotary positions continues digits code by code."""

import sys

import numpy as np
import vqswift as vq
from sklearn.datasets import load_digits
from vqswift import nn

CODES, LENGTH = 32, 16


class Block(nn.Module):
    """Causal attention and two layers, each behind an RMS norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.rope = nn.RoPE(width // heads)

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        n, t, width = x.shape
        parts = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, -1).permute((2, 0, 3, 1, 4))
        q, k, v = (parts[i] for i in range(3))
        y = nn.functional.scaled_dot_product_attention(
            self.rope(q), self.rope(k), v, is_causal=True
        )
        x = x + self.out(y.permute((0, 2, 1, 3)).reshape(n, t, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class CodeTransformer(nn.Module):
    """Codes [n, t], the first a class, to scores [n, t, CODES] of the code behind each."""

    def __init__(self, width: int = 64, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CODES + 10, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, CODES, bias=False)

    def forward(self, codes: np.ndarray | vq.Tensor) -> vq.Tensor:
        x = self.embedding(codes)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def loss_of(model: CodeTransformer, sequences: np.ndarray) -> vq.Tensor:
    """Of predicting each code of [n, LENGTH + 1] from those before it."""
    scores = model(sequences[:, :-1])
    return nn.functional.cross_entropy(scores.reshape(-1, CODES), sequences[:, 1:].reshape(-1))


def digits_as_codes() -> tuple[np.ndarray, np.ndarray]:
    """Class and codes of 2x2 patches of each digit, [1797, 17], and the centroids [CODES, 4]."""
    digits = load_digits()
    patches = digits.images.reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 4)
    patches = patches.astype(np.float32) / 16
    centroids = vq.kmeans(patches, CODES, seed=0).centroids
    codes = vq.nearest_codes(patches, centroids).reshape(-1, LENGTH)
    classes = CODES + digits.target[:, None]
    return np.concatenate([classes, codes], 1).astype(np.int32), centroids


def main(steps: int) -> None:
    sequences, centroids = digits_as_codes()
    rng = np.random.default_rng(0)
    vq.manual_seed(0)
    model = CodeTransformer()
    optimizer = vq.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95))
    for step in range(1, steps + 1):
        loss = loss_of(model, sequences[rng.integers(1500, size=64)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 1 or step % max(steps // 4, 1) == 0:
            print(f"step {step}: {loss.item() / np.log(2):.2f} bits a code")
    model.eval()
    with vq.no_grad():
        print(
            f"other digits: {loss_of(model, sequences[1500:]).item() / np.log(2):.2f} bits a code"
        )
        made = np.array([[CODES + 3], [CODES + 8]], np.int32)
        for _ in range(LENGTH):
            shares = model(made)[:, -1].softmax(-1).numpy().astype(np.float64)
            drawn = [rng.choice(CODES, p=row / row.sum()) for row in shares]
            made = np.concatenate([made, np.array(drawn, np.int32)[:, None]], 1)
    images = (
        centroids[made[:, 1:]].reshape(-1, 4, 4, 2, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 8, 8)
    )
    print("A 3 and an 8 that it made:")
    for row in np.concatenate(list(images), 1):
        print("".join(" .:oO#"[min(int(6 * max(value, 0)), 5)] * 2 for value in row))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
