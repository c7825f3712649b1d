"""A seed means the same draws wherever and whenever a layer is made; without one, layers differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn

SEEDED: dict[str, Callable[..., Any]] = {
    "normal": lambda **s: vq.VectorQuant(4, 8, **s),
    "kaiming": lambda **s: vq.VectorQuant(4, 8, init="kaiming", **s),
    "uniform": lambda **s: vq.VectorQuant(4, 8, init="uniform", **s),
    "k-means": lambda **s: vq.VectorQuant(4, 8, kmeans_init=True, **s),
    "projected": lambda **s: vq.VectorQuant(4, 8, code_size=2, **s),
    "replaced": lambda **s: vq.VectorQuant(4, 8, replace_freq=1, **s),
    "drawn": lambda **s: vq.VectorQuant(4, 8, temperature=1.0, **s),
    "directional": lambda **s: vq.VectorQuant(4, 8, gradient="directional", **s),
    "group": lambda **s: vq.GroupVectorQuant(4, 8, groups=2, **s),
    "residual": lambda **s: vq.ResidualVectorQuant(4, 8, stages=3, quantizer_dropout=0.5, **s),
    "Gumbel": lambda **s: vq.GumbelQuant(4, 8, **s),
    "Gaussian": lambda **s: vq.SQVAEQuant(4, 8, **s),
    "recipe": lambda **s: vq.recipes.get().build(4, 8, **s),
}

# What takes a generator instead.
GENERATED: dict[str, Callable[..., Any]] = {
    "Linear": lambda **g: nn.Linear(4, 4, **g),
    "Conv2d": lambda **g: nn.Conv2d(2, 3, 3, **g),
    "ConvTranspose2d": lambda **g: nn.ConvTranspose2d(2, 3, 3, **g),
    "Embedding": lambda **g: nn.Embedding(5, 3, **g),
    "SQVAE": lambda **g: vq.models.SQVAE(vq.VectorQuant(4, 8, seed=1), width=4, **g),
    "net A": lambda **g: vq.models.mnist_net_a(**g),
    "net B": lambda **g: vq.models.mnist_net_b(**g),
    "ResNet50": lambda **g: vq.models.ResNet50(10, small_images=True, **g),
}


def trained(layer: Any, steps: int = 3) -> dict[str, np.ndarray]:
    """The state after some training forwards, and what they gave."""
    result = {}
    for step in range(steps):
        z = np.random.default_rng(step).normal(size=(20, 4)).astype(np.float32)
        z_q, info = layer(z)
        result |= {f"z_q {step}": z_q.numpy(), f"q {step}": info.q.numpy()}
    return result | layer.state_dict()


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("make", SEEDED.values(), ids=SEEDED)
def test_a_seed_gives_the_same_draws_wherever_the_layer_is_made(make: Callable[..., Any]) -> None:
    vq.manual_seed(1)
    first = trained(make(seed=5))
    for others in range(3):
        vq.manual_seed(others)
        for _ in range(others):
            nn.Linear(2, 2)
            make()
        assert equal(first, trained(make(seed=5)))
    assert not equal(first, trained(make(seed=6)))


@pytest.mark.parametrize("make", SEEDED.values(), ids=SEEDED)
def test_layers_without_a_seed_differ_and_repeat(make: Callable[..., Any]) -> None:
    def states() -> list[dict[str, np.ndarray]]:
        vq.manual_seed(3)
        return [make().state_dict() for _ in range(2)]

    first, again = states(), states()
    assert not equal(*first)
    assert equal(first[0], again[0]) and equal(first[1], again[1])


def test_a_seed_of_its_own_is_not_the_stream_of_another_layer() -> None:
    vq.manual_seed(7)
    without = [vq.VectorQuant(4, 8) for _ in range(3)]
    own = vq.VectorQuant(4, 8, seed=7).codebook.numpy()
    assert not any(np.array_equal(layer.codebook.numpy(), own) for layer in without)


def test_stages_and_groups_of_one_seed_differ() -> None:
    for layer in (
        vq.GroupVectorQuant(8, 8, groups=4, seed=0),
        vq.ResidualVectorQuant(8, 8, stages=4, seed=0),
    ):
        assert len({book.numpy().tobytes() for book in layer.codebooks}) == 4


@pytest.mark.parametrize("make", GENERATED.values(), ids=GENERATED)
def test_a_generator_gives_the_same_weights_wherever_the_layer_is_made(
    make: Callable[..., Any],
) -> None:
    states = []
    for others in range(2):
        vq.manual_seed(others)
        for _ in range(others):
            nn.Linear(2, 2)
        states.append(make(generator=vq.Generator(3)).state_dict())
    assert equal(*states)
    assert not equal(states[0], make(generator=vq.Generator(4)).state_dict())
    assert not equal(make().state_dict(), make().state_dict())


def test_dropout_follows_its_generator() -> None:
    x = np.ones((4, 100), np.float32)
    masks = []
    for others in range(2):
        for _ in range(others):
            nn.Dropout(0.5)
        masks.append(nn.Dropout(0.5, generator=vq.Generator(3))(x).numpy())
    assert np.array_equal(*masks)
    assert not np.array_equal(nn.Dropout(0.5)(x).numpy(), nn.Dropout(0.5)(x).numpy())
