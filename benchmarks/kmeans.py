"""k-means: vqswift against faiss, scikit-learn, its extension by Intel, and AMD's, from the same
centroids.

    python -m benchmarks.kmeans [--rounds 7] [--quick] [--peer-python PYTHON] [--data FOLDER]

262,144 vectors of 64 elements, 1024 centroids, Lloyd's algorithm on all vectors: 10 iterations of
standard normal ones, and 25 of what the encoder of an autoencoder, trained here for 300 steps,
makes of the first 4,096 images of CIFAR-10, where they are. The objectives of the centroids that
come out, computed in Float64, must agree to 1e-4. Then the k-means++ seeding, ours (less the
assignment that follows it) and scikit-learn's. faiss carries an OpenBLAS of 2021; it is measured
with the system's in its place too.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ._contest import Contestant, Outcome, best, contest, core_types, with_system_blas
from ._results import options_of, save, told
from ._serve import Measure, openblas, seconds_of, serve
from ._table import print_table
from ._verdict import HEADER, Comparison, ahead, as_json, labeled, milliseconds

OURS, FAISS, SCIKIT = "vqswift", "faiss Kmeans", "scikit-learn KMeans"
INTEL, AMD = "scikit-learn-intelex KMeans", "aoclda kmeans"
SIZES, QUICK = (262_144, 1024, 64), (8192, 64, 16)
NORMAL, LATENTS, SEED, SEEDING = "normal vectors", "latents", "seeding", "kmeans_plusplus"
ITERATIONS = {NORMAL: 10, LATENTS: 25}
# Times the best peer.
BARS = {NORMAL: 2.5, LATENTS: 4.0}
WITH_SEEDS, WITHOUT = "seeding and assignment", "assignment"
SAME, AGREE = 1e-6, 1e-4
IMAGES, STEPS = 4096, 300


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = options_of(__doc__, rounds=7)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
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

        cases = [NORMAL, LATENTS] if _save_vectors(Path(folder), sizes, options.data) else [NORMAL]
        ours = Contestant(OURS, command(OURS))
        peers = [each for name in (FAISS, SCIKIT) for each in core_types(name, command(name))]
        peers += with_system_blas(FAISS, command(FAISS))
        peers += [Contestant(name, command(name)) for name in (INTEL, AMD)]
        outcomes = contest([ours, *peers], options.rounds, cases)
        objectives = {
            case: {
                o.label: objective(data(Path(folder), case, sizes), _centroids(o))
                for o in outcomes
                if o.seconds and o.case == case
            }
            for case in cases
        }
        # Scikit-learn's seeding takes long and its core type says little: few rounds of one.
        seeding = [ours, Contestant(SEEDING, command(SEEDING))]
        outcomes += contest(seeding, max(1, options.rounds // 3), [SEED])
    _report(outcomes, objectives, options)


def _report(
    outcomes: list[Outcome],
    objectives: dict[str, dict[str, float]],
    options: argparse.Namespace,
) -> None:
    for outcome in outcomes:
        outcome.facts.pop("centroids", None)
    sizes = "n {}, k {}, d {}".format(*(QUICK if options.quick else SIZES))
    for case in [*objectives, SEED]:
        measured = [o for o in outcomes if o.seconds and o.case == case]
        ours = best(o for o in measured if o.name == OURS and not o.way)
        table = []
        for o in measured:
            fast, slow = o.spread
            total = f"{objectives[case][o.label]:.8g}" if case != SEED else "-"
            ratio = f"{o.median / ours.median:.2f}" if ours else "-"
            spread = f"{1e3 * fast:.4g}-{1e3 * slow:.4g}"
            table.append([o.label, milliseconds(o).removesuffix(" ms"), spread, ratio, total])
        title = "k-means++ seeding" if case == SEED else f"{ITERATIONS[case]} iterations, {case}"
        print_table(f"ms of {title}, {sizes}", ("", "ms", "spread", "of ours", "objective"), table)
    rows = rows_of(outcomes, objectives)
    print_table("the bars", HEADER, [row.cells() for row in rows])
    document = {"objectives": objectives, "rows": as_json(rows), "outcomes": told(outcomes)}
    print(f"written to {save('kmeans', options, document)}")
    if not any(o.name == OURS and o.seconds for o in outcomes):
        sys.exit("kmeans: vqswift could not run")
    for case, found in objectives.items():
        apart = disagreement(found)
        if apart is not None and apart > AGREE:
            sys.exit(f"kmeans: the objectives of {case} differ by {apart:.2g}: {found}")


def rows_of(outcomes: list[Outcome], objectives: dict[str, dict[str, float]]) -> list[Comparison]:
    """What the bars say."""

    def first(name: str, case: str, way: str) -> Outcome | None:
        return best(o for o in outcomes if (o.name, o.case, o.way) == (name, case, way))

    rows = []
    for case, found in objectives.items():
        work = f"k-means, {ITERATIONS[case]} iterations, {case}"
        peer = best(o for o in outcomes if o.case == case and o.name != OURS)
        rows += [
            ahead(work, first(OURS, case, ""), peer, BARS[case], "x the best peer"),
            Comparison(
                f"{work}: objectives",
                "",
                "",
                disagreement(found),
                SAME,
                "apart, relative",
                at_most=True,
            ),
        ]
    ours = first(OURS, NORMAL, "")
    seeds, assignment = first(OURS, SEED, WITH_SEEDS), first(OURS, SEED, WITHOUT)
    seconds = seeds.median - assignment.median if seeds and assignment else None
    seeding = Comparison(
        "k-means++ seeding",
        "" if seconds is None else f"{1e3 * seconds:.4g} ms",
        labeled(first(SEEDING, SEED, "")),
        seconds / ours.median if seconds is not None and ours else None,
        1,
        "of our 10 iterations",
        at_most=True,
    )
    return [*rows, seeding]


def disagreement(objectives: dict[str, float]) -> float | None:
    """How far apart ours and a peer's are at most, relatively; None without a peer."""
    ours = objectives.get(OURS)
    if ours is None or len(objectives) < 2:
        return None
    return max(abs(value / ours - 1) for value in objectives.values())


