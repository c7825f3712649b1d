"""What can be called: the public functions, classes and methods of vqswift, and `vqswift._core`."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import vqswift as vq
from _expressions import MODULES, QUANTIZERS, annotation_text
from vqswift.quantizers._vector import VectorQuantOptions

_PUBLIC = ("", "nn", "nn.functional", "nn.init", "optim", "models", "metrics", "estimators", "data")
_PUBLIC += ("train",)
# Networks of torch and photographs: their libraries take longer to import than thousands of calls.
_LEFT_OUT = {"lpips", "fid", "photos", "ResNet50"}
_INSTANCES = {
    "Tensor": ("vq.Tensor(floats((2, 4)), True)", "vq.Tensor(floats((4, 4)))", "vq.Tensor([1, 2])"),
    "Generator": ("vq.Generator(3, 1)",),
    "Optimizer": ("optimizer()",),
    "Schedule": ("vq.optim.cosine_schedule(10)", "vq.optim.one_cycle_schedule(10)"),
    "JoinedSchedule": ("vq.optim.joined_schedule([vq.optim.cosine_schedule(3), abs], [2])",),
    "PlateauSchedule": ("vq.optim.PlateauSchedule(patience=0)",),
    "EMA": ("vq.optim.EMA(vq.nn.BatchNorm(4))",),
    "SWA": ("vq.optim.SWA(vq.VectorQuant(4, 5))",),
    "Muon": ("vq.optim.Muon([vq.nn.Linear(4, 4).weight])",),
    "SQVAE": ("vq.models.SQVAE(vq.VectorQuant(4, 5), width=4)",),
    "CodeUsage": ("vq.metrics.CodeUsage(5)",),
    "Estimator": ("vq.estimators.dsq()",),
    "GridEstimator": ("vq.estimators.dsq().on(2, 1.0)", "vq.estimators.ewgs().on(2, 1.0)"),
    "WeightedLayer": ("vq.estimators.weighted_layers(vq.nn.Linear(4, 4))[0]",),
    "Batches": ("vq.data.Batches(np.ones((4, 4, 4, 3), np.float32), batch_size=2)",),
    "Trainer": ("trainer()",),
    "TwinTrainer": ("twins()",),
    "Recipe": ("vq.recipes.get()",),
}
_DUNDERS = (
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "matmul", "rmatmul"),
    *("pow", "neg", "getitem", "len", "iter", "eq", "lt", "contains", "format", "bool", "int"),
    *("float", "abs", "repr", "call", "array", "iadd", "reduce_ex"),
)


@dataclass(frozen=True)
class Target:
    """A callable as an expression, where the object of a method stands for `{}`.

    `parameters`: name, annotation and whether it must be given; `keyword` ones by name only.
    """

    text: str
    parameters: tuple[tuple[str, str, bool, bool], ...]
    objects: tuple[str, ...] = ()
    native: bool = False


def public_targets() -> list[Target]:
    found = [target for module in _PUBLIC for target in _of_module(module)]
    found += _of_object("vq.recipes.get", vq.recipes.get)
    found += _of_class("Recipe", vq.recipes.Recipe, None)
    # A method that classes inherit counts once, with the objects of them all.
    objects: dict[Target, dict[str, None]] = {}
    for target in found:
        objects.setdefault(replace(target, objects=()), {}).update(dict.fromkeys(target.objects))
    return [replace(target, objects=tuple(those)) for target, those in objects.items()]


def _of_module(path: str) -> Iterator[Target]:
    module = importlib.import_module("vqswift." + path if path else "vqswift")
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", "") == module.__name__
    ]
    for name in names:
        value = getattr(module, name)
        own = getattr(value, "__module__", "").startswith("vqswift")
        if not own or name in _LEFT_OUT or not callable(value):
            continue
        text = f"vq.{path}.{name}" if path else f"vq.{name}"
        yield from (
            _of_class(name, value, text) if inspect.isclass(value) else _of_object(text, value)
        )


def _of_object(text: str, value: object, objects: tuple[str, ...] = ()) -> Iterator[Target]:
    try:
        signature = inspect.signature(value)
    except ValueError:
        yield Target(text, (), objects)
        return
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        annotation = annotation_text(parameter.annotation)
        if parameter.kind is parameter.VAR_KEYWORD:
            options = VectorQuantOptions.__annotations__
            if "VectorQuantOptions" in annotation:
                for name, kind in options.items():
                    parameters.append((name, annotation_text(kind.__forward_arg__), False, True))
            continue
        needed = parameter.default is parameter.empty or parameter.name == "root"
        keyword = parameter.kind is parameter.KEYWORD_ONLY or parameter.name == "root"
        parameters.append((parameter.name, annotation, needed, keyword))
    yield Target(text, tuple(parameters), objects)


def _of_class(name: str, kind: type, text: str | None) -> Iterator[Target]:
    if text is not None and not issubclass(kind, BaseException):
        yield from _of_object(text, kind)
    objects = _instances(name, kind)
    if not objects:
        return
    for member in dir(kind):
        bare = member.strip("_")
        if member.startswith("_") and (bare not in _DUNDERS or not _ours(kind, member)):
            continue
        value = inspect.getattr_static(kind, member)
        if isinstance(value, property):
            yield Target(f"read({{}}, {member!r})", (), objects)
            if value.fset is not None:
                parameters = (("value", "ArrayLike | float", True, False),)
                yield Target(f"write({{}}, {member!r}, ", parameters, objects)
        elif callable(value) or isinstance(value, (classmethod, staticmethod)):
            yield from _of_object(f"{{}}.{member}", getattr(kind, member), objects)


def _ours(kind: type, member: str) -> bool:
    owner = next(base for base in kind.__mro__ if member in vars(base))
    return owner.__module__.startswith("vqswift")


def _instances(name: str, kind: type) -> tuple[str, ...]:
    known = _INSTANCES.get(name, ())
    if issubclass(kind, vq.optim.Optimizer) and not known:
        return (f"vq.optim.{name}(leaves())",)
    return known or tuple(made for made in MODULES + QUANTIZERS if f".{name}(" in made)


# They read at an address that the caller vouches for; `c_interface` calls them with one that is.
_OF_ADDRESSES = frozenset({"tensor_refresh"})


def native_targets() -> list[Target]:
    """The functions of `vqswift._core` as its stub declares them."""
    stub = ast.parse((Path(vq.__file__).parent / "_core.pyi").read_text())
    found = {}
    for node in stub.body:
        if isinstance(node, ast.FunctionDef) and node.name not in _OF_ADDRESSES:
            arguments = [*node.args.posonlyargs, *node.args.args]
            parameters = tuple((a.arg, ast.unparse(a.annotation), True, False) for a in arguments)
            found[node.name] = Target(f"core.{node.name}", parameters, native=True)
    return list(found.values())
