"""`vqswift report`, whatever a run's lines hold."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from vqswift import __main__ as command

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def write(folder: Path, *lines: str, end: str = "\n") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "metrics.jsonl"
    path.write_text("\n".join(lines) + end)
    return path


@pytest.mark.parametrize("bad", ["5", '{"loss": 1.0}', "{", "null", '{"step": "2"}', ""])
def test_a_bad_line_is_told_with_its_file_and_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    path = write(tmp_path, '{"step": 1, "loss": 2.0}', bad, '{"step": 3, "loss": 1.0}')
    assert command.main(["report", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    text = rf"\[report\] {re.escape(str(path))}, line 2: .*a JSON object with an integer 'step'"
    assert re.search(text, error) and error.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_values_that_are_no_numbers_are_not_shown(tmp_path: Path) -> None:
    write(
        tmp_path,
        '{"step": 1, "loss": 2.0, "note": "x", "other": null}',
        '{"step": 2, "loss": [1, 2], "note": 3}',
        '{"step": 3, "loss": "low", "other": {"a": 1}}',
        '{"step": 4, "loss": 0.5}',
    )
    assert command.main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "<th>run</th><th>step</th><th>loss</th><th>note</th>" in page and "other" not in page
    assert f"<td>{tmp_path.name}</td><td>4</td><td>0.5</td><td>3</td>" in page


@pytest.mark.parametrize("line", ['{"step": 1}', '{"step": 1, "seconds": 2.0, "note": "x"}'])
def test_lines_without_numbers_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    write(tmp_path, line)
    assert command.main(["report", str(tmp_path)]) == 1
    text = "no line of metrics.jsonl has a number beside step, seconds, images_per_second, run"
    assert f"[report] {tmp_path}: {text}" in capsys.readouterr().err


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize("line", ['{"step": 1, "loss"', ""])
def test_a_file_without_a_finished_line_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, below: bool
) -> None:
    path = write(tmp_path / "below" if below else tmp_path, line, end="")
    assert command.main(["report", str(tmp_path)]) == 1
    assert f"[report] {path}: it has no line that is finished yet" in capsys.readouterr().err


def test_a_folder_without_metrics_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["report", str(tmp_path)]) == 1
    assert f"[report] {tmp_path}: no metrics.jsonl in it" in capsys.readouterr().err


def test_numbers_that_are_not_finite_are_shown(tmp_path: Path) -> None:
    write(tmp_path, '{"step": 1, "loss": NaN}', '{"step": 2, "loss": Infinity, "x": -Infinity}')
    assert command.main(["report", str(tmp_path)]) == 0
    assert "<td>inf</td><td>-inf</td>" in (tmp_path / "report.html").read_text()


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    top = tmp_path / "mine"
    write(top, '{"step": 1, "loss": 2.0}')
    write(top / "mine", '{"step": 7, "loss": 4.0}')
    write(top / "other", '{"step": 9, "loss": 3.0}')
    (top / "mine" / "config.toml").write_text("codes = 3\n")
    assert command.main(["report", str(top)]) == 0
    page = (top / "report.html").read_text()
    for name, step in (("mine", 1), ("mine/mine", 7), ("other", 9)):
        assert f"<td>{name}</td><td>{step}</td>" in page
    assert "<h2>Configuration of mine/mine</h2>" in page


def test_names_are_no_mathematics(tmp_path: Path) -> None:
    for folder in (r"$\frac{$", "$x$", "_a"):
        write(tmp_path / folder, r'{"step": 1, "$\\frac{$": 1.0, "a_b$^{$": 2.0, "$x$": 3.0}')
    assert command.main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert r"<th>$\frac{$</th>" in page and r"<td>$\frac{$</td>" in page


@pytest.mark.parametrize("lines", [1, 300])
def test_numbers_beyond_what_an_axis_shows(tmp_path: Path, lines: int) -> None:
    whole = "1" + 400 * "0"
    write(
        tmp_path,
        *(f'{{"step": {step}, "loss": 1e308, "x": {whole}}}' for step in range(lines)),
        f'{{"step": {whole}, "loss": -1e308, "x": -{whole}}}',
    )
    assert command.main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "<td>inf</td><td>-1e+308</td><td>-inf</td>" in page


def test_files_that_are_no_text_and_no_pictures(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    write(folder, '{"step": 1, "loss": 2.0, "\\ud800": 1.0}')
    (folder / "config.toml").write_bytes(b"codes = 3 # \xff\n")
    (folder / "broken.png").symlink_to("nothing")
    (folder / "folder.png").mkdir()
    assert command.main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert r"<td>\udcff</td>" in page and r"codes = 3 # \xff" in page and r"<th>\ud800" in page
    assert "broken" not in page and "folder.png" not in page
