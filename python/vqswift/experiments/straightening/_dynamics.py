"""Figures 1, 2, 6 and 9: how codebook and embeddings part while a network trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import data, metrics, train
from ..._functions import no_grad
from ..._tensor import Tensor
from ...nn import functional
from ...nn._mode import evaluating
from ...plots._curves import curve
from ...train._metrics_file import lines_of
from .._drawing import axes_of, saved
from .._harness import begin, check, output_setting, root_setting, setting, threads_setting, written
from ._cifar import cifar10
from ._classification import classifier
from ._classifier import test_batches

_SAMPLE = 2048  # embeddings of a picture, as in the paper
_MOMENTS = (1, 10, 20, 50, 100, 200)  # steps whose embeddings are kept
_COARSE = 10  # steps from one point of a curve to the next
Snapshot = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class DynamicsSettings:
    """How long, and where to."""

    data: Path | None = root_setting()
    seed: int = setting(0, "of weights and batches", least=0)
    steps: int = setting(200, "of training", least=1)
    batch_size: int = setting(128, "images of a step", least=1)
    threads: int | None = threads_setting()
    output: Path = output_setting("runs/dynamics")


@dataclass(frozen=True)
class CollapseSettings(DynamicsSettings):
    """How long, and where to."""

    steps: int = setting(16, "of training", least=1)


def figure9(settings: CollapseSettings) -> dict[str, Any]:
    """The first steps of a ResNet-18 after k-means: how far codes lie from those in use."""
    runs = _trained("fig9", settings, {"plain": "VQ", "affine": "affine"}, every=1)
    figure, panels = axes_of(1, 3, 3.4)
    titles = {
        "D(C, Q)": "D(C, Q), codes to used codes",
        "D(P, Q)": "D(P, Q), embeddings to used codes",
        "active_codes": "codes in use",
    }
    told: dict[str, Any] = {}
    for name, folder in runs.items():
        lines = lines_of(folder)
        for panel, (key, title) in zip(panels, titles.items(), strict=True):
            points = curve(lines, f"validation.{key}")
            told.setdefault(key, {})[name] = [*map(float, points[:, 1])]
            panel.plot(*points.T, ".-", label=name)
            panel.set(title=title, xlabel="step")
    panels[0].legend(frameon=False)
    saved(figure, settings.output / "fig9.png")
    return written(settings.output / "fig9.json", told)


def figure2(settings: DynamicsSettings) -> dict[str, Any]:
    """Embeddings and codes of a ResNet-18 at step 10 by t-SNE, and histograms over its training."""
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]

    moments = [step for step in _MOMENTS if step <= settings.steps]
    rows = {"plain": "VQ", "affine": "affine"}
    runs = _trained("fig2", settings, rows, every=_COARSE, moments=moments)
    shown = min(10, moments[-1])
    figure, panels = axes_of(2, 3, 3.6)
    told: dict[str, Any] = {}
    for row, (name, folder) in zip(panels, runs.items(), strict=True):
        found = {step: _snapshot(folder, step) for step in moments}
        shot = found[shown]
        points = np.concatenate([shot["z"], shot["codebook"]])
        flat = TSNE(2, init="pca", random_state=0).fit_transform(points)
        z, codes = flat[: len(shot["z"])], flat[len(shot["z"]) :]
        _scatter(row[0], z, codes, shot["used"])
        row[0].set(title=f"{name}: t-SNE at step {shown}", xticks=[], yticks=[])
        for panel, key in zip(row[1:], ("z", "codebook"), strict=True):
            _histograms(panel, found, key)
            panel.set(title=f"{name}: {'embeddings' if key == 'z' else 'codes'}, first component")
        lines = [line for line in lines_of(folder) if _is_coarse(line["step"], settings.steps)]
        told[name] = {
            key: [*map(float, curve(lines, f"validation.{key}")[:, 1])]
            for key in ("D(P, C)", "D(C, P)", "active_codes")
        }
    saved(figure, settings.output / "fig2.png")
    return written(settings.output / "fig2.json", told)


def figure1(settings: DynamicsSettings) -> dict[str, Any]:
    """Embeddings, codes and codes in use of a ResNet-18 by its embeddings' first components."""
    moments = [step for step in (1, 10, 50, 200) if step <= settings.steps]
    runs = _trained("fig1", settings, {"plain": "VQ"}, moments=moments)
    figure, drawn = axes_of(1, len(moments), 3.4)
    panels = np.atleast_1d(drawn)
    told: dict[str, Any] = {}
    for panel, step in zip(panels, moments, strict=True):
        shot = _snapshot(runs["plain"], step)
        centre, directions = _components(shot["z"])
        z, codes = ((shot[key] - centre) @ directions for key in ("z", "codebook"))
        _scatter(panel, z, codes, shot["used"])
        used = int(shot["used"].sum())
        panel.set(title=f"step {step}: {used} codes in use", xticks=[], yticks=[])
        told[str(step)] = {"codes in use": used}
    panels[0].legend(frameon=False)
    saved(figure, settings.output / "fig1.png")
    return written(settings.output / "fig1.json", told)


