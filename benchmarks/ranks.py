"""Steps of the CIFAR-10 autoencoder, batch 128, by one process or by the ranks of a launcher.

python -m benchmarks.ranks --threads 2
mpirun -n 2 python -m benchmarks.ranks --threads 1

Images are random. Prints milliseconds of a step (the median) by size of the messages of gradients,
and, of rank 0, the processor's milliseconds and the bytes that it sends, both means.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import vqswift as vq
from vqswift.data import Batches
from vqswift.distributed import _gradients


def made(batch: int, blocks: int | None) -> vq.train.Trainer:
    """The trainer of the autoencoder on random images."""
    vq.manual_seed(0)
    images = np.random.default_rng(0).random((4 * batch, 32, 32, 3), dtype=np.float32)
    quantizer = vq.VectorQuant(
        64,
        1024,
        affine_lr=1.0,
        sync_nu=2.0,
        replace_freq=20,
        seed=0,
        inplace_optimizer=lambda parameters: vq.optim.SGD(parameters, lr=50.0),
    )
    model = vq.models.SQVAE(quantizer)
    return vq.train.Trainer(
        model,
        vq.optim.AdamW(model.parameters(), lr=1e-3),
        Batches(images, batch_size=batch),
        blocks=blocks,
    )


def main() -> None:
    """Train, and print what a step takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    parser.add_argument("--steps", type=int, default=20, help="that are measured, after three")
    parser.add_argument("--batch", type=int, default=128, help="images of all ranks together")
    parser.add_argument(
        "--blocks", type=int, help="that a batch is cut into; one a rank by default"
    )
    parser.add_argument(
        "--buckets",
        type=int,
        nargs="+",
        default=[_gradients._BUCKET],
        help="elements of a message of gradients; steps take sizes in turn",
    )
    options = parser.parse_args()
    here = vq.distributed.init()
    vq.set_threads(options.threads)
    trainer = made(options.batch, options.blocks)
    trainer.fit(3, progress=False)
    sent, used = here.sent, time.process_time()
    found: dict[int, list[float]] = {size: [] for size in options.buckets}
    for size in options.buckets * options.steps:
        _gradients._BUCKET = size
        found[size] += [step.seconds for step in trainer.steps(1)]
    count = len(found) * options.steps
    used = (time.process_time() - used) / count
    if here.rank == 0:
        told = ", ".join(
            f"{statistics.median(seconds) * 1e3:.1f} ms a step in messages of {size}"
            for size, seconds in found.items()
        )
        print(
            f"{here.size} ranks ({here.name}), {options.threads} threads each: {told}; "
            f"{used * 1e3:.1f} ms of the processor, {(here.sent - sent) // count} bytes sent"
        )


if __name__ == "__main__":
    main()
