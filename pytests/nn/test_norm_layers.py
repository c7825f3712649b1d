"""Layer, RMS, group and instance normalization against Float64, values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn
from vqswift.nn import functional

SHAPES = [(1, 1), (1, 5), (3, 16), (2, 7, 33), (40, 384), (5, 2000)]
EPS = 1e-5


def layer_reference(x: np.ndarray, centers: bool) -> np.ndarray:
    centered = x - x.mean(axis=-1, keepdims=True) if centers else x
    return centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + EPS)


def group_reference(x: np.ndarray, groups: int) -> np.ndarray:
    n, c = x.shape[0], x.shape[-1]
    parts = x.reshape(n, -1, groups, c // groups)
    centered = parts - parts.mean(axis=(1, 3), keepdims=True)
    scaled = centered / np.sqrt((centered**2).mean(axis=(1, 3), keepdims=True) + EPS)
    return scaled.reshape(x.shape)


def check(
    found: Callable[..., vq.Tensor],
    reference: Callable[[np.ndarray], np.ndarray],
    shape: tuple[int, ...],
    with_bias: bool = True,
) -> None:
    """y = reference(x) w + b, and its gradients by differences in Float64 along random ways."""
    rng = np.random.default_rng(1)
    x, g = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    w, b = (rng.standard_normal(shape[-1]).astype(np.float32) for _ in range(2))
    tensors = [vq.Tensor(a, requires_grad=True) for a in ((x, w, b) if with_bias else (x, w))]
    y = found(*tensors)

    def expected(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return reference(x) * w + (b if with_bias else 0)

    at = [a.astype(np.float64) for a in (x, w, b)]
    np.testing.assert_allclose(y.numpy(), expected(*at), rtol=1e-4, atol=2e-5)
    y.backward(vq.Tensor(g))
    for place, tensor in enumerate(tensors):
        assert tensor.grad is not None
        gradient = tensor.grad.numpy().astype(np.float64)
        for seed in range(3):
            way = np.random.default_rng(seed + 1).standard_normal(tensor.shape)
            ends = []
            for sign in (1, -1):
                moved = list(at)
                moved[place] = moved[place] + sign * 1e-6 * way
                ends.append((expected(*moved) * g).sum())
            slope = (ends[0] - ends[1]) / 2e-6
            scale = np.sqrt((gradient**2).sum() * (way**2).sum()) + 1e-2
            assert abs((gradient * way).sum() - slope) <= 2e-5 * scale


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm(shape: tuple[int, ...]) -> None:
    check(lambda x, w, b: functional.layer_norm(x, w, b), lambda x: layer_reference(x, True), shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm(shape: tuple[int, ...]) -> None:
    check(functional.rms_norm, lambda x: layer_reference(x, centers=False), shape, with_bias=False)


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((1, 6), 2), ((2, 3, 5, 6), 3), ((3, 9, 8), 8), ((2, 4, 4, 32), 1), ((70, 3, 8), 4)],
)
def test_group_norm(shape: tuple[int, ...], groups: int) -> None:
    check(
        lambda x, w, b: functional.group_norm(x, groups, w, b),
        lambda x: group_reference(x, groups),
        shape,
    )


@pytest.mark.parametrize("threads_used", [1, 2, 4])
def test_threads_do_not_change_a_bit(threads: Callable[[int], None], threads_used: int) -> None:
    x = vq.Generator(0).normal((700, 3, 48))

    def results() -> list[np.ndarray]:
        kept = []
        for layer in (nn.LayerNorm(48), nn.RMSNorm(48), nn.GroupNorm(6, 48)):
            given = vq.Tensor(x.numpy(), requires_grad=True)
            layer(given).square().sum().backward()
            kept += [given.grad.numpy(), *(p.grad.numpy() for p in layer.parameters())]
        return kept

    threads(1)
    alone = results()
    threads(threads_used)
    for a, b in zip(results(), alone, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_large_offset_keeps_its_digits() -> None:
    x = np.random.default_rng(0).standard_normal((6, 512)).astype(np.float32) + np.float32(1e3)
    found = nn.LayerNorm(512)(x).numpy()
    np.testing.assert_allclose(found, layer_reference(x.astype(float), True), atol=2e-4)
    found = nn.GroupNorm(4, 512)(x[:, None]).numpy()[:, 0]
    np.testing.assert_allclose(found, group_reference(x[:, None].astype(float), 4)[:, 0], atol=2e-4)


def test_layers_and_their_parameters() -> None:
    assert repr(nn.RMSNorm(8)) == "RMSNorm(8)"
    assert repr(nn.GroupNorm(2, 8)) == "GroupNorm(2, 8)"
    assert repr(nn.InstanceNorm(8, affine=True)) == "InstanceNorm(8, affine=True)"
    assert [n for n, _ in nn.RMSNorm(8).named_parameters()] == ["weight"]
    assert [n for n, _ in nn.GroupNorm(2, 8).named_parameters()] == ["weight", "bias"]
    assert nn.InstanceNorm(8).parameters() == []
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    np.testing.assert_allclose(
        nn.InstanceNorm(8)(x).numpy(), group_reference(x.astype(float), 8), atol=1e-5
    )


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "groups": (lambda: nn.GroupNorm(3, 8), r"\[group_norm\] groups = 3: must divide features = 8"),
    "channels": (
        lambda: nn.GroupNorm(2, 8)(np.ones((2, 4), np.float32)),
        r"\[group_norm\] shape \[2, 4\]: the last axis must have 8 channels",
    ),
    "axis": (
        lambda: nn.RMSNorm(8)(np.ones((2, 4), np.float32)),
        r"\[rms_norm\] shapes \[2, 4\] and \[8\]",
    ),
    "eps": (lambda: nn.GroupNorm(2, 8, eps=0.0), r"eps = 0.*above 0"),
    "vector": (lambda: nn.GroupNorm(2, 8)(np.ones(8, np.float32)), r"rank 2 or more"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        call()
