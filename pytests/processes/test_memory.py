"""After a shortage of memory the process has it again: for its own arrays, and for every call."""

from __future__ import annotations

from conftest import run_python

# A child may map 1 GB more than it has; tensors take it until none is left.
SHORTAGE = """
import resource
from pathlib import Path
import numpy as np
import vqswift as vq

vq.set_threads(1)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
block = np.zeros(1 << 20, np.float32)

def fill():
    held = []
    while True:
        held.append(vq.Tensor(block))

def fails():
    try:
        fill()
    except MemoryError:
        return True
"""


def test_arrays_have_the_memory_that_tensors_gave_back() -> None:
    program = SHORTAGE + "assert fails(); print(np.ones(200 << 20, np.uint8)[-1])"
    assert run_python(program) == "1\n"


def test_a_call_takes_idle_buffers_memory_where_it_needs_some() -> None:
    """A call that allocates no tensor, after arrays have taken all but the idle buffers."""
    program = (
        SHORTAGE
        + """
held = [vq.Tensor(block) for _ in range(200)]
del held
arrays = []
try:
    while True:
        arrays.append(np.ones(1 << 20, np.uint8))
except MemoryError:
    arrays = arrays[:-4]
vq.set_threads(1)
print(len(vq.Generator(1).integers((5,), 3).numpy()))
"""
    )
    assert run_python(program) == "5\n"


def test_switches_are_set_back_where_no_memory_is_left() -> None:
    """Leaving a block, and asking for fewer threads, where every other call is refused."""
    program = (
        SHORTAGE
        + """
held, arrays = vq.Tensor(block), []
with vq.autocast(simulate=True):
    try:
        while True:
            arrays.append(np.ones(1 << 20, np.uint8))
    except MemoryError:
        pass
    try:
        held + 1
    except MemoryError as error:
        refused = str(error)
vq.set_threads(2)
arrays.clear()
print(refused, vq._core.products(), vq.get_threads(), (held + 1).numpy()[0])
"""
    )
    told = "[allocate] the process has no memory left for a call 0 2 1.0\n"
    assert run_python(program) == told
