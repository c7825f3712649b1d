"""A classifier of CIFAR-10 with a quantizer inside, as a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ... import data, distributed, metrics, models, optim, train
from ..._functions import no_grad
from ..._random import manual_seed
from ...models._classifier import Classifier
from ...nn._mode import evaluating
from ._autoencoder import QuantizerConfiguration

Network = Literal["alexnet", "resnet18", "vit"]
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10


@dataclass(frozen=True)
class ClassifierConfiguration:
    """A row of Tables 1, 2 or 10: a network of 32x32 images, a quantizer, the paper's optimizer.

    `width` is that of the network's first layer, of the tokens for "vit". `sub_batches` is how many
    steps a batch is split into, `warmup` the share of all steps in which the rate rises; without
    one it is the paper's. `image_size` crops CIFAR-10's images to another side.
    """

    row: str
    seed: int
    epochs: int
    network: Network
    quantizer: QuantizerConfiguration
    width: int
    depth: int = 12
    images: int = 50_000
    batch_size: int = 128
    sub_batches: int = 1
    codes: int = 1024
    alpha: float = 5.0
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    warmup: float | None = None
    image_size: int = 32

    @property
    def feature_size(self) -> int:
        """Elements of a vector that is quantized."""
        return self.width * {"alexnet": 4, "resnet18": 2, "vit": 1}[self.network]

    def model(self, steps: int) -> Classifier:
        """The network, for a training of so many steps."""
        manual_seed(self.seed)
        quantizer = self.quantizer.build(self.feature_size, self.codes, steps)
        if self.network == "alexnet":
            return models.AlexNet(
                quantizer,
                classes=10,
                width=self.width,
                hidden=16 * self.width,
                image_size=self.image_size,
            )
        if self.network == "resnet18":
            network = models.ResNet18(quantizer, classes=10, width=self.width, small_images=True)
            distributed.synchronize_batch_norms(network)
            return network
        return models.VisionTransformer(
            quantizer,
            image_size=self.image_size,
            patch_size=4,
            classes=10,
            width=self.width,
            depth=self.depth,
            hidden=4 * self.width,
            quantized_after=self.depth // 2,
        )

    def trainer(self, training: data.ImageSet) -> train.Trainer:
        """The trainer at its first step."""
        batches = data.Batches(
            training.images[: self.images],
            training.labels[: self.images],
            batch_size=self.batch_size // self.sub_batches,
            seed=self.seed,
            transform=data.Compose(
                [
                    data.RandomResizedCrop(self.image_size, scale=(0.25, 1.0)),
                    data.RandomHorizontalFlip(),
                    data.Normalize(MEAN, DEVIATION),
                ]
            ),
            workers=1,
        )
        steps = self.epochs * len(batches)
        model = self.model(steps)
        optimizer, schedule = self._optimizer(model, steps)
        objective = train.Classification(self.alpha)
        return train.Trainer(model, optimizer, batches, objective=objective, schedule=schedule)

    def _optimizer(self, model: Any, steps: int) -> tuple[optim.Optimizer, Any]:
        if self.network == "vit":
            adamw = optim.AdamW(
                model.parameters(),
                lr=self.learning_rate,
                betas=(0.9, 0.95),
                weight_decay=self.weight_decay,
            )
            warmup = 1 / 9 if self.warmup is None else self.warmup
            return adamw, optim.cosine_schedule(steps, warmup_steps=round(warmup * steps))
        sgd = optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=0.9, weight_decay=self.weight_decay
        )
        places = (max(steps // 3, 1), max(2 * steps // 3, 2))
        warmup = round((self.warmup or 0.0) * steps)
        return sgd, optim.multistep_schedule(places, warmup_steps=warmup)


def run_of(
    configuration: ClassifierConfiguration,
    directory: Path,
    training: data.ImageSet,
    test: data.ImageSet,
) -> train.Run:
    """The run in its directory, at the step where it stopped."""
    return train.Run(
        directory,
        configuration.trainer(training),
        configuration=configuration,
        checkpoint_every=200,
        validate=lambda model: evaluated(model, test, configuration.image_size),
        best=("accuracy", "max"),
    )


def evaluated(model: Any, test: data.ImageSet, image_size: int = 32) -> dict[str, float]:
    """Accuracy, perplexity and codes in use over the test set, in evaluation mode."""
    right = 0
    quantizer = model.quantizer
    usage = None if quantizer is None else metrics.CodeUsage(quantizer.options["num_codes"])
    with evaluating(model), no_grad():
        for images, labels in test_batches(test, 500, image_size):
            logits, info = model(images)
            right += int((logits.argmax(-1).numpy() == labels).sum())
            if usage is not None:
                usage.update(info.q)
    told = {"accuracy": right / len(test.images), "active_codes": 0.0, "perplexity": 0.0}
    if usage is not None:
        told |= {"active_codes": float(usage.active_codes), "perplexity": usage.perplexity}
    return told


def test_batches(test: data.ImageSet, batch_size: int, image_size: int = 32) -> data.Batches:
    """Test images as the network sees them, with their labels, in the set's order."""
    seen = data.Compose([data.Resize(image_size), data.Normalize(MEAN, DEVIATION)])
    return data.Batches(
        test.images, test.labels, batch_size=batch_size, shuffle=False, transform=seen
    )
