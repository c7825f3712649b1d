"""What all optimizers share: parameters in groups, rates, steps, state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import _core
from .._arguments import checked, described, is_number, refuse
from .._fitting import fitted
from .._interop import not_copied
from .._tensor import Tensor
from .._warning import warn
from ._param_groups import ParameterGroup, Rates

_RATES, _DECAYS = "learning_rates", "weight_decays"
_Item = TypeVar("_Item")
Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]]


def handles_of(operation: str, parameters: Iterable[Tensor]) -> list[_core.TensorHandle]:
    handles = []
    for parameter in [parameters] if isinstance(parameters, Tensor) else parameters:
        if not isinstance(parameter, Tensor):
            given, named = described(parameter), isinstance(parameter, tuple)
            hint = "; write model.parameters(), which has no names" if named else ""
            raise TypeError(
                f"[{operation}] a parameter is {given}: a vqswift Tensor is required{hint}"
            )
        handles.append(parameter._handle)
    return handles


def _parameters_of(group: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """The parameters of a group; ValueError unless its settings are those that groups have."""
    unknown = set(group) - {"params", "lr", "weight_decay"} - ({"betas"} & settings.keys())
    if unknown:
        raise ValueError(f"[optimizer] a group has unknown settings {sorted(unknown)}")
    if "params" not in group:
        raise ValueError(f"[optimizer] a group has {sorted(group)}: params are required")
    given = group["params"]
    return (given,) if isinstance(given, Tensor) else tuple(given)


def _betas_of(group: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """The group's own betas by their name; empty for none."""
    if "betas" not in group:
        return {}
    betas = group["betas"]
    if not isinstance(betas, (tuple, list)) or not all(map(is_number, betas)):
        refuse("optimizer", "betas", betas, "a pair of numbers")
    first, second = two("betas", betas)
    return {"betas": (float(first), float(second))}


