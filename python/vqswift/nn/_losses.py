"""Losses as functions. Predictions and targets have one shape; classes are the last axis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._functions import maximum, where
from .._integers import as_floats
from .._tensor import Tensor, as_tensor

Array = npt.ArrayLike | Tensor


def _reduced(operation: str, losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ValueError(f"[{operation}] reduction = {reduction!r}: must be mean, sum or none")


def _alike(operation: str, first: str, a: Array, second: str, b: Array) -> tuple[Tensor, Tensor]:
    left, right = as_floats(operation, first, a), as_floats(operation, second, b)
    if left.shape != right.shape:
        raise ValueError(
            f"[{operation}] shapes {list(left.shape)} and {list(right.shape)}: {first} and "
            f"{second} must have one shape"
        )
    return left, right


@checked
def mse_loss(prediction: Array, target: Array, reduction: str = "mean") -> Tensor:
    """(prediction - target)^2 of equal shapes, its mean, sum or each ("none")."""
    if reduction == "mean":
        given = as_floats("mse_loss", "prediction", prediction)._handle
        wanted = as_floats("mse_loss", "target", target)._handle
        return Tensor._wrap(_core.tensor_mse_loss(given, wanted))
    a, b = _alike("mse_loss", "prediction", prediction, "target", target)
    return _reduced("mse_loss", (a - b).square(), reduction)


@checked
def l1_loss(prediction: Array, target: Array, reduction: str = "mean") -> Tensor:
    """|prediction - target| of equal shapes, its mean, sum or each ("none")."""
    if reduction == "mean":
        given = as_floats("l1_loss", "prediction", prediction)._handle
        wanted = as_floats("l1_loss", "target", target)._handle
        return Tensor._wrap(_core.tensor_l1_loss(given, wanted))
    a, b = _alike("l1_loss", "prediction", prediction, "target", target)
    return _reduced("l1_loss", (a - b).abs(), reduction)


@checked
def huber_loss(
    prediction: Array, target: Array, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """d^2 / 2 of d = prediction - target where |d| <= delta, delta (|d| - delta / 2) beyond."""
    if not delta > 0:
        raise ValueError(f"[huber_loss] delta = {delta}: must be above 0")
    a, b = _alike("huber_loss", "prediction", prediction, "target", target)
    distance = (a - b).abs()
    near = distance.clamp(None, delta)
    return _reduced("huber_loss", near * (distance - 0.5 * near), reduction)


@checked
def smooth_l1_loss(
    prediction: Array, target: Array, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) of d = prediction - target where |d| <= beta, |d| - beta / 2 beyond."""
    if not beta > 0:
        raise ValueError(f"[smooth_l1_loss] beta = {beta}: must be above 0, or take l1_loss")
    a, b = _alike("smooth_l1_loss", "prediction", prediction, "target", target)
    distance = (a - b).abs()
    near = distance.clamp(None, beta)
    return _reduced("smooth_l1_loss", near * (distance - 0.5 * near) / beta, reduction)


