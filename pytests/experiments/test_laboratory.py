"""The experiment at a reduced size: twins agree where the theorem says so, and not elsewhere."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT
from vqswift import __main__ as command
from vqswift import data
from vqswift.experiments import laboratory
from vqswift.experiments.laboratory import _rates, _run, _trials

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

CONTROLS = ("no warp", "EWGS", "non-cyclical", "weight decay 1e-2")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> laboratory.Settings:
    """A quarter of the paper's rates: the error is first order in them, the yardstick is not."""
    return laboratory.Settings(
        rate=0.25,
        epochs=2,
        steps_per_epoch=30,
        batch_size=32,
        seeds=(0, 1),
        images=300,
        trials=("sgd", "adam", "ewgs", "non-cyclical", "weight decay"),
        output=tmp_path_factory.mktemp("estimators"),
    )


@pytest.fixture(scope="module")
def rows(small: laboratory.Settings) -> dict[str, laboratory.TrialRow]:
    return {row.row: row for row in laboratory.run(small)}


def test_the_default_is_as_close_as_the_yardstick(rows: dict[str, laboratory.TrialRow]) -> None:
    assert rows["default"].seeds == (0, 1)
    assert rows["default"].error <= 1.5 * rows["jitter"].error
    assert max(rows["default"].errors) <= min(rows["no warp"].errors) / 10


def test_adam_needs_no_change(rows: dict[str, laboratory.TrialRow]) -> None:
    assert rows["Adam"].seeds == (0, 1)
    assert rows["Adam"].error <= 1.5 * rows["Adam jitter"].error


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_stay_apart(rows: dict[str, laboratory.TrialRow], control: str) -> None:
    assert rows[control].error >= 5 * rows["default"].error


def test_twins_have_equal_accuracies(rows: dict[str, laboratory.TrialRow]) -> None:
    for name in ("default", "Adam"):
        assert abs(rows[name].accuracy - rows[name].twin_accuracy) <= 0.003
        assert rows[name].accuracy > 0.2  # twice chance
        assert rows[name].change_agreement > 0.999
        assert rows[name].compressed_change_agreement >= rows[name].change_agreement


