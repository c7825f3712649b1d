"""The options of the combination matrix, and the pairs that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest
import vqswift as vq
from vqswift import optim

FEATURES, CODES = 8, 8


def sgd(parameters: list[vq.Tensor]) -> optim.Optimizer:
    return optim.SGD(parameters, lr=0.5, momentum=0.9)


def adamw(parameters: list[vq.Tensor]) -> optim.Optimizer:
    return optim.AdamW(parameters, lr=0.05)


@dataclass(frozen=True)
class Choice:
    """One option's value; `slot` is what only one choice can set."""

    slot: str
    options: dict[str, Any] = field(default_factory=dict)


CHOICES: dict[str, Choice] = {
    "code_size": Choice("code_size", {"code_size": 3}),
    "beta": Choice("beta", {"beta": 0.25}),
    "sync_nu": Choice("sync_nu", {"sync_nu": 0.5}),
    "rotation": Choice("gradient", {"gradient": "rotation"}),
    "directional": Choice("gradient", {"gradient": "directional"}),
    "affine": Choice("affine", {"affine_lr": 0.5}),
    "moments": Choice("affine", {"affine": "ema"}),
    "affine_groups": Choice("affine_groups", {"affine_groups": 2}),
    "ema": Choice("ema", {"ema_decay": 0.8}),
    "manual ema": Choice("ema", {"ema_decay": 0.8, "ema_manual": True}),
    "simvq": Choice("simvq", {"simvq": True}),
    "replace": Choice("replace", {"replace_freq": 2}),
    "in-place SGD": Choice("in-place", {"inplace_optimizer": sgd}),
    "in-place AdamW": Choice("in-place", {"inplace_optimizer": adamw}),
    "kaiming": Choice("init", {"init": "kaiming"}),
    "uniform": Choice("init", {"init": "uniform"}),
    "k-means": Choice("init", {"kmeans_init": True}),
    "k-means++": Choice("init", {"init": "kmeans++"}),
    "kmeans_freq": Choice("kmeans_freq", {"kmeans_freq": 2}),
    "norm l2": Choice("norm", {"norm": "l2"}),
    "norm l2c": Choice("norm", {"norm": "l2c", "max_norm": 1.5}),
    "norm bn": Choice("norm", {"norm": "bn"}),
    "norm gn": Choice("norm", {"norm": "gn", "norm_groups": 1}),
    "norm in": Choice("norm", {"norm": "in"}),
    "cb_norm l2": Choice("cb_norm", {"cb_norm": "l2"}),
    "cb_norm l2c": Choice("cb_norm", {"cb_norm": "l2c", "max_norm": 1.5}),
    "cb_norm bn": Choice("cb_norm", {"cb_norm": "bn"}),
    "cb_norm gn": Choice("cb_norm", {"cb_norm": "gn", "norm_groups": 1}),
    "cb_norm in": Choice("cb_norm", {"cb_norm": "in"}),
    "temperature": Choice("temperature", {"temperature": 0.5, "temperature_decay": 0.9}),
    "orthogonal": Choice("orthogonal", {"orthogonal_weight": 0.3}),
    "entropy": Choice("entropy", {"entropy_weight": 0.2}),
    "inner_steps": Choice("inner_steps", {"inner_steps": 2}),
    "outer_steps": Choice("outer_steps", {"outer_steps": 2}),
    "reassign": Choice("reassign", {"reassign": True}),
    "mask": Choice("mask"),
    "freeze": Choice("freeze"),
    "dim": Choice("dim", {"dim": 1}),
}

KINDS = [
    "plain",
    "group",
    "shared group",
    "residual",
    "shared residual",
    "residual with dropout",
]

# What contradicts what, and words of the reason.
CONTRADICTIONS: list[tuple[set[str], set[str], str]] = [
    ({"sync_nu"}, {"ema", "manual ema"}, "no optimizer takes the gradient of an EMA codebook"),
    ({"sync_nu"}, {"directional"}, "the directional gradient already reaches the codebook"),
    ({"directional"}, {"ema", "manual ema"}, "the directional gradient trains the codebook itself"),
    ({"orthogonal"}, {"ema", "manual ema"}, "no gradient reaches an EMA codebook"),
    ({"simvq"}, {"ema", "manual ema"}, "SimVQ freezes the codebook"),
    ({"simvq"}, {"affine", "moments"}, "the linear map of SimVQ takes its place"),
    ({"in-place SGD", "in-place AdamW"}, {"ema", "manual ema"}, "an EMA codebook has no gradient"),
    ({"in-place SGD", "in-place AdamW"}, {"simvq"}, "SimVQ freezes the codebook"),
    ({"affine_groups"}, {"simvq"}, "it needs an affine map"),
    (
        {"inner_steps", "outer_steps", "reassign"},
        {"ema", "manual ema", "simvq"},
        "no inplace_optimizer",
    ),
]

