"""Generators, seeds and what the package reports of itself."""

from __future__ import annotations

import numpy as np
import vqswift as vq
from conftest import run_python


def test_generators_resume_from_their_counter() -> None:
    generator = vq.Generator(3, stream=1)
    generator.normal((5,))
    counter = generator.counter
    first = generator.uniform((100,)).numpy()
    generator.counter = counter
    assert np.array_equal(generator.uniform((100,)).numpy(), first)
    assert not np.array_equal(vq.Generator(3, stream=2).uniform((100,)).numpy(), first)
    generator.counter = (1 << 64) - 1
    assert generator.uniform((100,)).shape == (100,)


def test_draws_have_their_moments() -> None:
    n = 100_000
    generator = vq.Generator(11)
    uniform = generator.uniform((n,), -1.0, 3.0).numpy()
    assert uniform.min() >= -1 and uniform.max() < 3
    assert abs(uniform.mean() - 1) < 5 * np.sqrt(16 / 12 / n)  # five standard errors
    normal = generator.normal((n,), 2.0, 0.5).numpy()
    assert abs(normal.mean() - 2) < 5 * 0.5 / np.sqrt(n)
    assert abs(normal.std() - 0.5) < 5 * 0.5 / np.sqrt(2 * n)
    integers = generator.integers((n,), 10).numpy()
    assert integers.dtype == np.int32
    counts = np.bincount(integers, minlength=10)
    assert len(counts) == 10 and np.abs(counts - n / 10).max() < 5 * np.sqrt(n / 10)
    assert np.array_equal(np.sort(generator.permutation(1000).numpy()), np.arange(1000))


def test_seed_and_creation_index_fix_the_weights() -> None:
    def weights() -> list[np.ndarray]:
        return [vq.nn.Linear(4, 4).weight.numpy() for _ in range(2)]

    vq.manual_seed(5)
    first = weights()
    vq.manual_seed(5)
    again = weights()
    vq.manual_seed(6)
    other = weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_libraries_are_named_and_importing_loads_no_torch() -> None:
    assert "OpenBLAS" in vq.libraries()
    program = "import sys, vqswift; print('torch' in sys.modules)"
    assert run_python(program).strip() == "False"
