"""Tensors, gradients and sizes."""

from __future__ import annotations

import numpy as np
import vqswift as vq
from vqswift import Tensor, _core, nn
from vqswift.nn import functional as F

from .case import Case, ints, leaf, ones


def backward_twice() -> None:
    x = leaf(3)
    loss = x.square().sum()
    loss.backward()
    loss.backward()


def backward_after_write() -> None:
    x = leaf(3)
    loss = x.square().sum()
    x.assign(np.zeros(3, np.float32))
    loss.backward()


TENSOR: dict[str, Case] = {
    "complex": (lambda: Tensor(np.ones(2, complex)), TypeError, ["tensor", "complex128", "real"]),
    "object": (lambda: Tensor(np.array([None])), TypeError, ["tensor", "object", "real"]),
    "string": (lambda: Tensor("abc"), TypeError, ["tensor", "'abc'", "real"]),
    "date": (lambda: Tensor(np.array(["2020-01-01"], "M8[D]")), TypeError, ["tensor", "datetime"]),
    "wide integer": (lambda: Tensor([1 << 31]), OverflowError, ["tensor", "2147483648", "int32"]),
    "33 axes": (lambda: Tensor(np.ones((1,) * 33)), ValueError, ["tensor", "33 axes", "32"]),
    "33 axes by stack": (
        lambda: Tensor(np.ones((1,) * 32))[None].shape,
        ValueError,
        ["33 axes", "at most 32"],
    ),
    "integer gradient": (
        lambda: Tensor([1, 2], requires_grad=True),
        TypeError,
        ["requires_grad", "int32", "float32"],
    ),
    "integer beside floats": (
        lambda: Tensor([2**24 + 1]) + ones(1),
        ValueError,
        ["add", "element 0 = 16777217", "float32 would round it"],
    ),
    "integer division": (
        lambda: ints(1) // Tensor([0]),
        ValueError,
        ["floor_divide", "divisor 0 = 0"],
    ),
    "broadcast": (lambda: ones(2, 3) + ones(2, 4), ValueError, ["add", "[2, 3]", "[2, 4]", "3"]),
    "matmul": (lambda: ones(2, 3) @ ones(2, 3), ValueError, ["matmul", "[2, 3]", "inner"]),
    "matmul of scalars": (lambda: ones() @ ones(), ValueError, ["matmul", "[]", "at least one"]),
    "matmul batch": (
        lambda: ones(2, 3, 3) @ ones(4, 3, 3),
        ValueError,
        ["matmul", "[4, 3, 3]", "batch"],
    ),
    "axis": (lambda: ones(2, 3).sum(2), ValueError, ["sum", "axis = 2", "rank 2"]),
    "axis twice": (lambda: ones(2, 3).max((1, -1)), ValueError, ["max", "[1, -1]", "twice"]),
    "mean of nothing": (lambda: ones(0, 3).mean(), ValueError, ["mean", "[0, 3]", "at least one"]),
    "max of nothing": (lambda: ones(0).max(), ValueError, ["max", "[0]", "at least one"]),
    "variance of one": (lambda: ones(1).var(), ValueError, ["variance", "[1]", "at least 2"]),
    "reshape": (lambda: ones(2, 3).reshape(4, 2), ValueError, ["reshape", "[2, 3]", "[4, 2]", "6"]),
    "reshape -1 twice": (
        lambda: ones(4).reshape(-1, -1),
        ValueError,
        ["reshape", "[-1]", "at least 0"],
    ),
    "reshape rest": (lambda: ones(4).reshape(3, -1), ValueError, ["reshape", "[3, -1]", "divide"]),
    "reshape negative": (lambda: ones(4).reshape(-2, -2), ValueError, ["reshape", "-2"]),
    "permute": (lambda: ones(2, 3).permute(0, 0), ValueError, ["permute", "[0, 0]", "once"]),
    "broadcast_to": (
        lambda: ones(2).broadcast_to((3,)),
        ValueError,
        ["broadcast_to", "[2]", "[3]"],
    ),
    "concatenate": (
        lambda: vq.concatenate([ones(2, 3), ones(2, 4)]),
        ValueError,
        ["concatenate", "[2, 3]", "[2, 4]", "axis 0"],
    ),
    "concatenate nothing": (
        lambda: vq.concatenate([]),
        ValueError,
        ["concatenate", "at least one"],
    ),
    "concatenate dtypes": (
        lambda: vq.concatenate([ones(1), ints(1)]),
        TypeError,
        ["concatenate", "float32", "int32"],
    ),
    "stack": (lambda: vq.stack([ones(2), ones(3)]), ValueError, ["stack", "[2]", "[3]", "equal"]),
    "index": (lambda: ones(2, 3)[2], IndexError, ["getitem", "2", "axis 0 of size 2"]),
    "indices": (lambda: ones(2)[0, 0], IndexError, ["getitem", "2 indices", "[2]"]),
    "index array": (
        lambda: ones(2, 3)[:, [0, 3]],
        IndexError,
        ["getitem", "index 3", "axis 1 of size 3"],
    ),
    "index mask": (
        lambda: ones(2, 3)[:, [True, False]],
        IndexError,
        ["getitem", "mask of shape [2]", "axis 1", "[3]"],
    ),
    "index type": (lambda: ones(3)[[0.5]], TypeError, ["getitem", "[0.5]", "integers"]),
    "slice of nothing": (lambda: ones(3)[::0], ValueError, ["step"]),
    "take": (
        lambda: _core.tensor_take(ones(2, 3)._handle, ints(3)._handle, 1),
        IndexError,
        ["take", "3", "0..<3"],
    ),
    "take axis": (
        lambda: _core.tensor_take(ones(2, 3)._handle, ints(0)._handle, -(2**63)),
        ValueError,
        ["take", "axis", "rank 2"],
    ),
    "argsort count": (
        lambda: _core.tensor_argsort(ones(2, 3)._handle, 1, False, 4),
        ValueError,
        ["argsort", "count = 4", "0...3"],
    ),
    "argsort negative": (
        lambda: _core.tensor_argsort(ones(2, 3)._handle, 1, False, -(2**63)),
        ValueError,
        ["argsort", "count", "0...3"],
    ),
    "scan": (
        lambda: _core.tensor_scan(ones(2)._handle, "cummax", 0),
        ValueError,
        ["scan", "'cummax'", "cumsum or cumprod"],
    ),
    "reduce": (
        lambda: _core.tensor_reduce(ones(2)._handle, "sum", 0.0, None, False),
        ValueError,
        ["reduce", "'sum'", "prod or norm"],
    ),
    "item": (lambda: ones(2).item(), ValueError, ["item", "[2]", "one element"]),
    "assign": (lambda: leaf(2).assign(np.ones(3)), ValueError, ["assign", "[2]", "[3]"]),
    "assign dtype": (lambda: leaf(2).assign([1, 2]), TypeError, ["assign", "float32", "int32"]),
    "gather": (lambda: ones(3, 2).gather_rows([0, 3]), IndexError, ["gather_rows", "3", "0..<3"]),
    "gather negative": (lambda: ones(3, 2).gather_rows([-1]), IndexError, ["gather_rows", "-1"]),
    "gather floats": (
        lambda: ones(3, 2).gather_rows([0.0]),
        TypeError,
        ["gather_rows", "float32", "int32"],
    ),
    "gather rank": (lambda: ones(3).gather_rows([0]), ValueError, ["gather_rows", "[3]", "[k, d]"]),
    "scatter": (
        lambda: ones(2, 3).scatter_add_rows([0, 5], 4),
        IndexError,
        ["scatter_add_rows", "5", "4"],
    ),
    "scatter rows": (
        lambda: ones(2, 3).scatter_add_rows([0, 0], -1),
        (ValueError, IndexError),
        ["scatter_add_rows"],
    ),
    "one hot": (lambda: ints(4).one_hot(3), IndexError, ["one_hot", "4", "0..<3"]),
    "one hot negative": (lambda: Tensor(np.ones(0, np.int32)).one_hot(-3), ValueError, ["one_hot"]),
    "softmax axis": (lambda: ones(2).softmax(1), ValueError, ["softmax", "axis = 1", "rank 1"]),
    "clamp": (lambda: ones(2).clamp(2.0, 1.0), ValueError, ["clamp", "2.0", "1.0"]),
    "power of tensors": (lambda: ones(2) ** ones(2), TypeError, ["**"]),
}

