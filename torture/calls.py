"""Random calls of vqswift's public functions, classes and methods, and of `vqswift._core`.

A case is one call with arguments of its seed, good and bad: wrong kinds, zero-size and huge shapes,
odd dtypes, NaN. It passes when it returns or raises an exception of the documented classes; a
death, a hang, another exception (AttributeError, SystemError, ...) is a fault, told with the call.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import warnings
from random import Random
from typing import Any

import numpy as np
import vqswift as vq
from _campaign import main
from _expressions import Expressions
from _targets import Target, native_targets, public_targets
from vqswift import _core

_DOCUMENTED = (
    *(ValueError, TypeError, IndexError, OverflowError, MemoryError, OSError, RuntimeError),
    *(KeyError, FloatingPointError, ImportError, StopIteration),
)
_FAULTS = (RecursionError, ZeroDivisionError, UnicodeDecodeError)
_MEMORY = 4 << 30


class Strange:
    """Answers every protocol with something useless."""

    def __index__(self) -> int:
        return 2**65

    def __float__(self) -> float:
        return float("nan")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, key: object) -> object:
        if isinstance(key, int) and 0 <= key < 3:
            return "item"
        raise IndexError(key)

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.array(["a", "b"])

    def __fspath__(self) -> str:
        return "\0"

    def __repr__(self) -> str:
        raise ValueError("no repr")


class Network(vq.nn.Module):
    """A module with a forward in Python, a parameter and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = vq.nn.Linear(4, 4)
        self.shift = vq.Tensor(np.zeros(4, np.float32), requires_grad=True)
        self.register_buffer("count", vq.Tensor([0]))

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        return self.layer(x) + self.shift


def floats(shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape, dtype=np.int64))
    return (np.arange(size, dtype=np.float32) % 7 - 3).reshape(shape) / 4


def codes(shape: tuple[int, ...]) -> np.ndarray:
    return (np.arange(np.prod(shape, dtype=np.int64), dtype=np.int32) % 5).reshape(shape)


def readonly(shape: tuple[int, ...]) -> np.ndarray:
    array = floats(shape)
    array.flags.writeable = False
    return array


def leaves() -> list[vq.Tensor]:
    return [vq.Tensor(floats((4, 4)), True), vq.Tensor(floats((4,)), True)]


def optimizer() -> vq.optim.Optimizer:
    parameters = leaves()
    parameters[0].grad = vq.Tensor(floats((4, 4)))
    return vq.optim.SGD(parameters, 0.1, momentum=0.9)


class Autoencoder(vq.nn.Module):
    """Layers around a quantizer, as a trainer takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.quantizer = vq.nn.Linear(4, 4), vq.VectorQuant(4, 5)

    def forward(self, x: vq.Tensor) -> Any:
        return self.quantizer(self.encoder(x))


def trainer() -> Any:
    model = Autoencoder()
    images = np.ones((4, 2, 2, 4), np.float32)
    batches = vq.data.Batches(images, batch_size=2)
    return vq.train.Trainer(model, vq.optim.SGD(model.parameters(), 0.1), batches)


def twins() -> Any:
    model = vq.estimators.quantize_model(vq.nn.Sequential(vq.nn.Linear(4, 4)))
    return vq.estimators.TwinTrainer(model, vq.optim.SGD(model.parameters(), 0.1))


def handle(module: Any) -> Any:
    """A native module's handle; a Python module has none."""
    return getattr(module, "_handle", None)


def options(kind: str, position: int = -1, value: object = None) -> dict[str, object]:
    """The required options of a kind, small, and one more or replaced."""
    small = {"int": 4, "ints": (4,), "pair": (1, 1), "floats": (1.0, 0.5)}
    families = ("module", "optimizer", "schedule", "estimator")
    family = next(name for name in families if kind in dict(_core.kinds(name)))
    rows = _core.kind_options(family, kind)
    made: dict[str, object] = {row[0]: small[row[1]] for row in rows if row[2]}
    if position >= 0 and rows:
        made[rows[position % len(rows)][0]] = value
    return made


def read(thing: object, name: str) -> object:
    return getattr(thing, name)


def write(thing: object, name: str, value: object) -> None:
    setattr(thing, name, value)


NAMES = {
    **{"np": np, "vq": vq, "core": _core, "nan": float("nan"), "inf": float("inf")},
    **{
        made.__name__: made
        for made in (
            *(Strange, Network, floats, codes, readonly, leaves, optimizer, trainer, twins),
            *(handle, options, read, write),
        )
    },
}
TARGETS = public_targets(), native_targets()


def expression(number: int) -> str:
    """The call of a case."""
    random = Random(number)
    target: Target = random.choice(TARGETS[number % 2])
    draw = Expressions(random, native=target.native)
    if target.native and random.random() < 0.02:
        return f"{target.text}({', '.join(draw.any() for _ in range(random.choice(range(5))))})"
    text = target.text
    if target.objects:
        text = text.replace("{}", random.choice(target.objects))
    if text.startswith("read("):
        return text
    given = []
    share = 0.15 if len(target.parameters) > 12 else 0.4
    for name, annotation, needed, keyword in target.parameters:
        if needed and random.random() < 0.99:
            value = draw.argument(name, annotation)
            given.append(f"{name}={value}" if keyword else value)
        elif not needed and random.random() < share:
            value = draw.argument(name, annotation)
            given.append(f"{name}={value}" if not target.native else value)
    if text.startswith("write("):
        return f"{text}{', '.join(given) or 'None'})"
    return f"{text}({', '.join(given)})"


def follow(result: object) -> None:
    """Uses what a call gave, as a program would."""
    if isinstance(result, vq.Tensor):
        if result.requires_grad and result.size:
            result.sum().backward()
        result.numpy()
    elif isinstance(result, _core.TensorHandle):
        vq.Tensor._wrap(result).numpy()
    elif isinstance(result, contextlib.AbstractContextManager):
        with result:
            pass
    elif hasattr(result, "__next__"):
        for _, item in zip(range(2), result, strict=False):
            follow(item)
    elif isinstance(result, tuple):
        for item in result[:8]:
            follow(item)


def tell(text: str) -> None:
    """Leaves `text` alone in the file that the child's errors go to, for the case of a death."""
    with contextlib.suppress(OSError):
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
    os.write(2, text.encode(errors="replace") + b"\n")


def case(number: int) -> None:
    text = expression(number)
    tell(text)
    _core.set_grad_enabled(True)
    _core.set_products(0)
    try:
        follow(eval(text, NAMES))
    except Exception as error:
        if isinstance(error, _FAULTS) or not isinstance(error, _DOCUMENTED):
            print(f"FAULT {number} {text} : {type(error).__name__}: {error}", flush=True)
    if "threads" in text:
        vq.set_threads(2)


if __name__ == "__main__":
    if any(argument.startswith("--child") for argument in sys.argv):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.stdout.flush()
        warnings.simplefilter("ignore")
        np.seterr(all="ignore")
    main(__file__, case, full=1_000_000, short=8_000, batch=5000, seconds_per_case=20)
