"""Tables in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> None:
    """Print the rows, the first column to the left, with rich when it is installed.

    `width` holds in a file or a pipe.
    """
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(plain(header, rows))
        return
    table = Table()
    for column, title in enumerate(header):
        table.add_column(title, justify="left" if column == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else width).print(table)


def plain(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as aligned text."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for first, *rest in (header, *rows):
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)
