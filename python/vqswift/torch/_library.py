"""The library `torch.ops.vqswift`: how its operators are declared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import torch

LIBRARY: Any = torch.library.Library("vqswift", "DEF")  # type: ignore[no-untyped-call]


def declare(schema: str, kernel: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """Add an operator with its kernel on the CPU, and what shapes it gives."""
    name = schema.partition("(")[0]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    LIBRARY.impl(name, kernel, "CPU")
    torch.library.register_fake(f"vqswift::{name}", fake, lib=LIBRARY)


def differentiate(
    name: str, gradient: Callable[..., Any], context: Callable[..., None] | None = None
) -> None:
    """Give an operator its gradient."""
    torch.library.register_autograd(
        f"vqswift::{name}", gradient, setup_context=context, lib=LIBRARY
    )


def refuse_derivative(name: str) -> None:
    """Let the gradient of an operator raise: it is one itself."""
    differentiate(name, partial(_no_derivative, name))


def _no_derivative(name: str, ctx: Any, *gradients: Any) -> NoReturn:
    raise RuntimeError(f"[{name}] a quantizer has no second derivative")


def placed(
    found: Sequence[torch.Tensor], indices: Sequence[int], count: int
) -> list[torch.Tensor | None]:
    """Gradients at these places among `count`, None elsewhere."""
    gradients: list[torch.Tensor | None] = [None] * count
    for index, gradient in zip(indices, found, strict=True):
        gradients[index] = gradient
    return gradients
