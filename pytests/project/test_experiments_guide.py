"""docs/experiments.md runs, and names every experiment of `vqswift run`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT
from vqswift.experiments.straightening import COMMAND

GUIDE = (ROOT / "docs/experiments.md").read_text()


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tomli_w")
    monkeypatch.chdir(tmp_path)
    names = {"vq": vq, "np": np, "__name__": "__main__"}
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    exec(block, names)
    written = {path.name for path in (tmp_path / "runs/mine").iterdir()}
    assert {"config.toml", "metrics.jsonl", "best.safetensors"} <= written


def test_every_experiment_is_named() -> None:
    told = set(re.findall(r"\b(?:table|fig)\d+\b|(?<=vqswift run )[a-z]+\b", GUIDE))
    assert told == {command.name for command in COMMAND.commands}
