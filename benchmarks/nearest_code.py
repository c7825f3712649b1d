"""Nearest code: vqswift against faiss and every way that torch has.

    python -m benchmarks.nearest_code [--data far] [--rounds 7] [--quick] [--peer-python PYTHON]

Vectors and codebook are standard normal, or with `--data far` that plus 1000 in every element.
All get their inputs in their own form (tensors, an index that is built) before the timing; vqswift
is also timed from NumPy arrays. Codes of 512 rows are compared with the arg-min in Float64: ours
must equal it, and how many of a peer's differ is told.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ._contest import Contestant, Outcome, best, best_cores, contest, core_types, with_system_blas
from ._peak import fma_peak
from ._results import has_cpu_flag, options_of, save, told
from ._serve import Measure, openblas, serve, timed, torch_needs_core_types
from ._table import print_table
from ._verdict import HEADER, Comparison, ahead, as_json, milliseconds

OURS, FLOAT32 = "vqswift", "vqswift, float32 screen"
# The kernels of the CPU without the screen in two bytes an element.
FLOAT32_ONLY = {"VQSWIFT_SCREEN": "float32"}
FAISS, TORCH, PEAK = "faiss", "torch", "FMA peak"
# Sizes (n, k, d), the share of the FMA peak that is asked for (0: none), and times faiss' speed.
CASES = {
    (65536, 1024, 64): (0.65, 2.0),
    (65536, 1024, 256): (0.65, 2.0),
    (100352, 1024, 512): (0.65, 2.0),
    (32768, 8192, 64): (0.0, 2.2),
    (16384, 16384, 32): (0.0, 2.2),
    (65536, 1024, 8): (0.0, 1.5),
}
TORCH_BAR, PEER_BAR, SCREEN_BAR, SCREEN_WIDTH = 2.5, 1.8, 1.5, 64
DISTANCE = {"near": 0.0, "far": 1000.0}
SAMPLED = 512
# A torch way that is so much slower than its best, tried twice, is not measured further.
HOPELESS = 1.5
CHUNKS = (512, 2048, 8192)


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = options_of(__doc__, rounds=7)
    parser.add_argument("--data", choices=DISTANCE, default="near")
    options = parser.parse_args()
    if options.contestant:
        serve(partial(_prepare, options.contestant, options.data))
        return
    if options.quick:
        options.rounds = min(options.rounds, 2)

    def command(python: str, name: str) -> list[str]:
        return [
            python,
            "-m",
            "benchmarks.nearest_code",
            "--data",
            options.data,
            "--contestant",
            name,
        ]

    contestants = [
        Contestant(PEAK, command(sys.executable, PEAK)),
        Contestant(OURS, command(sys.executable, OURS)),
        Contestant(FLOAT32, command(sys.executable, OURS), FLOAT32_ONLY),
        *core_types(FAISS, command(options.peer_python, FAISS)),
        *with_system_blas(FAISS, command(options.peer_python, FAISS)),
        *core_types(TORCH, command(options.peer_python, TORCH)),
    ]
    cases = [_case(quick(sizes) if options.quick else sizes) for sizes in CASES]
    _report(contest(contestants, options.rounds, cases), options)


def _case(sizes: tuple[int, int, int]) -> str:
    return ",".join(map(str, sizes))


def quick(sizes: tuple[int, int, int]) -> tuple[int, int, int]:
    """The sizes of a smoke run."""
    n, k, d = sizes
    return n // 16, k // 8, d


def _report(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    rows = []
    wrong = {}
    for sizes, bars in CASES.items():
        shown = quick(sizes) if options.quick else sizes
        of_case = [o for o in outcomes if o.case == _case(shown)]
        differ = differing(of_case, expected_codes(*sampled_rows(*data(shown, options.data))))
        wrong |= {o.label: count for o, count in differ if o.name in (OURS, FLOAT32) and count}
        _print_case(shown, of_case, differ)
        rows += rows_of(shown, bars, of_case)
    # The reference has been compared with; the codes themselves need no keeping.
    for outcome in outcomes:
        outcome.facts.pop("codes", None)
    print_table("the bars", HEADER, [row.cells() for row in rows])
    name = "nearest_code" if options.data == "near" else f"nearest_code_{options.data}"
    document = {
        "data": options.data,
        "rows": as_json(rows) if options.data == "near" else [],
        "outcomes": told(outcomes),
    }
    print(f"written to {save(name, options, document)}")
    if wrong:
        sys.exit(f"nearest_code: codes that are not the Float64 arg-min: {wrong}")
    if not all(any(o.name == name and o.seconds for o in outcomes) for name in (OURS, FLOAT32)):
        sys.exit("nearest_code: vqswift could not run")


def rows_of(
    sizes: tuple[int, int, int], bars: tuple[float, float], outcomes: list[Outcome]
) -> list[Comparison]:
    """What the bars say of one case; the share of the peak is that of float32 arithmetic."""
    n, k, d = sizes
    share, times_faiss = bars
    work = f"nearest code ({n}, {k}, {d})"
    ours = best(o for o in outcomes if o.name == OURS and not o.way)
    float32 = best(o for o in outcomes if o.name == FLOAT32 and not o.way)
    rows = []
    if share:
        peak = best(o for o in outcomes if o.name == PEAK)
        value = peak.median / float32.median if peak and float32 else None
        rates = [f"{2e-9 * n * k * d / o.median:.0f} GFLOP/s" if o else "" for o in (float32, peak)]
        rows.append(Comparison(f"{work}, float32 screen", *rates, value, share, "of the FMA peak"))
    faiss, torch = (best(o for o in outcomes if o.name == name) for name in (FAISS, TORCH))
    rows.append(ahead(work, ours, faiss, times_faiss, "x faiss"))
    rows.append(ahead(work, ours, torch, TORCH_BAR, "x torch"))
    if d >= SCREEN_WIDTH:
        peer = best(o for o in (faiss, torch) if o)
        rows.append(ahead(work, ours, peer, PEER_BAR, "x the best peer"))
    if d >= SCREEN_WIDTH and _has_short_screen():
        rows.append(ahead(work, ours, float32, SCREEN_BAR, "x our float32 screen"))
    return rows


def _has_short_screen() -> bool:
    """Whether the CPU multiplies elements of two bytes faster than float32."""
    narrow = has_cpu_flag("avx2") and not has_cpu_flag("avx512bw")
    return narrow or has_cpu_flag("avx512_vnni") or has_cpu_flag("avx512_bf16")


def _print_case(
    sizes: tuple[int, int, int], outcomes: list[Outcome], differ: list[tuple[Outcome, int]]
) -> None:
    n, k, d = sizes
    counts = {id(outcome): count for outcome, count in differ}
    shown = best_cores(outcomes)
    ours = best(o for o in shown if o.name == OURS and not o.way)
    peak = best(o for o in shown if o.name == PEAK)
    rows = []
    for o in shown:
        fast, slow = o.spread
        gflops = 2e-9 * n * k * d / o.median
        rows.append(
            [
                o.label,
                milliseconds(o).removesuffix(" ms"),
                f"{1e3 * fast:.4g}-{1e3 * slow:.4g}",
                f"{gflops:.0f}",
                f"{peak.median / o.median:.2f}" if peak else "-",
                f"{o.median / ours.median:.2f}" if ours else "-",
                str(counts.get(id(o), "-")),
            ]
        )
    header = ("", "ms", "spread", "GFLOP/s", "of the peak", "ours is x", f"of {SAMPLED} differ")
    print_table(f"n {n}, k {k}, d {d}", header, rows)


def data(sizes: tuple[int, int, int], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors `[n, d]` and codebook `[k, d]`, the same in every process."""
    n, k, d = sizes
    random = np.random.default_rng(0)
    x, codebook = (random.standard_normal((rows, d), dtype=np.float32) for rows in (n, k))
    return x + np.float32(DISTANCE[kind]), codebook + np.float32(DISTANCE[kind])