def data(folder: Path, case: str, sizes: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors `[n, d]` and the centroids `[k, d]` to start from, some of them."""
    n, k, d = sizes
    random = np.random.default_rng(0)
    if case == LATENTS:
        x = np.load(folder / "latents.npy")
        n = len(x)
    else:
        x = random.standard_normal((n, d), dtype=np.float32)
    return x, x[random.permutation(n)[:k]]


def _save_vectors(folder: Path, sizes: tuple[int, int, int], root: Path | None) -> bool:
    """Writes the encoder's vectors; false where there are no images."""
    import vqswift as vq

    try:
        images = vq.data.cifar10("train", root).images
    except FileNotFoundError as missing:
        print(f"{LATENTS}: skipped, {missing}", file=sys.stderr)
        return False
    n, _, d = sizes
    vq.manual_seed(0)
    model = vq.models.SQVAE(None, width=d, image_size=32)
    optimizer = vq.optim.Adam(model.parameters(), lr=1e-3)
    batches = vq.data.Batches(images, batch_size=64)
    trainer = vq.train.Trainer(model, optimizer, batches)
    steps = STEPS * n // SIZES[0]
    for _ in trainer.steps(max(1, steps)):
        pass
    model.eval()
    pixels = np.asarray(images[: IMAGES * n // SIZES[0]], np.float32) / 255
    with vq.no_grad():
        parts = [model.encoder(pixels[i : i + 256]).numpy() for i in range(0, len(pixels), 256)]
    np.save(folder / "latents.npy", np.concatenate(parts).reshape(-1, d)[:n])
    return True


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
    x, start = data(folder, case, sizes)
    if case == SEED:
        return _seeding(name, x, start)
    prepare = {
        OURS: _ours,
        FAISS: _faiss,
        SCIKIT: _scikit,
        INTEL: _intel,
        AMD: _amd,
    }[name]
    facts, run = prepare(x, start, ITERATIONS[case])
    path = folder / f"{os.getpid()} {case}.npy"
    np.save(path, run())
    return facts | {"centroids": str(path)}, lambda: {"": [seconds_of(run)]}


def _ours(x: np.ndarray, start: np.ndarray, iterations: int) -> tuple[dict[str, Any], Any]:
    import vqswift as vq

    def run() -> np.ndarray:
        found = vq.kmeans(x, len(start), iterations=iterations, init=start)
        if found.iterations != iterations:
            raise ValueError(f"it ended after {found.iterations} iterations")
        return found.centroids

    return {"version": vq.__version__, "threads": vq.get_threads()}, run


def _faiss(x: np.ndarray, start: np.ndarray, iterations: int) -> tuple[dict[str, Any], Any]:
    import faiss

    def run() -> np.ndarray:
        clustering = faiss.Kmeans(
            x.shape[1],
            len(start),
            niter=iterations,
            min_points_per_centroid=1,
            max_points_per_centroid=len(x),  # no subsample
        )
        clustering.train(x, init_centroids=start)
        return clustering.centroids

    return {
        "version": faiss.__version__,
        "threads": faiss.omp_get_max_threads(),
        "blas": openblas(),
    }, run


def _scikit(x: np.ndarray, start: np.ndarray, iterations: int) -> tuple[dict[str, Any], Any]:
    import sklearn
    from sklearn.cluster import KMeans

    return {"version": sklearn.__version__}, _fitted(KMeans, x, start, iterations)


def _intel(x: np.ndarray, start: np.ndarray, iterations: int) -> tuple[dict[str, Any], Any]:
    from sklearnex.cluster import KMeans

    version = importlib.metadata.version("scikit-learn-intelex")
    return {"version": version}, _fitted(KMeans, x, start, iterations)


def _fitted(kind: Any, x: np.ndarray, start: np.ndarray, iterations: int) -> Any:
    def run() -> np.ndarray:
        clustering = kind(
            len(start), init=start, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd"
        )
        return clustering.fit(x).cluster_centers_

    return run


def _amd(x: np.ndarray, start: np.ndarray, iterations: int) -> tuple[dict[str, Any], Any]:
    from aoclda.clustering import kmeans

    def run() -> np.ndarray:
        clustering = kmeans(
            n_clusters=len(start), C=start, max_iter=iterations, tol=0.0, algorithm="lloyd"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that it has not converged
            clustering.fit(x)
        return np.asarray(clustering.cluster_centres)

    return {"version": importlib.metadata.version("aoclda")}, run


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
