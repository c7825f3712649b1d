"""Estimators of quantized weights against their formulas and integrals in NumPy, in Float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from hypothesis import given, settings
from hypothesis import strategies as st
from vqswift import estimators
from vqswift.estimators import Estimator, GridEstimator

EPSILON, EPSILON64 = 2.0**-23, 2.0**-52
BOUND = 0.7
SAMPLES = [0.4, 1.7, 0.9, 2.5, 0.3, 1.1, 0.4]
SKEWED = [0.2, 0.5, 3.0, 0.8, 2.2]


def hill(s: np.ndarray) -> np.ndarray:
    return 1 / (0.3 + 4 * s * s)


CYCLICAL: dict[str, Estimator] = {
    "ste": estimators.ste(),
    "clipped_ste": estimators.clipped_ste(),
    "dsq": estimators.dsq(),
    "soft dsq": estimators.dsq(0.1),
    "cosine": estimators.cosine(),
    "negative cosine": estimators.cosine(-0.5),
    "samples": estimators.from_samples(SAMPLES),
    "skewed samples": estimators.from_samples(SKEWED),
    "function": estimators.from_function(hill),
}
ONE_BIT: dict[str, Estimator] = {
    "tanh": estimators.tanh(),
    "sharp tanh": estimators.tanh(4.0),
    "sigmoid": estimators.sigmoid(),
    "arctan": estimators.arctan(),
    "approx_sign": estimators.approx_sign(),
    "reste": estimators.reste(),
    "reste of power 1": estimators.reste(1.0),
    "reste with a cap": estimators.reste(5.0, 0.01),
}
GRIDS = [(name, bits) for name in CYCLICAL for bits in range(1, 9)]
WARPED = [*GRIDS, *((name, 1) for name in ONE_BIT), ("mad", 1), ("mad", 3)]
EVERY = [*WARPED, ("grid samples", 1), ("grid samples", 3), ("ewgs", 2), ("ede", 1)]
MORE = {
    "mad": estimators.mad(),
    "ewgs": estimators.ewgs(),
    "ede": estimators.ede(0.75),
    "grid samples": estimators.from_samples(SKEWED, cyclical=False),
}


def on_grid(name: str, bits: int) -> GridEstimator:
    return (CYCLICAL | ONE_BIT | MORE)[name].on(bits, BOUND)


def spacing(bits: int, bound: float = BOUND) -> float:
    return 2 * bound / (2**bits - 1)


def boundary(w: np.ndarray, bits: int, bound: float = BOUND) -> np.ndarray:
    """Of the cell of w, the outermost one beyond the grid."""
    d = spacing(bits, bound)
    return (np.clip(np.floor((w + bound) / d), 0, 2**bits - 2) + 0.5) * d - bound


def rounded(w: np.ndarray, bits: int, bound: float = BOUND) -> np.ndarray:
    d = spacing(bits, bound)
    return d * np.rint((np.clip(w, -bound, bound) + bound) / d) - bound


def h(name: str, w: np.ndarray, bits: int, m: float = BOUND) -> np.ndarray:
    """The formulas, written again."""
    d = spacing(bits, m)
    t = w - boundary(w, bits, m)
    inside = np.abs(w) <= m
    a = np.abs(w)
    if name in ("dsq", "soft dsq"):
        k = {1: 2.0, 2: 5.5, 3: 10.5}.get(bits, 1.2 * (2**bits - 1)) if name == "dsq" else 0.1
        e = k * d / (2 * m)
        return inside * e / np.tanh(e) / np.cosh(inside * k * t / m) ** 2
    k = 4.0 if name == "sharp tanh" else 2 / m
    if name.endswith("tanh"):
        return k * (1 - np.tanh(k * w) ** 2)
    if name.startswith("reste"):
        o, cap = {"reste": (3, m / 10), "reste of power 1": (1, m / 10)}.get(name, (5, 0.01))
        return np.maximum(a, cap) ** ((1 - o) / o) / o
    places = np.linspace(-0.5, 0.5, 4097)
    formulas: dict[str, Callable[[], np.ndarray]] = {
        "ste": lambda: np.ones_like(w),
        "clipped_ste": lambda: inside * 1.0,
        "cosine": lambda: inside * (1 + 0.75 * np.cos(2 * np.pi * t / d)),
        "negative cosine": lambda: inside * (1 - 0.5 * np.cos(2 * np.pi * t / d)),
        "samples": lambda: inside * np.interp(t / d, np.linspace(-0.5, 0.5, 7), SAMPLES),
        "skewed samples": lambda: inside * np.interp(t / d, np.linspace(-0.5, 0.5, 5), SKEWED),
        "grid samples": lambda: inside * np.interp(w, np.linspace(-m, m, 5), SKEWED),
        "function": lambda: inside * np.interp(t / d, places, hill(places)),
        "sigmoid": lambda: np.exp(-w) / (1 + np.exp(-w)) ** 2,
        "arctan": lambda: 1 / (1 + w**2),
        "approx_sign": lambda: np.where(a < 1, 2 - 2 * a, 0),
        "mad": lambda: np.where(inside, 1, m / np.maximum(a, m)),
        "ewgs": lambda: inside * 1.0,
        # t = 10^(2 * 0.75 - 1), above 1: k = 1.
        "ede": lambda: np.sqrt(10) / np.cosh(np.sqrt(10) * w) ** 2,
    }
    return formulas[name]()


def weights(bits: int, count: int = 400, reach: float = 1.3) -> np.ndarray:
    """Float64, on and beyond the grid, none on a boundary or a value of it."""
    return vq.Generator(bits).uniform((count,), -reach, reach).numpy().astype(np.float64) * BOUND


def integral(name: str, start: np.ndarray, end: np.ndarray, bits: int) -> np.ndarray:
    """Of 1 / h from `start` to `end`, by Simpson's rule on 4000 intervals."""
    s = np.linspace(0, 1, 4001)[:, None]
    factors = np.ones(4001)
    factors[1:-1:2], factors[2:-1:2] = 4, 2
    # Between the ends of a cell only: the outermost point may not fall beyond it by rounding.
    inner = np.clip(start + s * (end - start), np.minimum(start, end), np.maximum(start, end))
    return factors @ (1 / h(name, inner, bits)) * (end - start) / 12000


