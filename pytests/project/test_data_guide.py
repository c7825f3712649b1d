"""docs/data.md runs, and names everything that makes batches."""

from __future__ import annotations

import re

import numpy as np
import vqswift as vq
from conftest import ROOT

GUIDE = (ROOT / "docs/data.md").read_text()


def test_the_guide_runs() -> None:
    names = {"vq": vq, "np": np}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
        exec(block, names)
    x, _ = next(names["stream"].forever())  # type: ignore[attr-defined]
    assert x.shape == (16, 32, 32, 3)
    assert next(iter(names["batches"])).shape == (16, 32, 32, 3)  # type: ignore[call-overload]


def test_the_guide_names_what_there_is() -> None:
    told = {name.split(".")[-1] for name in re.findall(r"`([\w.]+)`", GUIDE)}
    besides = {"PHOTO_CREDITS", "ImageSet", "has", "search_roots", "unit_range"}
    assert set(vq.data.__all__) - besides <= told
