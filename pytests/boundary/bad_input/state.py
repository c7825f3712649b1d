"""State, files, seeds and handles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import vqswift as vq
from vqswift import _core, nn

from .case import Case, ones


def loaded(**changes: Any) -> Callable[[], object]:
    def load() -> None:
        layer = nn.Linear(2, 3)
        layer.load_state_dict(layer.state_dict() | changes)

    return load


class Unready(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Linear(1, 1)


STATE: dict[str, Case] = {
    "missing": (
        lambda: nn.Linear(2, 3).load_state_dict({"weight": np.ones((3, 2))}),
        ValueError,
        ["load_state_dict", "missing ['bias']"],
    ),
    "unexpected": (
        loaded(extra=np.ones(1)),
        ValueError,
        ["load_state_dict", "unexpected ['extra']"],
    ),
    "shape": (loaded(bias=np.ones(4)), ValueError, ["load_state_dict", "bias", "[4]", "[3]"]),
    "dtype": (
        loaded(bias=np.ones(3, complex)),
        TypeError,
        ["load_state_dict", "bias", "complex128"],
    ),
    "absent file": (
        lambda: vq.load("/nonexistent/a"),
        FileNotFoundError,
        ["/nonexistent/a", "No such file"],
    ),
    "folder": (lambda: vq.load("/tmp"), IsADirectoryError, ["/tmp"]),
    "unwritable": (
        lambda: vq.save("/nonexistent/a", {"x": np.ones(1)}),
        FileNotFoundError,
        ["/nonexistent/a", "No such"],
    ),
    "NUL": (lambda: vq.load("a\0b"), ValueError, ["load", "NUL"]),
    "NUL in save": (lambda: vq.save("a\0b", {}), ValueError, ["save", "NUL"]),
    "reserved name": (
        lambda: vq.save("/tmp/vqswift-never", {"__metadata__": np.ones(1)}),
        ValueError,
        ["save", "__metadata__"],
    ),
    "saved dtype": (
        lambda: vq.save("/tmp/vqswift-never", {"x": np.ones(1, complex)}),
        TypeError,
        ["complex128"],
    ),
    "threads": (lambda: vq.set_threads(0), ValueError, ["set_threads", "count = 0", "1...4096"]),
    "no threads": (
        lambda: vq.limit_threads(0).__enter__(),
        ValueError,
        ["limit_threads", "count = 0"],
    ),
    "a negative limit": (
        lambda: vq.limit_threads(-1).__enter__(),
        ValueError,
        ["limit_threads", "count = -1", "1...4096"],
    ),
    "many threads": (lambda: vq.set_threads(1 << 40), ValueError, ["set_threads", "1...4096"]),
    "seed": (lambda: vq.manual_seed(-1), ValueError, ["manual_seed", "seed = -1", "2**64-1"]),
    "generator seed": (lambda: vq.Generator(1 << 64), ValueError, ["generator", "2**64-1"]),
    "generator stream": (lambda: vq.Generator(0, -1), ValueError, ["generator", "stream = -1"]),
    "counter": (lambda: setattr(vq.Generator(0), "counter", -1), ValueError, ["counter = -1"]),
    "range": (
        lambda: vq.Generator(0).uniform((2,), 1.0, 1.0),
        ValueError,
        ["uniform", "1.0..<1.0"],
    ),
    "deviation": (lambda: vq.Generator(0).normal((2,), 0.0, -1.0), ValueError, ["normal", "-1.0"]),
    "below": (lambda: vq.Generator(0).integers((2,), 0), ValueError, ["integers", "below = 0"]),
    "wrong handle": (
        lambda: _core.tensor_unary(vq.Generator(1)._handle, "exp", 0.0),
        TypeError,
        ["GeneratorHandle", "tensor handle"],
    ),
    "no handle": (
        lambda: _core.module_forward(None, None),
        TypeError,
        ["NoneType", "module handle"],
    ),
    "not a quantizer": (
        lambda: _core.quantizer_encode(nn.Linear(1, 1)._handle, ones(1)._handle, None, None, 0),
        RuntimeError,
        ["encode", "Linear", "Quantizer"],
    ),
    "made by hand": (lambda: _core.TensorHandle(), TypeError, ["TensorHandle"]),
    "assignment before super": (
        lambda: Unready(),
        AttributeError,
        ["Unready", "super().__init__()"],
    ),
}
