"""Random cases of every operator of tensors."""

from __future__ import annotations

from . import elements, images, indexing, integers, products, reductions, selection, shapes
from .case import Case, Draw, Maker, check

MAKERS: dict[str, Maker] = {}
for _group in (elements, integers, reductions, shapes, indexing, selection, products, images):
    MAKERS |= _group.MAKERS

__all__ = ["MAKERS", "Case", "Draw", "Maker", "check"]