def test_everything_promised_is_written(
    small: laboratory.Settings, rows: dict[str, laboratory.TrialRow]
) -> None:
    document = json.loads((small.output / "results.json").read_text())
    assert [row["row"] for row in document["rows"]] == list(rows)
    assert document["settings"]["seeds"] == [0, 1]
    assert "/" not in json.dumps(document["settings"])
    table = (small.output / "table.md").read_text()
    assert all(f"| {name} |" in table for name in rows)
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for name in ("alignment.png", "epochs.png", "curves.png"):
        with image.open(small.output / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10


def test_finished_trials_are_not_run_again(
    small: laboratory.Settings,
    rows: dict[str, laboratory.TrialRow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a finished trial was run again")

    monkeypatch.setattr(_run, "_train", refuse)
    assert {row.row: row for row in laboratory.run(small)} == rows
    with pytest.raises(AssertionError):
        laboratory.run(dataclasses.replace(small, batch_size=16))


def test_error_is_first_order_in_the_rate_and_momentum_multiplies_it() -> None:
    """Slope 1, and (1 + b) / (1 - b) at equal rate / (1 - b) and time."""
    training, _ = _run._sets(laboratory.Settings())
    study = _rates.run(laboratory.Settings(seeds=(0,)), training, rates=(0.02, 0.01))
    assert study["expected_factors"] == pytest.approx([1, 3, 9, 19])
    assert study["slopes"] == pytest.approx([1] * 4, abs=0.1)
    assert study["factors"] == pytest.approx([1, 3, 9, 19], rel=0.1)


def test_halves_of_the_theorem_are_what_they_say() -> None:
    settings = laboratory.Settings()
    (trial,) = _trials.select(("sgd",))
    made = {twin.row: _trials.build(settings, 0, trial.recipe, twin) for twin in trial.twins}
    layers = {row: vq.estimators.quantized_layers(model)[1] for row, (model, _, _) in made.items()}
    scales = {row: layer.quantizer.gradient_scale for row, layer in layers.items()}
    alpha = pytest.approx(0.6095, abs=1e-4)
    assert scales == {
        "default": alpha, "jitter": 1, "no warp": 1, "alpha only": alpha, "M only": 1
    }  # fmt: skip
    start = layers["jitter"].weight.numpy()
    warped = layers["jitter"].quantizer.estimator.warp(start)
    for row, expected in (("no warp", start), ("alpha only", start), ("M only", warped)):
        np.testing.assert_allclose(layers[row].weight.numpy(), expected, atol=1e-7)
    assert made["jitter"][1].lr == pytest.approx(1.01 * made["default"][1].lr)
    assert [row for row, (_, _, warped) in made.items() if warped] == ["default", "M only"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--trials", "sdg"], "[estimators] trial 'sdg': must be one of sgd, adam"),
        (["--epochs", "0"], "[estimators] epochs, steps_per_epoch and seeds must be at least 1"),
        (["--bits", "0"], "[uniform_grid] bits = 0: must be from 1 to 16"),
    ],
)
def test_bad_arguments_are_told(
    arguments: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["estimators", *arguments, "--output", str(tmp_path)]) == 1
    assert text in capsys.readouterr().err


def test_net_a_trains_with_one_bit(tmp_path: Path) -> None:
    settings = laboratory.Settings(
        net="a", bits=1, epochs=1, steps_per_epoch=3, batch_size=8, images=20, trials=("cosine",),
        output=tmp_path,
    )  # fmt: skip
    (row,) = laboratory.run(settings)
    assert row.row == "cosine"
    assert row.weight_agreement == 1


class TestResNet50:
    """One step or two of the command on small images."""

    def test_images_from_an_archive(self, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (30, 32, 32, 3), np.uint8)
        path = tmp_path / "pictures.npz"
        np.savez(path, images=images, labels=np.arange(30) % 3)
        output = tmp_path / "out"
        arguments = ["resnet50", "--images", str(path), "--steps", "2", "--batch-size", "2"]
        arguments += ["--evaluations", "1", "--output", str(output)]
        assert command.main(arguments) == 0
        document = json.loads((output / "results.json").read_text())
        assert document["quantized_weights"] == 23_445_504 + 3 * 64 * 9
        assert document["peak_memory_gib"] < 8
        for twin in document["twins"].values():
            (record,) = twin["records"]
            assert record["step"] == 2
            assert record["weight_agreement"] > 0.9
        assert str(tmp_path) not in (output / "results.json").read_text()

    def test_an_archive_without_labels_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        np.savez(tmp_path / "a.npz", images=np.zeros((3, 8, 8, 3), np.uint8))
        assert command.main(["resnet50", "--images", str(tmp_path / "a.npz")]) == 1
        assert "images and labels are required" in capsys.readouterr().err


class TestImageFolder:
    """Sub-folders of pictures."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
        for label, name in enumerate(("ant", "bee")):
            (tmp_path / name).mkdir()
            for index in range(3):
                pixels = np.full((20 + index, 30, 3), 100 * label + 10 * index, np.uint8)
                image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
        (tmp_path / "ant" / "notes.txt").write_text("no picture")
        return tmp_path

    def test_labels_are_positions_of_the_names(self, folder: Path) -> None:
        images = data.ImageFolder(folder, size=14)
        assert images.classes == ["ant", "bee"]
        assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
        found = images.images(np.arange(6))
        assert found.shape == (6, 14, 14, 3)
        np.testing.assert_allclose(found[4], 110 / 255, atol=1e-6)

    def test_batches_repeat_with_the_seed(self, folder: Path) -> None:
        images = data.ImageFolder(folder, size=14)
        first, second = images.batches(4, seed=3), images.batches(4, seed=3)
        for _ in range(3):
            (a, labels), (b, same) = next(first), next(second)
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(labels, same)
            values = [100 * label + 10 * np.arange(3) for label in labels]
            means = a.mean((1, 2, 3)) * 255
            assert all(np.abs(v - m).min() < 0.1 for v, m in zip(values, means, strict=True))

    def test_errors_name_the_file(self, folder: Path, tmp_path: Path) -> None:
        (folder / "bee" / "broken.png").write_bytes(b"no picture")
        with pytest.raises(ValueError, match=r"\[image_folder\] .*broken.png"):
            data.ImageFolder(folder, size=14).images(np.array([6]))
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(FileNotFoundError, match="no sub-folder has images"):
            data.ImageFolder(empty, size=14)
        with pytest.warns(UserWarning, match=r"the classes \['empty'\] have no images"):
            images = data.ImageFolder(folder, size=14)
        with pytest.raises(ValueError, match="batch_size 9: must be from 1 to 7"):
            images.batches(9)


def test_the_results_of_the_project_are_known_by_their_keys() -> None:
    settings = laboratory.full(laboratory.Settings())
    trials = {trial.name: trial for trial in laboratory.TRIALS}
    found = sorted((ROOT / "results/estimators/trials").glob("*.json"))
    assert len(found) >= len(trials)
    for path in found:
        document = json.loads(path.read_text(encoding="utf-8"))
        trial = trials[document["trial"]]
        assert _run._key(settings, trial, document["seed"]) == document["key"], path.name
