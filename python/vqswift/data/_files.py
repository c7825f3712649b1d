"""Finds the files of a set and reads their verified content."""

from __future__ import annotations

import hashlib
import lzma
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .._arguments import checked

_SUFFIXES = ("", ".gz", ".xz")

# Each set's folder under a root, then where torchvision or the original archive puts the files.
FOLDERS: dict[str, tuple[str, ...]] = {
    "mnist": ("mnist", "MNIST/raw", "."),
    "fashion-mnist": ("fashion-mnist", "FashionMNIST/raw", "."),
    "cifar10": ("cifar10", "cifar-10-batches-bin", "."),
}

# One file by which a set's presence is recognized.
_WITNESS = {
    "mnist": "train-images-idx3-ubyte",
    "fashion-mnist": "train-images-idx3-ubyte",
    "cifar10": "data_batch_1.bin",
}


@dataclass(frozen=True)
class Source:
    """An original file: its name without a compression suffix, and its uncompressed content."""

    name: str
    size: int
    md5: str


@checked
def search_roots(root: str | os.PathLike[str] | None = None) -> list[Path]:
    """The folders in which sets are looked for, in order; an argument is the only one."""
    if root is not None:
        return [Path(root)]
    roots = []
    if environment := os.environ.get("VQSWIFT_DATA"):
        roots.append(Path(environment))
    roots.append(Path.cwd().parent / "shared" / "data")
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "Package.swift").is_file():
        roots.append(checkout.parent / "shared" / "data")
    return list(dict.fromkeys(roots))


@checked
def has(name: str, root: str | os.PathLike[str] | None = None) -> bool:
    """Whether the set `name` ("mnist", "fashion-mnist" or "cifar10") can be found."""
    if name not in FOLDERS:
        raise ValueError(f"[data] set {name!r}: must be one of {', '.join(map(repr, FOLDERS))}")
    return _find(_candidates(name, _WITNESS[name], search_roots(root))) is not None


def read(name: str, source: Source, root: str | os.PathLike[str] | None) -> tuple[Path, bytes]:
    """The path of a file of the set `name` and its uncompressed, verified content.

    Raises `FileNotFoundError` with every path that was tried, and `ValueError` for a content
    of another size or checksum.
    """
    tried = _candidates(name, source.name, search_roots(root))
    path = _find(tried)
    if path is None:
        folders = "\n  ".join(dict.fromkeys(str(candidate.parent) for candidate in tried))
        raise FileNotFoundError(
            f"[{name}] {source.name} (plain, .gz or .xz) is missing; set VQSWIFT_DATA or pass "
            f"root=. Looked in\n  {folders}"
        )
    content = _content(path, source.size)
    if len(content) != source.size:
        found = f"more than {source.size}" if len(content) > source.size else f"{len(content)}"
        raise ValueError(
            f"[{name}] {path}: expected {source.size} bytes of uncompressed content, found {found}"
        )
    return path, content


def verify(name: str, path: Path, source: Source, content: bytes) -> None:
    """Raise `ValueError` unless the content's md5 is the original's."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != source.md5:
        raise ValueError(
            f"[{name}] {path}: expected md5 {source.md5} of the uncompressed content, found {found}"
        )


def _candidates(name: str, stem: str, roots: Sequence[Path]) -> list[Path]:
    return [
        root / folder / (stem + suffix)
        for root in roots
        for folder in FOLDERS[name]
        for suffix in _SUFFIXES
    ]


def _find(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _content(path: Path, size: int) -> bytes:
    """At most `size + 1` bytes of uncompressed content; fewer than `size` when cut short."""
    with path.open("rb") as file:
        if path.suffix not in (".gz", ".xz"):
            return file.read(size + 1)
        packed = file.read()
    try:
        if path.suffix == ".gz":
            return zlib.decompressobj(wbits=31).decompress(packed, size + 1)
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed, size + 1)
    except (zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"[data] {path}: damaged {path.suffix[1:]} stream: {error}") from error
