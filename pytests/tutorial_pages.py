"""Pages of the documents whose programs run, and print what stands beneath them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from conftest import ROOT

TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
HOW_TOS = sorted((ROOT / "docs/how-to").glob("*.md"))
# Within a list, a block is indented.
BLOCK = re.compile(r"^( *)```(python|text)\n(.*?)^\1```$", re.M | re.S)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def needs_torch(page: Path) -> bool:
    return "import torch" in page.read_text()


def blocks(page: Path) -> list[tuple[str, str]]:
    """The programs of a page and their outputs, in order, as ("python" or "text", text)."""
    found = []
    for indent, kind, text in BLOCK.findall(page.read_text()):
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        found.append((kind, "\n".join(lines)))
    return found


def check_page(page: Path) -> None:
    """Runs the programs of a page one after the other, and compares what they print."""
    names: dict[str, object] = {"__name__": "__main__"}
    printed, programs, told = "", 0, 0
    for kind, text in blocks(page):
        if kind == "text":
            agrees(printed, text)
            told += 1
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(text, str(page), "exec"), names)
        printed, programs = output.getvalue(), programs + 1
    assert programs
    assert told or page in HOW_TOS


def agrees(printed: str, told: str) -> None:
    """The same words, and numbers within a fifth, or three in the last place that is told.

    Between CPUs the kernels of OpenBLAS differ in last bits, which a training lets grow.
    """
    assert NUMBER.split(printed.strip()) == NUMBER.split(told.strip()), printed
    for found, wanted in zip(NUMBER.findall(printed), NUMBER.findall(told), strict=True):
        last = 10.0 ** -len(wanted.partition(".")[2])
        bound = max(0.2 * float(wanted), 3 * last)
        assert abs(float(found) - float(wanted)) <= bound, printed
