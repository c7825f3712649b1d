"""Rows that are done: shown for the settings that they were trained with, and for no others."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import colored_blocks
import numpy as np
import pytest
from vqswift import __main__ as command
from vqswift import data, metrics, train
from vqswift.experiments.straightening import _table3

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("tomli_w", reason="tomli-w is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.*index collapse")
NAME = "VQVAE-seed-0-epochs-1"


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "cifar10", colored_blocks.cifar10)


def settings_of(folder: Path, **changes: Any) -> _table3.Table3Settings:
    fields = {"rows": ("VQVAE",), "epochs": 1, "images": 64, "output": folder}
    return _table3.Table3Settings(**(fields | changes))


@pytest.fixture
def done(tmp_path: Path) -> _table3.Table3Settings:
    settings = settings_of(tmp_path)
    _table3.run(settings)
    return settings


def row_of(folder: Path) -> dict[str, Any]:
    (row,) = json.loads((folder / "results.json").read_text())["rows"]
    return dict(row)


def test_a_row_of_other_settings_is_refused(done: _table3.Table3Settings) -> None:
    lines = (done.output / NAME / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError) as caught:
        _table3.run(dataclasses.replace(done, images=96, rows=("OPT", "VQVAE")))
    assert str(caught.value) == (
        f"[table3] VQVAE, seed 0, {done.output / NAME}: config.toml has another configuration: "
        "'images = 96' is not in it, but 'images = 64'; take another --output"
    )
    assert (done.output / NAME / "metrics.jsonl").read_bytes() == lines
    assert not (done.output / "OPT-seed-0-epochs-1").exists()
    assert row_of(done.output)["row"] == "VQVAE"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"images": 96}, "done with --images 64, not 96"),
        ({"images": 50_000}, "done with --images 64"),
        ({"batch_size": 16}, "done without --batch-size 16"),
    ],
)
def test_where_its_directory_is_gone_its_command_tells(
    done: _table3.Table3Settings, changes: dict[str, int], rule: str
) -> None:
    shutil.rmtree(done.output / NAME)
    _table3.run(dataclasses.replace(done, threads=1, data=Path("elsewhere")))
    with pytest.raises(ValueError) as caught:
        _table3.run(dataclasses.replace(done, **changes))
    folder = done.output / NAME
    assert str(caught.value) == f"[table3] VQVAE, seed 0, {folder}: {rule}; take another --output"


def test_a_field_that_a_done_row_lacks_has_its_default(done: _table3.Table3Settings) -> None:
    path = done.output / NAME / "config.toml"
    path.write_text(path.read_text().replace("alpha = 5.0\n", ""))
    _table3.run(done)
    path.write_text("alpha = 4.0\n" + path.read_text())
    with pytest.raises(ValueError, match=r"'alpha = 5\.0' is not in it, but 'alpha = 4\.0'"):
        _table3.run(done)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"config\.toml cannot be read: "):
        _table3.run(done)


def test_a_row_that_was_begun_otherwise_is_refused_before_others_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "_validated", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            _table3.run(settings_of(tmp_path, rows=("OPT",)))
    with pytest.raises(ValueError, match=r"^\[table3\] OPT, seed 0, .*'images = 32' is not in it"):
        _table3.run(settings_of(tmp_path, rows=("VQVAE", "OPT"), images=32))
    assert not (tmp_path / NAME).exists()


def test_what_is_done_needs_no_set(
    done: _table3.Table3Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "cifar10", None)
    _table3.run(done)


def test_weights_are_read_where_all_is_done(done: _table3.Table3Settings) -> None:
    with pytest.raises(FileNotFoundError, match=r"^\[lpips\] "):
        _table3.run(dataclasses.replace(done, lpips=done.output / "none.pth"))


def test_a_number_that_a_done_row_lacks_is_measured_without_training(
    done: _table3.Table3Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lpips(x: np.ndarray, y: np.ndarray, *, weights: Path) -> float:
        return 0.25

    monkeypatch.setattr(metrics, "lpips", lpips)
    before = row_of(done.output)
    lines = (done.output / NAME / "metrics.jsonl").read_bytes()
    asked = dataclasses.replace(done, lpips=done.output / "alexnet.pth")
    _table3.run(asked)
    assert row_of(done.output) == before | {"lpips": 0.25}
    assert (done.output / NAME / "metrics.jsonl").read_bytes() == lines
    # Without its directory it is shown as it is, and one that lacks the number refused.
    shutil.rmtree(done.output / NAME)
    _table3.run(asked)
    (done.output / "results.json").write_text(json.dumps({"rows": [before]}))
    with pytest.raises(ValueError, match="done without lpips, and its checkpoints are gone; take"):
        _table3.run(asked)


ROW = {"row": "VQVAE", "seed": 0, "epochs": 1, "seconds": 1.0, "command": "vqswift run table3"}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"{", "it is no JSON: "),
        (b"\xff", "it is no JSON: "),
        (b"[]", "an object with a list 'rows' is required"),
        (b"{}", "an object with a list 'rows' is required"),
        (b'{"rows": {}}', "an object with a list 'rows' is required"),
        (b'{"rows": [1]}', "rows[0] has no 'row'"),
        (json.dumps({"rows": [ROW, ROW | {"seed": "0"}]}).encode(), "rows[1] has no 'seed'"),
        (
            json.dumps({"rows": [ROW | {"row": "joint"}]}).encode(),
            "'joint' is a row of another table; take another --output",
        ),
    ],
)
def test_results_of_something_else_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, rule: str
) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content)
    words = ["--rows", "VQVAE", "--epochs", "1", "--images", "64", "--output", str(tmp_path)]
    assert command.main(["run", "table3", *words]) == 1
    assert capsys.readouterr().err.startswith(f"vqswift: [results] {path}: {rule}")
    assert path.read_bytes() == content and not (tmp_path / NAME).exists()
