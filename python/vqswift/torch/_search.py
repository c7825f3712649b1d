"""The nearest codes of tensors, and k-means."""

from __future__ import annotations

from typing import Literal, NamedTuple, overload

import torch

from .. import quantizers as native
from . import _device as device
from . import _operators as operators
from ._engines import follow_threads

# What is computed in float64.
_WIDE = (torch.float64, torch.int32, torch.int64)


class KMeansResult(NamedTuple):
    """What `kmeans` gives.

    Attributes:
        centroids: [k, d].
        codes: int64 [n].
        inertia: the sum of the squared distances of vectors to their centroids.
        iterations: those run.
    """

    centroids: torch.Tensor
    codes: torch.Tensor
    inertia: float
    iterations: int


def _points(operation: str, name: str, value: torch.Tensor) -> torch.Tensor:
    """On the CPU, without a gradient; halves as float32."""
    if value.device.type != "cpu":
        raise NotImplementedError(f"[{operation}] {name} is on {value.device}: it has no values")
    if value.is_complex():
        raise TypeError(f"[{operation}] {name} is {value.dtype}: real numbers are required")
    is_half = value.dtype in (torch.float16, torch.bfloat16)
    return value.detach().float() if is_half else value.detach()


def _require_together(operation: str, **given: torch.Tensor) -> None:
    (first, x), (name, other) = given.items()
    if x.device != other.device:
        raise ValueError(
            f"[{operation}] {name} is on {other.device}, {first} on {x.device}: move one"
        )


def _matrices(operation: str, **given: torch.Tensor) -> list[torch.Tensor]:
    """Matrices on another device, in the dtype that they are computed in."""
    wide = any(value.dtype in _WIDE for value in given.values())
    found = []
    for name, value in given.items():
        if value.is_complex():
            raise TypeError(f"[{operation}] {name} is {value.dtype}: real numbers are required")
        matrix = value.detach().to(torch.float64 if wide else torch.float32)
        if matrix.ndim != 2 or not matrix.numel():
            raise ValueError(
                f"[{operation}] {name} has shape {[*value.shape]}: a matrix with elements is "
                "required"
            )
        found.append(matrix)
    device.require_finite(operation, dict(zip(given, found, strict=True)))
    if len({matrix.shape[1] for matrix in found}) > 1:
        shapes = " and ".join(str([*value.shape]) for value in given.values())
        raise ValueError(f"[{operation}] shapes {shapes}: rows of equal width are required")
    return found


@overload
def nearest_codes(
    x: torch.Tensor,
    codebook: torch.Tensor,
    return_distances: Literal[False] = False,
    topk: int | None = None,
) -> torch.Tensor: ...
@overload
def nearest_codes(
    x: torch.Tensor,
    codebook: torch.Tensor,
    return_distances: Literal[True],
    topk: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]: ...
def nearest_codes(
    x: torch.Tensor,
    codebook: torch.Tensor,
    return_distances: bool = False,
    topk: int | None = None,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """x [n, d], codebook [k, d] -> codes int64 [n], and squared distances [n] if asked.

    With `topk`, 1 to k: the so many nearest codes, nearest first, [n, topk], and their distances.
    The code is the arg-min of the squared distance in float64, the lowest index on equality.
    Tensors of float64, and of integers of 32 bits and more, are compared in float64 and give
    float64 distances, others in float32. There is no gradient. ValueError for NaN, infinity, no
    rows or no codes.
    """
    _require_together("nearest_codes", x=x, codebook=codebook)
    if topk is not None and not 1 <= topk <= max(len(codebook), 1):
        raise ValueError(
            f"[nearest_codes] topk = {topk}: must be at least 1 and at most the {len(codebook)} "
            "codes"
        )
    if device.is_meant(x):
        z, rows = _matrices("nearest_codes", x=x, codebook=codebook)
        codes = device.nearest(z, rows) if topk is None else device.ranked(z, rows, topk)
        if not return_distances:
            return codes
        points = z.double() if topk is None else z.double()[:, None]
        return codes, (points - rows.double()[codes]).square().sum(-1).to(z.dtype)
    points = _points("nearest_codes", "x", x)
    rows = _points("nearest_codes", "codebook", codebook)
    codes, distances = operators.nearest_codes(points, rows, topk or 0)
    return (codes, distances) if return_distances else codes


@torch.no_grad()
def kmeans(
    x: torch.Tensor,
    k: int,
    iterations: int = 25,
    init: str | torch.Tensor = "kmeans++",
    seed: int = 0,
) -> KMeansResult:
    """Lloyd's k-means of x [n, d]: `centroids` [k, d] of x's dtype, also when n < k.

    `vqswift.kmeans` of a tensor. `init` is "kmeans++", "random" or centroids [k, d]. float64 is
    computed in float64, other dtypes in float32. No cluster is left empty while a point lies off
    its centroid. ValueError for NaN, infinity or no vectors.
    """
    if isinstance(init, torch.Tensor):
        _require_together("kmeans", x=x, init=init)
    if device.is_meant(x):
        return _kmeans_elsewhere(x, k, iterations, init, seed)
    points = _points("kmeans", "x", x)
    start = init if isinstance(init, str) else _points("kmeans", "init", init).numpy()
    follow_threads()
    found = native.kmeans(points.numpy(), k, iterations=iterations, init=start, seed=seed)
    centroids = torch.from_numpy(found.centroids)
    return KMeansResult(
        centroids.to(x.dtype) if x.is_floating_point() else centroids,
        torch.from_numpy(found.codes).long(),
        found.inertia,
        found.iterations,
    )


def _kmeans_elsewhere(
    x: torch.Tensor, k: int, iterations: int, init: str | torch.Tensor, seed: int
) -> KMeansResult:
    for name, value, least in (("k", k, 1), ("iterations", iterations, 0)):
        if value < least:
            raise ValueError(f"[kmeans] {name} = {value}: must be at least {least}")
    if isinstance(init, str):
        if init not in ("kmeans++", "random"):
            raise ValueError(
                f"[kmeans] init = {init!r}: it must be 'kmeans++', 'random' or a tensor"
            )
        start: str | torch.Tensor = init
        (points,) = _matrices("kmeans", x=x)
    else:
        points, start = _matrices("kmeans", x=x, init=init)
        if len(start) != k:
            raise ValueError(f"[kmeans] init has shape {[*init.shape]}: k = {k} rows are required")
    generator = torch.Generator(x.device).manual_seed(seed)
    found = device.kmeans(points, k, iterations, start, generator)
    return KMeansResult(
        found.centroids.to(x.dtype) if x.is_floating_point() else found.centroids,
        found.codes,
        float(found.inertia),
        found.iterations,
    )
