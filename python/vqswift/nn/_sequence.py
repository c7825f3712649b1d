"""Layers made of others that run as one in the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, overload

import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._tensor import Tensor, as_tensor
from ._activation import Flatten, Identity
from ._module import Module
from ._native import Native

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from ._hooks import Forwards

    Result = TypeVar("Result", covariant=True, default=Any)
else:
    from ._hooks import Result


class _Fused(Module):
    """Runs as one module of the core while every part is the core's own."""

    def __init__(self) -> None:
        super().__init__()
        self._fuse(None, [])

    _parts: list[_core.ModuleHandle]
    _handle: _core.ModuleHandle | None

    def _fuse(self, handle: _core.ModuleHandle | None, parts: list[_core.ModuleHandle]) -> None:
        object.__setattr__(self, "_handle", handle)
        object.__setattr__(self, "_parts", parts)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_parts": []}

    def _create(self, parts: list[_core.ModuleHandle]) -> _core.ModuleHandle:
        raise NotImplementedError

    def _input(self, x: Any) -> Tensor:
        """x as the first child that computes takes it."""
        for child in self.children():
            if isinstance(child, (Native, _Fused)) and not isinstance(child, (Identity, Flatten)):
                return child._input(x)
        return as_tensor(x)

    def _fused(self) -> _core.ModuleHandle | None:
        """The handle over the children as they are now; None when one has a Python forward."""
        handles = [_plain_handle(child) for child in self.children()]
        parts = [handle for handle in handles if handle is not None]
        if len(parts) < len(handles):
            return None
        if self._handle is None or [*map(id, parts)] != [*map(id, self._parts)]:
            self._fuse(self._create(parts), parts)
        return self._handle


def _require_module(operation: str, value: object) -> None:
    if not isinstance(value, Module):
        raise TypeError(f"[{operation}] a {type(value).__name__} is no layer: Modules are required")


@checked
class Sequential(_Fused, Generic[Result]):
    """Modules one after the other, named "0", "1", ...

    When all are native the whole runs as one native module, batch norm fused with a ReLU after it.
    Its type knows what the last one gives: `Sequential[Tensor]`.
    """

    if TYPE_CHECKING:
        # The last module says what the whole gives; of a list of them it is not known.
        @overload
        def __init__(
            self, *modules: *tuple[*tuple[Module, ...], Forwards[..., Result]]
        ) -> None: ...
        @overload
        def __init__(self: Sequential[Any], *modules: Module) -> None: ...
        def __init__(self, *modules: Any) -> None: ...  # type: ignore[misc]

    else:

        def __init__(self, *modules: Module) -> None:
            super().__init__()
            for index, module in enumerate(modules):
                _require_module("sequential", module)
                self._children[str(index)] = module

    def _arguments(self) -> dict[str, Any]:
        return {"modules": [*self.children()]}

    def _create(self, parts: list[_core.ModuleHandle]) -> _core.ModuleHandle:
        return _core.module_create("sequential", {}, parts, None)

    def forward(self, x: Any) -> Result:
        """The last module's output."""
        handle = self._fused()
        if handle is not None:
            x = Tensor._wrap(_core.module_forward(handle, self._input(x)._handle))
        else:
            for module in self.children():
                x = module(x)
        result: Result = x
        return result

    def __getitem__(self, index: int) -> Module:
        return list(self.children())[index]

    def __len__(self) -> int:
        return sum(1 for _ in self.children())


@checked
class Residual(_Fused):
    """x + body(x)."""

    def __init__(self, body: Module) -> None:
        super().__init__()
        _require_module("residual", body)
        self.body = body

    def _arguments(self) -> dict[str, Any]:
        return {"body": self.body}

    def _create(self, parts: list[_core.ModuleHandle]) -> _core.ModuleHandle:
        return _core.module_create("residual", {}, parts, None)

    def forward(self, x: Tensor | npt.ArrayLike) -> Tensor:
        """x plus the body's output."""
        handle = self._fused()
        if handle is not None:
            return Tensor._wrap(_core.module_forward(handle, self._input(x)._handle))
        body: Tensor = self.body(x)
        return as_tensor(x) + body


def _plain_handle(module: Module) -> _core.ModuleHandle | None:
    """The handle of a module whose forward is the core's, tensor to tensor; else None."""
    own_forward = type(module).forward in (Native.forward, Sequential.forward, Residual.forward)
    if not own_forward or "forward" in module.__dict__ or module._is_hooked:
        return None
    if isinstance(module, _Fused):
        return module._fused()
    return module._handle if isinstance(module, Native) else None
