"""How a codebook is used and how far it lies from the vectors."""

from __future__ import annotations

import operator

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats
from .._tensor import Tensor, as_tensor

Array = npt.ArrayLike | Tensor


@checked
class CodeUsage:
    """How often each of `num_codes` codes was used, over as many batches as are added.

    `update` takes codes of any shape; -1 stands at masked positions and counts nowhere.
    """

    def __init__(self, num_codes: int) -> None:
        size = operator.index(num_codes)
        if not 1 <= size < 1 << 31:
            raise ValueError(
                f"[code_usage] num_codes = {size}: must be at least 1 and fit in int32"
            )
        self._counts = np.zeros(size, np.int64)

    def __repr__(self) -> str:
        return f"CodeUsage({len(self._counts)}, total={self._counts.sum()})"

    def update(self, codes: Array) -> None:
        """Add a batch's codes; IndexError for one that is neither -1 nor in 0..num_codes-1."""
        _core.count_codes(as_tensor(codes)._handle, self._counts)

    def reset(self) -> None:
        """Forget every use."""
        self._counts[:] = 0

    @property
    def counts(self) -> np.ndarray:
        """Uses of each code, int64 [num_codes]; a copy."""
        return self._counts.copy()

    @property
    def probabilities(self) -> np.ndarray:
        """Each code's share of all uses, float64 [num_codes]; ValueError before any use."""
        shares = np.empty(len(self._counts))
        _core.code_usage(self._counts, shares)
        return shares

    @property
    def perplexity(self) -> float:
        """2^H, H the entropy of the probabilities in bits; ValueError before any use."""
        return _core.code_usage(self._counts, None)

    @property
    def active_codes(self) -> int:
        """Codes used at least once."""
        return _core.active_codes(self._counts)


@checked
def perplexity(codes: Array, num_codes: int) -> float:
    """2^H, H the entropy in bits of how `codes` use `num_codes` codes: m for m equally used ones.

    Codes int32 of any shape, -1 left out; ValueError when none is left.
    """
    return _usage(codes, num_codes).perplexity


@checked
def active_codes(codes: Array, num_codes: int) -> int:
    """How many of `num_codes` codes occur in `codes`, int32 of any shape, -1 left out."""
    return _usage(codes, num_codes).active_codes


def _usage(codes: Array, num_codes: int) -> CodeUsage:
    usage = CodeUsage(num_codes)
    usage.update(codes)
    return usage


@checked
def quantization_error(z: Array, z_q: Array, mask: Array | None = None) -> float:
    """Mean of (z - z_q)^2 over all elements of the vectors that `mask` keeps.

    z and z_q [..., d], mask [...] of booleans or integers, false where a vector is left out. It is
    the commitment loss before its weights, of float64 rounded to float32. ValueError when nothing
    is kept.
    """
    kept = None if mask is None else as_tensor(mask)._handle
    given = as_floats("quantization_error", "z", z)._handle
    return _core.quantization_error(
        given, as_floats("quantization_error", "z_q", z_q)._handle, kept
    )


@checked
def divergence(p: Array, c: Array) -> float:
    """D(P, C): mean over the points z of p of min over the points c_j of c of 1/2 |z - c_j|^2.

    Huh et al. 2023, eq. 13, with d of section 2. p and c [..., d], of float64 rounded to float32;
    nearest points are exact and no matrix of distances is made. With P embeddings, C the codebook
    and Q the codes in use, `codebook[np.unique(codes)]`:

    - D(P, C): what the commitment loss minimises.
    - D(C, P): grows with codes that lie far from the data; D(P, C) does not see them.
    - D(P, Q): equal to D(P, C) on the vectors that chose Q (Figure 8).
    - D(C, Q): how far unused codes lie from those in use (Figure 9); 0 when all are used.

    ValueError for NaN, infinity and empty sets.
    """
    points = as_floats("divergence", "p", p)._handle
    return _core.divergence(points, as_floats("divergence", "c", c)._handle)


@checked
def divergence_bound(p: Array) -> float:
    """1/2 Var(P), Var(P) = mean |z - mean z|^2 over the points z of p [..., d].

    The least D(P, C) of a single code, so an upper bound of what the best codebook reaches (A.10,
    eq. 33). A codebook above it serves worse than one code at the mean.
    """
    return _core.divergence_bound(as_floats("divergence_bound", "p", p)._handle)


@checked
def activation_probability(
    num_codes: int,
    *,
    batch_size: int,
    height: int,
    width: int,
    pool_layers: int = 0,
    at_least: int = 1,
) -> float:
    """P(a code is chosen at least `at_least` times in a batch), all codes being equally likely.

    The binomial tail of eq. 29 over N = b floor(h / 2^p) floor(w / 2^p) vectors: images of
    `height` x `width` after `pool_layers` poolings of 2 x 2 (the paper's b h w / 2^p is a misprint
    of b h w / 4^p).
    """
    return _core.activation_probability(num_codes, batch_size, height, width, pool_layers, at_least)
