# python examples/code_gru.py
"""A GRU over codes: it continues digits row by row, each row of pixels one code."""

import sys

import numpy as np
import vqswift as vq
from sklearn.datasets import load_digits
from vqswift import nn

CODES, LENGTH = 32, 8


class CodeGRU(nn.Module):
    """Codes [n, t], the first a class, to scores [n, t, CODES] of the code behind each."""

    def __init__(self, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CODES + 10, width)
        self.gru = nn.GRU(width, width, depth, batch_first=True)
        self.head = nn.Linear(width, CODES)

    def forward(self, codes: np.ndarray | vq.Tensor) -> vq.Tensor:
        states, _ = self.gru(self.embedding(codes))
        return self.head(states)

    def continued(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Codes [n, LENGTH] drawn one at a time behind classes [n, 1], from the state so far."""
        drawn, state = [], None
        for _ in range(LENGTH):
            states, state = self.gru(self.embedding(codes), state)
            shares = self.head(states[:, -1]).softmax(-1).numpy().astype(np.float64)
            codes = np.array([[rng.choice(CODES, p=row / row.sum())] for row in shares], np.int32)
            drawn.append(codes)
        return np.concatenate(drawn, 1)


def loss_of(model: CodeGRU, sequences: np.ndarray) -> vq.Tensor:
    """Of predicting each code of [n, LENGTH + 1] from those before it."""
    scores = model(sequences[:, :-1])
    return nn.functional.cross_entropy(scores.reshape(-1, CODES), sequences[:, 1:].reshape(-1))


def digits_as_codes() -> tuple[np.ndarray, np.ndarray]:
    """Class and codes of the rows of each digit, [1797, 9], and the centroids [CODES, 8]."""
    digits = load_digits()
    rows = (digits.images.reshape(-1, 8) / 16).astype(np.float32)
    centroids = vq.kmeans(rows, CODES, seed=0).centroids
    codes = vq.nearest_codes(rows, centroids).reshape(-1, LENGTH)
    classes = CODES + digits.target[:, None]
    return np.concatenate([classes, codes], 1).astype(np.int32), centroids


def main(steps: int) -> None:
    sequences, centroids = digits_as_codes()
    rng = np.random.default_rng(0)
    vq.manual_seed(0)
    model = CodeGRU()
    optimizer = vq.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(1, steps + 1):
        loss = loss_of(model, sequences[rng.integers(1500, size=64)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 1 or step % max(steps // 4, 1) == 0:
            print(f"step {step}: {loss.item() / np.log(2):.2f} bits a code")
    model.eval()
    with vq.no_grad():
        bits = loss_of(model, sequences[1500:]).item() / np.log(2)
        print(f"other digits: {bits:.2f} bits a code")
        made = model.continued(np.array([[CODES + 3], [CODES + 8]], np.int32), rng)
    print("A 3 and an 8 that it made:")
    for row in np.concatenate(list(centroids[made]), 1):
        print("".join(" .:oO#"[min(int(6 * max(value, 0)), 5)] * 2 for value in row))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
