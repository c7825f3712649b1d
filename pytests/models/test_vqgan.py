"""The VQGAN autoencoder: shapes, quantizers, training, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq

QUANTIZERS: dict[str, Callable[[], vq.Quantizer]] = {
    "vector": lambda: vq.VectorQuant(8, 16, seed=0),
    "group": lambda: vq.GroupVectorQuant(8, 16, groups=2, seed=0),
    "residual": lambda: vq.ResidualVectorQuant(8, 16, stages=2, seed=0),
    "scalar": lambda: vq.FSQ([4] * 8),
    "variances": lambda: vq.SQVAEQuant(8, 16, kind="III", seed=0),
}


def network(quantizer: vq.Quantizer | None, **options) -> vq.models.VQGAN:
    vq.manual_seed(0)
    sizes = {"width": 8, "multipliers": (1, 2), "blocks": 1, "features": 8, "groups": 4}
    return vq.models.VQGAN(quantizer, **(sizes | options))


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize(
    ("multipliers", "factor"), [((1,), 1), ((1, 2), 2), ([1, 1, 2], 4), ((1, 1, 1, 1), 8)]
)
def test_a_level_more_halves_the_map(multipliers: tuple[int, ...], factor: int) -> None:
    model = network(vq.VectorQuant(8, 16), multipliers=multipliers, channels=2)
    x = images(2, 16, 8, 2)
    reconstruction, info = model(x)
    assert 2**model.downsamplings == factor and model.features == 8
    assert reconstruction.shape == x.shape
    assert info.q.shape == (2, 16 // factor, 8 // factor)


@pytest.mark.parametrize("name", QUANTIZERS)
@pytest.mark.parametrize("attention", [False, True])
def test_decoding_the_codes_gives_the_output(name: str, attention: bool) -> None:
    model = network(QUANTIZERS[name](), attention=attention).eval()
    x = images(2, 8, 8, 3)
    reconstruction, info = model(x)
    codes = model.encode(x)
    np.testing.assert_array_equal(codes.numpy(), info.q.numpy())
    np.testing.assert_allclose(model.decode(codes).numpy(), reconstruction.numpy(), atol=1e-5)


def test_attention_is_in_both_halves() -> None:
    def count(model: vq.models.VQGAN) -> int:
        return sum(int(np.prod(p.shape)) for p in model.parameters())

    # Of width 16: a norm, and 1x1 convolutions from 16 to 48 and to 16.
    added = 2 * 16 + 17 * 48 + 17 * 16
    assert count(network(None, attention=True)) - count(network(None)) == 2 * added


def test_parameters_by_hand() -> None:
    """Encoder and decoder of one block for each of two levels of 8 and 16 channels."""

    def block(inputs: int, outputs: int) -> int:
        shortcut = inputs * outputs if inputs != outputs else 0
        return 2 * inputs + 9 * inputs * outputs + 2 * outputs + 9 * outputs**2 + shortcut

    encoder = (27 + 1) * 8 + block(8, 8) + block(8, 16) + block(16, 16) + 32 + 17 * 8
    up = (9 * 16 + 1) * 16
    decoder = (72 + 1) * 16 + 2 * block(16, 16) + up + block(16, 8) + 16 + (72 + 1) * 3
    model = network(None)
    assert sum(int(np.prod(p.shape)) for p in model.encoder.parameters()) == encoder
    assert sum(int(np.prod(p.shape)) for p in model.decoder.parameters()) == decoder


def test_trains() -> None:
    model = network(vq.VectorQuant(8, 16, kmeans_init=True, seed=0))
    x = images(8, 4, 4, 3).repeat(4, 1).repeat(4, 2)
    optimizer = vq.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        reconstruction, info = model(x)
        loss = vq.nn.functional.mse_loss(reconstruction, x)
        optimizer.zero_grad()
        (loss + info.loss).backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    last = model.decoder.state_dict()[f"{len(model.decoder) - 1}.weight"]
    np.testing.assert_array_equal(model.last_layer.numpy(), last)
    assert model.last_layer.grad is not None


def test_without_a_quantizer() -> None:
    model = network(None)
    reconstruction, info = model(images(2, 8, 8, 3))
    assert reconstruction.shape == (2, 8, 8, 3) and (info.q.numpy() == -1).all()
    np.testing.assert_array_equal(
        reconstruction.numpy(), model.decoder(model.encoder(images(2, 8, 8, 3))).numpy()
    )
    for call in (model.encode, model.decode):
        with pytest.raises(ValueError, match=r"\[vqgan.*\] the network has no quantizer, and no"):
            call(images(2, 8, 8, 3))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"blocks": 0}, "[vqgan] blocks = 0: must be at least 1"),
        ({"features": -1}, "[vqgan] features = -1: must be at least 1"),
        ({"multipliers": ()}, "the channels [] must be of at least one level"),
        ({"multipliers": (1, 0)}, "the channels [8, 0] must be"),
        ({"width": 6}, "width = 6, multipliers = (1, 2): the channels [6, 12] must be of at"),
    ],
)
def test_sizes_that_do_not_fit(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        network(None, **options)
    assert text in str(caught.value)


def test_sides_that_do_not_fit() -> None:
    model = network(vq.VectorQuant(8, 16))
    for call in (model, model.encode):
        with pytest.raises(ValueError, match=r"\[vqgan\] shape \[1, 8, 7, 3\]: .* multiples of 2"):
            call(images(1, 8, 7, 3))
