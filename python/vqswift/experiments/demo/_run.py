"""Trains, compares, draws and writes down."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import data, models, optim, train
from ..._random import manual_seed
from ..._threads import get_threads
from ...quantizers import VectorQuant
from .._harness import begin, output_setting, root_setting, setting, threads_setting
from . import _report
from ._picture import PictureRow, save_curves, save_reconstructions


@dataclass(frozen=True)
class Settings:
    """What the demonstration trains on, for how long, and where it writes.

    The budget, the network, the optimizer (AdamW), the k-means++ start and the seed are the same
    for every method.
    """

    data: str = setting(
        "auto",
        "auto: CIFAR-10 when its files are found, else crops of two photographs",
        choices=("auto", "photos", "cifar10"),
    )
    root: Path | None = root_setting()
    steps: int = setting(500, "training steps of each")
    batch_size: int = setting(128, "images of a step")
    codes: int = setting(1024, "codebook size")
    width: int = setting(64, "channels of the network")
    learning_rate: float = setting(3e-3, "of AdamW")
    alpha: float = 5.0
    beta: float = 0.9
    seed: int = setting(0, "of data, weights and batches")
    threads: int | None = threads_setting()
    test_images: int = 10_000
    output: Path = output_setting("runs/demo")


@dataclass(frozen=True)
class Method:
    """A quantizer to compare: its name in the table, its folder, and its options."""

    name: str
    folder: str
    options: dict[str, Any] = field(default_factory=dict)


def _inner_optimizer(parameters: Any) -> Any:
    return optim.SGD(parameters, lr=50.0, momentum=0.9)


METHODS = (
    Method("plain", "plain"),
    Method(
        "affine + sync + alternating + replacement",
        "full",
        {
            "affine_lr": 1.0,
            "sync_nu": 2.0,
            "inplace_optimizer": _inner_optimizer,
            "replace_freq": 20,
        },
    ),
)


@dataclass(frozen=True)
class Result:
    """One method's outcome on the test images.

    Attributes:
        seconds: of training alone.
        checkpoint: the safetensors file.
    """

    method: str
    evaluation: train.Evaluation
    seconds: float
    checkpoint: Path


def run(settings: Settings) -> list[Result]:
    """Trains every method, writes everything below `settings.output` and prints the table.

    Raises `FileNotFoundError` when the chosen set is absent, `ImportError` when an extra is
    missing, `ValueError` for a setting out of range.
    """
    if settings.steps < 1:
        raise ValueError(f"[demo] steps {settings.steps}: must be at least 1")
    started = time.monotonic()
    begin(settings)
    training, test = _sets(settings)
    output = settings.output
    output.mkdir(parents=True, exist_ok=True)
    metrics = output / "metrics.jsonl"
    metrics.unlink(missing_ok=True)
    print(
        f"{training.name}: {len(training)} images to train on, {len(test)} to test; "
        f"{settings.steps} steps of {settings.batch_size} for each of {len(METHODS)} methods, "
        f"{get_threads()} threads"
    )
    shown = most_varied(test.images, _report.SHOWN)
    results, rows, histories = [], [PictureRow("original", "", data.unit_range(shown))], {}
    for method in METHODS:
        result, history, pictures = _train(settings, method, training, test, shown, metrics)
        results.append(result)
        histories[method.name] = history
        rows.append(PictureRow(method.name, _report.caption(result), pictures))
    title = f"{test.name}: {settings.steps} steps, {settings.codes} codes, seed {settings.seed}"
    save_reconstructions(output / "reconstructions.png", rows, title=title, credit=test.credit)
    written = ["reconstructions.png"]
    if save_curves(output / "curves.png", histories):
        written.append("curves.png")
    _report.save_results(output / "results.json", dataclasses.asdict(settings), results)
    _report.print_results(results)
    written += ["results.json", "metrics.jsonl"]
    written += [str(result.checkpoint.relative_to(output)) for result in results]
    print(f"{time.monotonic() - started:.0f} s in all. In {output.resolve()}:")
    print("  " + "\n  ".join(written))
    if test.credit:
        print(test.credit)
    return results


def _sets(settings: Settings) -> tuple[data.ImageSet, data.ImageSet]:
    name = settings.data
    if name == "auto":
        name = "cifar10" if data.has("cifar10", settings.root) else "photos"
    if name == "cifar10":
        training = data.cifar10("train", settings.root)
        test = data.cifar10("test", settings.root)
    elif name == "photos":
        training = data.photos("train", seed=settings.seed)
        test = data.photos("test", seed=settings.seed)
    else:
        raise ValueError(f"[demo] data {name!r}: must be 'auto', 'photos' or 'cifar10'")
    kept = slice(0, settings.test_images)
    return training, dataclasses.replace(test, images=test.images[kept], labels=test.labels[kept])


def most_varied(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """`count` images at even steps through the quarter of highest contrast."""
    contrast = images.std(axis=(1, 2), dtype=np.float32).mean(axis=-1)
    order = np.argsort(contrast, kind="stable")
    ranks = np.linspace(3 * len(images) // 4, len(images) - 1, count).astype(int)
    return images[np.random.default_rng(0).permutation(order[ranks])]


def _build(settings: Settings, method: Method) -> Any:
    """A model whose weights depend on the seed alone, not on the method."""
    manual_seed(settings.seed)
    quantizer = VectorQuant(
        settings.width,
        settings.codes,
        beta=settings.beta,
        kmeans_init=True,
        **method.options,
    )
    return models.SQVAE(image_size=32, channels=3, width=settings.width, quantizer=quantizer)


def _train(
    settings: Settings,
    method: Method,
    training: data.ImageSet,
    test: data.ImageSet,
    shown: NDArray[np.uint8],
    metrics: Path,
) -> tuple[Result, list[train.StepMetrics], NDArray[np.float32]]:
    checkpoint = settings.output / method.folder / "model.safetensors"
    checkpoint.parent.mkdir(exist_ok=True)
    model = _build(settings, method)
    trainer = train.Trainer(
        model,
        optim.AdamW(
            model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=1e-4
        ),
        data.Batches(training.images, batch_size=settings.batch_size, seed=settings.seed),
        alpha=settings.alpha,
        schedule=_schedule(settings.steps),
        metrics=metrics,
        tag=method.folder,
        checkpoint=checkpoint,
    )
    start = time.perf_counter()
    history = trainer.fit(settings.steps, label=method.folder)
    seconds = time.perf_counter() - start
    evaluation = train.evaluate(model, test.images)
    pictures = train.reconstruct(model, shown)
    train.save_trainer(trainer, checkpoint)
    _verify(settings, method, checkpoint, shown, pictures)
    return Result(method.name, evaluation, seconds, checkpoint), history, pictures


def _schedule(steps: int) -> optim.Schedule:
    """A linear warm-up over a twentieth of the steps, then half a cosine down to 0."""
    warmup = max(1, steps // 20)
    return optim.cosine_schedule(max(1, steps - warmup), warmup_steps=warmup)


def _verify(
    settings: Settings,
    method: Method,
    checkpoint: Path,
    shown: NDArray[np.uint8],
    expected: NDArray[np.float32],
) -> None:
    """Raise `OSError` unless the checkpoint, loaded back, reconstructs the same bits."""
    model = _build(dataclasses.replace(settings, seed=settings.seed + 1), method)
    train.load_model(model, checkpoint)
    if not np.array_equal(train.reconstruct(model, shown), expected):
        raise OSError(f"[demo] {checkpoint}: loaded back, it reconstructs other images")
