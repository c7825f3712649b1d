"""The process's environment: what an import reads of it, and that it leaves it alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import run_python


def test_an_import_leaves_the_environment_alone() -> None:
    program = """
import ctypes, os
import numpy
def environment():
    libc = ctypes.CDLL(None)
    pointer = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ")
    names = []
    while pointer[len(names)]:
        names.append(pointer[len(names)])
    return dict(os.environ), names
before = environment()
import vqswift as vq
from vqswift import data, estimators, metrics, recipes, train
from vqswift.experiments import laboratory
layer = vq.nn.Conv2d(16, 16, 3, stride=2)
layer(vq.Generator(0).normal((2, 8, 8, 16)))
print(environment() == before)
"""
    assert run_python(program) == "True\n"


PROGRAM = """
import vqswift as vq
print(vq.get_threads())
x = vq.Generator(1).normal((96, 96))
_ = x @ x
layer = vq.nn.Conv2d(16, 16, 3, stride=2, padding=1)
layer(vq.Generator(1).normal((2, 16, 16, 16))).sum().backward()
vq.kmeans(x, 8)
vq.VectorQuant(96, 8, temperature=1.0)(x)
"""

PROCESSORS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("given", "threads"),
    [
        ("99999", max(64, 4 * PROCESSORS)),
        ("1000000000", max(64, 4 * PROCESSORS)),
        ("3", 3),
        ("4,2", 4),
        (" 2 ", 2),
        # libgomp says that it does not understand these, and takes a thread a processor.
        ("0", PROCESSORS),
        ("-3", PROCESSORS),
        ("abc", PROCESSORS),
        ("", PROCESSORS),
        ("18446744073709551616", PROCESSORS),
    ],
)
def test_any_number_of_threads_in_the_environment_works(given: str, threads: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"OMP_NUM_THREADS": given},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, f"{threads}\n"), done.stderr