def figure6(settings: DynamicsSettings) -> dict[str, Any]:
    """The gap between gradients with and without quantization, joint and alternated, by layer."""
    rows = {"joint": "VQ", "alternated": "alt"}
    l2 = {"norm": "l2", "cb_norm": "l2"}
    runs = _trained("fig6", settings, rows, every=_COARSE, options=l2, has_gap=True)
    figure, panels = axes_of(1, 3, 3.6)
    told: dict[str, Any] = {}
    for name, folder in runs.items():
        lines = lines_of(folder)
        gaps = {
            key.removeprefix("validation.gap."): curve(lines, key)
            for key in next(line for line in lines if "validation.gap" in line)
            if key.startswith("validation.gap.")
        }
        total = curve(lines, "validation.gap")
        panels[0].plot(*total.T, label=name)
        panels[1].plot([float(np.exp(np.log(g[:, 1]).mean())) for g in gaps.values()], label=name)
        panels[2].plot(*curve(lines, "validation.perplexity").T, label=name)
        told[name] = {"total": [*map(float, total[:, 1])], "layers": list(gaps)}
    panels[0].set(title="gradient gap, all layers", yscale="log", xlabel="step")
    panels[1].set(title="gap by layer, geometric mean", yscale="log", xlabel="layer")
    panels[2].set(title="perplexity of the batch", xlabel="step")
    panels[0].legend(frameon=False)
    saved(figure, settings.output / "fig6.png")
    return written(settings.output / "fig6.json", told)


def _trained(
    name: str,
    settings: DynamicsSettings,
    rows: Mapping[str, str],
    *,
    every: int | None = None,
    moments: Iterable[int] = (),
    options: Mapping[str, Any] | None = None,
    has_gap: bool = False,
) -> dict[str, Path]:
    """The directories of short runs of ResNet-18, which figures without the gap may share.

    They have what all figures want. ValueError for one that lacks what this figure wants:
    validations `every` so many steps, and the embeddings of its `moments`.
    """
    check(name, settings)
    begin(settings)
    training, test = cifar10(settings.data)
    folders = {}
    for kind, row in rows.items():
        chosen = classifier("resnet18", row, settings.seed, batch_size=settings.batch_size)
        if options is not None:
            more = dataclasses.replace(
                chosen.quantizer, options=chosen.quantizer.options | dict(options)
            )
            chosen = dataclasses.replace(chosen, quantizer=more)
        folder = settings.output / f"{kind}-{settings.steps}-steps{'-gap' if has_gap else ''}"
        run = train.Run(
            folder,
            chosen.trainer(training),
            configuration=chosen,
            validate=_Probe(test, has_gap),
            validate_every=_COARSE if has_gap else 1,
            callbacks=[] if has_gap else [_Snapshots(test)],
        )
        run.fit(max(settings.steps, run.step), label=kind)
        folders[kind] = folder
        measured = () if every is None else range(every, settings.steps + 1, every)
        _check_kept(name, folder, measured, moments)
    return folders


def _is_coarse(step: int, last: int) -> bool:
    return step % _COARSE == 0 or step == last


def _check_kept(name: str, folder: Path, measured: Iterable[int], moments: Iterable[int]) -> None:
    """ValueError where a run has no validation or no snapshot of a step."""
    found = {line["step"] for line in lines_of(folder) if "validation.active_codes" in line}
    absent = [step for step in measured if step not in found]
    absent += [step for step in moments if not _snapshot_path(folder, step).is_file()]
    if absent:
        raise ValueError(
            f"[{name}] {folder}: the run is past step {min(absent)}, which was not measured or "
            "kept; take another --output"
        )


