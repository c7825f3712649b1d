"""Starts programs on several ranks, by mpirun or as torchrun does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FORKED = HERE / "forked.py"


def missing(engine: str) -> str | None:
    """Why an engine cannot be tested here; None where it can."""
    if engine == "gloo":
        try:
            import torch.distributed as engine_of_torch
        except ImportError:
            return "PyTorch is not installed"
        return None if engine_of_torch.is_gloo_available() else "this PyTorch has no gloo"
    try:
        import mpi4py  # noqa: F401
    except ImportError:
        return "mpi4py is not installed"
    return None if mpirun() else "there is no mpirun"


def mpirun() -> str | None:
    return shutil.which("mpirun", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def require(engine: str) -> None:
    if reason := missing(engine):
        pytest.skip(reason)


def environment() -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "MASTER_ADDR")}
    own |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return own | {
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMP_NUM_THREADS": "1",
    }


class Ranks:
    """A running program: one process under MPI or where ranks are forked, else one for each."""

    def __init__(self, engine: str, size: int, *arguments: object) -> None:
        command = [sys.executable, *map(str, arguments)]
        self.size = size
        if engine == "mpi":
            launcher = mpirun()
            assert launcher is not None
            command = [launcher, "--oversubscribe", "-n", str(size), *command]
            self.processes = [self._start(command, environment())]
            return
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
        # Forked ranks set their own.
        ranks = range(1 if arguments[0] == FORKED else size)
        self.processes = [
            self._start(command, environment() | where | {"RANK": str(rank)}) for rank in ranks
        ]

    @staticmethod
    def _start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait(self, timeout: float = 300) -> tuple[list[int], str]:
        """Statuses of the processes, and all that they printed."""
        told, statuses = "", []
        try:
            for process in self.processes:
                out, _ = process.communicate(timeout=timeout)
                told += out
                statuses.append(process.returncode)
        finally:
            for process in self.processes:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        return statuses, told


def run(engine: str, size: int, *arguments: object) -> str:
    """What a program prints; fails unless all its processes end well."""
    program = (FORKED, size, *arguments) if engine == "gloo" else arguments
    statuses, told = Ranks(engine, size, *program).wait()
    assert not any(statuses), told
    return told
