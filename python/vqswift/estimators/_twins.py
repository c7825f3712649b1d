"""Models that train in step on the same batches, and how far apart they go."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._arguments import checked
from .._arrays import as_array
from .._functions import no_grad
from .._tensor import Tensor
from ..nn import functional
from ..nn._module import Module
from ..optim import Optimizer
from ._change_points import ChangePoints
from ._quantize import WeightedLayer, quantized_layers
from ._weight_quantizer import WeightQuantizer


@dataclass(frozen=True)
class TwinRecord:
    """How far apart two models are at one time; w is a latent weight of the first, u of its twin.

    Attributes:
        step: steps done.
        alignment_error: sum |M(w) - u| / bound over sum over steps of sum |du| / bound, M the warp
            where the twin began at M(w), else the identity.
        raw_error: the same without M.
        weight_agreement: share of the quantized weights with Q(w) = Q(u).
        inference_agreement: share of the validation images that get the same class.
        incorrect_agreement: of those that both get wrong, the share with the same class; None when
            there is none.
        accuracy, twin_accuracy: on the validation images.
        loss, twin_loss: mean training loss since the record before.
    """

    step: int
    alignment_error: float
    raw_error: float
    weight_agreement: float
    inference_agreement: float
    incorrect_agreement: float | None
    accuracy: float
    twin_accuracy: float
    loss: float
    twin_loss: float


@dataclass(frozen=True)
class TwinReport:
    """What `TwinTrainer` found of one twin.

    Attributes:
        records: one for each `evaluate`.
        change_agreement: share of the weights whose lists of quantized values through training are
            equal.
        compressed_change_agreement: the same after a,b,a,b in a list became a,b.
        change_points: changes of quantized values in the first model and in the twin.
        validation_correlation: Pearson's, of both models' validation accuracies; None for fewer
            than two records or a constant curve.
    """

    records: list[TwinRecord]
    change_agreement: float
    compressed_change_agreement: float
    change_points: tuple[int, int]
    validation_correlation: float | None

    @property
    def last(self) -> TwinRecord:
        """The last record; ValueError before the first."""
        if not self.records:
            raise ValueError("[twins] there is no record yet: call evaluate")
        return self.records[-1]


@dataclass(frozen=True)
class TwinWeights:
    """A quantized layer's latent weights, flat: w, M(w) (w where the twin is not warped) and u."""

    layer: str
    bound: float
    w: np.ndarray
    warped: np.ndarray
    u: np.ndarray


@dataclass
class _Member:
    """One model in training."""

    name: str
    model: Module
    optimizer: Optimizer
    warped: bool
    layers: list[WeightedLayer] = field(init=False)
    weights: list[np.ndarray] = field(init=False)
    changes: list[ChangePoints] = field(init=False)
    travelled: float = 0.0  # sum over steps of sum |du| / bound
    losses: list[float] = field(default_factory=list)
    records: list[TwinRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, Optimizer):
            kind = type(self.optimizer).__name__
            raise TypeError(f"[twins] {self.name}: a {kind}: an optimizer is required")
        self.layers = quantized_layers(self.model)
        if not self.layers:
            raise ValueError(f"[twins] {self.name}: the model has no quantized layer")
        for layer in self.layers:
            if not isinstance(layer.quantizer, WeightQuantizer):
                kind = type(layer.quantizer).__name__
                raise ValueError(f"[twins] {self.name}: {layer.name} has a {kind}, and no grid")
            if np.ndim(layer.quantizer.bounds):
                raise ValueError(
                    f"[twins] {self.name}: {layer.name} has a bound for each channel: "
                    "one for the layer is required"
                )
        self.weights = [layer.weight.numpy() for layer in self.layers]
        self.changes = [ChangePoints(codes) for codes in self.codes()]

    def quantizers(self) -> list[WeightQuantizer]:
        return [layer.quantizer for layer in self.layers]  # type: ignore[misc]

    def codes(self) -> list[np.ndarray]:
        pairs = zip(self.layers, self.quantizers(), strict=True)
        return [quantizer.codes(layer.weight).numpy() for layer, quantizer in pairs]

    def step(self, x: Tensor, y: Tensor, factor: float | None, loss: Callable[..., Tensor]) -> None:
        if factor is not None:
            self.optimizer.scale_lr(factor)
        value = loss(self.model(x), y)
        self.losses.append(float(value))
        if not math.isfinite(self.losses[-1]):
            raise FloatingPointError(f"[twins] {self.name}: the loss is {self.losses[-1]}")
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()

    def observe(self) -> None:
        """Add the step that was made to the distance and the change points."""
        for i, (quantizer, codes) in enumerate(zip(self.quantizers(), self.codes(), strict=True)):
            weight = self.layers[i].weight.numpy()
            moved = float(np.abs(weight - self.weights[i]).sum(dtype=np.float64))
            self.travelled += moved / float(quantizer.bounds)
            self.weights[i] = weight
            self.changes[i].update(codes)

    def predictions(self, x: np.ndarray, batch_size: int) -> np.ndarray:
        starts = range(0, len(x), batch_size)
        return np.concatenate(
            [self.model(Tensor(x[i : i + batch_size])).argmax(-1).numpy() for i in starts]
        )


