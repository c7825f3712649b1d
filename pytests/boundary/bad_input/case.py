"""What the cases of bad input are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from vqswift import Tensor

NAN, INF = float("nan"), float("inf")

# A call, the class of its exception, parts of the text.
Case = tuple[Callable[[], object], type[Exception], list[str]]


def ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape, np.float32))


def leaf(*shape: int) -> Tensor:
    return Tensor(np.ones(shape, np.float32), requires_grad=True)


def ints(*values: int) -> Tensor:
    return Tensor(np.array(values, np.int32))
