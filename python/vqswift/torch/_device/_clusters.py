"""k-means in operations of PyTorch, by the rules of the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from ._nearest import nearest

# Points that are looked at, and draws that are made, before the CPU hears of them.
_AT_ONCE, _DRAWS = 1024, 64


class Clusters(NamedTuple):
    """Centroids [k, d], the nearest of each point [n], the sum of squared distances in float64, and
    the updates made."""

    centroids: torch.Tensor
    codes: torch.Tensor
    inertia: torch.Tensor
    iterations: int


@torch.no_grad()
def kmeans(
    x: torch.Tensor,
    k: int,
    iterations: int,
    init: str | torch.Tensor = "kmeans++",
    generator: torch.Generator | None = None,
) -> Clusters:
    """Lloyd's algorithm on x [n, d], float32 or float64, from "kmeans++", "random" or centroids.

    It ends when no code changes, after `iterations` updates at most. A cluster that empties takes
    the point farthest from its centroid.
    """
    centroids = _drawn(x, k, init, generator) if isinstance(init, str) else init.clone()
    codes: torch.Tensor | None = None
    made = iterations
    for step in range(iterations):
        found = nearest(x, centroids)
        counts = torch.bincount(found, minlength=k)
        sums = x.new_zeros(centroids.shape, dtype=torch.float64).index_add(0, found, x.double())
        means = sums / counts.clamp(min=1)[:, None]
        centroids = torch.where(counts[:, None] > 0, means, centroids.double()).to(x.dtype)
        moved = _fill(x, found, counts, centroids, moves_donors=True)
        if not moved and codes is not None and torch.equal(found, codes):
            made = step
            break
        codes = found
    codes = nearest(x, centroids)
    while iterations and _fill(
        x, codes, torch.bincount(codes, minlength=k), centroids, moves_donors=False
    ):
        codes = nearest(x, centroids)
    return Clusters(centroids, codes, _distances(x, centroids, codes).sum(), made)


def moved_points(
    x: torch.Tensor, count: int, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Random rows of x [n, d], each moved by normal noise of 1% of its length: [count, d]."""
    chosen = x[torch.randint(len(x), (count,), device=x.device, generator=generator)]
    noise = torch.randn(chosen.shape, device=x.device, dtype=x.dtype, generator=generator)
    lengths: torch.Tensor = chosen.norm(dim=1, keepdim=True) / x.shape[1] ** 0.5
    return chosen + 0.01 * lengths * noise


def _drawn(x: torch.Tensor, k: int, init: str, generator: torch.Generator | None) -> torch.Tensor:
    if init == "random":
        rows = torch.randperm(len(x), device=x.device, generator=generator)[:k]
        taken = x[rows]
    else:
        taken = _plus_plus(x, k, generator)
    return torch.cat([taken, moved_points(x, k - len(taken), generator)])


def _plus_plus(x: torch.Tensor, k: int, generator: torch.Generator | None) -> torch.Tensor:
    """At most k points, each drawn with probability proportional to its squared distance from those
    before it; fewer where no more are distinct."""
    points = x.double()
    row = torch.randint(len(x), (1,), device=x.device, generator=generator)
    rows, totals = [row], list[torch.Tensor]()
    least = (points - points[row]).square().sum(1)
    while len(rows) < k:
        cumulative = least.cumsum(0)
        total = cumulative[-1:]
        totals.append(total)
        uniform = torch.rand(1, device=x.device, dtype=torch.float64, generator=generator)
        target = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
        row = torch.searchsorted(cumulative, target, right=True).clamp(max=len(x) - 1)
        rows.append(row)
        least = torch.minimum(least, (points - points[row]).square().sum(1))
        if len(rows) % _DRAWS == 0 and not total > 0:
            break
    # Draws after the last distinct point are none.
    count = 1 + int((torch.cat(totals) > 0).sum()) if totals else 1
    return x[torch.cat(rows[:count])]


def _distances(x: torch.Tensor, centroids: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    return (x.double() - centroids[codes].double()).square().sum(1)


def _fill(
    x: torch.Tensor,
    codes: torch.Tensor,
    counts: torch.Tensor,
    centroids: torch.Tensor,
    *,
    moves_donors: bool,
) -> int:
    """Moves centroids without points onto points, in place: each takes the one that is farthest
    from its own, no two of equal elements; returns how many moved.

    With `moves_donors` the point leaves the mean of its cluster, which keeps one at least.
    """
    empty = (counts == 0).nonzero()[:, 0].tolist()
    if not empty:
        return 0
    left = counts.tolist()
    taken: set[tuple[float, ...]] = set()
    moved = 0
    for row, donor, elements in _farthest(x, _distances(x, centroids, codes), codes):
        point = tuple(elements)
        is_new = point not in taken
        taken.add(point)
        if not is_new or (moves_donors and left[donor] <= 1):
            continue
        centroids[empty[moved]] = x[row]
        moved += 1
        if moves_donors:
            rest = left[donor] * centroids[donor].double() - x[row].double()
            left[donor] -= 1
            centroids[donor] = (rest / left[donor]).to(x.dtype)
        if moved == len(empty):
            break
    return moved


def _farthest(
    x: torch.Tensor, distances: torch.Tensor, codes: torch.Tensor
) -> Iterator[tuple[int, int, list[float]]]:
    """Rows with a distance, the largest first, the lower row on equality, their codes and their
    elements."""
    order = distances.sort(descending=True, stable=True).indices
    for rows in torch.split(order[: int((distances > 0).sum())], _AT_ONCE):
        yield from zip(rows.tolist(), codes[rows].tolist(), x[rows].tolist(), strict=True)
