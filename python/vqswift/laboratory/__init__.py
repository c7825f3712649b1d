"""The experiment: models with custom estimators beside their straight-through twins."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .._command_line import Help
from . import _resnet
from ._report import TrialRow
from ._resnet import ResNetSettings
from ._run import run
from ._trials import TRIALS, Settings, Training, Trial, Twin, full

__all__ = [
    "TRIALS",
    "Training",
    "ResNetSettings",
    "TrialRow",
    "Settings",
    "Trial",
    "Twin",
    "add_parser",
    "full",
    "run",
]


def add_parser(commands: Any) -> None:
    """Add `estimators` and `resnet50` to the sub-commands of an `argparse` parser."""
    default = Settings()
    parser = commands.add_parser(
        "estimators",
        help="train quantized networks and their straight-through twins and compare them",
        description=__doc__,
        formatter_class=Help,
    )
    parser.add_argument(
        "--full", action="store_true", help="50 epochs of 100 steps and three seeds; takes hours"
    )
    parser.add_argument(
        "--data",
        choices=("auto", "mnist", "fashion-mnist", "digits"),
        default=default.data,
        help="auto: MNIST when its files are found, else scikit-learn's digits",
    )
    parser.add_argument(
        "--root",
        type=Path,
        help="folder of the data sets; VQSWIFT_DATA, then ../shared/data by default",
    )
    parser.add_argument("--net", choices=("a", "b"), default=default.net, help="network")
    parser.add_argument("--bits", type=int, default=default.bits, help="of a weight")
    parser.add_argument(
        "--seeds", type=int, nargs="+", help="of the repetitions; 0 by default, with --full 0 1 2"
    )
    parser.add_argument(
        "--epochs", type=int, help=f"of each training; {default.epochs} by default, with --full 50"
    )
    parser.add_argument(
        "--trials",
        nargs="+",
        default=(),
        metavar="TRIAL",
        help="all by default, or some of: rates, "
        + ", ".join(repr(trial.name) for trial in TRIALS),
    )
    parser.add_argument(
        "--finished", action="store_true", help="train nothing; report the trials that are there"
    )
    parser.add_argument("--threads", type=int, help="of the core; all CPUs by default")
    parser.add_argument("--output", type=Path, default=default.output, help="folder of all results")
    parser.set_defaults(run=lambda options: run(_settings(options)))
    _resnet.add_parser(commands)


def _settings(options: argparse.Namespace) -> Settings:
    given = {k: v for k, v in vars(options).items() if k not in ("run", "full") and v is not None}
    for name in ("seeds", "trials"):
        if name in given:
            given[name] = tuple(given[name])
    settings = Settings(**{k: v for k, v in given.items() if k not in ("seeds", "epochs")})
    changed = {k: v for k, v in given.items() if k in ("seeds", "epochs")}
    settings = full(settings) if options.full else settings
    return Settings(**{**vars(settings), **changed})
