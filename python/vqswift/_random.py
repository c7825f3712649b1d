"""Random numbers: Philox 4x32-10, a counter-based generator."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from . import _core
from ._arguments import checked
from ._tensor import Tensor


def checked_word(operation: str, name: str, value: int) -> int:
    """`value` as an int; ValueError unless it fits in 64 bits without a sign."""
    word = operator.index(value)
    if not 0 <= word < 1 << 64:
        raise ValueError(f"[{operation}] {name} = {word}: it must lie in 0...2**64-1")
    return word


@checked
class Generator:
    """A stream of random numbers that depends on (seed, stream, counter) alone.

    Equal for every thread count. `counter` says how much was drawn; setting it goes back or forth.
    """

    seed: int
    stream: int

    def __init__(self, seed: int = 0, stream: int = 0) -> None:
        self.seed = checked_word("generator", "seed", seed)
        self.stream = checked_word("generator", "stream", stream)
        self._handle = _core.generator_create(self.seed, self.stream)

    @property
    def counter(self) -> int:
        """Blocks of four words drawn so far."""
        return _core.generator_counter(self._handle)

    @counter.setter
    def counter(self, value: int) -> None:
        _core.generator_set_counter(self._handle, checked_word("generator", "counter", value))

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed}, stream={self.stream}, counter={self.counter})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.seed, self.stream, self.counter)

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 in [low, high), of `shape`."""
        return Tensor._wrap(_core.generator_uniform(self._handle, shape, low, high))

    def normal(self, shape: Sequence[int], mean: float = 0.0, std: float = 1.0) -> Tensor:
        """Normally distributed float32 of `shape`."""
        return Tensor._wrap(_core.generator_normal(self._handle, shape, mean, std))

    def truncated_normal(
        self,
        shape: Sequence[int],
        mean: float = 0.0,
        std: float = 1.0,
        minimum: float = -2.0,
        maximum: float = 2.0,
    ) -> Tensor:
        """Normally distributed float32 of `shape`, conditioned on lying from `minimum` to `maximum`
        standard deviations from the mean."""
        return Tensor._wrap(
            _core.generator_truncated_normal(self._handle, shape, mean, std, minimum, maximum)
        )

    def integers(self, shape: Sequence[int], below: int) -> Tensor:
        """int32 in 0..below-1, each equally likely, of `shape`."""
        return Tensor._wrap(_core.generator_integers(self._handle, shape, below))

    def permutation(self, count: int) -> Tensor:
        """int32 [count]: 0..count-1 in random order."""
        return Tensor._wrap(_core.generator_permutation(self._handle, count))


def _restored(seed: int, stream: int, counter: int) -> Generator:
    generator = Generator(seed, stream)
    generator.counter = counter
    return generator


# The stream of layers with a seed of their own, which no creation index reaches.
_OWN_STREAM = 1 << 63


class _Streams:
    """The seed of all layers and the stream of the next one."""

    seed = 0
    next_stream = 0


@checked
def manual_seed(seed: int) -> None:
    """Seed the initial weights, codes and draws of layers made from now on.

    Each layer draws from the stream of its creation index, so equal layers differ, and the same
    program gives the same weights. A layer with a seed of its own does not depend on this.
    """
    _Streams.seed = checked_word("manual_seed", "seed", seed)
    _Streams.next_stream = 0


def layer_stream() -> tuple[int, int]:
    """Seed and stream of a layer that is being made."""
    stream = _Streams.next_stream
    _Streams.next_stream += 1
    return _Streams.seed, stream


def quantizer_seed(operation: str, seed: int | None) -> tuple[int, int]:
    """Seed and stream of a quantizer that is being made: those of its creation index, or for a
    seed of its own the same wherever and whenever it is made."""
    layer = layer_stream()
    return layer if seed is None else (checked_word(operation, "seed", seed), _OWN_STREAM)


def layer_generator(generator: Generator | None = None) -> Generator:
    """`generator`, or that of a layer that is being made."""
    return generator if generator is not None else Generator(*layer_stream())


def own_seed(seed: int, stream: int) -> int | None:
    """The seed that a quantizer was made with, of what it draws from; None for none."""
    return seed if stream == _OWN_STREAM else None


@contextmanager
def undrawn() -> Iterator[Callable[[], None]]:
    """Give the streams of layers that are made within back, unless what it gives is called."""
    before, kept = (_Streams.seed, _Streams.next_stream), []
    try:
        yield lambda: kept.append(True)
    finally:
        if not kept:
            _Streams.seed, _Streams.next_stream = before


@contextmanager
def drawing_from(seed: int, stream: int) -> Iterator[None]:
    """Let the next layer be that of this seed and creation index."""
    before = _Streams.seed, _Streams.next_stream
    _Streams.seed, _Streams.next_stream = seed, stream
    try:
        yield
    finally:
        _Streams.seed, _Streams.next_stream = before
