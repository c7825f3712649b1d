"""A table on the terminal: with rich where it is installed, aligned text otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_WIDTH = 120  # in a file or a pipe


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column is a name; the others are numbers."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        _print_plain(title, [header, *rows])
        return
    table = Table(title=title, title_justify="left")
    for column, name in enumerate(header):
        table.add_column(name, justify="left" if column == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def _print_plain(title: str, rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(title)
    for first, *rest in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
        print("  ".join([f"{first:<{widths[0]}}", *cells]))
