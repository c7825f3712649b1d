"""Rows that are trained side by side: what each way to end them leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import run_python

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("tomli_w", reason="tomli-w is not installed")

ROWS = ("VQVAE", "OPT")
PROGRAM = """
import sys
from pathlib import Path
import colored_blocks
from vqswift import __main__ as command, data

data.cifar10 = colored_blocks.cifar10
words = ["--epochs", "9999", "--images", "64", "--threads", "1", "--jobs", "2"]
sys.exit(command.main(["run", "table3", "--rows", *sys.argv[2:], "--output", sys.argv[1], *words]))
"""


@pytest.fixture
def training(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that trains two rows in processes of its own group; each has done a step."""
    command = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *ROWS],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        process_group=0,
        # A shell that runs the tests in the background has children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    lines = [tmp_path / f"{row}-seed-0-epochs-9999/metrics.jsonl" for row in ROWS]
    deadline = time.monotonic() + 300
    try:
        while not all(map(Path.is_file, lines)):
            assert command.poll() is None, command.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield command
    finally:
        if lives(command.pid):
            os.killpg(command.pid, signal.SIGKILL)
        command.communicate()


def lives(group: int) -> bool:
    """Whether a process of the group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def with_checkpoints(folder: Path) -> int:
    return len({path.parent for path in folder.glob("*/checkpoint-*.safetensors")})


@pytest.mark.parametrize(
    ("send", "number", "status"),
    [
        (os.killpg, signal.SIGINT, 130),
        (os.killpg, signal.SIGTERM, 143),
        (os.kill, signal.SIGINT, 130),
        (os.kill, signal.SIGTERM, 143),
    ],
    ids=["Ctrl-C", "SIGTERM to all", "SIGINT to the command", "SIGTERM to the command"],
)
def test_rows_leave_checkpoints(
    tmp_path: Path,
    training: subprocess.Popen[str],
    send: Callable[[int, int], None],
    number: int,
    status: int,
) -> None:
    send(training.pid, number)
    _, errors = training.communicate(timeout=60)
    assert training.returncode == status, errors
    assert with_checkpoints(tmp_path) == 2
    assert "Traceback" not in errors


def test_rows_end_with_a_command_that_is_killed(
    tmp_path: Path, training: subprocess.Popen[str]
) -> None:
    training.kill()
    training.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while lives(training.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(training.pid)
    assert with_checkpoints(tmp_path) == 2


WISHES = """
import os, signal, sys, time
from vqswift._termination import Termination

signal.signal(signal.SIGINT, signal.default_int_handler)
termination = Termination(lambda: print("saved"), interrupts=True)
try:
    with termination.handled(), termination.step():
        for name in sys.argv[1:]:
            os.kill(os.getpid(), getattr(signal, name))
        print("whole")
except BaseException as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("signals", "told"),
    [
        ("SIGINT", "whole saved KeyboardInterrupt"),
        ("SIGINT SIGTERM", "whole saved KeyboardInterrupt"),
        ("SIGTERM SIGTERM", "whole saved SystemExit"),
        ("SIGINT SIGINT", "KeyboardInterrupt"),
        ("SIGTERM SIGINT", "KeyboardInterrupt"),
    ],
)
def test_a_second_ctrl_c_alone_breaks_a_step_off(signals: str, told: str) -> None:
    assert run_python(WISHES, *signals.split()).split() == told.split()
