"""The estimators' guide: its snippets run, and it knows every estimator and command."""

from __future__ import annotations

import re

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT
from vqswift import __main__ as command

GUIDE = (ROOT / "docs" / "estimators.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.splitlines()[0])
def test_snippet_runs(snippet: str) -> None:
    w = np.random.default_rng(0).uniform(-0.4, 0.4, 1000)
    exec(compile(snippet, "docs/estimators.md", "exec"), {"vq": vq, "np": np, "w": w})


def test_every_estimator_is_there() -> None:
    named = set(re.findall(r"`(\w+)`", GUIDE))
    assert named >= {*vq.estimators.names(), "from_samples", "from_function"}
    assert named >= {"PACT", "LSQ", "LSQPlus", "reinmax", "gumbel_softmax"}


@pytest.mark.parametrize("picture", re.findall(r"!\[[^]]*\]\(([^)]+)\)", GUIDE))
def test_picture_exists(picture: str) -> None:
    assert (ROOT / "docs" / picture).is_file()


@pytest.mark.parametrize("line", re.findall(r"^python -m vqswift (\w+.*?)(?: *#.*)?$", GUIDE, re.M))
def test_command_exists(line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main([*line.split(), "--help"])
    assert caught.value.code == 0
