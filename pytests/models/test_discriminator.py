"""The discriminator of patches: sizes, what a logit sees, initial values, what does not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import vqswift as vq


def test_parameters_by_hand() -> None:
    """4x4 convolutions of 3, 64, 128, 256, 512 and 1 channels, norms of the three between."""
    model = vq.models.PatchDiscriminator()
    convolutions = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    rest = 64 + 2 * (128 + 256 + 512) + 1
    assert sum(int(np.prod(p.shape)) for p in model.parameters()) == convolutions + rest
    deep = vq.models.PatchDiscriminator(width=1, layers=5)
    assert [p.shape[0] for p in deep.parameters() if p.ndim == 4] == [1, 2, 4, 8, 8, 8, 1]


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_its_patch(layers: int, patch: int) -> None:
    """Backwards from one logit: 4 pixels, 4 + 3, and for each halving 2 (w - 1) + 4."""
    vq.manual_seed(0)
    model, side = vq.models.PatchDiscriminator(1, width=2, layers=layers).eval(), 16 * 2**layers
    x = vq.Tensor(vq.Generator(1).normal((1, side, side, 1)).numpy(), requires_grad=True)
    y = model(x)
    assert y.shape == (1, 14, 14, 1)
    y[0, 7, 7, 0].backward()
    seen = np.argwhere(x.grad.numpy()[0, :, :, 0])
    np.testing.assert_array_equal(seen.max(0) - seen.min(0) + 1, [patch, patch])


def test_initial_values() -> None:
    vq.manual_seed(0)
    for name, parameter in vq.models.PatchDiscriminator(width=16).named_parameters():
        values = parameter.numpy().astype(np.float64)
        if name.endswith("bias"):
            assert (values == 0).all()
        else:
            mean, error = 0 if values.ndim == 4 else 1, 0.02 / math.sqrt(values.size)
            assert abs(values.mean() - mean) < 5 * error, name
            assert abs(values.std() / 0.02 - 1) < 5 / math.sqrt(2 * values.size), name


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_sides_that_are_too_small(layers: int) -> None:
    model, least = vq.models.PatchDiscriminator(1, width=1, layers=layers), 3 * 2**layers
    assert model(np.zeros((2, least, least, 1), np.float32)).shape == (2, 1, 1, 1)
    with pytest.raises(ValueError) as caught:
        model(np.zeros((2, least, least - 1, 1), np.float32))
    assert f"height and width must be at least {least}" in str(caught.value)
    assert str(caught.value).startswith("[patch_discriminator] shape [2, ")


@pytest.mark.parametrize("name", ["channels", "width", "layers"])
def test_sizes_that_do_not_fit(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        vq.models.PatchDiscriminator(**{name: 0})
    assert str(caught.value) == f"[patch_discriminator] {name} = 0: must be at least 1"


def test_more_layers_than_an_image_has_halvings() -> None:
    with pytest.raises(ValueError) as caught:
        vq.models.PatchDiscriminator(layers=2**62)
    assert str(caught.value).startswith(f"[patch_discriminator] layers = {2**62}: must be at most")
