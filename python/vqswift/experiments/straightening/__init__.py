"""The tables and figures of "Straightening Out the Straight-Through Estimator" (ICML 2023)."""

from __future__ import annotations

from .._harness import Command, CommandGroup
from . import _table3

COMMAND = CommandGroup(
    "run",
    "train the rows of a table of the paper, or draw one of its figures",
    __doc__,
    (
        Command(
            "table3",
            "reconstruction of CIFAR-10 images: error, perplexity and LPIPS of eleven methods",
            _table3.__doc__,
            _table3.Table3Settings,
            _table3.run,
        ),
    ),
)