def sampled_rows(x: np.ndarray, codebook: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows whose codes are compared, and the codebook."""
    return x[_sample(len(x))], codebook


def _sample(rows: int) -> np.ndarray:
    return np.random.default_rng(1).permutation(rows)[:SAMPLED]


def expected_codes(x: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """The arg-min of the squared distance in Float64, the lowest index on equality."""
    exact = codebook.astype(np.float64)
    return np.array([np.square(row - exact).sum(1).argmin() for row in x.astype(np.float64)])


def differing(outcomes: list[Outcome], expected: np.ndarray) -> list[tuple[Outcome, int]]:
    """Those that were measured, and how many of their codes are not the expected ones."""
    return [
        (outcome, int((np.array(outcome.facts["codes"][outcome.way]) != expected).sum()))
        for outcome in outcomes
        if outcome.seconds and "codes" in outcome.facts
    ]


def _prepare(name: str, kind: str, case: str) -> tuple[dict[str, Any], Measure]:
    n, k, d = map(int, case.split(","))
    if name == PEAK:
        return {}, lambda: {"": [_seconds_at_peak(2e-9 * n * k * d)]}
    x, codebook = data((n, k, d), kind)
    facts, ways = {OURS: _ours, FAISS: _faiss, TORCH: _torch}[name](x, codebook)
    rows = _sample(n)
    facts["codes"] = {way: np.asarray(search())[rows].tolist() for way, search in ways.items()}
    return facts, lambda: {way: timed(search) for way, search in ways.items()}


def _seconds_at_peak(gflop: float) -> float:
    """What so many operations take at the machine's peak."""
    peak = fma_peak()
    if peak is None:
        raise NotImplementedError("vqswift does not measure the peak")
    return gflop / peak


Ways = dict[str, Callable[[], Any]]


def _ours(x: np.ndarray, codebook: np.ndarray) -> tuple[dict[str, Any], Ways]:
    import vqswift as vq

    points, codes = vq.Tensor(x), vq.Tensor(codebook)
    facts = {"version": vq.__version__, "threads": vq.get_threads(), "with": vq.libraries()}
    return facts, {
        "": lambda: vq.nearest_codes(points, codes),
        "from NumPy": lambda: vq.nearest_codes(x, codebook),
    }


def _faiss(x: np.ndarray, codebook: np.ndarray) -> tuple[dict[str, Any], Ways]:
    import faiss

    index = faiss.IndexFlatL2(x.shape[1])
    index.add(codebook)
    facts = {
        "version": faiss.__version__,
        "threads": faiss.omp_get_max_threads(),
        "blas": openblas(),
    }
    return facts, {"IndexFlatL2": lambda: index.search(x, 1)[1][:, 0]}


def _torch(x: np.ndarray, codebook: np.ndarray) -> tuple[dict[str, Any], Ways]:
    import torch

    torch_needs_core_types()
    points, codes = torch.from_numpy(x), torch.from_numpy(codebook)
    half_norms = codes.square().sum(1) / 2

    def by_product(part: torch.Tensor) -> torch.Tensor:
        return torch.addmm(half_norms, part, codes.t(), alpha=-1).argmin(1)

    def by_distance(part: torch.Tensor) -> torch.Tensor:
        return torch.cdist(part, codes).argmin(1)

    def by_rank(part: torch.Tensor) -> torch.Tensor:
        return torch.cdist(part, codes).topk(1, dim=1, largest=False).indices[:, 0]

    def whole(search: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        with torch.inference_mode():
            return search(points)

    def chunked(search: Callable[[torch.Tensor], torch.Tensor], size: int) -> Any:
        with torch.inference_mode():
            return torch.cat([search(part) for part in points.split(size)])

    torch.compiler.reset()
    compiled = torch.compile(by_product, dynamic=False)
    ways: Ways = {
        "cdist + argmin": partial(whole, by_distance),
        "addmm + argmin": partial(whole, by_product),
        "compiled addmm + argmin": partial(whole, compiled),
    }
    for size in CHUNKS:
        ways[f"addmm + argmin by {size}"] = partial(chunked, by_product, size)
        ways[f"compiled addmm + argmin by {size}"] = partial(chunked, compiled, size)
        ways[f"cdist + topk by {size}"] = partial(chunked, by_rank, size)
    facts: dict[str, Any] = {"version": torch.__version__, "threads": torch.get_num_threads()}
    facts["tried"] = {way: _fastest(search) for way, search in ways.items()}
    return facts, {way: ways[way] for way in promising(facts["tried"])}


def promising(tried: dict[str, float | str]) -> list[str]:
    """The ways that ran in at most `HOPELESS` times the best's seconds."""
    ran = {way: seconds for way, seconds in tried.items() if isinstance(seconds, float)}
    return [way for way, seconds in ran.items() if seconds <= HOPELESS * min(ran.values())]


def _fastest(search: Callable[[], Any]) -> float | str:
    """The less of two times, after what compiles; or why it does not run."""
    try:
        search()
        return min(timed(search, repeats=2))
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


if __name__ == "__main__":
    main()
