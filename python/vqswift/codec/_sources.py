"""Which files are read, and where what comes of them is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data._folder import files_below

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Source:
    """A file, and the file that comes of it."""

    path: Path
    target: Path


def sources_of(
    operation: str,
    inputs: Sequence[AnyPath] | AnyPath,
    suffixes: frozenset[str],
    output: AnyPath,
    suffix: str,
) -> list[Source]:
    """The files that `inputs` name, those below folders in order.

    `NAME.png` becomes `NAME` and `suffix` in `output`, a file of a folder's sub-folder in a
    sub-folder of that name. What stands in `output` is not read. FileNotFoundError for an input
    that there is not, or a folder without such files; ValueError for two files that would become
    one, or one that would be written over.
    """
    top = Path(output)
    given = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    if not given:
        raise ValueError(f"[{operation}] inputs = []: at least one is required")
    found: dict[Path, Path] = {}
    for each in map(Path, given):
        if not each.exists():
            raise FileNotFoundError(f"[{operation}] {each}: there is no such file or folder")
        if each.is_dir():
            paths = sorted(p for p in files_below(each, suffixes) if not _is_below(p, top, each))
            if not paths:
                kinds = ", ".join(sorted(suffixes))
                raise FileNotFoundError(f"[{operation}] {each}: no file in it ends in {kinds}")
            below = [path.relative_to(each) for path in paths]
        else:
            paths, below = [each], [Path(each.name)]
        for path, name in zip(paths, below, strict=True):
            target = top / name.with_suffix(suffix)
            other = found.setdefault(target, path)
            if other != path:
                raise ValueError(
                    f"[{operation}] {other} and {path}: both would become {target}; give them "
                    "other names, or write them to different folders"
                )
    read = {os.path.realpath(path) for path in found.values()}
    for target, path in found.items():
        if os.path.realpath(target) in read:
            raise ValueError(
                f"[{operation}] {path}: {target} is read too, and would be written over; give "
                "another output folder"
            )
    return [Source(path, target) for target, path in found.items()]


def _is_below(path: Path, output: Path, folder: Path) -> bool:
    """Whether the output folder, a sub-folder of `folder`, holds the file."""
    top, above, own = (os.path.abspath(each) + os.sep for each in (output, folder, path))
    return top != above and top.startswith(above) and own.startswith(top)
