"""What torch makes or sets, met by the library: tensors, files, denormal numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import vqswift as vq
from safetensors.torch import save_file


def test_callers_setting_is_restored() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor flushes nothing")
    try:
        (vq.Tensor(np.ones((500, 500))) @ vq.Tensor(np.ones((500, 500)))).sum()
        vq.nearest_codes(np.ones((100, 4), np.float32), np.eye(4, dtype=np.float32))
        assert (torch.tensor([1e-40]) * 1).item() == 0
    finally:
        torch.set_flush_denormal(False)
    x = np.full(64, 1e-40, np.float32)
    assert bool(np.all(x * np.float32(1) == x) and np.all(x + x > x))


def test_a_torch_tensor_that_requires_a_gradient_is_named() -> None:
    theirs = torch.ones(4, 4, requires_grad=True)
    for call in (
        lambda: vq.Tensor(theirs),
        lambda: vq.nn.Linear(4, 4)(theirs),
        lambda: vq.nn.functional.mse_loss(np.ones((4, 4), np.float32), theirs),
        lambda: vq.VectorQuant(4, 5)(theirs),
        lambda: vq.kmeans(theirs, 2),
        lambda: vq.metrics.divergence(np.ones((4, 4), np.float32), theirs),
        lambda: vq.optim.SGD([theirs]),
        lambda: vq.optim.clip_grad_norm([theirs], 1.0),
        lambda: vq.estimators.quantize_model(torch.nn.Linear(4, 4)),
        lambda: vq.nn.Sequential(torch.nn.Linear(4, 4)),
    ):
        with pytest.raises(TypeError, match=r"torch\.(Tensor|Linear)"):
            call()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_are_torchs(name: str) -> None:
    bits = np.random.default_rng(0).integers(0, 1 << 32, 1 << 20, dtype=np.uint32)
    values = np.concatenate([bits.view(np.float32), np.arange(1 << 16, dtype=np.float32)])
    theirs = torch.from_numpy(values).to(getattr(torch, name))
    ours = vq.Tensor(values).astype(theirs.dtype)
    assert str(theirs.dtype) == f"torch.{ours.dtype}"
    np.testing.assert_array_equal(ours.astype(np.float32).numpy(), theirs.float().numpy())


def test_files_of_torch_tensors(tmp_path: Path) -> None:
    kinds = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
    kinds += ["int64", "int32", "int16", "int8", "uint8", "bool"]
    values = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.5, 1.5]])
    arrays = {kind: values.to(getattr(torch, kind)) for kind in kinds}
    save_file(arrays, tmp_path / "x")
    found = vq.load(tmp_path / "x")[0]
    for kind, array in arrays.items():
        np.testing.assert_array_equal(found[kind], array.float().numpy(), err_msg=kind)
