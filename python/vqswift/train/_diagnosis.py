"""Where a step went wrong."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from .._functions import no_grad
from .._tensor import Tensor
from ..distributed import alone

if TYPE_CHECKING:
    from ._trainer import Trainer


def first_not_finite(trainer: Trainer, batch: Any) -> str | None:
    """The parameter that is not finite, or the first layer whose output is not; None without.

    The model runs the batch once more.
    """
    model = trainer.model
    for name, parameter in model.named_parameters():
        if not np.isfinite(parameter.numpy()).all():
            return f"the parameter {name} is not finite"
    found: list[str] = []

    def watched(name: str) -> Any:
        def look(_: Any, __: Any, output: Any) -> None:
            if not found and not _is_finite(output):
                found.append(name or type(model).__name__)

        return look

    with contextlib.ExitStack() as hooks:
        for name, module in model.named_modules():
            hooks.enter_context(module.register_forward_hook(watched(name)))
        # What a layer refuses has been told by then.
        with alone(), no_grad(), contextlib.suppress(ValueError):
            trainer.objective(model, batch)
    return f"the first output that is not finite is that of {found[0]}" if found else None


def _is_finite(output: Any) -> bool:
    if isinstance(output, Tensor):
        return bool(np.isfinite(output.numpy()).all())
    return all(map(_is_finite, output)) if isinstance(output, (tuple, list)) else True
