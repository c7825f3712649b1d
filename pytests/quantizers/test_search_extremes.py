"""No input costs a search much more than normal data of its shape; arrays are read in place."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT

sys.path.insert(0, str(ROOT / "torture"))
import extreme_search  # noqa: E402

SHAPE = (8192, 1024, 64)


@pytest.mark.parametrize("extreme", extreme_search.EXTREMES, ids=lambda extreme: extreme.__name__)
def test_extremes_take_three_times_as_long_at_most(extreme: Any) -> None:
    x, codebook = (vq.Tensor(a) for a in extreme_search.drawn(extreme, 0, *SHAPE))
    plain = [vq.Tensor(a) for a in extreme_search.drawn(extreme_search.normal, 0, *SHAPE)]
    rows = np.arange(0, SHAPE[0], 256)
    expected = extreme_search.definition(x.numpy()[rows], codebook.numpy(), 3)
    np.testing.assert_array_equal(vq.nearest_codes(x, codebook)[rows], expected[:, 0])
    np.testing.assert_array_equal(vq.nearest_codes(x, codebook, topk=3)[rows], expected)
    # Neighbors of the machine disturb a try.
    ratios: list[float] = []
    while len(ratios) < 6 and min(ratios, default=9) >= extreme_search.TIMED_SLOWER:
        ratios.append(
            extreme_search.slower(
                lambda: vq.nearest_codes(x, codebook), lambda: vq.nearest_codes(*plain)
            )
        )
    assert min(ratios) < extreme_search.TIMED_SLOWER, ratios


# Pages of zeros that nobody writes take no memory, a copy of them would.
IN_PLACE = """
import resource
import numpy as np
import vqswift as vq

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

codebook = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
nearest_to_zero = int(np.square(codebook).sum(1).argmin())
far = (nearest_to_zero + 1) % 4
vq.nearest_codes(codebook, codebook)
before = peak()
x = np.zeros({shape}, {dtype!r})
x[-1] = codebook[far]
{call}
assert codes[0] == nearest_to_zero and codes[-1] == far, codes[[0, -1]]
print(peak() - before, x.nbytes)
"""


@pytest.mark.parametrize(
    ("shape", "dtype", "call"),
    [
        ((2**25 + 3, 64), "float32", "codes = vq.nearest_codes(x, codebook)"),
        ((2**22, 64), "float64", "codes = vq.nearest_codes(x, codebook)"),
        ((2**22, 64), "float32", "codes = vq.nearest_codes(x, codebook, topk=2)[:, 0]"),
        ((2**22, 64), "float32", "codes = vq.kmeans(x, 4, iterations=0, init=codebook).codes"),
        ((2**22, 64), "float64", "codes = vq.kmeans(x, 4, iterations=0, init=codebook).codes"),
    ],
)
def test_arrays_are_read_in_place(shape: tuple[int, int], dtype: str, call: str) -> None:
    program = IN_PLACE.format(shape=shape, dtype=dtype, call=call)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    grown, size = map(int, result.stdout.split())
    # Codes, twice, their distances, and the memory of threads.
    assert grown < 32 * shape[0] + 200_000_000
    assert grown < size / 4 or size < 2**31
