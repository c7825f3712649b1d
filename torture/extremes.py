"""Operators, layers, losses, optimizers on extreme numbers: against Float64, and timed.

Huge, tiny, denormal, mixed, zero, infinite and missing numbers. A result is right where it is what
Float64 gives, rounded; where a sum of magnitudes leaves float32's range, an infinity or NaN is
right too. No data may cost more than three times what normal data cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import vqswift as vq
from _campaign import main
from vqswift import Tensor, nn, optim
from vqswift.nn import functional as F

UNIT, LEAST, LARGEST = 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max)
SLOWDOWN, TRIES = 3.0, 25
Run = Callable[..., Tensor]
Exact = Callable[..., np.ndarray]


@dataclass
class Operator:
    run: Run
    exact: Exact
    shapes: list[tuple[int, ...]]
    # Of the operands' magnitudes, by what rounding is measured; where missing, it is the result.
    scale: Exact | None = None
    # Roundings of a unit of that scale.
    units: float = 4.0
    # Slopes of a function of each element.
    slope: Exact | None = None


def sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def convolved(x: np.ndarray, w: np.ndarray, stride: int = 1) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(1, 2))
    flat = windows[:, ::stride, ::stride].reshape(-1, w[0].size)
    y = flat @ w.reshape(len(w), -1).T
    return y.reshape(*windows[:, ::stride, ::stride].shape[:3], len(w))


def halved(x: np.ndarray) -> np.ndarray:
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


VECTOR, MATRIX = (1 << 18,), (1024, 256)
ELEMENTS = [VECTOR]
OPERATORS: dict[str, Operator] = {
    "exp": Operator(Tensor.exp, np.exp, ELEMENTS, slope=np.exp),
    "log": Operator(Tensor.log, np.log, ELEMENTS, slope=lambda x: 1 / x),
    "sqrt": Operator(Tensor.sqrt, np.sqrt, ELEMENTS, slope=lambda x: 0.5 / np.sqrt(x)),
    "tanh": Operator(Tensor.tanh, np.tanh, ELEMENTS),
    "sigmoid": Operator(Tensor.sigmoid, sigmoid, ELEMENTS),
    "relu": Operator(Tensor.relu, lambda x: np.where(x <= 0, 0, x), ELEMENTS),
    "silu": Operator(Tensor.silu, lambda x: x * sigmoid(x), ELEMENTS, scale=np.abs),
    "abs": Operator(Tensor.abs, np.abs, ELEMENTS, slope=lambda x: np.nan_to_num(np.sign(x))),
    "square": Operator(Tensor.square, np.square, ELEMENTS, slope=lambda x: 2 * x),
    "add": Operator(lambda a, b: a + b, np.add, ELEMENTS * 2, scale=np.add),
    "subtract": Operator(lambda a, b: a - b, np.subtract, ELEMENTS * 2, scale=np.add),
    "multiply": Operator(lambda a, b: a * b, np.multiply, ELEMENTS * 2),
    "divide": Operator(lambda a, b: a / b, np.divide, ELEMENTS * 2),
    "sum": Operator(
        lambda x: x.sum(axis=-1),
        lambda x: x.sum(-1),
        [MATRIX],
        scale=lambda x: x.sum(-1),
        units=256,
    ),
    "mean": Operator(
        lambda x: x.mean(axis=0), lambda x: x.mean(0), [MATRIX], scale=lambda x: x.mean(0), units=64
    ),
    "max": Operator(lambda x: x.max(axis=-1), lambda x: x.max(-1), [MATRIX]),
    "softmax": Operator(Tensor.softmax, softmax, [MATRIX], scale=lambda x: x + 1, units=16),
    "log_softmax": Operator(
        Tensor.log_softmax, log_softmax, [MATRIX], scale=lambda x: x + x.max(-1, keepdims=True) + 8
    ),
    "matmul": Operator(
        lambda a, b: a @ b, np.matmul, [(512, 256), (256, 256)], scale=np.matmul, units=256
    ),
    "matmul of few": Operator(
        lambda a, b: a @ b, np.matmul, [(40, 17), (17, 9)], scale=np.matmul, units=17
    ),
    "conv2d, Winograd": Operator(
        F.conv2d, convolved, [(9, 16, 16, 32), (32, 32, 3, 3)], scale=convolved, units=128
    ),
    "conv2d, library": Operator(
        F.conv2d, convolved, [(9, 16, 16, 24), (24, 24, 3, 3)], scale=convolved, units=128
    ),
    "conv2d, few images": Operator(
        F.conv2d, convolved, [(2, 24, 24, 17), (19, 17, 3, 3)], scale=convolved, units=128
    ),
    "conv2d, few channels": Operator(
        F.conv2d, convolved, [(9, 32, 32, 3), (16, 3, 3, 3)], scale=convolved, units=64
    ),
    "conv2d, pointwise": Operator(
        F.conv2d, convolved, [(9, 16, 16, 64), (64, 64, 1, 1)], scale=convolved, units=64
    ),
    "conv2d, strided": Operator(
        lambda x, w: F.conv2d(x, w, stride=2),
        lambda x, w: convolved(x, w, 2),
        [(9, 17, 17, 16), (16, 16, 3, 3)],
        scale=lambda x, w: convolved(x, w, 2),
        units=144,
    ),
    "avg_pool2d": Operator(
        lambda x: F.avg_pool2d(x, 2), halved, [(8, 32, 32, 32)], scale=halved, units=4
    ),
    "mse_loss": Operator(
        F.mse_loss,
        lambda a, b: np.mean((a - b) ** 2),
        ELEMENTS * 2,
        scale=lambda a, b: np.mean((a + b) ** 2),
        units=64,
    ),
    "l1_loss": Operator(
        F.l1_loss,
        lambda a, b: np.mean(np.abs(a - b)),
        ELEMENTS * 2,
        scale=lambda a, b: np.mean(a + b),
        units=64,
    ),
}


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def mixed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    exponents = rng.uniform(-44, 38, shape)
    return (10.0**exponents * rng.choice([-1, 1], shape)).astype(np.float32)


def with_some(value: float) -> Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        x = normal(rng, shape)
        x.flat[rng.integers(0, x.size, max(1, x.size // 5000))] = value
        return x

    return draw


def scaled(scale: float) -> Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]:
    return lambda rng, shape: (rng.standard_normal(shape) * scale).astype(np.float32)


KINDS = {
    "huge": scaled(1e37),
    "large": scaled(1e18),
    "tiny": scaled(1e-20),
    "least": scaled(1e-37),
    "denormal": scaled(1e-40),
    "mixed": mixed,
    "zero": lambda rng, shape: np.zeros(shape, np.float32),
    "negative zero": lambda rng, shape: np.full(shape, -0.0, np.float32),
    "one outlier": with_some(1e30),
    "infinite": with_some(np.inf),
    "negative infinite": with_some(-np.inf),
    "missing": with_some(np.nan),
    "constant": lambda rng, shape: np.full(shape, rng.standard_normal(), np.float32),
}


def check_values(found: np.ndarray, exact: np.ndarray, scale: np.ndarray, units: float) -> None:
    """Flushed operands and results differ by the least normal number, times what they meet."""
    assert found.shape == exact.shape, f"{found.shape}, not {exact.shape}"
    certain = np.isfinite(exact) & (scale <= LARGEST / 64)
    allowed = units * UNIT * scale + 64 * units * LEAST
    with np.errstate(invalid="ignore"):
        off = np.abs(found - exact)
        bad = certain & ~(off <= allowed)
        # NaN comes of NaN and of infinities that meet; an infinity of nothing finite.
        bad |= np.isnan(exact) & np.isfinite(found)
        bad |= np.isinf(exact) & np.isfinite(found)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise AssertionError(
            f"{bad.sum()} of {bad.size}, at {at}: {found[at]}, not {exact[at]} of {scale[at]}"
        )


def check_operator(operator: Operator, arrays: list[np.ndarray]) -> None:
    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    y = operator.run(*leaves)
    doubles = [array.astype(np.float64) for array in arrays]
    # Operands below the least normal number are zeros.
    doubles = [np.where(np.abs(x) < LEAST, 0 * x, x) for x in doubles]
    with np.errstate(all="ignore"):
        exact = np.asarray(operator.exact(*doubles))
        scale = np.abs(exact)
        if operator.scale:
            scale = np.asarray(operator.scale(*map(np.abs, doubles)))
    check_values(y.numpy().astype(np.float64), exact, scale, operator.units)
    y.backward(Tensor(np.ones(y.shape)))
    if operator.slope:
        with np.errstate(all="ignore"):
            slope = operator.slope(doubles[0])
        check_values(leaves[0].grad.numpy().astype(np.float64), slope, np.abs(slope), 8)


def seconds(run: Callable[[], object]) -> float:
    """Of this thread's processor, which neighbors do not add to as they do to the clock's."""
    start = time.thread_time()
    run()
    return time.thread_time() - start


def check_time(run: Callable[[object], object], extreme: object, ordinary: object) -> None:
    """The least of several times of one thread, in turn, until it is near enough."""
    vq.set_threads(1)
    run(extreme), run(ordinary)
    slow = usual = np.inf
    for attempt in range(TRIES):
        slow = min(slow, seconds(lambda: run(extreme)))
        usual = min(usual, seconds(lambda: run(ordinary)))
        if attempt > 2 and slow <= SLOWDOWN * usual:
            return
    raise AssertionError(f"{slow * 1e3:.2f} ms, {slow / usual:.1f} times normal data")


def operator_case(name: str, kind: str, rng: np.random.Generator) -> None:
    operator = OPERATORS[name]
    arrays = [KINDS[kind](rng, shape) for shape in operator.shapes]
    check_operator(operator, arrays)

    def forward_and_backward(given: list[np.ndarray]) -> None:
        y = operator.run(*(Tensor(array, requires_grad=True) for array in given))
        y.backward(Tensor(np.ones(y.shape)))

    check_time(forward_and_backward, arrays, [normal(rng, shape) for shape in operator.shapes])


def adam(w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, step: int) -> np.ndarray:
    """One step in Float64, moments in place; rate 1e-3."""
    m[:] = 0.9 * m + 0.1 * g
    v[:] = 0.999 * v + 0.001 * g * g
    return w - 1e-3 * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)


def optimizer_case(kind: str, rng: np.random.Generator) -> None:
    start, gradients = normal(rng, VECTOR), [KINDS[kind](rng, VECTOR) for _ in range(3)]
    if not all(np.isfinite(g).all() and np.abs(g).max() < 1e18 for g in gradients):
        return
    parameter = Tensor(start, requires_grad=True)
    optimizer = optim.Adam([parameter], lr=1e-3)
    exact, m, v = start.astype(np.float64), np.zeros(VECTOR), np.zeros(VECTOR)
    for step, gradient in enumerate(gradients, 1):
        parameter.grad = Tensor(gradient)
        optimizer.step()
        exact = adam(exact, gradient.astype(np.float64), m, v, step)
    # A step is at most a few rates long; squares below the least number are lost.
    off = np.abs(parameter.numpy() - exact)
    assert np.all(off <= 1e-3 * 3 * 2.0**-10 + 8 * UNIT * (1 + np.abs(exact))), off.max()

    def steps(gradient: Tensor) -> None:
        for _ in range(4):
            parameter.grad = gradient
            optimizer.step()

    check_time(steps, Tensor(gradients[0]), Tensor(normal(rng, VECTOR)))


def layer_case(kind: str, rng: np.random.Generator) -> None:
    """A network forward and backward: in time, and finite where the data are small."""
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.BatchNorm(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(32, 8, 1, stride=2),
        nn.LayerNorm(8),
    )
    shape = (9, 16, 16, 3)
    extreme, ordinary = KINDS[kind](rng, shape), normal(rng, shape)

    def run(x: np.ndarray) -> Tensor:
        y = model(Tensor(x))
        y.square().mean().backward()
        return y

    y = run(extreme).numpy()
    if np.abs(extreme).max() < 1e15:
        assert np.isfinite(y).all()
        assert all(np.isfinite(p.grad.numpy()).all() for p in model.parameters())
    check_time(run, extreme, ordinary)


CASES = [
    *[(operator_case, (name, kind)) for name in OPERATORS for kind in KINDS],
    *[(optimizer_case, (kind,)) for kind in KINDS],
    *[(layer_case, (kind,)) for kind in KINDS],
]


def case(number: int) -> None:
    run, arguments = CASES[number % len(CASES)]
    rng = np.random.default_rng(number)
    vq.set_threads(int(rng.integers(1, 3)))
    try:
        run(*arguments, rng)
    except AssertionError as error:
        raise AssertionError(f"{', '.join(arguments)}: {error}") from error


if __name__ == "__main__":
    main(__file__, case, full=20 * len(CASES), short=len(CASES), batch=100)
