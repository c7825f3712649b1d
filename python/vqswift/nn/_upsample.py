"""Elements of sequences, images and volumes at other places."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._integers import as_layer_input
from .._options import create
from .._tensor import Tensor
from ._native import Native


def _numbers(value: Any) -> tuple[Any, ...] | None:
    """None, one number or several as the core takes them."""
    return value if value is None else tuple(value) if np.ndim(value) else (value,)


@checked
class Upsample(Native):
    """[n, l, c], [n, h, w, c] or [n, d, h, w, c] with `scale_factor` times the elements along the
    axes between, rounded down, or with those of `size`: one number, or one for each axis.

    `Upsample(2)` is a factor, as in mlx; torch has `size` first, which is given by its name here.
    `mode` "nearest" repeats elements, "nearest-exact" takes the one in the middle of each new one,
    "linear", "bilinear" and "trilinear" are lines between elements of one, two and three axes,
    "bicubic" Keys's cubics with a = -0.75, all with torch's numbers. `align_corners` leaves the
    middles of the first and last elements where they are, instead of their outer ends.
    """

    _operation = "interpolate"

    def __init__(
        self,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        *,
        size: int | tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(
            create(
                "interpolate",
                scale_factor=_numbers(scale_factor),
                mode=mode,
                align_corners=align_corners,
                size=_numbers(size),
            )
        )


@checked
def interpolate(
    x: npt.ArrayLike | Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """x [n, l, c], [n, h, w, c] or [n, d, h, w, c] at other places of the axes between, as
    `vq.nn.Upsample` says; the parameters in torch's order."""
    given = as_layer_input("interpolate", x)
    return Upsample(scale_factor, mode, align_corners, size=size).forward(given)
