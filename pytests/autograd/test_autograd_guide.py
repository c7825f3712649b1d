"""The snippets of docs/autograd.md run, one after the other."""

from __future__ import annotations

import re
from typing import Any

from conftest import ROOT

GUIDE = (ROOT / "docs/autograd.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def test_snippets_run() -> None:
    names: dict[str, Any] = {}
    assert len(SNIPPETS) > 6
    for snippet in SNIPPETS:
        exec(compile(snippet, "docs/autograd.md", "exec"), names)
    assert names["gradients"].keys() == {"weight", "bias"}
