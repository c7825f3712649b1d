"""The classes of `vqswift.torch.lucidrains` are compiled whole, and give what they give eagerly."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from vqswift.torch import lucidrains as ours

OF_ONE = {"dim": 4, "codebook_size": 8}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "EMA, projected": ("VectorQuantize", OF_ONE | {"codebook_dim": 2}),
    "heads": ("VectorQuantize", OF_ONE | {"heads": 2, "codebook_dim": 3}),
    "residual": ("ResidualVQ", OF_ONE | {"num_quantizers": 2}),
    "SimVQ": ("SimVQ", OF_ONE),
    "FSQ": ("FSQ", {"levels": [5, 4], "dim": 4}),
    "LFQ": ("LFQ", {"dim": 4, "codebook_size": 16}),
    "LFQ, projected": ("LFQ", {"dim": 4, "codebook_size": 8, "num_codebooks": 2}),
}


@pytest.mark.parametrize(("kind", "options"), CASES.values(), ids=CASES)
def test_a_training_forward_is_captured_whole(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    eager = getattr(ours, kind)(**options)
    captured = torch.compile(copy.deepcopy(eager), fullgraph=True, backend="eager")
    x = torch.randn(2, 30, 4)
    for _ in range(2):
        for own, same in zip(eager(x), captured(x), strict=True):
            assert torch.equal(own, same)
