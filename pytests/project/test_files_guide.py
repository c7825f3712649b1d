"""docs/files-and-codes.md runs, and its layout is the one that is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT
from vqswift import __main__ as command
from vqswift._codes import _layout

GUIDE = (ROOT / "docs/files-and-codes.md").read_text()


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    names = {"vq": vq, "np": np, "__name__": "__main__"}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
        exec(block, names)
    assert Path("coder/config.json").is_file() and Path("seen/b.png").is_file()
    Path("photos").mkdir()
    Path("a.png").rename("photos/a.png")
    (block,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.S)
    for line in block.splitlines():
        assert command.main(shlex.split(line, comments=True)[1:]) == 0
    assert Path("images/a.png").read_bytes() == Path("seen/a.png").read_bytes()


def test_the_layout_is_that_of_the_fixed_part() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ", GUIDE, re.M)
    offset = 0
    for at, size in rows:
        assert int(at) == offset
        offset += int(size)
    assert offset == _layout.FIXED.size
    formats = {"s": 0, "B": 1, "H": 2, "I": 4, "Q": 8}
    given = re.findall(r"(\d*)([sBHIQ])", _layout.FIXED.format)
    assert [int(size) for _, size in rows] == [int(n or 0) or formats[kind] for n, kind in given]
    magic = bytes.fromhex(re.findall(r"`((?:[0-9A-F]{2} ){7}[0-9A-F]{2})`", GUIDE)[0])
    assert magic == _layout.MAGIC


def test_the_guide_names_what_there_is() -> None:
    told = set(re.findall(r"\b\w+\b", GUIDE))
    assert {name for name in vq.codec.__all__ if name != "Tally"} <= told
    assert {"save_codes", "load_codes", "pack_codes", "unpack_codes", "fingerprint"} <= told
