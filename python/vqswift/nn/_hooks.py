"""Functions that are called with every forward of a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, Self, TypeVar

from .._arguments import checked

P = ParamSpec("P")
Result = TypeVar("Result", covariant=True)

if TYPE_CHECKING:

    class Forwards(Protocol[P, Result]):
        """What a call takes and gives: as `forward`."""

        def forward(self, *args: P.args, **kwargs: P.kwargs) -> Result: ...


class HookHandle:
    """What registering a hook gives: `remove()`, or the end of a `with`, takes the hook away."""

    def __init__(self, hooks: dict[int, Callable[..., Any]], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook away; nothing where it is gone already."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


@checked
class Hooks:
    """Calls of a module, with the hooks that are registered."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def register_forward_pre_hook(self, hook: Callable[[Any, Any], Any]) -> HookHandle:
        """Call `hook(module, args)` before every forward.

        What it gives, a tuple or a single value, replaces the positional arguments; None leaves
        them.
        """
        return self._register("_forward_pre_hooks", hook)

    def register_forward_hook(self, hook: Callable[[Any, Any, Any], Any]) -> HookHandle:
        """Call `hook(module, args, output)` after every forward.

        What it gives replaces the output; None leaves it. Hooks run in the order of registering. A
        module with hooks runs on its own, not fused with its neighbors.
        """
        return self._register("_forward_hooks", hook)

    def _register(self, kind: str, hook: Callable[..., Any]) -> HookHandle:
        # Past `__setattr__`, which takes a dict for a container of layers.
        hooks: dict[int, Callable[..., Any]] = self.__dict__.setdefault(kind, {})
        key = max(hooks, default=-1) + 1
        hooks[key] = hook
        return HookHandle(hooks, key)

    @property
    def _is_hooked(self) -> bool:
        own = self.__dict__
        return bool(own.get("_forward_pre_hooks")) or bool(own.get("_forward_hooks"))

    def __call__(self: Forwards[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        own = self.__dict__
        inputs: Any = args
        for before in [*own.get("_forward_pre_hooks", {}).values()]:
            given = before(self, inputs)
            if given is not None:
                inputs = given if isinstance(given, tuple) else (given,)
        output = self.forward(*inputs, **kwargs)
        for after in [*own.get("_forward_hooks", {}).values()]:
            given = after(self, inputs, output)
            if given is not None:
                output = given
        return output
