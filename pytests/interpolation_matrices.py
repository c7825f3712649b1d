"""Interpolation along an axis as a matrix in Float64, by torch's definition."""

from __future__ import annotations

import numpy as np

MODES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "trilinear": (3,),
}


def cubic(distance: float) -> float:
    """Keys's kernel, a = -0.75."""
    x, a = abs(distance), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def sources(mode: str, n: int, m: int, factor: float | None) -> np.ndarray:
    """The element that each of `m` is; steps rounded to float32, as torch has them."""
    places = np.arange(m)
    if mode == "nearest" and m % n == 0 and factor in (None, m // n):
        return places // (m // n)
    step = np.float32(n) / np.float32(m) if factor is None else np.float32(1 / factor)
    shift = np.float32(0.0 if mode == "nearest" else 0.5)
    at = (places.astype(np.float32) + shift) * step
    return np.minimum(np.floor(at).astype(int), n - 1)


def matrix(mode: str, n: int, m: int, factor: float | None, align: bool) -> np.ndarray:
    """[m, n], from `n` elements to `m`."""
    found = np.zeros((m, n))
    if mode.startswith("nearest"):
        found[np.arange(m), sources(mode, n, m, factor)] = 1
        return found
    if n == m and mode != "bicubic":
        return np.eye(n)
    step = n / m if factor is None else 1 / factor
    if align:
        step = (n - 1) / (m - 1) if m > 1 else 0.0
    for place in range(m):
        at = place * step if align else (place + 0.5) * step - 0.5
        if mode != "bicubic":
            at = max(at, 0.0)
        low = int(np.floor(at))
        if mode == "bicubic":
            for i in range(low - 1, low + 3):
                found[place, min(max(i, 0), n - 1)] += cubic(at - i)
        else:
            found[place, min(low, n - 1)] += 1 - (at - low)
            found[place, min(low + 1, n - 1)] += at - low
    return found


def interpolated(
    x: np.ndarray, sizes: tuple[int, ...], factors: tuple[float | None, ...], mode: str, align: bool
) -> np.ndarray:
    """x [n, *s, c] of any type, with `sizes` along the axes between."""
    for axis, (m, factor) in enumerate(zip(sizes, factors, strict=True), 1):
        along = matrix(mode, x.shape[axis], m, factor, align)
        x = np.moveaxis(np.tensordot(along, x, (1, axis)), 0, axis)
    return x
