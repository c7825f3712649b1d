"""Operators with gradients of your own, and values that backward computes again."""

from ._checkpoint import checkpoint
from ._function import Function, FunctionContext

__all__ = ["Function", "FunctionContext", "checkpoint"]