class _Probe:
    """Divergences of the embeddings of test images and the codebook, and the gradient gap."""

    def __init__(self, test: data.ImageSet, has_gap: bool) -> None:
        self._test, self._has_gap = test, has_gap

    def __call__(self, model: Any) -> dict[str, float]:
        shot = snapshot(model, self._test)
        z, codes, used = shot["z"], shot["codebook"], shot["codebook"][shot["used"]]
        told = {
            "D(P, C)": metrics.divergence(z, codes),
            "D(C, P)": metrics.divergence(codes, z),
            "D(P, Q)": metrics.divergence(z, used),
            "D(C, Q)": metrics.divergence(codes, used),
            "active_codes": float(shot["used"].sum()),
        }
        return told | self._gap(model) if self._has_gap else told

    def _gap(self, model: Any) -> dict[str, float]:
        images, labels = seen(self._test, 128)

        def loss() -> tuple[Tensor, Any]:
            logits, info = model(images)
            return functional.cross_entropy(logits, labels), info

        gap = metrics.gradient_gap(model, loss)
        # Convolutions alone: those in front of the quantizer, where the estimate is.
        layers = {
            name: value
            for name, value in gap.by_parameter.items()
            if name.startswith("front.") and "conv" in name
        }
        told = {f"gap.{name}": value for name, value in layers.items()}
        return told | {"gap": gap.total, "perplexity": gap.perplexity}


class _Snapshots:
    """Keeps embeddings and codebook of some steps beside the run."""

    def __init__(self, test: data.ImageSet) -> None:
        self._test = test

    def __call__(self, run: train.Run, told: train.StepMetrics) -> None:
        if told.step in _MOMENTS:
            with evaluating(run.trainer.model):
                found = snapshot(run.trainer.model, self._test)
            with _snapshot_path(run.directory, told.step).open("wb") as file:
                np.savez(file, allow_pickle=False, **found)


def snapshot(model: Any, test: data.ImageSet) -> Snapshot:
    """Embeddings of test images, the codebook, and which codes they use, in evaluation mode."""
    images, _ = seen(test, 64)
    with no_grad():
        z = model.front(images)
        codes = model.quantizer.encode(z).numpy().ravel()
    rows = z.numpy().reshape(-1, z.shape[-1])
    chosen = np.random.default_rng(0).permutation(len(rows))[:_SAMPLE]
    codebook = model.quantizer.effective_codebook.numpy()
    used = np.zeros(len(codebook), np.bool_)
    used[codes] = True
    return {"z": rows[chosen], "codebook": codebook, "used": used}


def seen(test: data.ImageSet, count: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """The first test images as the network sees them, and their labels."""
    images, labels = next(iter(test_batches(test, count)))
    return images, labels


def _snapshot_path(folder: Path, step: int) -> Path:
    return folder / f"snapshot-{step}.npz"


def _snapshot(folder: Path, step: int) -> Snapshot:
    with np.load(_snapshot_path(folder, step)) as arrays:
        return dict(arrays)


def _components(z: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The centre and the first two principal directions, [d, 2]."""
    centre = z.mean(0)
    _, _, directions = np.linalg.svd(z - centre, full_matrices=False)
    return centre, directions[:2].T


def _scatter(panel: Any, z: NDArray[Any], codes: NDArray[Any], used: NDArray[np.bool_]) -> None:
    panel.scatter(*z.T, s=3, color="0.75", label="embeddings P")
    panel.scatter(*codes[~used].T, s=6, color="tab:blue", label="unused codes")
    panel.scatter(*codes[used].T, s=9, color="tab:red", label="used codes Q")


def _histograms(panel: Any, found: Mapping[int, Snapshot], key: str) -> None:
    """Densities along the first component of the first moment's embeddings, late ones darker."""
    first = next(iter(found.values()))
    centre, directions = _components(first["z"])
    places = {step: ((shot[key] - centre) @ directions)[:, 0] for step, shot in found.items()}
    bound = np.quantile(np.abs(np.concatenate([*places.values()])), 0.995)
    edges = np.linspace(-bound, bound, 60)
    for index, (step, along) in enumerate(places.items()):
        height, _ = np.histogram(along, edges, density=True)
        shade = 0.8 - 0.7 * index / max(len(places) - 1, 1)
        panel.plot((edges[:-1] + edges[1:]) / 2, height, color=(shade, shade, 1), label=str(step))
    panel.legend(frameon=False, title="step", fontsize=7)
