"""The network by whose features images are compared: a classifier trained on the same images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .... import data, metrics, models, nn, optim, train
from ...._functions import no_grad
from ...._random import manual_seed
from ...._tensor import Tensor
from ....nn._mode import evaluating
from ....quantizers import QuantizerInfo
from ....train._metrics_file import lines_of
from ._sets import Images

_MEAN, _DEVIATION = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
_NETWORK = "network"


class FeatureClassifier(nn.Module):
    """A ResNet-18 that gives features, ReLU, and a dense layer of classes.

    x [n, h, w, 3] -> (logits [n, classes], info). Images of more than 32 pixels a side are halved
    twice at the start, as in the published network.
    """

    def __init__(self, classes: int, *, image_size: int, width: int = 16, features: int = 64):
        super().__init__()
        self.config = {
            "classes": classes,
            "image_size": image_size,
            "width": width,
            "features": features,
        }
        self.body = models.ResNet18(
            None, classes=features, width=width, small_images=image_size <= 32
        )
        self.head = nn.Linear(features, classes)

    def forward(self, x: Any) -> tuple[Tensor, QuantizerInfo]:
        features, info = self.body(x)
        return self.head(features.relu()), info


@dataclass(frozen=True)
class JudgeConfiguration:
    """How the classifier is trained.

    `task`: "classes" are the set's own; "rotations" tells by which of four right angles an image is
    turned (Gidaris et al., 2018), for sets without classes.
    """

    task: Literal["classes", "rotations"]
    classes: int
    image_size: int
    epochs: int
    images: int  # to train on
    seed: int = 0
    width: int = 16
    features: int = 64
    batch_size: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    warmup: float = 0.1  # of all steps

    @property
    def name(self) -> str:
        """What distances by its features are called by."""
        task = f"{self.classes} classes" if self.task == "classes" else "turns of the images"
        return f"{self.features} features of a ResNet-18 of width {self.width} that tells {task}"

    def trainer(self, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> train.Trainer:
        """The trainer at its first step."""
        side = self.image_size
        changes: list[Any] = [data.RandomCrop(side, padding=side // 8)]
        if self.task == "classes":
            changes.append(data.RandomHorizontalFlip())
        batches = data.Batches(
            images,
            labels,
            batch_size=min(self.batch_size, len(images)),
            seed=self.seed,
            transform=data.Compose([*changes, data.Normalize(_MEAN, _DEVIATION)]),
        )
        steps = self.epochs * len(batches)
        manual_seed(self.seed)
        model = FeatureClassifier(
            self.classes, image_size=side, width=self.width, features=self.features
        )
        optimizer = optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=0.9, weight_decay=self.weight_decay
        )
        schedule = optim.cosine_schedule(steps, warmup_steps=round(self.warmup * steps))
        return train.Trainer(
            model, optimizer, batches, objective=train.Classification(), schedule=schedule
        )


class Judge:
    """A trained classifier: its features, and what it takes an image for.

    Args:
        network: the classifier.
        name: of its features.
        accuracy: on test images, in 0...1.
    """

    def __init__(self, network: FeatureClassifier, name: str, accuracy: float) -> None:
        self.network, self.name, self.accuracy = network.eval(), name, accuracy

    def features(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """[n, features] of images [n, h, w, 3], uint8 or float32 in [0, 1]."""
        return _given(self.network, images, lambda x: self.network.body(x)[0])

    def classes(self, images: NDArray[Any]) -> NDArray[np.int64]:
        """The class [n] that it takes each image for."""
        return classes_of(self.network, images)

    def distances(self, real: NDArray[np.float32], made: NDArray[np.float32]) -> dict[str, float]:
        """Frechet and kernel distance of two sets of features, named by the classifier."""
        return {
            "classifier_frechet": metrics.frechet_distance(real, made),
            "classifier_kernel": metrics.kernel_distance(real, made),
        }


def classes_of(network: FeatureClassifier, images: NDArray[Any]) -> NDArray[np.int64]:
    """The class [n] that the network takes each image for."""
    logits = _given(network, images, lambda x: network(x)[0])
    found: NDArray[np.int64] = logits.argmax(1)
    return found


def trained_judge(directory: Path, chosen: JudgeConfiguration, images: Images) -> Judge:
    """The classifier in its directory, trained where it is not done."""
    sets = _task(chosen, images)
    test, test_labels = sets[1]

    def validate(model: Any) -> dict[str, float]:
        return {"accuracy": float((classes_of(model, test) == test_labels).mean())}

    run = train.Run(directory, chosen.trainer(*sets[0]), configuration=chosen, validate=validate)
    run.fit(chosen.epochs * run.epoch, label="classifier")
    network: Any = run.trainer.model
    network.save_pretrained(directory / _NETWORK)
    return Judge(network, chosen.name, _accuracy(directory))


def loaded_judge(directory: Path, chosen: JudgeConfiguration) -> Judge:
    """The classifier that `trained_judge` left."""
    network = FeatureClassifier.from_pretrained(directory / _NETWORK)
    return Judge(network, chosen.name, _accuracy(directory))


def judge_configuration(images: Images, epochs: int, **fields: Any) -> JudgeConfiguration:
    """That of a set."""
    task: Literal["classes", "rotations"] = "classes" if images.classes else "rotations"
    made = JudgeConfiguration(task, images.classes or 4, images.side, epochs, len(images.training))
    return dataclasses.replace(made, **fields)


def _accuracy(directory: Path) -> float:
    found = [v for line in lines_of(directory) if (v := line.get("validation.accuracy"))]
    return float(found[-1])


_Labelled = tuple[NDArray[np.uint8], NDArray[np.int32]]


def _task(chosen: JudgeConfiguration, images: Images) -> tuple[_Labelled, _Labelled]:
    """Training and test images with what is to be told of them."""
    if chosen.task == "classes":
        assert images.labels is not None and images.test_labels is not None
        return (images.training, images.labels), (images.test, images.test_labels)
    both = np.concatenate([images.training, images.training[:, :, ::-1]])
    return _turned(both), _turned(images.test)


def _turned(images: NDArray[np.uint8]) -> _Labelled:
    """Each image by all four right angles, and by which."""
    turns = [np.rot90(images, turn, axes=(1, 2)) for turn in range(4)]
    return np.concatenate(turns), np.repeat(np.arange(4, dtype=np.int32), len(images))


def _given(network: nn.Module, images: NDArray[Any], of: Any) -> NDArray[np.float32]:
    """What `of` gives of all images, in evaluation mode."""
    seen = data.Normalize(_MEAN, _DEVIATION)
    batches = data.Batches(images, batch_size=256, shuffle=False, transform=seen)
    with evaluating(network), no_grad():
        return np.concatenate([of(x).numpy() for x in batches])
