"""Tables 1, 2 and 10: classification of CIFAR-10 with a quantizer inside the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ... import data, distributed, train
from .._harness import (
    begin,
    check,
    jobs_setting,
    output_setting,
    root_setting,
    rows_setting,
    seeds_setting,
    setting,
    threads_setting,
)
from ._autoencoder import QuantizerConfiguration
from ._cifar import cifar10
from ._classifier import ClassifierConfiguration, Network, evaluated, run_of
from ._results import Column, Results
from ._rows import Trainable, train_rows
from ._table_page import write_page

NETWORKS: tuple[Network, ...] = ("resnet18", "alexnet", "vit")
_INPLACE_RATE = 50.0
_PANELS = (
    ("validation.accuracy", "test accuracy", False),
    ("validation.perplexity", "test perplexity", False),
    ("loss", "training loss", True),
)
# The paper's settings (its Tables 4 to 6); widths are reduced so that a row takes minutes.
_NETWORKS: dict[Network, dict[str, Any]] = {
    "alexnet": {"width": 24, "learning_rate": 0.01, "weight_decay": 1e-4},
    "resnet18": {"width": 16, "learning_rate": 0.1, "weight_decay": 1e-4},
    "vit": {"width": 96, "depth": 6, "learning_rate": 2e-4, "weight_decay": 0.03},
}
_BETA = {"alexnet": 0.95, "resnet18": 0.98, "vit": 0.995}
_AFFINE = {"alexnet": 10.0, "resnet18": 1.0, "vit": 10.0}
_SYNCHRONIZED = {"alexnet": 2.0, "resnet18": 0.2, "vit": 0.01}
# Beside the affine map 2 lets AlexNet's codes leave float32 within two epochs.
_SYNCHRONIZED_OF_ALL = _SYNCHRONIZED | {"alexnet": 0.2}
# Accuracy in percent, perplexity.
PAPER2: dict[str, dict[str, tuple[float, float]]] = {
    "alexnet": {
        "VQ": (47.2, 11.2),
        "affine": (55.7, 648.0),
        "sync": (49.2, 10.7),
        "alt": (52.8, 65.7),
        "replace": (54.4, 658.0),
        "all": (57.9, 754.0),
    },
    "resnet18": {
        "VQ": (64.1, 32.4),
        "affine": (70.4, 300.0),
        "sync": (66.0, 60.1),
        "alt": (67.5, 54.2),
        "replace": (68.1, 335.0),
        "all": (71.0, 307.0),
    },
    "vit": {
        "VQ": (48.6, 113.0),
        "affine": (52.8, 299.0),
        "sync": (51.3, 88.8),
        "alt": (53.1, 95.6),
        "replace": (54.4, 599.0),
        "all": (56.7, 592.0),
    },
}
# Active codes in percent, accuracy, and the best accuracy for k-means again every epoch.
PAPER1 = {
    "none, k-means": (81.4, 67.0),
    "stochastic, k-means": (87.8, 67.3),
    "k-means again, k-means": (99.2, 63.7),
    "LRU, k-means": (99.8, 69.3),
    "none, Kaiming": (6.8, 59.3),
    "stochastic, Kaiming": (16.3, 60.8),
    "k-means again, Kaiming": (99.0, 62.7),
    "LRU, Kaiming": (99.9, 68.6),
}
# Inner x outer steps: accuracy.
PAPER10 = {
    "joint": (46.94,),
    "1 x 1": (52.54,),
    "2 x 1": (55.13,),
    "4 x 1": (57.45,),
    "8 x 1": (58.03,),
    "2 x 2": (55.09,),
    "4 x 4": (55.29,),
}
_ACCURACY = Column("accuracy", "accuracy, %", 100, 1)
COLUMNS2 = (
    _ACCURACY,
    Column("perplexity", "perplexity"),
    Column("active_codes", "codes in use", 1, 0, paper=False),
)
COLUMNS1 = (
    Column("active_share", "codes in use, %", 100, 1),
    _ACCURACY,
    Column("best_accuracy", "best accuracy, %", 100, 1, paper=False),
    Column("perplexity", "perplexity", paper=False),
)
COLUMNS10 = (
    _ACCURACY,
    Column("perplexity", "perplexity", paper=False),
    Column("active_codes", "codes in use", 1, 0, paper=False),
)


@dataclass(frozen=True)
class _Settings:
    """What the settings of the three tables share."""

    data: Path | None = root_setting()
    seeds: tuple[int, ...] = seeds_setting()
    epochs: int = setting(15, "of each row; the paper has 90", least=1)
    images: int = setting(50_000, "to train on, the first of the set", least=1)
    batch_size: int = setting(128, "images of a step", least=1)
    threads: int | None = threads_setting()
    jobs: int = jobs_setting()


@dataclass(frozen=True)
class Table2Settings(_Settings):
    """Which network and rows, for how long, and where they are."""

    network: Network = setting("resnet18", "to train", choices=NETWORKS)
    rows: tuple[str, ...] = rows_setting(
        tuple(PAPER2["resnet18"]), "of the table; all by default", tuple(PAPER2["resnet18"])
    )
    output: Path = output_setting("runs/table2")


@dataclass(frozen=True)
class Table1Settings(_Settings):
    """Which rows, for how long, and where they are."""

    rows: tuple[str, ...] = rows_setting(
        tuple(PAPER1), "of the table; all by default", tuple(PAPER1)
    )
    output: Path = output_setting("runs/table1")


@dataclass(frozen=True)
class Table10Settings(_Settings):
    """Which rows, for how long, and where they are."""

    rows: tuple[str, ...] = rows_setting(
        tuple(PAPER10), "of the table; all by default", tuple(PAPER10)
    )
    output: Path = output_setting("runs/table10")


def _quantizers2(network: Network) -> dict[str, QuantizerConfiguration]:
    """Table 2's quantizers of a network, by row."""
    vector = partial(_vector, network)
    affine = {"affine_lr": _AFFINE[network]}
    synchronized = {"sync_nu": _SYNCHRONIZED[network]}
    together = {"sync_nu": _SYNCHRONIZED_OF_ALL[network]}
    replaced = {"replace_freq": 20}
    return {
        "VQ": vector(),
        "affine": vector(affine),
        "sync": vector(synchronized),
        "alt": vector(rate=_INPLACE_RATE),
        "replace": vector(replaced),
        "all": vector(affine, together, replaced, rate=_INPLACE_RATE),
    }


