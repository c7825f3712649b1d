"""Codes that a MaskGIT makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .._arguments import checked, is_integer
from .._functions import no_grad
from .._random import Generator, layer_generator
from .._tensor import Tensor
from ..nn._mode import evaluating
from ._halton import halton_order
from ._maskgit import MaskGIT


@checked
def generate(
    model: MaskGIT,
    count: int | None = None,
    *,
    labels: Tensor | npt.ArrayLike | None = None,
    codes: Tensor | npt.ArrayLike | None = None,
    steps: int = 12,
    temperature: float = 1.0,
    choice_temperature: float = 4.5,
    order: Literal["confidence", "halton"] = "confidence",
    map_shape: tuple[int, int] | None = None,
    guidance: float = 0.0,
    guidance_schedule: Literal["constant", "linear"] = "constant",
    batch_size: int = 64,
    generator: Generator | None = None,
) -> Tensor:
    """int32 codes [n, length] that `model` draws, some at each step (Chang et al., 2022).

    Step t = 1...T draws a code for every hidden place, and of U places that were hidden at first
    hides floor(U cos(pi/2 t/T)) again, at least 1 and at most all but one, none in the end: those
    of least confidence log p + `choice_temperature` (1 - t/T) g, g Gumbel noise, or those that come
    last in `halton_order`. Codes that are given stay. The model is in evaluation mode meanwhile,
    and nothing is recorded. Equal generators give equal draws, for every number of threads and
    every `batch_size`.

    Args:
        model: the network.
        count: n, where neither `labels` nor `codes` says it.
        labels: classes [n], -1 for none.
        codes: [n, length], -1 at the places that are to be filled; all by default.
        steps: T.
        temperature: logits are divided by it before a code is drawn; p is of these.
        choice_temperature: of the noise in confidences.
        order: which places are filled first.
        map_shape: height and width of the map, for the order "halton"; a square by default.
        guidance: w: logits are l + w (l - l0), l0 those without class (Ho and Salimans, 2022).
        guidance_schedule: "linear" takes w t/T at step t.
        batch_size: samples that go through the network together.
        generator: of all that is drawn; without one the stream of the next layer.
    """
    for name, value in (("count", count), ("steps", steps), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"[generate] {name} = {value}: must be at least 1")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"[generate] temperature = {temperature}: must be finite and above 0")
    for name, number in (("choice_temperature", choice_temperature), ("guidance", guidance)):
        if not (number >= 0 and math.isfinite(number)):
            raise ValueError(f"[generate] {name} = {number}: must be finite and not negative")
    if guidance_schedule not in ("constant", "linear"):
        raise ValueError(
            f"[generate] guidance_schedule = {guidance_schedule!r}: must be 'constant' or 'linear'"
        )
    if guidance and labels is None:
        raise ValueError(f"[generate] guidance = {guidance} without labels: there is no class")
    ranks = _ranks(order, map_shape, model.length)
    given, kinds = _given(model, count, labels, codes)
    weights = np.full(steps, guidance)
    if guidance_schedule == "linear":
        weights = guidance * np.arange(1, steps + 1) / steps
    sampler = _Sampler(model, temperature, choice_temperature, ranks, weights)
    source, made = layer_generator(generator), []
    drawn = steps * 2 * model.length
    with evaluating(model), no_grad():
        for start in range(0, len(given), batch_size):
            rows = slice(start, start + batch_size)
            size = len(given[rows])
            # Whole blocks of four words for each sample, so that batches of any size draw alike.
            uniform = source.uniform((size, -(-drawn // 4) * 4)).numpy()[:, :drawn]
            noise = uniform.reshape(size, steps, 2, model.length).astype(np.float64)
            made.append(sampler.filled(given[rows], kinds[rows], noise))
    return Tensor(np.concatenate(made) if made else given)


@dataclass(frozen=True)
class _Sampler:
    """The steps of a batch."""

    model: MaskGIT
    temperature: float
    choice_temperature: float
    ranks: np.ndarray | None  # [length]: when a place comes; None for the order of confidence
    weights: np.ndarray  # [steps], of guidance

    def filled(self, codes: np.ndarray, labels: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """codes [n, length] without hidden ones; `noise` [n, steps, 2, length] is in [0, 1)."""
        codes, at_first, steps = codes.copy(), (codes < 0).sum(1), len(self.weights)
        for step in range(1, steps + 1):
            hidden = codes < 0
            if not hidden.any():
                break
            codes[hidden], p = self._drawn(codes, labels, hidden, step, noise[:, step - 1, 0])
            confidence = np.full(codes.shape, np.inf)
            if self.ranks is None:
                spread = self.choice_temperature * (1 - step / steps)
                confidence[hidden] = np.log(p) + spread * _gumbel(noise[:, step - 1, 1][hidden])
            else:
                confidence[hidden] = -np.broadcast_to(self.ranks, codes.shape)[hidden]
            place = confidence.argsort(1, kind="stable").argsort(1, kind="stable")
            left = hidden_after(step, steps, at_first, hidden.sum(1))
            codes[place < left[:, None]] = -1
        return codes

    def _drawn(
        self,
        codes: np.ndarray,
        labels: np.ndarray,
        hidden: np.ndarray,
        step: int,
        noise: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """A code for each hidden place, and its probability."""
        rows = np.flatnonzero(hidden)
        logits = self._logits(codes, labels, rows)
        if weight := float(self.weights[step - 1]):
            without = self._logits(codes, np.full_like(labels, -1), rows)
            logits = logits + (logits - without) * weight
        p = _cooled(logits, self.temperature).softmax(-1).numpy().astype(np.float64)
        if not np.isfinite(p).all():
            guided = f" with guidance = {weight:g}" if weight else ""
            raise ValueError(
                f"[generate] step {step}: the model's logits{guided} hold NaN or infinity"
            )
        sums = p.cumsum(-1)
        chosen = (sums <= noise[hidden][:, None] * sums[:, -1:]).sum(-1)
        return chosen, np.take_along_axis(p, chosen[:, None], 1)[:, 0]

    def _logits(self, codes: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Tensor:
        """[m, k] of the places `rows`."""
        logits: Tensor = self.model(codes, labels)
        return logits.reshape(-1, self.model.num_codes).take(rows, 0)


def _cooled(logits: Tensor, temperature: float) -> Tensor:
    """Over the temperature; where that would leave float32, less the largest first."""
    if 1e-20 < temperature < 1e20:
        return logits / temperature
    return (logits - logits.max(-1, keepdims=True)) / min(max(temperature, 1e-30), 1e30)


def hidden_after(step: int, steps: int, at_first: np.ndarray, before: np.ndarray) -> np.ndarray:
    """How many places of each sample are hidden after a step, of those before it."""
    if step == steps:
        return np.zeros_like(before)
    wanted = np.floor(at_first * math.cos(math.pi / 2 * step / steps)).astype(before.dtype)
    left: np.ndarray = np.minimum(before, np.maximum(np.minimum(wanted, before - 1), 1))
    return left


def _gumbel(uniform: np.ndarray) -> np.ndarray:
    # 0 stands for what float32 rounds to it, below 2^-24.
    noise: np.ndarray = -np.log(-np.log(np.maximum(uniform, 2.0**-25)))
    return noise


def _ranks(order: str, map_shape: tuple[int, int] | None, length: int) -> np.ndarray | None:
    if order not in ("confidence", "halton"):
        raise ValueError(f"[generate] order = {order!r}: must be 'confidence' or 'halton'")
    if order == "confidence":
        if map_shape is not None:
            raise ValueError(
                f"[generate] map_shape = {map_shape} without order='halton': no other has a map"
            )
        return None
    shape = (math.isqrt(length),) * 2 if map_shape is None else tuple(map_shape)
    if len(shape) != 2 or not all(map(is_integer, shape)):
        raise TypeError(f"[generate] map_shape = {shape}: height and width are required")
    height, width = shape
    if min(height, width) < 1 or height * width != length:
        raise ValueError(f"[generate] map_shape = {shape}: it must have length = {length} places")
    return halton_order(height, width).argsort()


def _given(
    model: MaskGIT,
    count: int | None,
    labels: Tensor | npt.ArrayLike | None,
    codes: Tensor | npt.ArrayLike | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Codes [n, length] and labels [n], -1 where nothing is given."""
    if codes is None:
        if labels is not None and np.ndim(labels) != 1:
            raise ValueError(f"[generate] labels of shape {[*np.shape(labels)]}: [n] is required")
        size = count if labels is None else len(np.asarray(labels))
        if size is None:
            raise ValueError("[generate] neither count nor labels nor codes: one must say how many")
        codes = np.full((size, model.length), -1, np.int32)
    places, kinds = model._given(codes, labels, "generate")
    if count is not None and count != len(places):
        raise ValueError(
            f"[generate] count = {count}: labels and codes are of {len(places)} samples"
        )
    return places, kinds
