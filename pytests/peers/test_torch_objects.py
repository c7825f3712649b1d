"""What torch makes or sets, met by the library: tensors, files, loaders, denormal numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import vqswift as vq
from safetensors.torch import load_file, save_file
from vqswift import data


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


def test_torch_types_are_taken() -> None:
    x = vq.Tensor([1.5])
    assert x.astype(torch.bfloat16).dtype == vq.bfloat16
    assert x.astype(torch.float16).dtype == np.float16
    assert x.astype(torch.int32).dtype == np.int32


def test_halves_of_the_safetensors_package(tmp_path: Path) -> None:
    values = np.random.default_rng(3).standard_normal((4, 3)).astype(np.float32)
    vq.save(tmp_path / "x", {n: vq.Tensor(values, dtype=n) for n in ("float16", "bfloat16")})
    for name, found in load_file(tmp_path / "x").items():
        expected = torch.from_numpy(values).to(getattr(torch, name))
        assert found.dtype == expected.dtype and torch.equal(found, expected)


def test_loaders_of_torch_are_read() -> None:
    x = torch.arange(5 * 3 * 2 * 4, dtype=torch.float32).reshape(5, 3, 2, 4)
    dataset = torch.utils.data.TensorDataset(x, torch.arange(5))
    loader = torch.utils.data.DataLoader(dataset, batch_size=2)
    stream = data.Stream(loader, channels_first=True)
    assert len(stream) == 3
    images, labels = next(stream.forever())
    np.testing.assert_array_equal(images, x[:2].permute(0, 2, 3, 1).numpy())
    assert labels.dtype == np.int32 and labels.tolist() == [0, 1]
    half = x.bfloat16().requires_grad_()
    np.testing.assert_array_equal(next(iter(data.Stream([half]))), half.detach().float().numpy())
    with pytest.raises(ValueError, match=r"channels_first and images \[5\]: must be \[n, c, ...\]"):
        next(iter(data.Stream([x[:, 0, 0, 0]], channels_first=True)))


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool", "float16", "bfloat16"])
def test_tensors_are_torchs_by_dlpack(dtype: str) -> None:
    values = np.random.default_rng(0).integers(-200, 200, (3, 5, 7))
    ours = vq.Tensor(values).astype(dtype)
    theirs = torch.from_dlpack(ours)
    assert theirs.dtype == getattr(torch, dtype)
    assert torch.equal(theirs, torch.tensor(values).to(theirs.dtype))
    # Of the capsule of version 0, which may be written, torch gets a copy.
    copy = torch.utils.dlpack.from_dlpack(ours.__dlpack__())
    copy.zero_()
    assert torch.equal(torch.from_dlpack(ours), torch.tensor(values).to(theirs.dtype))


def test_a_bfloat16_tensor_of_torch_is_told_how_to_come() -> None:
    with pytest.raises(TypeError, match=r"write \.float\(\): NumPy has no bfloat16"):
        vq.Tensor(torch.ones(2, dtype=torch.bfloat16))
