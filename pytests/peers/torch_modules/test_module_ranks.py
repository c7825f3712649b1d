"""Modules among ranks that torch.distributed does not know of."""

from __future__ import annotations

import pytest
import torch
import vqswift.torch as vqt
from vqswift.distributed._communicator import OneProcess
from vqswift.distributed._current import alone, running_with


class _Ranks(OneProcess):
    name, size = "mpi", 2


def test_training_over_mpi_is_refused_and_not_left_apart() -> None:
    layer = vqt.VectorQuant(4, 8, ema_decay=0.9)
    z = torch.randn(16, 4)
    with running_with(_Ranks()):
        with pytest.raises(RuntimeError, match="vqswift.torch among 2 ranks of mpi"):
            layer(z)
        with alone():
            layer(z)
        layer.eval()(z)
