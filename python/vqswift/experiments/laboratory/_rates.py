"""How the alignment error goes with the learning rate and with momentum."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import data, nn, optim
from ..._random import Generator, manual_seed
from ..._threads import get_threads, set_threads
from ...estimators import TwinTrainer, he_bound, quantize_model, to_ste, weighted_layers
from ._trials import Settings

TIME = 4.0  # learning rate / (1 - momentum) times steps
RATES = (0.02, 0.01, 0.005)  # learning rate / (1 - momentum)
MOMENTA = (0.0, 0.5, 0.8, 0.9)
IMAGES = 64
BITS = 2
CELLS = 2**BITS - 1


def run(
    settings: Settings, training: data.ImageSet, rates: tuple[float, ...] = RATES
) -> dict[str, Any]:
    """Trains a small 2-bit network on one batch at every rate and momentum, for an equal time.

    The factor is that of steady gradients, and crossings of a boundary, which come in whole steps,
    do not carry it: the batch is all the data, and weights begin half-way between a boundary and
    the edge of its cell.
    """
    start = time.perf_counter()
    threads = get_threads()
    set_threads(1)
    try:
        errors = np.array(
            [
                [[_error(training, seed, rate, beta) for rate in rates] for beta in MOMENTA]
                for seed in settings.seeds
            ]
        )
    finally:
        set_threads(threads)
    mean = errors.mean(0)  # [momentum, rate]
    return {
        "key": key(settings),
        "seconds": round(time.perf_counter() - start, 1),
        "time": TIME,
        "rates": list(rates),
        "momenta": list(MOMENTA),
        "seeds": list(settings.seeds),
        "errors": errors.tolist(),
        "slopes": [slope(rates, row) for row in mean],
        "factors": (mean[:, -1] / mean[0, -1]).tolist(),
        "expected_factors": [(1 + beta) / (1 - beta) for beta in MOMENTA],
    }


def key(settings: Settings) -> str:
    """What the study depends on."""
    return json.dumps([settings.data, settings.seeds, TIME, RATES, MOMENTA, IMAGES, BITS])


def slope(rates: tuple[float, ...], errors: np.ndarray) -> float:
    """Of the line through the logarithms."""
    return float(np.polyfit(np.log(rates), np.log(errors), 1)[0])


def _error(training: data.ImageSet, seed: int, rate: float, beta: float) -> float:
    images = data.unit_range(training.images[seed * IMAGES : (seed + 1) * IMAGES])
    labels = training.labels[seed * IMAGES : (seed + 1) * IMAGES]

    def batch() -> Iterator[Any]:
        while True:
            yield images, labels

    def member() -> tuple[nn.Module, optim.Optimizer]:
        model = quantize_model(
            _network(seed), bits=BITS, estimator="dsq", layers="conv", range="he"
        )
        return model, optim.SGD(model.parameters(), lr=rate * (1 - beta), momentum=beta)

    trainer = TwinTrainer(*member())
    model, optimizer = member()
    to_ste(model, optimizer)
    trainer.add("ste", model, optimizer, warped=True)
    trainer.fit(batch(), round(TIME / rate))
    trainer.evaluate(images, labels)
    return trainer.records("ste")[-1].alignment_error


def _network(seed: int) -> nn.Module:
    manual_seed(seed)
    net = nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(72, 10),
    )
    generator = Generator(seed, 1)
    for layer in weighted_layers(net):
        if layer.weight.ndim == 4:
            bound = he_bound(layer.weight.shape)
            quarter = generator.integers(layer.weight.shape, 2 * CELLS).numpy() + 0.5
            layer.weight.assign((quarter * bound / CELLS - bound).astype(np.float32))
    return net
