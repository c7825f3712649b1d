"""The groups of an optimizer as mappings that reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, NoReturn, SupportsIndex

import numpy as np

from .._arguments import refuse
from .._tensor import Tensor


class ParameterGroup(MutableMapping[str, Any]):
    """Parameters that share settings, which are the optimizer's own: what is written counts.

    "lr" is the rate of the next step and "initial_lr" the base rate, which a schedule's factor
    multiplies; writing "lr" sets both. "weight_decay" can be written too. "params" and the
    optimizer's other settings are as it was made, and a write of them is refused.
    """

    __slots__ = ("_fixed", "_get", "_write")

    def __init__(
        self,
        fixed: dict[str, Any],
        get: dict[str, Callable[[], float]],
        write: dict[str, Callable[[float], None]],
    ) -> None:
        self._fixed, self._get, self._write = fixed, get, write

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__slots__:
            raise AttributeError(f"[optimizer] {name} = {value!r}: write group[{name!r}]")
        object.__setattr__(self, name, value)

    @property
    def params(self) -> tuple[Tensor, ...]:
        """The group's parameters."""
        params: tuple[Tensor, ...] = self._fixed["params"]
        return params

    def __getitem__(self, key: str) -> Any:
        return self._get[key]() if key in self._get else self._fixed[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self._write:
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number, Tensor)):
                refuse("optimizer", key, value, "a number")
            self._write[key](float(value))
        elif key in self._fixed:
            raise ValueError(
                f"[optimizer] {key} = {value!r}: {key!r} stays as the optimizer was made with; "
                "make another and load the state_dict"
            )
        else:
            raise ValueError(f"[optimizer] {key} = {value!r}: a group has {[*self]} and no {key!r}")

    def __delitem__(self, key: str) -> NoReturn:
        raise TypeError(f"[optimizer] {key!r} cannot be deleted from a group")

    def __iter__(self) -> Iterator[str]:
        yield "params"
        yield from self._get
        yield from (key for key in self._fixed if key != "params")

    def __len__(self) -> int:
        return len(self._get) + len(self._fixed)

    def __repr__(self) -> str:
        shapes = ", ".join(str([*p.shape]) for p in self.params)
        settings = {key: self[key] for key in self if key != "params"}
        return f"ParameterGroup([{shapes}], {settings})"


class Rates(list[float]):
    """The learning rates of an optimizer's groups: an element that is written counts."""

    def __init__(self, values: list[float], write: Callable[[int, float], None]) -> None:
        super().__init__(values)
        self._write = write

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            raise TypeError("[optimizer] lrs: write one rate by its index, or all by lrs = [...]")
        if not isinstance(index, SupportsIndex):
            refuse("optimizer", "index of lrs", index, "an integer")
        self._write(range(len(self))[index], float(value))
        super().__setitem__(index, float(value))

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError(f"[optimizer] lrs: there are {len(self)} groups, no more and no fewer")

    append = extend = insert = remove = clear = sort = reverse = _refuse  # type: ignore[assignment]
    __delitem__ = __iadd__ = __imul__ = _refuse

    def pop(self, index: SupportsIndex = -1) -> NoReturn:
        """Refused: the number of groups is fixed."""
        self._refuse(index)
