"""Kills a training at random moments; resumed until it is done, it ends in the same bytes.

A case starts a run that writes a checkpoint every few steps and validates its averaged weights,
kills it with SIGKILL at a moment that the case's number draws, once or twice, and goes on from the
newest checkpoint to the end. Checkpoints, the best one, configuration and metrics are then the same
bytes as those of a run that nobody disturbed, and no other file is left. Times in the metrics come
from a clock that counts its calls.
"""

import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from _campaign import main

STEPS, EVERY = 40, 4


@dataclass(frozen=True)
class Settings:
    steps: int = STEPS
    checkpoint_every: int = EVERY


def train_to_the_end(folder: Path) -> None:
    """In a child: from the newest checkpoint, or from the start, to the last step."""
    import numpy as np
    import vqswift as vq
    from vqswift import data, nn, train

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.BatchNorm(8), nn.Dropout(0.1))
            self.quantizer = vq.VectorQuant(
                8, 16, kmeans_init=True, affine_lr=1.0, sync_nu=1.0, replace_freq=3
            )
            self.decoder = nn.ConvTranspose2d(8, 3, 4, 4)

        def forward(self, x: vq.Tensor) -> tuple[vq.Tensor, vq.QuantizerInfo]:
            z_q, info = self.quantizer(self.encoder(x))
            return self.decoder(z_q), info

    vq.set_threads(1)
    vq.manual_seed(0)
    model = Model()
    pixels = np.random.default_rng(0).integers(256, size=(64, 16, 16, 3), dtype=np.uint8)
    trainer = train.Trainer(
        model,
        vq.optim.AdamW(model.parameters(), lr=1e-3),
        data.Batches(pixels, batch_size=16, seed=1),
        schedule=vq.optim.cosine_schedule(STEPS),
        ema=0.9,
        accumulate=2,
    )
    run = train.Run(
        folder,
        trainer,
        configuration=Settings(),
        checkpoint_every=EVERY,
        validate=lambda averaged: {"mse": train.evaluate(averaged, pixels[:16]).mse},
        validate_every=3,
        best=("mse", "min"),
        callbacks=[lambda _, told: print(told.step, flush=True)],
    )
    ticks = itertools.count()
    time.perf_counter = lambda: float(next(ticks) % 2)  # each step takes one second
    print("started", flush=True)
    run.fit(STEPS, progress=False)


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--train", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@cache
def undisturbed() -> tuple[dict[str, bytes], float]:
    """What a run leaves, and how long it takes from its first word."""
    with tempfile.TemporaryDirectory() as name:
        child = start(Path(name))
        assert child.stdout is not None
        child.stdout.readline()
        began = time.monotonic()
        child.communicate()
        assert child.returncode == 0, child.returncode
        return contents(Path(name)), time.monotonic() - began


def case(number: int) -> None:
    expected, seconds = undisturbed()
    draws = random.Random(number)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kills = draws.randint(1, 2)
        for _ in range(kills):
            child = start(folder)
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(draws.uniform(0, seconds))
            child.kill()
            child.communicate()
        child = start(folder)
        child.communicate()
        assert child.returncode == 0, f"the resumed run ended with {child.returncode}"
        found = contents(folder)
        assert found.keys() == expected.keys(), f"files {sorted(found)}"
        for file, content in expected.items():
            assert found[file] == content, f"{file} differs after {kills} kills"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train_to_the_end(Path(sys.argv[2]))
    else:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        main(__file__, case, full=40, short=6, batch=40)
