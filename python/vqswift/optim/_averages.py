"""Averages of a model's weights over its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._arguments import checked, operation_of
from .._fitting import fitted
from .._functions import no_grad
from .._tensor import Tensor
from ..nn._module import Module

_COUNT, _PREFIX = "n_averaged", "module."


@checked
class Average:
    """What EMA and SWA share: averages of all parameters of `model`, and copies of its buffers.

    They are those of torch's AveragedModel: the first `update` copies the parameters, each further
    one moves the averages towards them; buffers are those of the last. The model itself trains as
    without.
    """

    def __init__(self, model: Module) -> None:
        self._model = model
        self._count = 0
        self._averages = {
            name: Tensor(parameter.numpy()) for name, parameter in self._parameters().items()
        }
        self._buffers = self._current_buffers()

    @property
    def n_averaged(self) -> int:
        """Updates so far."""
        return self._count

    def update(self) -> None:
        """Take the model's parameters into the averages, and copy its buffers; after a step of the
        optimizer.

        ValueError when the model has other parameters than at the start.
        """
        parameters, buffers = self._parameters(), self._current_buffers()
        self._check("update", {name: p.shape for name, p in parameters.items()})
        weight = self._weight(self._count) if self._count else 1.0
        with no_grad():
            for name, parameter in parameters.items():
                average = self._averages[name]
                if weight == 1:
                    average.assign(parameter)
                else:
                    average.assign(average + (parameter - average) * weight)
        self._buffers = buffers
        self._count += 1

    def _weight(self, count: int) -> float:
        """The share of the parameters in the average after `count` updates."""
        raise NotImplementedError

    @contextmanager
    def applied(self) -> Iterator[Module]:
        """A scope in which the model has the averages for its parameters, and the copied buffers.

        Afterwards it has all that it had before, bit for bit, whatever happened to its state within
        the scope; moments of optimizers stay. ValueError for a model whose state is not finite,
        which then is as it was.
        """
        model = self._model
        own = model._checked_state(model.state_dict())
        averages = model._checked_state(self._state())
        model._load(averages, True)
        try:
            yield model
        finally:
            model._load(own, True)

    def state_dict(self) -> dict[str, np.ndarray]:
        """`n_averaged`, and the averaged state of the model under `module.`, as torch has it."""
        state = {_PREFIX + name: value for name, value in self._state().items()}
        return {_COUNT: np.array(self._count, np.int32)} | state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken, bit for bit.

        ValueError or TypeError for a state of another model, a count below 0, or numbers that are
        not finite; nothing changes then.
        """
        if _COUNT not in state:
            raise ValueError(f"[load_state_dict] missing {_COUNT}: every name must be given")
        count = int(fitted("load_state_dict", _COUNT, state[_COUNT], np.dtype(np.int32), ()))
        if count < 0:
            raise ValueError(f"[load_state_dict] {_COUNT} = {count}: must be at least 0")
        given = {name: value for name, value in state.items() if name != _COUNT}
        known = {_PREFIX + name for name in self._state()}
        if given.keys() != known:
            raise ValueError(
                f"[load_state_dict] missing {sorted(known - given.keys())}, unexpected "
                f"{sorted(given.keys() - known)}: every name must be given, and no other"
            )
        arrays = self._model._checked_state({n.removeprefix(_PREFIX): v for n, v in given.items()})
        for name, average in self._averages.items():
            average.assign(arrays[name])
        self._buffers = {name: np.array(arrays[name]) for name in self._buffers}
        self._count = count

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_averaged={self._count})"

    def _parameters(self) -> dict[str, Tensor]:
        """All parameters by name, those of in-place optimizers too; shared ones once a name."""
        return dict(self._model._walk_parameters(True))

    def _current_buffers(self) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in self._model.named_buffers()}

    def _state(self) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in self._averages.items()} | self._buffers

    def _check(self, method: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
        own = {name: average.shape for name, average in self._averages.items()}
        if shapes != own:
            changed = sorted(name for name, _ in shapes.items() ^ own.items())
            raise ValueError(
                f"[{operation_of(type(self))}.{method}] {changed}: the model must have the "
                "parameters that it had at the start"
            )


@checked
class EMA(Average):
    """The exponential moving average `decay * average + (1 - decay) * parameter` of a model.

        ema = vq.optim.EMA(model, decay=0.999)
        for metrics in trainer.steps(1000):
            ema.update()
        with ema.applied():
            print(vq.train.evaluate(model, test_images))

    Args:
        model: whose parameters are averaged.
        decay: the share that the average keeps in an update, in 0..<1.
    """

    def __init__(self, model: Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"[ema] decay = {decay}: must be in 0..<1")
        super().__init__(model)
        self._decay = float(decay)

    @property
    def decay(self) -> float:
        """The share that the average keeps in an update."""
        return self._decay

    def _weight(self, count: int) -> float:
        return 1 - self._decay

    def __repr__(self) -> str:
        return f"EMA(decay={self._decay!r}, n_averaged={self.n_averaged})"


@checked
class SWA(Average):
    """The mean of a model's parameters over all updates (Izmailov et al., 2018).

    Norms keep the running moments of the model, which are not those of the averaged weights: let a
    few training forwards renew them where that matters.

    Args:
        model: whose parameters are averaged.
    """

    def __init__(self, model: Module) -> None:
        super().__init__(model)

    def _weight(self, count: int) -> float:
        return 1 / (count + 1)
