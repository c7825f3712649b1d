"""SIGTERM and Ctrl-C during trainings and commands."""

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

TRAINING = """
import sys, time
import numpy as np
import vqswift as vq
from vqswift import data, train

def trainer(checkpoint):
    vq.manual_seed(2)
    layer = vq.VectorQuant(16, 32, ema_decay=0.9, kmeans_init=True, replace_freq=3, seed=1)
    model = vq.models.SQVAE(layer, width=16)
    images = (np.random.default_rng(0).random((64, 32, 32, 3)) * 255).astype(np.uint8)
    return train.Trainer(
        model,
        vq.optim.AdamW(model.parameters(), lr=1e-3),
        data.Batches(images, batch_size=8, seed=0),
        checkpoint=checkpoint,
    )
"""

RUN = """
path, slow = sys.argv[1], sys.argv[2] == "slow"
made = trainer(path)
print("ready", flush=True)
for metrics in made.steps(100_000):
    print(metrics.step, flush=True)
    if slow:
        time.sleep(60)
"""

RESUME = """
path, count = sys.argv[1], int(sys.argv[2])
resumed, straight = trainer(None), trainer(None)
train.load_trainer(resumed, path)
assert resumed.step == count, resumed.step
straight.fit(count + 2, progress=False)
resumed.fit(2, progress=False)
for (name, a), (_, b) in zip(
    straight.model.state_dict().items(), resumed.model.state_dict().items(), strict=True
):
    assert np.array_equal(a, b), name
print("same")
"""


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts Python programs; kills at the end of the test those that go on."""
    children = []

    def start(program: list[str], folder: Path, **variables: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, *program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ | variables,
            # A shell that runs the tests in the background has children ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("place", ["step", "slow"])
@pytest.mark.parametrize("count", [1, 4])
def test_a_terminated_training_resumes_bit_for_bit(
    tmp_path: Path, started: Start, place: str, count: int
) -> None:
    """In a step, or in what the program does between two."""
    if (place, count) == ("slow", 4):
        pytest.skip("the program waits after its first step")
    path = tmp_path / "run.safetensors"
    child = started(["-c", TRAINING + RUN, str(path), place], tmp_path)
    assert child.stdout and child.stdout.readline() == "ready\n"
    while int(child.stdout.readline()) < count:
        pass
    began = time.monotonic()
    child.send_signal(signal.SIGTERM)
    child.wait(timeout=60)
    took = time.monotonic() - began
    # communicate() would leave out the lines that readline() took with its own.
    assert child.stdout and child.stderr
    rest, errors = child.stdout.read(), child.stderr.read()
    assert child.returncode == 128 + signal.SIGTERM, errors
    assert took < 30
    done = int(rest.split()[-1]) if rest else count
    # The step that was under way ends without a line.
    from vqswift import load

    step = int(load(path)[1]["step"])
    assert done <= step <= done + 1
    assert run_python(TRAINING + RESUME, str(path), str(step)) == "same\n"


def test_without_a_checkpoint_the_signal_ends_the_process(tmp_path: Path, started: Start) -> None:
    program = TRAINING + RUN.replace("trainer(path)", "trainer(None)")
    child = started(["-c", program, "none", "slow"], tmp_path)
    assert child.stdout and child.stdout.readline() == "ready\n"
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGTERM


def test_a_handler_of_the_program_stays(tmp_path: Path) -> None:
    program = (
        TRAINING
        + """
import os, signal
asked = []
def handle(number, frame):
    asked.append(number)
signal.signal(signal.SIGTERM, handle)
for metrics in trainer(sys.argv[1]).steps(3):
    os.kill(os.getpid(), signal.SIGTERM)
print(len(asked), os.path.exists(sys.argv[1]), signal.getsignal(signal.SIGTERM) is handle)
"""
    )
    assert run_python(program, str(tmp_path / "none")) == "3 False True\n"


def test_a_step_that_fails_writes_no_checkpoint(tmp_path: Path) -> None:
    """The parameters then stand between two steps."""
    program = (
        TRAINING
        + """
import os, signal
made = trainer(sys.argv[1])
made.fit(1, progress=False)
def broken():
    os.kill(os.getpid(), signal.SIGTERM)
    raise RuntimeError("broken")
made.optimizer.step = broken
try:
    made.fit(1, progress=False)
except RuntimeError as error:
    print(error, os.path.exists(sys.argv[1]), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""
    )
    assert run_python(program, str(tmp_path / "none")) == "broken False True\n"


COMMANDS = {
    "demo": ["demo", "--data", "photos", "--steps", "100000", "--output", "out"],
    "estimators": ["estimators", "--data", "digits", "--epochs", "1000", "--output", "out"],
    "resnet50": ["resnet50", "--steps", "100000", "--output", "out"],
}


def cpu_seconds(pid: int) -> float:
    # After the name, which may hold spaces: state, then utime and stime as 12th and 13th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_command_ends_with_a_word(
    tmp_path: Path, started: Start, name: str, kind: signal.Signals
) -> None:
    pytest.importorskip("sklearn")
    command = ["-u", "-m", "vqswift", *COMMANDS[name]]
    child = started(command, tmp_path, VQSWIFT_DATA=str(tmp_path), COLUMNS="80")
    metrics = tmp_path / "out/metrics.jsonl"

    def is_under_way() -> bool:
        # The demonstration tells its steps; what the others do first is all the same to them.
        if name == "demo":
            return metrics.is_file() and metrics.stat().st_size > 0
        return cpu_seconds(child.pid) > 4

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not is_under_way():
        time.sleep(0.1)
    assert child.poll() is None, child.communicate()
    began = time.monotonic()
    child.send_signal(kind)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 128 + kind
    word = "interrupted" if kind == signal.SIGINT else "terminated"
    last = errors.strip().splitlines()[-1:]
    assert last and last[0].endswith(f": {word}"), errors
    if name == "demo" and kind == signal.SIGTERM:
        assert (tmp_path / "out/plain/model.safetensors").is_file()
    assert "Traceback" not in errors
    assert time.monotonic() - began < (15 if kind == signal.SIGTERM else 5)
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"]
