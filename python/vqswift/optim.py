"""Optimizers, learning-rate schedules and gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from . import _core
from ._arguments import checked, described
from ._interop import not_copied
from ._tensor import Tensor

# Parameters whose gradients were clipped, by identity.
_clipped: WeakValueDictionary[int, Tensor] = WeakValueDictionary()
_RATES = "learning_rates"
Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]]


def _handles(operation: str, parameters: Iterable[Tensor]) -> list[_core.TensorHandle]:
    handles = []
    for parameter in [parameters] if isinstance(parameters, Tensor) else parameters:
        if not isinstance(parameter, Tensor):
            given = described(parameter)
            raise TypeError(f"[{operation}] a parameter is {given}: a vqswift Tensor is required")
        handles.append(parameter._handle)
    return handles


@checked
class Optimizer:
    """What SGD, Adam and AdamW share.

    `params`: tensors made with `requires_grad`, or groups `{"params": ..., "lr": ...,
    "weight_decay": ...}` whose settings override the optimizer's. Codebooks never decay; biases and
    norms decay unless `decay_biases_and_norms=False`. No parameter may stand in two groups.
    """

    def __init__(
        self,
        params: Parameters,
        kind: int,
        lr: float,
        weight_decay: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decay_biases_and_norms: bool = True,
    ) -> None:
        items: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        groups: list[Mapping[str, Any]] = (
            items if items and isinstance(items[0], Mapping) else [{"params": items}]
        )
        for group in groups:
            unknown = set(group) - {"params", "lr", "weight_decay"}
            if unknown:
                raise ValueError(f"[optimizer] a group has unknown settings {sorted(unknown)}")
            if "params" not in group:
                raise ValueError(f"[optimizer] a group has {sorted(group)}: params are required")
        self._groups = [
            ([group["params"]] if isinstance(group["params"], Tensor) else list(group["params"]))
            for group in groups
        ]
        self.nesterov = nesterov
        self._decays = [float(group.get("weight_decay", weight_decay)) for group in groups]
        if len(betas) != 2:
            raise ValueError(f"[optimizer] betas = {betas}: two are required")
        self._handle = _core.optimizer_create(
            [
                (
                    _handles("optimizer", parameters),
                    group.get("lr", lr),
                    decay,
                )
                for group, parameters, decay in zip(groups, self._groups, self._decays, strict=True)
            ],
            kind,
            momentum,
            nesterov,
            *betas,
            eps,
            decay_biases_and_norms,
        )

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        _core.optimizer_step(self._handle)

    def zero_grad(self) -> None:
        """Drop the gradients of all parameters."""
        _core.optimizer_zero_grad(self._handle)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups as they are: "params", a list of tensors, "lr" and "weight_decay"."""
        settings = zip(self._groups, self.lrs, self._decays, strict=True)
        return [{"params": list(p), "lr": lr, "weight_decay": d} for p, lr, d in settings]

    @property
    def lrs(self) -> list[float]:
        """Learning rate of each group."""
        count = _core.optimizer_group_count(self._handle)
        return [_core.optimizer_learning_rate(self._handle, group) for group in range(count)]

    @lrs.setter
    def lrs(self, values: list[float]) -> None:
        if len(values) != len(self.lrs):
            raise ValueError(f"[optimizer] lrs {values}: there are {len(self.lrs)} groups")
        for group, value in enumerate(values):
            _core.optimizer_set_learning_rate(self._handle, group, value)

    @property
    def lr(self) -> float:
        """Learning rate of the first group; setting it sets that of every group."""
        return self.lrs[0]

    @lr.setter
    def lr(self, value: float) -> None:
        self.lrs = [value] * len(self.lrs)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Moments and step counts by name, and the groups' learning rates as float64 bits."""
        state = {n: Tensor._wrap(h).numpy() for n, h in _core.optimizer_state(self._handle)}
        return state | {_RATES: np.array(self.lrs, np.float64).view(np.int32)}

    def __reduce_ex__(self, protocol: Any) -> Any:
        not_copied(type(self).__name__)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken, bit for bit."""
        pairs = [(n, Tensor(value)._handle) for n, value in state.items() if n != _RATES]
        rates = np.asarray(state[_RATES], np.int32).view(np.float64) if _RATES in state else None
        if rates is not None and len(rates) != len(self.lrs):
            raise ValueError(
                f"[load_state_dict] {len(rates)} learning rates: there are {len(self.lrs)} groups"
            )
        _core.optimizer_load(self._handle, pairs)
        if rates is not None:
            self.lrs = rates.tolist()


@checked
class SGD(Optimizer):
    """Stochastic gradient descent with momentum; `weight_decay` adds to the gradient."""

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            0,
            lr,
            weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            decay_biases_and_norms=decay_biases_and_norms,
        )


@checked
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015); `weight_decay` adds to the gradient."""

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            1,
            lr,
            weight_decay,
            betas=betas,
            eps=eps,
            decay_biases_and_norms=decay_biases_and_norms,
        )


@checked
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            2,
            lr,
            weight_decay,
            betas=betas,
            eps=eps,
            decay_biases_and_norms=decay_biases_and_norms,
        )


@checked
class Schedule:
    """The factor of the learning rate by step: `schedule(step)`."""

    def __init__(
        self, kind: int, warmup: int, total: int, step_size: int, gamma: float, minimum: float
    ) -> None:
        self._options = (kind, warmup, total, step_size, gamma, minimum)
        self(0)

    def __call__(self, step: int) -> float:
        """The factor at `step`, counted from 0."""
        return _core.schedule_factor(*self._options, step)


@checked
def constant_schedule(warmup_steps: int = 0) -> Schedule:
    """1 after a linear warm-up."""
    return Schedule(0, warmup_steps, 0, 0, 1.0, 0.0)


@checked
def step_schedule(step_size: int, gamma: float = 0.1, warmup_steps: int = 0) -> Schedule:
    """Times `gamma` every `step_size` steps, after a linear warm-up."""
    return Schedule(1, warmup_steps, 0, step_size, gamma, 0.0)


@checked
def cosine_schedule(total_steps: int, minimum: float = 0.0, warmup_steps: int = 0) -> Schedule:
    """Half a cosine from 1 to `minimum` at `total_steps`, after a linear warm-up."""
    return Schedule(2, warmup_steps, total_steps, 0, 1.0, minimum)


@checked
def clip_grad_norm(params: Iterable[Tensor], maximum: float) -> float:
    """Scale gradients so that their joint L2 norm is at most `maximum`; returns the norm before."""
    parameters = [params] if isinstance(params, Tensor) else list(params)
    norm = _core.clip_grad_norm(_handles("clip_grad_norm", parameters), maximum)
    _clipped.update((id(parameter), parameter) for parameter in parameters)
    return norm


@checked
def clip_grad_value(params: Iterable[Tensor], maximum: float) -> None:
    """Clamp every gradient's elements to -maximum...maximum."""
    parameters = [params] if isinstance(params, Tensor) else list(params)
    _core.clip_grad_value(_handles("clip_grad_value", parameters), maximum)
    _clipped.update((id(parameter), parameter) for parameter in parameters)


@checked
def is_clipped(parameter: Tensor) -> bool:
    """Whether a gradient of `parameter` has been clipped, by norm or by value."""
    return _clipped.get(id(parameter)) is parameter