@checked
class TwinTrainer:
    """Trains a model and its twins in step on the same batches and measures their alignment.

    The twins are any number of models of the same form, each with an optimizer of its own: the
    straight-through model that `to_ste` made, a control, the model itself at another rate. What is
    kept grows with the changes of quantized weights, not with the steps times the weights.

        trainer = TwinTrainer(model, optimizer)
        trainer.add("ste", twin, twin_optimizer, warped=True)
        trainer.fit(batches, 1000)
        trainer.evaluate(images, labels)
        trainer.report("ste")

    Args:
        model: whose quantized layers have custom estimators.
        optimizer: of the model.
        schedule: the factor of every optimizer's learning rates, called with the steps done.
        loss: of (model(x), y); cross entropy by default.
    """

    steps: int

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        *,
        schedule: Callable[[int], float] | None = None,
        loss: Callable[..., Tensor] = functional.cross_entropy,
    ) -> None:
        self.steps = 0
        self._first = _Member("model", model, optimizer, False)
        self._twins: dict[str, _Member] = {}
        self._schedule = schedule
        self._loss = loss

    def add(self, name: str, model: Module, optimizer: Optimizer, *, warped: bool = False) -> None:
        """Add a twin; `warped` when it began at M(w), so that its weights are compared with it.

        ValueError for a name that is taken, layers that differ from the model's, or a start after
        the first step.
        """
        if name in (self._first.name, *self._twins):
            raise ValueError(f"[twins] {name!r} is there already")
        if any(model is member.model for member in self._members()):
            raise ValueError(f"[twins] {name!r} is a model that trains here already")
        if self.steps:
            raise ValueError(f"[twins] {name!r} comes after {self.steps} steps: add it before")
        twin = _Member(name, model, optimizer, warped)
        own = [(layer.name, layer.weight.shape) for layer in self._first.layers]
        given = [(layer.name, layer.weight.shape) for layer in twin.layers]
        if own != given:
            raise ValueError(f"[twins] {name}: quantized layers {given}: they must be {own}")
        for layer, quantizer in zip(self._first.layers, self._first.quantizers(), strict=True):
            grid = quantizer.estimator
            if warped and not grid.has_warp:
                raise ValueError(
                    f"[twins] {name}: warped, but {layer.name} has no warp: {grid.estimator}"
                )
        self._twins[name] = twin

    def _twin(self, name: str) -> _Member:
        if name not in self._twins:
            there = ", ".join(self._twins) or "none"
            raise ValueError(f"[twins] {name!r}: there are {there}")
        return self._twins[name]

    def _members(self) -> Iterable[_Member]:
        return [self._first, *self._twins.values()]

    def fit(self, batches: Iterator[Any], count: int) -> None:
        """Train every model for `count` steps; `batches` yields pairs (images, labels).

        FloatingPointError when a loss is not finite, ValueError when there are too few batches.
        """
        for member in self._members():
            member.model.train()
        try:
            for done in range(count):
                batch = next(batches, None)
                if batch is None:
                    raise ValueError(f"[twins] the batches ended after {done} of {count} steps")
                self._step(*batch)
        finally:
            if self._schedule is not None:
                for member in self._members():
                    member.optimizer.scale_lr(1.0)

    def _step(self, images: np.ndarray, labels: np.ndarray) -> None:
        x, y = Tensor(images), Tensor(labels)
        factor = None if self._schedule is None else float(self._schedule(self.steps))
        for member in self._members():
            member.step(x, y, factor, self._loss)
            member.observe()
        self.steps += 1

    def evaluate(self, images: np.ndarray, labels: np.ndarray, *, batch_size: int = 500) -> None:
        """Append a record for every twin, with the classes of float32 `images` in [0, 1]."""
        labels = as_array("twins", "labels", labels)
        if len(images) == 0 or labels.shape != (len(images),):
            raise ValueError(
                f"[twins] {len(images)} images and labels of shape {[*labels.shape]}: "
                "one label for each of one or more images"
            )
        if batch_size < 1:
            raise ValueError(f"[twins] batch_size = {batch_size}: must be at least 1")
        with no_grad():
            classes = {}
            for member in self._members():
                member.model.eval()
                classes[member.name] = member.predictions(images, batch_size)
        first = classes[self._first.name]
        for twin in self._twins.values():
            other = classes[twin.name]
            wrong = (first != labels) & (other != labels)
            raw, warped = self._errors(twin)
            same, total = self._agreement(twin)
            twin.records.append(
                TwinRecord(
                    step=self.steps,
                    alignment_error=warped,
                    raw_error=raw,
                    weight_agreement=same / total,
                    inference_agreement=float((first == other).mean()),
                    incorrect_agreement=(
                        float((first == other)[wrong].mean()) if wrong.any() else None
                    ),
                    accuracy=float((first == labels).mean()),
                    twin_accuracy=float((other == labels).mean()),
                    loss=_mean(self._first.losses),
                    twin_loss=_mean(twin.losses),
                )
            )
        for member in self._members():
            member.losses.clear()

    def _errors(self, twin: _Member) -> tuple[float, float]:
        layers = self.weights(twin.name)
        raw = sum(float(np.abs(layer.w - layer.u).sum()) / layer.bound for layer in layers)
        warped = sum(float(np.abs(layer.warped - layer.u).sum()) / layer.bound for layer in layers)
        distance = twin.travelled or math.nan
        return raw / distance, warped / distance

    def _agreement(self, twin: _Member) -> tuple[int, int]:
        pairs = list(zip(self._first.changes, twin.changes, strict=True))
        same = sum(int((a.last == b.last).sum()) for a, b in pairs)
        return same, sum(a.last.size for a, _ in pairs)

    def records(self, name: str) -> list[TwinRecord]:
        """What `evaluate` found of one twin so far."""
        return list(self._twin(name).records)

    def report(self, name: str) -> TwinReport:
        """The records and change points of one twin; compares all that has changed."""
        twin = self._twin(name)
        pairs = list(zip(self._first.changes, twin.changes, strict=True))
        total = sum(a.last.size for a, _ in pairs)
        agreements = [a.agreement(b) for a, b in pairs]
        curves = np.array([(r.accuracy, r.twin_accuracy) for r in twin.records]).T
        varies = curves.size and curves.shape[1] > 1 and bool((np.ptp(curves, axis=1) > 0).all())
        return TwinReport(
            records=list(twin.records),
            change_agreement=sum(equal for equal, _ in agreements) / total,
            compressed_change_agreement=sum(equal for _, equal in agreements) / total,
            change_points=(
                sum(a.count for a, _ in pairs),
                sum(b.count for _, b in pairs),
            ),
            validation_correlation=float(np.corrcoef(curves)[0, 1]) if varies else None,
        )

    def weights(self, name: str) -> list[TwinWeights]:
        """The latent weights of the model and of a twin, one entry for each quantized layer."""
        twin = self._twin(name)
        found = []
        for layer, quantizer, w, u in zip(
            self._first.layers,
            self._first.quantizers(),
            self._first.weights,
            twin.weights,
            strict=True,
        ):
            exact = w.astype(np.float64).reshape(-1)
            warped = quantizer.estimator.warp(exact) if twin.warped else exact
            bound = float(quantizer.bounds)
            found.append(TwinWeights(layer.name, bound, exact, warped, u.reshape(-1)))
        return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
