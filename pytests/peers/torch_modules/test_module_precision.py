"""Halves go in and come out; distances, losses and statistics are of float32."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import FAMILY, D, K, trained, vectors  # noqa: E402

HALVES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", [*HALVES, torch.float64])
@pytest.mark.parametrize("name", FAMILY)
def test_a_dtype_gives_what_its_float32_values_give(name: str, dtype: torch.dtype) -> None:
    module, reference = (trained(FAMILY[name]()) for _ in range(2))
    z = vectors(3, 8, D).to(dtype).requires_grad_()
    wide = z.detach().float().requires_grad_()
    z_q, info = module(z)
    expected, wanted = reference(wide)
    assert z_q.dtype == dtype
    assert info.q.dtype == torch.int64
    assert info.loss.dtype == info.d.dtype == torch.float32
    assert torch.equal(z_q, expected.to(dtype))
    assert torch.equal(info.q, wanted.q)
    assert torch.equal(info.loss, wanted.loss)
    (z_q.sum() + info.loss).backward()
    (expected.sum() + wanted.loss).backward()
    assert z.grad.dtype == dtype
    torch.testing.assert_close(z.grad, wide.grad.to(dtype), rtol=2.0**-7, atol=2.0**-9)


@pytest.mark.parametrize("dtype", HALVES)
def test_codes_of_halves_are_the_nearest_far_from_the_origin(dtype: torch.dtype) -> None:
    """Where distances of halves are all rounded to the same number."""
    far = (100.0 + vectors(300, D)).to(dtype)
    codebook = (100.0 + vectors(K, D, seed=1)).to(dtype)
    module = vqt.VectorQuant(D, K).to(dtype)
    with torch.no_grad():
        module.codebook.copy_(codebook)
    exact = torch.cdist(
        far.double(), codebook.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    assert torch.equal(module.encode(far), exact.argmin(-1))


@pytest.mark.parametrize("dtype", HALVES)
def test_autocast_leaves_the_quantizer_in_float32(dtype: torch.dtype) -> None:
    module, reference = (vqt.VectorQuant(D, K, seed=1, code_size=3, sync_nu=0.5) for _ in range(2))
    z = vectors(3, 8, D)
    with torch.autocast("cpu", dtype):
        z_q, info = module(z)
        halved, _ = module(z.to(dtype))
        # The operator itself, too.
        raw = torch.ops.vqswift.quantize(
            z.to(dtype), None, module._state(), None, module._describe(), 0, True
        )
    expected, wanted = reference(z)
    assert z_q.dtype == torch.float32
    assert torch.equal(z_q, expected)
    assert torch.equal(info.loss, wanted.loss)
    assert halved.dtype == dtype
    assert raw[0].dtype == torch.float32
    assert torch.equal(raw[0].to(dtype), halved)


def test_integers_and_complex_numbers_are_refused() -> None:
    module = vqt.VectorQuant(D, K)
    for dtype in (torch.int64, torch.bool, torch.complex64):
        with pytest.raises(TypeError, match=f"z is {dtype}"):
            module(torch.zeros(3, D, dtype=dtype))
