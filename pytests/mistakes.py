"""The table of docs/how-to/mistakes.md: what is written, and what is told."""

from __future__ import annotations

import re

import numpy as np
import vqswift as vq
from conftest import ROOT
from vqswift import nn

PAGE = (ROOT / "docs/how-to/mistakes.md").read_text()
TOLD = dict(re.findall(r"^\| (.+?) \| `(.+)` \|$", PAGE, re.M))
NAMES = {
    "np": np,
    "vq": vq,
    "nn": nn,
    "z": np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32),
    "images": np.zeros((2, 3, 32, 32), np.float32),
}


def is_told(written: str, error: Exception) -> None:
    """Whether the message is the page's, whose dots stand for anything."""
    pattern = ".*".join(map(re.escape, TOLD[written].split("...")))
    # Dots of a message itself, as of [...], are matched by that too.
    assert re.fullmatch(pattern, str(error)), str(error)


def of_torch(written: str) -> bool:
    return "torch." in written and written.endswith(")`")


def run(written: str, **more: object) -> None:
    """The program of a row, a statement of one line."""
    exec(written.strip("`"), NAMES | {"quantizer": vq.VectorQuant(4, 8)} | more)
