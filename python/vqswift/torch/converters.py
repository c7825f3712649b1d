"""Residual codebooks of audio codecs as layers of `vqswift.torch`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ._vector import ResidualVectorQuant

__all__ = ["from_encodec", "from_moshi"]

Stages = list[dict[str, torch.Tensor]]


def from_encodec(
    state: Mapping[str, torch.Tensor], prefix: str = "", **options: Any
) -> ResidualVectorQuant:
    """encodec's residual quantizer -> a layer of its codebooks, EMA counts and sums.

    Args:
        state: of a model or its quantizer; `prefix` is what stands before "layers.0._codebook",
            such as "quantizer.vq.".
        options: of `ResidualVectorQuant`; as encodec's where none are given: channels on axis 1, an
            EMA of decay 0.99, and the loss of the encoder alone.

    ValueError where there is no codebook, one waits for its start, sizes differ, or a stage has
    projections.
    """
    stages = _stages("from_encodec", state, prefix, "inited")
    books = [(part["embed"], part["cluster_size"], part["embed_avg"]) for part in stages]
    return _layer("from_encodec", books, options)


def from_moshi(
    state: Mapping[str, torch.Tensor], prefix: str = "", *, epsilon: float = 1e-5, **options: Any
) -> ResidualVectorQuant:
    """moshi's residual quantizer, semantic or acoustic -> a layer, as `from_encodec`.

    A codebook there is its sums by its usage, of at least `epsilon`. The projections that stand
    around all stages, `input_proj` and `output_proj`, stay with the model.
    """
    stages = _stages("from_moshi", state, prefix, "_initialized")
    books = []
    for part in stages:
        counts, sums = part["cluster_usage"], part["embedding_sum"]
        books.append((sums / counts.clamp(min=epsilon)[:, None], counts, sums))
    return _layer("from_moshi", books, options)


def _stages(operation: str, state: Mapping[str, torch.Tensor], prefix: str, started: str) -> Stages:
    """What each stage's codebook has, in order."""
    found: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        if not name.startswith(prefix):
            continue
        own = re.fullmatch(r"layers\.(\d+)\.(\w+)\.(\w+)", name.removeprefix(prefix))
        if own and own[2] in ("project_in", "project_out"):
            raise ValueError(f"[{operation}] {name!r}: stages with projections have no layer here")
        if own and own[2] == "_codebook":
            found.setdefault(int(own[1]), {})[own[3]] = value
    if sorted(found) != list(range(len(found))) or not found:
        raise ValueError(f"[{operation}] prefix = {prefix!r}: no stages begin there")
    waiting = [stage for stage, part in found.items() if not part[started].all()]
    if waiting:
        raise ValueError(f"[{operation}] stage {waiting[0]} waits for its start: it has no codes")
    return [found[stage] for stage in range(len(found))]


def _layer(
    operation: str, books: Sequence[tuple[torch.Tensor, ...]], given: dict[str, Any]
) -> ResidualVectorQuant:
    shapes = {tuple(codebook.shape) for codebook, _, _ in books}
    if len(shapes) > 1:
        raise ValueError(f"[{operation}] codebooks {sorted(shapes)}: stages must have one shape")
    ((codes, size),) = shapes
    options = {"dim": 1, "ema_decay": 0.99, "ema_epsilon": 1e-5, "beta": 0.0} | given
    layer = ResidualVectorQuant(size, codes, stages=len(books), **options)
    state = {"initialized": torch.ones(())}
    for stage, (codebook, counts, sums) in enumerate(books):
        state |= {"codebook": codebook, "ema_counts": counts, "ema_sums": sums}
        own = {f"{stage}.{name}": value for name, value in state.items()}
        there = [name for name in own if name in layer._plan.state]
        layer._write(there, [own[name] for name in there])
    return layer
