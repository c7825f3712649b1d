"""What recurrent layers and cells share."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .. import _core
from .._arguments import operation_of
from .._functions import concatenate, zeros
from .._integers import as_layer_input
from .._random import Generator
from .._tensor import Tensor, as_tensor
from ._module import Module
from .functional import linear

Array = npt.ArrayLike | Tensor
_WEIGHT, _BIAS = 0, 1
_GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
# Parameters, in the order of the core's arguments and of torch's draws.
_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Recurrence(Module):
    """What layers and cells share: sizes, parameters and one pass of the core."""

    input_size: int
    hidden_size: int
    bias: bool
    proj_size: int = 0

    def _begin(self, cell: str, input_size: int, hidden_size: int, bias: bool) -> None:
        self._cell = cell
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bool(bias)
        for name in ("input_size", "hidden_size"):
            self._require_size(name, getattr(self, name))

    @property
    def _state_size(self) -> int:
        """Of h: that of its projection, where it has one."""
        return self.proj_size or self.hidden_size

    @property
    def _operation(self) -> str:
        return operation_of(type(self))

    def _require_size(self, name: str, value: int) -> None:
        if value < 1:
            raise ValueError(f"[{self._operation}] {name} = {value}: must be at least 1")

    def _draw(self, suffix: str, inputs: int, source: Generator) -> None:
        """Parameters of one side of one layer, uniform in +-1 / sqrt(hidden_size)."""
        rows, bound = _GATES[self._cell] * self.hidden_size, self.hidden_size**-0.5
        shapes = [(rows, inputs), (rows, self._state_size), (rows,), (rows,)]
        if self.proj_size:
            shapes.append((self.proj_size, self.hidden_size))
        for name, shape in zip((*_NAMES, "weight_hr"), shapes, strict=False):
            role = _WEIGHT if len(shape) == 2 else _BIAS
            if role == _WEIGHT or self.bias:
                start = source.uniform(shape, -bound, bound)._handle
                setattr(self, name + suffix, Tensor._wrap(_core.tensor_requiring_grad(start, role)))

    def _pass(
        self, suffix: str, x: Tensor, h: Tensor, c: Tensor | None, reversed: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """The states of all steps of x [t, n, i], and an LSTM's last cell."""
        w_ih, w_hh = (getattr(self, name + suffix) for name in _NAMES[:2])
        if not self.proj_size:
            return self._steps(suffix, x, h, c, w_ih, w_hh, reversed)
        # The recurrence runs over u, h = W_hr u, with the product W_hh W_hr. Only the first step
        # has an h that is of no u: it reads it beside x.
        w_hr = getattr(self, "weight_hr" + suffix)
        if x.shape[0] == 0:
            return zeros((0, x.shape[1], self.proj_size)), c
        first, rest = (x[-1:], x[:-1]) if reversed else (x[:1], x[1:])
        wide, w_wide = concatenate([first, h.unsqueeze(0)], -1), concatenate([w_ih, w_hh], -1)
        w_uu, nothing = w_hh @ w_hr, zeros((x.shape[1], self.hidden_size))
        u, c = self._steps(suffix, wide, nothing, c, w_wide, w_uu, reversed)
        if rest.shape[0]:
            others, c = self._steps(suffix, rest, u[0], c, w_ih, w_uu, reversed)
            u = concatenate([others, u] if reversed else [u, others])
        return linear(u, w_hr), c

    def _steps(
        self,
        suffix: str,
        x: Tensor,
        h: Tensor,
        c: Tensor | None,
        w_ih: Tensor,
        w_hh: Tensor,
        reversed: bool,
    ) -> tuple[Tensor, Tensor | None]:
        b_ih, b_hh = (
            getattr(self, name + suffix)._handle if self.bias else None for name in _NAMES[2:]
        )
        cell = None if c is None else c._handle
        y, last = _core.tensor_recurrence(
            *(self._cell, x._handle, h._handle, cell, w_ih._handle, w_hh._handle),
            *(b_ih, b_hh, reversed),
        )
        return Tensor._wrap(y), None if last is None else Tensor._wrap(last)

    def _input(self, x: Array, ranks: tuple[int, int], names: str) -> Tensor:
        given = as_layer_input(self._operation, x)
        if given.ndim not in ranks or given.shape[-1] != self.input_size:
            raise ValueError(
                f"[{self._operation}] shape {list(given.shape)}: {names} with "
                f"{self.input_size} inputs is required"
            )
        return given

    def _states(self, hx: Any, lead: tuple[int, ...]) -> list[Tensor]:
        """h [*lead, h], and an LSTM's c; zeros for None."""
        sizes = [self._state_size, self.hidden_size] if self._cell == "lstm" else [self._state_size]
        shapes = [(*lead, size) for size in sizes]
        if hx is None:
            return [zeros(shape) for shape in shapes]
        given = [hx] if len(shapes) == 1 else list(hx)
        if len(given) != len(shapes):
            raise ValueError(f"[{self._operation}] hx has {len(given)} states: (h, c) is required")
        states = [as_tensor(state) for state in given]
        for state, shape in zip(states, shapes, strict=True):
            if state.shape != shape:
                raise ValueError(
                    f"[{self._operation}] hx has shape {list(state.shape)}: {list(shape)} is "
                    "required"
                )
        return states
