"""Pictures of the alignment, with matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._trials import Settings


def save(
    folder: Path,
    settings: Settings,
    documents: Sequence[dict[str, Any]],
    study: dict[str, Any] | None,
) -> list[str]:
    """Write the pictures that the documents have data for; returns their names.

    None without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed: no pictures")
        return []
    twins: dict[str, dict[str, Any]] = {}
    for document in documents:
        for name, report in document["twins"].items():
            twins.setdefault(name, report)
    drawn: dict[str, Callable[[], Any]] = {
        "alignment.png": lambda: _scatter(Figure, settings, twins),
        "epochs.png": lambda: _epochs(Figure, settings, twins),
        "rates.png": lambda: study and _rates(Figure, study),
        "curves.png": lambda: _curves(Figure, twins),
    }
    written = []
    for name, draw in drawn.items():
        figure: Any = draw()
        if figure is not None:
            figure.savefig(folder / name, dpi=110, bbox_inches="tight")
            written.append(name)
    return written


def _scatter(figure: Any, settings: Settings, twins: dict[str, Any]) -> Any:
    """w against u and M(w) against u, one point for each of some weights."""
    if "scatter" not in twins.get("default", {}):
        return None
    result = figure(figsize=(9, 4.4))
    panels = result.subplots(1, 2, sharey=True)
    points = twins["default"]["scatter"]
    cells = 2**settings.bits - 1
    boundaries = (np.arange(cells) + 0.5) * 2 / cells - 1
    titles = (("w", "weights as they are"), ("warped", "after the warp M"))
    for axes, (name, title) in zip(panels, titles, strict=True):
        for boundary in boundaries:
            axes.axhline(boundary, color="0.85", linewidth=0.8)
            axes.axvline(boundary, color="0.85", linewidth=0.8)
        axes.plot([-1.1, 1.1], [-1.1, 1.1], color="0.6", linewidth=0.8)
        axes.scatter(points[name], points["u"], s=6, alpha=0.6, color="C0", linewidths=0)
        axes.set(title=title, xlabel="DSQ model's weight" if name == "w" else "M(weight)")
        axes.set_aspect("equal")
    panels[0].set_ylabel("straight-through model's weight")
    return result


def _epochs(figure: Any, settings: Settings, twins: dict[str, Any]) -> Any:
    """The alignment error after each epoch."""
    names = [name for name in ("no warp", "default", "jitter") if name in twins]
    if not names:
        return None
    result = figure(figsize=(6, 4))
    axes = result.subplots()
    for name in names:
        records = twins[name]["records"]
        epochs = [record["step"] / settings.steps_per_epoch for record in records]
        axes.plot(epochs, [record["alignment_error"] for record in records], label=name)
    axes.set(xlabel="epoch", ylabel="alignment error", yscale="log")
    axes.legend()
    return result


def _rates(figure: Any, study: dict[str, Any]) -> Any:
    """The alignment error against the learning rate, with the fitted line."""
    result = figure(figsize=(6, 4))
    axes = result.subplots()
    rates = np.array(study["rates"])
    errors = np.mean(study["errors"], axis=0)
    for index, (momentum, row) in enumerate(zip(study["momenta"], errors, strict=True)):
        slope = study["slopes"][index]
        level = np.log(row).mean() - slope * np.log(rates).mean()
        label = f"momentum {momentum:g}: slope {slope:.2f}"
        axes.plot(rates, np.exp(level) * rates**slope, color=f"C{index}", linewidth=1)
        axes.plot(rates, row, "o", color=f"C{index}", label=label)
    axes.set(
        xlabel="learning rate / (1 - momentum)",
        ylabel="alignment error",
        xscale="log",
        yscale="log",
    )
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.minorticks_off()
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return result


def _curves(figure: Any, twins: dict[str, Any]) -> Any:
    """Validation accuracy and training loss of both models, a column a row of the table."""
    names = [name for name in ("default", "no warp", "Adam") if name in twins]
    if not names:
        return None
    result = figure(figsize=(3.6 * len(names), 5.2), layout="constrained")
    panels = result.subplots(2, len(names), sharex="col", sharey="row", squeeze=False)
    for column, name in enumerate(names):
        records = twins[name]["records"]
        steps = [record["step"] for record in records]
        for keys, axes, label in (
            (("accuracy", "twin_accuracy"), panels[0][column], "validation accuracy"),
            (("loss", "twin_loss"), panels[1][column], "training loss"),
        ):
            for key, style in zip(keys, ("-", "--"), strict=True):
                twin = key.startswith("twin")
                axes.plot(
                    steps,
                    [record[key] for record in records],
                    style,
                    label="straight-through" if twin else "custom estimator",
                )
            if column == 0:
                axes.set_ylabel(label)
        panels[0][column].set_title(name)
        panels[1][column].set_xlabel("step")
    panels[0][0].legend()
    return result