@pytest.mark.parametrize(("name", "bits"), EVERY)
def test_the_derivative_is_its_formula(name: str, bits: int) -> None:
    w = weights(bits)
    wanted = h(name, w, bits)
    # The place in a cell loses as many bits as the grid has; 1 / D is the slope of h there.
    tolerance = 64 * EPSILON64 * 2**bits * (1 + wanted.max()) * 4096 ** (name == "function")
    assert np.abs(on_grid(name, bits).derivative(w) - wanted).max() <= tolerance


@pytest.mark.parametrize(("name", "bits"), EVERY)
def test_q_is_its_formula(name: str, bits: int) -> None:
    w = weights(bits)
    assert np.array_equal(on_grid(name, bits).quantize(w), rounded(w, bits))


@pytest.mark.parametrize(("name", "bits"), GRIDS)
def test_alpha_is_the_harmonic_mean_over_a_cell(name: str, bits: int) -> None:
    left = rounded(np.array([0.1]), bits)
    middle = left + spacing(bits) / 2
    if left[0] > BOUND - spacing(bits) / 2:
        middle = left - spacing(bits) / 2
    half = np.array([spacing(bits) / 2]) * (1 - 1e-12)
    whole = integral(name, middle, middle + half, bits) + integral(
        name, middle - half, middle, bits
    )
    assert on_grid(name, bits).alpha == pytest.approx(spacing(bits) / whole[0], rel=1e-6)


@pytest.mark.parametrize("name", [*ONE_BIT, "mad"])
def test_alpha_of_one_bit_estimators_is_1(name: str) -> None:
    assert on_grid(name, 1).alpha == 1


