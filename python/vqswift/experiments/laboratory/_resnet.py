"""ResNet-50 with quantized convolutions beside its straight-through twin."""

from __future__ import annotations

import dataclasses
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import data, estimators, models, nn, optim
from ..._random import Generator, manual_seed
from ...estimators import TwinTrainer, quantize_model, quantized_layers, to_ste
from .._harness import Command, begin, output_setting, root_setting, setting, threads_setting

_TWIN, _JITTER = "straight-through", "rate x 1.01"


@dataclass(frozen=True)
class ResNetSettings:
    """Of one run.

    Attributes:
        images: a folder with a sub-folder for each class, or one with such folders `train` and
            `val`, or an .npz file with `images` [n, s, s, 3] uint8 and `labels` [n]; CIFAR-10 when
            it is found, else crops of two photographs.
        size: of the images that are read from a folder.
        rate: the learning rate of a batch of 256; a batch of b has rate b / 256.
        warmup: share of the steps; the paper's 5 epochs of 90.
    """

    images: Path | None = setting(
        None,
        "folder with a sub-folder for each class, or with train and val of such; or an .npz; "
        "CIFAR-10, else crops of two photographs by default",
    )
    root: Path | None = root_setting()
    size: int = setting(64, "side of the images that are read from a folder")
    steps: int = setting(300, "training steps of each model")
    batch_size: int = setting(32, "images of a step")
    bits: int = setting(2, "of a weight")
    estimator: str = setting("dsq", "of the weights' gradients")
    rate: float = setting(0.1, "of a batch of 256")
    weight_decay: float = setting(1e-4, "of SGD")
    warmup: float = 5 / 90
    evaluations: int = setting(10, "how often accuracy and agreement are measured")
    validation: int = setting(500, "images that they are measured on")
    seed: int = setting(0, "of weights and batches")
    threads: int | None = threads_setting()
    output: Path = output_setting("runs/resnet50")


@dataclass(frozen=True)
class _Images:
    name: str
    batches: Iterator[Any]
    validation: NDArray[np.float32]
    labels: NDArray[np.int32]
    classes: int


def run(settings: ResNetSettings) -> dict[str, Any]:
    """Trains the model, its twin and, as a yardstick, itself at 1.01 times the rate.

    Prints lines at each evaluation and writes results.json.

    Raises `FileNotFoundError` and `ValueError` for images that are not there or do not fit.
    """
    if settings.steps < settings.evaluations or settings.evaluations < 1:
        raise ValueError(
            f"[resnet50] {settings.steps} steps and {settings.evaluations} evaluations: "
            "there must be a step for each"
        )
    start = time.perf_counter()
    begin(settings)
    images = _images(settings)
    warmup = max(1, round(settings.steps * settings.warmup))
    schedule = optim.cosine_schedule(max(1, settings.steps - warmup), warmup_steps=warmup)
    trainer = TwinTrainer(*_member(settings, images), schedule=schedule)
    model, optimizer = _member(settings, images)
    # The paper's L2 penalty acts on the latent weights: outside the theorem, and small.
    to_ste(model, optimizer, force=True)
    trainer.add(_TWIN, model, optimizer, warped=True)
    trainer.add(_JITTER, *_member(settings, images, 1.01))
    count = sum(layer.weight.size for layer in quantized_layers(model))
    print(
        f"{images.name}: {len(quantized_layers(model))} quantized convolutions with {count} "
        f"weights of {settings.bits} bits, {settings.steps} steps of {settings.batch_size}"
    )
    done = 0
    for part in range(1, settings.evaluations + 1):
        target = settings.steps * part // settings.evaluations
        trainer.fit(images.batches, target - done)
        done = target
        trainer.evaluate(images.validation, images.labels, batch_size=50)
        print(_lines(trainer), flush=True)
    document: dict[str, Any] = {
        "settings": {
            k: v for k, v in vars(settings).items() if k not in ("root", "output", "images")
        },
        "images": images.name,
        "seconds": round(time.perf_counter() - start, 1),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "quantized_weights": count,
        "twins": {name: dataclasses.asdict(trainer.report(name)) for name in (_TWIN, _JITTER)},
    }
    settings.output.mkdir(parents=True, exist_ok=True)
    path = settings.output / "results.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, report in document["twins"].items():
        print(
            f"  {name}: equal change points {100 * report['change_agreement']:.2f}%, compressed "
            f"{100 * report['compressed_change_agreement']:.2f}%"
        )
    seconds, memory = document["seconds"], document["peak_memory_gib"]
    print(f"{seconds:.0f} s, at most {memory:.2f} GiB. In {path}")
    return document


