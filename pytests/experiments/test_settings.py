"""Settings of `vqswift run` that cannot be are refused before a set is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from vqswift import __main__ as command
from vqswift import data

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("table10 --images -49936", "images = -49936: must be at least 1"),
        ("table10 --seeds 1 -1", "seeds = -1: must be at least 0"),
        ("table10 --seeds 0 1 0", "seeds = 0, 1, 0: must differ from each other"),
        ("table10 --rows joint joint", "rows = joint, joint: must differ from each other"),
        ("table10 --jobs 0", "jobs = 0: must be at least 1"),
        ("table10 --threads 0", "threads = 0: must be at least 1"),
        (
            "table10 --batch-size 3",
            "batch_size = 3: must be at least 4 for the outer steps of '4 x 4'",
        ),
        ("table1 --batch-size 0", "batch_size = 0: must be at least 1"),
        ("table2 --epochs 0", "epochs = 0: must be at least 1"),
        ("table3 --images 0", "images = 0: must be at least 1"),
        ("table9 --multipliers 1 0 4", "multipliers = 0: must be at least 1"),
        ("table9 --heads 5", "width = 96: must be a multiple of heads = 5"),
        ("rates --batch-size -2", "batch_size = -2: must be at least 1"),
        ("fig1 --steps 0", "steps = 0: must be at least 1"),
        ("fig2 --steps -1", "steps = -1: must be at least 1"),
        ("fig3 --steps 4", "steps = 4: must be at least 5"),
        ("fig5 --epochs 0", "epochs = 0: must be at least 1"),
        ("fig6 --steps 0", "steps = 0: must be at least 1"),
        ("fig7 --images 0", "images = 0: must be at least 1"),
        ("fig8 --seed -1", "seed = -1: must be at least 0"),
        ("fig9 --batch-size 0", "batch_size = 0: must be at least 1"),
        ("fig10 --seed -1", "seed = -1: must be at least 0"),
    ],
)
def test_a_setting_out_of_range(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    rule: str,
) -> None:
    monkeypatch.setattr(data, "cifar10", None)
    name, *rest = words.split()
    rest += ["--output", str(tmp_path / "out")]
    assert command.main(["run", name, *rest]) == 1
    assert capsys.readouterr().err == f"vqswift: [{name}] {rule}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["table3", "table9", "fig1", "fig8"])
def test_a_set_that_is_absent_names_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = ["--data", str(tmp_path / "nope"), "--output", str(tmp_path / "out")]
    assert command.main(["run", name, *words]) == 1
    error = capsys.readouterr().err
    assert "set VQSWIFT_DATA or pass --data." in error and "root=" not in error
