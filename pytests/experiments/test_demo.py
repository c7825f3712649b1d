"""The demonstration, small: files, picture, table and command line."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import vqswift as vq
from vqswift import __main__ as command
from vqswift import data, train
from vqswift._table import plain
from vqswift.experiments import demo
from vqswift.experiments.demo import _picture, _report, _run

pytest.importorskip("PIL", reason="Pillow is not installed")


def small(tmp_path, **changes) -> demo.Settings:
    return dataclasses.replace(
        demo.Settings(
            data="photos",
            steps=3,
            batch_size=16,
            codes=32,
            width=8,
            test_images=40,
            output=tmp_path / "demo",
        ),
        **changes,
    )


@pytest.fixture
def outcome(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    settings = small(tmp_path)
    return settings, demo.run(settings)


def test_everything_promised_is_written(outcome, capsys):
    from PIL import Image

    settings, results = outcome
    assert [result.method for result in results] == [method.name for method in demo.METHODS]
    with Image.open(settings.output / "reconstructions.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[1] == 2 * 20 + _report.SHOWN * 96 + (_report.SHOWN - 1) * 6
    assert pixels.shape[0] > 3 * 96
    lines = [
        json.loads(line) for line in (settings.output / "metrics.jsonl").read_text().splitlines()
    ]
    assert [(line["run"], line["step"]) for line in lines] == [
        (method.folder, step) for method in demo.METHODS for step in (1, 2, 3)
    ]
    document = json.loads((settings.output / "results.json").read_text())
    assert document["settings"]["steps"] == 3
    for entry, result in zip(document["results"], results, strict=True):
        assert entry["mse"] == result.evaluation.mse
        assert result.checkpoint.is_file()


def test_checkpoint_restores_the_evaluation(outcome):
    settings, results = outcome
    test = data.photos("test", seed=settings.seed).images[:40]
    for method, result in zip(demo.METHODS, results, strict=True):
        model = _run._build(settings, method)
        train.load_model(model, result.checkpoint)
        assert train.evaluate(model, test) == result.evaluation


def test_methods_start_from_the_same_weights(tmp_path):
    states = [_run._build(small(tmp_path), method).state_dict() for method in demo.METHODS]
    common = states[0].keys() & states[1].keys()
    assert {"quantizer.codebook", "encoder.0.weight", "decoder.0.body.1.weight"} <= common
    for name in common:
        assert np.array_equal(states[0][name], states[1][name]), name


def test_a_checkpoint_that_changed_is_noticed(outcome):
    settings, results = outcome
    test = data.photos("test", seed=settings.seed).images[:4]
    other = np.zeros(test.shape, np.float32)
    with pytest.raises(OSError, match="loaded back, it reconstructs other images"):
        _run._verify(settings, demo.METHODS[0], results[0].checkpoint, test, other)


def test_pictures_are_the_most_varied_and_fixed():
    random = np.random.default_rng(1)
    flat = np.full((30, 32, 32, 3), 90, np.uint8)
    noisy = random.integers(256, size=(10, 32, 32, 3), dtype=np.uint8)
    chosen = _run.most_varied(np.concatenate([flat, noisy]), 5)
    assert chosen.std(axis=(1, 2, 3)).min() > 50
    assert np.array_equal(chosen, _run.most_varied(np.concatenate([flat, noisy]), 5))


def test_a_strip_scales_every_pixel_to_a_square():
    images = np.zeros((2, 1, 2, 3), np.float32)
    images[0, 0, 1] = (1, 0.5, -1)
    strip = _picture._strip(images)
    assert strip.shape == (3, 2 * 6 + 6, 3)
    assert (strip[:, 3:6] == (255, 128, 0)).all()  # 127.5 rounds to even
    assert (strip[:, 6:12] == 255).all()


def test_table_without_rich_lines_up():
    rows = [("plain", "0.02000", "17.0", "12.0", "20", "60.0")]
    lines = plain(_report._HEADER, rows).splitlines()
    assert len(lines) == 3 and len(set(map(len, lines))) == 1
    assert lines[2].split() == list(rows[0])


def test_command_line_reports_errors_without_a_traceback(tmp_path, capsys):
    status = command.main(["demo", "--data", "cifar10", "--root", str(tmp_path)])
    assert status == 1
    error = capsys.readouterr().err
    assert error.startswith("vqswift: [cifar10] data_batch_1.bin (plain, .gz or .xz)")
    assert command.main(["demo", "--steps", "0"]) == 1
    assert "[demo] steps 0: must be at least 1" in capsys.readouterr().err


def test_threads_are_set_on_request(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    before = vq.get_threads()
    try:
        demo.run(small(tmp_path, steps=1, threads=1))
        assert vq.get_threads() == 1
    finally:
        vq.set_threads(before)
