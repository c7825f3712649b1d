"""The tables and figures of "Straightening Out the Straight-Through Estimator" (ICML 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._harness import Command, CommandGroup
from . import _classification, _dynamics, _rates, _sensitivity, _table3, _toys
from .generation import _figures, _table9


def _figure(name: str, settings: type[Any], draw: Callable[[Any], Any]) -> Command:
    """The command that draws a figure; the function's first sentence is its help."""
    text = (draw.__doc__ or "").partition(".")[0]
    return Command(name, text[:1].lower() + text[1:], draw.__doc__, settings, draw)


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
            "table9",
            "images by MaskGIT from tokenizers with each method: CIFAR-10 or faces",
            _table9.__doc__,
            _table9.Table9Settings,
            _table9.run,
        ),
        Command(
            "table10",
            "inner and outer steps of alternating optimization: AlexNet on CIFAR-10",
            _classification.__doc__,
            _classification.Table10Settings,
            _classification.table10,
        ),
        _figure("rates", _rates.RatesSettings, _rates.run),
        _figure("fig1", _dynamics.DynamicsSettings, _dynamics.figure1),
        _figure("fig2", _dynamics.DynamicsSettings, _dynamics.figure2),
        _figure("fig3", _toys.Figure3Settings, _toys.figure3),
        _figure("fig4", _figures.GenerationFigureSettings, _figures.figure4),
        _figure("fig5", _sensitivity.SensitivitySettings, _sensitivity.figure5),
        _figure("fig6", _dynamics.DynamicsSettings, _dynamics.figure6),
        _figure("fig7", _sensitivity.SensitivitySettings, _sensitivity.figure7),
        _figure("fig8", _sensitivity.SensitivitySettings, _sensitivity.figure8),
        _figure("fig9", _dynamics.CollapseSettings, _dynamics.figure9),
        _figure("fig10", _toys.Figure10Settings, _toys.figure10),
        _figure("fig11", _figures.GenerationFigureSettings, _figures.figure11),
    ),
)
