"""The tables and figures of "Straightening Out the Straight-Through Estimator" (ICML 2023)."""

from __future__ import annotations

from .._harness import Command, CommandGroup
from . import _classification, _table3

COMMAND = CommandGroup(
    "run",
    "train the rows of a table of the paper, or draw one of its figures",
    __doc__,
    (
        Command(
            "table1",
            "what keeps codes in use: ResNet-18 on CIFAR-10, two starts of the codebook",
            _classification.__doc__,
            _classification.Table1Settings,
            _classification.table1,
        ),
        Command(
            "table2",
            "classification of CIFAR-10: each method of the paper, and all together",
            _classification.__doc__,
            _classification.Table2Settings,
            _classification.table2,
        ),
        Command(
            "table3",
            "reconstruction of CIFAR-10 images: error, perplexity and LPIPS of eleven methods",
            _table3.__doc__,
            _table3.Table3Settings,
            _table3.run,
        ),
        Command(
            "table10",
            "inner and outer steps of alternating optimization: AlexNet on CIFAR-10",
            _classification.__doc__,
            _classification.Table10Settings,
            _classification.table10,
        ),
    ),
)
