"""Evaluation for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ._module import Module


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """A scope in which the model is in evaluation mode; each module gets its own mode back."""
    learning = [module for module in model.modules() if module.training]
    if learning:
        model.eval()
    try:
        yield
    finally:
        for module in learning:
            module.training = True
