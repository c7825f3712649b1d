"""The task of the recipes' contest: images, initial weights, batches and what is measured.

Both halves take everything from here, as NumPy arrays, so that they train the same network from the
same weights on the same batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from vqswift import data
from vqswift.train import perplexity

CODES, WIDTH = 256, 32
BATCH, ITERATIONS, RATE = 128, 600, 3e-4
ALPHA = 10.0  # weight of the commitment loss where a setting has none of its own
TRAINING, TEST, HOLDOUT = 8_000, 2_000, 1_000

# 3x3 convolutions by name: channels in and out.
CONVOLUTIONS = {
    "narrow_in": (3, WIDTH // 2),
    "wide_in": (WIDTH // 2, WIDTH),
    "wide_out": (WIDTH, WIDTH // 2),
    "narrow_out": (WIDTH // 2, 3),
}


@dataclass(frozen=True)
class Task:
    """Training and evaluation images, `[n, 32, 32, 3]` uint8, and the seed of everything."""

    training: np.ndarray
    evaluated: np.ndarray
    seed: int
    iterations: int = ITERATIONS

    def weights(self) -> dict[str, np.ndarray]:
        """Uniform within 1 / sqrt(fan in), as torch's convolutions start; names of a state."""
        random = np.random.default_rng([self.seed, 1])
        state = {}
        for name, (inputs, outputs) in CONVOLUTIONS.items():
            bound = 1 / math.sqrt(9 * inputs)
            for part, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,))):
                values = random.uniform(-bound, bound, shape)
                state[f"{name}.{part}"] = values.astype(np.float32)
        return state

    def batches(self) -> Iterator[np.ndarray]:
        """As many as there are iterations, in [-1, 1]."""
        source = data.Batches(self.training, batch_size=BATCH, seed=self.seed).forever()
        for _ in range(self.iterations):
            yield signed_range(next(source))

    def evaluation_batches(self) -> Iterator[np.ndarray]:
        """All evaluation images in order, in [-1, 1]."""
        for images in data.Batches(self.evaluated, batch_size=500, shuffle=False):
            yield signed_range(images)


@dataclass(frozen=True)
class Outcome:
    """The first and last losses, seconds of training, and the evaluation.

    `mse` is the mean over all elements of images in [-1, 1], `perplexity` 2^H of the codes of
    all evaluation images together, 0 without a quantizer.
    """

    losses: list[float]
    mse: float
    perplexity: float
    active_codes: int
    seconds: float


# A training step: its loss. An evaluation: reconstructions and codes, or none without a quantizer.
Step = Callable[[np.ndarray], float]
Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def run(task: Task, step: Step, finish: Callable[[], Evaluate]) -> Outcome:
    """Trains, then evaluates with what `finish` gives."""
    start = time.perf_counter()
    losses = [step(x) for x in task.batches()]
    seconds = time.perf_counter() - start
    evaluate = finish()
    squared_error, counts = 0.0, np.zeros(CODES, np.int64)
    for x in task.evaluation_batches():
        reconstruction, codes = evaluate(x)
        squared_error += float(np.square(reconstruction - x, dtype=np.float64).sum())
        if codes is not None:
            counts += np.bincount(codes.ravel(), minlength=CODES)
    return Outcome(
        losses=losses[:20] + losses[-20:],
        mse=squared_error / task.evaluated.size,
        perplexity=perplexity(counts) if counts.any() else 0.0,
        active_codes=int(np.count_nonzero(counts)),
        seconds=seconds,
    )


def load(seed: int, *, holdout: bool, iterations: int = ITERATIONS) -> Task:
    """CIFAR-10's first 8,000 training images and first 2,000 test images.

    `holdout`: the last 1,000 of those 8,000 are evaluated instead and not trained on.
    """
    training = data.cifar10("train").images[:TRAINING]
    if holdout:
        return Task(training[:-HOLDOUT], training[-HOLDOUT:], seed, iterations)
    return Task(training, data.cifar10("test").images[:TEST], seed, iterations)


def signed_range(images: np.ndarray) -> np.ndarray:
    """[0, 1] to [-1, 1]."""
    return images * np.float32(2) - np.float32(1)
