"""A neighbor: a process that keeps one core busy until it is stopped or its parent has ended.

python -m benchmarks._busy CORE PARENT
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ._contest import ROOT


@contextmanager
def busy_core(core: int | None = None) -> Iterator[int]:
    """Holds the core, by default the last that this process may use; yields the process's id."""
    if core is None:
        core = max(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "benchmarks._busy", str(core), str(os.getpid())]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def _hold(core: int, parent: int) -> None:
    os.sched_setaffinity(0, {core})
    print("busy", flush=True)
    while os.getppid() == parent:
        for _ in range(100_000):
            pass


if __name__ == "__main__":
    _hold(int(sys.argv[1]), int(sys.argv[2]))
