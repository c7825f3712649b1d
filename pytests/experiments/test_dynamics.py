"""Figures of the first steps, which share their runs."""

from __future__ import annotations

from pathlib import Path

import colored_blocks
import numpy as np
import pytest
from vqswift import data
from vqswift.experiments.straightening import _dynamics

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("tomli_w", reason="tomli-w is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.*index collapse")


class FirstTwo:
    """Stands for t-SNE, which takes long."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def fit_transform(self, points: np.ndarray) -> np.ndarray:
        return points[:, :2]


def test_figures_follow_each_other_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data, "cifar10", colored_blocks.cifar10)
    monkeypatch.setattr(pytest.importorskip("sklearn.manifold"), "TSNE", FirstTwo)
    settings = _dynamics.DynamicsSettings(steps=20, batch_size=4, output=tmp_path)
    assert list(_dynamics.figure1(settings)) == ["1", "10"]
    told = _dynamics.figure2(settings)
    assert {len(values) for each in told.values() for values in each.values()} == {2}
    capsys.readouterr()
    collapse = _dynamics.CollapseSettings(steps=20, batch_size=4, output=tmp_path)
    told = _dynamics.figure9(collapse)
    assert {len(values) for each in told.values() for values in each.values()} == {20}
    assert "images/s" not in capsys.readouterr().out

    # A run that has not what a figure wants is told.
    folder = tmp_path / "plain-20-steps"
    (folder / "snapshot-20.npz").unlink()
    _dynamics.figure1(settings)
    with pytest.raises(ValueError) as caught:
        _dynamics.figure2(settings)
    rule = "the run is past step 20, which was not measured or kept; take another --output"
    assert str(caught.value) == f"[fig2] {folder}: {rule}"
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if "validation" not in line or '"step": 3,' not in line]
    (folder / "metrics.jsonl").write_text("".join(kept))
    with pytest.raises(ValueError, match=r"^\[fig9\] .* past step 3, which was not measured"):
        _dynamics.figure9(collapse)
