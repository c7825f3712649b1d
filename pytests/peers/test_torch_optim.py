"""Optimizers against torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from optimizer_steps import SETTINGS, gradients, run
from vqswift import Tensor, optim

EPSILON = 2.0**-23


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_ten_steps_equal_torchs(name: str, settings: dict[str, Any]) -> None:
    start = gradients(1)[0]
    parameter = Tensor(start, requires_grad=True)
    ours = run(getattr(optim, name)([parameter], **settings), parameter, gradients())
    theirs = torch.nn.Parameter(torch.tensor(start))
    optimizer = getattr(torch.optim, name)([theirs], **settings)
    for gradient in gradients():
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
    # Ten updates, each of some ten roundings of numbers below 4.
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=10 * 10 * EPSILON * 4)
