"""Trains every trial, resumes what was interrupted, and writes down what was found."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import data, optim
from ...estimators import TwinTrainer
from .._harness import begin, kept
from . import _plots, _rates, _report
from ._trials import RATES, Settings, Trial, build, select


def run(settings: Settings) -> list[_report.TrialRow]:
    """Run the trials, prints the table and writes everything below `settings.output`.

    A trial that is there already with the same settings is not run again. Raises
    `FileNotFoundError` when the chosen set is absent and `ValueError` for a setting out of
    range.
    """
    if min(settings.epochs, settings.steps_per_epoch, len(settings.seeds)) < 1:
        raise ValueError("[estimators] epochs, steps_per_epoch and seeds must be at least 1")
    if settings.net not in ("a", "b"):
        raise ValueError(f"[estimators] net {settings.net!r}: must be 'a' or 'b'")
    started = time.monotonic()
    begin(settings)
    training, test = _sets(settings)
    folder = settings.output / "trials"
    folder.mkdir(parents=True, exist_ok=True)
    print(
        f"{training.name}: net {settings.net.upper()}, {settings.bits} bits, "
        f"{settings.epochs} epochs of {settings.steps_per_epoch} steps of {settings.batch_size}"
    )
    documents = []
    for trial in select(settings.trials):
        for seed in settings.seeds:
            if not trial.twins_of(seed == settings.seeds[0]):
                continue
            path = folder / f"{trial.name.replace(' ', '-')}-seed{seed}.json"
            train = partial(_train, settings, trial, seed, training, test)
            document = kept(path, _key(settings, trial, seed), train, finished=settings.finished)
            if document is not None:
                documents.append(document)
                print(_report.trial_line(document), flush=True)
    study = None
    if not settings.trials or RATES in settings.trials:
        path = settings.output / "rates.json"
        train = partial(_rates.run, settings, training)
        study = kept(path, _rates.key(settings), train, finished=settings.finished)
        if study is not None:
            print(_report.rates_line(study), flush=True)
    rows = _report.rows(documents)
    if rows:
        _report.print_rows(rows)
    written = ["results.json", *_report.save(settings, rows, study)]
    written += _plots.save(settings.output, settings, documents, study)
    print(f"{time.monotonic() - started:.0f} s. In {settings.output}: {', '.join(written)}")
    return rows


def _train(
    settings: Settings, trial: Trial, seed: int, training: data.ImageSet, test: data.ImageSet
) -> dict[str, Any]:
    start = time.perf_counter()
    epochs = settings.epochs * trial.recipe.duration
    steps = epochs * settings.steps_per_epoch
    warmup = max(1, steps // 50)
    schedule = optim.cosine_schedule(max(1, steps - warmup), warmup_steps=warmup)
    model, optimizer, _ = build(settings, seed, trial.recipe, None)
    trainer = TwinTrainer(model, optimizer, schedule=schedule)
    twins = trial.twins_of(seed == settings.seeds[0])
    for twin in twins:
        model, optimizer, warped = build(settings, seed, trial.recipe, twin)
        trainer.add(twin.row, model, optimizer, warped=warped)
    batches = data.Batches(
        training.images, training.labels, batch_size=settings.batch_size, seed=seed
    ).forever()
    images = data.unit_range(test.images[: settings.images])
    labels = test.labels[: settings.images]
    for _ in _shown(range(epochs), f"{trial.name}, seed {seed}"):
        trainer.fit(batches, settings.steps_per_epoch)
        trainer.evaluate(images, labels)
    found = {}
    for twin in twins:
        report = dataclasses.asdict(trainer.report(twin.row))
        report["note"] = twin.note
        if twin.row == "default":
            report["scatter"] = _scatter(trainer, twin.row)
        found[twin.row] = report
    return {
        "trial": trial.name,
        "seed": seed,
        "key": _key(settings, trial, seed),
        "seconds": round(time.perf_counter() - start, 1),
        "twins": found,
    }


def _shown(epochs: range, label: str) -> Iterable[int]:
    """With a bar on a terminal."""
    if sys.stdout.isatty():
        try:
            from rich.progress import track
        except ImportError:
            pass
        else:
            return track(epochs, label, transient=True)
    return epochs


def _scatter(trainer: TwinTrainer, row: str, count: int = 600) -> dict[str, list[float]]:
    """Weights of the last quantized layer, in units of its bound: some of w, M(w) and u."""
    last = trainer.weights(row)[-1]
    size = len(last.w)
    chosen = np.random.default_rng(0).choice(size, min(count, size), replace=False)
    return {
        name: np.round(values[chosen] / last.bound, 5).tolist()
        for name, values in (("w", last.w), ("warped", last.warped), ("u", last.u))
    }


def _key(settings: Settings, trial: Trial, seed: int) -> str:
    """What a result depends on."""
    kept = dataclasses.asdict(settings)
    for name in ("seeds", "trials", "finished", "threads", "output", "root"):
        del kept[name]
    twins = [repr(twin) for twin in trial.twins_of(seed == settings.seeds[0])]
    # "Recipe" is what kept results call it.
    training = "Recipe" + repr(trial.recipe).removeprefix("Training")
    return json.dumps([kept, seed, training, twins])


def _sets(settings: Settings) -> tuple[data.ImageSet, data.ImageSet]:
    name = settings.data
    if name == "auto":
        name = "mnist" if data.has("mnist", settings.root) else "digits"
        if name == "digits":
            print("MNIST is not there (VQSWIFT_DATA): scikit-learn's 8x8 digits, enlarged")
    if name == "digits":
        return _digits()
    read = {"mnist": data.mnist, "fashion-mnist": data.fashion_mnist}.get(name)
    if read is None:
        raise ValueError(
            f"[estimators] data {name!r}: must be auto, mnist, fashion-mnist or digits"
        )
    return read("train", settings.root), read("test", settings.root)


def _digits() -> tuple[data.ImageSet, data.ImageSet]:
    """The 1797 digits of scikit-learn, 28x28: 1437 to train on, 360 to test."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    digits: Any = load_digits()
    images = (digits.images * (255 / 16)).round().astype(np.uint8)
    images = np.pad(images.repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2)))[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    return _part("digits train", images, digits.target, order[:1437]), _part(
        "digits test", images, digits.target, order[1437:]
    )


def _part(
    name: str, images: NDArray[np.uint8], labels: NDArray[Any], rows: NDArray[Any]
) -> data.ImageSet:
    return data.ImageSet(name, images[rows], labels[rows].astype(np.int32))
