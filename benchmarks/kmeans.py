"""k-means: vqswift against faiss and scikit-learn, from the same centroids.

    python -m benchmarks.kmeans [--rounds 7] [--quick] [--peer-python PYTHON]

262,144 standard normal vectors of 64 elements, 1024 centroids, 10 iterations of Lloyd's algorithm
on all vectors. The objectives of the centroids that come out, computed in Float64, must agree to
1e-4. Then the k-means++ seeding, ours (less the assignment that follows it) and scikit-learn's.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ._contest import Contestant, Outcome, best, contest, core_types
from ._results import options_of, save, told
from ._serve import Measure, seconds_of, serve
from ._table import print_table
from ._verdict import HEADER, Comparison, ahead, as_json, labeled, milliseconds

OURS, FAISS, SCIKIT = "vqswift", "faiss Kmeans", "scikit-learn KMeans"
SIZES, QUICK, ITERATIONS = (262_144, 1024, 64), (8192, 64, 16), 10
ITERATE, SEED, SEEDING = "iterations", "seeding", "kmeans_plusplus"
WITH_SEEDS, WITHOUT = "seeding and assignment", "assignment"
FAISS_BAR, SCIKIT_BAR, AGREE = 1.5, 2.5, 1e-4


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = options_of(__doc__, rounds=7)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = QUICK if options.quick else SIZES
    if options.contestant:
        serve(partial(_prepare, options.contestant, sizes, options.folder))
        return
    if options.quick:
        options.rounds = min(options.rounds, 2)

    with tempfile.TemporaryDirectory() as folder:

        def command(name: str) -> list[str]:
            python = sys.executable if name == OURS else options.peer_python
            smoke = ["--quick"] if options.quick else []
            return [
                python,
                "-m",
                "benchmarks.kmeans",
                "--folder",
                folder,
                "--contestant",
                name,
                *smoke,
            ]

        ours = Contestant(OURS, command(OURS))
        peers = [each for name in (FAISS, SCIKIT) for each in core_types(name, command(name))]
        outcomes = contest([ours, *peers], options.rounds, [ITERATE])
        objectives = {o.label: objective(data(sizes), _centroids(o)) for o in outcomes if o.seconds}
        # Scikit-learn's seeding takes long and its core type says little: few rounds of one.
        seeding = [ours, Contestant(SEEDING, command(SEEDING))]
        outcomes += contest(seeding, max(1, options.rounds // 3), [SEED])
    _report(outcomes, objectives, options)


def _report(
    outcomes: list[Outcome], objectives: dict[str, float], options: argparse.Namespace
) -> None:
    for outcome in outcomes:
        outcome.facts.pop("centroids", None)
    title = "ms of {} iterations, n {}, k {}, d {}".format(
        ITERATIONS, *(QUICK if options.quick else SIZES)
    )
    measured = [o for o in outcomes if o.seconds]
    ours = best(o for o in measured if o.name == OURS and o.case == ITERATE)
    table = []
    for o in measured:
        fast, slow = o.spread
        # The objective is that of the iterations' centroids.
        total = f"{objectives[o.label]:.8g}" if o.case == ITERATE else "-"
        ratio = f"{o.median / ours.median:.2f}" if ours else "-"
        spread = f"{1e3 * fast:.4g}-{1e3 * slow:.4g}"
        table.append([o.label, milliseconds(o).removesuffix(" ms"), spread, ratio, total])
    print_table(title, ("", "ms", "spread", "of ours", "objective"), table)
    rows = rows_of(outcomes, objectives)
    print_table("the bars", HEADER, [row.cells() for row in rows])
    document = {"objectives": objectives, "rows": as_json(rows), "outcomes": told(outcomes)}
    print(f"written to {save('kmeans', options, document)}")
    if ours is None:
        sys.exit("kmeans: vqswift could not run")
    apart = disagreement(objectives)
    if apart is not None and apart > AGREE:
        sys.exit(f"kmeans: the objectives differ by {apart:.2g}: {objectives}")


def rows_of(outcomes: list[Outcome], objectives: dict[str, float]) -> list[Comparison]:
    """What the bars say."""

    def first(name: str, case: str, way: str) -> Outcome | None:
        return best(o for o in outcomes if (o.name, o.case, o.way) == (name, case, way))

    work = f"k-means, {ITERATIONS} iterations"
    ours = first(OURS, ITERATE, "")
    faiss, scikit = first(FAISS, ITERATE, ""), first(SCIKIT, ITERATE, "")
    apart = disagreement(objectives)
    seeds, assignment = first(OURS, SEED, WITH_SEEDS), first(OURS, SEED, WITHOUT)
    seconds = seeds.median - assignment.median if seeds and assignment else None
    return [
        ahead(work, ours, faiss, FAISS_BAR, "x faiss"),
        ahead(work, ours, scikit, SCIKIT_BAR, "x scikit-learn"),
        Comparison(f"{work}: objectives", "", "", apart, AGREE, "apart, relative", at_most=True),
        Comparison(
            "k-means++ seeding",
            "" if seconds is None else f"{1e3 * seconds:.4g} ms",
            labeled(first(SEEDING, SEED, "")),
            seconds / ours.median if seconds is not None and ours else None,
            1,
            "of our iterations",
            at_most=True,
        ),
    ]


def disagreement(objectives: dict[str, float]) -> float | None:
    """How far apart ours and a peer's are at most, relatively; None without a peer."""
    ours = objectives.get(OURS)
    if ours is None or len(objectives) < 2:
        return None
    return max(abs(value / ours - 1) for value in objectives.values())


