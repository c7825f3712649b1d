"""Table 9 and its figures, on a few made-up images."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vqswift import __main__ as command
from vqswift import data, models, train
from vqswift.experiments.straightening.generation import (
    _figures,
    _judge,
    _painter,
    _sets,
    _table9,
    _tokenizer,
)
from vqswift.quantizers import VectorQuant

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("tomli_w", reason="tomli-w is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.*index collapse")

PLAIN, OURS = "MaskGIT", "MaskGIT+Affine+OPT"
TINY: dict[str, Any] = {
    "epochs": 1,
    "tokenizer_epochs": 1,
    "classifier_epochs": 1,
    "tokenizer_width": 8,
    "multipliers": (1, 1, 1),
    "batch_size": 16,
    "codes": 16,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "samples": 16,
    "curve_samples": 8,
    "validations": 2,
    "steps": 2,
}


def blocks(count: int, side: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(256, size=(count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two colors in place of CIFAR-10 and of the faces."""

    def cifar10(split: str, root: Path | None = None) -> data.ImageSet:
        count = 64 if split == "train" else 32
        labels = np.arange(count, dtype=np.int32) % 10
        return data.ImageSet("blocks", blocks(count, 32, split == "test"), labels)

    def npz_images(path: Path, *, split: str, every: int) -> data.ImageSet:
        assert (str(path), every) == ("faces/faces64.npz", 11)
        count = 32 if split == "train" else 12
        labels = np.zeros(count, np.int32)
        return data.ImageSet("blocks", blocks(count, 64, split == "test"), labels)

    monkeypatch.setattr(data, "cifar10", cifar10)
    monkeypatch.setattr(data, "npz_images", npz_images)


def settings_of(folder: Path, **changes: Any) -> _table9.Table9Settings:
    fields = TINY | {"rows": (PLAIN,), "output": folder} | changes
    return _table9.Table9Settings(**fields)


def words_of(folder: Path, *rows: str) -> list[str]:
    found = ["--rows", *rows, "--output", str(folder)]
    for name, value in TINY.items():
        values = value if isinstance(value, tuple) else (value,)
        found += ["--" + name.replace("_", "-"), *map(str, values)]
    return found


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())["rows"]
    return rows


def small_tokenizer() -> models.VQGAN:
    quantizer = VectorQuant(8, 16)
    return models.VQGAN(quantizer, width=8, multipliers=(1, 1, 1), blocks=1, features=8)


def test_table_9_and_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = words_of(tmp_path, PLAIN, OURS)
    assert command.main(["run", "table9", *words]) == 0
    folder = tmp_path / "cifar10"
    rows = rows_of(folder)
    assert [row["row"] for row in rows] == [PLAIN, OURS]
    for row in rows:
        assert row["reading"] == "32x32, factor 4, 8x8 map"
        assert row["compared"] == "16 test images" and row["samples"] == 16
        assert "ResNet-18" in row["features"] and row["classifier_frechet"] > 0
        assert not [key for key in row if "fid" in key]
        for key in ("precision", "recall", "recognized", "reconstruction_recognized"):
            assert 0 <= row[key] <= 1
        assert row["chance"] == 0.1 and 1 <= row["perplexity"] <= row["active_codes"] <= 16
        # 64 codes of 4 bits for 1024 pixels.
        assert row["bits_per_pixel"] == 0.25 >= row["entropy_bits_per_pixel"]
        assert row["seconds"] > row["transformer_seconds"] > 0
        assert row["seconds_of_64_samples"] > 0
        assert "--multipliers 1 1 1" in row["command"] and "--steps 2" in row["command"]
    assert "90.4" in (folder / "table.md").read_text()
    page = (folder / "index.html").read_text()
    assert "factor 4" in page and "chance is 10%" in page
    # Four kinds of pictures of each row, and the curves of both networks.
    assert page.count("data:image/png;base64,") == 4 * len(rows) + 2
    capsys.readouterr()

    # The page and the figures are made anew without the runs' directories.
    for row in rows:
        shutil.rmtree(folder / f"{row['row']}-seed-0-epochs-1")
    shutil.rmtree(folder / "classifier")
    for name in ("table9", "fig4", "fig11"):
        assert command.main(["run", name, *words]) == 0
    assert (folder / "index.html").read_text() == page
    assert "images/s" not in capsys.readouterr().out
    assert not list(folder.glob("*/metrics.jsonl"))
    told = json.loads((folder / "fig4.json").read_text())
    assert set(told) == {PLAIN, OURS}
    assert [len(points) for points in told[PLAIN].values()] == [2, 2]
    assert (folder / "fig4.png").is_file() and (folder / "fig11.png").is_file()
    assert command.main(["run", "table9", *words, "--samples", "8"]) == 1
    assert "done with samples = 16, not 8; take another --output" in capsys.readouterr().err


