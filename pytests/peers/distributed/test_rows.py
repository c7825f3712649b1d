"""Rows of an experiment shared out over ranks: one table, that of one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from launch import HERE, Ranks, require, run

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("tomli_w", reason="tomli-w is not installed")
ROWS = ("VQVAE", "OPT", "VQVAE+l2")


def table(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())["rows"]
    return sorted((row | {"seconds": 0} for row in rows), key=lambda row: str(row["row"]))


@pytest.fixture(scope="module")
def of_one_process(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("one")
    run("none", 1, HERE / "rows.py", "none", folder, *ROWS)
    return table(folder)


@pytest.mark.parametrize("engine", ["mpi", "gloo"])
def test_rows_over_ranks_are_those_of_one_process(
    engine: str, of_one_process: list[dict[str, Any]], tmp_path: Path
) -> None:
    require(engine)
    told = run(engine, 2, HERE / "rows.py", engine, tmp_path, *ROWS)
    assert table(tmp_path) == of_one_process
    assert len(of_one_process) == len(ROWS)
    assert "VQVAE+l2" in told


@pytest.mark.parametrize("engine", ["mpi", "gloo"])
def test_a_row_that_fails_on_another_rank_ends_all(engine: str, tmp_path: Path) -> None:
    require(engine)
    # The second row is the second rank's.
    (tmp_path / "OPT-seed-0-epochs-1" / "metrics.jsonl").mkdir(parents=True)
    statuses, told = Ranks(engine, 2, HERE / "rows.py", engine, tmp_path, *ROWS).wait()
    assert all(statuses), told
    if engine == "gloo":
        # mpirun ends the first rank as soon as the second is gone.
        assert "[rows] OPT, seed 0: IsADirectoryError" in told
    failure = json.loads((tmp_path / "OPT-seed-0-epochs-1" / "measured.json").read_text())
    assert failure["failure"].startswith("IsADirectoryError")
