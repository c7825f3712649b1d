"""Figures 5, 7 and 8: warm-up, how often a code can be chosen, and where a codebook begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import data, metrics, no_grad
from ...plots._curves import curve
from ...train._metrics_file import lines_of
from .._drawing import axes_of, saved
from .._harness import begin, check, output_setting, root_setting, setting, threads_setting, written
from ._cifar import cifar10
from ._classification import classifier
from ._classifier import ClassifierConfiguration, evaluated, run_of
from ._dynamics import snapshot
from ._row import folder_of

_Sets = tuple[data.ImageSet, data.ImageSet]
_STARTS = ("kmeans", "kmeans++", "normal", "kaiming", "uniform")


@dataclass(frozen=True)
class SensitivitySettings:
    """For how long, and where to."""

    data: Path | None = root_setting()
    seed: int = setting(0, "of weights and batches", least=0)
    epochs: int = setting(8, "of each run", least=1)
    images: int = setting(25_000, "to train on, the first of the set", least=1)
    threads: int | None = threads_setting()
    output: Path = output_setting("runs/sensitivity")


@dataclass(frozen=True)
class _Made:
    """A finished run: its directory, and what the test set says."""

    folder: Path
    numbers: Mapping[str, float]


def figure5(settings: SensitivitySettings) -> dict[str, Any]:
    """Perplexity and accuracy by step, with and without warm-up, of ResNet-18 and ViT."""
    sets = _begun("fig5", settings)
    figure, panels = axes_of(2, 2, 3.8)
    told: dict[str, Any] = {}
    for row, network in zip(panels, ("resnet18", "vit"), strict=True):
        for name, warmup in (("with warm-up", 1 / 9), ("without", 0.0)):
            label = f"{network}, {name}"
            chosen = dataclasses.replace(_row(settings, network, "VQ"), row=label, warmup=warmup)
            made = _trained(settings, sets, chosen)
            told[label] = dict(made.numbers)
            for panel, key in zip(row, ("perplexity", "accuracy"), strict=True):
                panel.plot(*curve(lines_of(made.folder), f"validation.{key}").T, ".-", label=name)
                panel.set(title=f"{network}: test {key}", xlabel="step")
        row[0].legend(frameon=False)
    saved(figure, settings.output / "fig5.png")
    return written(settings.output / "fig5.json", told)


def figure7(settings: SensitivitySettings) -> dict[str, Any]:
    """How much accuracy a quantizer costs, over batch size, image size and p(activate)."""
    sets = _begun("fig7", settings)
    figure, panels = axes_of(1, 3, 3.8)
    told: dict[str, Any] = {}
    cases = [("batch", size, 32) for size in (8, 32, 128)]
    cases += [("image", 32, side) for side in (16, 24, 32)]
    for kind, batch, side in cases:
        changes = {"batch_size": batch, "image_size": side}
        accuracies = {}
        for name in ("none", "VQ"):
            label = f"{name} batch {batch} side {side}"
            chosen = dataclasses.replace(_row(settings, "resnet18", name, **changes), row=label)
            accuracies[name] = _trained(settings, sets, chosen).numbers["accuracy"]
        drop = accuracies["none"] - accuracies["VQ"]
        share = metrics.activation_probability(
            1024, batch_size=batch, height=side, width=side, pool_layers=1, at_least=1
        )
        told[f"{kind}: batch {batch}, side {side}"] = {
            "accuracy without": accuracies["none"],
            "accuracy with": accuracies["VQ"],
            "drop": drop,
            "p(activate)": share,
        }
        panels[0 if kind == "batch" else 1].plot(batch if kind == "batch" else side, drop, "o")
        panels[2].plot(share, drop, "o" if kind == "batch" else "s")
    for panel, title in zip(panels, ("batch size", "image side", "p(activate)"), strict=True):
        panel.set(title=f"accuracy drop over {title}", xlabel=title)
    panels[0].set(xscale="log")
    saved(figure, settings.output / "fig7.png")
    return written(settings.output / "fig7.json", told)


def figure8(settings: SensitivitySettings) -> dict[str, Any]:
    """Divergence of embeddings and codes at the start against the accuracy in the end."""
    sets = _begun("fig8", settings)
    figure, panel = axes_of(1, 1, 4.6)
    told: dict[str, Any] = {}
    for start in _STARTS:
        plain = _row(settings, "resnet18", "VQ")
        options = plain.quantizer.options | {"init": start}
        quantizer = dataclasses.replace(plain.quantizer, options=options)
        chosen = dataclasses.replace(plain, row=f"start {start}", quantizer=quantizer)
        begun = _at_first(chosen, sets)
        made = _trained(settings, sets, chosen)
        told[start] = {"D(P, Q) at the start": begun} | dict(made.numbers)
        panel.plot(begun, made.numbers["accuracy"], "o")
        panel.annotate(
            start, (begun, made.numbers["accuracy"]), xytext=(5, 4), textcoords="offset points"
        )
    points = np.array([[v["D(P, Q) at the start"], v["accuracy"]] for v in told.values()])
    correlation = float(np.corrcoef(np.log(points[:, 0]), points[:, 1])[0, 1])
    panel.set(
        title=f"correlation {correlation:.2f}",
        xscale="log" if points[:, 0].max() > 20 * points[:, 0].min() else "linear",
        xlabel="D(P, Q) at the start", ylabel="test accuracy",
    )  # fmt: skip
    saved(figure, settings.output / "fig8.png")
    return written(settings.output / "fig8.json", told | {"correlation": correlation})


def _row(
    settings: SensitivitySettings, network: Any, row: str, **changes: Any
) -> ClassifierConfiguration:
    return classifier(
        network, row, settings.seed, epochs=settings.epochs, images=settings.images, **changes
    )


def _begun(name: str, settings: SensitivitySettings) -> _Sets:
    """Training and test set, read once for all runs of a figure."""
    check(name, settings)
    begin(settings)
    return cifar10(settings.data)


def _trained(settings: SensitivitySettings, sets: _Sets, chosen: ClassifierConfiguration) -> _Made:
    training, test = sets
    folder = folder_of(chosen, settings.output)
    run = run_of(chosen, folder, training, test)
    run.fit(chosen.epochs * run.epoch, label=chosen.row)
    return _Made(folder, evaluated(run.trainer.model, test, chosen.image_size))


def _at_first(chosen: ClassifierConfiguration, sets: _Sets) -> float:
    """D(P, Q) behind the first forward, in which a codebook has its start."""
    training, test = sets
    trainer = chosen.trainer(training)
    trainer.model.train()
    with no_grad():
        trainer.objective(trainer.model, next(iter(trainer.batches)))
    trainer.model.eval()
    shot = snapshot(trainer.model, test)
    return metrics.divergence(shot["z"], shot["codebook"][shot["used"]])
