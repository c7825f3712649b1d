"""The nearest codes by matrix products in chunks, exact."""

from __future__ import annotations

import torch

# Distances in a chunk, and elements of the differences that are ranked in float64.
_CHUNK, _EXACT = 1 << 22, 1 << 22
# Pairs a row from which it is worth looking for equal codes.
_MANY = 8
# Centered lengths whose products neither overflow nor vanish in sums: of rows at most the second,
# of the longest code between the two.
_LENGTHS = {torch.float32: (2.0**-40, 2.0**60), torch.float64: (2.0**-400, 2.0**400)}
# Of float64; exponents beyond are moved.
_UNIT, _EXPONENTS = 2.0**-53, 300


@torch.no_grad()
def nearest(z: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """int64 [n]: the arg-min of the squared distance in float64, the lowest index on equality, of
    finite numbers, both float32 or float64.

    Rows z and codes c about the codebook's mean have `|c|^2 - 2 z c`, with an error of at most
    `bound`: a row with one code within twice that has its code. Others of float32 are looked up in
    float64, and there codes so close are ranked by their differences.
    """
    if z.dtype == torch.float64:
        z, codebook = _scaled(z, codebook)
    k, d = codebook.shape
    center = codebook.mean(0)
    codes, points = codebook - center, z - center
    norms, lengths = codes.square().sum(1), points.norm(dim=1)
    longest = norms.max().sqrt()
    least, largest = _LENGTHS[z.dtype]
    fits = (lengths <= largest) & (longest >= least) & (longest <= largest)
    left, right, unit = _factors(points, codes)
    # Of products and sums, and of the differences in float64 that are the definition.
    terms = 1.1 * left.shape[1] + 8
    bound = terms * unit * longest * (longest + 2 * lengths)
    bound += terms * _UNIT * (longest + lengths).square()
    found = torch.empty(len(z), dtype=torch.int64, device=z.device)
    is_open = torch.zeros(len(z), dtype=torch.bool, device=z.device)
    step = max(1, _CHUNK // k)
    for start in range(0, len(z), step):
        rows = slice(start, start + step)
        with torch.autocast(z.device.type, enabled=False):
            distances = torch.addmm(norms, left[rows], right.T, alpha=-2.0)
        lowest, found[rows] = distances.min(1)
        limit = torch.where(fits[rows], lowest + 2 * bound[rows], torch.inf)
        close = distances <= limit[:, None]
        several = (close.sum(1) != 1) | ~fits[rows]
        if z.dtype == torch.float32:
            is_open[rows] = several
            continue
        these = several.nonzero()[:, 0]
        if len(these):
            found[start + these] = _ranked(z[rows][these], codebook, close[these])
    if z.dtype == torch.float32:
        these = is_open.nonzero()[:, 0]
        if len(these):
            found[these] = nearest(z[these].double(), codebook.double())
    return found


def _factors(points: torch.Tensor, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Matrices [n, l] and [k, l] whose product is that of both, and the rounding unit of its sums.

    Where PyTorch may round float32 factors of products, to 8 bits at least, each is the sum of
    three parts of 8 bits, and the products of parts that count are added up.
    """
    if points.dtype == torch.float64:
        return points, codes, _UNIT
    try:
        rounds = torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # Set by the names of its backends.
        rounds = True
    if not rounds:
        return points, codes, 2.0**-24
    a, b = _parts(points), _parts(codes)
    pairs = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    left = torch.cat([a[i] for i, _ in pairs], 1)
    return left, torch.cat([b[j] for _, j in pairs], 1), 2.0**-22


def _parts(x: torch.Tensor) -> list[torch.Tensor]:
    """Three numbers of 8 bits each that add up to those of x."""
    parts = []
    for _ in range(3):
        parts.append(x.bfloat16().float())
        x = x - parts[-1]
    return parts


def _scaled(z: torch.Tensor, codebook: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in float64, times a power of 2 such that squares neither overflow nor vanish."""
    z, codebook = z.double(), codebook.double()
    largest = codebook.abs().amax()
    if len(z):
        largest = torch.maximum(largest, z.abs().amax())
    exponent = torch.frexp(largest)[1]
    shift = torch.where(exponent.abs() > _EXPONENTS, -exponent, 0)
    half = shift // 2
    factors = [torch.ldexp(largest.new_ones(()), part) for part in (half, shift - half)]
    return z * factors[0] * factors[1], codebook * factors[0] * factors[1]


@torch.no_grad()
def ranked(z: torch.Tensor, codebook: torch.Tensor, count: int) -> torch.Tensor:
    """int64 [n, count]: the nearest codes by squared distances in float64, the lower index first on
    equality."""
    found = torch.empty(len(z), count, dtype=torch.int64, device=z.device)
    points, codes = _scaled(z, codebook)
    for start in range(0, len(z), step := max(1, _EXACT // codebook.numel())):
        rows = slice(start, start + step)
        distances = (points[rows][:, None] - codes).square().sum(2)
        found[rows] = distances.sort(dim=1, stable=True).indices[:, :count]
    return found


@torch.no_grad()
def weighted_nearest(
    z: torch.Tensor, codebook: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """int64 [n]: the arg-min of `sum_l w_l (z_l - c_l)^2` in float64 of finite float32 numbers,
    weights [n, d] above 0, the lowest index on equality."""
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
        limit = distances.amin(1) + 16 * (d + 4) * _UNIT * reach[rows]
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
    if len(row) > _MANY * len(z) + len(codebook):
        row, code = (close & _is_first(codebook)).nonzero().unbind(1)
    size = max(1, _EXACT // z.shape[1])
    pieces = []
    for r, c in zip(torch.split(row, size), torch.split(code, size), strict=True):
        squares = (z[r].double() - codebook[c].double()).square()
        pieces.append((squares if weights is None else squares * weights[r]).sum(1))
    exact = torch.cat(pieces)
    least = exact.new_full((len(z),), torch.inf).scatter_reduce(0, row, exact, "amin")
    best = exact == least[row]
    return code.new_full((len(z),), len(codebook)).scatter_reduce(0, row[best], code[best], "amin")


def _is_first(codebook: torch.Tensor) -> torch.Tensor:
    """Whether each code is the first of those equal to it, [k]."""
    places = torch.unique(codebook, dim=0, return_inverse=True)[1]
    own = torch.arange(len(codebook), device=codebook.device)
    first = torch.full_like(own, len(own)).scatter_reduce(0, places, own, "amin")
    return own == first[places]
