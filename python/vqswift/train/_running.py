"""What blocks of a batch leave in batch norms and in the generators of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from .._tensor import Tensor
from ..quantizers import Quantizer

_STEP_DRAWS = 1 << 26  # blocks of numbers that a layer may draw in a step
_BLOCK_DRAWS = 1 << 48  # from a block's draws to those of the next


class RunningMoments:
    """The running moments of a model's batch norms, but for those of quantizers; with `shared` also
    of those that are synchronized over ranks."""

    def __init__(self, model: nn.Module, *, shared: bool = False) -> None:
        owned = tuple(
            name + "." if name else ""
            for name, module in model.named_modules()
            if isinstance(module, Quantizer) or (module._shares_moments and not shared)
        )
        buffers = [(n, b) for n, b in model.named_buffers() if not n.startswith(owned or ("\0",))]
        self._moments = _ending(buffers, "running_mean", "running_var")
        self._counters = _ending(buffers, "num_batches_tracked")
        self.size = sum(moment.size for moment in self._moments)
        self.begin()

    def begin(self) -> None:
        """Begin a step: what `restore` goes back to is what there is."""
        self._before = [buffer.numpy() for buffer in (*self._moments, *self._counters)]

    def restore(self) -> None:
        """Stand where the step began."""
        for buffer, value in zip((*self._moments, *self._counters), self._before, strict=True):
            buffer.assign(value)

    def values(self) -> NDArray[np.float32]:
        """All moments, one after the other."""
        values = [moment.numpy().reshape(-1) for moment in self._moments]
        return np.concatenate([np.empty(0, np.float32), *values])

    def end(self, values: NDArray[Any]) -> None:
        """Take these moments, as of one more batch."""
        begin = 0
        for moment in self._moments:
            own = values[begin : begin + moment.size]
            moment.assign(own.reshape(moment.shape).astype(np.float32))
            begin += moment.size
        for counter, before in zip(self._counters, self._before[len(self._moments) :], strict=True):
            counter.assign(np.asarray(before + 1, before.dtype))


def _ending(buffers: Sequence[tuple[str, Tensor]], *names: str) -> list[Tensor]:
    return [buffer for name, buffer in buffers if name.rpartition(".")[2] in names]


@contextmanager
def drawing(layers: Sequence[nn.Module]) -> Iterator[Callable[[int], None]]:
    """Give what moves the generators of layers to the draws of a block; behind it they stand where
    the next step begins."""
    before = [module.rng_state_dict() for module in layers]

    def move(blocks: int) -> None:
        for module, state in zip(layers, before, strict=True):
            if state:
                module.load_rng_state_dict({n: _moved(words, blocks) for n, words in state.items()})

    try:
        yield lambda block: move((block + 1) * _BLOCK_DRAWS)
    except BaseException:
        move(0)
        raise
    move(_STEP_DRAWS)


def _moved(words: NDArray[np.int32], blocks: int) -> NDArray[np.int32]:
    moved = np.ascontiguousarray(words).view(np.uint64).copy()
    moved[2] += np.uint64(blocks)
    return moved.view(np.int32)
