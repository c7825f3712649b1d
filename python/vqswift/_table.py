"""Tables in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    plain: Callable[[], str],
) -> None:
    """Print the rows, the first column to the left, with rich when it is installed; else `plain`.

    `width` holds in a file or a pipe.
    """
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(plain())
        return
    table = Table()
    for column, title in enumerate(header):
        table.add_column(title, justify="left" if column == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else width).print(table)
