"""Checks arguments by the annotations of the functions that take them.

A value of another kind than its parameter's annotation raises TypeError with the function, the
parameter, the value and what is required. What an isinstance tells is checked before the call;
whether something reads as an array only when the call fails, since reading it twice would cost.
"""

from __future__ import annotations

import functools
import inspect
import operator
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np

from ._dtypes import BFloat16, as_dtype
from ._hints import for_option, for_value

_T = TypeVar("_T")
_PLAIN = (str, bytes, int, float, complex, type(None), type(...), list, tuple, dict)
_Kind = tuple[Callable[[Any], bool], str]


def described(value: object) -> str:
    """`value` in a few words: plain values by their text, others by their class."""
    if isinstance(value, _PLAIN):
        try:
            text = repr(value)
        except Exception:
            return f"a {type(value).__name__}"
        return text if len(text) <= 60 else text[:57] + "..."
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {[*value.shape]}"
    kind = value if isinstance(value, type) else type(value)
    home = kind.__module__.partition(".")[0]
    name = kind.__name__ if home in ("builtins", "vqswift") else f"{home}.{kind.__name__}"
    if isinstance(value, type):
        return f"the class {name}"
    shape = getattr(value, "shape", None)
    of = f" of shape {[*shape]}" if isinstance(shape, tuple) else ""
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}{of}"


def refuse(operation: str, name: str, value: object, required: str) -> NoReturn:
    """Raise the TypeError of a value that is of the wrong kind."""
    link = " =" if isinstance(value, _PLAIN) else " is"
    hint = for_value(value, required)
    wanted = f"{required} is required{f'; {hint}' if hint else ''}"
    raise TypeError(f"[{operation}] {name}{link} {described(value)}: {wanted}")


def operation_of(kind: type) -> str:
    """The name of a class in messages: its own `_operation`, or by the words of its name,
    ConvTranspose2d -> conv_transpose2d, LSQPlus -> lsq_plus."""
    own: str | None = vars(kind).get("_operation")
    return own or _with_underscores(kind.__name__)


