"""Figures: what is drawn are the numbers given; files are PNGs; wrong input is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import run_python
from vqswift.plots._codebook import components
from vqswift.plots._reconstructions import grid

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

RNG = np.random.default_rng(0)
COUNTS = np.array([3, 0, 5, 2])
CODES = RNG.normal(size=(6, 3)).astype(np.float32)
IMAGES = RNG.uniform(size=(5, 4, 6, 3)).astype(np.float32)


def steps(values: list[float]) -> list[vq.train.StepMetrics]:
    return [
        vq.train.StepMetrics(i, 1.0, 1.0, 0.0, value, 3, 0.1, 0.1, 10.0)
        for i, value in enumerate(values, 1)
    ]


def drawn(figure: Any) -> list[np.ndarray]:
    return [line.get_xydata() for line in figure.axes[0].get_lines()]


def offsets(figure: Any) -> dict[str, np.ndarray]:
    return {c.get_label(): np.asarray(c.get_offsets()) for c in figure.axes[0].collections}


def test_usage_has_a_bar_for_each_code() -> None:
    for ordered, expected in ((True, [0.5, 0.3, 0.2, 0]), (False, [0.3, 0, 0.5, 0.2])):
        axes = vq.plots.usage(COUNTS, ordered=ordered).axes[0]
        np.testing.assert_allclose([bar.get_height() for bar in axes.patches], expected)
    shares = np.array([0.3, 0.5, 0.2])
    perplexity = np.exp2(-(shares * np.log2(shares)).sum())
    assert axes.get_title() == f"perplexity {perplexity:.1f}, 3 of 4 codes"


def test_usage_of_a_counter_is_that_of_its_counts() -> None:
    counter = vq.metrics.CodeUsage(4)
    counter.update(np.repeat(np.arange(4, dtype=np.int32), COUNTS))
    heights = [
        [bar.get_height() for bar in vq.plots.usage(each).axes[0].patches]
        for each in (counter, COUNTS, vq.Tensor(COUNTS))
    ]
    assert heights[0] == heights[1] == heights[2]


@pytest.mark.parametrize("kind", ["numbers", "steps", "file", "folder"])
def test_perplexity_is_drawn_step_by_step(kind: str, tmp_path: Path) -> None:
    values = [3.0, 5.0, 4.5]
    history: Any = values if kind == "numbers" else steps(values)
    if kind in ("file", "folder"):
        lines = [{"step": i, "perplexity": value} for i, value in enumerate(values, 1)]
        lines.insert(2, {"step": 2, "validation_mse": 1.0})
        text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "perp'
        (tmp_path / "metrics.jsonl").write_text(text)
        history = tmp_path if kind == "folder" else str(tmp_path / "metrics.jsonl")
    figure = vq.plots.perplexity(history, num_codes=8)
    line, limit = drawn(figure)
    np.testing.assert_array_equal(line, np.column_stack([[1, 2, 3], values]))
    assert set(limit[:, 1]) == {8}


def test_a_run_that_was_trained_is_drawn(tmp_path: Path) -> None:
    model = vq.models.SQVAE(vq.VectorQuant(4, 5), image_size=28, channels=1, width=4)
    batches = vq.data.Batches(np.ones((4, 28, 28, 1), np.float32), batch_size=2)
    trainer = vq.train.Trainer(model, vq.optim.SGD(model.parameters()), batches)
    run = vq.train.Run(tmp_path, trainer)
    run.fit(3, progress=False)
    (line,) = drawn(vq.plots.perplexity(tmp_path))
    expected = [[line["step"], line["perplexity"]] for line in run.history()]
    np.testing.assert_array_equal(line, expected)


def test_several_histories_have_a_line_each(tmp_path: Path) -> None:
    rows = [{"run": name, "step": 1, "perplexity": 2.0} for name in ("a", "b")]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    axes = vq.plots.perplexity({"mine": [1.0, 2.0], "both": path}).axes[0]
    assert [line.get_label() for line in axes.get_lines()] == ["mine", "both a", "both b"]


def test_a_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "perplexity": 2.0}\n5\n')
    with pytest.raises(ValueError, match=r"^\[perplexity\] .*metrics\.jsonl, line 2: .*'5'"):
        vq.plots.perplexity(tmp_path)


def test_many_steps_are_means_of_windows() -> None:
    values = np.arange(1000.0)
    (line,) = drawn(vq.plots.perplexity(values.tolist()))
    np.testing.assert_allclose(line[:, 1], values.reshape(200, 5).mean(1))
    np.testing.assert_allclose(line[:, 0], (values + 1).reshape(200, 5).mean(1))


def test_used_and_unused_codes_stand_apart() -> None:
    book = np.array([[0, 0], [4, 0], [0, 4], [9, 9]], np.float32)
    vectors = np.array([[[0.2, 0.1], [3.8, 0.3]], [[0.1, -0.2], [0.3, 3.9]]], np.float32)
    figure = vq.plots.codebook(book, vectors)
    found = offsets(figure)
    np.testing.assert_array_equal(found["used codes"], book[:3])
    np.testing.assert_array_equal(found["unused codes"], book[3:])
    np.testing.assert_allclose(found["vectors"], vectors.reshape(4, 2))
    assert figure.axes[0].get_title() == "3 of 4 codes used"
    (alone,) = offsets(vq.plots.codebook(book)).values()
    np.testing.assert_array_equal(alone, book)


def test_components_are_eigenvectors_of_the_covariance() -> None:
    points = RNG.normal(size=(200, 5)) * [5, 1, 3, 0.5, 0.1] @ RNG.normal(size=(5, 5))
    axes, center, shares = components(points)
    covariance = np.cov(points.T)
    values, vectors = np.linalg.eigh(covariance)
    np.testing.assert_allclose(center, points.mean(0))
    np.testing.assert_allclose(shares, values[:-3:-1] / values.sum())
    np.testing.assert_allclose(np.abs(axes.T @ vectors[:, :-3:-1]), np.eye(2), atol=1e-9)
    projected = offsets(vq.plots.codebook(CODES))["codes"]
    mine, middle, _ = components(CODES.astype(np.float64))
    np.testing.assert_allclose(projected, (CODES - middle) @ mine)


@pytest.mark.parametrize("points", [np.ones((1, 3)), np.ones((4, 1)), np.ones((3, 5))])
def test_few_and_equal_codes_are_drawn(points: np.ndarray) -> None:
    (found,) = offsets(vq.plots.codebook(points)).values()
    assert found.shape == (len(points), 2) and np.isfinite(found).all()


def test_a_quantizers_own_codes_are_drawn() -> None:
    layer = vq.VectorQuant(2, 4, cb_norm="l2")
    z = RNG.normal(size=(30, 2)).astype(np.float32)
    _, info = layer(z)
    found = offsets(vq.plots.codebook(layer, info.z))
    codes = np.concatenate([found["used codes"], found.get("unused codes", np.zeros((0, 2)))])
    expected = layer.effective_codebook.numpy()
    np.testing.assert_allclose(np.sort(codes, 0), np.sort(expected, 0))
    assert len(found["used codes"]) == info.active_codes


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructions_stand_beneath_their_images(channels: int) -> None:
    images, others = IMAGES[..., :channels], 1 - IMAGES[..., :channels]
    figure = vq.plots.reconstructions(images, others, columns=3)
    picture = np.asarray(figure.axes[0].images[0].get_array())
    assert picture.shape == (2 * 13, 3 * 8, 3)
    for index in range(5):
        top, left = index // 3 * 13 + 1, index % 3 * 8 + 1
        for rows, given in ((top, images), (top + 5, others)):
            shown = picture[rows : rows + 4, left : left + 6]
            np.testing.assert_array_equal(shown, np.broadcast_to(given[index], (4, 6, 3)))
    assert (grid(images, others, 99) == grid(images, others, 5)).all()


def test_bytes_are_pictures() -> None:
    images = np.full((1, 2, 2), 51, np.uint8)
    picture = vq.plots.reconstructions(images, images).axes[0].images[0].get_array()
    np.testing.assert_allclose(np.asarray(picture)[1:3, 1:3], 0.2)


CALLS: dict[str, Callable[..., Any]] = {
    "usage": lambda **options: vq.plots.usage(COUNTS, **options),
    "perplexity": lambda **options: vq.plots.perplexity([1.0, 2.0], **options),
    "codebook": lambda **options: vq.plots.codebook(CODES, CODES[:4], **options),
    "reconstructions": lambda **options: vq.plots.reconstructions(IMAGES, IMAGES, **options),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_figure_is_given_and_written(name: str, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    path = tmp_path / "figure.png"
    assert isinstance(CALLS[name](path=path), Figure)
    image = pytest.importorskip("PIL.Image").open(path)
    pixels = np.asarray(image.convert("L"))
    assert image.format == "PNG" and min(image.size) > 100 and pixels.std() > 5
    mine = Figure()
    first, second = mine.subplots(1, 2)
    assert CALLS[name](ax=second) is mine
    assert second.has_data() and not first.has_data()


REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "counts": (lambda: vq.plots.usage([[1]]), ValueError, r"\[1, 1\].*CodeUsage"),
    "no use": (lambda: vq.plots.usage([0, 0]), ValueError, "one in all"),
    "nothing": (lambda: vq.plots.perplexity([]), ValueError, "nothing is to be drawn"),
    "words": (lambda: vq.plots.perplexity(["a"]), TypeError, "history has 'a'"),  # type: ignore[list-item]
    "no file": (lambda: vq.plots.perplexity("none"), FileNotFoundError, "none"),
    "codes": (lambda: vq.plots.codebook([1.0, 2.0]), ValueError, r"\[2\].*\[n, d\]"),
    "sizes": (lambda: vq.plots.codebook(CODES, CODES[:, :2]), ValueError, "last axes"),
    "several": (
        lambda: vq.plots.codebook(vq.GroupVectorQuant(4, 5, groups=2, shared=False)),
        ValueError,
        "one group or stage",
    ),
    "nan": (lambda: vq.plots.codebook(np.full((2, 2), np.nan)), ValueError, "NaN"),
    "shapes": (lambda: vq.plots.reconstructions(IMAGES, IMAGES[:2]), ValueError, "equal"),
    "channels first": (
        lambda: vq.plots.reconstructions(IMAGES.transpose(0, 3, 1, 2), IMAGES),
        ValueError,
        r"x.transpose\(0, 2, 3, 1\)",
    ),
    "columns": (lambda: vq.plots.reconstructions(IMAGES, IMAGES, columns=0), ValueError, "= 0"),
    "axes": (lambda: vq.plots.usage(COUNTS, ax=3), TypeError, r"ax = 3.*Axes"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        call()


def test_without_matplotlib_the_extra_is_named() -> None:
    told = run_python(
        "import sys; sys.modules['matplotlib.figure'] = None\n"
        "import vqswift as vq\n"
        "try: vq.plots.usage([1])\nexcept ImportError as error: print(error)"
    )
    assert 'pip install "vqswift[train]"' in told


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="there is nothing to draw"):
        vq.plots.perplexity({})
    with pytest.raises(ValueError, match="num_codes = 0: must be at least 1"):
        vq.plots.perplexity([1.0, 2.0], num_codes=0)
    with pytest.raises(ValueError, match="finite uses"):
        vq.plots.usage([np.inf, 3.0])
    with pytest.raises(TypeError, match=r"images holds integers \(int64\)"):
        vq.plots.reconstructions(np.zeros((1, 4, 4, 3), int), np.zeros((1, 4, 4, 3), int))
    with pytest.raises(ValueError, match="images holds NaN or infinity"):
        vq.plots.reconstructions(np.full((1, 4, 4, 3), np.nan), np.zeros((1, 4, 4, 3)))


def test_uses_in_halves_are_summed_in_float64() -> None:
    figure = vq.plots.usage(np.array([60000, 60000], np.float16))
    assert "perplexity 2.0" in figure.axes[0].get_title()
