"""MNIST, Fashion-MNIST and CIFAR-10 from their original files."""

from __future__ import annotations

import os
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from ._files import Source, read, verify

Split = Literal["train", "test"]
Root = str | os.PathLike[str] | None


@dataclass(frozen=True)
class ImageSet:
    """Images and labels, both read-only.

    Attributes:
        name: the set and the split, for example `"cifar10 test"`.
        images: `[n, h, w, c]` uint8.
        labels: `[n]` int32.
        credit: what to print beside a picture of them.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    credit: str = ""

    def __len__(self) -> int:
        return len(self.images)


def frozen_set(
    name: str, images: NDArray[np.uint8], labels: NDArray[np.integer], credit: str
) -> ImageSet:
    """An `ImageSet` of contiguous arrays that can no longer be written."""
    images = np.ascontiguousarray(images)
    codes = np.ascontiguousarray(labels, dtype=np.int32)
    images.flags.writeable = False
    codes.flags.writeable = False
    return ImageSet(name, images, codes, credit)


def check_split(operation: str, split: str) -> None:
    """Raise `ValueError` unless `split` is "train" or "test"."""
    if split not in ("train", "test"):
        raise ValueError(f"[{operation}] split {split!r}: must be 'train' or 'test'")


_IDX = {
    "mnist": {
        "train": (
            Source("train-images-idx3-ubyte", 47_040_016, "6bbc9ace898e44ae57da46a324031adb"),
            Source("train-labels-idx1-ubyte", 60_008, "a25bea736e30d166cdddb491f175f624"),
        ),
        "test": (
            Source("t10k-images-idx3-ubyte", 7_840_016, "2646ac647ad5339dbf082846283269ea"),
            Source("t10k-labels-idx1-ubyte", 10_008, "27ae3e4e09519cfbb04c329615203637"),
        ),
    },
    "fashion-mnist": {
        "train": (
            Source("train-images-idx3-ubyte", 47_040_016, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
            Source("train-labels-idx1-ubyte", 60_008, "9018921c3c673c538a1fc5bad174d6f9"),
        ),
        "test": (
            Source("t10k-images-idx3-ubyte", 7_840_016, "8181f5470baa50b63fa0f6fddb340f0a"),
            Source("t10k-labels-idx1-ubyte", 10_008, "15d484375f8d13e6eb1aabb0c3f46965"),
        ),
    },
}

_CIFAR_RECORD = 3073  # a label, then 32x32 of each of red, green and blue

_CIFAR = {
    "train": tuple(
        Source(f"data_batch_{number}.bin", 10_000 * _CIFAR_RECORD, md5)
        for number, md5 in enumerate(
            (
                "5dd7e06a14cb22eb9f671a540d1b7c25",
                "5ea93a67294ea407fff1d09f752e9692",
                "942cd6a4bcdd0dd3c604fbe906cb4421",
                "ae636b3ba5c66a11e91e8cb52e771fcb",
                "53f37980c15c3d472c316c40844f3f0d",
            ),
            start=1,
        )
    ),
    "test": (Source("test_batch.bin", 10_000 * _CIFAR_RECORD, "803d5f7f4d78ea53de84dbe85f74fb6d"),),
}


@checked
def mnist(split: Split = "train", root: Root = None) -> ImageSet:
    """MNIST (LeCun, Cortes, Burges): `[60000 or 10000, 28, 28, 1]`, labels 0 to 9.

    Raises `FileNotFoundError` with the places it looked in, and `ValueError` for a file of
    another length, magic number or checksum.
    """
    return _idx_set("mnist", split, root, "MNIST, LeCun, Cortes and Burges")


@checked
def fashion_mnist(split: Split = "train", root: Root = None) -> ImageSet:
    """Fashion-MNIST (Xiao et al. 2017): `[60000 or 10000, 28, 28, 1]`, labels 0 to 9.

    Raises as `mnist` does.
    """
    return _idx_set("fashion-mnist", split, root, "Fashion-MNIST, Zalando SE, MIT license")


@checked
def cifar10(split: Split = "train", root: Root = None) -> ImageSet:
    """CIFAR-10 (Krizhevsky 2009): `[50000 or 10000, 32, 32, 3]`, labels 0 to 9.

    Reads the binary version (`data_batch_1.bin` ... `test_batch.bin`), plain, gz or xz.
    Raises as `mnist` does.
    """
    check_split("cifar10", split)

    def records(source: Source) -> NDArray[np.uint8]:
        path, content = read("cifar10", source, root)
        verify("cifar10", path, source, content)
        return np.frombuffer(content, np.uint8).reshape(-1, _CIFAR_RECORD)

    # Decompression and checksums release the interpreter lock.
    with ThreadPoolExecutor(max_workers=min(5, os.cpu_count() or 1)) as pool:
        batches = list(pool.map(records, _CIFAR[split]))
    count = sum(len(batch) for batch in batches)
    images = np.empty((count, 32, 32, 3), np.uint8)
    labels = np.empty(count, np.int32)
    row = 0
    for batch in batches:
        end = row + len(batch)
        labels[row:end] = batch[:, 0]
        images[row:end] = batch[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        row = end
    return frozen_set(f"cifar10 {split}", images, labels, "CIFAR-10, Krizhevsky 2009")


def _idx_set(name: str, split: str, root: Root, credit: str) -> ImageSet:
    check_split(name, split)
    images, labels = (_idx(name, source, root) for source in _IDX[name][split])
    if len(images) != len(labels):
        raise ValueError(f"[{name}] {len(images)} images and {len(labels)} labels: must be as many")
    return frozen_set(f"{name} {split}", images[..., None], labels, credit)


def _idx(name: str, source: Source, root: Root) -> NDArray[np.uint8]:
    """The array of an idx file: big-endian magic 0x800 + rank, the extents, then uint8."""
    path, content = read(name, source, root)
    rank = 3 if "idx3" in source.name else 1
    magic, *shape = struct.unpack_from(f">{1 + rank}I", content)
    if magic != 0x800 + rank:
        raise ValueError(f"[{name}] {path}: expected magic 0x{0x800 + rank:x}, found 0x{magic:x}")
    header = 4 * (1 + rank)
    expected = header + int(np.prod(shape, dtype=np.int64))
    if expected != len(content):
        raise ValueError(
            f"[{name}] {path}: the header announces shape {shape}, {expected} bytes with it, "
            f"found {len(content)}"
        )
    verify(name, path, source, content)
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
