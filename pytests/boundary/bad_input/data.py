"""Batches, transforms, files and streams."""

from __future__ import annotations

from typing import Any

import numpy as np
from vqswift import data

from .case import INF, NAN, Case

IMAGES = np.zeros((4, 5, 6, 3), np.float32)
DRAWS = data.Draws(0, 0, np.arange(4))


def batches(images: Any = IMAGES, **options: Any) -> Any:
    return lambda: data.Batches(images, **{"batch_size": 2, **options})


def first(**options: Any) -> Any:
    return lambda: next(iter(data.Batches(IMAGES, batch_size=2, **options)))


DATA: dict[str, Case] = {
    "batches of integers": (batches(np.zeros((4, 2), int)), TypeError, ["batches", "int64"]),
    "batches of bool": (batches(np.zeros((4, 2), bool)), TypeError, ["batches", "bool"]),
    "batches of one axis": (batches(np.zeros(4)), ValueError, ["batches", "[4]", "add_channel"]),
    "batches of six axes": (
        batches(np.zeros((1,) * 6)),
        ValueError,
        ["batches", "[1, 1, 1, 1, 1, 1]"],
    ),
    "empty batches": (batches(IMAGES[:, :0]), ValueError, ["[4, 0, 6, 3]", "not be empty"]),
    "values beyond the range": (
        batches(IMAGES + 2, value_range=(-1, 1)),
        ValueError,
        ["from 2 to 2", "[-1, 1]"],
    ),
    "values that are no number": (
        batches(np.full((2, 2), NAN), value_range=None),
        ValueError,
        ["from nan to nan", "finite"],
    ),
    "range without end": (batches(value_range=(0, INF)), ValueError, ["value_range = (0, inf)"]),
    "range upside down": (batches(value_range=(1, 0)), ValueError, ["value_range = (1, 0)"]),
    "range of three": (batches(value_range=(0, 1, 2)), ValueError, ["value_range = (0, 1, 2)"]),
    "workers": (batches(workers=-1), ValueError, ["workers -1", "not be negative"]),
    "labels of three axes": (
        batches(labels=np.zeros((4, 1, 1), int)),
        ValueError,
        ["labels [4, 1, 1]", "[4, k]"],
    ),
    "transform of a vector": (
        lambda: next(
            iter(data.Batches(np.zeros((4, 2)), batch_size=2, transform=data.RandomCrop(1)))
        ),
        ValueError,
        ["random_crop", "[2, 2]", "[n, ..., h, w, c]"],
    ),
    "transform of another length": (
        first(transform=lambda x: x[:1]),
        ValueError,
        ["transform", "[2, 5, 6, 3]", "[1, 5, 6, 3]"],
    ),
    "transform of text": (
        first(transform=lambda x: x.astype(str)),
        TypeError,
        ["transform", "real numbers"],
    ),
    "crop larger than the image": (
        lambda: data.RandomCrop((8, 3), padding=1)(IMAGES, DRAWS),
        ValueError,
        ["random_crop", "8 x 3", "7 x 8"],
    ),
    "center crop larger than the image": (
        lambda: data.CenterCrop(6)(IMAGES),
        ValueError,
        ["center_crop", "6 x 6", "5 x 6"],
    ),
    "crop of nothing": (lambda: data.RandomCrop(0), ValueError, ["random_crop", "size = 0"]),
    "crop of three sizes": (
        lambda: data.CenterCrop((1, 2, 3)),  # type: ignore[arg-type]
        TypeError,
        ["center_crop", "(1, 2, 3)"],
    ),
    "negative padding": (lambda: data.RandomCrop(2, -1), ValueError, ["padding = -1"]),
    "scale": (
        lambda: data.RandomResizedCrop(2, scale=(0.5, 0.1)),
        ValueError,
        ["random_resized_crop", "scale = (0.5, 0.1)"],
    ),
    "ratio": (
        lambda: data.RandomResizedCrop(2, ratio=(0.0, 1.0)),
        ValueError,
        ["random_resized_crop", "ratio = (0.0, 1.0)"],
    ),
    "flip probability": (
        lambda: data.RandomHorizontalFlip(1.5),
        ValueError,
        ["random_horizontal_flip", "p = 1.5"],
    ),
    "std": (lambda: data.Normalize(0.5, [1, 0]), ValueError, ["normalize", "[1.0, 0.0]"]),
    "mean": (lambda: data.Normalize([NAN], 1.0), ValueError, ["normalize", "mean = [nan]"]),
    "channels": (
        lambda: data.Normalize([0.5, 0.5], 1.0)(IMAGES),
        ValueError,
        ["normalize", "[4, 5, 6, 3]", "2 numbers of mean"],
    ),
    "resize of nothing": (
        lambda: data.Resize(4)(IMAGES[:, :0]),
        ValueError,
        ["resize", "0 x 6 pixels"],
    ),
    "images of integers": (
        lambda: data.Resize(4)(np.zeros((1, 2, 2, 1), int)),  # type: ignore[arg-type]
        TypeError,
        ["resize", "int64"],
    ),
    "no draws": (
        lambda: data.RandomCrop(2)(IMAGES),
        ValueError,
        ["random_crop", "Draws(seed, epoch, indices)"],
    ),
    "draws of other samples": (
        lambda: data.RandomHorizontalFlip()(IMAGES[:2], DRAWS),
        ValueError,
        ["random_horizontal_flip", "2 images", "4 samples"],
    ),
    "part of a composition": (
        lambda: data.Compose([data.Resize(2), 3]),  # type: ignore[list-item]
        TypeError,
        ["compose", "transforms[1] = 3"],
    ),
    "draws of a negative seed": (lambda: data.Draws(-1, 0, [0]), ValueError, ["draws", "seed"]),
    "draws of a negative sample": (lambda: data.Draws(0, 0, [-1]), ValueError, ["from -1"]),
    "draws of halves": (lambda: data.Draws(0, 0, [0.5]), TypeError, ["draws", "float64"]),
    "draws of a matrix": (lambda: data.Draws(0, 0, [[1]]), ValueError, ["draws", "[1, 1]"]),
    "bound of nothing": (lambda: DRAWS.integers(0), ValueError, ["draws.integers", "from 0"]),
    "bounds of others": (lambda: DRAWS.integers([1, 2]), ValueError, ["[2]", "[4]"]),
    "files without paths": (lambda: data.ImageFiles([]), ValueError, ["image_files", "paths []"]),
    "files with other labels": (
        lambda: data.ImageFiles(["a.png"], [1, 2]),
        ValueError,
        ["image_files", "labels [2]", "[1]"],
    ),
    "size beside a transform": (
        lambda: data.ImageFiles(["a.png"], size=4, transform=data.Resize(4)),
        ValueError,
        ["image_files", "size 4", "transform"],
    ),
    "what to do with damage": (
        lambda: data.ImageFiles(["a.png"], on_error="drop"),  # type: ignore[arg-type]
        ValueError,
        ["image_files", "'drop'", "'skip'"],
    ),
    "channel of files": (
        batches(data.ImageFiles(["a.png"]), batch_size=1, add_channel=True),
        ValueError,
        ["batches", "add_channel"],
    ),
    "file that is not there": (
        lambda: data.ImageFiles(["none.png"]).image(0),
        ValueError,
        ["image_files", "none.png", "No such file"],
    ),
    "stream of nothing": (lambda: data.Stream([], length=0), ValueError, ["length = 0"]),
    "stream without an epoch": (
        lambda: data.Stream([IMAGES]).load_state_dict({"position": 0}),
        ValueError,
        ["stream", "without epoch"],
    ),
    "stream beyond its end": (
        lambda: _resumed(data.Stream([IMAGES])),
        ValueError,
        ["stream", "position 5", "epoch 0 has 1 batches"],
    ),
    "stream with a number": (
        lambda: data.Stream(3),  # type: ignore[arg-type]
        TypeError,
        ["stream", "iterable = 3"],
    ),
}


def _resumed(stream: data.Stream) -> object:
    stream.load_state_dict({"epoch": 0, "position": 5})
    return next(stream.forever())
