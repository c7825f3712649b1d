"""Matrix product: vqswift against oneDNN and OpenBLAS called directly.

    python benchmarks/matmul.py [--size 4096] [--rounds 7] [--quick]

OpenBLAS runs once as it chooses its kernels itself and once for each named core type; every
contestant has a process of its own. Prints GFLOP/s and the ratio to the best peer.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _contest import Contestant, Outcome, contest, machine, save, serve

_ONEDNN = ("libdnnl.so.3", "libdnnl.so.2", "libdnnl.so")
_OPENBLAS = ("libopenblas.so.0", "libopenblas.so")


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="size 1024, three rounds")
    parser.add_argument("--contestant", choices=_PREPARE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.size, options.rounds = min(options.size, 1024), min(options.rounds, 3)
    if options.contestant:
        serve(lambda: _PREPARE[options.contestant](options.size))
        return
    command = [sys.executable, __file__, "--size", str(options.size), "--contestant"]
    outcomes = contest(
        [
            Contestant("vqswift", [*command, "vqswift"]),
            Contestant("oneDNN", [*command, "onednn"]),
            Contestant("OpenBLAS", [*command, "openblas"]),
            *(
                Contestant(f"OpenBLAS {core}", [*command, "openblas"], {"OPENBLAS_CORETYPE": core})
                for core in ("Haswell", "SkylakeX")
            ),
        ],
        options.rounds,
    )
    _report(options.size, outcomes)


def _report(size: int, outcomes: list[Outcome]) -> None:
    ran = [outcome for outcome in outcomes if outcome.skipped is None]
    peers = [outcome for outcome in ran if outcome.name != "vqswift"]
    if not peers:
        sys.exit("matmul: no peer could run")
    best = min(peers, key=lambda outcome: outcome.median)
    work = 2e-9 * size**3
    print(f"{size}^3, float32, median of {len(best.seconds)} products, first to ninth decile")
    print(f"{'contestant':<20} {'GFLOP/s':>8} {'spread':>15} {'of the best peer':>17}")
    for outcome in ran:
        fast, slow = outcome.spread
        print(
            f"{outcome.name:<20} {work / outcome.median:8.1f} "
            f"{work / slow:7.1f}-{work / fast:<7.1f} {best.median / outcome.median:17.3f}"
        )
    path = save(
        "matmul",
        {
            "size": size,
            "machine": machine(),
            "gflops": {outcome.name: work / outcome.median for outcome in ran},
            "facts": {outcome.name: outcome.facts for outcome in ran},
            "seconds": {outcome.name: outcome.seconds for outcome in ran},
            "skipped": {outcome.name: outcome.skipped for outcome in outcomes if outcome.skipped},
        },
    )
    print(f"written to {path}")


def _matrices(size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return tuple(random.standard_normal((size, size), dtype=np.float32) for _ in range(2))


def _checked(product: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Raises when the first row differs from Float64 by more than rounding explains."""
    expected = a[0].astype(np.float64) @ b.astype(np.float64)
    bound = len(a) * np.finfo(np.float32).eps * (np.abs(a[0]) @ np.abs(b)).max()
    if not np.abs(product[0] - expected).max() <= bound:
        raise ValueError("the product is wrong")


def _timed(multiply: Callable[[], Any]) -> Callable[[], list[float]]:
    def measure() -> list[float]:
        multiply()
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            multiply()
            seconds.append(time.perf_counter() - start)
        return seconds

    return measure


def _prepare_vqswift(size: int) -> tuple[dict[str, Any], Callable[[], list[float]]]:
    import vqswift as vq

    a, b = _matrices(size)
    left, right = vq.Tensor(a), vq.Tensor(b)
    with vq.no_grad():
        _checked((left @ right).numpy(), a, b)
    return {"threads": vq.get_threads()}, _timed(lambda: left @ right)


def _prepare_onednn(size: int) -> tuple[dict[str, Any], Callable[[], list[float]]]:
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


def _prepare_openblas(size: int) -> tuple[dict[str, Any], Callable[[], list[float]]]:
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
