"""Optimizers and schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from vqswift import nn, optim

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
    "alpha": (
        lambda: optim.RMSprop([leaf(2)], alpha=1.0),
        ValueError,
        ["rmsprop", "alpha = 1.0", "0..<1"],
    ),
    "adagrad eps": (
        lambda: optim.Adagrad([leaf(2)], eps=0.0),
        ValueError,
        ["adagrad", "eps = 0.0", "at least 1e-20"],
    ),
    "rate decay": (
        lambda: optim.Adagrad([leaf(2)], lr_decay=-1.0),
        ValueError,
        ["adagrad", "lr_decay = -1.0", "at least 0"],
    ),
    "lion betas": (
        lambda: optim.Lion([leaf(2)], betas=(0.9, 1.0)),
        ValueError,
        ["lion", "betas = [0.9, 1.0]", "0..<1"],
    ),
    "decay of beta2": (
        lambda: optim.Adafactor([leaf(2)], beta2_decay=0.5),
        ValueError,
        ["adafactor", "beta2_decay = 0.5", "at most 0"],
    ),
    "threshold": (
        lambda: optim.Adafactor([leaf(2)], d=0.5),
        ValueError,
        ["adafactor", "d = 0.5", "at least 1"],
    ),
    "first eps": (
        lambda: optim.Adafactor([leaf(2)], eps=(0.0, 1e-3)),
        ValueError,
        ["adafactor", "eps = [0.0, 0.001]", "the first must be at least 1e-18"],
    ),
    "vector for Muon": (
        lambda: optim.Muon([leaf(2)]),
        ValueError,
        ["muon", "[2]", "two axes"],
    ),
    "coefficients": (
        lambda: optim.Muon([leaf(2)], ns_coefficients=(1.0, NAN, 1.0)),
        ValueError,
        ["muon", "ns_coefficients", "three finite numbers"],
    ),
    "two coefficients": (
        lambda: optim.Muon([leaf(2)], ns_coefficients=(1.0, 2.0)),
        ValueError,
        ["muon", "ns_coefficients = [1.0, 2.0]", "three"],
    ),
    "iterations": (
        lambda: optim.Muon([leaf(2)], ns_steps=100),
        ValueError,
        ["muon", "ns_steps = 100", "0..<100"],
    ),
    "adjustment": (
        lambda: optim.Muon([leaf(2)], adjust_lr_fn="like_adam"),
        ValueError,
        ["muon", "adjust_lr_fn = 'like_adam'", "'match_rms_adamw'"],
    ),
    "exponential": (
        lambda: optim.exponential_schedule(0.0),
        ValueError,
        ["schedule", "gamma = 0.0", "above 0"],
    ),
    "milestones": (
        lambda: optim.multistep_schedule([2, 2]),
        ValueError,
        ["schedule", "milestones = [2, 2]", "increase"],
    ),
    "first milestone": (
        lambda: optim.multistep_schedule([0, 2]),
        ValueError,
        ["schedule", "milestones = [0, 2]", "at least 1"],
    ),
    "cycle": (
        lambda: optim.one_cycle_schedule(0),
        ValueError,
        ["schedule", "total_steps = 0", "at least 1"],
    ),
    "rise": (
        lambda: optim.one_cycle_schedule(10, pct_start=1.5),
        ValueError,
        ["schedule", "pct_start = 1.5", "0...1"],
    ),
    "annealing": (
        lambda: optim.one_cycle_schedule(10, anneal_strategy="sine"),
        ValueError,
        ["one_cycle", "anneal_strategy = 'sine'", "'cos'"],
    ),
    "joined": (
        lambda: optim.joined_schedule([optim.constant_schedule()], [3]),
        ValueError,
        ["joined_schedule", "1 schedules and 1 milestones"],
    ),
    "joined milestones": (
        lambda: optim.joined_schedule([optim.constant_schedule()] * 3, [3, 2]),
        ValueError,
        ["joined_schedule", "milestones [3, 2]", "increase"],
    ),
    "joined numbers": (
        lambda: optim.joined_schedule([1.0, optim.constant_schedule()], [3]),
        TypeError,
        ["joined_schedule", "1.0", "a function"],
    ),
    "plateau mode": (
        lambda: optim.PlateauSchedule("most"),
        ValueError,
        ["plateau_schedule", "mode = 'most'", "'min' or 'max'"],
    ),
    "plateau factor": (
        lambda: optim.PlateauSchedule(factor=1.0),
        ValueError,
        ["plateau_schedule", "factor = 1.0", "0..<1"],
    ),
    "plateau state": (
        lambda: optim.PlateauSchedule().load_state_dict({"scale": 1.0}),
        ValueError,
        ["load_state_dict", "['scale']", "num_bad_epochs"],
    ),
    "average of nothing like it": (
        lambda: optim.EMA(nn.Linear(2, 2)).load_state_dict(optim.EMA(nn.ReLU()).state_dict()),
        ValueError,
        ["load_state_dict", "missing ['module.bias', 'module.weight']"],
    ),
    "decay of an average": (
        lambda: optim.EMA(nn.Linear(2, 2), decay=1.0),
        ValueError,
        ["ema", "decay = 1.0", "0..<1"],
    ),
    "warm-up": (lambda: optim.constant_schedule(-1), ValueError, ["schedule", "-1", "at least 0"]),
}