def data(sizes: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors `[n, d]` and the centroids `[k, d]` to start from, some of them."""
    n, k, d = sizes
    random = np.random.default_rng(0)
    x = random.standard_normal((n, d), dtype=np.float32)
    return x, x[random.permutation(n)[:k]]


def objective(given: tuple[np.ndarray, np.ndarray], centroids: np.ndarray) -> float:
    """The sum over the vectors of the squared distance to the nearest centroid, in Float64."""
    x, _ = given
    centroids = centroids.astype(np.float64)
    half_norms = np.square(centroids).sum(1) / 2
    total = 0.0
    for start in range(0, len(x), 8192):
        part = x[start : start + 8192].astype(np.float64)
        total += np.square(part).sum() + 2 * (half_norms - part @ centroids.T).min(1).sum()
    return float(total)


def _centroids(outcome: Outcome) -> np.ndarray:
    return np.load(outcome.facts["centroids"])


def _prepare(
    name: str, sizes: tuple[int, int, int], folder: Path, case: str
) -> tuple[dict[str, Any], Measure]:
    x, start = data(sizes)
    if case == SEED:
        return _seeding(name, x, start)
    facts, run = {OURS: _ours, FAISS: _faiss, SCIKIT: _scikit}[name](x, start)
    path = folder / f"{os.getpid()}.npy"
    np.save(path, run())
    return facts | {"centroids": str(path)}, lambda: {"": [seconds_of(run)]}


def _ours(x: np.ndarray, start: np.ndarray) -> tuple[dict[str, Any], Any]:
    import vqswift as vq

    def run() -> np.ndarray:
        found = vq.kmeans(x, len(start), iterations=ITERATIONS, init=start)
        if found.iterations != ITERATIONS:
            raise ValueError(f"it ended after {found.iterations} iterations")
        return found.centroids

    return {"version": vq.__version__, "threads": vq.get_threads()}, run


def _faiss(x: np.ndarray, start: np.ndarray) -> tuple[dict[str, Any], Any]:
    import faiss

    def run() -> np.ndarray:
        clustering = faiss.Kmeans(
            x.shape[1],
            len(start),
            niter=ITERATIONS,
            min_points_per_centroid=1,
            max_points_per_centroid=len(x),  # no subsample
        )
        clustering.train(x, init_centroids=start)
        return clustering.centroids

    return {"version": faiss.__version__, "threads": faiss.omp_get_max_threads()}, run


def _scikit(x: np.ndarray, start: np.ndarray) -> tuple[dict[str, Any], Any]:
    import sklearn
    from sklearn.cluster import KMeans

    def run() -> np.ndarray:
        clustering = KMeans(
            len(start), init=start, n_init=1, max_iter=ITERATIONS, tol=0, algorithm="lloyd"
        )
        return clustering.fit(x).cluster_centers_

    return {"version": sklearn.__version__}, run


def _seeding(name: str, x: np.ndarray, start: np.ndarray) -> tuple[dict[str, Any], Measure]:
    k = len(start)
    if name == OURS:
        import vqswift as vq

        def ours() -> dict[str, list[float]]:
            with_seeds = partial(vq.kmeans, x, k, iterations=0, init="kmeans++")
            without = partial(vq.kmeans, x, k, iterations=0, init=start)
            return {WITH_SEEDS: [seconds_of(with_seeds)], WITHOUT: [seconds_of(without)]}

        return {"version": vq.__version__}, ours
    import sklearn
    from sklearn.cluster import kmeans_plusplus

    seed = partial(kmeans_plusplus, x, k, random_state=0)
    return {"version": sklearn.__version__}, lambda: {"": [seconds_of(seed)]}


if __name__ == "__main__":
    main()
