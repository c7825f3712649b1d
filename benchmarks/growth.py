"""How the time of the nearest codes grows: n, k and d are each doubled, time after time.

    python -m benchmarks.growth [--rounds 9] [--quick]

From (n, k, d) = (4096, 1024, 64), one of them grows from its start. Each doubling's time is divided
by twice that of the size before: proportional growth gives 1, and what is furthest from it counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ._contest import Contestant, Outcome, contest
from ._results import options_of, save, told
from ._serve import Measure, seconds_of, serve
from ._table import print_table
from ._verdict import HEADER, Comparison, as_json

OURS, BAR = "vqswift", 0.15
BASE = {"n": 4096, "k": 1024, "d": 64}
# Where each axis starts, and how often it is doubled.
AXES = {"n": (1024, 6), "k": (1024, 4), "d": (64, 4)}
TIMED = 0.03  # seconds that the calls of one timing take at least


def main() -> None:
    """Measures, or serves as the one that is measured."""
    options = options_of(__doc__, rounds=9).parse_args()
    if options.contestant:
        serve(_prepare)
        return
    if options.quick:
        options.rounds = min(options.rounds, 2)
    command = [sys.executable, "-m", "benchmarks.growth", "--contestant", OURS]
    cases = [f"{axis} {1 if options.quick else doublings}" for axis, (_, doublings) in AXES.items()]
    _report(contest([Contestant(OURS, command)], options.rounds, cases), options)


def _report(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    if any(not outcome.seconds for outcome in outcomes):
        sys.exit("growth: vqswift could not run")
    rows = []
    for axis in AXES:
        medians = {
            int(outcome.way): outcome.median
            for outcome in outcomes
            if outcome.case.split()[0] == axis
        }
        steps = growths(medians)
        table = [
            [
                f"{axis} {size}",
                f"{1e3 * seconds:.4g}",
                f"{steps[size]:.3f}" if size in steps else "",
            ]
            for size, seconds in medians.items()
        ]
        others = ", ".join(f"{name} {size}" for name, size in BASE.items() if name != axis)
        print_table(others, ("", "ms", "of twice the last"), table)
        rows.append(row_of(axis, steps))
    print_table("the bars", HEADER, [row.cells() for row in rows])
    document = {"rows": as_json(rows), "outcomes": told(outcomes)}
    print(f"written to {save('growth', options, document)}")


def growths(medians: Mapping[int, float]) -> dict[int, float]:
    """Of every size but the first, its time over that of the size before, in proportion."""
    return {
        size: medians[size] / medians[before] / (size / before)
        for before, size in pairwise(medians)
    }


def row_of(axis: str, steps: Mapping[int, float]) -> Comparison:
    """The growth that is furthest from proportional, and where it is."""
    size, worst = max(steps.items(), key=lambda step: abs(step[1] - 1))
    measured = f"{worst:.3f} of proportional at {axis} {size}"
    work = f"nearest code, {axis} doubled"
    return Comparison(work, measured, "", abs(worst - 1), BAR, "from proportional", at_most=True)


def _prepare(case: str) -> tuple[dict[str, Any], Measure]:
    import vqswift as vq

    axis, doublings = case.split()
    random = np.random.default_rng(0)
    searches, calls = {}, {}
    for doubling in range(int(doublings) + 1):
        size = AXES[axis][0] << doubling
        n, k, d = (BASE | {axis: size}).values()
        x, codebook = (vq.Tensor(random.standard_normal((m, d), dtype=np.float32)) for m in (n, k))
        search = partial(vq.nearest_codes, x, codebook)
        search()
        searches[str(size)] = search
        calls[str(size)] = 1 + int(TIMED / min(seconds_of(search) for _ in range(3)))

    def measure() -> dict[str, list[float]]:
        return {
            size: [seconds_of(partial(_repeat, search, calls[size])) / calls[size]]
            for size, search in searches.items()
        }

    return {"version": vq.__version__, "threads": vq.get_threads(), "calls": calls}, measure


def _repeat(call: Any, times: int) -> None:
    for _ in range(times):
        call()


if __name__ == "__main__":
    main()
