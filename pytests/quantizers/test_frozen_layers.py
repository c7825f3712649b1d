"""What is frozen stands still, whatever gradients and optimizers had for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vqswift as vq


@pytest.mark.parametrize(
    "make",
    [
        lambda: vq.VectorQuant(4, 8, seed=0, affine_lr=0.5),
        lambda: vq.VectorQuant(4, 8, seed=0, simvq=True),
        lambda: vq.GroupVectorQuant(4, 8, groups=2, seed=0),
        lambda: vq.ResidualVectorQuant(4, 8, stages=2, seed=0),
        lambda: vq.GumbelQuant(4, 8, seed=0),
        lambda: vq.SQVAEQuant(4, 8, seed=0),
    ],
    ids=["affine", "simvq", "group", "residual", "gumbel", "sqvae"],
)
def test_a_frozen_layer_stands_still_whoever_drops_gradients(make: Any) -> None:
    layer, line = make(), vq.nn.Linear(4, 4)
    optimizer = vq.optim.Adam([*line.parameters(), *layer.parameters()], lr=0.1)
    x = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)

    def backward() -> None:
        z_q, info = layer(line(x))
        (z_q.square().mean() + info.loss).backward()

    backward()
    optimizer.step()
    backward()
    layer.freeze()
    trained = {name for name, _ in layer.named_parameters()}
    before = {n: v for n, v in layer.state_dict().items() if n not in trained}
    for _ in range(3):
        optimizer.step()
        line.zero_grad()
        layer.zero_grad()
        backward()
    after = layer.state_dict()
    for name in (n for n in before if "codebook" in n or "affine" in n or "transform" in n):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
