"""The experiment: models with custom estimators beside their straight-through twins."""

from __future__ import annotations

from .._harness import Command, Preset
from ._report import TrialRow
from ._resnet import COMMAND, ResNetSettings
from ._run import run
from ._trials import TRIALS, Settings, Training, Trial, Twin, full

COMMANDS = (
    Command(
        "estimators",
        "train quantized networks and their straight-through twins and compare them",
        __doc__,
        Settings,
        run,
        Preset("full", "50 epochs of 100 steps and three seeds; takes hours", full),
    ),
    COMMAND,
)
__all__ = [
    "COMMANDS",
    "TRIALS",
    "Training",
    "ResNetSettings",
    "TrialRow",
    "Settings",
    "Trial",
    "Twin",
    "full",
    "run",
]