def classifier(network: Network, row: str, seed: int, **fields: Any) -> ClassifierConfiguration:
    """The configuration of a row of Table 2, with some fields given; "none" has no quantizer."""
    none = QuantizerConfiguration("none")
    quantizer = none if row == "none" else _quantizers2(network)[row]
    return _configuration(network, row, seed, quantizer, **fields)


def table2(settings: Table2Settings) -> Results:
    """Train the rows of Table 2 of one network that are not done, and print the table."""
    check("table2", settings)
    begin(settings)
    network = settings.network
    folder = settings.output / network
    results = Results(folder, f"Table 2, {network}, CIFAR-10", COLUMNS2, PAPER2[network])
    quantizers = _quantizers2(network)
    rows = {row: _row(settings, network, row, quantizers[row]) for row in settings.rows}
    return _trained("table2", settings, results, rows)


def table1(settings: Table1Settings) -> Results:
    """Train the rows of Table 1 that are not done, and print the table."""
    check("table1", settings)
    begin(settings)
    every_epoch = settings.images // settings.batch_size
    methods: dict[str, dict[str, Any]] = {
        "none": {},
        "stochastic": {"temperature": 1.0, "temperature_decay": 0.999},
        "k-means again": {"kmeans_freq": max(every_epoch, 1)},
        "LRU": {"replace_freq": 20},
    }
    rows = {}
    for row in settings.rows:
        method, start = row.split(", ")
        options = methods[method] | {"init": start.replace("-", "").lower()}
        rows[row] = _row(settings, "resnet18", row, _vector("resnet18", options))
    results = Results(settings.output, "Table 1, ResNet-18, CIFAR-10", COLUMNS1, PAPER1)
    return _trained("table1", settings, results, rows)


def table10(settings: Table10Settings) -> Results:
    """Train the rows of Table 10 that are not done, and print the table."""
    check("table10", settings)
    begin(settings)
    rows = {}
    for row in settings.rows:
        if row == "joint":
            quantizer, outer = _vector("alexnet"), 1
        else:
            inner, outer = (int(word) for word in row.split(" x "))
            if settings.batch_size < outer:
                raise ValueError(
                    f"[table10] batch_size = {settings.batch_size}: must be at least {outer} for "
                    f"the outer steps of {row!r}"
                )
            options = {"inner_steps": inner, "outer_steps": outer}
            quantizer = _vector("alexnet", options, rate=_INPLACE_RATE)
        rows[row] = _row(settings, "alexnet", row, quantizer, sub_batches=outer)
    results = Results(settings.output, "Table 10, AlexNet, CIFAR-10", COLUMNS10, PAPER10)
    return _trained("table10", settings, results, rows)


def _vector(
    network: Network, *parts: dict[str, Any], rate: float | None = None
) -> QuantizerConfiguration:
    options: dict[str, Any] = {"beta": _BETA[network], "init": "kmeans"}
    for part in parts:
        options |= part
    return QuantizerConfiguration("vector", options, inplace_rate=rate)


def _configuration(
    network: Network, row: str, seed: int, quantizer: QuantizerConfiguration, **fields: Any
) -> ClassifierConfiguration:
    chosen: dict[str, Any] = {"epochs": 1} | _NETWORKS[network] | fields
    return ClassifierConfiguration(
        row=row, seed=seed, network=network, quantizer=quantizer, **chosen
    )


_Maker = Callable[[int], ClassifierConfiguration]


def _row(
    settings: _Settings,
    network: Network,
    row: str,
    quantizer: QuantizerConfiguration,
    **fields: Any,
) -> _Maker:
    """The row's configuration of a seed."""
    shared = {key: getattr(settings, key) for key in ("epochs", "images", "batch_size")}
    return lambda seed: _configuration(network, row, seed, quantizer, **shared, **fields)


def _trained(
    name: str, settings: _Settings, results: Results, rows: Mapping[str, _Maker]
) -> Results:
    def trainable() -> Trainable:
        training, test = cifar10(settings.data)
        run = partial(run_of, training=training, test=test)
        return Trainable(run, partial(_measured, test=test))

    chosen = [make(seed) for seed in settings.seeds for make in rows.values()]
    train_rows(name, settings, results, chosen, trainable)
    if distributed.rank() == 0:
        write_page(results, _PANELS)
    return results


def _measured(run: train.Run, test: data.ImageSet) -> dict[str, Any]:
    """A row's numbers on the test set."""
    told: dict[str, Any] = evaluated(run.trainer.model, test)
    told["active_share"] = told["active_codes"] / 1024
    found = [line["validation.accuracy"] for line in run.history() if "validation.accuracy" in line]
    return told | {"best_accuracy": max(found)}
