"""Products of operands that are rounded to bfloat16."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from . import _core
from ._arguments import checked
from ._dtypes import DTypeLike, as_dtype, bfloat16, float32
from ._warning import warn

_FLOAT32, _BFLOAT16, _ROUNDED = range(3)  # vqswift.h's VQ_PRODUCTS_...
_WARNED: list[bool] = []


@checked
@contextlib.contextmanager
def autocast(dtype: DTypeLike = "bfloat16", *, simulate: bool = False) -> Iterator[None]:
    """Within the block, on this thread, multiply matrices and convolutions in `dtype`.

    With bfloat16 the operands of `@`, linear layers and convolutions are rounded to it, forward and
    backward, and their products summed in float32. Weights, gradients and moments, norms, losses,
    attention, recurrent layers and quantizers stay float32, and so does every tensor in between.
    A backward computes as its forward did, wherever it runs. "float32" switches it off for a block
    within the block.

    The CPU needs AVX-512 BF16 (AMD's Zen 4, Intel's Cooper Lake and later), and vqswift oneDNN.
    Any other keeps float32, which a warning says once. There `simulate=True` rounds the operands
    and multiplies them in float32: it shows what bfloat16 does to a training, and is slower.

        with vq.autocast("bfloat16"):
            trainer.fit(1000)
    """
    before = _core.products()
    _core.set_products(_products(dtype, simulate))
    try:
        yield
    finally:
        _core.set_products(before)


def _products(dtype: DTypeLike, simulate: bool) -> int:
    """The core's number, after a warning where the CPU lacks it."""
    wanted = as_dtype(dtype)
    if wanted == float32:
        return _FLOAT32
    if wanted != bfloat16:
        raise ValueError(f"[autocast] dtype {wanted}: bfloat16 or float32 is required")
    if _core.multiplies_bfloat16():
        return _BFLOAT16
    if simulate:
        return _ROUNDED
    if not _WARNED:
        _WARNED.append(True)
        warn(
            "vq.autocast: this CPU has no AVX-512 BF16, or vqswift no oneDNN: products stay "
            "float32; simulate=True rounds their operands all the same"
        )
    return _FLOAT32
