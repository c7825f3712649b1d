"""Stands for CIFAR-10: a few images of blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from vqswift import data


def cifar10(split: str, root: Path | None = None) -> data.ImageSet:
    random = np.random.default_rng(split == "test")
    count = 256 if split == "train" else 32
    coarse = random.integers(256, size=(count, 4, 4, 3), dtype=np.uint8)
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)
    return data.ImageSet("blocks", images, random.integers(10, size=count).astype(np.int32))
