"""Modules of the core behind one handle."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked, operation_of
from .._hints import for_channels, refuse_of_module
from .._integers import as_layer_input
from .._options import Made, create
from .._random import Generator
from .._tensor import Tensor
from ._module import Module

_Layer = TypeVar("_Layer", bound="Native")


def _positional(layer: Native) -> set[str]:
    """The parameters of a layer's kind that are given without their names."""
    parameters = inspect.signature(type(layer)).parameters.values()
    return {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}


def blank(kind: type[_Layer]) -> _Layer:
    """A layer of the class that is filled without `__init__`."""
    return kind.__new__(kind)


@checked
class Native(Module):
    """A module of the core behind one handle."""

    _handle: _core.ModuleHandle
    _made: Made | None
    _tensors: dict[str, Tensor]

    def __init__(self, made: Made | _core.ModuleHandle) -> None:
        super().__init__()
        handle = made.handle if isinstance(made, Made) else made
        known = made if isinstance(made, Made) else None
        # Past `__setattr__`, which asks for both.
        self.__dict__.update(_handle=handle, _made=known, _tensors={})

    @property
    def options(self) -> dict[str, Any]:
        """What the layer was made of, by name: every option of its kind, None for none."""
        return {} if self._made is None else self._made.every()

    def _arguments(self) -> dict[str, Any] | None:
        if self._made is None:
            return None
        known, options = inspect.signature(type(self)).parameters, self._made.every()
        given = {n: options[n] for n in known if options.get(n) is not None}
        return given | ({"padding": "same"} if options.get("same") else {})

    def _title(self) -> str:
        made = self._made if type(self) is Native else None
        return made.kind if made is not None else super()._title()

    def _options_text(self) -> str:
        return "" if self._made is None else self._made.shown(_positional(self))

    @property
    def training(self) -> bool:
        """Whether the layer is in training."""
        return _core.module_is_training(self._handle)

    @training.setter
    def training(self, mode: bool) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        _core.module_set_training(self._handle, bool(mode))

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and name in self._native_names():
            raise TypeError(f"[setattr] {name} belongs to the layer: write it by .assign(value)")
        if self._is_option(name) and not hasattr(type(self), name):
            raise AttributeError(
                f"[{operation_of(type(self))}] {name} = {value!r}: it stays as the layer was made "
                "with; make another layer"
            )
        super().__setattr__(name, value)

    def _is_option(self, name: str) -> bool:
        made = self.__dict__.get("_made")
        return made is not None and made.has(name)

    def _native_names(self) -> set[str]:
        if "_handle" not in self.__dict__:
            return set()
        every = _core.module_parameters(self._handle, True) + _core.module_buffers(self._handle)
        return {name for name, _ in every}

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        given = self._input(x)._handle
        try:
            return Tensor._wrap(_core.module_forward(self._handle, given))
        except ValueError as error:
            hint = for_channels(str(error), self._channels(), x)
            if not hint:
                raise
            raise type(error)(f"{error}{hint}") from None

    def _channels(self) -> int | None:
        """The size that the last axis must have, where an option says it."""
        options = self.options
        names = ("in_channels", "in_features", "features", "feature_size", "channels")
        return next((options[name] for name in names if options.get(name) is not None), None)

    def _input(self, x: npt.ArrayLike | Tensor) -> Tensor:
        return as_layer_input(operation_of(type(self)), x)

    def _own_parameters(self, every: bool) -> list[tuple[str, Tensor]]:
        # One object for one parameter, so that `id` and sets tell parameters apart.
        own = [
            (n, self._tensors.setdefault(n, Tensor._wrap(h)))
            for n, h in _core.module_parameters(self._handle, every)
        ]
        return own + super()._own_parameters(every)

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        own = [(n, Tensor._wrap(h)) for n, h in _core.module_buffers(self._handle)]
        return own + super()._own_buffers()

    def _own_optional_buffers(self) -> list[tuple[str, Tensor]]:
        return [(n, Tensor._wrap(h)) for n, h in _core.module_optional_buffers(self._handle)]

    def _load_own(self, state: dict[str, np.ndarray], writes: bool) -> None:
        added = self._held_parameters().keys() | self._buffers.keys()
        super()._load_own({n: value for n, value in state.items() if n in added}, writes)
        pairs = [(n, Tensor(value)._handle) for n, value in state.items() if n not in added]
        _core.module_load(self._handle, pairs, False, writes)

    def _own_generators(self) -> list[tuple[str, _core.TensorHandle]]:
        return _core.module_generators(self._handle)

    def _load_generators(self, state: dict[str, Any]) -> None:
        pairs = [(name, Tensor(value)._handle) for name, value in state.items()]
        _core.module_load_generators(self._handle, pairs)

    def _share_moments(self) -> bool:
        """Let batch norms take the moments of all ranks' vectors; whether there are any."""
        from ..distributed._batch_norm import exchanged

        found = _core.module_exchange_moments(self._handle, exchanged) > 0
        self.__dict__["_shares_moments"] = found
        return found

    # Copies: from options and state, as if the layer had been made and trained again.

    def __reduce_ex__(self, protocol: Any) -> Any:
        return blank, (type(self),), self._copied()

    def _copied(self) -> dict[str, Any]:
        """What `__setstate__` makes the layer anew from."""
        made = self._made
        assert made is not None, type(self).__name__
        own = ("_handle", "_made", "_tensors", "_weight_quantizers")
        attributes = {name: value for name, value in self.__dict__.items() if name not in own}
        state = _core.module_parameters(self._handle, True) + _core.module_buffers(self._handle)
        return {
            "made": (made.kind, dict(made.options)),
            "attributes": attributes,
            "quantizers": self._layer_quantizers(),
            # What another attribute may hold too is copied once, and put back in its place.
            "state": {n: self._tensors.get(n, Tensor._wrap(h).numpy()) for n, h in state},
            "fixed": [n for n, h in state if self._is_fixed(h)],
            "generators": {n: Tensor._wrap(h).numpy() for n, h in self._own_generators()},
            "training": self.training,
        }

    def __setstate__(self, copied: dict[str, Any]) -> None:
        words = next(iter(copied["generators"].values()), np.zeros(6, np.int32))
        seed, stream, _ = (int(word) for word in words.view(np.uint64))
        self._restore(create(*copied["made"], generator=Generator(seed, stream)), copied)

    def _restore(self, made: Made | _core.ModuleHandle, copied: dict[str, Any]) -> None:
        Native.__init__(self, made)
        self.__dict__.update(copied["attributes"])
        self._before_state()
        pairs = [(name, Tensor(value)._handle) for name, value in copied["state"].items()]
        _core.module_load(self._handle, pairs, False, True)
        for name, parameter in _core.module_parameters(self._handle, True):
            if name in copied["fixed"]:
                _core.tensor_set_requires_grad(parameter, False)
            if isinstance(value := copied["state"][name], Tensor):
                value._handle = parameter
                self._tensors[name] = value
        # After the weights, which a quantizer would take its range from.
        for (name, handle), quantizer in zip(
            _core.module_weighted_layers(self._handle), copied["quantizers"], strict=True
        ):
            if quantizer is not None:
                _core.module_set_weight_quantizer(handle, quantizer._handle)
                weight = dict(self._own_parameters(True))[f"{name}.weight".lstrip(".")]
                self.__dict__.setdefault("_weight_quantizers", {})[id(weight)] = quantizer
        Native._load_generators(self, copied["generators"])
        if self._shares_moments:
            self._share_moments()
        _core.module_set_training(self._handle, copied["training"])

    @staticmethod
    def _is_fixed(parameter: _core.TensorHandle) -> bool:
        """Whether it is a parameter that is frozen."""
        return _core.tensor_is_leaf(parameter) and not _core.tensor_requires_grad(parameter)

    def _before_state(self) -> None:
        """Give a copy what its state depends on."""

    def _layer_quantizers(self) -> list[Native | None]:
        """The quantizer of the weight of each linear or convolution layer."""
        given: dict[int, Native] = self.__dict__.get("_weight_quantizers", {})
        weights = dict(self._own_parameters(True)) if given else {}
        return [
            given.get(id(weights[f"{name}.weight".lstrip(".")])) if given else None
            for name, _ in _core.module_weighted_layers(self._handle)
        ]

    # Layers declare the tensors that they have, so that a checker knows a misspelt one.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Tensor:
            if not name.startswith("_"):
                for own, tensor in self._own_parameters(True) + self._own_buffers():
                    if own == name:
                        return tensor
            refuse_of_module(operation_of(type(self)), name)
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
