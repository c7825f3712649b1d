"""A folder of images to codes and back, and samples: beside the network alone, and their memory.

    python -m benchmarks.image_codes [--rounds 5] [--quick]

PNG files of 64x64, the VQGAN that Table 9 takes for the faces (factor 8, 1024 codes), and MaskGIT's
transformer of 8 blocks with it; nothing is trained. The network alone encodes or decodes the same
batches of 16 that are in memory. Memory is what the peak exceeds the resident size before, after
everything has run once. The bar of a folder is 0.85 of the network alone.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ._memory import forget_peak, peak, resident
from ._results import options_of, save
from ._table import print_table

SIDE, BATCH, SAMPLES = 64, 16, 64
BAR = 0.85  # of the network alone
PARTS = ("encode", "decode")


def main() -> None:
    """Measures all in turn, round after round, and prints medians."""
    options = options_of(__doc__, rounds=5).parse_args()
    rounds = min(options.rounds, 1) if options.quick else options.rounds
    count = 2 * BATCH if options.quick else 32 * BATCH
    with tempfile.TemporaryDirectory() as folder:
        work = _work(Path(folder), count)
        found: dict[str, list[tuple[float, int]]] = {name: [] for name in work}
        for _ in range(rounds + 1):
            for name, call in work.items():
                found[name].append(_measured(call))
    medians = {
        name: {
            "images_per_second": count_of(name, count) / statistics.median(s for s, _ in rest),
            "seconds": statistics.median(s for s, _ in rest),
            "megabytes": max(m for _, m in rest) / 1e6,
        }
        for name, (_, *rest) in found.items()
    }
    shares = {
        part: medians[f"{part} a folder"]["images_per_second"]
        / medians[f"{part}, the network alone"]["images_per_second"]
        for part in PARTS
    }
    rows = [
        [name, f"{m['images_per_second']:.0f}", f"{m['seconds']:.2f}", f"{m['megabytes']:.0f}"]
        for name, m in medians.items()
    ]
    print_table(f"{count} images of {SIDE}x{SIDE}", ["", "images/s", "s", "MB"], rows)
    for part, share in shares.items():
        verdict = "met" if share >= BAR else "missed"
        print(f"{part}: a folder at {share:.2f} of the network alone, bar {BAR}: {verdict}")
    document = {"bar": BAR, "images": count, "measured": medians, "shares": shares}
    print(f"written to {save('image_codes', options, document)}")


def count_of(name: str, images: int) -> int:
    """Images that the work makes or reads."""
    return SAMPLES if name.startswith("sample") else images


def _measured(call: Callable[[], object]) -> tuple[float, int]:
    """Seconds, and bytes that the peak exceeds what was resident."""
    before = resident()
    forget_peak()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start, peak() - before


def _work(folder: Path, count: int) -> dict[str, Callable[[], object]]:
    import vqswift as vq
    from PIL import Image

    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    for index in range(count):
        coarse = Image.fromarray(random.integers(256, size=(8, 8, 3), dtype=np.uint8))
        fine = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        fine.save(folder / "images" / f"{index:04}.png")
    model = vq.models.VQGAN(
        vq.VectorQuant(64, 1024, seed=0), width=32, multipliers=(1, 1, 2, 4), features=64
    ).eval()
    transformer = vq.models.MaskGIT(
        1024, SIDE, classes=1, width=96, depth=8, heads=3, hidden=384, norm_first=True
    ).eval()
    images = random.random((count, SIDE, SIDE, 3), np.float32)
    with vq.no_grad():
        codes = np.concatenate([model.encode(x).numpy() for x in _batches(images)])

    def alone(function: Callable[[Any], Any], given: np.ndarray) -> None:
        with vq.no_grad():
            for x in _batches(given):
                function(x).numpy()

    # Each in a new one: a file system finds it harder to write where files were just replaced.
    folders = itertools.count(1)

    def made() -> Path:
        return folder / f"made-{next(folders)}"

    def sample() -> None:
        drawn = vq.models.generate(transformer, labels=[0] * SAMPLES, steps=8, guidance=1.0)
        with vq.no_grad():
            model.decode(drawn.reshape(SAMPLES, 8, 8)).numpy()

    return {
        "encode, the network alone": lambda: alone(model.encode, images),
        "encode a folder": lambda: vq.codec.encode_files(
            model, folder / "images", made(), batch_size=BATCH
        ),
        "decode, the network alone": lambda: alone(model.decode, codes),
        "decode a folder": lambda: vq.codec.decode_files(
            model, folder / "made-1", made(), batch_size=BATCH
        ),
        f"sample {SAMPLES} images": sample,
    }


def _batches(given: np.ndarray) -> list[np.ndarray]:
    return [given[start : start + BATCH] for start in range(0, len(given), BATCH)]


if __name__ == "__main__":
    main()
