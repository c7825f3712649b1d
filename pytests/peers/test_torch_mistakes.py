"""What docs/how-to/mistakes.md says of tensors of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq
from mistakes import TOLD, is_told, of_torch, run

torch = pytest.importorskip("torch", reason="torch is not installed")

ROWS = [row for row in TOLD if of_torch(row)]


@pytest.mark.parametrize("written", ROWS)
def test_what_is_told(written: str) -> None:
    with pytest.raises(TypeError) as caught:
        run(written, torch=torch)
    is_told(written, caught.value)


def test_what_is_written_instead_is_taken() -> None:
    assert len(ROWS) == 3
    layer = vq.nn.Linear(4, 4)
    x = torch.zeros(8, 4, requires_grad=True)
    expected = layer(np.zeros((8, 4), np.float32)).numpy()
    for given in (x.detach(), x.detach().bfloat16().float(), torch.zeros(8, 4)):
        np.testing.assert_array_equal(layer(given).numpy(), expected)


def test_a_tensor_elsewhere_is_to_be_brought() -> None:
    with pytest.raises(TypeError, match=r"write \.cpu\(\)"):
        vq.nn.Linear(4, 4)(torch.zeros(8, 4, device="meta"))
