"""docs/distributed.md runs in one process, and names what there is."""

from __future__ import annotations

import re

import vqswift as vq
from conftest import ROOT

GUIDE = (ROOT / "docs/distributed.md").read_text(encoding="utf-8")


def test_the_guide_runs() -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
        exec(block, names)
    assert names["step"] == 2


def test_the_guide_names_what_there_is() -> None:
    told = set(re.findall(r"\b\w+\b", GUIDE))
    assert set(vq.distributed.__all__) - {"CodebookUpdate"} <= told