GRADIENT: dict[str, Case] = {
    "twice": (backward_twice, RuntimeError, ["backward", "freed", "retain_graph"]),
    "not scalar": (
        lambda: (leaf(3) * 2).backward(),
        ValueError,
        ["backward", "[3]", "one element"],
    ),
    "no leaf": (lambda: ones(1).backward(), RuntimeError, ["backward", "requires a gradient"]),
    "seed shape": (
        lambda: (leaf(3) * 2).backward(np.ones(2)),
        ValueError,
        ["backward", "[2]", "[3]"],
    ),
    "seed dtype": (
        lambda: (leaf(2) * 2).backward(ints(1, 2)),
        TypeError,
        ["backward", "int32", "the gradient must be float32"],
    ),
    "written in between": (backward_after_write, RuntimeError, ["backward", "square", "in place"]),
    "gradient of a result": (
        lambda: setattr(leaf(3) * 2, "grad", ones(3)),
        RuntimeError,
        ["grad", "requires_grad"],
    ),
    "gradient shape": (
        lambda: setattr(leaf(3), "grad", ones(2)),
        ValueError,
        ["grad", "[2]", "[3]"],
    ),
}

SIZES: dict[str, Case] = {
    "product": (
        lambda: vq.Generator(1).uniform((1 << 40, 1 << 40)),
        OverflowError,
        ["uniform", "1099511627776", "does not fit"],
    ),
    "product beside zero": (
        lambda: vq.Generator(1).uniform((0, 1 << 40, 1 << 40)),
        OverflowError,
        ["uniform", "[0, "],
    ),
    "beyond 64 bits": (lambda: vq.Generator(1).normal((1 << 70,)), OverflowError, ["int"]),
    "enormous": (lambda: vq.Generator(1).normal((1 << 43,)), MemoryError, ["bytes", "memory"]),
    "negative": (
        lambda: vq.Generator(1).normal((-1, 2)),
        ValueError,
        ["normal", "[-1, 2]", "least 0"],
    ),
    "33 axes": (lambda: vq.Generator(1).normal((1,) * 33), ValueError, ["shape", "33 axes", "32"]),
    "broadcast": (
        lambda: ones(1).broadcast_to((1 << 40, 1 << 40)),
        OverflowError,
        ["broadcast_to", "109951"],
    ),
    "one hot": (lambda: ones(3).one_hot(2), TypeError, ["one_hot", "float32", "int32"]),
    "layer": (lambda: nn.Linear(1 << 40, 1 << 40), OverflowError, ["109951", "does not fit"]),
    "quantizer": (lambda: vq.VectorQuant(1 << 40, 1 << 40), OverflowError, ["vector_quant"]),
    "permutation": (lambda: vq.Generator(1).permutation(-1), ValueError, ["permutation", "-1"]),
    "upsample": (
        lambda: F.upsample_nearest2d(ones(1, 2, 2, 1), 1 << 40),
        OverflowError,
        ["upsample_nearest2d"],
    ),
    "pad": (
        lambda: F.conv2d(ones(1, 3, 3, 1), ones(1, 1, 1, 1), padding=1 << 62),
        OverflowError,
        ["conv2d", "46116"],
    ),
}
