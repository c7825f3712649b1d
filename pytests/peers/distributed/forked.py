"""Ranks of one program as forks of a process that has imported PyTorch, which takes longer than
what they compute: `forked.py SIZE PROGRAM ARGUMENT ...`. Ends as the worst of them."""

from __future__ import annotations

import os
import runpy
import sys

import torch  # noqa: F401


def start(rank: int) -> int:
    """The process of a rank."""
    process = os.fork()
    if process:
        return process
    os.environ["RANK"] = str(rank)
    del sys.argv[:2]
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    ranks = [start(rank) for rank in range(int(sys.argv[1]))]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]
    sys.exit(max(map(abs, statuses)))
