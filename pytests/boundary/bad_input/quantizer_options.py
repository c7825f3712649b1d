"""Options of quantizers with codebooks, and what their calls take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import vqswift as vq
from vqswift import Tensor, optim

from .case import INF, NAN, Case, ones


def quantizer_after(**options: Any) -> Callable[[], object]:
    return lambda: vq.VectorQuant(4, 8, **options)


def sgd(parameters: list[Tensor]) -> optim.Optimizer:
    return optim.SGD(parameters, lr=0.1)


def group_after(groups: int = 2, **options: Any) -> Callable[[], object]:
    return lambda: vq.GroupVectorQuant(4, 8, groups=groups, **options)


def residual_after(stages: int = 2, **options: Any) -> Callable[[], object]:
    return lambda: vq.ResidualVectorQuant(4, 8, stages=stages, **options)


def masked(mask: Any, **arguments: Any) -> Callable[[], object]:
    """A forward of [2, 5, 4] vectors."""
    return lambda: vq.VectorQuant(4, 8)(ones(2, 5, 4), mask, **arguments)


# One row an option, then the pairs that contradict each other.
OPTION: dict[str, Case] = {
    "unknown": (
        quantizer_after(decay=0.9),
        TypeError,
        ["vector_quant", "unknown option 'decay': did you mean 'ema_decay'?", "the known are"],
    ),
    "unknown of groups": (
        group_after(stages=2),
        TypeError,
        ["group_vector_quant", "unknown option 'stages': the known are ["],
    ),
    "code size": (quantizer_after(code_size=0), ValueError, ["vector_quant", "code_size = 0"]),
    "negative code size": (quantizer_after(code_size=-2), ValueError, ["code_size = -2"]),
    "code size of stages": (
        residual_after(shared=True, code_size=3),
        ValueError,
        ["residual_vector_quant", "code_size = 3", "feature_size = 4"],
    ),
    "gradient": (
        quantizer_after(gradient="gumbel"),
        ValueError,
        ["vector_quant", "gradient = 'gumbel'", "rotation"],
    ),
    "variance": (
        quantizer_after(directional_variance=-1.0),
        ValueError,
        ["vector_quant", "directional_variance = -1.0", "at least 0"],
    ),
    "momentum": (
        quantizer_after(affine_momentum=0.0),
        ValueError,
        ["vector_quant", "affine_momentum = 0.0", "above 0 and at most 1"],
    ),
    "momentum above 1": (quantizer_after(affine_momentum=1.5), ValueError, ["= 1.5", "at most 1"]),
    "decay": (quantizer_after(ema_decay=1.0), ValueError, ["ema_decay = 1.0", "0..<1"]),
    "decay nan": (quantizer_after(ema_decay=NAN), ValueError, ["ema_decay = nan", "0..<1"]),
    "epsilon": (quantizer_after(ema_epsilon=-1.0), ValueError, ["ema_epsilon = -1.0"]),
    "start": (quantizer_after(init="zeros"), ValueError, ["init = 'zeros'", "kaiming"]),
    "k-means frequency": (quantizer_after(kmeans_freq=-1), ValueError, ["kmeans_freq = -1"]),
    "rare k-means": (quantizer_after(kmeans_freq=1 << 31), ValueError, ["kmeans_freq", "int32"]),
    "maximum": (quantizer_after(max_norm=0.0), ValueError, ["max_norm = 0.0", "above 0"]),
    "norm groups": (
        quantizer_after(norm="gn", norm_groups=3),
        ValueError,
        ["vector_quant", "norm_groups = 3", "divide the 4 elements"],
    ),
    "codebook's norm groups": (
        quantizer_after(cb_norm="gn", norm_groups=0),
        ValueError,
        ["norm_groups = 0", "at least 1"],
    ),
    "norm groups of groups": (
        group_after(norm="gn"),
        ValueError,
        ["group_vector_quant", "norm_groups = 4", "divide the 2 elements"],
    ),
    "norm groups of stages": (
        residual_after(norm="gn", norm_groups=3),
        ValueError,
        ["residual_vector_quant", "norm_groups = 3"],
    ),
    "temperature": (quantizer_after(temperature=-1.0), ValueError, ["temperature = -1.0"]),
    "temperature decay": (
        quantizer_after(temperature_decay=0.0),
        ValueError,
        ["temperature_decay = 0.0", "above 0 and at most 1"],
    ),
    "least temperature": (
        quantizer_after(temperature=0.5, temperature_min=0.6),
        ValueError,
        ["temperature_min = 0.6", "at most temperature = 0.5"],
    ),
    "orthogonality": (quantizer_after(orthogonal_weight=INF), ValueError, ["= inf", "finite"]),
    "entropy": (quantizer_after(entropy_weight=-0.1), ValueError, ["entropy_weight = -0.1"]),
    "entropy temperature": (
        quantizer_after(entropy_temperature=0.0),
        ValueError,
        ["entropy_temperature = 0.0", "above 0"],
    ),
    "groups": (
        group_after(3),
        ValueError,
        ["group_vector_quant", "groups = 3", "divide feature_size = 4"],
    ),
    "no groups": (group_after(0), ValueError, ["groups = 0", "1...65536"]),
    "no stages": (residual_after(0), ValueError, ["residual_vector_quant", "stages = 0"]),
    "dropout": (
        residual_after(quantizer_dropout=1.5),
        ValueError,
        ["residual_vector_quant", "quantizer_dropout = 1.5", "0...1"],
    ),
    "two starts": (
        quantizer_after(init="uniform", kmeans_init=True),
        ValueError,
        ["init = 'uniform'", "kmeans_init", "only one"],
    ),
    "in-place and EMA": (
        quantizer_after(inplace_optimizer=sgd, ema_decay=0.9),
        RuntimeError,
        ["vector_quant", "an EMA codebook has no gradient", "exclude each other"],
    ),
    "in-place and SimVQ": (
        quantizer_after(inplace_optimizer=sgd, simvq=True),
        RuntimeError,
        ["vector_quant", "SimVQ freezes the codebook"],
    ),
    "in-place and EMA of stages": (
        residual_after(inplace_optimizer=sgd, ema_decay=0.9),
        RuntimeError,
        ["exclude each other"],
    ),
    "EMA and nu": (
        quantizer_after(ema_decay=0.9, sync_nu=1.0),
        ValueError,
        ["sync_nu = 1.0", "one of sync_nu and ema_decay must be 0"],
    ),
    "manual without EMA": (
        quantizer_after(ema_manual=True),
        ValueError,
        ["ema_manual = true", "ema_decay above 0"],
    ),
    "moments with a rate": (
        quantizer_after(affine="ema", affine_lr=0.5),
        ValueError,
        ["affine_lr = 0.5", "it must be 0"],
    ),
    "moments of single codes": (
        quantizer_after(affine="ema", affine_groups=8),
        ValueError,
        ["affine_groups = 8", "at least two codes"],
    ),
    "unit codes for residuals": (
        residual_after(cb_norm="bn"),
        ValueError,
        ["cb_norm = bn", "codes of a fixed scale cannot follow residuals"],
    ),
}

# Options that do nothing without another.
_ALONE: dict[str, tuple[Callable[[], object], str]] = {
    "directional_variance": (quantizer_after(directional_variance=0.1), "gradient = directional"),
    "affine_momentum": (quantizer_after(affine_momentum=0.2, affine_lr=1.0), "affine = ema"),
    "affine_groups": (quantizer_after(affine_groups=2), "an affine map"),
    "ema_epsilon": (quantizer_after(ema_epsilon=0.1), "an EMA codebook"),
    "max_norm": (quantizer_after(max_norm=3.0, norm="l2"), "norm or cb_norm = l2c"),
    "norm_groups": (quantizer_after(norm_groups=2, cb_norm="l2"), "norm or cb_norm = gn"),
    "temperature_decay": (quantizer_after(temperature_decay=0.9), "temperature above 0"),
    "temperature_min": (quantizer_after(temperature_min=0.1), "temperature above 0"),
    "entropy_temperature": (quantizer_after(entropy_temperature=0.5), "entropy_weight above 0"),
    "diversity": (lambda: vq.LFQ(4, entropy_weight=0, diversity=2.0), "entropy_weight above 0"),
    "temperature": (lambda: vq.LFQ(4, entropy_weight=0, temperature=1.0), "entropy_weight above 0"),
}
OPTION |= {
    f"{name} alone": (call, ValueError, [f"{name} = ", f"it needs {what}"])
    for name, (call, what) in _ALONE.items()
}

# What vectors come with, and calls that the layer's state does not allow.
CALL: dict[str, Case] = {
    "mask shape": (
        masked(np.ones((2, 4), bool)),
        ValueError,
        ["vector_quant", "[2, 4]", "[2, 5]", "without the channel axis"],
    ),
    "mask with channels": (
        masked(np.ones((2, 5, 4), bool)),
        ValueError,
        ["[2, 5, 4]", "without the channel axis"],
    ),
    "mask dtype": (
        masked(np.ones((2, 5))),
        TypeError,
        ["vector_quant", "mask has dtype float64", "bool or integers"],
    ),
    "mask of none": (
        masked(np.zeros((2, 5), bool)),
        ValueError,
        ["vector_quant", "training needs at least one vector"],
    ),
    "mask and lengths": (
        masked(np.ones((2, 5), bool), lengths=[5, 5]),
        ValueError,
        ["mask and lengths", "only one"],
    ),
    "lengths": (masked(None, lengths=[5, 6]), ValueError, ["lengths [5, 6]", "0..5"]),
    "negative length": (masked(None, lengths=[-1, 5]), ValueError, ["lengths [-1, 5]", "0..5"]),
    "number of lengths": (
        masked(None, lengths=[5]),
        ValueError,
        ["lengths [1]", "[batch, time, d]", "[2, 5, 'd']"],
    ),
    "length dtype": (masked(None, lengths=[5.0, 5.0]), TypeError, ["lengths", "float64"]),
    "lengths of rows": (
        lambda: vq.VectorQuant(4, 8)(ones(5, 4), lengths=[5]),
        ValueError,
        ["lengths [1]", "[5, 'd']"],
    ),
    "nan beside a mask": (
        lambda: vq.VectorQuant(2, 8)([[NAN, 1], [2, INF], [3, 4]], [False, True, True]),
        ValueError,
        ["vector_quant", "z holds inf", "index 3"],
    ),
    "positions": (
        lambda: vq.VectorQuant(4, 8, norm="in")(ones(3, 4)),
        ValueError,
        ["vector_quant", "[3]", "axis of positions"],
    ),
    "one vector for a batch norm": (
        lambda: vq.VectorQuant(4, 8, norm="bn")(ones(1, 4)),
        ValueError,
        ["vector_quant", "[1, 4]", "two vectors"],
    ),
    "no stage": (
        lambda: vq.ResidualVectorQuant(4, 8, stages=2)(ones(3, 4), stages=0),
        ValueError,
        ["residual_vector_quant", "stages = 0", "at least 1"],
    ),
    "third stage": (
        lambda: vq.ResidualVectorQuant(4, 8, stages=2).encode(ones(3, 4), stages=3),
        ValueError,
        ["residual_vector_quant", "stages = 3", "1...2"],
    ),
    "fractional stage": (
        lambda: vq.ResidualVectorQuant(4, 8, stages=2)(ones(3, 4), stages=1.5),  # type: ignore[arg-type]
        TypeError,
        ["stages = 1.5", "integer"],
    ),
    "codes of groups": (
        lambda: vq.GroupVectorQuant(4, 8, groups=2).decode([[1, 2, 3]]),
        ValueError,
        ["group_vector_quant.decode", "[1, 3]", "2 codes"],
    ),
    "codes of stages": (
        lambda: vq.ResidualVectorQuant(4, 8, stages=2).decode([[1, 2, 3]]),
        ValueError,
        ["residual_vector_quant.decode", "[1, 3]", "codes"],
    ),
    "code of a stage": (
        lambda: vq.ResidualVectorQuant(4, 8, stages=2).decode([[1, 8]]),
        IndexError,
        ["residual_vector_quant.decode", "8", "0..<8"],
    ),
    "update without EMA": (
        lambda: vq.VectorQuant(4, 8).update(),
        RuntimeError,
        ["vector_quant.update", "ema_decay is 0"],
    ),
    "frozen update": (
        lambda: vq.VectorQuant(4, 8, ema_decay=0.9).freeze().update(),
        RuntimeError,
        ["vector_quant.update", "frozen"],
    ),
    "frozen fit": (
        lambda: vq.GroupVectorQuant(4, 8, groups=2).freeze().fit(ones(3, 4)),
        RuntimeError,
        ["group_vector_quant.fit", "frozen"],
    ),
    "fit of nothing": (
        lambda: vq.VectorQuant(4, 8).fit(ones(0, 4)),
        ValueError,
        ["vector_quant.fit", "[0, 4]", "at least one vector"],
    ),
    "fit of what a mask leaves": (
        lambda: vq.VectorQuant(4, 8).fit(ones(2, 4), [False, False]),
        ValueError,
        ["vector_quant.fit", "at least one vector"],
    ),
    "fit of nan": (
        lambda: vq.VectorQuant(2, 8).fit([[1.0, NAN]]),
        ValueError,
        ["vector_quant", "z holds nan", "index 1"],
    ),
    "fit backwards": (
        lambda: vq.VectorQuant(4, 8).fit(ones(3, 4), iterations=-1),
        ValueError,
        ["vector_quant", "iterations = -1"],
    ),
}
