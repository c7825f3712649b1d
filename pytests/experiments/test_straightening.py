"""The tables and figures of the first paper, on a few made-up images."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import colored_blocks
import numpy as np
import pytest
from vqswift import __main__ as command
from vqswift import data, train
from vqswift.experiments.straightening import (
    _classification,
    _dynamics,
    _rates,
    _rows,
    _sensitivity,
    _table3,
    _toys,
)

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("tomli_w", reason="tomli-w is not installed")
# A codebook does collapse where nothing holds it.
pytestmark = pytest.mark.filterwarnings("ignore:.*index collapse")


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "cifar10", colored_blocks.cifar10)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    document = json.loads((folder / "results.json").read_text())
    rows: list[dict[str, Any]] = document["rows"]
    return rows


def test_table_3_has_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "table3", "--epochs", "1", "--images", "64", "--output", str(tmp_path)]
    assert command.main(arguments) == 0
    rows = rows_of(tmp_path)
    assert [row["row"] for row in rows] == list(_table3.PAPER)
    for row in rows:
        assert row["mse"] > 0 and row["perplexity"] >= 1 and row["seconds"] > 0
        assert "vqswift run table3 --rows" in row["command"] and "--images 64" in row["command"]
    assert "5.65" in (tmp_path / "table.md").read_text()
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 1 + len(rows)
    capsys.readouterr()
    # The page is made anew without the runs' directories.
    for row in rows:
        shutil.rmtree(tmp_path / f"{row['row']}-seed-0-epochs-1")
    assert command.main(arguments) == 0
    assert (tmp_path / "index.html").read_text() == page
    # What is done is not trained again.
    assert "images/s" not in capsys.readouterr().out
    assert not list(tmp_path.glob("*/metrics.jsonl"))


@pytest.mark.parametrize("content", [None, b"", b"no weights", b"\x80\x02N."])
def test_table_3_reads_its_weights_before_it_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = tmp_path / "alexnet.pth"
    if content is not None:
        path.write_bytes(content)
    words = ["--lpips", str(path), "--output", str(tmp_path), "--epochs", "1", "--images", "64"]
    assert command.main(["run", "table3", "--rows", "VQVAE", *words]) == 1
    out, error = capsys.readouterr()
    assert error.startswith("vqswift: [lpips] ") and "images/s" not in out
    assert not list(tmp_path.glob("*/metrics.jsonl"))


def test_a_row_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _table3.Table3Settings(rows=("OPT",), epochs=2, images=64, output=tmp_path / "parts")
    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "_validated", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            _table3.run(settings)
    _table3.run(settings)
    whole = dataclasses.replace(settings, output=tmp_path / "whole")
    _table3.run(whole)
    name = "OPT-seed-0-epochs-2/checkpoint-000000004.safetensors"
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_rows_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = _table3.Table3Settings(rows=("VQVAE", "OPT"), epochs=1, images=64, threads=1)
    found = {}
    for jobs in (1, 2):
        output = tmp_path / str(jobs)
        _table3.run(dataclasses.replace(common, jobs=jobs, output=output))
        found[jobs] = [row | {"seconds": 0} for row in rows_of(output)]
    assert found[1] == found[2] and len(found[1]) == 2
    assert "OPT, seed 0: done in 0 min" in capsys.readouterr().out
    assert "--jobs" not in found[2][0]["command"]
    with pytest.raises(ValueError, match=r"\[table3\] jobs = 0: must be at least 1"):
        _table3.run(dataclasses.replace(common, jobs=0, output=tmp_path / "0"))


def test_a_row_that_fails_side_by_side_is_told(tmp_path: Path) -> None:
    rows = ("VQVAE", "OPT")
    settings = _table3.Table3Settings(
        rows=rows, epochs=1, images=64, threads=1, jobs=2, output=tmp_path
    )
    for row in rows:
        (tmp_path / f"{row}-seed-0-epochs-1").write_text("no folder")
    with pytest.raises(FileExistsError):
        _table3.run(settings)


def test_rows_that_are_interrupted_side_by_side_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Any) -> None:
        lines = [tmp_path / f"{row}-seed-0-epochs-9999/metrics.jsonl" for row in ("VQVAE", "OPT")]
        deadline = time.monotonic() + 60
        while not all(map(Path.is_file, lines)) and time.monotonic() < deadline:
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(_rows, "wait", interrupted)
    settings = _table3.Table3Settings(
        rows=("VQVAE", "OPT"), epochs=9999, images=64, threads=1, jobs=2, output=tmp_path
    )
    with pytest.raises(KeyboardInterrupt):
        _table3.run(settings)
    assert not multiprocessing.active_children()
    assert len({path.parent for path in tmp_path.glob("*/checkpoint-*.safetensors")}) == 2


def dies(*_: object) -> Any:
    os._exit(3)


def test_a_row_whose_process_dies_is_told(tmp_path: Path) -> None:
    settings = _table3.Table3Settings(jobs=2, threads=1, output=tmp_path)
    rows = [_table3.configuration(row, 0, settings) for row in ("VQVAE", "OPT")]
    text = r"\[rows\] (VQVAE|OPT), seed 0: its process ended with status 3"
    with pytest.raises(ChildProcessError, match=text):
        list(_rows._trained(rows, tmp_path, _rows.Trainable(dies, dies), settings))


@pytest.mark.parametrize("network", _classification.NETWORKS)
def test_table_2(tmp_path: Path, network: str) -> None:
    arguments = ["--network", network, "--rows", "VQ", "all", "--epochs", "1", "--images", "64"]
    arguments += ["--batch-size", "16", "--output", str(tmp_path)]
    assert command.main(["run", "table2", *arguments]) == 0
    rows = rows_of(tmp_path / network)
    assert [row["row"] for row in rows] == ["VQ", "all"]
    assert all(0 <= row["accuracy"] <= 1 and row["perplexity"] >= 1 for row in rows)


def test_tables_1_and_10(tmp_path: Path) -> None:
    common = {"epochs": 1, "images": 64, "batch_size": 16}
    rows1 = ("stochastic, Kaiming", "k-means again, k-means", "LRU, Kaiming")
    settings1 = _classification.Table1Settings(rows=rows1, output=tmp_path / "1", **common)
    _classification.table1(settings1)
    assert {row["row"] for row in rows_of(tmp_path / "1")} == set(rows1)
    settings10 = _classification.Table10Settings(
        rows=("joint", "4 x 1", "2 x 2"), output=tmp_path / "10", **common
    )
    _classification.table10(settings10)
    assert [row["row"] for row in rows_of(tmp_path / "10")] == ["joint", "4 x 1", "2 x 2"]
    # Two outer steps take half a batch each.
    lines = (tmp_path / "10" / "2-x-2-seed-0-epochs-1" / "metrics.jsonl").read_text()
    assert '"step": 8' in lines and '"step": 9' not in lines


def test_figure_3_has_the_digits_of_the_rules(tmp_path: Path) -> None:
    paths = _toys.figure3(_toys.Figure3Settings(output=tmp_path))
    for name, expected in _toys.AFTER_FIVE.items():
        np.testing.assert_allclose(paths[name][5], expected, atol=2e-6)
    # The spirals' modulus per step, from the update rules' eigenvalues.
    for name, modulus in (("joint", 0.91**0.5), ("alternated", 0.9**0.5)):
        z, code = _toys.path(name, 60)
        lengths = np.hypot(*np.concatenate([z, code], 1).reshape(-1, 2, 2).transpose(1, 2, 0)[0])
        assert (lengths[-1] / lengths[0]) ** (1 / 60) == pytest.approx(modulus, abs=0.02)
    assert (tmp_path / "fig3.png").stat().st_size < 500_000


def test_figure_10_leaves_codes_untouched_without_the_map(tmp_path: Path) -> None:
    told = _toys.figure10(_toys.Figure10Settings(output=tmp_path))
    assert told["plain: share untouched"] > 0.5
    assert told["affine: share untouched"] == 0
    assert told["affine: mean squared distance"] < told["plain: mean squared distance"]


class FirstTwo:
    """Stands for t-SNE, which takes long."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def fit_transform(self, points: np.ndarray) -> np.ndarray:
        return points[:, :2]


