"""The base of everything that has parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from .. import _core
from .._tensor import Tensor

Self = TypeVar("Self", bound="Module")


class Module:
    """A network or a part of one: subclass it, assign layers in `__init__`, write `forward`.

    Attributes that are modules become children, attributes that are `Tensor(..., requires_grad=True)`
    become parameters; both keep their attribute's name, dotted where they nest. `state_dict` is in
    torch's layouts, so weights move both ways.
    """

    training: bool = True

    def __init__(self) -> None:
        self._parameters: dict[str, Tensor] = {}
        self._buffers: dict[str, Tensor] = {}
        self._children: dict[str, Module] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module):
            self._registry("_children")[name] = value
        elif isinstance(value, Tensor) and value.requires_grad and _core.tensor_is_leaf(value._handle):
            self._registry("_parameters")[name] = value
        object.__setattr__(self, name, value)

    def _registry(self, kind: str) -> dict[str, Any]:
        try:
            return self.__dict__[kind]
        except KeyError:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before assigning layers"
            ) from None

    def register_buffer(self, name: str, value: Tensor) -> None:
        """Keep `value` in the state, as the attribute `name`, without training it."""
        self._registry("_buffers")[name] = value
        object.__setattr__(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    # Walking

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct children."""
        yield from self._children.items()

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        yield self
        for _, child in self.named_children():
            yield from child.modules()

    def _own_parameters(self, every: bool) -> list[tuple[str, Tensor]]:
        return list(self._parameters.items())

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        return list(self._buffers.items())

    def _load_own(self, state: dict[str, np.ndarray]) -> None:
        targets = dict(self._own_parameters(True) + self._own_buffers())
        for name, value in state.items():
            targets[name].assign(value.astype(targets[name].dtype, copy=False))

    def _walk_parameters(self, every: bool) -> Iterator[tuple[str, Tensor]]:
        yield from self._own_parameters(every)
        for name, child in self.named_children():
            for below, tensor in child._walk_parameters(every):
                yield f"{name}.{below}", tensor

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs (dotted name, tensor) for the optimizer.

        A codebook that an in-place optimizer owns is not among them; it is in `state_dict`.
        """
        yield from self._walk_parameters(False)

    def parameters(self) -> list[Tensor]:
        """The tensors of `named_parameters`."""
        return [tensor for _, tensor in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs (dotted name, tensor) of what is kept and not trained."""
        yield from self._own_buffers()
        for name, child in self.named_children():
            for below, tensor in child.named_buffers():
                yield f"{name}.{below}", tensor

    # State

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers by name."""
        state = {name: tensor.numpy() for name, tensor in self._walk_parameters(True)}
        state.update((name, tensor.numpy()) for name, tensor in self.named_buffers())
        return state

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into parameters and buffers by name.

        `strict`: every name must be there and no other. KeyError names what is missing or
        unexpected, ValueError a shape that differs; nothing changes then.
        """
        own = dict(self._walk_parameters(True)) | dict(self.named_buffers())
        arrays = {name: np.asarray(value) for name, value in state.items()}
        missing = [name for name in own if name not in arrays]
        unexpected = [name for name in arrays if name not in own]
        if strict and (missing or unexpected):
            raise KeyError(f"[load_state_dict] missing {missing}, unexpected {unexpected}")
        for name, tensor in own.items():
            if name in arrays and arrays[name].shape != tensor.shape:
                raise ValueError(
                    f"[load_state_dict] {name}: shape {list(arrays[name].shape)} does not fit "
                    f"{list(tensor.shape)}"
                )
        self._load(arrays)

    def _load(self, arrays: dict[str, np.ndarray]) -> None:
        mine = {name for name, _ in self._own_parameters(True) + self._own_buffers()}
        self._load_own({name: arrays[name] for name in mine if name in arrays})
        for child_name, child in self.named_children():
            prefix = child_name + "."
            child._load(
                {name[len(prefix) :]: v for name, v in arrays.items() if name.startswith(prefix)}
            )

    # Mode

    def train(self: Self, mode: bool = True) -> Self:
        """Switch this module and all below it to training; returns it."""
        object.__setattr__(self, "training", mode)
        for _, child in self.named_children():
            child.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Switch this module and all below it to evaluation; returns it."""
        return self.train(False)


class Native(Module):
    """A module of the core behind one handle."""

    def __init__(self, handle: _core.ModuleHandle) -> None:
        super().__init__()
        self._handle = handle

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output."""
        return Tensor._wrap(_core.module_forward(self._handle, x._handle))

    def _own_parameters(self, every: bool) -> list[tuple[str, Tensor]]:
        return [(n, Tensor._wrap(h)) for n, h in _core.module_parameters(self._handle, every)]

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        return [(n, Tensor._wrap(h)) for n, h in _core.module_buffers(self._handle)]

    def _load_own(self, state: dict[str, np.ndarray]) -> None:
        pairs = [(name, Tensor(value)._handle) for name, value in state.items()]
        _core.module_load(self._handle, pairs, False)

    def train(self: Self, mode: bool = True) -> Self:
        _core.module_set_training(self._handle, mode)
        return super().train(mode)

    def __getattr__(self, name: str) -> Tensor:
        if not name.startswith("_"):
            for own, tensor in self._own_parameters(True) + self._own_buffers():
                if own == name:
                    return tensor
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
