"""Ranks over torch.distributed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np

from ._communicator import Communicator, PeerLost
from ._tree import Array


class GlooCommunicator(Communicator):
    """The default process group of torch.distributed where there is one, else one of gloo."""

    name = "gloo"

    def __init__(self, timeout: float) -> None:
        try:
            import torch
            import torch.distributed as engine
        except ImportError as error:
            raise ImportError("[distributed] 'gloo' needs PyTorch: pip install torch") from error
        self._torch: Any = torch
        self._engine: Any = engine
        self._is_own = not engine.is_initialized()
        if self._is_own:
            engine.init_process_group("gloo", timeout=timedelta(seconds=timeout))
        self.rank, self.size = engine.get_rank(), engine.get_world_size()
        # A group of its own: gloo, whatever the default is, and no order with other messages.
        self._group: Any = engine.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
        self.timeout = timeout

    def _all_gather(self, data: Array, sizes: list[int]) -> Array:
        if len(set(sizes)) == 1:
            out = np.empty(sum(sizes), np.uint8)
            call = self._engine.all_gather_into_tensor
            self._run(call, self._tensor(out), self._tensor(data))
            return out
        repeated = np.tile(data, self.size)
        return self._all_to_all(repeated, [data.size] * self.size, sizes)

    def _all_to_all(self, data: Array, sizes: list[int], theirs: list[int]) -> Array:
        out = np.empty(sum(theirs), np.uint8)
        call = self._engine.all_to_all_single
        self._run(call, self._tensor(out), self._tensor(data), theirs, sizes)
        return out

    def _tensor(self, data: Array) -> Any:
        return self._torch.from_numpy(data if data.flags.writeable else data.copy())

    def _run(self, call: Callable[..., Any], *arguments: Any) -> None:
        try:
            work = call(*arguments, group=self._group, async_op=True)
            work.wait(timedelta(seconds=self.timeout))
        except RuntimeError as error:
            told = str(error).strip().splitlines()[0]
            raise PeerLost(
                f"[distributed] rank {self.rank} of {self.size} waited for the others: one of them "
                f"has ended or hangs ({told})"
            ) from error

    def close(self) -> None:
        """Leave the process group, if `init` has made it."""
        if self._is_own and self._engine.is_initialized():
            self._engine.destroy_process_group()
