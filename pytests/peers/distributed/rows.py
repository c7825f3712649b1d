"""Rows of Table 3 on a few images: `rows.py ENGINE OUTPUT ROW ...`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from vqswift import data, distributed
from vqswift.experiments.straightening import _table3


def blocks(split: str, root: Path | None = None) -> data.ImageSet:
    random = np.random.default_rng(split == "test")
    images = random.integers(256, size=(32, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    return data.ImageSet("blocks", images, random.integers(10, size=32).astype(np.int32))


def main(engine: str, output: str, *rows: str) -> None:
    data.cifar10 = blocks  # type: ignore[assignment]
    distributed.init(None if engine == "none" else engine)
    settings = _table3.Table3Settings(
        rows=rows, epochs=1, images=32, threads=1, output=Path(output)
    )
    _table3.run(settings)
    distributed.shut_down()


if __name__ == "__main__":
    main(*sys.argv[1:])
