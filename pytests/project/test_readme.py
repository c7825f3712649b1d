"""The README's example runs and every command in it exists."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_example_trains() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) == 10
    run = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    losses = [float(value) for value in re.findall(r"loss ([0-9.]+)", run.stdout)]
    assert len(losses) == 10
    assert losses[-1] < losses[1]


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.MULTILINE))
def test_make_target_exists(target: str) -> None:
    run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("path", re.findall(r"!\[[^]]*\]\(([^)]+)\)", README))
def test_picture_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("script", re.findall(r"(?:benchmarks|scripts)/[\w-]+(?:\.\w+)?", README))
def test_script_exists(script: str) -> None:
    assert (ROOT / script).is_file()