@checked
def binary_cross_entropy(
    prediction: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) of probabilities p and targets t in [0, 1], times `weight`,
    broadcast; logarithms at least -100, as torch's, and p (1 - p) at least 1e-12 in the gradient.
    """
    operation = "binary_cross_entropy"
    p, t = _alike(operation, "prediction", prediction, "target", target)
    fixed = p.detach()
    if p.size and not 0 <= float(fixed.min()) <= float(fixed.max()) <= 1:
        raise ValueError(
            f"[{operation}] prediction from {fixed.min().item()} to {fixed.max().item()}: "
            "probabilities must lie in 0...1; of logits take binary_cross_entropy_with_logits"
        )
    positive, negative = fixed.log().clamp(-100.0), (-fixed).log1p().clamp(-100.0)
    slope = (fixed - t.detach()) / (fixed * (1.0 - fixed)).clamp(1e-12)
    losses = (p - fixed) * slope - t * positive - (1.0 - t) * negative
    if weight is not None:
        losses = as_floats(operation, "weight", weight) * losses
    return _reduced(operation, losses, reduction)


@checked
def binary_cross_entropy_with_logits(
    logits: Array, target: Array, reduction: str = "mean", pos_weight: Array | None = None
) -> Tensor:
    """-(w t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))) of logits x and targets t in [0, 1].

    `pos_weight`: w, broadcast; 1 by default.
    """
    operation = "binary_cross_entropy_with_logits"
    x, t = _alike(operation, "logits", logits, "target", target)
    negative = x._function("softplus", 1.0)
    if pos_weight is None:
        return _reduced(operation, negative - t * x, reduction)
    positive = (-x)._function("softplus", 1.0)
    weight = as_floats(operation, "pos_weight", pos_weight)
    return _reduced(operation, weight * t * positive + (1.0 - t) * negative, reduction)


@checked
def kl_div(
    log_prediction: Array, target: Array, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """t (log t - log p) of log p and t, or with `log_target` of log p and log t.

    `reduction`: torch's, "batchmean" for the sum over the length of the first axis.
    """
    x, t = _alike("kl_div", "log_prediction", log_prediction, "target", target)
    if log_target:
        losses = t.exp() * (t - x)
    else:
        # 0 log 0 is 0.
        losses = t * (maximum(t, float(np.finfo(np.float32).tiny)).log() - x)
    if reduction == "batchmean":
        if not losses.ndim:
            raise ValueError("[kl_div] reduction = 'batchmean': an axis of samples is required")
        return losses.sum() / float(losses.shape[0])
    return _reduced("kl_div", losses, reduction)


@checked
def nll_loss(
    log_probabilities: Array,
    labels: Array,
    reduction: str = "mean",
    ignore_index: int | None = None,
) -> Tensor:
    """-log p of the labels: log p [..., k], labels int32 [...]; those of `ignore_index` count
    nothing, and the mean is over the others."""
    given = as_floats("nll_loss", "log_probabilities", log_probabilities)
    return _of_labels("nll_loss", given, labels, reduction, ignore_index)


@checked
def cross_entropy(
    logits: Array,
    labels: Array,
    label_smoothing: float = 0.0,
    *,
    reduction: str = "mean",
    ignore_index: int | None = None,
) -> Tensor:
    """logits [..., k], labels int32 [...] -> negative log likelihood, its mean, sum or each.

    Labels of `ignore_index` count nothing, and the mean is over the others. `label_smoothing`: e in
    0...1; the label counts 1 - e + e / k, every other class e / k.
    """
    scores = as_floats("cross_entropy", "logits", logits)
    target = _labels("cross_entropy", scores, labels)
    if reduction == "mean" and ignore_index is None and scores.ndim > 1:
        flat = scores.reshape(-1, scores.shape[-1]) if scores.ndim > 2 else scores
        if scores.ndim > 2 and target.shape == scores.shape[:-1]:
            target = target.reshape(-1)
        return Tensor._wrap(
            _core.tensor_cross_entropy(flat._handle, target._handle, label_smoothing)
        )
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"[cross_entropy] label_smoothing = {label_smoothing}: must be in 0...1")
    log_p = scores.log_softmax(-1)
    return _of_labels("cross_entropy", log_p, target, reduction, ignore_index, label_smoothing)


def _labels(operation: str, scores: Tensor, labels: Array) -> Tensor:
    """int32 labels; TypeError for others, ValueError for one-hot rows."""
    target = as_tensor(labels)
    if target.shape == scores.shape and scores.ndim > 1:
        raise ValueError(
            f"[{operation}] labels have the shape {list(target.shape)} of the scores: classes "
            "[...] are required; of one-hot rows write labels.argmax(-1)"
        )
    if target.dtype == np.bool_:
        return target.astype(np.int32)
    if target.dtype != np.int32:
        raise TypeError(
            f"[{operation}] labels have dtype {target.dtype}: int32 is required; write "
            "labels.astype(np.int32)"
        )
    return target


def _of_labels(
    operation: str,
    given: Tensor,
    labels: Array,
    reduction: str,
    ignore_index: int | None,
    smoothing: float = 0.0,
) -> Tensor:
    target = _labels(operation, given, labels)
    if target.shape != given.shape[:-1] or given.ndim < 1:
        raise ValueError(
            f"[{operation}] shapes {list(given.shape)} and {list(target.shape)}: the labels must "
            "have the axes before the classes"
        )
    if ignore_index is None:
        counted = None
    else:
        counted = target != ignore_index
        target = where(counted, target, 0)
    losses = -given.gather(-1, target[..., None]).squeeze(-1)
    if smoothing:
        losses = (1.0 - smoothing) * losses - smoothing * given.mean(-1)
    if counted is None:
        return _reduced(operation, losses, reduction)
    losses = where(counted, losses, 0.0)
    if reduction != "mean":
        return _reduced(operation, losses, reduction)
    count = int(counted.numpy().sum())
    if not count:
        raise ValueError(f"[{operation}] every label is ignore_index = {ignore_index}")
    return losses.sum() / float(count)


@checked
def cosine_similarity(a: Array, b: Array, dim: int = -1, eps: float = 1e-8) -> Tensor:
    """a . b / (max(|a|, eps) max(|b|, eps)) along `dim`; equal shapes."""
    left, right = _alike("cosine_similarity", "a", a, "b", b)

    def length(x: Tensor) -> Tensor:
        return x.square().sum(dim).clamp(eps * eps, None).sqrt()

    return (left * right).sum(dim) / (length(left) * length(right))


@checked
def cosine_embedding_loss(
    a: Array, b: Array, target: Array, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cos(a, b) where the target is 1, max(0, cos(a, b) - margin) where it is -1."""
    similarity = cosine_similarity(a, b)
    wanted = as_tensor(target)
    if wanted.shape != similarity.shape:
        raise ValueError(
            f"[cosine_embedding_loss] shape {list(wanted.shape)}: the target must have the shape "
            f"{list(similarity.shape)}"
        )
    losses = where(wanted == 1, 1.0 - similarity, (similarity - margin).relu())
    return _reduced("cosine_embedding_loss", losses, reduction)


@checked
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |a - p| - |a - n| + margin), distances along the last axis of a - p + eps."""
    a, p = _alike("triplet_margin_loss", "anchor", anchor, "positive", positive)
    n = _alike("triplet_margin_loss", "anchor", a, "negative", negative)[1]

    def distance(other: Tensor) -> Tensor:
        return (a - other + eps).square().sum(-1).sqrt()

    losses = (distance(p) - distance(n) + margin).relu()
    return _reduced("triplet_margin_loss", losses, reduction)
