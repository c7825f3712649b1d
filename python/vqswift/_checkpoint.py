"""Named arrays in safetensors files."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from . import _core
from ._arguments import checked
from ._dtypes import BFLOAT16, DTYPES, FLOAT16, FLOAT32, DTypeLike, dtype_code
from ._tensor import Tensor
from ._warning import warn

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


@checked
def save(
    path: Path,
    tensors: Mapping[str, npt.ArrayLike],
    metadata: Mapping[str, str] | None = None,
    *,
    dtype: DTypeLike | None = None,
) -> None:
    """Write named arrays as safetensors: float32, int32, and float16 and bfloat16 as they are.

    `dtype`, one of "float32", "float16" and "bfloat16", is that of all floating arrays in the file,
    rounded to the nearest; ValueError for a number that would become infinite.

    The complete, synced file takes the place of the old one at once: an interrupted write leaves
    the old file, and of itself nothing that the next `save` to this path would not remove. A
    symbolic link is followed to the file that it stands for, and a file keeps its mode. OSError,
    as `open` raises it, for a path that cannot be written or is no regular file.
    """
    code = None if dtype is None else dtype_code(dtype)
    if code not in (None, FLOAT32, FLOAT16, BFLOAT16):
        raise TypeError(f"[save] dtype {dtype}: float32, float16 or bfloat16 is required")
    pairs = [(_text("name", name), _stored(name, v, code)._handle) for name, v in tensors.items()]
    texts = [
        (_text("metadata", key), _text("metadata", value))
        for key, value in (metadata or {}).items()
    ]
    _core.archive_save(_path("save", path), pairs, texts)


@checked
def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read what `save` wrote, or any safetensors file: (arrays, metadata).

    F32, F16, BF16 and F8 entries come exactly as float32, F64 rounded to the nearest float32;
    integers and BOOL as int32. An entry of another type, or with a number that these do not hold,
    is left out with a warning. ValueError says what is wrong with a file that is damaged or has no
    other entries, OSError, as `open` raises it, why one cannot be read.
    """
    pairs, metadata, unread = _core.archive_load(_path("load", path))
    for name, reason in unread:
        warn(f"[load] {name} is left out: {reason}")
    return {name: Tensor._wrap(handle).numpy() for name, handle in pairs}, dict(metadata)


def _stored(name: str, value: npt.ArrayLike, code: int | None) -> Tensor:
    """`value` as it is written, floating elements in the type of `code`."""
    if isinstance(value, Tensor):
        tensor = value
    else:
        source = np.asanyarray(value)
        tensor = Tensor(value, dtype=np.float16 if source.dtype == np.float16 else None)
    if code is None or tensor.dtype.kind != "f":
        return tensor
    result = tensor.astype(DTYPES[code])
    before, after = np.isfinite(tensor.numpy()), np.isfinite(result.numpy())
    if (before & ~after).any():
        beyond = tensor.numpy()[before & ~after].flat[0]
        raise ValueError(f"[save] {name} holds {beyond}, which {result.dtype} does not")
    return result


def _text(what: str, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"[save] {what} {text!r}: a str is required")
    if "\0" in text:
        raise ValueError(f"[save] {what} {text!r}: it must not hold U+0000")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"[save] {what} {text!r}: it must not hold half a surrogate") from None
    return text


def _path(action: str, path: Path) -> str | bytes:
    text = os.fspath(path)
    if b"\0" in os.fsencode(text):
        raise ValueError(f"[{action}] path {text!r}: it must not hold a NUL")
    return text