@functools.lru_cache(maxsize=256)
def _with_underscores(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def is_integer(value: Any) -> bool:
    if isinstance(value, int):
        return True
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def is_number(value: object) -> bool:
    """A real number, or what holds a single one."""
    if isinstance(value, (int, float)):
        return True
    scalar = getattr(value, "size", 1) == 1 if hasattr(value, "__float__") else False
    return scalar and not isinstance(value, (type, complex, np.complexfloating))


def is_array(value: object) -> bool:
    """Whether NumPy reads real numbers from it."""
    if isinstance(value, (type, str, bytes)) or value is None:
        return False
    try:
        return np.asarray(value).dtype.kind in "fiub"
    except Exception:
        return False


def _is_flag(value: object) -> bool:
    return isinstance(value, (bool, np.bool_)) or (isinstance(value, int) and value in (0, 1))


def _is_items(value: object) -> bool:
    numbered = hasattr(type(value), "__getitem__") and hasattr(type(value), "__len__")
    return (isinstance(value, Iterable) or numbered) and not isinstance(value, (str, bytes))


def _is_items_or_path(value: object) -> bool:
    return _is_items(value) or isinstance(value, (str, os.PathLike))


def _is_integers(value: object) -> bool:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        return False
    return not isinstance(value, Sequence) or all(map(is_integer, value))


def _is_pair(value: object) -> bool:
    return is_integer(value) or _is_integers(value)


def _is_dtype(value: object) -> bool:
    named = isinstance(value, (type, str, np.dtype, BFloat16))
    if not named and type(value).__module__ != "torch":
        return False
    try:
        as_dtype(value)
    except TypeError:
        return False
    return True


def _of_class(name: str) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        return any(
            base.__name__ == name and base.__module__.startswith("vqswift")
            for base in type(value).__mro__
        )

    return accepts


_CHEAP: dict[str, _Kind] = {
    "int": (is_integer, "an integer"),
    "bytes": (lambda value: isinstance(value, (bytes, bytearray)), "bytes"),
    "SupportsIndex": (is_integer, "an integer"),
    "float": (is_number, "a number"),
    "bool": (_is_flag, "True or False"),
    "str": (lambda value: isinstance(value, str), "a string"),
    "Split": (lambda value: isinstance(value, str), "'train' or 'test'"),
    **dict.fromkeys(("Literal", "Range"), (lambda value: isinstance(value, str), "a string")),
    "DTypeLike": (_is_dtype, "a dtype"),
    "Color": (lambda value: isinstance(value, (tuple, list)), "a tuple of three integers"),
    "None": (lambda value: value is None, "None"),
    "Pair": (_is_pair, "an integer or a pair of integers"),
    "Triple": (_is_pair, "an integer or three integers"),
    "Axes": (lambda value: value is None or _is_pair(value), "an axis, a sequence of axes or None"),
    "Path": (lambda value: isinstance(value, (str, bytes, os.PathLike)), "a path"),
    "os.PathLike": (lambda value: isinstance(value, os.PathLike), "a path"),
    "Root": (lambda value: isinstance(value, (str, os.PathLike, type(None))), "a path or None"),
    "np.random.Generator": (
        lambda value: isinstance(value, np.random.Generator),
        "a numpy.random.Generator",
    ),
    "Callable": (callable, "a function"),
    "History": (_is_items_or_path, "a path, a sequence of numbers or of StepMetrics"),
    "Mapping": (lambda value: isinstance(value, Mapping), "a mapping from names"),
    "dict": (lambda value: isinstance(value, dict), "a dict"),
    **dict.fromkeys(("Iterable", "Sequence"), (_is_items, "a sequence")),
    "Iterator": (lambda value: isinstance(value, Iterator), "an iterator"),
    **dict.fromkeys(("tuple", "list"), (lambda value: isinstance(value, (tuple, list)), "a list")),
    "Parameters": (_is_items, "a sequence of Tensors or of groups"),
    "Iterable[Tensor]": (_is_items, "a sequence of Tensors"),
    "InplaceOptimizer": (callable, "a function from parameters to an optimizer"),
    **{
        name: (_of_class(name), f"{'an' if name[0] in 'EOI' else 'a'} {name}")
        for name in (
            *("Tensor", "Module", "Native", "Generator", "Optimizer", "Estimator", "Batches"),
            *("Quantizer", "Conversion", "ModuleDict", "GridEstimator", "Trainer"),
            *("Stream", "ImageFiles", "Draws", "MaskGIT", "CodeUsage"),
        )
    },
    "Panel": (lambda value: hasattr(value, "get_figure"), "matplotlib Axes"),
    "_Model": (_of_class("Module"), "a Module"),
}
_COSTLY: dict[str, _Kind] = {
    **dict.fromkeys(
        ("ArrayLike", "Array", "NDArray", "np.ndarray"), (is_array, "an array of real numbers")
    ),
    **dict.fromkeys(("Sequence[int]", "Iterable[int]"), (_is_integers, "a sequence of integers")),
}


def _alternatives(annotation: str) -> list[str]:
    """The parts between the bars that stand outside brackets."""
    parts, depth = [""], 0
    for character in re.sub(r"\b(?:vq|nn|optim|npt)\.", "", annotation):
        depth += (character in "[(") - (character in "])")
        if character == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


@functools.cache
def _kind(annotation: str) -> tuple[bool, Callable[[Any], bool], str] | None:
    """Whether it is cheap, the check and what is required; None for what may be anything."""
    checks, words, cheap = [], [], True
    for part in _alternatives(annotation):
        bare = part.partition("[")[0]
        known = _COSTLY.get(part) or _COSTLY.get(bare)
        cheap &= known is None
        known = known or _CHEAP.get(part) or _CHEAP.get(bare)
        if known is None:
            return None
        checks.append(known[0])
        words.append(known[1])
    required = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    return cheap, lambda value: any(accepts(value) for accepts in checks), required


def refuse_unknown(operation: str, given: Iterable[str], known: Collection[str]) -> None:
    """TypeError with the nearest name unless all of `given` are `known`."""
    for name in given:
        if name not in known:
            import difflib

            names = list(known)
            torchs = for_option(name, known)
            near = [torchs] if torchs else difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TypeError(f"[{operation}] unknown option {name!r}: {hint}the known are {names}")


class _Checks:
    """What the parameters of a function take."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.signature = inspect.signature(function)
        self.first: list[tuple[int, str, Callable[[Any], bool], str]] = []
        self.later: list[tuple[str, Callable[[Any], bool], str]] = []
        self.several = ""
        for index, parameter in enumerate(self.signature.parameters.values()):
            annotation = parameter.annotation
            if parameter.kind is parameter.VAR_KEYWORD and "Unpack" in str(annotation):
                options = function.__globals__[annotation.removeprefix("Unpack[")[:-1]]
                for name, kind in options.__annotations__.items():
                    self._add(-1, name, kind)
            elif parameter.kind is parameter.VAR_POSITIONAL:
                kind = _kind(annotation)
                if kind is not None:
                    self.several = parameter.name
                    self.later.append((parameter.name, *kind[1:]))
            elif parameter.kind is not parameter.VAR_KEYWORD:
                position = -1 if parameter.kind is parameter.KEYWORD_ONLY else index
                self._add(position, parameter.name, annotation)

    def _add(self, position: int, name: str, annotation: Any) -> None:
        kind = _kind(annotation if isinstance(annotation, str) else annotation.__name__)
        if kind is not None and kind[0]:
            self.first.append((position, name, kind[1], kind[2]))
        elif kind is not None:
            self.later.append((name, kind[1], kind[2]))

    def before(
        self, operation: Callable[..., str], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        count = len(args)
        for position, name, accepts, required in self.first:
            if 0 <= position < count:
                value = args[position]
            elif name in kwargs:
                value = kwargs[name]
            else:
                continue
            if not accepts(value):
                refuse(operation(args), name, value, required)

    def after(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        parameters = self.signature.parameters.values()
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            unnamed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
            named = [p.name for p in parameters if p.kind not in unnamed and p.name != "self"]
            refuse_unknown(operation, kwargs, named)
        given = self.signature.bind(*args, **kwargs).arguments
        for name, accepts, required in self.later:
            if name not in given:
                continue
            for value in given[name] if name == self.several else (given[name],):
                if not accepts(value):
                    refuse(operation, name, value, required)


def _checked_function(function: Callable[..., Any], owner: type | None) -> Callable[..., Any]:
    made: _Checks | None = None
    constructor = function.__name__ == "__init__"
    layer_call = function.__name__ == "forward"
    name = function.__name__
    if owner is not None and constructor:
        name = operation_of(owner)
    elif owner is not None and owner.__name__ not in (
        "Tensor",
        "Elements",
        "Hooks",
        "Interop",
        "Module",
        "Pretrained",
        "Scans",
        "Selection",
        "Shapes",
    ):
        name = f"{operation_of(owner)}.{name}"

    def operation(args: tuple[Any, ...]) -> str:
        return operation_of(type(args[0])) if layer_call and args else name

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal made
        if made is None:
            made = _Checks(function)
        if made.first:
            made.before(operation, args, kwargs)
        try:
            return function(*args, **kwargs)
        except (TypeError, AttributeError, ValueError, RuntimeError) as error:
            try:
                made.after(operation(args), args, kwargs)
            except TypeError as better:
                if str(better).startswith("["):
                    raise better from None
            raise error

    return call


def checked(thing: _T) -> _T:
    """`thing`, a function or a class, with checked arguments: of a class those of `__init__`, of
    its public methods and of its settable properties."""
    if not isinstance(thing, type):
        return _checked_function(thing, None)  # type: ignore[arg-type,return-value]
    for name, member in list(vars(thing).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, (classmethod, staticmethod)):
            wrapped: Any = type(member)(_checked_function(member.__func__, thing))
        elif inspect.isfunction(member):
            wrapped = _checked_function(member, thing)
        elif isinstance(member, property) and member.fset is not None:
            wrapped = member.setter(_checked_function(member.fset, thing))
        else:
            continue
        setattr(thing, name, wrapped)
    return thing