def _lines(trainer: TwinTrainer) -> str:
    lines = []
    for name in (_TWIN, _JITTER):
        last = trainer.records(name)[-1]
        lines.append(
            f"  step {last.step}, {name}: loss {last.loss:.3f} / {last.twin_loss:.3f}, alignment "
            f"error {last.alignment_error:.3f}, equal weights {100 * last.weight_agreement:.2f}%, "
            f"classes {100 * last.inference_agreement:.1f}%, accuracy {100 * last.accuracy:.1f} / "
            f"{100 * last.twin_accuracy:.1f}"
        )
    return "\n".join(lines)


def _member(
    settings: ResNetSettings, images: _Images, scale: float = 1.0
) -> tuple[nn.Module, optim.Optimizer]:
    manual_seed(settings.seed)
    small = images.validation.shape[1] < 64
    model = models.ResNet50(images.classes, small_images=small)
    quantize_model(
        model, bits=settings.bits, estimator=settings.estimator, layers="conv", range="he"
    )
    generator = Generator(settings.seed, 1)
    for layer in quantized_layers(model):
        # Uniform over the grid: the usual start leaves many weights beyond it.
        bound = estimators.he_bound(layer.weight.shape)
        layer.weight.assign(generator.uniform(layer.weight.shape, -bound, bound))
    return model, optim.SGD(
        model.parameters(),
        lr=scale * settings.rate * settings.batch_size / 256,
        momentum=0.9,
        weight_decay=settings.weight_decay,
    )


def _images(settings: ResNetSettings) -> _Images:
    source = settings.images
    if source is None:
        if data.has("cifar10", settings.root):
            training = data.cifar10("train", settings.root)
            test = data.cifar10("test", settings.root)
        else:
            training = data.photos("train", size=settings.size, seed=settings.seed)
            test = data.photos("test", size=settings.size, seed=settings.seed)
        return _arrays(settings, training.name, training, test)
    if source.is_dir():
        return _folder(settings, source)
    if source.suffix != ".npz":
        raise FileNotFoundError(f"[resnet50] {source}: must be a folder or an .npz file")
    with np.load(source) as arrays:
        if not {"images", "labels"} <= set(arrays):
            raise ValueError(
                f"[resnet50] {source}: has {sorted(arrays)}; images and labels are required"
            )
        images, labels = arrays["images"], arrays["labels"].astype(np.int32)
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"[resnet50] {source}: images {images.dtype} {[*images.shape]}: uint8 [n, s, s, 3]"
        )
    held = np.arange(len(images)) % 5 == 0
    training, test = (
        data.ImageSet(f"{source.name} {part}", images[rows], labels[rows])
        for part, rows in (("train", ~held), ("test", held))
    )
    return _arrays(settings, source.name, training, test)


def _arrays(
    settings: ResNetSettings, name: str, training: data.ImageSet, test: data.ImageSet
) -> _Images:
    batches = data.Batches(
        training.images, training.labels, batch_size=settings.batch_size, seed=settings.seed
    )
    kept = slice(0, settings.validation)
    classes = int(training.labels.max()) + 1
    return _Images(
        name, batches.forever(), data.unit_range(test.images[kept]), test.labels[kept], classes
    )


def _folder(settings: ResNetSettings, folder: Path) -> _Images:
    split = (folder / "train").is_dir() and (folder / "val").is_dir()
    training = data.ImageFolder(folder / "train" if split else folder, size=settings.size)
    test = training
    if split:
        test = data.ImageFolder(folder / "val", size=settings.size, classes=training.classes)
    rows = np.random.default_rng(0).permutation(len(test))[: settings.validation]
    batches = training.batches(settings.batch_size, seed=settings.seed)
    return _Images(
        folder.name, batches, test.images(rows), test.labels[rows], len(training.classes)
    )


COMMAND = Command(
    "resnet50",
    "train ResNet-50 with quantized convolutions and its straight-through twin",
    __doc__,
    ResNetSettings,
    run,
)
