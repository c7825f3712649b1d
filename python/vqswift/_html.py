"""What notebooks show: tables and bars, as HTML that is escaped and loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 240, 36
_ROWS = 100


def _escaped(text: str) -> str:
    import html  # brings all of HTML's names

    return html.escape(text)


def table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[object]], most: int = _ROWS
) -> str:
    """A table of texts; of more than `most` rows those, and how many more there are."""

    def line(cells: Sequence[object], tag: str) -> str:
        return "".join(
            f'<{tag} style="text-align:left">{_escaped(str(cell))}</{tag}>' for cell in cells
        )

    shown = [f"<tr>{line(row, 'td')}</tr>" for row in rows[:most]]
    if len(rows) > most:
        shown.append(f'<tr><td colspan="{len(header)}">and {len(rows) - most} more</td></tr>')
    head = f"<thead><tr>{line(header, 'th')}</tr></thead>" if header else ""
    title = f'<caption style="text-align:left"><b>{_escaped(caption)}</b></caption>'
    return f"<table>{title}{head}<tbody>{''.join(shown)}</tbody></table>"


def bars(label: str, values: NDArray[Any]) -> str:
    """The values [n] as bars beside each other, the largest first, with a label.

    Of more bars than pixels each is the mean of neighbors.
    """
    ordered = -np.sort(-np.asarray(values, np.float64))
    if len(ordered) > _WIDTH:
        ordered = np.array([part.mean() for part in np.array_split(ordered, _WIDTH)])
    top = max(float(ordered.max(initial=0)), np.finfo(float).tiny)
    width = _WIDTH / max(len(ordered), 1)
    steps = "".join(
        f"V{_HEIGHT * (1 - max(value, 0) / top):.4g}h{width:.4g}" for value in ordered.tolist()
    )
    words = _escaped(label)
    return (
        f'<div><svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{words}">'
        f'<path d="M0 {_HEIGHT}{steps}V{_HEIGHT}z" fill="currentColor" opacity="0.6"/></svg>'
        f"<br><small>{words}</small></div>"
    )
