"""Matrix product: vqswift against oneDNN and OpenBLAS called directly.

    python -m benchmarks.matmul [--size 4096] [--rounds 7] [--quick] [--peer-python PYTHON]

OpenBLAS runs once as it chooses its kernels itself and once for each named core type; every
contestant has a process of its own. Prints GFLOP/s and the ratio to the best peer.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ._contest import Contestant, Outcome, best, contest, core_types
from ._results import options_of, save, told
from ._serve import Measure, serve, timed
from ._table import print_table

_ONEDNN = ("libdnnl.so.3", "libdnnl.so.2", "libdnnl.so")
_OPENBLAS = ("libopenblas.so.0", "libopenblas.so")


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = options_of(__doc__, rounds=7)
    parser.add_argument("--size", type=int, default=4096)
    options = parser.parse_args()
    if options.quick:
        options.size, options.rounds = min(options.size, 1024), min(options.rounds, 3)
    if options.contestant:
        serve(lambda case: _PREPARE[options.contestant](int(case)))
        return

    def command(name: str) -> list[str]:
        return [sys.executable, "-m", "benchmarks.matmul", "--contestant", name]

    outcomes = contest(
        [
            Contestant("vqswift", command("vqswift")),
            Contestant("oneDNN", command("onednn")),
            *core_types("OpenBLAS", command("openblas")),
        ],
        options.rounds,
        [str(options.size)],
    )
    _report(outcomes, options)


def _report(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    ran = [outcome for outcome in outcomes if outcome.seconds]
    peer = best(outcome for outcome in ran if outcome.name != "vqswift")
    if peer is None:
        sys.exit("matmul: no peer could run")
    size = options.size
    work = 2e-9 * size**3
    rows = []
    for outcome in ran:
        fast, slow = outcome.spread
        spread = f"{work / slow:.1f}-{work / fast:.1f}"
        ratio = f"{peer.median / outcome.median:.3f}"
        rows.append([outcome.label, f"{work / outcome.median:.1f}", spread, ratio])
    header = ("", "GFLOP/s", "spread", "of the best peer")
    print_table(f"{size}^3, float32, median of {len(peer.seconds)} products", header, rows)
    document = {
        "size": size,
        "gflops": {outcome.label: work / outcome.median for outcome in ran},
        "outcomes": told(outcomes),
    }
    print(f"written to {save('matmul', options, document)}")


def _matrices(size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return tuple(random.standard_normal((size, size), dtype=np.float32) for _ in range(2))


def _checked(product: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Raises when the first row differs from Float64 by more than rounding explains."""
    expected = a[0].astype(np.float64) @ b.astype(np.float64)
    bound = len(a) * np.finfo(np.float32).eps * (np.abs(a[0]) @ np.abs(b)).max()
    if not np.abs(product[0] - expected).max() <= bound:
        raise ValueError("the product is wrong")


def _timed(multiply: Callable[[], Any]) -> Measure:
    return lambda: {"": timed(multiply, repeats=2, slow=float("inf"))}


def _prepare_vqswift(size: int) -> tuple[dict[str, Any], Measure]:
    import vqswift as vq

    a, b = _matrices(size)
    left, right = vq.Tensor(a), vq.Tensor(b)
    with vq.no_grad():
        _checked((left @ right).numpy(), a, b)
    return {"threads": vq.get_threads()}, _timed(lambda: left @ right)


def _prepare_onednn(size: int) -> tuple[dict[str, Any], Measure]:
    library = _load(_ONEDNN)
    a, b = _matrices(size)
    c = np.zeros_like(a)
    dim, real = ctypes.c_int64(size), ctypes.c_float
    flag = ctypes.c_char(b"N")

    def multiply() -> None:
        status = library.dnnl_sgemm(
            flag, flag, dim, dim, dim, real(1), _pointer(a), dim, _pointer(b), dim,
            real(0), _pointer(c), dim,
        )  # fmt: skip
        if status != 0:
            raise RuntimeError(f"dnnl_sgemm: status {status}")

    multiply()
    _checked(c, a, b)
    return {"library": library._name}, _timed(multiply)


def _prepare_openblas(size: int) -> tuple[dict[str, Any], Measure]:
    library = _load(_OPENBLAS)
    library.openblas_get_corename.restype = ctypes.c_char_p
    a, b = _matrices(size)
    c = np.zeros_like(a)
    row_major, as_is = ctypes.c_int(101), ctypes.c_int(111)
    dim, real = ctypes.c_int(size), ctypes.c_float

    def multiply() -> None:
        library.cblas_sgemm(
            row_major, as_is, as_is, dim, dim, dim, real(1), _pointer(a), dim, _pointer(b), dim,
            real(0), _pointer(c), dim,
        )  # fmt: skip

    multiply()
    _checked(c, a, b)
    core = library.openblas_get_corename().decode()
    return {"library": library._name, "core": core}, _timed(multiply)


def _load(names: tuple[str, ...]) -> ctypes.CDLL:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError(f"none of {', '.join(names)} is installed")


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


_PREPARE = {
    "vqswift": _prepare_vqswift,
    "onednn": _prepare_onednn,
    "openblas": _prepare_openblas,
}


if __name__ == "__main__":
    main()
