"""Named arrays in safetensors files."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from . import _core
from ._arguments import checked
from ._tensor import Tensor


@checked
def save(
    path: str | os.PathLike[str],
    tensors: Mapping[str, npt.ArrayLike],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named float32 and int32 arrays as safetensors.

    Goes to a temporary file beside `path` first, is synced, then renamed: an interrupted write
    leaves the old file. OSError names the path.
    """
    pairs = [(name, Tensor(value)._handle) for name, value in tensors.items()]
    _core.archive_save(_path("save", path), pairs, list((metadata or {}).items()))


@checked
def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read what `save` wrote, or any safetensors file of F32 and I32: (arrays, metadata).

    ValueError says what is wrong with a damaged file.
    """
    pairs, metadata = _core.archive_load(_path("load", path))
    return {name: Tensor._wrap(handle).numpy() for name, handle in pairs}, dict(metadata)


def _path(action: str, path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"[{action}] path {text!r}: a str or os.PathLike of str is required")
    if "\0" in text:
        raise ValueError(f"[{action}] path {text!r}: it must not hold a NUL")
    return text
