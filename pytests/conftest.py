"""What several tests share."""

from __future__ import annotations

import fcntl
import gc
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vqswift import _core, get_threads, set_threads

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_finish() -> None:
    """Tests that collect garbage look at what they made, not at twenty thousand tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    """Numbers that are the same in every run."""
    return np.random.default_rng(7)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """`set_threads`, undone after the test."""
    before = get_threads()
    yield set_threads
    set_threads(before)


@pytest.fixture
def no_leak() -> Iterator[None]:
    """Fails when the test leaves native handles behind."""
    gc.collect()
    before = _core.live_handles()
    yield
    gc.collect()
    assert _core.live_handles() == before


@contextmanager
def building() -> Iterator[None]:
    """One build at a time: all workers of a run build the core in the same folder."""
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def c_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """libvqswift.so, built for the tests."""
    folder = tmp_path_factory.mktemp("library")
    with building():
        subprocess.run([ROOT / "scripts/build-c-library", folder], check=True, capture_output=True)
    return folder / "libvqswift.so"


@pytest.fixture(scope="session")
def mypy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where mypy checks programs: what it knows of the package is read once."""
    return tmp_path_factory.mktemp("mypy")


_WANTING = re.compile(r"could not import|is not installed|no C compiler")


def _tell_wanting(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With VQSWIFT_TESTS=every a test that is skipped for want of a package has failed."""
    if os.environ.get("VQSWIFT_TESTS") == "every" and report.skipped:
        reason = str(report.longrepr)
        if _WANTING.search(reason):
            report.outcome, report.longrepr = "failed", reason


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _tell_wanting(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _tell_wanting(report)
    return report


def run_python(program: str, *arguments: str) -> str:
    """What a fresh interpreter prints; fails when it does not exit cleanly."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def peak_of(call: Callable[[], Any]) -> int:
    """The most bytes that Python holds during a call; the least of three, for it is not alone."""
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        try:
            call()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)
