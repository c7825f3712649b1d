"""Modules from plain JSON, and the JSON from which a module can be made."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from functools import partial
from typing import Any, NoReturn

from .._random import drawing_from, undrawn
from ._description import ARGUMENTS, CLASS, OPTIMIZER, STREAM, described
from ._module import Module

_LIBRARY, _VERSION = "library", "version"


def configuration(module: Module) -> str:
    """The text of `config.json`; ValueError unless it makes what `module` is, state aside."""
    from .. import __version__

    classes: dict[str, type] = {}
    told = described(module, classes)
    name, known = type(module).__name__, _classes(())
    for each, kind in classes.items():
        if known.get(each, kind) is not kind:
            raise ValueError(f"[save_pretrained] {each}: vqswift has a class of this name")
    text = json.dumps({_LIBRARY: "vqswift", _VERSION: __version__, **told}, indent=2) + "\n"
    # Neither this copy nor its layers are to change what layers that come later draw from.
    with undrawn():
        try:
            twin = constructed("[save_pretrained] config", text, classes.values())
        except Exception as error:
            raise ValueError(
                f"[save_pretrained] {name}: its config makes no {name}: {error}"
            ) from error
    own, other = _layout(module), _layout(twin)
    if own != other or repr(module) != repr(twin):
        differing = sorted(n for n in own.keys() | other.keys() if own.get(n) != other.get(n))
        what = f"in {', '.join(differing[:3])}" if differing else f"{twin!r} is not {module!r}"
        raise ValueError(f"[save_pretrained] {name}: its config makes another module: {what}")
    return text


def _layout(module: Module) -> dict[str, str]:
    """Of the state by name shape, type and the first name of the same tensor, and of each layer
    what quantizes its weights."""
    state = [*module._walk_parameters(True), *module.named_buffers()]
    first: dict[int, str] = {}
    told = {
        name: f"{tensor.dtype} {[*tensor.shape]} {first.setdefault(id(tensor), name)}"
        for name, tensor in state
    }
    for name, layer in module.named_modules():
        quantizers: dict[int, Any] = vars(layer).get("_weight_quantizers", {})
        if quantizers:
            told[f"weight quantizers of {name or 'the module'}"] = str(len(quantizers))
    return told


def constructed(place: str, text: str, classes: Iterable[type]) -> Module:
    """The module that `text` describes, of `classes` or the package's; `place` begins messages."""
    try:
        told = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: the configuration is no JSON: {error}") from None
    if not isinstance(told, dict) or told.pop(_LIBRARY, None) != "vqswift":
        raise ValueError(f"{place}: the configuration has no {_LIBRARY!r}: 'vqswift'")
    told.pop(_VERSION, None)
    try:
        made = _Construction(place, _classes(classes)).value("the configuration", told)
    except RecursionError:
        raise ValueError(f"{place}: the configuration is nested too deeply") from None
    if not isinstance(made, Module):
        raise ValueError(f"{place}: the configuration names no {CLASS!r}")
    return made


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _classes(further: Iterable[type]) -> dict[str, type]:
    """What a configuration may name: the package's modules, then `further`."""
    from .. import models, nn, quantizers

    found: dict[str, type] = {}
    for home in (nn, models, quantizers):
        for name in home.__all__:
            kind = getattr(home, name)
            if isinstance(kind, type) and issubclass(kind, Module):
                found[name] = kind
    for base in ("Module", "Quantizer"):
        del found[base]
    bases = (Module, quantizers.Quantizer)
    return found | {kind.__name__: kind for kind in further if kind not in bases}


class _Construction:
    """Makes modules, optimizers and values."""

    def __init__(self, place: str, classes: dict[str, type]) -> None:
        self._place = place
        self._classes = classes

    def value(self, name: str, told: Any) -> Any:
        """What `told`, of the argument `name`, stands for."""
        if isinstance(told, list):
            return tuple(self.value(f"{name}[{i}]", entry) for i, entry in enumerate(told))
        if not isinstance(told, dict):
            return told
        if CLASS in told:
            return self._module(name, told)
        if OPTIMIZER in told:
            return self._optimizer(name, told)
        return {key: self.value(f"{name}.{key}", entry) for key, entry in told.items()}

    def _module(self, name: str, told: dict[str, Any]) -> Module:
        kind = self._class(name, told, CLASS, self._classes, (ARGUMENTS, STREAM))
        given = self._given(kind, told)
        seed, stream = self._stream(name, told)
        if stream is None:
            made: Module = self._called(kind, given)
            return made
        with drawing_from(seed, stream):
            drawn: Module = self._called(kind, given)
        return drawn

    def _optimizer(self, name: str, told: dict[str, Any]) -> partial[Any]:
        from .. import optim

        kinds = {
            kind.__name__: kind
            for kind in vars(optim).values()
            if isinstance(kind, type) and issubclass(kind, optim.Optimizer)
        }
        kinds.pop("Optimizer")
        kind = self._class(name, told, OPTIMIZER, kinds, (ARGUMENTS,))
        return partial(kind, **self._given(kind, told))

    def _class(
        self,
        name: str,
        told: dict[str, Any],
        key: str,
        known: dict[str, type],
        keys: tuple[str, ...],
    ) -> type:
        if unknown := sorted(told.keys() - {key, *keys}):
            raise ValueError(f"{self._place}: {name} has the unknown keys {unknown}")
        word = told[key]
        if not isinstance(word, str) or word not in known:
            raise ValueError(
                f"{self._place}: {key} = {word!r} of {name}: it must be one of vqswift's, or be "
                "given by classes="
            )
        return known[word]

    def _given(self, kind: type, told: dict[str, Any]) -> dict[str, Any]:
        name, arguments = kind.__name__, told.get(ARGUMENTS, {})
        if not isinstance(arguments, dict):
            raise ValueError(
                f"{self._place}: {ARGUMENTS} of {name} = {arguments!r}: an object is required"
            )
        parameters = inspect.signature(kind).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if (unknown := sorted(arguments.keys() - parameters.keys())) and not takes_any:
            raise ValueError(f"{self._place}: {name} has no arguments {unknown}")
        return {key: self.value(f"{name}.{key}", entry) for key, entry in arguments.items()}

    def _stream(self, name: str, told: dict[str, Any]) -> tuple[int, int | None]:
        if STREAM not in told:
            return 0, None
        words = told[STREAM]
        is_pair = isinstance(words, list) and len(words) == 2
        if not is_pair or not all(isinstance(w, str) and _is_word(w) for w in words):
            raise ValueError(
                f"{self._place}: {STREAM} of {name} = {words!r}: two numbers below 2**64, as "
                "texts, are required"
            )
        return int(words[0]), int(words[1])

    def _called(self, kind: type, given: dict[str, Any]) -> Any:
        parameters = inspect.signature(kind).parameters.values()
        several = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL and p.name in given]
        positional = given.pop(several[0]) if several else ()
        try:
            return kind(*positional, **given)
        except RecursionError:
            raise
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{self._place}: {kind.__name__}: {error}") from error


def _is_word(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 21 and int(text) < 1 << 64
