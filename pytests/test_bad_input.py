"""Bad input raises an exception of the right class whose text names operation, values and rule.

None ends the process: after each case a valid call works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vqswift as vq
from vqswift import Tensor, _core, nn, optim
from vqswift.nn import functional as F

NAN, INF = float("nan"), float("inf")


def ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape, np.float32))


def leaf(*shape: int) -> Tensor:
    return Tensor(np.ones(shape, np.float32), requires_grad=True)


def ints(*values: int) -> Tensor:
    return Tensor(np.array(values, np.int32))


@pytest.fixture(autouse=True)
def the_core_still_works() -> Iterator[None]:
    yield
    assert (ones(2, 3) @ ones(3, 2)).numpy().tolist() == [[3, 3], [3, 3]]
    z_q, _ = vq.VectorQuant(2, 4)(ones(3, 2))
    assert z_q.shape == (3, 2)


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


def quantizer_after(**options: Any) -> Callable[[], object]:
    return lambda: vq.VectorQuant(4, 8, **options)


def stepped(**options: Any) -> Callable[[], object]:
    return lambda: optim.AdamW([leaf(2)], **options)


def loaded(**changes: Any) -> Callable[[], object]:
    def load() -> None:
        layer = nn.Linear(2, 3)
        layer.load_state_dict(layer.state_dict() | changes)

    return load


def foreign_optimizer(parameters: list[Tensor]) -> object:
    return object()


def double_owner(parameters: list[Tensor]) -> optim.Optimizer:
    return optim.SGD([*parameters, leaf(2)], lr=0.1)


Case = tuple[Callable[[], object], type[Exception], list[str]]

TENSOR: dict[str, Case] = {
    "complex": (lambda: Tensor(np.ones(2, complex)), TypeError, ["tensor", "complex128", "real"]),
    "object": (lambda: Tensor(np.array([None])), TypeError, ["tensor", "object", "real"]),
    "string": (lambda: Tensor("abc"), TypeError, ["tensor", "<U3", "real"]),
    "date": (lambda: Tensor(np.array(["2020-01-01"], "M8[D]")), TypeError, ["tensor", "datetime"]),
    "wide integer": (lambda: Tensor([1 << 31]), OverflowError, ["tensor", "2147483648", "int32"]),
    "33 axes": (lambda: Tensor(np.ones((1,) * 33)), ValueError, ["tensor", "33 axes", "32"]),
    "33 axes by stack": (
        lambda: Tensor(np.ones((1,) * 32))[None].shape, ValueError, ["33 axes", "at most 32"],
    ),
    "integer gradient": (
        lambda: Tensor([1, 2], requires_grad=True), TypeError, ["requires_grad", "int32", "float32"],
    ),
    "integer arithmetic": (lambda: ints(1) + ints(2), TypeError, ["add", "int32", "float32"]),
    "broadcast": (lambda: ones(2, 3) + ones(2, 4), ValueError, ["add", "[2, 3]", "[2, 4]", "3"]),
    "matmul": (lambda: ones(2, 3) @ ones(2, 3), ValueError, ["matmul", "[2, 3]", "inner"]),
    "matmul of scalars": (lambda: ones() @ ones(), ValueError, ["matmul", "[]", "at least one"]),
    "matmul batch": (
        lambda: ones(2, 3, 3) @ ones(4, 3, 3), ValueError, ["matmul", "[4, 3, 3]", "batch"],
    ),
    "axis": (lambda: ones(2, 3).sum(2), ValueError, ["sum", "axis = 2", "rank 2"]),
    "axis twice": (lambda: ones(2, 3).max((1, -1)), ValueError, ["max", "[1, -1]", "twice"]),
    "mean of nothing": (lambda: ones(0, 3).mean(), ValueError, ["mean", "[0, 3]", "at least one"]),
    "max of nothing": (lambda: ones(0).max(), ValueError, ["max", "[0]", "at least one"]),
    "variance of one": (lambda: ones(1).var(), ValueError, ["variance", "[1]", "at least 2"]),
    "reshape": (lambda: ones(2, 3).reshape(4, 2), ValueError, ["reshape", "[2, 3]", "[4, 2]", "6"]),
    "reshape -1 twice": (lambda: ones(4).reshape(-1, -1), ValueError, ["reshape", "[-1]", "at least 0"]),
    "reshape rest": (lambda: ones(4).reshape(3, -1), ValueError, ["reshape", "[3, -1]", "divide"]),
    "reshape negative": (lambda: ones(4).reshape(-2, -2), ValueError, ["reshape", "-2"]),
    "permute": (lambda: ones(2, 3).permute(0, 0), ValueError, ["permute", "[0, 0]", "once"]),
    "broadcast_to": (lambda: ones(2).broadcast_to((3,)), ValueError, ["broadcast_to", "[2]", "[3]"]),
    "concatenate": (
        lambda: vq.concatenate([ones(2, 3), ones(2, 4)]), ValueError,
        ["concatenate", "[2, 3]", "[2, 4]", "axis 0"],
    ),
    "concatenate nothing": (lambda: vq.concatenate([]), ValueError, ["concatenate", "at least one"]),
    "concatenate dtypes": (
        lambda: vq.concatenate([ones(1), ints(1)]), TypeError, ["concatenate", "float32", "int32"],
    ),
    "stack": (lambda: vq.stack([ones(2), ones(3)]), ValueError, ["stack", "[2]", "[3]", "equal"]),
    "index": (lambda: ones(2, 3)[2], IndexError, ["getitem", "2", "axis of 2"]),
    "indices": (lambda: ones(2)[0, 0], IndexError, ["getitem", "2 indices", "[2]"]),
    "backwards slice": (lambda: ones(3)[::-1], ValueError, ["getitem", "step = -1", "at least 1"]),
    "index type": (lambda: ones(3)[[0, 1]], TypeError, ["getitem", "list", "integers"]),
    "item": (lambda: ones(2).item(), ValueError, ["item", "[2]", "one element"]),
    "assign": (lambda: leaf(2).assign(np.ones(3)), ValueError, ["assign", "[2]", "[3]"]),
    "assign dtype": (lambda: leaf(2).assign([1, 2]), TypeError, ["assign", "float32", "int32"]),
    "gather": (lambda: ones(3, 2).gather_rows([0, 3]), IndexError, ["gather_rows", "3", "0..<3"]),
    "gather negative": (lambda: ones(3, 2).gather_rows([-1]), IndexError, ["gather_rows", "-1"]),
    "gather floats": (
        lambda: ones(3, 2).gather_rows([0.0]), TypeError, ["gather_rows", "float32", "int32"],
    ),
    "gather rank": (lambda: ones(3).gather_rows([0]), ValueError, ["gather_rows", "[3]", "[k, d]"]),
    "scatter": (
        lambda: ones(2, 3).scatter_add_rows([0, 5], 4), IndexError, ["scatter_add_rows", "5", "4"],
    ),
    "scatter rows": (
        lambda: ones(2, 3).scatter_add_rows([0, 0], -1), (ValueError, IndexError),
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
    "not scalar": (lambda: (leaf(3) * 2).backward(), ValueError, ["backward", "[3]", "one element"]),
    "no leaf": (lambda: ones(1).backward(), RuntimeError, ["backward", "requires a gradient"]),
    "seed shape": (
        lambda: (leaf(3) * 2).backward(np.ones(2)), ValueError, ["backward", "[2]", "[3]"],
    ),
    "written in between": (backward_after_write, RuntimeError, ["backward", "square", "in place"]),
    "gradient of a result": (
        lambda: setattr(leaf(3) * 2, "grad", ones(3)), RuntimeError, ["grad", "requires_grad"],
    ),
    "gradient shape": (lambda: setattr(leaf(3), "grad", ones(2)), ValueError, ["grad", "[2]", "[3]"]),
}

SIZES: dict[str, Case] = {
    "product": (
        lambda: vq.Generator(1).uniform((1 << 40, 1 << 40)), OverflowError,
        ["uniform", "1099511627776", "does not fit"],
    ),
    "product beside zero": (
        lambda: vq.Generator(1).uniform((0, 1 << 40, 1 << 40)), OverflowError, ["uniform", "[0, "],
    ),
    "beyond 64 bits": (lambda: vq.Generator(1).normal((1 << 70,)), OverflowError, ["int"]),
    "enormous": (lambda: vq.Generator(1).normal((1 << 43,)), MemoryError, ["bytes", "memory"]),
    "negative": (lambda: vq.Generator(1).normal((-1, 2)), ValueError, ["normal", "[-1, 2]", "least 0"]),
    "33 axes": (lambda: vq.Generator(1).normal((1,) * 33), ValueError, ["shape", "33 axes", "32"]),
    "broadcast": (
        lambda: ones(1).broadcast_to((1 << 40, 1 << 40)), OverflowError, ["broadcast_to", "109951"],
    ),
    "one hot": (lambda: ones(3).one_hot(2), TypeError, ["one_hot", "float32", "int32"]),
    "layer": (lambda: nn.Linear(1 << 40, 1 << 40), OverflowError, ["109951", "does not fit"]),
    "quantizer": (lambda: vq.VectorQuant(1 << 40, 1 << 40), OverflowError, ["vector_quant"]),
    "permutation": (lambda: vq.Generator(1).permutation(-1), ValueError, ["permutation", "-1"]),
    "upsample": (
        lambda: F.upsample_nearest2d(ones(1, 2, 2, 1), 1 << 40), OverflowError, ["upsample_nearest2d"],
    ),
    "pad": (
        lambda: F.conv2d(ones(1, 3, 3, 1), ones(1, 1, 1, 1), padding=1 << 62), OverflowError,
        ["conv2d", "46116"],
    ),
}

LAYER: dict[str, Case] = {
    "linear sizes": (lambda: nn.Linear(0, 3), ValueError, ["linear", "0", "at least 1"]),
    "linear negative": (lambda: nn.Linear(-2, 3), ValueError, ["linear", "-2", "at least 1"]),
    "linear channels": (lambda: nn.Linear(4, 3)(ones(2, 5)), ValueError, ["linear", "[2, 5]", "4"]),
    "linear of codes": (lambda: nn.Linear(1, 3)(ints(1)), TypeError, ["matmul", "int32", "float32"]),
    "conv channels": (
        lambda: nn.Conv2d(3, 4, 3)(ones(1, 8, 8, 2)), ValueError, ["conv2d", "[1, 8, 8, 2]", "3"],
    ),
    "conv rank": (lambda: nn.Conv2d(3, 4, 3)(ones(8, 8, 3)), ValueError, ["conv2d", "[8, 8, 3]"]),
    "conv too small": (
        lambda: nn.Conv2d(3, 4, 5)(ones(1, 4, 4, 3)), ValueError, ["conv2d", "5x5", "4x4"],
    ),
    "conv stride": (lambda: nn.Conv2d(3, 4, 3, stride=0), ValueError, ["conv2d", "stride", "(0, 0)"]),
    "conv padding": (
        lambda: nn.Conv2d(3, 4, 3, padding=-1), ValueError, ["conv2d", "padding", "(-1, -1)"],
    ),
    "conv kernel": (lambda: nn.Conv2d(3, 4, 0), ValueError, ["conv2d", "kernel", "(0, 0)"]),
    "conv pair": (lambda: nn.Conv2d(3, 4, (1, 2, 3)), ValueError, ["pair", "(1, 2, 3)"]),
    "conv weight rank": (
        lambda: F.conv2d(ones(1, 4, 4, 1), ones(1, 1)), ValueError, ["conv2d", "[1, 1]"],
    ),
    "conv bias": (
        lambda: F.conv2d(ones(1, 4, 4, 1), ones(2, 1, 1, 1), ones(3)), ValueError, ["conv2d", "[3]"],
    ),
    "transposed channels": (
        lambda: nn.ConvTranspose2d(3, 4, 2)(ones(1, 8, 8, 2)), ValueError,
        ["conv_transpose2d", "[1, 8, 8, 2]"],
    ),
    "transposed output padding": (
        lambda: nn.ConvTranspose2d(3, 4, 2, stride=2, output_padding=2)(ones(1, 8, 8, 3)), ValueError,
        ["conv_transpose2d", "output_padding", "2"],
    ),
    "pool stride": (
        lambda: F.max_pool2d(ones(1, 4, 4, 1), 2, 0), ValueError, ["max_pool2d", "stride", "(0, 0)"],
    ),
    "pool padding": (
        lambda: F.avg_pool2d(ones(1, 4, 4, 1), 2, 2, 2), ValueError,
        ["average_pool2d", "padding", "half"],
    ),
    "pool rank": (lambda: nn.MaxPool2d(2)(ones(4, 4)), ValueError, ["max_pool2d", "[4, 4]"]),
    "upsample": (lambda: F.upsample_nearest2d(ones(1, 2, 2, 1), 0), ValueError, ["upsample", "0"]),
    "batch norm channels": (
        lambda: nn.BatchNorm(3)(ones(4, 2)), ValueError, ["batch_norm", "[4, 2]", "[2]"],
    ),
    "batch norm of one": (
        lambda: nn.BatchNorm(3)(ones(1, 3)), ValueError, ["batch_norm", "[1, 3]", "more than one"],
    ),
    "batch norm empty": (
        lambda: nn.BatchNorm(3)(ones(0, 3)), ValueError, ["batch_norm", "[0, 3]", "training"],
    ),
    "batch norm momentum": (
        lambda: nn.BatchNorm(3, momentum=1.5), ValueError, ["batch_norm", "momentum = 1.5", "1"],
    ),
    "layer norm": (lambda: nn.LayerNorm(3)(ones(2, 4)), ValueError, ["layer_norm", "[2, 4]", "3"]),
    "embedding": (lambda: nn.Embedding(3, 2)(ints(3)), IndexError, ["3", "0..<3"]),
    "dropout": (lambda: nn.Dropout(1.5), ValueError, ["dropout", "1.5", "1"]),
    "dropout nan": (lambda: nn.Dropout(NAN), ValueError, ["dropout", "nan"]),
    "dropout below": (
        lambda: F.dropout(ones(2), -0.1, vq.Generator()), ValueError, ["dropout", "-0.1", "0...1"],
    ),
    "labels": (
        lambda: F.cross_entropy(ones(2, 3), ints(0, 3)), IndexError, ["cross_entropy", "3", "0..<3"],
    ),
    "labels shape": (
        lambda: F.cross_entropy(ones(2, 3), ints(0)), ValueError, ["cross_entropy", "[2, 3]", "[1]"],
    ),
    "labels dtype": (
        lambda: F.cross_entropy(ones(1, 3), ones(1)), TypeError, ["cross_entropy", "float32", "int32"],
    ),
    "smoothing": (
        lambda: F.cross_entropy(ones(1, 3), ints(0), 1.5), ValueError, ["label_smoothing = 1.5"],
    ),
    "loss of nothing": (lambda: F.mse_loss(ones(0), ones(0)), ValueError, ["mean_squared_error", "[0]", "one"]),
    "loss shapes": (lambda: F.l1_loss(ones(2), ones(3)), ValueError, ["mean_absolute_error", "[2]", "[3]"]),
    "image size": (
        lambda: vq.models.SQVAE(vq.VectorQuant(4, 4), image_size=30), ValueError,
        ["sqvae", "30", "32 and 28"],
    ),
    "image channels": (
        lambda: vq.models.SQVAE(vq.VectorQuant(8, 4), width=8)(ones(2, 32, 32, 1)), ValueError,
        ["conv2d", "[2, 32, 32, 1]"],
    ),
    "no forward": (lambda: nn.Module()(ones(1)), NotImplementedError, ["Module", "forward"]),
}

QUANTIZER: dict[str, Case] = {
    "channels": (
        lambda: vq.VectorQuant(4, 8)(ones(2, 3)), ValueError, ["vector_quant", "[2, 3]", "= 4"],
    ),
    "rank": (lambda: vq.VectorQuant(4, 8, dim=1)(ones(4)), ValueError, ["dim = 1", "1 axes"]),
    "dim": (lambda: vq.VectorQuant(4, 8, dim=5)(ones(2, 4)), ValueError, ["dim = 5", "2 axes"]),
    "dtype": (lambda: vq.VectorQuant(1, 8)(ints(1)), TypeError, ["vector_quant", "int32", "float32"]),
    "empty": (lambda: vq.VectorQuant(4, 8)(ones(0, 4)), ValueError, ["vector_quant", "[0, 4]", "one"]),
    "nan": (
        lambda: vq.VectorQuant(2, 8)(Tensor([[0.0, 1.0], [NAN, 1.0]])), ValueError,
        ["vector_quant", "z holds nan", "index 2", "finite"],
    ),
    "infinity": (
        lambda: vq.VectorQuant(2, 8).encode([[0.0, -INF]]), ValueError,
        ["vector_quant", "z holds -inf", "index 1", "finite"],
    ),
    "feature size": (lambda: vq.VectorQuant(0, 8), ValueError, ["vector_quant", "feature_size = 0"]),
    "no codes": (lambda: vq.VectorQuant(4, 0), ValueError, ["vector_quant", "num_codes = 0"]),
    "negative codes": (lambda: vq.VectorQuant(4, -1), ValueError, ["vector_quant", "num_codes = -1"]),
    "beta": (quantizer_after(beta=1.5), ValueError, ["vector_quant", "beta = 1.5", "0...1"]),
    "beta nan": (quantizer_after(beta=NAN), ValueError, ["vector_quant", "beta = nan"]),
    "nu": (quantizer_after(sync_nu=-1.0), ValueError, ["vector_quant", "sync_nu = -1.0"]),
    "affine rate": (quantizer_after(affine_lr=INF), ValueError, ["vector_quant", "affine_lr = inf"]),
    "groups": (quantizer_after(affine_groups=3), ValueError, ["affine_groups = 3", "num_codes = 8"]),
    "no groups": (quantizer_after(affine_groups=0), ValueError, ["affine_groups = 0"]),
    "replacement": (quantizer_after(replace_freq=-1), ValueError, ["replace_freq = -1", "0"]),
    "inner steps": (quantizer_after(inner_steps=0), ValueError, ["inner_steps = 0", "at least 1"]),
    "outer steps": (quantizer_after(outer_steps=0), ValueError, ["outer_steps = 0", "at least 1"]),
    "norm": (quantizer_after(norm="l1"), ValueError, ["vector_quant", "norm = 'l1'", "none"]),
    "codebook norm": (quantizer_after(cb_norm="x"), ValueError, ["vector_quant", "cb_norm = 'x'"]),
    "affine form": (quantizer_after(affine="batch"), ValueError, ["affine = 'batch'", "learned"]),
    "seed": (quantizer_after(seed=-1), ValueError, ["vector_quant", "seed = -1", "2**64-1"]),
    "large seed": (quantizer_after(seed=1 << 64), ValueError, ["vector_quant", "2**64-1"]),
    "foreign optimizer": (
        quantizer_after(inplace_optimizer=foreign_optimizer), TypeError,
        ["vector_quant", "object", "vqswift.optim"],
    ),
    "optimizer of more": (
        lambda: vq.VectorQuant(4, 8, inplace_optimizer=double_owner)(ones(3, 4)), RuntimeError,
        ["vector_quant", "codebook and nothing else"],
    ),
    "too few for the inner steps": (
        lambda: vq.VectorQuant(
            4, 8, inner_steps=3, inplace_optimizer=lambda p: optim.SGD(p, lr=0.1)
        )(ones(2, 4)), ValueError, ["vector_quant", "inner_steps = 3", "2"],
    ),
    "code": (lambda: vq.VectorQuant(4, 8).decode([8]), IndexError, ["decode", "8", "0..<8"]),
    "negative code": (lambda: vq.VectorQuant(4, 8).decode([-1]), IndexError, ["decode", "-1"]),
    "code dtype": (
        lambda: vq.VectorQuant(4, 8).decode([1.0]), TypeError, ["decode", "float32", "int32"],
    ),
    "nearest nan": (
        lambda: vq.nearest_codes([[NAN]], [[1.0]]), ValueError, ["nearest_codes", "x holds nan"],
    ),
    "nearest codebook": (
        lambda: vq.nearest_codes([[1.0]], [[INF]]), ValueError, ["nearest_codes", "codebook holds inf"],
    ),
    "nearest shapes": (
        lambda: vq.nearest_codes(ones(2, 3), ones(2, 4)), ValueError,
        ["nearest_codes", "[2, 3]", "[2, 4]", "equal d"],
    ),
    "nearest rank": (lambda: vq.nearest_codes(ones(2), ones(2, 1)), ValueError, ["nearest_codes"]),
    "nearest of none": (
        lambda: vq.nearest_codes(ones(0, 2), ones(2, 2)), ValueError, ["nearest_codes", "[0, 2]"],
    ),
    "nearest without codes": (
        lambda: vq.nearest_codes(ones(2, 2), ones(0, 2)), ValueError, ["nearest_codes", "[0, 2]"],
    ),
    "k": (lambda: vq.kmeans(ones(3, 2), 0), ValueError, ["kmeans", "k = 0", "at least 1"]),
    "k-means nan": (lambda: vq.kmeans([[NAN]], 1), ValueError, ["kmeans", "x holds nan"]),
    "k-means rank": (lambda: vq.kmeans(ones(3), 1), ValueError, ["kmeans", "[3]", "[n, d]"]),
    "k-means empty": (lambda: vq.kmeans(ones(0, 2), 1), ValueError, ["kmeans", "[0, 2]", "one"]),
    "k-means dtype": (lambda: vq.kmeans([[1]], 1), TypeError, ["kmeans", "int32", "float32"]),
    "k-means iterations": (
        lambda: vq.kmeans(ones(3, 2), 1, iterations=-1), ValueError, ["kmeans", "iterations = -1"],
    ),
    "k-means init": (lambda: vq.kmeans(ones(3, 2), 1, init="x"), ValueError, ["kmeans", "init = 'x'"]),
    "k-means start": (
        lambda: vq.kmeans(ones(3, 2), 2, init=np.ones((2, 3))), ValueError,
        ["kmeans", "[2, 3]", "[2, 2]"],
    ),
    "k-means seed": (lambda: vq.kmeans(ones(3, 2), 1, seed=-1), ValueError, ["kmeans", "seed = -1"]),
    "k-means enormous": (
        lambda: vq.kmeans(ones(1, 1 << 12), (1 << 31) - 1), MemoryError, ["bytes", "memory"],
    ),
}

OPTIMIZER: dict[str, Case] = {
    "none": (lambda: optim.AdamW([]), ValueError, ["adamw", "at least one"]),
    "twice": (lambda: optim.Adam([leaf(2)] * 2), ValueError, ["adam", "once"]),
    "same": (
        lambda: (lambda p: optim.Adam([p, p]))(leaf(2)), ValueError, ["adam", "[1]", "[2]", "once"],
    ),
    "computed": (lambda: optim.SGD([leaf(2) * 2]), ValueError, ["sgd", "[0]", "leaves"]),
    "no gradient": (lambda: optim.SGD([ones(2)]), ValueError, ["sgd", "[2]", "leaves"]),
    "array": (lambda: optim.SGD([np.ones(2)]), TypeError, ["optimizer", "ndarray", "Tensor"]),
    "betas": (stepped(betas=(1.0, 0.999)), ValueError, ["adamw", "1.0", "below 1"]),
    "second beta": (stepped(betas=(0.9, -0.1)), ValueError, ["adamw", "-0.1"]),
    "three betas": (stepped(betas=(0.9, 0.9, 0.9)), ValueError, ["optimizer", "betas", "two"]),
    "rate": (stepped(lr=NAN), ValueError, ["adamw", "learning_rate = nan", "finite"]),
    "negative rate": (stepped(lr=-1.0), ValueError, ["adamw", "learning_rate = -1.0"]),
    "decay": (stepped(weight_decay=INF), ValueError, ["adamw", "weight_decay = inf"]),
    "epsilon": (stepped(eps=-1.0), ValueError, ["adamw", "-1.0"]),
    "momentum": (lambda: optim.SGD([leaf(2)], momentum=-1.0), ValueError, ["sgd", "momentum = -1.0"]),
    "nesterov": (lambda: optim.SGD([leaf(2)], nesterov=True), ValueError, ["sgd", "momentum", "above 0"]),
    "set rate": (lambda: setattr(optim.SGD([leaf(2)]), "lr", NAN), ValueError, ["sgd", "nan"]),
    "set rates": (
        lambda: setattr(optim.SGD([leaf(2)]), "lrs", [0.1, 0.2]), ValueError, ["lrs", "[0.1, 0.2]", "1 groups"],
    ),
    "group": (
        lambda: optim.SGD([{"params": [leaf(1)], "rate": 1}]), ValueError, ["optimizer", "'rate'"],
    ),
    "group without params": (lambda: optim.SGD([{"lr": 1.0}]), ValueError, ["optimizer", "params"]),
    "unknown state": (
        lambda: optim.SGD([leaf(1)]).load_state_dict({"x": np.ones(1)}), ValueError,
        ["load_state_dict", "unexpected = x"],
    ),
    "state shape": (
        lambda: optim.SGD([leaf(2)], momentum=0.9).load_state_dict(
            {"0.step": np.int32(1), "0.momentum_buffer": np.ones(3)}
        ), ValueError, ["load_state_dict", "[3]", "[2]"],
    ),
    "missing moment": (
        lambda: optim.SGD([leaf(2)], momentum=0.9).load_state_dict({"0.step": np.int32(1)}),
        ValueError, ["load_state_dict", "missing", "momentum_buffer"],
    ),
    "clip": (lambda: optim.clip_grad_norm([leaf(2)], NAN), ValueError, ["clip_grad_norm", "nan"]),
    "clip value": (lambda: optim.clip_grad_value([leaf(2)], -1.0), ValueError, ["clip_grad_value", "-1"]),
    "schedule": (lambda: optim.cosine_schedule(0), ValueError, ["schedule", "0", "at least 1"]),
    "schedule step": (lambda: optim.step_schedule(0), ValueError, ["schedule", "0", "at least 1"]),
    "schedule gamma": (lambda: optim.step_schedule(5, NAN), ValueError, ["schedule", "gamma", "nan"]),
    "warm-up": (lambda: optim.constant_schedule(-1), ValueError, ["schedule", "-1", "at least 0"]),
}

STATE: dict[str, Case] = {
    "missing": (
        lambda: nn.Linear(2, 3).load_state_dict({"weight": np.ones((3, 2))}), ValueError,
        ["load_state_dict", "missing ['bias']"],
    ),
    "unexpected": (loaded(extra=np.ones(1)), ValueError, ["load_state_dict", "unexpected ['extra']"]),
    "shape": (loaded(bias=np.ones(4)), ValueError, ["load_state_dict", "bias", "[4]", "[3]"]),
    "dtype": (loaded(bias=np.ones(3, complex)), TypeError, ["load_state_dict", "bias", "complex128"]),
    "absent file": (lambda: vq.load("/nonexistent/a"), OSError, ["/nonexistent/a", "No such file"]),
    "folder": (lambda: vq.load("/tmp"), OSError, ["/tmp"]),
    "unwritable": (
        lambda: vq.save("/nonexistent/a", {"x": np.ones(1)}), OSError, ["/nonexistent/a", "No such"],
    ),
    "NUL": (lambda: vq.load("a\0b"), ValueError, ["load", "NUL"]),
    "NUL in save": (lambda: vq.save("a\0b", {}), ValueError, ["save", "NUL"]),
    "reserved name": (
        lambda: vq.save("/tmp/vqswift-never", {"__metadata__": np.ones(1)}), ValueError,
        ["save", "__metadata__"],
    ),
    "saved dtype": (
        lambda: vq.save("/tmp/vqswift-never", {"x": np.ones(1, complex)}), TypeError, ["complex128"],
    ),
    "threads": (lambda: vq.set_threads(0), ValueError, ["set_threads", "count = 0", "1...4096"]),
    "many threads": (lambda: vq.set_threads(1 << 40), ValueError, ["set_threads", "1...4096"]),
    "seed": (lambda: vq.manual_seed(-1), ValueError, ["manual_seed", "seed = -1", "2**64-1"]),
    "generator seed": (lambda: vq.Generator(1 << 64), ValueError, ["generator", "2**64-1"]),
    "generator stream": (lambda: vq.Generator(0, -1), ValueError, ["generator", "stream = -1"]),
    "counter": (lambda: setattr(vq.Generator(0), "counter", -1), ValueError, ["counter = -1"]),
    "range": (lambda: vq.Generator(0).uniform((2,), 1.0, 1.0), ValueError, ["uniform", "1.0..<1.0"]),
    "deviation": (lambda: vq.Generator(0).normal((2,), 0.0, -1.0), ValueError, ["normal", "-1.0"]),
    "below": (lambda: vq.Generator(0).integers((2,), 0), ValueError, ["integers", "below = 0"]),
    "wrong handle": (
        lambda: _core.exp(vq.Generator(1)._handle), TypeError, ["GeneratorHandle", "tensor handle"],
    ),
    "no handle": (lambda: _core.module_forward(None, None), TypeError, ["NoneType", "module handle"]),
    "not a quantizer": (
        lambda: _core.quantizer_encode(nn.Linear(1, 1)._handle, ones(1)._handle), RuntimeError,
        ["encode", "Linear", "quantizer"],
    ),
    "made by hand": (lambda: _core.TensorHandle(), TypeError, ["TensorHandle"]),
    "assignment before super": (lambda: Unready(), AttributeError, ["Unready", "super().__init__()"]),
}


class Unready(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Linear(1, 1)


GROUPS = {
    "tensor": TENSOR, "gradient": GRADIENT, "sizes": SIZES, "layer": LAYER, "quantizer": QUANTIZER,
    "optimizer": OPTIMIZER, "state": STATE,
}


@pytest.mark.parametrize(
    ("call", "exception", "parts"),
    [case for group in GROUPS.values() for case in group.values()],
    ids=[f"{group}: {name}" for group, cases in GROUPS.items() for name in cases],
)
def test_bad_input(
    call: Callable[[], object], exception: type[Exception], parts: list[str]
) -> None:
    with pytest.raises(exception) as caught:
        call()
    assert type(caught.value) in (exception if isinstance(exception, tuple) else {exception})
    for part in parts:
        assert part in str(caught.value)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[:-4],
    "longer": lambda data: data + b"\0\0\0\0",
    "empty": lambda data: b"",
    "short": lambda data: data[:5],
    "header length": lambda data: b"\xff" * 8 + data[8:],
    "garbage": lambda data: bytes(range(256)) * 4,
    "header text": lambda data: data[:8] + b"}" + data[9:],
    "dtype": lambda data: data.replace(b"F32", b"F99"),
    "negative offset": lambda data: data.replace(b"[0,", b"[-,"),
    "shape": lambda data: data.replace(b"[10]", b"[99]"),
    "huge shape": lambda data: data.replace(b"[10]", b"[9]}"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_checkpoint(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "damaged.safetensors"
    vq.save(path, {"a": np.arange(10.0)})
    intact = path.read_bytes()
    assert damage(intact) != intact
    path.write_bytes(damage(intact))
    with pytest.raises(ValueError, match=r"\[load\] .*damaged\.safetensors: "):
        vq.load(path)


def test_each_byte_of_the_header_may_be_wrong(tmp_path: Path) -> None:
    """A flipped byte loads or raises; it never ends the process."""
    path = tmp_path / "flipped.safetensors"
    vq.save(path, {"weight": np.arange(6.0).reshape(2, 3), "codes": np.arange(3, dtype=np.int32)})
    intact = path.read_bytes()
    for position in range(len(intact) - 36):
        for flip in (0x01, 0x10, 0x80):
            damaged = bytearray(intact)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                vq.load(path)
            except (ValueError, OverflowError, MemoryError):
                pass
