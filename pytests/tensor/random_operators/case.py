"""A case of an operator: inputs, the same function in NumPy, and how near they must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from vqswift import Tensor

EPSILON = 2.0**-23
# Of central differences in Float64: the error of a smooth function is about STEP^2.
STEP = 1e-6


@dataclass
class Case:
    """`reference` takes the inputs in Float64, integers and truths as they are.

    `roundings` counts the float32 roundings of a result and of a gradient, each of terms as large
    as the result or `scale`. An operator that `raises` is refused.
    """

    ours: Callable[..., Tensor]
    reference: Callable[..., Any]
    inputs: Sequence[np.ndarray]
    roundings: float = 8
    scale: float = 1.0
    raises: type[Exception] | None = None
    is_smooth: bool = True


Maker = Callable[["Draw"], Case]


class Draw:
    """Shapes, axes and elements of a case."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def whole(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both possible."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one_of(self, items: Sequence[Any]) -> Any:
        return items[self.whole(0, len(items) - 1)]

    def size(self, least: int = 0) -> int:
        sizes = [size for size in (0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6) if size >= least]
        return int(self.one_of(sizes))

    def shape(self, least_rank: int = 0, most_rank: int = 5, least: int = 0) -> tuple[int, ...]:
        rank = self.whole(least_rank, most_rank)
        if self.chance(0.02) and rank:  # beyond a vector, a block of columns and a tile
            long = self.whole(17, 300)
            shape = [long, *(self.whole(1, 2) for _ in range(rank - 1))]
            self.rng.shuffle(shape)
            return tuple(shape)
        shape = [self.size(least) for _ in range(rank)]
        while np.prod(shape) > 400:
            shape[int(np.argmax(shape))] = 2
        return tuple(shape)

    def axis(self, rank: int) -> int:
        return self.whole(-rank, rank - 1)

    def axes(self, rank: int) -> Any:
        """None, one axis, or several, from either end."""
        kind = self.whole(0, 3)
        if kind == 0 or rank == 0:
            return None
        if kind == 1:
            return self.axis(rank)
        order = self.rng.permutation(rank)[: self.whole(0, rank)]
        return tuple(int(a) - (rank if self.chance(0.3) else 0) for a in order)

    def floats(self, shape: Sequence[int]) -> np.ndarray:
        """Different multiples of 1/64, apart from multiples of 1/2, where functions have kinks."""
        count = int(np.prod(shape))
        places = self.rng.permutation(max(2 * count, 256))[:count] - max(count, 128)
        places += places // 31 + 1  # none is a multiple of 32
        return (places / 64).astype(np.float32).reshape(shape)

    def offset_floats(self, shape: Sequence[int]) -> np.ndarray:
        """The same, apart from them by 1/128."""
        return self.floats(shape) + np.float32(1 / 128)

    def away_from_zero(self, shape: Sequence[int]) -> np.ndarray:
        """Numbers between 0.5 and 2, of either sign."""
        signs = self.rng.choice([-1.0, 1.0], shape)
        return np.asarray(self.rng.uniform(0.5, 2, shape) * signs, np.float32)

    def ties(self, shape: Sequence[int]) -> np.ndarray:
        """Few different numbers, so that many are equal."""
        return self.rng.integers(-2, 3, shape).astype(np.float32)

    def special(self, shape: Sequence[int]) -> np.ndarray:
        """The same with NaN, infinities and -0."""
        x = self.ties(shape)
        odd = self.rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0], np.float32), shape)
        return np.asarray(np.where(self.rng.random(shape) < 0.3, odd, x), np.float32)

    def integers(self, shape: Sequence[int], low: int = -5, high: int = 5) -> np.ndarray:
        return np.asarray(self.rng.integers(low, high + 1, shape), np.int32)

    def extreme_integers(self, shape: Sequence[int]) -> np.ndarray:
        ends = np.array([-(2**31), -(2**31) + 1, -1, 0, 1, 2**31 - 1], np.int64)
        odd = self.rng.random(shape) < 0.3
        return np.where(odd, self.rng.choice(ends, shape), self.integers(shape)).astype(np.int32)

    def truths(self, shape: Sequence[int]) -> np.ndarray:
        return np.asarray(self.rng.random(shape) < 0.5)

    def broadcasting(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A shape that broadcasts to `shape`."""
        given = [1 if self.chance(0.25) else size for size in shape]
        return tuple(given[self.whole(0, len(given)) if self.chance(0.3) else 0 :])

    def pair(self, most_rank: int = 5) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes that broadcast to one."""
        shape = self.shape(0, most_rank)
        return self.broadcasting(shape), self.broadcasting(shape)


def _wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) if x.dtype == np.float32 else x


def check(case: Case, draw: Draw) -> None:
    """The value against NumPy's, gradients against central differences of it."""
    tensors = [Tensor(x, requires_grad=x.dtype == np.float32) for x in case.inputs]
    if case.raises:
        with pytest.raises(case.raises):
            case.ours(*tensors)
        return
    inputs = [_wide(x) for x in case.inputs]
    with np.errstate(all="ignore"):
        expected = np.asarray(case.reference(*inputs))
    result = case.ours(*tensors)
    found = result.numpy()
    assert found.shape == expected.shape, f"shape {found.shape}, not {expected.shape}"
    assert found.dtype.kind == expected.dtype.kind, f"{found.dtype}, not {expected.dtype}"
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    bound = EPSILON * case.roundings * (np.abs(expected) + case.scale)
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        near = same | (np.abs(found - expected) <= bound)
    assert near.all(), f"values {found[~near][:4]}, not {expected[~near][:4]}"
    if not result.requires_grad or not case.is_smooth:
        return
    g = draw.rng.standard_normal(expected.shape).astype(np.float32)
    result.backward(Tensor(g))
    for i, tensor in enumerate(tensors):
        if case.inputs[i].dtype == np.float32:
            assert tensor.grad is not None, f"input {i} has no gradient"
            _check_gradient(case, draw, inputs, i, tensor.grad.numpy(), g)


def _check_gradient(
    case: Case, draw: Draw, inputs: list[np.ndarray], i: int, gradient: np.ndarray, g: np.ndarray
) -> None:
    x = inputs[i]
    assert gradient.shape == x.shape, f"gradient {i} of shape {gradient.shape}, not {x.shape}"
    if not x.size:
        return
    one = np.zeros(x.size)
    one[draw.whole(0, x.size - 1)] = 1
    largest = np.abs(gradient).max() + case.scale * np.abs(g).max(initial=0)
    for way in (draw.rng.standard_normal(x.shape), one.reshape(x.shape)):
        ends = []
        for step in (STEP, -STEP):
            moved = [*inputs[:i], x + step * way, *inputs[i + 1 :]]
            with np.errstate(all="ignore"):
                ends.append((np.asarray(case.reference(*moved)) * g).sum())
        slope = (ends[0] - ends[1]) / (2 * STEP)
        own = (gradient * way).sum(dtype=np.float64)
        # Float64 cancels in the difference; float32 rounds each term of the gradient.
        noise = 2.0**-52 * (abs(ends[0]) + np.abs(g).sum()) / STEP
        bound = 4 * EPSILON * case.roundings * largest * np.abs(way).sum() + 64 * noise
        assert abs(own - slope) <= bound, f"gradient {i}: slope {own}, not {slope} (+- {bound:.1e})"
