"""The table and the results file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._table import print_table

if TYPE_CHECKING:
    from ._run import Result

SHOWN = 12  # images in the picture
_WIDTH = 110  # of the table in a file or a pipe

_HEADER = ("method", "test MSE", "PSNR dB", "perplexity", "active codes", "seconds")


def caption(result: Result) -> str:
    """The numbers that stand beside a method's row of pictures."""
    found = result.evaluation
    return f"PSNR {found.psnr:.1f} dB, perplexity {found.perplexity:.0f}"


def print_results(results: Sequence[Result]) -> None:
    """Print one line a method; with rich when it is installed."""
    print_table(_HEADER, [_cells(result) for result in results], width=_WIDTH)


def save_results(path: Path, settings: dict[str, Any], results: Sequence[Result]) -> None:
    """Write settings and every method's numbers as JSON."""
    document = {
        "settings": settings,
        "results": [
            {
                "method": result.method,
                **asdict(result.evaluation),
                "seconds": result.seconds,
                "checkpoint": result.checkpoint,
            }
            for result in results
        ],
    }
    path.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")


def _cells(result: Result) -> tuple[str, ...]:
    found = result.evaluation
    return (
        result.method,
        f"{found.mse:.5f}",
        f"{found.psnr:.2f}",
        f"{found.perplexity:.1f}",
        str(found.active_codes),
        f"{result.seconds:.1f}",
    )
