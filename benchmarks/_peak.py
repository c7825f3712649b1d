"""The machine's peak: what its fused multiply-adds reach when nothing else is to be done."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def fma_peak() -> float | None:
    """GFLOP/s of float32 multiply-adds on all CPUs of this process; None without clang.

    A small C program, compiled for this CPU: nothing of vqswift has a part in it.
    """
    clang = shutil.which("clang")
    if clang is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        source = Path(__file__).with_name("_peak.c")
        flags = ["-O2", "-march=native", "-ffp-contract=fast", "-pthread"]
        subprocess.run([clang, *flags, str(source), "-o", str(program)], check=True)
        threads = str(len(os.sched_getaffinity(0)))
        done = subprocess.run([program, threads], check=True, capture_output=True, text=True)
    return float(done.stdout)
