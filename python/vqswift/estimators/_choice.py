"""Which layers of a model get weight quantizers, and what is told of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from .._warning import warn

# The share of clipped weights that is told.
_NOTABLE = 0.01


class Named(Protocol):
    """A layer of a model, of any library."""

    name: str

    @property
    def clipped_share(self) -> float: ...


_Layer = TypeVar("_Layer", bound=Named)


def chosen_layers(
    layers: Callable[[], Sequence[_Layer]],
    kinds: str,
    skip: str | Iterable[str],
    is_dense: Callable[[_Layer], bool],
) -> list[_Layer]:
    """The layers of those kinds, "all", "conv" or "linear", that no pattern in `skip` names."""
    if kinds not in ("all", "conv", "linear"):
        raise ValueError(f"[quantize_model] layers {kinds!r}: must be all, conv or linear")
    patterns = [skip] if isinstance(skip, str) else list(skip)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"[quantize_model] skip {pattern!r}: a name is required")
    found = layers()
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(layer.name, pattern) for layer in found):
            raise ValueError(
                f"[quantize_model] skip {pattern!r}: no layer has that name; there are "
                f"{', '.join(layer.name for layer in found) or 'none'}"
            )
    chosen = [
        layer
        for layer in found
        if kinds in ("all", "linear" if is_dense(layer) else "conv")
        and not any(fnmatch.fnmatchcase(layer.name, pattern) for pattern in patterns)
    ]
    if not chosen:
        raise ValueError("[quantize_model] no layer is left to quantize")
    return chosen


def check_grids(
    range: str, bound: float | None, per_channel: bool, *, is_learned: bool = False
) -> None:
    """Refuse what contradicts itself; `is_learned`: steps are, by LSQ."""
    if is_learned and bound is not None:
        raise ValueError(f"[quantize_model] bound {bound}: lsq learns its own")
    if range not in ("auto", "he", "max", "mse"):
        raise ValueError(f"[quantize_model] range {range!r}: must be auto, he, max or mse")
    if is_learned and range != "auto":
        raise ValueError(f"[quantize_model] range {range!r}: lsq learns its own")
    if per_channel and (is_learned or bound is not None or range == "he"):
        given = "lsq" if is_learned else f"bound {bound}" if range != "he" else "range 'he'"
        raise ValueError(f"[quantize_model] per_channel: {given} is one for a whole layer")
    if bound is not None and range != "auto":
        raise ValueError(f"[quantize_model] bound {bound} and range {range!r}: only one may be")


def tell_clipped(layers: Iterable[Named]) -> None:
    """Warn of layers of which more than 1% of the weights are clipped."""
    shares = [(layer.name or "the layer", layer.clipped_share) for layer in layers]
    clipped = [f"{name} {share:.1%}" for name, share in shares if share > _NOTABLE]
    if clipped:
        warn(
            f"[quantize_model] weights beyond the grid are clipped: {', '.join(clipped)}; "
            "range='max' clips none, range='mse' has the least error",
            RuntimeWarning,
        )