@pytest.mark.parametrize(
    ("bits", "sharpness", "alpha"),
    [(1, 2, 0.530), (2, 5.5, 0.610), (2, 6.5, 0.454), (4, 18, 0.878)],
)
@pytest.mark.parametrize("bound", [0.05, 1.0, 30.0])
def test_alpha_of_dsq_in_the_papers_settings(
    bits: int, sharpness: float, alpha: float, bound: float
) -> None:
    assert estimators.dsq(sharpness).on(bits, bound).alpha == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize(("name", "bits"), WARPED)
def test_the_warp_is_the_integral_of_the_reciprocal(name: str, bits: int) -> None:
    w = weights(bits, 60, 0.99)
    start = boundary(w, bits) if name in CYCLICAL else np.zeros_like(w)
    if name == "mad":
        w = weights(bits, 60, 3.0)
    grid = on_grid(name, bits)
    wanted = start + grid.alpha * integral(name, start, w, bits)
    assert np.abs(grid.warp(w) - wanted).max() <= 1e-6 * BOUND


@pytest.mark.parametrize("name", [n for n in CYCLICAL if n not in ("ste",)])
def test_beyond_the_grid_the_warp_goes_on_with_slope_1(name: str) -> None:
    grid = on_grid(name, 2)
    edge = grid.warp(np.array([-BOUND, BOUND]))
    assert grid.warp(np.array([-BOUND - 0.5, BOUND + 0.25])) == pytest.approx(
        edge + [-0.5, 0.25], abs=8 * EPSILON64
    )


@pytest.mark.parametrize(("name", "bits"), WARPED)
def test_the_warp_fixes_every_boundary_and_keeps_q(name: str, bits: int) -> None:
    grid = on_grid(name, bits)
    d = spacing(bits)
    assert np.allclose(np.diff(grid.boundaries), d, rtol=0, atol=4 * EPSILON64)
    assert grid.boundaries[0] == pytest.approx(-BOUND + d / 2)
    assert len(grid.boundaries) == 2**bits - 1 and grid.spacing == d
    assert np.abs(grid.warp(grid.boundaries) - grid.boundaries).max() <= 4 * EPSILON64
    near = np.concatenate([grid.boundaries + side * d for side in (-1e-9, 1e-9, -1e-4, 1e-4)])
    w = np.sort(np.concatenate([weights(bits, 200 * 2**bits), near]))
    warped = grid.warp(w)
    assert np.array_equal(rounded(warped, bits), rounded(w, bits))
    assert (np.diff(warped)[np.diff(w) > 1e-12] > 0).all()


@pytest.mark.parametrize(("name", "bits"), WARPED)
def test_the_inverse_warp(name: str, bits: int) -> None:
    grid, w = on_grid(name, bits), weights(bits, 50)
    # A rounding of M is one of w divided by M' = alpha / h.
    slope = np.divide(grid.alpha, grid.derivative(w), out=np.ones(50), where=grid.derivative(w) > 0)
    tolerance = 16 * EPSILON64 * (1 + 1 / slope)
    assert (np.abs(grid.inverse_warp(grid.warp(w)) - w) <= tolerance).all()


@pytest.mark.parametrize("method", ["quantize", "derivative", "warp", "inverse_warp"])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3), (2, 1, 4)])
def test_functions_of_a_weight_keep_its_shape(method: str, shape: tuple[int, ...]) -> None:
    w = np.linspace(-0.6, 0.6, int(np.prod(shape))).reshape(shape)
    function = getattr(on_grid("dsq", 2), method)
    result = function(w)
    assert np.shape(result) == shape
    assert np.ravel(result).tolist() == [float(function(float(x))) for x in w.flat]
    transposed = np.broadcast_to(w, (2, *shape)).T
    assert np.array_equal(function(transposed), np.broadcast_to(result, (2, *shape)).T)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.floats(0.02, 50), min_size=2, max_size=12), st.integers(1, 8))
