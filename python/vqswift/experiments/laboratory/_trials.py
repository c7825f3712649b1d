"""What is trained beside what: the rows of the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ... import estimators, models, nn, optim
from ..._random import manual_seed
from .._harness import output_setting, root_setting, setting, threads_setting

OUTSIDE = "outside the theorem"
RATES = "rates"  # names the study of learning rates


@dataclass(frozen=True)
class Training:
    """How a model is trained: its estimator and its optimizer."""

    estimator: estimators.Estimator
    optimizer: Literal["sgd", "adam"] = "sgd"
    rate: float = 1.0  # times the paper's
    duration: int = 1  # times the settings' epochs
    momentum: float = 0.9  # of SGD
    beta2: float = 0.95
    weight_decay: float = 0.0

    def optimizer_of(self, model: nn.Module, scale: float) -> optim.Optimizer:
        """The optimizer at the paper's learning rate times `scale`."""
        rate = self.rate * scale
        parameters = model.parameters()
        if self.optimizer == "sgd":
            return optim.SGD(
                parameters, lr=1e-3 * rate, momentum=self.momentum, weight_decay=self.weight_decay
            )
        return optim.Adam(
            parameters,
            lr=1e-4 * rate,
            betas=(0.9, self.beta2),
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True)
class Twin:
    """A row: how the twin of a trial's model is made.

    `kind`: "theorem" converts it with `to_ste`; "alpha" and "start" keep one half of that; "ste"
    takes the straight-through estimator as it is; "same" changes only the rate.
    """

    row: str
    kind: Literal["theorem", "alpha", "start", "ste", "same"] = "theorem"
    rate: float = 1.0
    every_seed: bool = False
    note: str = ""


@dataclass(frozen=True)
class Trial:
    """A model and its twins, trained in step."""

    name: str
    recipe: Training
    twins: tuple[Twin, ...]

    def twins_of(self, first_seed: bool) -> tuple[Twin, ...]:
        """Those that run with a seed."""
        return tuple(twin for twin in self.twins if first_seed or twin.every_seed)


def _rising(position: np.ndarray) -> np.ndarray:
    return 1 + 0.8 * position


_DSQ = estimators.dsq()
_EWGS = estimators.ewgs(0.5)
_RISING = estimators.from_function(_rising, samples=3, cyclical=False)

TRIALS = (
    Trial(
        "sgd",
        Training(_DSQ),
        (
            Twin("default", every_seed=True, note="DSQ and STE, alpha and M"),
            Twin("jitter", "same", 1.01, every_seed=True, note="DSQ and DSQ, rate x 1.01"),
            Twin("no warp", "ste", every_seed=True, note="neither alpha nor M"),
            Twin("alpha only", "alpha", note="STE from w"),
            Twin("M only", "start", note="STE at the same rate"),
        ),
    ),
    Trial(
        "adam",
        Training(_DSQ, "adam"),
        (
            Twin("Adam", every_seed=True, note="DSQ and STE, nothing changed"),
            Twin("Adam jitter", "same", 1.01, every_seed=True, note="DSQ and DSQ, rate x 1.01"),
        ),
    ),
    Trial("ewgs", Training(_EWGS), (Twin("EWGS", "ste", note=OUTSIDE),)),
    Trial("non-cyclical", Training(_RISING), (Twin("non-cyclical", "ste", note=OUTSIDE),)),
    Trial(
        "weight decay",
        Training(_DSQ, weight_decay=1e-2),
        (Twin("weight decay 1e-2", note=OUTSIDE),),
    ),
    Trial("cosine", Training(estimators.cosine()), (Twin("cosine", note="alpha and M"),)),
    Trial("adam 0.9", Training(_DSQ, "adam", beta2=0.9), (Twin("Adam, b2 0.9"),)),
    Trial("adam 0.999", Training(_DSQ, "adam", beta2=0.999), (Twin("Adam, b2 0.999"),)),
    Trial("adam ewgs", Training(_EWGS, "adam"), (Twin("Adam, EWGS", "ste", note=OUTSIDE),)),
    Trial(
        "no momentum",
        Training(_DSQ, rate=10.0, momentum=0.0),
        (
            Twin("no momentum", note="DSQ and STE, rate x 10, momentum 0"),
            Twin("no momentum jitter", "same", 1.01, note="DSQ and DSQ, rate x 1.01"),
        ),
    ),
    Trial(
        "scaledown",
        Training(_DSQ, rate=0.1, duration=3),
        (Twin("scaledown", note="rate x 0.1, epochs x 3"),),
    ),
)


