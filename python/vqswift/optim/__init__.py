"""Optimizers, learning-rate schedules, gradient clipping and averages of weights."""

from ._adafactor import Adafactor
from ._adagrad import Adagrad
from ._adam import Adam, AdamW
from ._averages import EMA, SWA
from ._clipping import clip_grad_norm, clip_grad_value, is_clipped
from ._lion import Lion
from ._muon import Muon
from ._optimizer import Optimizer
from ._plateau import PlateauSchedule
from ._rmsprop import RMSprop
from ._schedules import (
    JoinedSchedule,
    Schedule,
    constant_schedule,
    cosine_schedule,
    exponential_schedule,
    joined_schedule,
    multistep_schedule,
    one_cycle_schedule,
    step_schedule,
)
from ._sgd import SGD

__all__ = [
    "EMA",
    "SGD",
    "SWA",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "JoinedSchedule",
    "Lion",
    "Muon",
    "Optimizer",
    "PlateauSchedule",
    "RMSprop",
    "Schedule",
    "clip_grad_norm",
    "clip_grad_value",
    "constant_schedule",
    "cosine_schedule",
    "exponential_schedule",
    "is_clipped",
    "joined_schedule",
    "multistep_schedule",
    "one_cycle_schedule",
    "step_schedule",
]
