"""The tutorials of PyTorch run, and print what stands beneath their programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tutorial_pages import HOW_TOS, TUTORIALS, check_page, needs_torch

PAGES = [page for page in [*TUTORIALS, *HOW_TOS] if needs_torch(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_runs_and_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    check_page(page)


def test_there_are_such_pages() -> None:
    assert len(PAGES) >= 2