def test_figures_of_the_first_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest.importorskip("sklearn.manifold"), "TSNE", FirstTwo)
    settings = _dynamics.DynamicsSettings(steps=2, batch_size=16, output=tmp_path)
    told = _dynamics.figure9(
        _dynamics.CollapseSettings(steps=2, batch_size=16, output=tmp_path / "9")
    )
    assert len(told["D(C, Q)"]["plain"]) == 2 and all(v >= 0 for v in told["D(C, Q)"]["affine"])
    assert list(_dynamics.figure1(settings)) == ["1"]
    assert set(_dynamics.figure2(settings)) == {"plain", "affine"}
    gaps = _dynamics.figure6(dataclasses.replace(settings, output=tmp_path / "6"))
    assert all(value > 0 for value in gaps["joint"]["total"])
    assert all("conv" in layer for layer in gaps["joint"]["layers"])


def test_figures_of_sensitivity(tmp_path: Path) -> None:
    settings = _sensitivity.SensitivitySettings(epochs=1, images=128, output=tmp_path)
    starts = _sensitivity.figure8(settings)
    assert set(starts) == {*_sensitivity._STARTS, "correlation"}


def test_rates_count_the_bits_of_an_image(tmp_path: Path) -> None:
    settings = _rates.RatesSettings(epochs=1, images=64, threads=1, output=tmp_path)
    _rates.run(settings)
    rows = {row["row"]: row for row in rows_of(tmp_path)}
    bits = {name: row.get("bits") for name, row in rows.items()}
    assert bits == {
        "64": 384, "256": 512, "1024": 640, "4096": 768, "2 x 1024": 1280, "4 x 1024": 2560,
        "no quantizer": None,
    }  # fmt: skip
    assert all(row["mse"] > 0 for row in rows.values())
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_of_a_users_run(tmp_path: Path) -> None:
    settings = _table3.Table3Settings(rows=("VQVAE",), epochs=1, images=64, output=tmp_path)
    _table3.run(settings)
    assert command.main(["report", str(tmp_path / "VQVAE-seed-0-epochs-1")]) == 0
    page = (tmp_path / "VQVAE-seed-0-epochs-1" / "report.html").read_text()
    assert "validation.mse" in page and "batch_size = 32" in page
    assert command.main(["report", str(tmp_path / "nothing")]) == 1