def test_alpha_of_a_mean_of_1_is_below_1_unless_h_is_constant(h: list[float], bits: int) -> None:
    values = np.array(h)
    values /= (values[1:] + values[:-1]).mean() / 2
    alpha = estimators.from_samples(values).on(bits, 0.3).alpha
    left, right = values[:-1], values[1:]
    same = np.abs(right - left) < 1e-9 * left
    parts = np.where(same, 1 / left, np.log(right / left) / np.where(same, 1, right - left))
    assert alpha == pytest.approx(1 / parts.mean(), rel=1e-7)
    if np.ptp(values) > 1e-3:
        assert alpha < 1
    elif np.ptp(values) == 0:
        assert alpha == pytest.approx(1, rel=8 * EPSILON64)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(0.02, 50), min_size=2, max_size=12),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
def test_any_cyclical_h_keeps_q(h: list[float], bits: int, seed: int) -> None:
    grid = estimators.from_samples(h).on(bits, BOUND)
    w = np.sort(np.random.default_rng(seed).uniform(-1, 1, 300))
    warped = grid.warp(w)
    assert np.array_equal(rounded(warped, bits), rounded(w, bits))
    assert (np.diff(warped) > 0).all()


def test_samples_of_the_grid_have_a_warp_where_the_cells_are_alike() -> None:
    alike = estimators.from_samples([2.0, 2.0, 2.0], cyclical=False).on(3, BOUND)
    assert alike.obstacle is None and alike.alpha == pytest.approx(2)
    w = weights(3, 200, 0.99)
    assert np.abs(alike.warp(w) - w).max() <= 8 * EPSILON64
    differ = estimators.from_samples([1.0, 2.0], cyclical=False).on(3, BOUND)
    assert "it is uneven: its warp moves the boundary" in str(differ.obstacle)
    even = estimators.from_samples([1.0, 2.0, 1.0], cyclical=False)
    assert even.on(1, BOUND).obstacle is None


@pytest.mark.parametrize("cyclical", [True, False])
def test_samples_that_move_the_ends_of_the_grid_are_told(cyclical: bool) -> None:
    """The straight-through partner is clipped there."""
    skewed = estimators.from_samples([1.0, 2.0], cyclical=cyclical).on(1, BOUND)
    assert f"its warp moves the end of the grid {-BOUND}" in str(skewed.obstacle)
    assert skewed.warp(BOUND) < BOUND - 0.01


@pytest.mark.parametrize("cyclical", [True, False])
def test_a_function_is_called_once_with_positions(cyclical: bool) -> None:
    calls = []

    def h(position: np.ndarray) -> np.ndarray:
        calls.append(position)
        return 2 + position + np.sin(3 * position)

    grid = estimators.from_function(h, samples=9001, cyclical=cyclical).on(2, BOUND)
    end = 0.5 if cyclical else 1.0
    assert [len(c) for c in calls] == [9001] and (calls[0][0], calls[0][-1]) == (-end, end)
    w = weights(2, 100, 0.99)
    places = (w - boundary(w, 2)) / spacing(2) if cyclical else w / BOUND
    # Linear between samples 1 / 9000 of the range apart: h'' / 8 of its square.
    wanted = 2 + places + np.sin(3 * places)
    assert np.abs(grid.derivative(w) - wanted).max() <= 9 / 8 * (2 / 9000) ** 2
    assert estimators.from_function(lambda p: 3.0).on(2, 1.0).alpha == pytest.approx(3)


@pytest.mark.parametrize("name", estimators.names())
def test_names_give_estimators(name: str) -> None:
    made = estimators.get(name)
    assert made.name == name and str(made).startswith(name)
    assert estimators.get(made) is made
    grid = made.on(1, 0.5)
    assert grid.partner.estimator.name in ("ste", "clipped_ste")
    beyond = grid.derivative(0.75) == 0
    assert (grid.partner.estimator.name == "clipped_ste") == beyond
    assert (grid.obstacle is None) == (name not in ("ewgs", "ede"))
