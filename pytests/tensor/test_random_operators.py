"""Every operator on random shapes, axes and elements against NumPy in Float64, with gradients.

VQSWIFT_RANDOM_CASES sets the cases of each operator, VQSWIFT_RANDOM_SEED another seed.
"""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest
from random_operators import MAKERS, Draw, check

CASES = int(os.environ.get("VQSWIFT_RANDOM_CASES", "60"))
SEED = int(os.environ.get("VQSWIFT_RANDOM_SEED", "1"))


@pytest.mark.parametrize("name", MAKERS)
def test_random_cases(name: str) -> None:
    for number in range(CASES):
        draw = Draw(np.random.default_rng([SEED, zlib.crc32(name.encode()), number]))
        case = MAKERS[name](draw)
        try:
            check(case, draw)
        except (Exception, pytest.fail.Exception) as error:
            shapes = [f"{x.dtype} {list(x.shape)}" for x in case.inputs]
            error.add_note(f"{name}, seed {SEED}, case {number}: {', '.join(shapes)}")
            raise
