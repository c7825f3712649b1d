"""docs/layers.md lists the layers that there are, and no other."""

from __future__ import annotations

import re

from conftest import ROOT
from vqswift import nn

ROW = re.compile(r"\| (?P<torch>[^|]*) \| (?P<mlx>[^|]*) \| (?P<own>[^|]*) \|")


def listed() -> list[str]:
    rows = ROW.findall((ROOT / "docs/layers.md").read_text())
    return [name for *_, own in rows for name in re.findall(r"`([^`]+)`", own)]


def test_every_layer_is_listed_once() -> None:
    layers = [name for name in listed() if "." not in name]
    assert sorted(layers) == sorted(set(nn.__all__) - {"functional", "init"})


def test_every_listed_function_is_there() -> None:
    for name in listed():
        holder, _, function = name.rpartition(".")
        assert hasattr(nn.functional if holder else nn, function)