@checked
class Optimizer:
    """What SGD, Adam and the others share.

    `params`: tensors made with `requires_grad`, or groups `{"params": ..., "lr": ...,
    "weight_decay": ...}`, with "betas" where the optimizer has some, whose settings override the
    optimizer's. Codebooks never decay; biases and norms decay unless
    `decay_biases_and_norms=False`. No parameter may stand in two groups.

    A group has two rates: the base rate, which the user sets, and that of the next step, which is
    `factor` times it after `scale_lr(factor)`, as a schedule wants. Writing `lr`, `lrs` or a
    group's "lr" sets both.
    """

    decay_biases_and_norms: bool

    def __init__(
        self, params: Parameters, kind: str, lr: float, weight_decay: float, **settings: Any
    ) -> None:
        items: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        groups: list[Mapping[str, Any]] = (
            items if items and isinstance(items[0], Mapping) else [{"params": items}]
        )
        self._groups = [_parameters_of(group, settings) for group in groups]
        if not any(self._groups):
            raise ValueError(
                f"[{kind}] parameters = []: at least one parameter is required; a model has those "
                "of layers that are its attributes, or stand in its lists and dicts"
            )
        self._settings = settings
        self._defaults = {"lr": float(lr), "weight_decay": float(weight_decay)}
        self._decays = [float(group.get("weight_decay", weight_decay)) for group in groups]
        self._betas = [_betas_of(group) for group in groups]
        handles = [handles_of("optimizer", parameters) for parameters in self._groups]
        self._handle = _core.optimizer_create(kind, settings)
        self._lrs = [float(group.get("lr", lr)) for group in groups]
        for made in zip(handles, self._lrs, self._decays, self._betas, strict=True):
            self._add(*made)
        self._base_lrs = list(self._lrs)
        self._is_idle = False

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Take further parameters `{"params": ..., "lr": ..., "weight_decay": ...}`, with "betas"
        where the optimizer has some, as at the start; a setting that is left out is the one that
        the optimizer was made with.

        ValueError for a parameter that it has already; nothing changes then.
        """
        parameters, betas = _parameters_of(group, self._settings), _betas_of(group)
        if not parameters:
            raise ValueError("[optimizer] params = []: at least one parameter is required")
        rate, decay = (float(group.get(name, value)) for name, value in self._defaults.items())
        self._add(handles_of("optimizer", parameters), rate, decay, betas)
        self._groups.append(parameters)
        self._betas.append(betas)
        self._lrs.append(rate)
        self._base_lrs.append(rate)
        self._decays.append(decay)

    def _add(
        self,
        parameters: list[_core.TensorHandle],
        rate: float,
        decay: float,
        betas: Mapping[str, tuple[float, float]],
    ) -> None:
        if betas:
            both = betas["betas"]
            _core.optimizer_add_group_with_betas(self._handle, parameters, rate, decay, *both)
        else:
            _core.optimizer_add_group(self._handle, parameters, rate, decay)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_settings", ()) or name == "learning_rate":
            why = (
                "it is lr" if name == "learning_rate" else "it stays as the optimizer was made with"
            )
            raise AttributeError(f"[optimizer] {name} = {value!r}: {why}")
        object.__setattr__(self, name, value)

    # Optimizers declare their settings, so that a checker knows a misspelt one.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            settings = self.__dict__.get("_settings", {})
            if name not in settings:
                raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
            return settings[name]

    @property
    def weight_decay(self) -> float:
        """Weight decay of the first group; setting it sets that of every group."""
        return self._decays[0]

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        for index in range(len(self._decays)):
            self._set_decay(index, float(value))

    def step(self) -> None:
        """Update every parameter that has a gradient.

        RuntimeWarning, once, when `scale_lr(0)` left no group a rate.
        """
        if self._is_idle:
            self._is_idle = False
            warn(
                "[optimizer] the learning rate is 0: the schedule has come to its end, and steps "
                "change nothing; give another schedule, or set lr",
                RuntimeWarning,
            )
        _core.optimizer_step(self._handle)

    def zero_grad(self) -> None:
        """Drop the gradients of all parameters."""
        _core.optimizer_zero_grad(self._handle)

    @property
    def param_groups(self) -> tuple[ParameterGroup, ...]:
        """The groups: mappings of "params", "lr", "initial_lr", "weight_decay" and the optimizer's
        other settings. What is written into one counts, or is refused with ValueError."""
        return tuple(self._group(index) for index in range(len(self._groups)))

    def _group(self, index: int) -> ParameterGroup:
        return ParameterGroup(
            {"params": self._groups[index]} | self._settings | self._betas[index],
            {
                "lr": lambda: self.lrs[index],
                "initial_lr": lambda: self._base_lrs[index],
                "weight_decay": lambda: self._decays[index],
            },
            {
                "lr": partial(self._set_lr, index),
                "initial_lr": partial(self._set_base_lr, index),
                "weight_decay": partial(self._set_decay, index),
            },
        )

    def _set_lr(self, index: int, value: float) -> None:
        self._write(index, lr=value)
        self._base_lrs[index] = float(value)
        self._is_idle = False

    def _set_base_lr(self, index: int, value: float) -> None:
        """The base rate alone; the rate of the next step keeps its share of it."""
        base, current = self._base_lrs[index], self.lrs[index]
        self._set_lr(index, value)
        if current != base:
            factor = current / base if base else 0.0
            self._write(index, lr=value * factor)

    def _set_decay(self, index: int, value: float) -> None:
        self._write(index, decay=value)

    def scale_lr(self, factor: float) -> None:
        """Let every group's next steps have `factor` times its base rate, until the next call.

        What a schedule does: `optimizer.scale_lr(schedule(step))`; 1 gives the base rates back.
        """
        rates = [rate * factor for rate in self._base_lrs]
        for group, rate in enumerate(rates):
            self._write(group, lr=rate)
        self._is_idle = not any(rates) and any(self._base_lrs)

    def _write(self, index: int, lr: float | None = None, decay: float | None = None) -> None:
        rate = self._lrs[index] if lr is None else float(lr)
        decay = self._decays[index] if decay is None else float(decay)
        _core.optimizer_set_group(self._handle, index, rate, decay)
        self._lrs[index], self._decays[index] = rate, decay

    @property
    def base_lrs(self) -> tuple[float, ...]:
        """Base rate of each group: its learning rate without a schedule's factor."""
        return tuple(self._base_lrs)

    @property
    def lrs(self) -> list[float]:
        """Learning rate of each group in the next step; setting them sets the base rates too."""
        return Rates(self._lrs, self._set_lr)

    @lrs.setter
    def lrs(self, values: list[float]) -> None:
        if len(values) != len(self.lrs):
            raise ValueError(f"[optimizer] lrs {values}: there are {len(self.lrs)} groups")
        before = list(self._lrs)
        try:
            for group, value in enumerate(values):
                self._write(group, lr=value)
        except Exception:
            for group, rate in enumerate(before):
                self._write(group, lr=rate)
            raise
        self._base_lrs, self._is_idle = [*self._lrs], False

    @property
    def lr(self) -> float:
        """Learning rate of the first group in the next step; setting it sets that of every group,
        and the base rates."""
        return self.lrs[0]

    @lr.setter
    def lr(self, value: float) -> None:
        self.lrs = [value] * len(self.lrs)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Moments and steps by name, and the groups' base rates and decays as float64 bits."""
        state = {n: Tensor._wrap(h).numpy() for n, h in _core.optimizer_state(self._handle)}
        numbers = {_RATES: self._base_lrs, _DECAYS: self._decays}
        bits = {name: np.array(each, np.float64).view(np.int32) for name, each in numbers.items()}
        return state | bits

    def __repr__(self) -> str:
        named = {"lr": self.lr, **self._settings, "weight_decay": self.weight_decay}
        text = ", ".join(f"{name}={value!r}" for name, value in named.items())
        groups = f", {len(self._groups)} groups" if len(self._groups) > 1 else ""
        return f"{type(self).__name__}({text}{groups})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        not_copied(type(self).__name__)

    def _position(self) -> tuple[dict[str, np.ndarray], list[Any]]:
        """All that a second optimizer of the same kind needs to go on as this one."""
        return self.state_dict(), [[*self._lrs], [*self._base_lrs], [*self._decays], self._is_idle]

    def _go_on(self, state: Mapping[str, Any], rates: list[Any]) -> None:
        self.load_state_dict(state)
        for group, (rate, decay) in enumerate(zip(rates[0], rates[2], strict=True)):
            self._write(group, rate, decay)
        self._base_lrs, self._is_idle = [*rates[1]], rates[3]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken, bit for bit.

        ValueError or TypeError for a state of other parameters, with a negative step or rate, or
        NaN; nothing changes then.
        """
        pairs, rates, decays = self._checked_state(state)
        _core.optimizer_load(self._handle, pairs, True)
        if decays is not None:
            for index, decay in enumerate(decays):
                self._set_decay(index, decay)
        if rates is not None:
            self.lrs = rates

    def _checked_state(
        self, state: Mapping[str, Any]
    ) -> tuple[list[tuple[str, _core.TensorHandle]], list[float] | None, list[float] | None]:
        """What `load_state_dict` takes of `state`: handles, learning rates and weight decays."""
        kept = (_RATES, _DECAYS)
        pairs = [(name, Tensor(value)._handle) for name, value in state.items() if name not in kept]
        _core.optimizer_load(self._handle, pairs, False)
        return pairs, self._of_groups(state, _RATES), self._of_groups(state, _DECAYS)

    def _of_groups(self, state: Mapping[str, Any], name: str) -> list[float] | None:
        """The number of each group that `state` holds under that name; None for none."""
        if name not in state:
            return None
        shape = (2 * len(self._groups),)
        words = fitted("load_state_dict", name, state[name], np.dtype(np.int32), shape)
        numbers: list[float] = np.ascontiguousarray(words).view(np.float64).tolist()
        if not all(0 <= number < math.inf for number in numbers):
            raise ValueError(
                f"[load_state_dict] {name} {numbers}: each must be finite and at least 0"
            )
        return numbers


def two(name: str, values: Iterable[_Item]) -> tuple[_Item, _Item]:
    """`values` as a pair; ValueError unless there are two."""
    both = tuple(values)
    if len(both) != 2:
        raise ValueError(f"[optimizer] {name} = {values}: two are required")
    return both
