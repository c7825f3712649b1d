"""Table 9: images by MaskGIT from the codes of a tokenizer with each method of the paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ..._harness import (
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
from .._autoencoder import QuantizerConfiguration
from .._results import Column, Results
from .._rows import train_rows
from .._table_page import write_page
from .._weights import Weights
from . import _pictures
from ._judge import judge_configuration, trained_judge
from ._painter import SamplingConfiguration
from ._row import TOKENIZER, Generation
from ._sets import NAMES, Name, images_of
from ._tokenizer import TokenizerConfiguration
from ._transformer import GenerationConfiguration, TransformerConfiguration

_VECTOR = {"beta": 0.9, "init": "kmeans"}
_L2 = {"norm": "l2", "cb_norm": "l2"}
_REPLACE = {"replace_freq": 20}
# Moments in place of a learned map, which the paper found better (A.9), and synchronized updates.
_OURS = {"affine": "ema", "affine_momentum": 0.1, "sync_nu": 0.2}
_INPLACE_RATE = 50.0


def _vector(*parts: dict[str, Any], inplace_rate: float | None = None) -> QuantizerConfiguration:
    options: dict[str, Any] = {}
    for part in (_VECTOR, *parts):
        options |= part
    return QuantizerConfiguration("vector", options, inplace_rate=inplace_rate)


QUANTIZERS = {
    "MaskGIT": _vector(),
    "MaskGIT+l2": _vector(_L2),
    "MaskGIT+replace": _vector(_REPLACE),
    "MaskGIT+Affine+OPT": _vector(_OURS, inplace_rate=_INPLACE_RATE),
    "MaskGIT+Affine+OPT+replace": _vector(_OURS, _REPLACE, inplace_rate=_INPLACE_RATE),
}
# FID of 5000 samples, CelebA; the last row is ours.
PAPER: dict[str, tuple[float | None]] = {
    "MaskGIT": (90.4,),
    "MaskGIT+l2": (81.5,),
    "MaskGIT+replace": (79.7,),
    "MaskGIT+Affine+OPT": (74.8,),
    "MaskGIT+Affine+OPT+replace": (None,),
}
ROWS = tuple(row for row, (fid,) in PAPER.items() if fid is not None)
COLUMNS = (
    Column("classifier_frechet", "Frechet", digits=1, paper_header="paper's FID"),
    Column("classifier_kernel", "kernel", digits=2, paper=False),
    Column("reconstruction_classifier_frechet", "recon. Frechet", digits=1, paper=False),
    Column("precision", "precision %", 100, paper=False),
    Column("recall", "recall %", 100, paper=False),
    Column("recognized", "class %", 100, paper=False),
    Column("mse", "MSE x 1e-3", 1e3, 2, paper=False),
    Column("perplexity", "perplexity", paper=False),
    Column("active_codes", "codes", 1, 0, paper=False),
)
TOKENIZER_PANELS = (
    ("validation.classifier_frechet", "Frechet distance, reconstructions", False),
    ("validation.mse", "MSE, test images", True),
    ("validation.perplexity", "perplexity, test images", False),
)
PANELS = (
    ("validation.classifier_frechet", "Frechet distance, samples", False),
    ("validation.classifier_kernel", "kernel distance, samples", False),
    ("validation.test_loss", "cross-entropy, test codes", False),
)


@dataclass(frozen=True)
class _Sizes:
    """What depends on the set where no setting says it."""

    epochs: int
    tokenizer_epochs: int
    classifier_epochs: int
    tokenizer_width: int
    multipliers: tuple[int, ...]


_SIZES: dict[Name, _Sizes] = {
    "cifar10": _Sizes(2, 1, 8, 16, (1, 2, 4)),
    "faces": _Sizes(40, 40, 30, 16, (1, 2, 2, 4)),
}


@dataclass(frozen=True)
class Table9Settings:
    """Which images and rows, for how long, and where they are."""

    data: Path | None = root_setting()
    dataset: Name = setting("cifar10", "to train on; the faces are of 64x64", choices=NAMES)
    rows: tuple[str, ...] = rows_setting(
        ROWS, "of the table; the paper's four by default", tuple(PAPER)
    )
    seeds: tuple[int, ...] = seeds_setting()
    epochs: int | None = setting(
        None, "of each transformer; 2 for cifar10, 40 for faces by default", least=1
    )
    tokenizer_epochs: int | None = setting(
        None, "of each tokenizer; 1 for cifar10, 40 for faces by default", least=1
    )
    classifier_epochs: int | None = setting(
        None, "of the classifier; 8 for cifar10, 30 for faces by default", least=1
    )
    images: int | None = setting(None, "to train on, the first of the set; all by default", least=1)
    batch_size: int = setting(32, "images of a step", least=1)
    tokenizer_width: int | None = setting(
        None, "channels of the tokenizer's first level; 16 by default, the paper has 32", least=1
    )
    multipliers: tuple[int, ...] | None = setting(
        None, "of that width, one a level; 1 2 4 for cifar10, 1 2 2 4 for faces by default", least=1
    )
    blocks: int = setting(
        1, "residual blocks of a level of the tokenizer; the paper has 2", least=1
    )
    codes: int = setting(1024, "of the codebook", least=1)
    perceptual: float = setting(
        0.0, "weight of LPIPS in the tokenizer's loss, with --lpips; 0, as in the paper, by default"
    )
    width: int = setting(96, "channels of the transformer; the paper has 768", least=1)
    depth: int = setting(8, "blocks of the transformer", least=1)
    heads: int = setting(3, "of attention", least=1)
    # Precision and recall want four rows.
    samples: int = setting(2000, "that are compared, and test images; the paper has 5000", least=4)
    curve_samples: int = setting(400, "that are compared in the course of the training", least=4)
    validations: int = setting(6, "in the course of each training", least=1)
    steps: int = setting(8, "of sampling", least=1)
    guidance: float = setting(1.0, "of samples that have a class")
    order: Literal["confidence", "halton"] = setting(
        "confidence", "in which places are filled", choices=("confidence", "halton")
    )
    lpips: Path | None = setting(
        None, "AlexNet's weights, which scripts/lpips-weights writes; no LPIPS by default"
    )
    inception: Path | None = setting(
        None, "weights of FID's Inception, as torch-fidelity has them; no FID by default"
    )
    threads: int | None = threads_setting()
    jobs: int = jobs_setting()
    output: Path = output_setting("runs/maskgit")

    @property
    def folder(self) -> Path:
        """Of the set's results."""
        return self.output / self.dataset