# What residual layers refuse of one option, unless `code_size` projects each stage.
RESIDUAL_REFUSALS: dict[str, str] = {
    name: "codes of a fixed scale cannot follow residuals"
    for name in ("cb_norm l2", "cb_norm bn", "cb_norm gn", "cb_norm in")
}
SHARED_RESIDUAL_REFUSALS = {"code_size": "stages that share a codebook share its space"}

# By its options, or by its optimizer.
REFUSAL = (ValueError, RuntimeError)


@dataclass(frozen=True)
class Case:
    """A layer kind with a pair of choices."""

    kind: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.first}, {self.second}"

    def has(self, *names: str) -> bool:
        return self.first in names or self.second in names

    @property
    def is_residual(self) -> bool:
        return "residual" in self.kind

    @property
    def options(self) -> dict[str, Any]:
        merged = {"beta": 0.6} | CHOICES[self.first].options | CHOICES[self.second].options
        if self.has("affine_groups") and not self.has("affine", "moments", "simvq"):
            merged["affine_lr"] = 0.5
        if self.has("inner_steps", "outer_steps", "reassign") and not self.has(
            "in-place SGD", "in-place AdamW", "ema", "manual ema", "simvq"
        ):
            merged["inplace_optimizer"] = sgd
        return merged

    @property
    def reason(self) -> str | None:
        """Words of the sentence that refuses the pair; None when it must work."""
        pair = {self.first, self.second}
        for some, others, words in CONTRADICTIONS:
            if pair & some and pair & others:
                return words
        refused: dict[str, str] = {}
        if self.kind == "shared residual":
            refused = SHARED_RESIDUAL_REFUSALS | RESIDUAL_REFUSALS
        elif self.is_residual and not self.has("code_size"):
            refused = RESIDUAL_REFUSALS
        return next((words for name, words in refused.items() if name in pair), None)

    def make(self, seed: int = 0) -> vq.VectorQuant | vq.GroupVectorQuant | vq.ResidualVectorQuant:
        vq.manual_seed(seed)
        options = self.options
        match self.kind:
            case "plain":
                return vq.VectorQuant(FEATURES, CODES, **options)
            case "group" | "shared group":
                shared = self.kind == "shared group"
                return vq.GroupVectorQuant(FEATURES, CODES, groups=2, shared=shared, **options)
            case "residual with dropout":
                return vq.ResidualVectorQuant(
                    FEATURES, CODES, stages=3, quantizer_dropout=0.5, **options
                )
            case _:
                shared = self.kind == "shared residual"
                return vq.ResidualVectorQuant(FEATURES, CODES, stages=2, shared=shared, **options)


def pairs() -> list[tuple[str, str]]:
    """Every pair of choices that set different things."""
    return [(a, b) for a, b in combinations(CHOICES, 2) if CHOICES[a].slot != CHOICES[b].slot]


CASES = [Case(kind, first, second) for kind in KINDS for first, second in pairs()]
ACCEPTED = [case for case in CASES if case.reason is None]
REFUSED = [case for case in CASES if case.reason is not None]


def of_each(cases: Iterable[Case]) -> Callable[[Callable[[Case], None]], Callable[..., None]]:
    """Runs a check of each case, in one test for a kind and its first choice: thousands of tests
    take longer to count than to run. A failure names its case."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(f"{case.kind}: {case.first}", []).append(case)

    def decorate(check: Callable[[Case], None]) -> Callable[..., None]:
        @pytest.mark.parametrize("group", groups.values(), ids=groups)
        def of_group(group: list[Case]) -> None:
            for case in group:
                try:
                    check(case)
                except BaseException as error:
                    error.add_note(f"of the case {case}")
                    raise

        return of_group

    return decorate
