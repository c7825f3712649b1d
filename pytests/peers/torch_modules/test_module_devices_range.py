"""Large, small and not finite numbers by the formulas for other devices, on the CPU."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402
from vqswift.torch import _device  # noqa: E402

PARAMETERS: dict[str, tuple[Any, str, str]] = {
    "codes": (lambda: vqt.VectorQuant(D, K, seed=1), "codebook", "codebook"),
    "codes with a norm": (lambda: vqt.VectorQuant(D, K, cb_norm="l2"), "codebook", "codebook"),
    "a linear map": (lambda: vqt.VectorQuant(D, K, simvq=True), "transform", "transform"),
    "an affine map": (
        lambda: vqt.VectorQuant(D, K, affine_lr=0.5),
        "affine_scale",
        "affine_scale",
    ),
    "a projection": (
        lambda: vqt.VectorQuant(D, K, code_size=3),
        "project_in.weight",
        "project_in.weight",
    ),
    "the last group": (
        lambda: vqt.GroupVectorQuant(D, K, groups=2, ema_decay=0.8),
        "1.codebook",
        "1.codebook",
    ),
    "mixed codes": (lambda: vqt.GumbelQuant(D, K), "codebook", "codebook"),
    "logits": (lambda: vqt.GumbelQuant(D, K), "projection.weight", "projection.weight"),
    "sampled codes": (lambda: vqt.SQVAEQuant(D, K), "codebook", "codebook"),
    "a variance": (lambda: vqt.SQVAEQuant(D, K), "log_variance", "log_variance"),
}


def spoiled(name: str, value: float) -> Any:
    make, key, _ = PARAMETERS[name]
    module = make()
    module.get_parameter(key).data.reshape(-1)[0] = value
    return module


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_that_is_not_finite_is_named(name: str, training: bool, value: float) -> None:
    module = spoiled(name, value).train(training)
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ValueError, match="every element must be finite"):
        copy.deepcopy(module)(vectors(5, D))
    told = rf"\[{module._kind}\] {PARAMETERS[name][2]} holds {value} at flat index 0"
    with _device.forced(), pytest.raises(ValueError, match=told):
        module(vectors(5, D))
    for key, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, before[key], rtol=0, atol=0, equal_nan=True)


def test_codes_are_encoded_by_the_parameters_that_they_need() -> None:
    for name in ("mixed codes", "a variance"):
        module = spoiled(name, torch.nan)
        expected = module.encode(vectors(9, D))
        with _device.forced():
            assert torch.equal(module.encode(vectors(9, D)), expected)
    with _device.forced(), pytest.raises(ValueError, match="codebook holds nan"):
        spoiled("codes", torch.nan).encode(vectors(5, D))


def test_a_map_that_overflows_is_named() -> None:
    with _device.forced():
        module = spoiled("an affine map", 3e38)
        with torch.no_grad():
            module.codebook.add_(9)
        with pytest.raises(ValueError, match="codebook holds inf"):
            module(vectors(40, D))
        with pytest.raises(ValueError, match="z holds -?inf"):
            spoiled("a projection", 3e38)(9 * vectors(40, D))


def test_a_vector_that_is_not_finite_is_named_with_its_place() -> None:
    z = vectors(5, D)
    z[2, 3] = -torch.inf
    told = rf"\[vector_quant\] z holds -inf at flat index {2 * D + 3}"
    with _device.forced(), pytest.raises(ValueError, match=told):
        vqt.VectorQuant(D, K)(z)


def exact(x: torch.Tensor, codebook: torch.Tensor, scale: float) -> torch.Tensor:
    """The nearest codes in float64 of numbers that a power of 2 brings to about 1."""
    differences = (x.double() * scale)[:, None] - (codebook.double() * scale)[None]
    return differences.square().sum(-1).argmin(-1)


@pytest.mark.parametrize("exponent", [-146, -135, -126, -100, -70, -45, 0, 58, 62, 70, 100, 124])
def test_codes_of_float32_are_exact_at_every_scale(exponent: int) -> None:
    x, codebook = (vectors(n, D, seed=n) for n in (400, K))
    x, codebook = ((values.double() * 2.0**exponent).float() for values in (x, codebook))
    expected = exact(x, codebook, 2.0**-exponent)
    assert torch.equal(_device.nearest(x, codebook), expected)
    assert torch.equal(vqt.nearest_codes(x, codebook), expected)


@pytest.mark.parametrize("exponent", range(-76, -64, 2))
def test_codes_are_exact_where_products_lose_digits_near_zero(exponent: int) -> None:
    x, codebook = (vectors(n, D, seed=n) * 2.0**exponent for n in (2000, 512))
    assert torch.equal(_device.nearest(x, codebook), exact(x, codebook, 2.0**-exponent))


@pytest.mark.parametrize("exponent", [-1060, -1000, -560, -300, 0, 300, 515, 700, 1020])
def test_codes_of_float64_are_exact_at_every_scale(exponent: int) -> None:
    half = exponent // 2
    x, codebook = (vectors(n, D, seed=n).double() for n in (400, K))
    x, codebook = (v * 2.0**half * 2.0 ** (exponent - half) for v in (x, codebook))
    back = (2.0**-half, 2.0 ** (half - exponent))
    expected = exact(x * back[0], codebook * back[0], back[1])
    with _device.forced():
        assert torch.equal(vqt.nearest_codes(x, codebook), expected)
        assert torch.equal(vqt.nearest_codes(x, codebook, topk=3)[:, 0], expected)


def test_codes_of_mixed_scales_are_the_kernels() -> None:
    for scales in ((1e30, 1e-30), (1e-30, 1e30), (3e37, 1.0), (1.0, 1e-38)):
        x, codebook = (s * vectors(n, D, seed=n) for n, s in zip((400, K), scales, strict=True))
        wide = (5 * vectors(400, 1, seed=7)).exp().clamp(max=1.0)
        expected = vqt.nearest_codes(x * wide, codebook)
        assert torch.equal(_device.nearest(x * wide, codebook), expected)


@pytest.mark.parametrize("scale", [1e20, 3e37])
def test_layers_of_large_codes_are_the_kernels(scale: float) -> None:
    native = vqt.VectorQuant(D, K, seed=1).eval()
    with torch.no_grad():
        native.codebook.mul_(scale)
    z = scale * vectors(50, D)
    with _device.forced():
        codes = native(z)[1].q
    assert torch.equal(codes, native(z)[1].q)


def test_equal_codes_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    book = vectors(4, D)
    codebook, x = book.repeat(300, 1), vectors(200, D, seed=1)
    expected = vqt.nearest_codes(x, codebook)
    assert (expected < 4).all()
    pairs = []
    whole = torch.split
    monkeypatch.setattr(torch, "split", lambda t, *rest: pairs.append(len(t)) or whole(t, *rest))
    assert torch.equal(_device.nearest(x, codebook), expected)
    assert sum(pairs) <= 2 * len(x)


def test_the_grid_of_many_levels_keeps_its_ends() -> None:
    for levels in (1001, 1002, 4000, 4001, 1 << 20):
        module = vqt.FSQ([levels, 3]).eval()
        z = torch.tensor([[-30.0, 0.3], [30.0, -9.0], [0.1, 9.0], [1.5, 2.0]])
        expected, wanted = module(z)
        with _device.forced():
            z_q, info = module(z)
            assert torch.equal(module.encode(z), wanted.q)
            assert torch.equal(module.decode(info.q), z_q)
        assert torch.equal(info.q, wanted.q)
        assert torch.equal(z_q, expected)