def configuration(row: str, seed: int, settings: Table9Settings) -> GenerationConfiguration:
    """The row's configuration."""
    sizes = _SIZES[settings.dataset]
    tokenizer = TokenizerConfiguration(
        QUANTIZERS[row],
        seed=seed,
        images=settings.images,
        epochs=_given(settings.tokenizer_epochs, sizes.tokenizer_epochs),
        image_size=32 if settings.dataset == "cifar10" else 64,
        width=_given(settings.tokenizer_width, sizes.tokenizer_width),
        multipliers=_given(settings.multipliers, sizes.multipliers),
        blocks=settings.blocks,
        codes=settings.codes,
        batch_size=settings.batch_size,
        perceptual=settings.perceptual,
        validations=settings.validations,
        validated=2 * settings.curve_samples,
    )
    transformer = TransformerConfiguration(
        epochs=_given(settings.epochs, sizes.epochs),
        width=settings.width,
        depth=settings.depth,
        heads=settings.heads,
        batch_size=settings.batch_size,
        validations=settings.validations,
        validated=settings.curve_samples,
    )
    sampling = SamplingConfiguration(
        steps=settings.steps, order=settings.order, guidance=settings.guidance
    )
    return GenerationConfiguration(row, tokenizer, transformer, sampling)


def run(settings: Table9Settings) -> Results:
    """Train the classifier and the rows that are not done, write each as it is, print the table.

    Raises FileNotFoundError where the set or a file of weights is absent, ValueError for a setting
    out of range, a row that is done with other settings and a file that has other weights; all
    before a training.
    """
    check("table9", settings)
    begin(settings)
    _check(settings)
    chosen = [
        configuration(row, seed, settings) for seed in settings.seeds for row in settings.rows
    ]
    has_classes = settings.dataset == "cifar10"
    columns = [each for each in COLUMNS if has_classes or each.key != "recognized"]
    title = f"Table 9, {settings.dataset}, {chosen[0].tokenizer.reading}"
    results = Results(settings.folder, title, columns, PAPER)
    weights = Weights(settings.lpips, settings.inception)
    weights.check()
    given = {"reconstruction_lpips": weights.lpips, "fid": weights.inception}
    wanted = [key for key, path in given.items() if path is not None]
    train_rows(
        "table9", settings, results, chosen, partial(_generation, settings, weights), wanted=wanted
    )
    write_page(
        results,
        PANELS,
        about=_about(results),
        inner={TOKENIZER: TOKENIZER_PANELS},
        pictures=_pictures.CAPTIONS,
    )
    return results


def _generation(settings: Table9Settings, weights: Weights) -> Generation:
    """What trains the rows, once the classifier is trained."""
    images = images_of(settings.dataset, settings.data, settings.images)
    epochs = _given(settings.classifier_epochs, _SIZES[settings.dataset].classifier_epochs)
    judge = judge_configuration(images, epochs)
    folder = settings.folder / "classifier"
    trained_judge(folder, judge, images)
    return Generation(images, judge, folder, settings.samples, weights)


def _about(results: Results) -> str:
    """What the page says of its numbers."""
    if not results.rows:
        return ""
    row = results.rows[0]
    text = (
        f"Images of {row['reading']}; the paper has CelebA at 128x128. Frechet and kernel are "
        f"distances of {row['features']}, trained on the same images (accuracy "
        f"{100 * row['classifier_accuracy']:.1f}% on test images): they are not FID and KID, and "
        f"only their order can be compared with the paper's. {row['samples']} samples are compared "
        f"with {row['compared']}, reconstructions with their test images; the images of the other "
        f"part of the set are at a Frechet distance of {row['data_classifier_frechet']:.1f}. MSE, "
        "perplexity and codes in use are those of test images. Rows of several seeds show the "
        f"mean. 64 samples took {row['seconds_of_64_samples']:.1f} s, threads: {row['threads']}."
    )
    if (loss := row.get("tokenizer_loss", "MSE")) != "MSE":
        text += f" The tokenizers are trained by {loss}; the paper's are by MSE alone."
    if "chance" in row:
        text += (
            " Class is the share of samples that the classifier takes for their class; chance is "
            f"{100 * row['chance']:.0f}%, and of the reconstructions of the first row it is "
            f"{100 * row['reconstruction_recognized']:.0f}%."
        )
    return text


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def _check(settings: Table9Settings) -> None:
    if settings.width % settings.heads:
        raise ValueError(
            f"[table9] width = {settings.width}: must be a multiple of heads = {settings.heads}"
        )
    if not 0 <= settings.perceptual < math.inf:
        raise ValueError(
            f"[table9] perceptual = {settings.perceptual}: must be finite and not negative"
        )
    if settings.perceptual and settings.lpips is None:
        raise ValueError(
            f"[table9] perceptual = {settings.perceptual}: needs AlexNet's weights, lpips = FILE"
        )