def test_the_networks_of_a_row_are_for_the_commands_of_files(tmp_path: Path) -> None:
    _table9.run(settings_of(tmp_path))
    networks = tmp_path / "cifar10" / f"{PLAIN}-seed-0-epochs-1" / "networks"
    words = [str(networks / "transformer"), str(networks / "tokenizer")]
    made = tmp_path / "made"
    assert command.main(["sample", *words, "--count", "2", "--output", str(made)]) == 0
    with Image.open(made / "0001.png") as picture:
        assert picture.size == (32, 32)


@pytest.mark.parametrize("stops", [1, 4], ids=["in the tokenizer", "in the transformer"])
def test_a_row_that_was_stopped_goes_on(
    stops: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "parts")
    calls = []
    validated = train.Run._validated

    def stopped(self: train.Run, step: int) -> None:
        if "classifier" not in str(self.directory):
            calls.append(step)
        if len(calls) == stops:
            raise OSError("full")
        validated(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "_validated", stopped)
        with pytest.raises(OSError, match="full"):
            _table9.run(settings)
    _table9.run(settings)
    whole = dataclasses.replace(settings, output=tmp_path / "whole")
    _table9.run(whole)
    name = f"cifar10/{PLAIN}-seed-0-epochs-1"
    for file in ("checkpoint-000000004.safetensors", "samples.png", "codes.npy"):
        both = [(tmp_path / part / name / file).read_bytes() for part in ("parts", "whole")]
        assert both[0] == both[1], file


def test_faces_have_no_classes(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, dataset="faces", multipliers=(1, 1, 1, 1))
    _table9.run(settings)
    folder = tmp_path / "faces"
    (row,) = rows_of(folder)
    assert row["reading"] == "64x64, factor 8, 8x8 map"
    assert row["compared"] == "16 training images"
    assert "recognized" not in row and "chance" not in row
    assert "turns of the images" in row["features"]
    assert row["bits_per_pixel"] == 0.0625
    kept = {path.name for path in (folder / "pictures").iterdir()}
    name = f"{PLAIN}-seed-0-epochs-1"
    assert kept == {f"{name}{end}.png" for end in ("", "-samples", "-inpainting")}
    # Each image and its mirror image.
    assert np.load(folder / name / "codes.npy").shape == (64, 8, 8)
    with Image.open(folder / "pictures" / f"{name}-inpainting.png") as picture:
        assert picture.size[0] % 10 == 0  # ten images
    _figures.figure11(_figures.GenerationFigureSettings(**(vars(settings) | {"seeds": (0,)})))
    assert (folder / "fig11.png").is_file()


def test_rows_side_by_side(tmp_path: Path) -> None:
    found = []
    for jobs in (1, 2):
        settings = settings_of(tmp_path / str(jobs), rows=(PLAIN, OURS), threads=1, jobs=jobs)
        _table9.run(settings)
        found.append(
            [
                {key: value for key, value in row.items() if "seconds" not in key}
                for row in rows_of(settings.folder)
            ]
        )
    assert found[0] == found[1] and len(found[0]) == 2


def test_what_is_not_painted_stays() -> None:
    tokenizer = small_tokenizer()
    transformer = models.MaskGIT(16, 64, classes=10, width=16, depth=1, heads=2, hidden=32)
    painter = _painter.Painter(tokenizer, transformer, _painter.SamplingConfiguration(steps=2), 8)
    images = data.unit_range(blocks(3, 32, 0))
    labels = np.array([0, 5, -1])
    first, second = (painter.painted(images, labels, seed) for seed in (0, 1))
    inside = np.zeros((32, 32), np.bool_)
    inside[8:24, 8:24] = True
    assert (first[:, ~inside] == images[:, ~inside]).all()
    assert (first[:, inside] != images[:, inside]).any()
    assert (first != second).any()
    assert (first == painter.painted(images, labels, 0)).all()
    made, classes = painter.samples(12, 0)
    assert made.shape == (12, 32, 32, 3) and 0 <= made.min() <= made.max() <= 1
    assert classes.tolist() == [*range(10), 0, 1]


