"""What the campaigns share: their arguments, cases in child processes, the closing line.

A campaign is a script of this folder with a function `case(number)` that raises where it finds a
fault. Cases run in child processes, a range each; a child that dies or hangs costs that one case,
is told with the command that repeats it, and the range goes on behind it.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Fault:
    case: int
    what: str


def main(
    script: str,
    case: Callable[[int], None],
    *,
    full: int,
    short: int,
    batch: int = 1000,
    seconds_per_case: float = 60.0,
    environments: Iterator[dict[str, str]] | None = None,
) -> None:
    """Runs the campaign of `script`: `full` cases, or `short` ones with --short.

    environments: further variables of the children, one mapping a range in turn.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--short", action="store_true", help="the few cases that CI runs")
    parser.add_argument(
        "--cases", type=int, help=f"how many; {full} by default, {short} with --short"
    )
    parser.add_argument(
        "--first", type=int, default=0, help="the first case's number, which is its seed"
    )
    parser.add_argument("--minutes", type=float, default=0, help="stop after these; 0 for no bound")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    count = arguments.cases or (short if arguments.short else full)
    last = arguments.first + count
    if arguments.child:
        sys.exit(run_range(case, arguments.first, last, arguments.child))
    deadline = time.monotonic() + arguments.minutes * 60 if arguments.minutes else None
    choices = list(environments or [{}])
    name, started, done, faults, ranges = Path(script).stem, time.monotonic(), 0, [], 0
    next_case = arguments.first
    while next_case < last and (deadline is None or time.monotonic() < deadline):
        end = min(next_case + batch, last)
        variables = choices[ranges % len(choices)]
        ranges += 1
        while next_case < end:
            reached, found = run_child(script, next_case, end, seconds_per_case, variables)
            for fault in found:
                repeat = f"python torture/{name}.py --first {fault.case} --cases 1"
                settings = "".join(f"{key}={value} " for key, value in variables.items())
                print(f"{name} {fault.case}: {fault.what}\n  {settings}{repeat}", flush=True)
            faults += found
            done += reached - next_case
            next_case = reached
        if sys.stderr.isatty():
            print(f"\r{name}: {done} of {count}, {len(faults)} faults", end="", file=sys.stderr)
    seconds = time.monotonic() - started
    print(f"{name}: {done} cases, {len(faults)} faults, {seconds:.0f} s")
    sys.exit(1 if faults else 0)


def in_fork(
    body: Callable[[], object],
    seconds: float,
    before_telling: Callable[[], None] = lambda: None,
) -> None:
    """Runs `body` in a forked child; RuntimeError with what ended it, or after so many seconds.

    before_telling: called in the child where `body` raised, since it may have left no memory.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 0
        try:
            body()
        except BaseException:
            before_telling()
            os.write(writer, traceback.format_exc(limit=-4)[-4000:].encode())
            status = 1
        os._exit(status)
    os.close(writer)
    began, done, status = time.monotonic(), 0, 0
    while not done:
        time.sleep(0.002)
        done, status = os.waitpid(child, os.WNOHANG)
        if not done and time.monotonic() - began > seconds:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise RuntimeError(f"no end of a forked child within {seconds:.0f} s")
    with os.fdopen(reader) as text:
        told = text.read()
    if status:
        raise RuntimeError(f"a forked child ended with {os.waitstatus_to_exitcode(status)}: {told}")


def run_range(case: Callable[[int], None], first: int, last: int, mark: Path) -> int:
    """In the child: the cases of a range; `mark` tells which one is under way."""
    descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT)
    status = 0
    for number in range(first, last):
        os.pwrite(descriptor, b"%20d" % number, 0)
        try:
            case(number)
        except Exception:
            print(f"FAULT {number} {traceback.format_exc(limit=-4)!r}", flush=True)
            status = 1
    os.pwrite(descriptor, b"%20d" % last, 0)
    return status


def run_child(
    script: str, first: int, last: int, seconds_per_case: float, variables: dict[str, str]
) -> tuple[int, list[Fault]]:
    """Runs [first, last) in one child; the case to go on with, and the faults."""
    with tempfile.TemporaryDirectory() as folder:
        mark, output, errors = (Path(folder, name) for name in ("mark", "output", "errors"))
        mark.write_text(str(first))
        command = [sys.executable, script, "--first", str(first), "--cases", str(last - first)]
        command += ["--child", str(mark)]
        with output.open("w") as out, errors.open("w") as err:
            child = subprocess.Popen(
                command, stdout=out, stderr=err, env=os.environ | variables, cwd=folder
            )
            at, since, hung = first, time.monotonic(), False
            while True:
                try:
                    child.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    now = int(mark.read_text() or first)
                    if now != at:
                        at, since = now, time.monotonic()
                    elif time.monotonic() - since > seconds_per_case:
                        hung = True
                        child.kill()
        at = int(mark.read_text() or first)
        faults = []
        for line in output.read_text(errors="replace").splitlines():
            if line.startswith("FAULT "):
                _, number, text = line.split(" ", 2)
                faults.append(Fault(int(number), text))
        if at >= last and child.returncode in (0, 1):
            return last, faults
        if hung:
            what = f"no end within {seconds_per_case:.0f} s"
        elif child.returncode < 0:
            what = f"died of {signal.Signals(-child.returncode).name}"
        else:
            what = f"ended with status {child.returncode}"
        tail = errors.read_text(errors="replace")[-800:]
        return min(at, last - 1) + 1, [*faults, Fault(min(at, last - 1), f"{what}\n{tail}")]
