"""A schedule that follows a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from .._arguments import checked, refuse


@checked
class PlateauSchedule:
    """A factor that falls when a metric no longer improves: torch's ReduceLROnPlateau.

    Called with a step, as schedules are, it gives the factor that `step(metric)` has come to:

        schedule = vq.optim.PlateauSchedule(patience=3)
        trainer = vq.train.Trainer(model, optimizer, batches, schedule=schedule)
        for _ in range(epochs):
            trainer.fit(steps)
            schedule.step(vq.train.evaluate(model, images).mse)

    Args:
        mode: "min" for a metric that improves by falling, "max" by rising.
        factor: what the factor is multiplied by, in 0..<1.
        patience: metrics without improvement that are let pass.
        threshold: what counts as improvement: a share of the best metric so far for
            `threshold_mode="rel"`, a difference from it for "abs".
        cooldown: metrics after a fall that are not counted.
        minimum: the least factor.
        eps: a fall by this or less is left out.
    """

    def __init__(
        self,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        minimum: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        _require("mode", mode, mode in ("min", "max"), "must be 'min' or 'max'")
        _require("factor", factor, 0 <= factor < 1, "must be in 0..<1")
        _require("patience", patience, patience >= 0, "must be at least 0")
        _require("threshold", threshold, 0 <= threshold < math.inf, "must be finite and at least 0")
        names = ("rel", "abs")
        _require(
            "threshold_mode", threshold_mode, threshold_mode in names, "must be 'rel' or 'abs'"
        )
        _require("cooldown", cooldown, cooldown >= 0, "must be at least 0")
        _require("minimum", minimum, 0 <= minimum <= 1, "must be from 0 to 1")
        _require("eps", eps, 0 <= eps < math.inf, "must be finite and at least 0")
        self._mode, self._threshold_mode = mode, threshold_mode
        self._factor, self._threshold = float(factor), float(threshold)
        self._patience, self._cooldown = int(patience), int(cooldown)
        self._minimum, self._eps = float(minimum), float(eps)
        self._scale = 1.0
        self._best = math.inf if mode == "min" else -math.inf
        self._bad = self._cooling = 0

    def __repr__(self) -> str:
        return (
            f"PlateauSchedule(mode={self._mode!r}, factor={self._factor!r}, "
            f"patience={self._patience!r}, threshold={self._threshold!r}, "
            f"threshold_mode={self._threshold_mode!r}, cooldown={self._cooldown!r}, "
            f"minimum={self._minimum!r}, eps={self._eps!r})"
        )

    def __call__(self, step: int) -> float:
        """The factor now; the same for every step until `step` is called."""
        return self._scale

    def step(self, metric: float) -> float:
        """Take the next metric, NaN being no improvement; gives the factor from now on."""
        value = float(metric)
        if self._improves(value):
            self._best, self._bad = value, 0
        else:
            self._bad += 1
        if self._cooling:
            self._cooling -= 1
            self._bad = 0
        if self._bad > self._patience:
            lower = max(self._scale * self._factor, self._minimum)
            if self._scale - lower > self._eps:
                self._scale = lower
            self._cooling, self._bad = self._cooldown, 0
        return self._scale

    def _improves(self, value: float) -> bool:
        sign = -1.0 if self._mode == "min" else 1.0
        if self._threshold_mode == "abs":
            return sign * value > sign * (self._best + sign * self._threshold)
        return sign * value > sign * (self._best * (1 + sign * self._threshold))

    def state_dict(self) -> dict[str, float]:
        """The factor, the best metric, and the counts of metrics."""
        return {
            "scale": self._scale,
            "best": self._best,
            "num_bad_epochs": self._bad,
            "cooldown_counter": self._cooling,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken.

        ValueError for other names, a factor outside 0...1, NaN, or counts below 0; nothing changes
        then.
        """
        self._load(self._checked_state(state))

    def _checked_state(self, state: Mapping[str, Any]) -> dict[str, float]:
        names = self.state_dict().keys()
        if not isinstance(state, Mapping):
            refuse("load_state_dict", "state", state, "a mapping")
        if state.keys() != names:
            raise ValueError(f"[load_state_dict] names {[*state]}: they must be {[*names]}")
        numbers = {name: _number(name, value) for name, value in state.items()}
        if not 0 <= numbers["scale"] <= 1:
            raise ValueError(f"[load_state_dict] scale = {numbers['scale']}: must be from 0 to 1")
        if math.isnan(numbers["best"]):
            raise ValueError("[load_state_dict] best = nan: must be a number")
        for name in ("num_bad_epochs", "cooldown_counter"):
            if not (numbers[name] >= 0 and numbers[name].is_integer()):
                raise ValueError(
                    f"[load_state_dict] {name} = {numbers[name]}: must be an integer from 0"
                )
        return numbers

    def _load(self, numbers: Mapping[str, float]) -> None:
        self._scale, self._best = numbers["scale"], numbers["best"]
        self._bad, self._cooling = int(numbers["num_bad_epochs"]), int(numbers["cooldown_counter"])


def _require(name: str, value: object, holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(f"[plateau_schedule] {name} = {value!r}: {rule}")


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"[load_state_dict] {name} = {value!r}: a number is required")
    return float(value)