def test_the_judge_learns_and_has_distances(tmp_path: Path) -> None:
    shades = np.repeat(np.arange(10, dtype=np.uint8) * 25, 12)[:, None, None, None]
    noise = np.random.default_rng(0).integers(10, size=(120, 16, 16, 3), dtype=np.uint8)
    labels = np.repeat(np.arange(10, dtype=np.int32), 12)
    images = _sets.Images(
        "cifar10", shades + noise, shades + noise, labels, labels, 10, "test", False
    )
    chosen = _judge.judge_configuration(images, 20, batch_size=24, width=8, learning_rate=0.05)
    judge = _judge.trained_judge(tmp_path, chosen, images)
    assert judge.accuracy == (judge.classes(images.test) == labels).mean() > 0.5
    features = judge.features(images.test)
    assert features.shape == (120, 64)
    alike = judge.distances(features, features)
    assert set(alike) == {"classifier_frechet", "classifier_kernel"}
    dark = judge.features(images.test // 2)
    size = float(features.var(0).sum())
    assert alike["classifier_frechet"] < 1e-3 * size
    assert judge.distances(features, dark)["classifier_frechet"] > 0.05 * size
    # The one that is loaded is the same.
    again = _judge.loaded_judge(tmp_path, chosen)
    assert again.accuracy == judge.accuracy and (again.features(images.test) == features).all()


def test_turned_images_know_their_turn() -> None:
    images = np.random.default_rng(0).integers(256, size=(5, 8, 8, 3), dtype=np.uint8)
    turned, labels = _judge._turned(images)
    assert len(turned) == len(labels) == 20
    for index, (picture, turn) in enumerate(zip(turned, labels, strict=True)):
        assert (np.rot90(picture, -turn) == images[index % 5]).all()


def test_codes_are_decoded_as_the_network_does() -> None:
    tokenizer = small_tokenizer()
    images = blocks(5, 32, 0)
    codes = _tokenizer.encoded(tokenizer, images)
    assert codes.shape == (5, 8, 8)
    expected = train.reconstruct(tokenizer, images).clip(0, 1)
    np.testing.assert_allclose(_tokenizer.decoded(tokenizer, codes), expected, atol=1e-6)


def test_the_papers_rows_are_those_that_are_trained() -> None:
    settings = _table9.Table9Settings()
    assert settings.rows == (PLAIN, "MaskGIT+l2", "MaskGIT+replace", OURS)
    numbers = [_table9.PAPER[row][0] for row in settings.rows]
    assert numbers == [90.4, 81.5, 79.7, 74.8]
    for dataset, reading in (
        ("cifar10", "32x32, factor 4, 8x8 map"),
        ("faces", "64x64, factor 8, 8x8 map"),
    ):
        chosen = _table9.configuration(
            PLAIN,
            0,
            dataclasses.replace(settings, dataset=dataset),  # type: ignore[arg-type]
        )
        assert chosen.tokenizer.reading == reading
        assert chosen.transformer.depth == 8


@pytest.mark.parametrize(
    "name, value, least",
    [("epochs", 0, 1), ("classifier_epochs", -1, 1), ("steps", 0, 1), ("samples", 3, 4)],
)
def test_settings_out_of_range(tmp_path: Path, name: str, value: int, least: int) -> None:
    text = rf"\[table9\] {name} = {value}: must be at least {least}"
    with pytest.raises(ValueError, match=text):
        _table9.run(settings_of(tmp_path, **{name: value}))


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (-0.5, "must be finite and not negative"),
        (float("nan"), "must be finite and not negative"),
        (1.0, "needs AlexNet's weights, lpips = FILE"),
    ],
)
def test_a_perceptual_loss_that_cannot_be(tmp_path: Path, value: float, rule: str) -> None:
    with pytest.raises(ValueError) as caught:
        _table9.run(settings_of(tmp_path, perceptual=value))
    assert str(caught.value) == f"[table9] perceptual = {value}: {rule}"
    assert not (tmp_path / "cifar10").exists()


@pytest.mark.parametrize(("name", "operation"), [("lpips", "lpips"), ("inception", "fid")])
@pytest.mark.parametrize("content", [None, b"no weights"])
def test_weights_are_read_before_anything_is_trained(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    operation: str,
    content: bytes | None,
) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    words = [*words_of(tmp_path, PLAIN), f"--{name}", str(path)]
    assert command.main(["run", "table9", *words]) == 1
    out, error = capsys.readouterr()
    assert error.startswith(f"vqswift: [{operation}] ") and "images/s" not in out
    assert not (tmp_path / "cifar10" / "classifier").exists()
