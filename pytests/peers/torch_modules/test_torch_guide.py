"""docs/torch.md runs, and names what there is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import ROOT

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402

GUIDE = (ROOT / "docs/torch.md").read_text()


def test_the_guide_runs() -> None:
    torch.manual_seed(0)
    names: dict[str, Any] = {"vectors": torch.randn(500, 4), "codebook": torch.randn(16, 4)}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
        exec(block, names)
    assert names["codes"].dtype == torch.int64
    assert names["same"].shape == (8, 64, 8, 8)
    assert len(names["conversions"]) == 2


def test_the_guide_names_what_there_is() -> None:
    told = set(re.findall(r"\b\w+\b", GUIDE))
    bases = {"CodebookQuantizer", "KMeansResult", "Quantizer", "QuantizerInfo"}
    assert {name for name in vqt.__all__ if name not in bases} <= told
