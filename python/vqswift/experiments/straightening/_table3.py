"""Table 3: reconstruction of CIFAR-10 images with every method of the paper."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ... import data, distributed, metrics, train
from .._drawing import save_pictures
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
from ._autoencoder import AutoencoderConfiguration, QuantizerConfiguration, run_of
from ._cifar import cifar10
from ._results import Column, Results
from ._rows import Trainable, train_rows
from ._table_page import write_page
from ._weights import Weights

_VECTOR = {"beta": 0.9, "init": "kmeans"}
_L2 = {"norm": "l2", "cb_norm": "l2"}
_REPLACE = {"replace_freq": 20}
_AFFINE = {"affine_lr": 10.0}
_SYNCHRONIZED = {"sync_nu": 2.0}
_INPLACE_RATE = 50.0
_SHOWN = 8  # pictures of a row
_PANELS = (
    ("validation.mse", "MSE, 2000 test images", True),
    ("validation.perplexity", "perplexity, 2000 test images", False),
    ("quantizer_loss", "quantizer's loss", True),
)


def _vector(*parts: dict[str, Any], alternating: bool = False) -> QuantizerConfiguration:
    options: dict[str, Any] = {}
    for part in (_VECTOR, *parts):
        options |= part
    rate = _INPLACE_RATE if alternating else None
    return QuantizerConfiguration("vector", options, inplace_rate=rate)


# OPT is synchronized and alternating updates.
_opt = partial(_vector, _SYNCHRONIZED, alternating=True)
QUANTIZERS: dict[str, QuantizerConfiguration] = {
    "VQVAE": _vector(),
    "VQVAE+l2": _vector(_L2),
    "VQVAE+replace": _vector(_REPLACE),
    "VQVAE+l2+replace": _vector(_L2, _REPLACE),
    # With a lower temperature at the end few codes stay in use, and at the paper's learning rate s
    # does not come down from log 20.
    "SQVAE": QuantizerConfiguration(
        "sqvae", {"kind": "IV", "initial_variance": 0.1}, anneal_to=0.5
    ),
    # With alpha the divergence weighs 5e-4; fiftyfold it keeps the choice of codes near chance.
    "Gumbel-VQ": QuantizerConfiguration("gumbel", {"kl_weight": 1e-4}, anneal_to=1 / 16),
    "Affine": _vector(_AFFINE),
    "OPT": _opt(),
    "Affine+OPT": _opt(_AFFINE),
    "Affine+OPT+replace": _opt(_AFFINE, _REPLACE),
    "Affine+OPT+replace+l2": _opt(_AFFINE, _REPLACE, _L2),
}

# MSE x 1e-3, perplexity, LPIPS x 0.1 on the test set.
PAPER = {
    "VQVAE": (5.65, 14.0, 5.43),
    "VQVAE+l2": (3.21, 57.0, 3.64),
    "VQVAE+replace": (4.07, 109.8, 4.30),
    "VQVAE+l2+replace": (3.24, 115.6, 3.56),
    "SQVAE": (3.36, 769.3, 3.99),
    "Gumbel-VQ": (6.16, 20.3, 5.73),
    "Affine": (5.15, 69.5, 5.18),
    "OPT": (4.73, 15.5, 4.82),
    "Affine+OPT": (4.00, 79.3, 4.36),
    "Affine+OPT+replace": (1.81, 290.9, 2.56),
    "Affine+OPT+replace+l2": (1.74, 608.6, 2.27),
}
COLUMNS = (
    Column("mse", "MSE x 1e-3", 1e3, 2),
    Column("perplexity", "perplexity"),
    Column("lpips", "LPIPS x 0.1", 10, 2),
    Column("active_codes", "codes in use", 1, 0, paper=False),
)


@dataclass(frozen=True)
class Table3Settings:
    """Which rows, for how long, and where they are."""

    data: Path | None = root_setting()
    rows: tuple[str, ...] = rows_setting(tuple(PAPER), "of the table; all by default", tuple(PAPER))
    seeds: tuple[int, ...] = seeds_setting()
    epochs: int = setting(30, "of each row; the paper has 90", least=1)
    images: int = setting(50_000, "to train on, the first of the set", least=1)
    batch_size: int = setting(32, "images of a step; the paper does not tell its own", least=1)
    lpips: Path | None = setting(
        None, "AlexNet's weights, which scripts/lpips-weights writes; no LPIPS by default"
    )
    threads: int | None = threads_setting()
    jobs: int = jobs_setting()
    output: Path = output_setting("runs/table3-cifar10")


def configuration(
    row: str, seed: int, settings: Table3Settings, **changes: Any
) -> AutoencoderConfiguration:
    """The row's configuration."""
    made = AutoencoderConfiguration(
        row=row,
        seed=seed,
        epochs=settings.epochs,
        images=settings.images,
        batch_size=settings.batch_size,
        quantizer=QUANTIZERS[row],
        start="sqvae" if row == "SQVAE" else "torch",
    )
    return dataclasses.replace(made, **changes)


def run(settings: Table3Settings) -> Results:
    """Train the rows that are not done, write each as it is, and print the table.

    Raises FileNotFoundError where the set or the file of weights is absent, ValueError for a
    setting out of range, a row that is done with other settings and a file that has other weights;
    all before a training.
    """
    check("table3", settings)
    begin(settings)
    results = Results(settings.output, "Table 3, CIFAR-10", COLUMNS, PAPER)
    chosen = [
        configuration(row, seed, settings) for seed in settings.seeds for row in settings.rows
    ]
    Weights(settings.lpips).check()

    def trainable() -> Trainable:
        training, test = (part.images for part in cifar10(settings.data))
        run = partial(run_of, training=training, test=test)
        return Trainable(run, partial(_measured, test=test, weights=settings.lpips))

    wanted = () if settings.lpips is None else ("lpips",)
    train_rows("table3", settings, results, chosen, trainable, wanted=wanted)
    if distributed.rank() == 0:
        write_page(results, _PANELS)
    return results


def _measured(run: train.Run, test: NDArray[Any], weights: Path | None) -> dict[str, Any]:
    """A row's numbers on the test set, after its pictures are drawn."""
    model = run.trainer.model
    found = train.evaluate(model, test)
    shown = test[:_SHOWN]
    save_pictures(
        run.directory / "pictures.png", [data.unit_range(shown), train.reconstruct(model, shown)]
    )
    told = {
        "mse": found.mse,
        "perplexity": found.perplexity,
        "active_codes": found.active_codes,
    }
    if weights is None:
        return told
    pictures = train.reconstruct(model, test)
    return told | {"lpips": metrics.lpips(data.unit_range(test), pictures, weights=weights)}
