"""Two builds of vqswift side by side: training step, nearest codes, k-means, few vectors.

    python -m benchmarks.before_after BEFORE [AFTER] [--rounds 7]

BEFORE and AFTER are folders with a built package `vqswift` in them (the `python` folder of a
checkout); AFTER is this one by default. Children of both take turns, each case is timed once a
round, and the medians and the median of the rounds' ratios are printed: below 1, AFTER is faster.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from ._contest import ROOT

HERE = ROOT / "python"


def measured() -> None:
    """The child: a time in seconds for every line that it reads."""
    import vqswift as vq

    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float32)

    def step_of(batch: int) -> Callable[[], None]:
        quantizer = vq.VectorQuant(64, 1024)
        model = vq.models.SQVAE(quantizer)
        optimizer = vq.optim.AdamW(model.parameters(), lr=1e-4)
        images = vq.Tensor(random.random((batch, 32, 32, 3), np.float32))

        def step() -> None:
            output, info = model(images)
            loss = vq.nn.functional.mse_loss(output, images) + 5 * info.loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

        return step

    points, codes = normal(65536, 64), normal(1024, 64)
    many, large = normal(32768, 64), normal(8192, 64)
    cloud = normal(262144, 64)
    layer = vq.VectorQuant(64, 1024)
    batch = vq.Tensor(normal(8192, 64), requires_grad=True)

    def quantize() -> None:
        output, info = layer(batch)
        (output.sum() + info.loss).backward()

    cases = {
        "training step, batch 128": (step_of(128), 3),
        "training step, batch 32": (step_of(32), 10),
        "training step, batch 4": (step_of(4), 40),
        "nearest of 1024 codes, 65536 x 64": (lambda: vq.nearest_codes(points, codes), 5),
        "nearest of 8192 codes, 32768 x 64": (lambda: vq.nearest_codes(many, large), 2),
        "k-means, 262144 x 64, k 1024, 4 iterations": (
            lambda: vq.kmeans(cloud, 1024, iterations=4, init=codes),
            1,
        ),
        "quantizer forward and backward, 8192 x 64": (quantize, 20),
    }
    for action, _ in cases.values():
        action()
    print("|".join(cases), flush=True)
    for line in sys.stdin:
        action, repeats = cases[line.strip()]
        action()
        start = time.perf_counter()
        for _ in range(repeats):
            action()
        print((time.perf_counter() - start) / repeats, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=HERE)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    children = []
    for folder in (arguments.before, arguments.after):
        settings = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        settings["PYTHONPATH"] = str(folder.resolve())
        command = [sys.executable, "-m", "benchmarks.before_after", "--child"]
        children.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=settings,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    def ask(child: subprocess.Popen[str], case: str) -> float:
        assert child.stdin and child.stdout
        child.stdin.write(case + "\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    names = [child.stdout.readline().strip().split("|") for child in children if child.stdout]
    print(f"{'ms':45} {'before':>9} {'after':>9} {'ratio':>7}  ratios of the rounds")
    for case in names[0]:
        pairs = []
        for number in range(arguments.rounds):
            order = children if number % 2 == 0 else children[::-1]
            times = {id(child): ask(child, case) for child in order}
            pairs.append((times[id(children[0])], times[id(children[1])]))
        before, after = (1000 * median(times) for times in zip(*pairs, strict=True))
        ratios = sorted(b / a for a, b in pairs)
        spread = f"{ratios[0]:.2f}...{ratios[-1]:.2f}"
        print(f"{case:45} {before:9.2f} {after:9.2f} {median(ratios):7.3f}  {spread}", flush=True)
    for child in children:
        child.communicate()


if __name__ == "__main__":
    measured() if "--child" in sys.argv else main()
