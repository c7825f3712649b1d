"""How well a model reconstructs images, and how much of its codebook it uses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from .._arguments import checked, refuse
from .._functions import no_grad
from .._tensor import Tensor
from ..data import Batches
from ..nn._mode import evaluating


@dataclass(frozen=True)
class Evaluation:
    """Reconstruction and code usage over a whole set.

    Attributes:
        mse: mean squared error over all elements, images in [0, 1].
        psnr: `10 log10(1 / mse)` in dB.
        perplexity: `2^H` of the codes of all images together; 0 without a quantizer.
        active_codes: codes used at least once.
        images: how many were evaluated.
    """

    mse: float
    psnr: float
    perplexity: float
    active_codes: int
    images: int


@checked
def evaluate(model: nn.Module, images: NDArray[Any], *, batch_size: int = 256) -> Evaluation:
    """Evaluate `model` on `[n, h, w, c]` images, uint8 or float32 in [0, 1].

    The model is in evaluation mode meanwhile and changes in nothing.
    """
    squared_error, elements, count = 0.0, 0, 0
    counts = np.zeros(1, np.int64)
    for x, reconstruction, codes in _passes(model, images, batch_size):
        elements += x.size
        count += len(x)
        squared_error += float(np.square(reconstruction - x, dtype=np.float64).sum())
        batch = np.bincount(codes[codes >= 0], minlength=len(counts))
        batch[: len(counts)] += counts
        counts = batch
    mse = squared_error / elements
    return Evaluation(
        mse=mse,
        psnr=psnr_of(mse),
        perplexity=perplexity_of(counts) if counts.any() else 0.0,
        active_codes=int(np.count_nonzero(counts)),
        images=count,
    )


@checked
def reconstruct(
    model: nn.Module, images: NDArray[Any], *, batch_size: int = 256
) -> NDArray[np.float32]:
    """The reconstructions `[n, h, w, c]` of the images, in evaluation mode."""
    return np.concatenate([output for _, output, _ in _passes(model, images, batch_size)])


@checked
def psnr_of(mse: float) -> float:
    """Peak signal to noise ratio in dB of a mean squared error, data range 1; 0 gives infinity."""
    if mse < 0:
        raise ValueError(f"[psnr_of] mse {mse}: must not be negative")
    return math.inf if mse == 0 else -10 * math.log10(mse)


@checked
def perplexity_of(counts: NDArray[Any]) -> float:
    """`2^H`, H the entropy in bits of codes that occur `counts` `[k]` times."""
    counts = np.asarray(counts)
    if counts.ndim != 1:
        raise ValueError(f"[perplexity_of] counts of shape {[*counts.shape]}: [k] is required")
    total = counts.sum()
    if total <= 0 or (counts < 0).any():
        raise ValueError(f"[perplexity_of] counts that sum to {total}: must be codes of a set")
    shares = counts[counts > 0] / total
    return float(2 ** -(shares * np.log2(shares)).sum())


def _passes(
    model: nn.Module, images: NDArray[Any], batch_size: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]]:
    """Batches of images, their reconstructions and their codes."""
    with evaluating(model), no_grad():
        for x in Batches(images, batch_size=batch_size, shuffle=False):
            output = model(Tensor(x))
            if not (isinstance(output, tuple) and len(output) == 2):
                refuse("evaluate", "the model's output", output, "(reconstruction, info)")
            reconstruction, info = output
            yield x, reconstruction.numpy(), info.q.numpy()
