"""How often each code is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._arrays import as_array
from .._tensor import Tensor
from ..metrics import CodeUsage
from ..train import perplexity_of
from ._figure import finished, panel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure


@checked
def usage(
    counts: CodeUsage | npt.ArrayLike | Tensor,
    *,
    ordered: bool = True,
    ax: Panel | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Each code's share of all uses, with the perplexity and the number of active codes.

    `counts`: a `CodeUsage`, or uses of each code [k], the most used first in the figure unless
    `ordered` is False. The line is the share of equally used codes, 1 / k. ValueError for counts
    below 0, and for none.
    """
    given = counts.counts if isinstance(counts, CodeUsage) else as_array("usage", "counts", counts)
    given = given.astype(np.float64)
    if given.ndim != 1 or not given.size or given.min() < 0 or not 0 < given.sum() < np.inf:
        raise ValueError(
            f"[usage] counts of shape {[*given.shape]}: finite uses [k] of each code are "
            "required, at least 0 and one in all; codes are counted by CodeUsage(k).update(codes)"
        )
    shares = given / given.sum()
    if ordered:
        shares = -np.sort(-shares)
    k = len(shares)
    figure, panel = panel_of(ax, 6, 3)
    panel.bar(np.arange(k), shares, width=1.0, color="C0", linewidth=0)
    panel.axhline(1 / k, color="0.4", linewidth=1, linestyle="--", label=f"1 / {k}")
    panel.set(
        title=f"perplexity {perplexity_of(given):.1f}, {np.count_nonzero(given)} of {k} codes",
        xlabel="code, the most used first" if ordered else "code",
        ylabel="share of uses",
        xlim=(-0.5, k - 0.5),
    )
    panel.legend(frameon=False)
    return finished(figure, path)
