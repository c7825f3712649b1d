"""The time of `import vqswift` beyond that of NumPy, each in a fresh process.

python -m benchmarks.import_time [--rounds 15] [--quick]
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from ._contest import clean_environment
from ._results import options_of, save
from ._table import print_table
from ._verdict import HEADER, Comparison, as_json

BAR = 60.0  # milliseconds
PROGRAM = """
import time, numpy
start = time.perf_counter()
import vqswift
print(time.perf_counter() - start)
"""


def main() -> None:
    """Measures; one import before the rounds compiles the modules and fills the page cache."""
    options = options_of(__doc__, rounds=15).parse_args()
    rounds = min(options.rounds, 3) if options.quick else options.rounds
    _import()
    row = row_of([_import() for _ in range(rounds)])
    print_table("the bar", HEADER, [row.cells()])
    print(f"written to {save('import_time', options, {'rows': as_json([row])})}")


def row_of(seconds: list[float]) -> Comparison:
    """The median against its bar."""
    value = 1e3 * statistics.median(seconds)
    measured = f"{value:.1f} ms"
    return Comparison("import vqswift beyond NumPy", measured, "", value, BAR, "ms", at_most=True)


def _import() -> float:
    command = [sys.executable, "-c", PROGRAM]
    environment = clean_environment({})
    # With it every import compiles the sources anew, which one of an installed package does not.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"import_time: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout)


if __name__ == "__main__":
    main()
