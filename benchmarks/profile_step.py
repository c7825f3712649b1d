"""Where the time of a training step goes, by kind of work.

    python -m benchmarks.profile_step [--batches 128 32] [--steps 60] [--top 0]

The network and the step are those of `train_step.py`. Linux `perf` samples the running process
at 2 kHz of CPU time; a row is the CPU time of a step, summed over threads, in which the innermost
function is of that kind. `--top N` lists the N hottest functions too.
"""

from __future__ import annotations

import argparse
import collections
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ._contest import ROOT, clean_environment

RATE = 2000

# Kind, pattern of the library, pattern of the function; the first that fits counts.
KINDS = [
    ("page faults", r"kernel|unknown", r"page|fault|clear_|zap_|mmap|munmap|folio|vma|charge"),
    ("waiting, scheduling", r"kernel|libgomp", r""),
    ("convolution (oneDNN)", r"libdnnl|jit-|anon|perf-|\[unknown\]|memfd", r""),
    ("matrix product (OpenBLAS)", r"libopenblas", r""),
    ("waiting, scheduling", r"_core", r"^help$|vq_parallel"),
    (
        "batch norm",
        r"_core",
        r"ormaliz|olumn(Moments|Sums)|chunkMoments|add(Rows|Squares)|BatchNorm",
    ),
    ("batch norm", r"_core", r"pullGradientRows|addGradientProducts|parameterSums"),
    ("convolution (ours)", r"_core", r"inograd|transform(Phase)?(Patches|Grad|Out|Weight)|Tap"),
    ("convolution (ours)", r"_core", r"multiplyPoints|addTransposedProducts|measure(Chann|Pix)"),
    ("nearest code", r"_core", r"scan\w*Tiles|[Nn]earestCode|PanelSearch|Codebook|assign"),
    ("optimizer", r"_core", r"adam|Adam|descend|Optimizer|squaredNorm"),
    ("quantizer rest", r"_core", r"gatherNearest|CodeGroups|ByCode|ToCodes|codeUsage|CodeStat"),
    ("quantizer rest", r"_core", r"firstNonFinite|VQQuantizers|firstCode|countUnused"),
    ("elementwise, sums", r"_core", r"unary|binary|combine|map|accumulate|difference|[sS]um|merge"),
    ("elementwise, sums", r"_core", r"function\w*Row"),
    ("patches", r"_core", r"[pP]atch|gather"),
    ("copies and fills", r"libc", r"mem"),
    ("Python", r"python|numpy", r""),
    ("rest of the core", r"_core", r""),
]


def main() -> None:
    """Profiles each batch size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--top", type=int, default=0)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve(options.serve, options.steps)
        return
    if shutil.which("perf") is None:
        sys.exit("profile_step: Linux perf is required: apt-get install linux-perf")
    for batch in options.batches:
        _report(batch, *_profile(batch, options.steps), options.top)


def _serve(batch: int, steps: int) -> None:
    """Warms up, waits for a line, then runs and says how long the steps took."""
    from . import train_step

    with tempfile.TemporaryDirectory() as folder:
        step = train_step._ours(Path(folder) / "weights.npz")[1][""]
    batches = train_step._batches(batch)
    for index in range(10):
        step(batches[index % 4])
    print("ready", flush=True)
    sys.stdin.readline()
    seconds = []
    for index in range(steps):
        start = time.perf_counter()
        step(batches[index % 4])
        seconds.append(time.perf_counter() - start)
    print(float(np.median(seconds)), flush=True)
    sys.stdin.readline()


def _profile(batch: int, steps: int) -> tuple[float, dict[tuple[str, str], float]]:
    """The median seconds of a step, and CPU seconds a step by (library, function)."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.profile_step",
        "--serve",
        str(batch),
        "--steps",
        str(steps),
    ]
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "perf.data")
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment({}),
        )
        assert child.stdin and child.stdout
        if child.stdout.readline().strip() != "ready":
            sys.exit("profile_step: the step could not run")
        perf = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(RATE)]
        recorder = subprocess.Popen([*perf, "-p", str(child.pid), "-o", data])
        time.sleep(1)
        print(file=child.stdin, flush=True)
        median = float(child.stdout.readline())
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
        child.communicate("\n")
        script = subprocess.run(
            ["perf", "script", "-i", data, "-F", "ip,sym,dso"],
            check=True,
            capture_output=True,
            text=True,
        )
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for line in script.stdout.splitlines():
        _, _, place = line.strip().partition(" ")
        function, _, library = place.rpartition(" (")
        counts[Path(library.rstrip(")")).name, function] += 1
    return median, {place: count / RATE / steps for place, count in counts.items()}


def _report(batch: int, median: float, seconds: dict[tuple[str, str], float], top: int) -> None:
    total = sum(seconds.values())
    kinds: collections.Counter[str] = collections.Counter()
    for (library, function), value in seconds.items():
        kinds[_kind(library, function)] += value
    print(f"batch {batch}: {1e3 * median:.1f} ms a step, {1e3 * total:.1f} ms of CPU time")
    print(f"{'kind of work':<28} {'CPU ms':>8} {'share':>7}")
    for kind, value in kinds.most_common():
        print(f"{kind:<28} {1e3 * value:8.2f} {value / total:7.1%}")
    for (library, function), value in sorted(seconds.items(), key=lambda item: -item[1])[:top]:
        print(f"    {1e3 * value:8.3f} ms  {library}  {function[:150]}")
    print()


def _kind(library: str, function: str) -> str:
    for kind, place, name in KINDS:
        if re.search(place, library) and re.search(name, function):
            return kind
    return "other"


if __name__ == "__main__":
    main()
