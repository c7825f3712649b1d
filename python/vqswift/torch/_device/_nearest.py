"""The nearest codes by matrix products in chunks, exact."""

from __future__ import annotations

import torch

# Distances in a chunk, and elements of the differences that are ranked in float64.
_CHUNK, _EXACT = 1 << 22, 1 << 22
_UNITS = {"highest": 2.0**-24, "high": 2.0**-11, "medium": 2.0**-8}


@torch.no_grad()
def nearest(z: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """int64 [n]: the arg-min of the squared distance in float64, the lowest index on equality.

    Distances about the codebook's mean, in the dtype of both, float32 or float64, have an error of
    at most `bound`: a row with one code within twice that has its code, another is ranked in
    float64.
    """
    k, d = codebook.shape
    center = codebook.mean(0)
    codes, points = codebook - center, z - center
    norms = codes.square().sum(1)
    single = z.dtype == torch.float32
    own = 2.0**-24 if single else 2.0**-53
    unit = _UNITS[torch.get_float32_matmul_precision()] if single else own
    reach = points.norm(dim=1) + norms.max().sqrt()
    size = z.norm(dim=1) + codebook.norm(dim=1).max() + center.norm()
    # Of the product and the sums, of the norms, and of the centered numbers.
    bound = 2 * ((d + 4) * unit * reach.square() + 4 * own * size * reach)
    found = torch.empty(len(z), dtype=torch.int64, device=z.device)
    step = max(1, _CHUNK // k)
    for start in range(0, len(z), step):
        rows = slice(start, start + step)
        distances = torch.addmm(norms, points[rows], codes.T, alpha=-2.0)
        limit = distances.amin(1) + 2 * bound[rows]
        close = distances <= limit[:, None]
        chosen = close.int().argmax(1)
        several = (close.sum(1) != 1).nonzero()[:, 0]
        if len(several):
            chosen[several] = _ranked(z[rows][several], codebook, close[several])
        found[rows] = chosen
    return found


@torch.no_grad()
def ranked(z: torch.Tensor, codebook: torch.Tensor, count: int) -> torch.Tensor:
    """int64 [n, count]: the nearest codes by squared distances in float64, the lower index first on
    equality."""
    found = torch.empty(len(z), count, dtype=torch.int64, device=z.device)
    codes = codebook.double()
    for start in range(0, len(z), step := max(1, _EXACT // codebook.numel())):
        rows = slice(start, start + step)
        distances = (z[rows].double()[:, None] - codes).square().sum(2)
        found[rows] = distances.sort(dim=1, stable=True).indices[:, :count]
    return found


@torch.no_grad()
def weighted_nearest(
    z: torch.Tensor, codebook: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """int64 [n]: the arg-min of `sum_l w_l (z_l - c_l)^2` in float64, weights [n, d] above 0, the
    lowest index on equality."""
    k, d = codebook.shape
    center = codebook.double().mean(0)
    codes, points = codebook.double() - center, z.double() - center
    scale = weights.double()
    reach = (scale * points.square()).sum(1) + (scale @ codes.square().T.amax(1))
    found = torch.empty(len(z), dtype=torch.int64, device=z.device)
    step = max(1, _CHUNK // k)
    for start in range(0, len(z), step):
        rows = slice(start, start + step)
        w = scale[rows]
        distances = w @ codes.square().T - 2 * (w * points[rows]) @ codes.T
        limit = distances.amin(1) + 16 * (d + 4) * 2.0**-53 * reach[rows]
        found[rows] = _ranked(z[rows], codebook, distances <= limit[:, None], w)
    return found


def _ranked(
    z: torch.Tensor,
    codebook: torch.Tensor,
    close: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The nearest of the close codes of each row, in float64."""
    row, code = close.nonzero().unbind(1)
    size = max(1, _EXACT // z.shape[1])
    pieces = []
    for r, c in zip(torch.split(row, size), torch.split(code, size), strict=True):
        squares = (z[r].double() - codebook[c].double()).square()
        pieces.append((squares if weights is None else squares * weights[r]).sum(1))
    exact = torch.cat(pieces)
    least = exact.new_full((len(z),), torch.inf).scatter_reduce(0, row, exact, "amin")
    best = exact == least[row]
    return code.new_full((len(z),), len(codebook)).scatter_reduce(0, row[best], code[best], "amin")
