"""Every function of vqswift.h with every pointer NULL in turn and with impossible counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from c_interface import FUNCTIONS
from conftest import ROOT

# What ends the use of the library for other threads.
LEFT_OUT = {"vq_shut_down"}

PROGRAM = """
import ctypes, itertools, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], f"{sys.argv[1]}/boundary"]
from c_interface import Caller, is_pointer

caller = Caller(Path(sys.argv[2]), Path(sys.argv[3]))
for name in sys.argv[4:]:
    function = caller.functions[name]
    pointers = [p.name for p in function.parameters if is_pointer(p)]
    lists = [p.name for p in function.parameters if is_pointer(p) and p.name != "out"]
    counts = [p.name for p in function.parameters if p.type == "int64_t"]
    calls = [{}, {pointer: None for pointer in pointers}]
    calls += [{pointer: None} for pointer in pointers]
    # Without a list a count is a size, which the call may be able to have.
    for count, value in itertools.product(counts if lists else [], (-1, 2**31, 2**62, -(2**63))):
        size = {count: ctypes.c_int64(value)}
        calls += [size | {pointer: None for pointer in lists}]
        # The others stay valid: a list that is given must not be read behind its end.
        if len(lists) == 1:
            calls += [size | {lists[0]: None}]
    for replaced in calls:
        print(name, replaced, flush=True)
        status = caller.call(name, replaced)
        assert 0 <= status < 20, status
print("end")
"""


def test_the_header_is_understood() -> None:
    assert len(FUNCTIONS) > 150
    assert all(f.parameters or f.result != "vq_status" for f in FUNCTIONS)


def test_no_argument_ends_the_process(c_library: Path, tmp_path: Path) -> None:
    names = [function.name for function in FUNCTIONS if function.name not in LEFT_OUT]
    faults = []
    while names:
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            str(ROOT / "pytests"),
            str(c_library),
        ]
        done = subprocess.run(
            [*command, str(tmp_path), *names], capture_output=True, text=True, timeout=300
        )
        lines = done.stdout.splitlines()
        if done.returncode == 0 and lines[-1] == "end":
            break
        # The process died in the last call told; on with the functions behind it.
        faults.append(f"{lines[-1] if lines else names[0]}: {done.returncode} {done.stderr[-300:]}")
        last = lines[-1].split(" ")[0] if lines else names[0]
        names = names[names.index(last) + 1 :]
    assert not faults, "\n".join(faults)
