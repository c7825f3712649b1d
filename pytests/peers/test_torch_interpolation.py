"""Interpolation against torch's, forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vqswift as vq
from interpolation_matrices import MODES
from vqswift.nn import functional as F

torch = pytest.importorskip("torch", reason="torch is not installed")
tf = torch.nn.functional

SHAPE = (2, 7, 5, 6, 3)
SIZES = [(14, 5, 6), (3, 9, 17), (1, 15, 4), (10, 2, 82)]
FACTORS: list[Any] = [2.0, 3.0, 0.5, 1.7, (1.2, 0.4, 3.3)]
GIVEN = [{"size": size} for size in SIZES] + [{"scale_factor": factor} for factor in FACTORS]


@pytest.mark.parametrize("given", GIVEN, ids=str)
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_interpolation(mode: str, align: bool, given: dict[str, Any]) -> None:
    if align and mode.startswith("nearest"):
        pytest.skip("there are no corners to align")
    for axes in MODES[mode]:
        options = {k: v[:axes] if isinstance(v, tuple) else v for k, v in given.items()}
        corners = None if mode.startswith("nearest") else align
        x = np.random.default_rng(0).standard_normal((*SHAPE[: axes + 1], 3)).astype(np.float32)
        ours, theirs = vq.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y = F.interpolate(ours, **options, mode=mode, align_corners=corners)
        z = tf.interpolate(theirs.movedim(-1, 1), **options, mode=mode, align_corners=corners)
        z = z.movedim(1, -1)
        assert y.shape == tuple(z.shape)
        # torch's places are float32: 2^-24 of 82 elements, times differences below 8.
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-5, atol=4e-5)
        g = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
        y.backward(g)
        z.backward(torch.tensor(g))
        assert ours.grad is not None
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=2e-4)
