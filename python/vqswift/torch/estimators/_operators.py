"""The operator `torch.ops.vqswift.quantize_weight`: Q(w) with the gradient of an estimator."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from ... import _core
from .._engines import Pool, recording
from .._library import declare, differentiate
from .._memory import array, borrowed, own, refresh


def description(
    name: str, options: Mapping[str, Any], bits: int, bound: float, scale: float, slices: int | None
) -> str:
    """The text that the operator knows an estimator on a grid by: all but bounds and progress.

    `slices`: of the weight's first axis, each with a bound; None for one bound.
    """
    return json.dumps([name, dict(options), bits, bound, scale, slices])


class _Engine:
    """A weight quantizer of the core, whose bounds are written before each use."""

    def __init__(self, text: str) -> None:
        name, options, bits, bound, scale, slices = json.loads(text)
        weight = _core.tensor_create(
            array(torch.zeros(slices or 1, device="cpu", dtype=torch.float32)), 0
        )
        self.handle = _core.weight_quantizer_create(
            name, options, bits, bound, scale, "max", slices is not None, weight, None
        )
        self._bound = dict(_core.module_optional_buffers(self.handle))["bound"]
        self._progress = dict(_core.module_buffers(self.handle)).get("progress")

    def load(self, bound: torch.Tensor, progress: torch.Tensor) -> None:
        refresh(self._bound, bound)
        if self._progress is not None:
            refresh(self._progress, progress)


_POOLS: dict[str, Pool[_Engine]] = {}


@contextmanager
def _engine(text: str, bound: torch.Tensor, progress: torch.Tensor) -> Iterator[_core.ModuleHandle]:
    """An engine with those bounds, which no other thread uses."""
    pool = _POOLS.setdefault(text, Pool(partial(_Engine, text)))
    engine = pool.take()
    engine.load(bound, progress)
    yield engine.handle
    pool.give(engine)


def _quantize(
    w: torch.Tensor, bound: torch.Tensor, progress: torch.Tensor, estimator: str
) -> torch.Tensor:
    with recording(False), _engine(estimator, bound, progress) as handle:
        return own(_core.module_forward(handle, borrowed(w)), w)


def _quantize_backward(
    gradient: torch.Tensor,
    w: torch.Tensor,
    bound: torch.Tensor,
    progress: torch.Tensor,
    estimator: str,
) -> torch.Tensor:
    with recording(True), _engine(estimator, bound, progress) as handle:
        leaf = _core.tensor_requiring_grad(borrowed(w), 0)
        value = _core.module_forward(handle, leaf)
        ((_, found),) = _core.tensor_gradients(value, borrowed(gradient), [leaf], False)
        return own(found, gradient, w)


def _context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    w, bound, progress, ctx.estimator = inputs
    ctx.save_for_backward(w, bound, progress)


def _gradient(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    w, bound, progress = ctx.saved_tensors
    found = torch.ops.vqswift.quantize_weight_backward(gradient, w, bound, progress, ctx.estimator)
    return found, None, None, None


declare(
    "quantize_weight(Tensor w, Tensor bound, Tensor progress, str estimator) -> Tensor",
    _quantize,
    lambda w, bound, progress, estimator: w.new_empty(w.shape),
)
declare(
    "quantize_weight_backward(Tensor gradient, Tensor w, Tensor bound, Tensor progress, "
    "str estimator) -> Tensor",
    _quantize_backward,
    lambda gradient, w, bound, progress, estimator: w.new_empty(w.shape),
)
differentiate("quantize_weight", _gradient, _context)

quantize_weight = torch.ops.vqswift.quantize_weight
