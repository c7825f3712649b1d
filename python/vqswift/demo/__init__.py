"""The demonstration: one autoencoder, twice, with the plain quantizer and with the full method."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .._command_line import Help
from ._run import METHODS, Result, Settings, run

__all__ = ["METHODS", "Result", "Settings", "add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add `demo` to the sub-commands of an `argparse` parser."""
    default = Settings()
    parser = commands.add_parser(
        "demo",
        help="train the 32x32 autoencoder with two quantizers and compare them",
        description=__doc__,
        formatter_class=Help,
    )
    parser.add_argument(
        "--data",
        choices=("auto", "photos", "cifar10"),
        default=default.data,
        help="auto: CIFAR-10 when its files are found, else crops of two photographs",
    )
    parser.add_argument(
        "--root",
        type=Path,
        help="folder of the data sets; VQSWIFT_DATA, then ../shared/data by default",
    )
    parser.add_argument("--steps", type=int, default=default.steps, help="training steps of each")
    parser.add_argument(
        "--batch-size", type=int, default=default.batch_size, help="images of a step"
    )
    parser.add_argument("--codes", type=int, default=default.codes, help="codebook size")
    parser.add_argument("--width", type=int, default=default.width, help="channels of the network")
    parser.add_argument(
        "--learning-rate", type=float, default=default.learning_rate, help="of AdamW"
    )
    parser.add_argument(
        "--seed", type=int, default=default.seed, help="of data, weights and batches"
    )
    parser.add_argument("--threads", type=int, help="of the core; all CPUs by default")
    parser.add_argument("--output", type=Path, default=default.output, help="folder of all results")
    parser.set_defaults(run=lambda options: run(_settings(options)))


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(**{key: value for key, value in vars(options).items() if key != "run"})
