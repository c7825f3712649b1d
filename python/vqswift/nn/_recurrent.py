"""Recurrent layers. Names, gates, weights and initial values are torch's."""

from __future__ import annotations

from typing import Any

from .._arguments import checked
from .._functions import concatenate, stack
from .._random import Generator, layer_generator
from .._tensor import Tensor
from .._warning import warn
from ._collections import require_layers
from ._dropout import Dropout
from ._recurrence import Array, Recurrence


class _Layers(Recurrence):
    """Layers one over the other, each in one or both directions."""

    num_layers: int
    batch_first: bool
    dropout: float
    bidirectional: bool
    between_layers: Dropout
    # Of the first layer; the others, and those of the way back, are among `named_parameters`.
    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def _build(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        generator: Generator | None,
        proj_size: int = 0,
    ) -> None:
        self._begin(cell, input_size, hidden_size, bias)
        require_layers(self._operation, num_layers)
        if not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"[{self._operation}] proj_size = {proj_size}: must be below hidden_size = "
                f"{hidden_size}, or 0 for none"
            )
        if proj_size:
            self.proj_size = proj_size
        self.num_layers, self.batch_first = num_layers, bool(batch_first)
        self.dropout, self.bidirectional = float(dropout), bool(bidirectional)
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"[{self._operation}] dropout = {dropout}: must be in 0...1")
        self._sides = ("", "_reverse") if bidirectional else ("",)
        source = layer_generator(generator)
        for layer in range(num_layers):
            inputs = self._state_size * len(self._sides) if layer else input_size
            for side in self._sides:
                self._draw(f"_l{layer}{side}", inputs, source)
        if dropout and num_layers == 1:
            warn(f"[{self._operation}] dropout = {dropout}: it acts between layers, and there is 1")
        elif dropout:
            self.between_layers = Dropout(self.dropout)

    def _run(self, x: Array, hx: Any) -> tuple[Tensor, list[Tensor]]:
        """The last layer's states, and the last h, and c, of every layer and side."""
        names = "[n, t, i] or [t, i]" if self.batch_first else "[t, n, i] or [t, i]"
        given = self._input(x, (2, 3), names)
        is_batch = given.ndim == 3
        if not is_batch:
            given = given.reshape(given.shape[0], 1, self.input_size)
        elif self.batch_first:
            given = given.permute(1, 0, 2)
        count, samples = self.num_layers * len(self._sides), given.shape[1]
        states = self._states(hx, (count, samples) if is_batch else (count,))
        starts = [s.reshape(count, samples, s.shape[-1]) for s in states]
        y, ends = self._through_layers(given, starts)
        if not is_batch:
            y = y.reshape(y.shape[0], y.shape[2])
        elif self.batch_first:
            y = y.permute(1, 0, 2)
        return y, [end.reshape(s.shape) for end, s in zip(ends, states, strict=True)]

    def _through_layers(self, x: Tensor, starts: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        ends: list[list[Tensor]] = [[] for _ in starts]
        for layer in range(self.num_layers):
            sides = []
            for side, suffix in enumerate(self._sides):
                h, *rest = (start[layer * len(self._sides) + side] for start in starts)
                c = rest[0] if rest else None
                y, cell = self._pass(f"_l{layer}{suffix}", x, h, c, side == 1)
                last = h if y.shape[0] == 0 else y[0] if side == 1 else y[y.shape[0] - 1]
                for end, state in zip(ends, (last, cell), strict=False):
                    assert state is not None
                    end.append(state)
                sides.append(y)
            x = sides[0] if len(sides) == 1 else concatenate(sides, axis=-1)
            if self.dropout and layer < self.num_layers - 1:
                x = self.between_layers(x)
        return x, [stack(end) for end in ends]

    def _options_text(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers > 1:
            text += f", {self.num_layers}"
        text += ", nonlinearity='relu'" if self._cell == "rnn_relu" else ""
        text += "" if self.bias else ", bias=False"
        text += ", batch_first=True" if self.batch_first else ""
        text += f", dropout={self.dropout}" if self.dropout else ""
        text += ", bidirectional=True" if self.bidirectional else ""
        return text + (f", proj_size={self.proj_size}" if self.proj_size else "")


def _elman(operation: str, nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"[{operation}] nonlinearity = {nonlinearity!r}: must be 'tanh' or 'relu'")
    return f"rnn_{nonlinearity}"


@checked
class RNN(_Layers):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh) over x [t, n, i], or relu in place of tanh."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        cell = _elman("rnn", nonlinearity)
        sizes = (input_size, hidden_size, num_layers)
        super().__init__()
        self._build(cell, *sizes, bias, batch_first, dropout, bidirectional, generator)

    def forward(self, x: Array, hx: Array | None = None) -> tuple[Tensor, Tensor]:
        """x [t, n, i], [n, t, i] with `batch_first`, or [t, i] -> (states [t, n, sides h] of the
        last layer, the last ones of all [layers sides, n, h]); `hx` as those, zeros for None."""
        y, (h,) = self._run(x, hx)
        return y, h


@checked
class GRU(_Layers):
    """Gated recurrent units (Cho et al. 2014) over x [t, n, i]: gates r, z, n, the reset after the
    product with W_hh."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        super().__init__()
        self._build("gru", *sizes, bias, batch_first, dropout, bidirectional, generator)

    def forward(self, x: Array, hx: Array | None = None) -> tuple[Tensor, Tensor]:
        """x [t, n, i], [n, t, i] with `batch_first`, or [t, i] -> (states [t, n, sides h] of the
        last layer, the last ones of all [layers sides, n, h]); `hx` as those, zeros for None."""
        y, (h,) = self._run(x, hx)
        return y, h


@checked
class LSTM(_Layers):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al.
    2000) over x [t, n, i]: gates i, f, g, o.

    With `proj_size` above 0 h is W_hr u, u as without (Sak et al. 2014).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        generator: Generator | None = None,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        super().__init__()
        self._build("lstm", *sizes, bias, batch_first, dropout, bidirectional, generator, proj_size)

    def forward(
        self, x: Array, hx: tuple[Array, Array] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x [t, n, i], [n, t, i] with `batch_first`, or [t, i] -> (states [t, n, sides h] of the
        last layer, (h, c) after the last step of all [layers sides, n, h]); `hx` (h, c) as those,
        zeros for None."""
        y, (h, c) = self._run(x, hx)
        return y, (h, c)


class _Cell(Recurrence):
    """One step of one layer."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor

    def _build(
        self, cell: str, input_size: int, hidden_size: int, bias: bool, generator: Generator | None
    ) -> None:
        self._begin(cell, input_size, hidden_size, bias)
        self._draw("", input_size, layer_generator(generator))

    def _step(self, x: Array, hx: Any) -> tuple[Tensor, Tensor | None]:
        given = self._input(x, (1, 2), "[n, i] or [i]")
        rows = given.reshape(1, given.size // self.input_size, self.input_size)
        shape = (*given.shape[:-1], self.hidden_size)
        states = self._states(hx, given.shape[:-1])
        h, *rest = (s.reshape(rows.shape[1], self.hidden_size) for s in states)
        y, cell = self._pass("", rows, h, rest[0] if rest else None)
        return y.reshape(shape), None if cell is None else cell.reshape(shape)

    def _options_text(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")
        return text + (", nonlinearity='relu'" if self._cell == "rnn_relu" else "")


@checked
class RNNCell(_Cell):
    """A step of an `RNN`: x [n, i] or [i], h [n, h] -> h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        generator: Generator | None = None,
    ) -> None:
        cell = _elman("rnn_cell", nonlinearity)
        super().__init__()
        self._build(cell, input_size, hidden_size, bias, generator)

    def forward(self, x: Array, hx: Array | None = None) -> Tensor:
        """The state after the step; `hx` that before it, zeros for None."""
        return self._step(x, hx)[0]


@checked
class GRUCell(_Cell):
    """A step of a `GRU`: x [n, i] or [i], h [n, h] -> h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self._build("gru", input_size, hidden_size, bias, generator)

    def forward(self, x: Array, hx: Array | None = None) -> Tensor:
        """The state after the step; `hx` that before it, zeros for None."""
        return self._step(x, hx)[0]


@checked
class LSTMCell(_Cell):
    """A step of an `LSTM`: x [n, i] or [i], (h, c) [n, h] -> (h, c)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self._build("lstm", input_size, hidden_size, bias, generator)

    def forward(self, x: Array, hx: tuple[Array, Array] | None = None) -> tuple[Tensor, Tensor]:
        """State and cell after the step; `hx` those before it, zeros for None."""
        h, c = self._step(x, hx)
        assert c is not None
        return h, c
