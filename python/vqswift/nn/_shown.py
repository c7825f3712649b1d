"""Modules as notebooks show them."""

from __future__ import annotations

from typing import Any

from .._html import table


class Shown:
    """A table of a module's layers, their parameters' shapes and numbers, for notebooks."""

    def _repr_html_(self: Any) -> str:
        rows, total, fixed = [], 0, 0
        seen: set[int] = set()
        for name, module in self.named_modules():
            own = module._own_parameters(True)
            if not own and next(module.named_children(), None) is not None:
                continue
            new = [tensor for _, tensor in own if id(tensor) not in seen]
            seen |= {id(tensor) for tensor in new}
            count = sum(tensor.size for tensor in new)
            total += count
            fixed += sum(tensor.size for tensor in new if not tensor.requires_grad)
            shapes = ", ".join(f"{key} {[*tensor.shape]}" for key, tensor in own)
            layer = f"{module._title()}({module._options_text()})"
            rows.append((name, layer, shapes, f"{count:,}" if count else ""))
        frozen = f", {fixed:,} of them frozen" if fixed else ""
        caption = f"{self._title()}: {total:,} parameters{frozen}"
        return table(caption, ("", "layer", "parameters", "numbers"), rows)
