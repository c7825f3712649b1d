"""Quantizers, nearest codes and k-means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import vqswift as vq
from vqswift import Tensor, optim

from .case import INF, NAN, Case, leaf, ones


def quantizer_after(**options: Any) -> Callable[[], object]:
    return lambda: vq.VectorQuant(4, 8, **options)


def foreign_optimizer(parameters: list[Tensor]) -> object:
    return object()


def double_owner(parameters: list[Tensor]) -> optim.Optimizer:
    return optim.SGD([*parameters, leaf(2)], lr=0.1)


QUANTIZER: dict[str, Case] = {
    "channels": (
        lambda: vq.VectorQuant(4, 8)(ones(2, 3)),
        ValueError,
        ["vector_quant", "[2, 3]", "= 4"],
    ),
    "rank": (lambda: vq.VectorQuant(4, 8, dim=1)(ones(4)), ValueError, ["dim = 1", "1 axes"]),
    "dim": (lambda: vq.VectorQuant(4, 8, dim=5)(ones(2, 4)), ValueError, ["dim = 5", "2 axes"]),
    "dtype": (
        lambda: vq.VectorQuant(1, 8)([[2**24 + 1]]),
        ValueError,
        ["vector_quant", "z of dtype int64", "16777217", "rounds to 16777216"],
    ),
    "empty": (
        lambda: vq.VectorQuant(4, 8)(ones(0, 4)),
        ValueError,
        ["vector_quant", "[0, 4]", "one"],
    ),
    "nan": (
        lambda: vq.VectorQuant(2, 8)(Tensor([[0.0, 1.0], [NAN, 1.0]])),
        ValueError,
        ["vector_quant", "z holds nan", "index 2", "finite"],
    ),
    "infinity": (
        lambda: vq.VectorQuant(2, 8).encode([[0.0, -INF]]),
        ValueError,
        ["vector_quant", "z holds -inf", "index 1", "finite"],
    ),
    "feature size": (
        lambda: vq.VectorQuant(0, 8),
        ValueError,
        ["vector_quant", "feature_size = 0"],
    ),
    "no codes": (lambda: vq.VectorQuant(4, 0), ValueError, ["vector_quant", "num_codes = 0"]),
    "negative codes": (
        lambda: vq.VectorQuant(4, -1),
        ValueError,
        ["vector_quant", "num_codes = -1"],
    ),
    "beta": (quantizer_after(beta=1.5), ValueError, ["vector_quant", "beta = 1.5", "0...1"]),
    "beta nan": (quantizer_after(beta=NAN), ValueError, ["vector_quant", "beta = nan"]),
    "nu": (quantizer_after(sync_nu=-1.0), ValueError, ["vector_quant", "sync_nu = -1.0"]),
    "affine rate": (
        quantizer_after(affine_lr=INF),
        ValueError,
        ["vector_quant", "affine_lr = inf"],
    ),
    "groups": (
        quantizer_after(affine_groups=3),
        ValueError,
        ["affine_groups = 3", "num_codes = 8"],
    ),
    "no groups": (quantizer_after(affine_groups=0), ValueError, ["affine_groups = 0"]),
    "replacement": (quantizer_after(replace_freq=-1), ValueError, ["replace_freq = -1", "0"]),
    "inner steps": (quantizer_after(inner_steps=0), ValueError, ["inner_steps = 0", "at least 1"]),
    "outer steps": (quantizer_after(outer_steps=0), ValueError, ["outer_steps = 0", "at least 1"]),
    "norm": (quantizer_after(norm="l1"), ValueError, ["vector_quant", "norm = 'l1'", "none"]),
    "codebook norm": (quantizer_after(cb_norm="x"), ValueError, ["vector_quant", "cb_norm = 'x'"]),
    "affine form": (quantizer_after(affine="batch"), ValueError, ["affine = 'batch'", "learned"]),
    "seed": (quantizer_after(seed=-1), ValueError, ["vector_quant", "seed = -1", "2**64-1"]),
    "large seed": (quantizer_after(seed=1 << 64), ValueError, ["vector_quant", "2**64-1"]),
    "foreign optimizer": (
        quantizer_after(inplace_optimizer=foreign_optimizer),
        TypeError,
        ["vector_quant", "object", "vqswift.optim"],
    ),
    "optimizer of more": (
        lambda: vq.VectorQuant(4, 8, inplace_optimizer=double_owner)(ones(3, 4)),
        RuntimeError,
        ["vector_quant", "codebook and nothing else"],
    ),
    "too few for the inner steps": (
        lambda: vq.VectorQuant(
            4, 8, inner_steps=3, inplace_optimizer=lambda p: optim.SGD(p, lr=0.1)
        )(ones(2, 4)),
        ValueError,
        ["vector_quant", "inner_steps = 3", "2"],
    ),
    "code": (lambda: vq.VectorQuant(4, 8).decode([8]), IndexError, ["decode", "8", "0..<8"]),
    "negative code": (lambda: vq.VectorQuant(4, 8).decode([-2]), IndexError, ["decode", "-2"]),
    "code dtype": (
        lambda: vq.VectorQuant(4, 8).decode([1.0]),
        TypeError,
        ["decode", "float32", "int32"],
    ),
    "nearest nan": (
        lambda: vq.nearest_codes([[NAN]], [[1.0]]),
        ValueError,
        ["nearest_codes", "x holds nan"],
    ),
    "nearest codebook": (
        lambda: vq.nearest_codes([[1.0]], [[INF]]),
        ValueError,
        ["nearest_codes", "codebook holds inf"],
    ),
    "nearest shapes": (
        lambda: vq.nearest_codes(ones(2, 3), ones(2, 4)),
        ValueError,
        ["nearest_codes", "[2, 3]", "[2, 4]", "equal d"],
    ),
    "nearest rank": (lambda: vq.nearest_codes(ones(2), ones(2, 1)), ValueError, ["nearest_codes"]),
    "nearest of none": (
        lambda: vq.nearest_codes(ones(0, 2), ones(2, 2)),
        ValueError,
        ["nearest_codes", "[0, 2]"],
    ),
    "nearest without codes": (
        lambda: vq.nearest_codes(ones(2, 2), ones(0, 2)),
        ValueError,
        ["nearest_codes", "[0, 2]"],
    ),
    "k": (lambda: vq.kmeans(ones(3, 2), 0), ValueError, ["kmeans", "k = 0", "at least 1"]),
    "k-means nan": (lambda: vq.kmeans([[NAN]], 1), ValueError, ["kmeans", "x holds nan"]),
    "k-means rank": (lambda: vq.kmeans(ones(3), 1), ValueError, ["kmeans", "[3]", "[n, d]"]),
    "k-means empty": (lambda: vq.kmeans(ones(0, 2), 1), ValueError, ["kmeans", "[0, 2]", "one"]),
    "k-means dtype": (lambda: vq.kmeans([[1j]], 1), TypeError, ["kmeans", "[[1j]]", "real"]),
    "k-means iterations": (
        lambda: vq.kmeans(ones(3, 2), 1, iterations=-1),
        ValueError,
        ["kmeans", "iterations = -1"],
    ),
    "k-means init": (
        lambda: vq.kmeans(ones(3, 2), 1, init="x"),
        ValueError,
        ["kmeans", "init = 'x'"],
    ),
    "k-means start": (
        lambda: vq.kmeans(ones(3, 2), 2, init=np.ones((2, 3))),
        ValueError,
        ["kmeans", "[2, 3]", "[2, 2]"],
    ),
    "k-means seed": (
        lambda: vq.kmeans(ones(3, 2), 1, seed=-1),
        ValueError,
        ["kmeans", "seed = -1"],
    ),
    "k-means enormous": (
        lambda: vq.kmeans(ones(1, 1 << 12), (1 << 31) - 1),
        MemoryError,
        ["bytes", "memory"],
    ),
}
