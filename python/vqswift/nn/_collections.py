"""Modules and parameters by number or name, as PyTorch's ModuleList, ModuleDict, Parameter."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, overload

import numpy.typing as npt

from .._arguments import checked
from .._tensor import Tensor
from ._module import Module


@checked
class Parameter(Tensor):
    """A tensor that a module trains: `Tensor(array, requires_grad=True)` under PyTorch's name."""

    __slots__ = ()

    def __init__(self, array: npt.ArrayLike | Tensor, requires_grad: bool = True) -> None:
        if not requires_grad:
            raise ValueError(
                "[parameter] requires_grad = False: module.register_buffer(name, tensor) keeps a "
                "tensor in the state without training it"
            )
        super().__init__(array, requires_grad=True)


def _require_module(operation: str, value: object) -> Module:
    if not isinstance(value, Module):
        raise TypeError(f"[{operation}] a {type(value).__name__} is no layer: Modules are required")
    return value


@checked
class ModuleList(Module):
    """Modules by number, named "0", "1", ...: a list whose elements must be modules.

    A plain list in an attribute registers its layers too.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _arguments(self) -> dict[str, Any]:
        return {"modules": [*self]}

    def _replace(self, modules: Iterable[Any]) -> Self:
        replacing = [_require_module("module_list", module) for module in modules]
        self._children.clear()
        self._children.update((str(index), module) for index, module in enumerate(replacing))
        return self

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the list."""
        return self._replace([*self, module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; returns the list."""
        return self._replace([*self, *modules])

    def insert(self, index: int, module: Module) -> None:
        """Put a module before that of `index`."""
        modules = [*self]
        modules.insert(index, module)
        self._replace(modules)

    def pop(self, index: int = -1) -> Module:
        """Take a module out."""
        modules: list[Module] = [*self]
        taken = modules.pop(index)
        self._replace(modules)
        return taken

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module | ModuleList:
        modules: list[Module] = [*self]
        return ModuleList(modules[index]) if isinstance(index, slice) else modules[index]

    def __setitem__(self, index: int, module: Module) -> None:
        modules = [*self]
        modules[index] = module
        self._replace(modules)

    def __delitem__(self, index: int | slice) -> None:
        modules = [*self]
        del modules[index]
        self._replace(modules)

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __iter__(self) -> Iterator[Module]:
        return iter([*self._children.values()])

    def __len__(self) -> int:
        return len(self._children)


@checked
class ModuleDict(Module):
    """Modules by name: a dict whose values must be modules and whose keys have no dot.

    A plain dict in an attribute registers its layers too.
    """

    def __init__(self, modules: Mapping[str, Module] | ModuleDict | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def _arguments(self) -> dict[str, Any]:
        return {"modules": dict(self.items())}

    def update(self, modules: Mapping[str, Module] | ModuleDict) -> None:
        """Add modules, or put them in the place of those of their names."""
        added = {_name(key): _require_module("module_dict", m) for key, m in modules.items()}
        self._children.update(added)

    def pop(self, key: str) -> Module:
        """Take a module out."""
        module: Module = self._children.pop(key)
        return module

    def clear(self) -> None:
        """Take all modules out."""
        self._children.clear()

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._children.keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._children.values()

    def items(self) -> ItemsView[str, Module]:
        """Pairs (name, module)."""
        return self._children.items()

    def __getitem__(self, key: str) -> Module:
        module: Module = self._children[key]
        return module

    def __setitem__(self, key: str, module: Module) -> None:
        self.update({key: module})

    def __delitem__(self, key: str) -> None:
        del self._children[key]

    def __contains__(self, key: object) -> bool:
        return key in self._children

    def __iter__(self) -> Iterator[str]:
        return iter([*self._children])

    def __len__(self) -> int:
        return len(self._children)


def _name(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"[module_dict] key {key!r}: a str is required")
    if not key or "." in key:
        raise ValueError(f"[module_dict] key {key!r}: it must have no dot and not be empty")
    return key


# Layers that a constructor makes by number: more would take minutes, and a wrong number days.
MOST_LAYERS = 10_000


def require_layers(operation: str, count: int) -> None:
    """ValueError unless so many layers can be made."""
    if not 1 <= count <= MOST_LAYERS:
        raise ValueError(
            f"[{operation}] num_layers = {count}: must be at least 1 and at most {MOST_LAYERS}"
        )
