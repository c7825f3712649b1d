"""Images a second of the loader alone, of a training step alone, and of both together.

    python -m benchmarks.loader [--rounds 5] [--quick]

Arrays of 32x32 images in batches of 128 with `RandomCrop` and with `RandomResizedCrop`, both with
flips and normalization, and a folder of JPEG files of 256x256, read by `RandomResizedCrop` to
224x224 in batches of 16. A step is forward, loss, backward and AdamW's update: of arrays that of
the SQ-VAE backbone with 64 channels and 1024 codes, of files that of ResNet-18 with a quantizer of
1024 codes. The loader is no bottleneck where both together come near the step alone; the bar is
0.85 of it, with two threads that prepare batches.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._results import options_of, save
from ._table import print_table

WORKERS = (0, 1, 2)
BAR = 0.85  # of the step alone
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    """Measures all in turn, round after round, and prints medians."""
    options = options_of(__doc__, rounds=5).parse_args()
    rounds = min(options.rounds, 1) if options.quick else options.rounds
    with tempfile.TemporaryDirectory() as folder:
        cases = [*_small(options.quick), _large(Path(folder), options.quick)]
        rows = [_row(*case, rounds) for case in cases]
    header = ["work", *(f"loader {n}" for n in WORKERS), "step"]
    header += [f"both {n}" for n in WORKERS[::2]] + ["of the step", "verdict"]
    cells = [
        [
            row["work"],
            *(f"{row[f'loader {n}']:.0f}" for n in WORKERS),
            f"{row['step']:.0f}",
            *(f"{row[f'both {n}']:.0f}" for n in WORKERS[::2]),
            f"{row['share']:.2f}",
            "met" if row["share"] >= BAR else "missed",
        ]
        for row in rows
    ]
    print_table("images a second, with the number of workers", header, cells)
    print(f"written to {save('loader', options, {'bar': BAR, 'measured': rows})}")


def _small(quick: bool) -> Iterator[tuple[str, Callable[[int], Any], int, int]]:
    from vqswift import data

    random = np.random.default_rng(0)
    images = random.integers(256, size=(2048, 32, 32, 3), dtype=np.uint8)
    crops = {"crop": data.RandomCrop(32, padding=4), "resized crop": data.RandomResizedCrop(32)}
    for name, crop in crops.items():
        transform = data.Compose([crop, data.RandomHorizontalFlip(), data.Normalize(MEAN, STD)])

        def made(workers: int, transform: Any = transform) -> Any:
            return data.Batches(images, batch_size=128, transform=transform, workers=workers)

        yield f"32x32 array, {name}", made, 32, 3 if quick else 12


def _large(folder: Path, quick: bool) -> tuple[str, Callable[[int], Any], int, int]:
    from PIL import Image
    from vqswift import data

    random = np.random.default_rng(0)
    (folder / "a").mkdir()
    for index in range(64):
        coarse = Image.fromarray(random.integers(256, size=(32, 32, 3), dtype=np.uint8))
        fine = np.asarray(coarse.resize((256, 256), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = np.clip(fine + random.integers(-12, 13, size=fine.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "a" / f"{index}.jpg", quality=90)
    transform = data.Compose(
        [data.RandomResizedCrop(224), data.RandomHorizontalFlip(), data.Normalize(MEAN, STD)]
    )
    files = data.ImageFolder(folder, transform=transform)

    def made(workers: int) -> Any:
        return data.Batches(files, batch_size=16, workers=workers)

    return "256x256 JPEG to 224x224", made, 224, 1 if quick else 3


def _row(
    work: str, made: Callable[[int], Any], size: int, count: int, rounds: int
) -> dict[str, Any]:
    """Medians of the rounds, in images a second, by what was measured."""
    step = _step(size)
    ready = next(iter(made(0)))
    step(ready)
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for workers in WORKERS:
            found.setdefault(f"loader {workers}", []).append(_rate(made(workers), None, count))
        found.setdefault("step", []).append(_rate(None, lambda _: step(ready), count, ready))
        for workers in WORKERS[::2]:
            found.setdefault(f"both {workers}", []).append(_rate(made(workers), step, count))
    medians: dict[str, Any] = {name: statistics.median(rates) for name, rates in found.items()}
    return {"work": work, **medians, "share": medians["both 2"] / medians["step"]}


def _rate(
    batches: Any, work: Callable[[Any], object] | None, count: int, ready: Any = None
) -> float:
    """Images a second over `count` batches, after a first one."""
    stream = iter([ready] * (count + 1)) if batches is None else batches.forever()
    next(stream)
    images = 0
    start = time.perf_counter()
    for _ in range(count):
        batch = next(stream)
        images += len(batch[0] if isinstance(batch, tuple) else batch)
        if work is not None:
            work(batch)
    seconds = time.perf_counter() - start
    if batches is not None:
        stream.close()
    return images / seconds


def _step(size: int) -> Callable[[Any], float]:
    import vqswift as vq

    functional = vq.nn.functional
    model: Any
    if size == 224:
        model = vq.models.ResNet18(vq.VectorQuant(128, 1024, seed=0), classes=100).train()
    else:
        quantizer = vq.VectorQuant(64, 1024, beta=0.95, seed=0)
        model = vq.models.SQVAE(image_size=size, channels=3, width=64, quantizer=quantizer).train()
    optimizer = vq.optim.AdamW(model.parameters(), lr=1e-4)

    def step(batch: Any) -> float:
        labels = None
        if isinstance(batch, tuple):
            batch, labels = batch
        x = vq.Tensor(batch)
        found, info = model(x)
        error = (
            functional.mse_loss(found, x)
            if labels is None
            else functional.cross_entropy(found, labels)
        )
        loss = error + info.loss * 5.0
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


if __name__ == "__main__":
    main()