@dataclass(frozen=True)
class Settings:
    """Of one run of the experiment; the defaults are the small one.

    Attributes:
        net: "a" or "b", the networks of `models.mnist_net_a` and `mnist_net_b`.
        seeds: of rows that need a spread; the others run with the first.
        rate: scales the learning rates of the paper.
        images: of the test split, that accuracies and agreements are measured on.
        trials: some of `TRIALS` and "rates" by name; all when there is none.
    """

    data: str = setting(
        "auto",
        "auto: MNIST when its files are found, else scikit-learn's digits",
        choices=("auto", "mnist", "fashion-mnist", "digits"),
    )
    root: Path | None = root_setting()
    net: str = setting("b", "network", choices=("a", "b"))
    bits: int = setting(2, "of a weight")
    seeds: tuple[int, ...] = setting(
        (0,), "of the repetitions; 0 by default, with --full 0 1 2", is_open=True
    )
    epochs: int = setting(10, "of each training; 10 by default, with --full 50", is_open=True)
    steps_per_epoch: int = 60
    batch_size: int = 64
    rate: float = 0.5
    images: int = 2000
    trials: tuple[str, ...] = setting(
        (),
        "all by default, or some of: rates, " + ", ".join(repr(trial.name) for trial in TRIALS),
        is_open=True,
    )
    finished: bool = setting(False, "train nothing; report the trials that are there")
    threads: int | None = threads_setting()
    output: Path = output_setting("runs/estimators")


def full(settings: Settings) -> Settings:
    """`settings` at the size of the paper: 50 epochs of 100 steps, three seeds."""
    from dataclasses import replace

    return replace(
        settings,
        seeds=(0, 1, 2),
        epochs=50,
        steps_per_epoch=100,
        batch_size=128 if settings.net == "a" else 600,
        rate=1.0,
        images=10_000,
    )


def select(names: tuple[str, ...]) -> tuple[Trial, ...]:
    """The trials of these names, all when there is none; ValueError for one that is unknown."""
    known = {trial.name: trial for trial in TRIALS}
    for name in names:
        if name not in (*known, RATES):
            listed = ", ".join((*known, RATES))
            raise ValueError(f"[estimators] trial {name!r}: must be one of {listed}")
    return tuple(known[name] for name in names if name != RATES) if names else TRIALS


def build(
    settings: Settings, seed: int, recipe: Training, twin: Twin | None
) -> tuple[nn.Module, optim.Optimizer, bool]:
    """A model, its optimizer, and whether its weights begin at M(w)."""
    manual_seed(seed)
    net = {"a": models.mnist_net_a, "b": models.mnist_net_b}[settings.net]
    model = estimators.quantize_model(
        net(), bits=settings.bits, estimator=recipe.estimator, layers="conv", range="he"
    )
    scale = settings.rate * (1.0 if twin is None else twin.rate)
    optimizer = recipe.optimizer_of(model, scale)
    if twin is None or twin.kind == "same":
        return model, optimizer, False
    layers = estimators.quantized_layers(model)
    start = [layer.weight.numpy() for layer in layers]
    if twin.kind == "ste":
        for layer in layers:
            _set(layer, 1.0)
        return model, optimizer, False
    estimators.to_ste(model, optimizer, force=twin.note == OUTSIDE)
    for layer, weight in zip(layers, start, strict=True):
        if twin.kind == "alpha":
            layer.weight.assign(weight)
        if twin.kind == "start":
            _set(layer, 1.0)
    return model, optimizer, twin.kind != "alpha" and recipe.optimizer == "sgd"


def _set(layer: estimators.WeightedLayer, scale: float) -> None:
    """The straight-through partner of the layer's estimator."""
    assert isinstance(layer.quantizer, estimators.WeightQuantizer)
    grid = layer.quantizer.estimator.partner
    assert isinstance(grid, estimators.GridEstimator)
    layer.quantizer = estimators.WeightQuantizer(
        grid.bits, grid.bound, grid.estimator, gradient_scale=scale
    )
