"""Pictures of a finished row of Table 9."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .... import data
from ..._drawing import save_pictures
from ._painter import Painter, middle
from ._sets import Images
from ._tokenizer import decoded, encoded

RECONSTRUCTIONS, SAMPLES = "pictures.png", "samples.png"
INPAINTING, EDITING = "inpainting.png", "editing.png"
NAMES = (RECONSTRUCTIONS, SAMPLES, INPAINTING, EDITING)
CAPTIONS = {
    RECONSTRUCTIONS: "test images, their reconstructions",
    SAMPLES: "samples, not chosen",
    INPAINTING: "test images, their middle hidden, painted three times",
    EDITING: "test images, their middle painted for their own class, and for three others",
}
_SEED = 3
_COLUMNS, _ROWS = 8, 8  # of samples
_PAINTED = 10  # images


def draw(painter: Painter, images: Images, folder: Path) -> None:
    """Write the pictures of a row into its folder; nothing of them is chosen."""
    test = data.unit_range(images.test[:_PAINTED])
    seen = decoded(painter.tokenizer, encoded(painter.tokenizer, test))
    save_pictures(folder / RECONSTRUCTIONS, [test, seen])

    # With classes a column is of one class.
    columns = images.classes or _COLUMNS
    made, _ = painter.samples(columns * _ROWS, _SEED)
    save_pictures(folder / SAMPLES, np.split(made, _ROWS))

    hidden = test.copy()
    hidden[:, *middle(images.side)] = 0.5
    has_classes = images.test_labels is not None
    labels = np.full(len(test), -1)
    if images.test_labels is not None:
        labels = images.test_labels[:_PAINTED]
    fillings = [painter.painted(test, labels, _SEED + turn) for turn in range(3)]
    save_pictures(folder / INPAINTING, [test, hidden, *fillings])
    if has_classes:
        others = [(labels + shift) % images.classes for shift in (0, 1, 3, 5)]
        edited = [painter.painted(test, each, _SEED) for each in others]
        save_pictures(folder / EDITING, [test, *edited])
