"""Values whose gradient goes to what they stand for, and gradients that have none."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch.nn import functional


def through(
    z: torch.Tensor, values: torch.Tensor, nu: float = 0.0, rotates: bool = False
) -> torch.Tensor:
    """`values` bit for bit: the gradient g goes to z, by the rotation trick or as it is, and nu g
    to the values."""
    passed: torch.Tensor = _Through.apply(z, values, nu, rotates)
    return passed


def once(x: torch.Tensor) -> torch.Tensor:
    """x, whose gradient cannot be differentiated: a quantizer has no second derivative."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return x
    passed: torch.Tensor = _Once.apply(x)
    return passed


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return _Last.apply(*gradients)


class _Last(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> NoReturn:
        raise RuntimeError("[quantize_backward] a quantizer has no second derivative")


class _Through(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: torch.Tensor, values: torch.Tensor, nu: float, rotates: bool
    ) -> torch.Tensor:
        ctx.nu, ctx.rotates = nu, rotates
        ctx.save_for_backward(*((z, values) if rotates else ()))
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        (g,) = gradients
        of_values = ctx.nu * g if ctx.nu and ctx.needs_input_grad[1] else None
        if not ctx.rotates:
            return g, of_values, None, None
        z, values = ctx.saved_tensors
        lengths = [x.norm(dim=1, keepdim=True).clamp(min=1e-6) for x in (z, values)]
        e, q = z / lengths[0], values / lengths[1]
        w = functional.normalize(e + q, dim=1)

        def along(direction: torch.Tensor) -> torch.Tensor:
            return (g * direction).sum(1, keepdim=True)

        turned = (lengths[1] / lengths[0]) * (g - 2 * w * along(w) + 2 * e * along(q))
        still = (values.norm(dim=1, keepdim=True) == 0) | (z.norm(dim=1, keepdim=True) == 0)
        still |= (e + q).norm(dim=1, keepdim=True) == 0
        return torch.where(still, g, turned), of_values, None, None
