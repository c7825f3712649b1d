"""Optimizers and schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from vqswift import optim

from .case import INF, NAN, Case, leaf, ones


def stepped(**options: Any) -> Callable[[], object]:
    return lambda: optim.AdamW([leaf(2)], **options)


OPTIMIZER: dict[str, Case] = {
    "none": (lambda: optim.AdamW([]), ValueError, ["adamw", "at least one"]),
    "twice": (lambda: optim.Adam([leaf(2)] * 2), ValueError, ["adam", "once"]),
    "same": (
        lambda: (lambda p: optim.Adam([p, p]))(leaf(2)),
        ValueError,
        ["adam", "[1]", "[2]", "once"],
    ),
    "computed": (lambda: optim.SGD([leaf(2) * 2]), ValueError, ["sgd", "[0]", "leaves"]),
    "no gradient": (lambda: optim.SGD([ones(2)]), ValueError, ["sgd", "[2]", "leaves"]),
    "array": (
        lambda: optim.SGD([np.ones(2)]),
        TypeError,
        ["optimizer", "array of float64", "Tensor"],
    ),
    "betas": (stepped(betas=(1.0, 0.999)), ValueError, ["adamw", "1.0", "0..<1"]),
    "second beta": (stepped(betas=(0.9, -0.1)), ValueError, ["adamw", "-0.1"]),
    "three betas": (stepped(betas=(0.9, 0.9, 0.9)), ValueError, ["optimizer", "betas", "two"]),
    "rate": (stepped(lr=NAN), ValueError, ["adamw", "learning_rate = nan", "finite"]),
    "negative rate": (stepped(lr=-1.0), ValueError, ["adamw", "learning_rate = -1.0"]),
    "decay": (stepped(weight_decay=INF), ValueError, ["adamw", "weight_decay = inf"]),
    "epsilon": (stepped(eps=-1.0), ValueError, ["adamw", "-1.0"]),
    "momentum": (
        lambda: optim.SGD([leaf(2)], momentum=-1.0),
        ValueError,
        ["sgd", "momentum = -1.0"],
    ),
    "nesterov": (
        lambda: optim.SGD([leaf(2)], nesterov=True),
        ValueError,
        ["sgd", "momentum", "above 0"],
    ),
    "set rate": (lambda: setattr(optim.SGD([leaf(2)]), "lr", NAN), ValueError, ["sgd", "nan"]),
    "set rates": (
        lambda: setattr(optim.SGD([leaf(2)]), "lrs", [0.1, 0.2]),
        ValueError,
        ["lrs", "[0.1, 0.2]", "1 groups"],
    ),
    "group": (
        lambda: optim.SGD([{"params": [leaf(1)], "rate": 1}]),
        ValueError,
        ["optimizer", "'rate'"],
    ),
    "group without params": (lambda: optim.SGD([{"lr": 1.0}]), ValueError, ["optimizer", "params"]),
    "unknown state": (
        lambda: optim.SGD([leaf(1)]).load_state_dict({"x": np.ones(1)}),
        ValueError,
        ["load_state_dict", "unexpected = x"],
    ),
    "state shape": (
        lambda: optim.SGD([leaf(2)], momentum=0.9).load_state_dict(
            {"0.step": np.int32(1), "0.momentum_buffer": np.ones(3)}
        ),
        ValueError,
        ["load_state_dict", "[3]", "[2]"],
    ),
    "missing moment": (
        lambda: optim.SGD([leaf(2)], momentum=0.9).load_state_dict({"0.step": np.int32(1)}),
        ValueError,
        ["load_state_dict", "missing", "momentum_buffer"],
    ),
    "clip": (lambda: optim.clip_grad_norm([leaf(2)], NAN), ValueError, ["clip_grad_norm", "nan"]),
    "clip value": (
        lambda: optim.clip_grad_value([leaf(2)], -1.0),
        ValueError,
        ["clip_grad_value", "-1"],
    ),
    "schedule": (lambda: optim.cosine_schedule(0), ValueError, ["schedule", "0", "at least 1"]),
    "schedule step": (lambda: optim.step_schedule(0), ValueError, ["schedule", "0", "at least 1"]),
    "schedule gamma": (
        lambda: optim.step_schedule(5, NAN),
        ValueError,
        ["schedule", "gamma", "nan"],
    ),
    "warm-up": (lambda: optim.constant_schedule(-1), ValueError, ["schedule", "-1", "at least 0"]),
}
