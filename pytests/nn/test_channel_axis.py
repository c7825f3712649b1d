"""Errors of layers with channels on another axis tell what was passed and the axis meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq

LAYERS: dict[str, Callable[[int], Any]] = {
    "vector_quant": lambda dim: vq.VectorQuant(4, 8, dim=dim),
    "group_vector_quant": lambda dim: vq.GroupVectorQuant(4, 8, groups=2, dim=dim),
    "residual_vector_quant": lambda dim: vq.ResidualVectorQuant(4, 8, stages=2, dim=dim),
    "fsq": lambda dim: vq.FSQ([3, 3, 3, 3], dim=dim),
    "lfq": lambda dim: vq.LFQ(4, dim=dim),
    "gumbel_quant": lambda dim: vq.GumbelQuant(4, 8, dim=dim),
    "sqvae_quant": lambda dim: vq.SQVAEQuant(4, 8, dim=dim),
}


@pytest.mark.parametrize("call", ["forward", "encode", "fit"])
@pytest.mark.parametrize(("name", "make"), LAYERS.items(), ids=LAYERS.keys())
def test_shape_and_axis_as_passed(name: str, make: Callable[[int], Any], call: str) -> None:
    layer = make(1)
    if not hasattr(layer, call):
        pytest.skip("no codebook to fit")
    with pytest.raises(ValueError) as caught:
        getattr(layer, call)(np.ones((2, 3, 5, 4), np.float32))
    assert str(caught.value) == (
        f"[{name}] shape [2, 3, 5, 4]: axis 1 (dim = 1) must be feature_size = 4; "
        "dim=3 would take axis 3"
    )
    with pytest.raises(ValueError) as caught:
        getattr(layer, call)(np.ones((2, 3, 5, 6), np.float32))
    assert str(caught.value) == (
        f"[{name}] shape [2, 3, 5, 6]: axis 1 (dim = 1) must be feature_size = 4"
    )


@pytest.mark.parametrize(("name", "make"), LAYERS.items(), ids=LAYERS.keys())
def test_channels_first_without_dim(name: str, make: Callable[[int], Any]) -> None:
    with pytest.raises(ValueError) as caught:
        make(-1)(np.ones((2, 4, 5, 6), np.float32))
    assert str(caught.value) == (
        f"[{name}] shape [2, 4, 5, 6]: the last axis must be feature_size = 4; "
        "dim=1 would take axis 1"
    )


@pytest.mark.parametrize(("name", "make"), LAYERS.items(), ids=LAYERS.keys())
def test_the_position_of_a_nan_is_that_of_z(name: str, make: Callable[[int], Any]) -> None:
    z = np.ones((2, 4, 3, 5), np.float32)
    z[1, 2, 1, 3] = np.nan
    place = np.flatnonzero(np.isnan(z))[0]
    with pytest.raises(ValueError, match=f"z holds nan at flat index {place}:"):
        make(1)(z)
    mask = np.ones((2, 3, 5), bool)
    mask[0] = False
    with pytest.raises(ValueError, match=f"z holds nan at flat index {place}:"):
        make(1)(z, mask)


def test_an_empty_batch_tells_its_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \[0, 4, 3, 5\] has no elements"):
        vq.VectorQuant(4, 8, dim=1)(np.ones((0, 4, 3, 5), np.float32))


def test_a_mask_that_does_not_fit_names_its_own_shape() -> None:
    with pytest.raises(ValueError, match=r"\[2, 9\]"):
        vq.VectorQuant(4, 8, dim=1)(np.ones((2, 4, 3), np.float32), np.ones((2, 9), bool))


def test_logvar_tells_its_shape_as_passed() -> None:
    layer = vq.SQVAEQuant(4, 8, kind="IV", dim=1)
    with pytest.raises(ValueError, match=r"\[2, 4, 5\] and \[2, 4, 3\].*z's shape"):
        layer(np.ones((2, 4, 3), np.float32), np.ones((2, 4, 5), np.float32))


def test_a_convolution_tells_how_images_lie() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3, 8, 8\].*permute\(0, 2, 3, 1\)"):
        vq.nn.Conv2d(3, 4, 3)(np.ones((2, 3, 8, 8), np.float32))
