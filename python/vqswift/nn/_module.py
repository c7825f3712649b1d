"""The base of everything that has parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .. import _core
from .._arguments import checked, operation_of
from .._arrays import as_array
from .._dtypes import BFloat16
from .._fitting import fitted
from .._hints import for_state, refuse_of_module
from .._random import Generator
from .._tensor import Tensor
from ._containers import Plain, elements_of_other, entries
from ._hooks import Hooks
from ._pretrained import Pretrained
from ._shown import Shown


@checked
class Module(Hooks, Pretrained, Shown):
    """A network or a part of one: subclass it, assign layers in `__init__`, write `forward`.

    Attributes that are modules become children, those that are `Tensor(..., requires_grad=True)`
    parameters; both keep their attribute's name, dotted where they nest. So do those in lists,
    tuples and dicts, at any depth and whenever they came there: the first of `self.layers = [...]`
    is "layers.0". `state_dict` is in torch's layouts, so weights move both ways.
    """

    training: bool = True
    _shares_moments = False

    def __init__(self) -> None:
        before = {name: v for name, v in vars(self).items() if isinstance(v, Plain)}
        for kind in ("_parameters", "_buffers", "_children"):
            object.__setattr__(self, kind, before if kind == "_children" else {})

    # By name: tensors, and in `_children` modules and the containers that may hold some.
    _parameters: dict[str, Tensor]
    _buffers: dict[str, Tensor]
    _children: dict[str, Any]

    def __setattr__(self, name: str, value: Any) -> None:
        kind = None
        if isinstance(value, Tensor) and name in self.__dict__.get("_buffers", ()):
            kind = "_buffers"
        elif isinstance(value, Module) or (isinstance(value, Plain) and "_children" in vars(self)):
            kind = "_children"
        elif _is_parameter(value):
            kind = "_parameters"
        elif isinstance(value, Tensor) and name in self.__dict__.get("_parameters", ()):
            raise TypeError(
                f"[setattr] {name} is a parameter: write it by .assign(value), or give a Tensor "
                "made with requires_grad=True"
            )
        elif any(map(_is_module, elements_of_other(value))):
            raise TypeError(
                f"[setattr] {name} is a {type(value).__name__} that holds layers: "
                "a list, tuple or dict is required, whose layers are children"
            )
        registry = {} if kind is None else self._registry(kind)
        object.__setattr__(self, name, value)
        registry[name] = value
        self._forget(name, kind)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            refuse_of_module(operation_of(type(self)), name)
            # What a property that failed has to say.
            return object.__getattribute__(self, name)

    def __delattr__(self, name: str) -> None:
        self._forget(name, None)
        object.__delattr__(self, name)

    def _forget(self, name: str, kept: str | None) -> None:
        """Drop what `name` stood for, save in the registry `kept`."""
        for kind in ("_parameters", "_buffers", "_children"):
            if kind != kept and kind in self.__dict__:
                self.__dict__[kind].pop(name, None)

    def _registry(self, kind: str) -> dict[str, Any]:
        try:
            registry: dict[str, Any] = self.__dict__[kind]
        except KeyError:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before assigning layers"
            ) from None
        return registry

    def register_buffer(self, name: str, value: Tensor) -> None:
        """Keep `value` in the state, as the attribute `name`, without training it."""
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise TypeError(f"[register_buffer] {name} is a {kind}: a Tensor is required")
        if isinstance(value.dtype, BFloat16) or value.dtype == np.float16:
            raise TypeError(
                f"[register_buffer] {name} is of {value.dtype}: float16 and bfloat16 are for "
                "storage, and a state is written; convert with astype(float32)"
            )
        self._registry("_buffers")[name] = value
        self._forget(name, "_buffers")
        object.__setattr__(self, name, value)

    # Walking

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct children, those in lists, tuples and dicts by dotted names."""
        for name, value in self._children.items():
            if isinstance(value, Module):
                yield name, value
            else:
                yield from entries(name, value, _is_module)

    def _held_parameters(self) -> dict[str, Tensor]:
        """The parameters that are attributes, or stand in lists, tuples and dicts that are."""
        held = dict(self._parameters)
        for name, value in self._children.items():
            if not isinstance(value, Module):
                held.update(entries(name, value, _is_parameter))
        return held

    def children(self) -> Iterator[Module]:
        """Direct children, without their names."""
        for _, child in self.named_children():
            yield child

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        yield self
        for _, child in self.named_children():
            yield from child.modules()

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Pairs (dotted name, module) of this one, named "", and all below it, each once."""
        yield from self._walk_modules(prefix, set())

    def _walk_modules(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk_modules(f"{prefix}.{name}" if prefix else name, seen)

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Call `function` with every module, children first; gives this module."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def _own_parameters(self, every: bool) -> list[tuple[str, Tensor]]:
        return list(self._held_parameters().items())

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        return list(self._buffers.items())

    def _load_own(self, state: dict[str, np.ndarray], writes: bool) -> None:
        """Load what is no child's; without `writes` only raise what that would raise."""
        if not writes:
            return
        targets = dict(self._own_parameters(True) + self._own_buffers())
        for name, value in state.items():
            targets[name].assign(value)

    def _walk_parameters(
        self, every: bool, seen: set[int] | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """Parameters by dotted name; with `seen`, those of shared modules and tensors once."""
        for name, tensor in self._own_parameters(every):
            if seen is not None:
                if id(tensor) in seen:
                    continue
                seen.add(id(tensor))
            yield name, tensor
        for name, child in self.named_children():
            if seen is not None:
                if id(child) in seen:
                    continue
                seen.add(id(child))
            for below, tensor in child._walk_parameters(every, seen):
                yield f"{name}.{below}", tensor

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs (dotted name, tensor) for the optimizer.

        What stands under several names comes once. A codebook that an in-place optimizer owns is
        not among them; it is in `state_dict`.
        """
        yield from self._walk_parameters(False, set())

    def parameters(self) -> list[Tensor]:
        """The tensors of `named_parameters`."""
        return [tensor for _, tensor in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs (dotted name, tensor) of what is kept and not trained."""
        yield from self._own_buffers()
        for name, child in self.named_children():
            for below, tensor in child.named_buffers():
                yield f"{name}.{below}", tensor

    def _own_optional_buffers(self) -> list[tuple[str, Tensor]]:
        return []

    def _optional_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Buffers that a state may have or leave out."""
        yield from self._own_optional_buffers()
        for name, child in self.named_children():
            yield from ((f"{name}.{below}", t) for below, t in child._optional_buffers())

    def zero_grad(self) -> None:
        """Drop the gradients of `parameters`."""
        for parameter in self.parameters():
            parameter.grad = None

    def __repr__(self) -> str:
        lines = [
            f"({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self.named_children()
        ]
        body = "".join(f"\n  {line}" for line in lines)
        options, end = self._options_text(), "\n" if lines else ""
        return f"{self._title()}({options}{body}{end})"

    @property
    def options(self) -> dict[str, Any]:
        """What a layer was made of, by name; empty for a module that is made of others."""
        return {}

    def _title(self) -> str:
        return type(self).__name__

    def _options_text(self) -> str:
        """What a module was made of, for its `repr`."""
        return ""

    def _arguments(self) -> dict[str, Any] | None:
        """The constructor's arguments by name, modules as they are; None where nothing is known."""
        return None

    # State

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copy of all parameters and buffers by name."""
        state = {name: tensor.numpy() for name, tensor in self._walk_parameters(True)}
        state.update((name, tensor.numpy()) for name, tensor in self.named_buffers())
        return state

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into parameters and buffers by name.

        `strict`: every name must be there and no other, but for state that may be left out: it
        follows from the rest then. Floats are rounded to float32; those for
        an integer buffer, as averages of states have them, to the nearest integer, with a warning
        where that changes one. ValueError names what is missing or unexpected, a shape that
        differs, NaN, infinity or a number that does not fit, TypeError a dtype that does not;
        nothing changes then.
        """
        self._load(self._checked_state(state, strict), True)

    def _checked_state(self, state: Mapping[str, Any], strict: bool = True) -> dict[str, Any]:
        """The arrays of `state` that are loaded, fitted to what they are loaded into."""
        optional = dict(self._optional_buffers())
        own = dict(self._walk_parameters(True)) | dict(self.named_buffers()) | optional
        arrays = {name: as_array("load_state_dict", name, value) for name, value in state.items()}
        missing = [name for name in own if name not in arrays and name not in optional]
        unexpected = [name for name in arrays if name not in own]
        if strict and (missing or unexpected):
            raise ValueError(
                f"[load_state_dict] missing {missing}, unexpected {unexpected}: "
                f"every name must be given, and no other{for_state(missing, unexpected)}"
            )
        found = {
            name: fitted("load_state_dict", name, state[name], tensor.dtype, tensor.shape)
            for name, tensor in own.items()
            if name in state
        }
        first: dict[int, str] = {}
        for name in found:
            other = first.setdefault(id(own[name]), name)
            if not np.array_equal(found[name], found[other]):
                raise ValueError(
                    f"[load_state_dict] {other} and {name} are one tensor, and differ: "
                    "both must have the same values"
                )
        self._load(found, False)
        return found

    def _load(self, arrays: dict[str, np.ndarray], writes: bool) -> None:
        own = self._own_parameters(True) + self._own_buffers() + self._own_optional_buffers()
        mine = {name for name, _ in own}
        self._load_own({name: arrays[name] for name in mine if name in arrays}, writes)
        for child_name, child in self.named_children():
            prefix = child_name + "."
            below = {n[len(prefix) :]: v for n, v in arrays.items() if n.startswith(prefix)}
            child._load(below, writes)

    def rng_state_dict(self) -> dict[str, np.ndarray]:
        """Seed, stream and counter of each generator that layers draw from, int32 [6], by name.

        Together with `state_dict` this is all that a resumed run needs. A `Generator` that is an
        attribute of a module of your own is among them; a quantizer's is among its buffers.
        """
        own = {n: Tensor._wrap(h).numpy() for n, h in self._own_generators()}
        for name, child in self.named_children():
            own.update((f"{name}.{n}", value) for n, value in child.rng_state_dict().items())
        return own

    def load_rng_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on drawing where `rng_state_dict` was taken.

        ValueError unless `state` names every generator and nothing else, each with its seed and
        stream.
        """
        self._load_generators(self._checked_generators(state))

    def _checked_generators(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The words of `state`, which belong to the generators of the layers."""
        own = self.rng_state_dict()
        if own.keys() != state.keys():
            raise ValueError(
                f"[load_rng_state_dict] names {sorted(state)}: they must be {sorted(own)}"
            )
        checked = {}
        for name, words in own.items():
            checked[name] = fitted("load_rng_state_dict", name, state[name], words.dtype, (6,))
            if not np.array_equal(checked[name][:4], words[:4]):
                raise ValueError(
                    f"[load_rng_state_dict] {name}: it must come from the same seed and stream"
                )
        return checked

    def _generators(self) -> dict[str, Generator]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Generator)}

    def _own_generators(self) -> list[tuple[str, _core.TensorHandle]]:
        found = []
        for name, generator in self._generators().items():
            words = np.array([generator.seed, generator.stream, generator.counter], np.uint64)
            found.append((name, Tensor(words.view(np.int32))._handle))
        return found

    def _load_generators(self, state: dict[str, Any]) -> None:
        for name, generator in self._generators().items():
            generator.counter = int(np.ascontiguousarray(state[name]).view(np.uint64)[2])
        for name, child in self.named_children():
            prefix = name + "."
            child._load_generators(
                {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
            )

    # Mode

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training; returns it."""
        object.__setattr__(self, "training", mode)
        for _, child in self.named_children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch this module and all below it to evaluation; returns it."""
        return self.train(False)

    def freeze(self) -> Self:
        """Fix the parameters of this module and all below it until `unfreeze`; returns it.

        They require no gradient and optimizers leave them alone; the codebooks of quantizers stand
        still. Running statistics of norms move on in training, as torch's do.
        """
        for module in self.modules():
            module._freeze_own(True)
        return self

    def unfreeze(self) -> Self:
        """Let the parameters of this module and all below it learn; returns it."""
        for module in self.modules():
            module._freeze_own(False)
        return self

    def _freeze_own(self, frozen: bool) -> None:
        for _, tensor in self._own_parameters(True):
            tensor.requires_grad = not frozen


def _is_module(value: Any) -> bool:
    return isinstance(value, Module)


def _is_parameter(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_leaf
