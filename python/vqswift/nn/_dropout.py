"""Dropout."""

from __future__ import annotations

from .._arguments import checked
from .._options import create
from .._random import Generator, layer_generator
from ._native import Native


@checked
class Dropout(Native):
    """Zeroes elements with probability `p` in training, the others times 1 / (1 - p)."""

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        super().__init__(create("dropout", p=p, generator=layer_generator(generator)))
