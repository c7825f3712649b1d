"""Which block of a batch a training forward belongs to, where codebooks learn after it.

With several ranks, or where a trainer cuts its batches into blocks, a training forward changes no
codebook: its vectors wait until those of all blocks are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_chosen: ContextVar[int | None] = ContextVar("block", default=None)
_on: ContextVar[int | None] = ContextVar("rank", default=-1)  # -1: as the process


class _World:
    rank: int | None = None


def set_rank(rank: int | None) -> None:
    """Tell the rank where there are several; None for one process."""
    _World.rank = rank


@contextmanager
def on_rank(rank: int | None) -> Iterator[None]:
    """`set_rank` for a scope of this thread."""
    token = _on.set(rank)
    try:
        yield
    finally:
        _on.reset(token)


@contextmanager
def in_block(block: int) -> Iterator[None]:
    """Training forwards belong to this block while it lasts."""
    token = _chosen.set(block)
    try:
        yield
    finally:
        _chosen.reset(token)


def block_now() -> int | None:
    """The block, or the rank, that training forwards belong to; None where codebooks learn within
    forwards."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    rank = _on.get()
    return _World.rank if rank == -1 else rank
