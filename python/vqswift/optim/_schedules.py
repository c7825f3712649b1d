"""Learning-rate schedules: factors of the base rates."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from .. import _core
from .._arguments import checked, described, refuse
from ._plateau import PlateauSchedule

# What the core's messages call the options.
_OPTIONS = {
    "warm_up": "warmup_steps",
    "every": "step_size",
    "total": "total_steps",
    "minimum_factor": "minimum",
}


@checked
class Schedule:
    """The factor of the learning rate by step: `optimizer.scale_lr(schedule(step))`."""

    def __init__(self, kind: str, **options: Any) -> None:
        self._kind, self._options = kind, options
        try:
            self(0)
        except ValueError as error:
            raise ValueError(_with_options(str(error))) from None

    def __repr__(self) -> str:
        text = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"{self._kind}_schedule({text})"

    def __call__(self, step: int) -> float:
        """The factor at `step`, counted from 0."""
        return _core.schedule_factor(self._kind, self._options, step)


def _with_options(text: str) -> str:
    """The core's message with the option's name as it is here."""
    return re.sub(r"(?<=\] )\w+(?= = )", lambda name: _OPTIONS.get(name[0], name[0]), text, count=1)


@checked
def constant_schedule(warmup_steps: int = 0) -> Schedule:
    """1 after a linear warm-up."""
    return Schedule("constant", warmup_steps=warmup_steps)


@checked
def step_schedule(step_size: int, gamma: float = 0.1, warmup_steps: int = 0) -> Schedule:
    """Times `gamma` every `step_size` steps, after a linear warm-up."""
    return Schedule("step", step_size=step_size, gamma=gamma, warmup_steps=warmup_steps)


@checked
def cosine_schedule(total_steps: int, minimum: float = 0.0, warmup_steps: int = 0) -> Schedule:
    """Half a cosine from 1 to `minimum` at `total_steps`, after a linear warm-up."""
    return Schedule("cosine", total_steps=total_steps, minimum=minimum, warmup_steps=warmup_steps)


@checked
def exponential_schedule(gamma: float, warmup_steps: int = 0) -> Schedule:
    """Times `gamma` every step, after a linear warm-up."""
    return Schedule("exponential", gamma=gamma, warmup_steps=warmup_steps)


@checked
def multistep_schedule(
    milestones: Sequence[int], gamma: float = 0.1, warmup_steps: int = 0
) -> Schedule:
    """Times `gamma` at each of `milestones`, which increase from at least 1; they count from the
    end of a linear warm-up."""
    return Schedule(
        "multistep", milestones=tuple(milestones), gamma=gamma, warmup_steps=warmup_steps
    )


@checked
def one_cycle_schedule(
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """One rise and fall (Smith and Topin, 2018): torch's OneCycleLR, whose `max_lr` is the base
    rate that the optimizer has.

    From `1 / div_factor` to 1 in the share `pct_start` of the steps, then to
    `1 / (div_factor * final_div_factor)` at step `total_steps - 1`, where it stays. With
    `three_phase` it first falls as it rose.
    """
    return Schedule(
        "one_cycle",
        total_steps=total_steps,
        pct_start=pct_start,
        anneal_strategy=anneal_strategy,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        three_phase=three_phase,
    )


class JoinedSchedule:
    """Schedules one after the other, as `joined_schedule` makes it."""

    def __init__(
        self, schedules: tuple[Callable[[int], float], ...], milestones: tuple[int, ...]
    ) -> None:
        self._schedules, self._milestones = schedules, milestones

    def __repr__(self) -> str:
        return f"joined_schedule({[*self._schedules]!r}, {[*self._milestones]!r})"

    def __call__(self, step: int) -> float:
        """The factor at `step`, counted from 0."""
        place = bisect_right(self._milestones, step)
        start = self._milestones[place - 1] if place else 0
        return float(self._schedules[place](step - start))

    def state_dict(self) -> dict[str, Any]:
        """The states of those that have one, by their places."""
        return {str(place): each.state_dict() for place, each in self._stateful().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken.

        ValueError for other places, and as the schedules raise it; nothing changes then.
        """
        self._load(self._checked_state(state))

    def _checked_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        own = self._stateful()
        if not isinstance(state, Mapping):
            refuse("load_state_dict", "state", state, "a mapping")
        if state.keys() != {*map(str, own)}:
            raise ValueError(f"[load_state_dict] places {[*state]}: they must be {[*own]}")
        return {str(place): each._checked_state(state[str(place)]) for place, each in own.items()}

    def _load(self, state: Mapping[str, Any]) -> None:
        for place, each in self._stateful().items():
            each._load(state[str(place)])

    def _stateful(self) -> dict[int, PlateauSchedule | JoinedSchedule]:
        return {
            place: each
            for place, each in enumerate(self._schedules)
            if isinstance(each, (PlateauSchedule, JoinedSchedule))
        }


@checked
def joined_schedule(
    schedules: Sequence[Callable[[int], float]], milestones: Sequence[int]
) -> JoinedSchedule:
    """One of `schedules` after the other, the next from each of `milestones` on, where it begins at
    its own step 0: torch's SequentialLR.

    A schedule is any function from a step to a factor of the base rate. ValueError unless there is
    one milestone fewer than schedules, and they increase from at least 1.
    """
    ends = tuple(milestones)
    if len(ends) + 1 != len(schedules):
        raise ValueError(
            f"[joined_schedule] {len(schedules)} schedules and {len(ends)} milestones: "
            "one milestone is required between each and the next"
        )
    if any(a >= b for a, b in pairwise((0, *ends))):
        raise ValueError(f"[joined_schedule] milestones {[*ends]}: must increase from at least 1")
    for schedule in schedules:
        if not callable(schedule):
            raise TypeError(
                f"[joined_schedule] a schedule is {described(schedule)}: a function is required"
            )
    return JoinedSchedule(tuple(schedules), ends)
