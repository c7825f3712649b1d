"""Vector-quantized neural networks on the CPU: exact formulas, fast kernels, no index collapse."""

import importlib as _importlib
import os as _os
import typing as _typing

# The core takes what it does not know for the best that the CPU runs; a typo is an error here.
_sets = ("portable", "avx2", "avx512", "avx512vnni", "avx512bf16")
if (_os.environ.get("VQSWIFT_INSTRUCTIONS") or _sets[0]) not in _sets:
    raise ImportError(
        f"VQSWIFT_INSTRUCTIONS = {_os.environ['VQSWIFT_INSTRUCTIONS']!r}: "
        f"must be one of {', '.join(_sets)}"
    )

from . import _loading  # noqa: E402

_loading.load_core()

from . import autograd, nn, optim, quantizers  # noqa: E402
from ._arithmetic import set_exact_convolutions, set_flush_denormal  # noqa: E402
from ._autocast import autocast  # noqa: E402
from ._checkpoint import load, save  # noqa: E402
from ._dtypes import bfloat16, float16, float32, int32  # noqa: E402
from ._einsum import einsum  # noqa: E402
from ._functions import (  # noqa: E402
    arange,
    concatenate,
    enable_grad,
    full,
    maximum,
    meshgrid,
    minimum,
    no_grad,
    ones,
    outer,
    pad,
    stack,
    where,
    zeros,
)
from ._gradients import grad, value_and_grad  # noqa: E402
from ._random import Generator, manual_seed  # noqa: E402
from ._renamed import renamed as _renames  # noqa: E402
from ._tensor import Tensor  # noqa: E402
from ._threads import get_threads, libraries, limit_threads, set_threads  # noqa: E402
from .quantizers import *  # noqa: E402, F403

if _typing.TYPE_CHECKING:
    from . import codec, data, distributed, estimators, metrics, models, plots, recipes, train
    from ._codes import CodeFile, load_codes, pack_codes, save_codes, unpack_codes

# Read by the build too, from the text of this line.
__version__ = "0.1.0"

# Imported at first use: they bring hashing, threads and parsers of the standard library.
_LAZY = frozenset(
    {"codec", "data", "distributed", "estimators", "metrics", "models", "plots", "recipes", "train"}
)
_LAZY_OF_CODES = frozenset({"CodeFile", "load_codes", "pack_codes", "save_codes", "unpack_codes"})


# A checker is to know a misspelt name.
if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _LAZY:
            return _importlib.import_module(f".{name}", __name__)
        if name in _LAZY_OF_CODES:
            return getattr(_importlib.import_module("._codes", __name__), name)
        return _old_name(name)

    _old_name = _renames(__name__, {"GaussianQuant": "SQVAEQuant"})


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "CodeFile",
    "Generator",
    "Tensor",
    "arange",
    "autocast",
    "autograd",
    "bfloat16",
    "codec",
    "concatenate",
    "data",
    "distributed",
    "einsum",
    "enable_grad",
    "estimators",
    "float16",
    "float32",
    "full",
    "get_threads",
    "grad",
    "int32",
    "libraries",
    "limit_threads",
    "load",
    "load_codes",
    "manual_seed",
    "maximum",
    "meshgrid",
    "metrics",
    "minimum",
    "models",
    "nn",
    "no_grad",
    "ones",
    "optim",
    "outer",
    "pack_codes",
    "pad",
    "plots",
    "quantizers",
    "recipes",
    "save",
    "save_codes",
    "set_exact_convolutions",
    "set_flush_denormal",
    "set_threads",
    "stack",
    "train",
    "unpack_codes",
    "value_and_grad",
    "where",
    "zeros",
]
__all__ += quantizers.__all__
