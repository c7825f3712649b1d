"""Rate against distortion: Table 3's best row with fewer and more bits, and without quantizer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ... import distributed, train
from .._drawing import axes_of, saved
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
from ._table3 import PAPER, QUANTIZERS

_BEST = "Affine+OPT+replace+l2"
_POSITIONS = 64  # of an image's map, 8x8
_TICKS = (384, 640, 1280, 2560), (2, 3, 4, 5, 6, 7)  # of bits and errors
# Codes of a book, and codes a position: channels are cut into so many groups.
_ROWS: dict[str, tuple[int, int]] = {
    "64": (64, 1),
    "256": (256, 1),
    "1024": (1024, 1),
    "4096": (4096, 1),
    "2 x 1024": (1024, 2),
    "4 x 1024": (1024, 4),
    "no quantizer": (0, 0),
}
_COLUMNS = (
    Column("bits", "bits an image", digits=0, paper=False),
    Column("mse", "MSE x 1e-3", 1e3, 2, paper=False),
    Column("perplexity", "perplexity", paper=False),
    Column("active_codes", "codes in use", 1, 0, paper=False),
)


@dataclass(frozen=True)
class RatesSettings:
    """Which rows, for how long, and where they are."""

    data: Path | None = root_setting()
    rows: tuple[str, ...] = rows_setting(
        tuple(_ROWS), "codes, or codes a position x codes; all by default", tuple(_ROWS)
    )
    seeds: tuple[int, ...] = seeds_setting()
    epochs: int = setting(6, "of each row", least=1)
    images: int = setting(50_000, "to train on, the first of the set", least=1)
    batch_size: int = setting(32, "images of a step", least=1)
    threads: int | None = threads_setting()
    jobs: int = jobs_setting()
    output: Path = output_setting("runs/rates")


def run(settings: RatesSettings) -> Results:
    """Train the rows that are not done, print the table, and draw error over bits an image.

    Raises FileNotFoundError where the set is absent, ValueError for a setting out of range.
    """
    check("rates", settings)
    begin(settings)
    title = f"Rate and distortion, {_BEST}, CIFAR-10"
    results = Results(settings.output, title, _COLUMNS, dict.fromkeys(_ROWS, ()))

    def trainable() -> Trainable:
        training, test = (part.images for part in cifar10(settings.data))
        run = partial(run_of, training=training, test=test)
        return Trainable(run, partial(_measured, test=test))

    chosen = [_configuration(row, s, settings) for s in settings.seeds for row in settings.rows]
    train_rows("rates", settings, results, chosen, trainable)
    if distributed.rank() == 0:
        _draw(results.rows, settings.output / "rates.png")
    return results


def _configuration(row: str, seed: int, settings: RatesSettings) -> AutoencoderConfiguration:
    codes, groups = _ROWS[row]
    best = QUANTIZERS[_BEST]
    assert best.inplace_rate is not None
    quantizer = QuantizerConfiguration("none")
    if groups == 1:
        quantizer = best
    elif groups > 1:
        # The rate is in proportion to a code's elements.
        quantizer = dataclasses.replace(
            best,
            kind="group",
            options=best.options | {"groups": groups},
            inplace_rate=best.inplace_rate / groups,
        )
    shared = {key: getattr(settings, key) for key in ("epochs", "images", "batch_size")}
    return AutoencoderConfiguration(
        row=row, seed=seed, quantizer=quantizer, codes=max(codes, 1), **shared
    )


def _measured(run: train.Run, test: NDArray[Any]) -> dict[str, Any]:
    """A row's numbers on the test set; without quantizer there are no bits to count."""
    model: Any = run.trainer.model
    found = train.evaluate(model, test)
    told: dict[str, Any] = {"mse": found.mse}
    if model.quantizer is None:
        return told
    options = model.quantizer.options
    groups = options.get("groups", 1)
    told["bits"] = _POSITIONS * groups * math.log2(options["num_codes"])
    if groups == 1:
        told |= {"perplexity": found.perplexity, "active_codes": found.active_codes}
    return told


def _draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    figure, panel = axes_of(1, 1, 4.6)
    lengths = sorted({found["epochs"] for found in rows})
    for found in rows:
        label, error = found["row"], 1e3 * found["mse"]
        if len(lengths) > 1:
            label += f", {found['epochs']} epochs"
        if "bits" not in found:
            panel.axhline(error, color="gray", linewidth=1)
            panel.annotate(label, (400, error), va="bottom", color="gray")
            continue
        panel.plot(found["bits"], error, "o", color="C0")
        panel.annotate(label, (found["bits"], error), xytext=(6, 3), textcoords="offset points")
    for row in ("SQVAE", _BEST):
        place = 10 * _POSITIONS, PAPER[row][0]
        panel.plot(*place, "*", color="C1")
        panel.annotate(
            f"paper's {row}, 90 epochs", place, xytext=(6, -10), textcoords="offset points",
            color="C1",
        )  # fmt: skip
    epochs = " and ".join(map(str, lengths))
    panel.set(title=f"CIFAR-10, 8x8 positions, {epochs} epochs", xscale="log", yscale="log")
    panel.set(xlabel="bits an image", ylabel="MSE x 1e-3, test images")
    panel.minorticks_off()
    panel.set_xticks(_TICKS[0], map(str, _TICKS[0]))
    panel.set_yticks(_TICKS[1], map(str, _TICKS[1]))
    saved(figure, path)
