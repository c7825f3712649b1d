"""Refusals of numbers that are not finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def require_finite(operation: str, given: Mapping[str, torch.Tensor]) -> None:
    """ValueError for the first element of tensors by name that is NaN or infinite."""
    if torch.stack([torch.isfinite(tensor).all() for tensor in given.values()]).all():
        return
    for name, tensor in given.items():
        elements = tensor.detach().reshape(-1)
        for index in (~torch.isfinite(elements)).nonzero()[:1, 0].tolist():
            raise ValueError(
                f"[{operation}] {name} holds {float(elements[index])} at flat index {index}: it is "
                "not finite"
            )
