"""The tutorials and how-tos run, and print what stands beneath their programs.

Those of PyTorch are among the tests of peers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tutorial_pages import HOW_TOS, TUTORIALS, agrees, check_page, needs_torch

PAGES = [page for page in [*TUTORIALS, *HOW_TOS] if not needs_torch(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_runs_and_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    check_page(page)


def test_words_and_numbers_are_compared() -> None:
    agrees("3.1 dB of 64", "3.0 dB of 64")
    with pytest.raises(AssertionError):
        agrees("3.1 dB", "4.5 dB")
    with pytest.raises(AssertionError):
        agrees("3.1 dB", "3.1 bits")


def test_there_are_tutorials() -> None:
    assert len(TUTORIALS) >= 5 and len(HOW_TOS) >= 4
