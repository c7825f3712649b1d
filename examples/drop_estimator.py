# python examples/drop_estimator.py
"""Drops a gradient estimator: the straight-through one trains alike at another learning rate."""

import numpy as np
import vqswift as vq
from sklearn.datasets import load_digits

digits = load_digits()
images = (digits.images / 16).astype(np.float32)[..., None]  # [1797, 8, 8, 1]
labels = digits.target.astype(np.int32)
training, test = slice(0, 1500), slice(1500, None)


def network() -> tuple[vq.nn.Module, vq.optim.Optimizer]:
    """Two convolutions of 2-bit weights whose gradients DSQ estimates; the same every time."""
    vq.manual_seed(0)
    nn = vq.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(128, 10)),
    )
    vq.estimators.quantize_model(model, bits=2, estimator="dsq", layers="conv")
    return model, vq.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)


def train(model: vq.nn.Module, optimizer: vq.optim.Optimizer, epochs: int, seed: int) -> None:
    batches = vq.data.Batches(images[training], labels[training], batch_size=50, seed=seed)
    for _ in range(epochs):
        for x, y in batches:
            loss = vq.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def codes(model: vq.nn.Module) -> np.ndarray:
    """The levels of all quantized weights."""
    layers = vq.estimators.quantized_layers(model)
    return np.concatenate([layer.quantizer.codes(layer.weight).numpy().ravel() for layer in layers])


def classes(model: vq.nn.Module) -> np.ndarray:
    with vq.no_grad():
        return model(images[test]).argmax(-1).numpy()


# Three equal trainings with DSQ; then the learning rate falls and two of them drop it.
kept, converted, swapped = network(), network(), network()
for model, optimizer in (kept, converted, swapped):
    train(model, optimizer, epochs=10, seed=0)
    optimizer.lr = 1e-3
for conversion in vq.estimators.to_ste(*converted):
    print(conversion)
for layer in vq.estimators.quantized_layers(swapped[0]):
    partner = layer.quantizer.estimator.partner  # without the change of rate and weights
    layer.quantizer = vq.estimators.WeightQuantizer(partner.bits, partner.bound, partner.estimator)
for model, optimizer in (kept, converted, swapped):
    train(model, optimizer, epochs=15, seed=1)

rows = {"DSQ, kept": kept, "dropped by to_ste": converted, "replaced as it is": swapped}
for name, (model, _) in rows.items():
    equal, same = (np.mean(of(model) == of(kept[0])) for of in (codes, classes))
    accuracy = np.mean(classes(model) == labels[test])
    print(
        f"{name:18} accuracy {100 * accuracy:.1f}%; equal to DSQ: "
        f"{100 * equal:.2f}% of the weights, {100 * same:.1f}% of the classes"
    )
