"""A wrong object in a public call raises TypeError with the call, the argument and the object.

Every public function, constructor and method is tried, parameter by parameter, with objects that
no parameter takes and with some that only others take.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import vqswift as vq
from test_typing import MODULES
from vqswift import recipes
from vqswift.distributed._tree import Node
from vqswift.quantizers._vector import VectorQuantOptions

ROWS = np.ones((4, 4), np.float32)
IMAGES = np.ones((2, 4, 4, 4), np.float32)


class Unknown:
    """What nothing takes."""


def leaf() -> vq.Tensor:
    return vq.Tensor(ROWS, requires_grad=True)


def layer() -> vq.nn.Linear:
    return vq.nn.Linear(4, 4)


def quantized() -> vq.nn.Module:
    return vq.estimators.quantize_model(layer())


def autoencoder() -> vq.models.SQVAE:
    return vq.models.SQVAE(vq.VectorQuant(4, 5), image_size=28, channels=1, width=4)


def transformer() -> vq.models.MaskGIT:
    return vq.models.MaskGIT(4, 4, classes=2, width=4, depth=1, heads=2, hidden=4)


def discriminator() -> vq.models.PatchDiscriminator:
    return vq.models.PatchDiscriminator(4, width=2, layers=1)


def perceptual_loss() -> vq.train.PerceptualLoss:
    """With weights that no file has to be read for."""
    module = vq.train._perceptual_loss
    shapes = {place: (o, i, k, k) for place, (i, o, k, *_) in module._CONVOLUTIONS.items()}
    features = {
        place: {"weight": np.zeros(shape), "bias": np.zeros(shape[0])}
        for place, shape in shapes.items()
    }
    heads = [np.zeros(shape[0]) for shape in shapes.values()]
    with mock.patch.object(module, "_read", lambda _: (features, heads)):
        return vq.train.PerceptualLoss("weights.pth")


def encoder_layer() -> vq.nn.TransformerEncoderLayer:
    return vq.nn.TransformerEncoderLayer(4, 2, 4)


def decoder_layer() -> vq.nn.TransformerDecoderLayer:
    return vq.nn.TransformerDecoderLayer(4, 2, 4)


def batches() -> vq.data.Batches:
    return vq.data.Batches(np.ones((4, 28, 28, 1), np.float32), batch_size=2)


def draws() -> vq.data.Draws:
    return vq.data.Draws(0, 0, np.arange(4))


def trainer() -> vq.train.Trainer:
    model = autoencoder()
    return vq.train.Trainer(model, vq.optim.SGD(model.parameters()), batches())


def twins() -> vq.estimators.TwinTrainer:
    model = quantized()
    return vq.estimators.TwinTrainer(model, vq.optim.SGD(model.parameters()))


def folder(root: Path) -> vq.data.ImageFolder:
    image = pytest.importorskip("PIL.Image")
    (root / "a").mkdir(exist_ok=True)
    image.new("RGB", (8, 8)).save(root / "a" / "0.png")
    return vq.data.ImageFolder(root, size=4)


@dataclass
class Setting:
    """Of a run."""

    rate: float = 0.1


# What a parameter takes, by its name, where its annotation does not say enough.
GIVEN: dict[str, Callable[[], Any]] = {
    "tokenizer": lambda: vq.models.SQVAE(vq.FSQ([2, 2]), width=2),
    "box": lambda: (0, 0, 1, 1),
    "num_codes": lambda: 5,
    "groups": lambda: 2,
    "stages": lambda: 2,
    "levels": lambda: [4, 3, 2, 5],
    "bits": lambda: 4,
    "feature_size": lambda: 4,
    "k": lambda: 2,
    "p": lambda: 0.5,
    "shape": lambda: (4, 4),
    "axes": lambda: (1, 0),
    "content": lambda: vq.pack_codes([1, 2], 4),
    "inputs": lambda: folder(Path()) and ["."],
    "output": lambda: "output",
    "codes": lambda: np.zeros((4,), np.int32),
    "labels": lambda: np.zeros((4,), np.int32),
    "lengths": lambda: np.array([4, 4, 4, 4]),
    "mask": lambda: np.ones(4, bool),
    "path": lambda: "file.safetensors",
    "folder": lambda: folder(Path()) and ".",
    "weights": lambda: "weights.pth",
    "tensors": lambda: {"a": ROWS},
    "state": lambda: layer().state_dict(),
    "model": quantized,
    "module": layer,
    "body": layer,
    "layer": layer,
    "encoder_layer": encoder_layer,
    "decoder_layer": decoder_layer,
    "norm": layer,
    "num_heads": lambda: 2,
    "nhead": lambda: 2,
    "modules": layer,
    "quantizer": lambda: vq.VectorQuant(4, 5),
    "optimizer": lambda: vq.optim.SGD([leaf()]),
    "params": lambda: [leaf()],
    "loss": lambda: lambda: None,
    "h": lambda: [1.0, 2.0],
    "name": lambda: "ste",
    "estimator": vq.estimators.ste,
    "images": lambda: np.ones((4, 28, 28, 1), np.float32),
    "batches": batches,
    "blocks": lambda: [ROWS],
    "trainer": trainer,
    "schedule": lambda: None,
    "counts": lambda: np.array([1, 2]),
    "x": lambda: ROWS,
    "z": lambda: ROWS,
    "generator": lambda: vq.Generator(1),
    "kernel_size": lambda: 2,
    "axis": lambda: 1,
    "widths": lambda: [(1, 1), (1, 1)],
    "indices": lambda: np.zeros((4,), np.int32),
    "bounds": lambda: 3,
    "draws": draws,
    "paths": lambda: folder(Path()).paths,
    "kind": lambda: Setting,
    "directory": lambda: "run",
    "discriminator": discriminator,
    "batch": lambda: np.zeros((4, 4), np.int32),
    "history": lambda: [1.0, 2.0],
    "reconstructed": lambda: np.ones((4, 28, 28, 1), np.float32),
    "nodes": lambda: [Node(0, 0, ROWS[0])],
}
# What it takes where the annotation alone says more than the name.
OF_KIND: dict[str, Callable[[], Any]] = {"MaskGIT": transformer}
ACTIVATIONS = (
    *("GLU", "Hardshrink", "Hardtanh", "LogSoftmax", "PReLU", "ReLU6", "Softmax", "Softmin"),
    *("Softshrink", "Step", "Tanhshrink"),
)
INSTANCES: dict[str, Callable[[], Any]] = {
    "FunctionContext": lambda: vq.autograd.FunctionContext(()),
    "Hooks": layer,
    "Pretrained": layer,
    "RNN": lambda: vq.nn.RNN(4, 4),
    "GRU": lambda: vq.nn.GRU(4, 4),
    "LSTM": lambda: vq.nn.LSTM(4, 4),
    "RNNCell": lambda: vq.nn.RNNCell(4, 4),
    "GRUCell": lambda: vq.nn.GRUCell(4, 4),
    "LSTMCell": lambda: vq.nn.LSTMCell(4, 4),
    "Snake": lambda: vq.nn.Snake(4),
    "Conv3d": lambda: vq.nn.Conv3d(4, 4, 2),
    "ConvTranspose3d": lambda: vq.nn.ConvTranspose3d(4, 4, 2),
    "Bilinear": lambda: vq.nn.Bilinear(4, 4, 4),
    "ALiBi": vq.nn.ALiBi,
    "Threshold": lambda: vq.nn.Threshold(0.5, 0.0),
    "MultiheadAttention": lambda: vq.nn.MultiheadAttention(4, 2),
    "TransformerEncoderLayer": encoder_layer,
    "TransformerDecoderLayer": decoder_layer,
    "TransformerEncoder": lambda: vq.nn.TransformerEncoder(encoder_layer(), 1),
    "TransformerDecoder": lambda: vq.nn.TransformerDecoder(decoder_layer(), 1),
    "WeightNorm": lambda: vq.nn.WeightNorm(layer()),
    "RoPE": lambda: vq.nn.RoPE(4),
    "SinusoidalPositionalEncoding": lambda: vq.nn.SinusoidalPositionalEncoding(4),
    "PixelShuffle": lambda: vq.nn.PixelShuffle(2),
    "PixelUnshuffle": lambda: vq.nn.PixelUnshuffle(2),
    "Unflatten": lambda: vq.nn.Unflatten(1, (2, 2)),
    "AdaptiveAvgPool1d": lambda: vq.nn.AdaptiveAvgPool1d(2),
    "AdaptiveAvgPool2d": lambda: vq.nn.AdaptiveAvgPool2d(2),
    "AdaptiveMaxPool1d": lambda: vq.nn.AdaptiveMaxPool1d(2),
    "AdaptiveMaxPool2d": lambda: vq.nn.AdaptiveMaxPool2d(2),
    "MaxPool3d": lambda: vq.nn.MaxPool3d(2),
    "AvgPool3d": lambda: vq.nn.AvgPool3d(2),
    "MaxPool1d": lambda: vq.nn.MaxPool1d(2),
    "AvgPool1d": lambda: vq.nn.AvgPool1d(2),
    "Dropout2d": lambda: vq.nn.Dropout2d(0.5),
    "Tensor": leaf,
    "Elements": leaf,
    "Scans": leaf,
    "Selection": leaf,
    "Shapes": leaf,
    "Interop": leaf,
    "Module": layer,
    "Generator": lambda: vq.Generator(1),
    "Optimizer": lambda: vq.optim.SGD([leaf()]),
    "Schedule": lambda: vq.optim.cosine_schedule(10),
    "PlateauSchedule": vq.optim.PlateauSchedule,
    "JoinedSchedule": lambda: vq.optim.joined_schedule([vq.optim.PlateauSchedule()], []),
    "Average": lambda: vq.optim.EMA(layer()),
    "SQVAE": autoencoder,
    "Autoencoder": autoencoder,
    "MaskGIT": transformer,
    "PatchDiscriminator": discriminator,
    "MaskedPrediction": vq.train.MaskedPrediction,
    "AdversarialLoss": lambda: vq.train.AdversarialLoss(discriminator()),
    "PerceptualLoss": perceptual_loss,
    "Quantizer": lambda: vq.VectorQuant(4, 5),
    "CodebookQuantizer": lambda: vq.VectorQuant(4, 5),
    "VectorQuant": lambda: vq.VectorQuant(4, 5),
    "GroupVectorQuant": lambda: vq.GroupVectorQuant(4, 5, groups=2),
    "ResidualVectorQuant": lambda: vq.ResidualVectorQuant(4, 5, stages=2),
    "FSQ": lambda: vq.FSQ([4, 3, 2, 5]),
    "LFQ": lambda: vq.LFQ(4),
    "GumbelQuant": lambda: vq.GumbelQuant(4, 5),
    "SQVAEQuant": lambda: vq.SQVAEQuant(4, 5),
    "CodeUsage": lambda: vq.metrics.CodeUsage(5),
    "Estimator": vq.estimators.dsq,
    "GridEstimator": lambda: vq.estimators.dsq().on(2, 1.0),
    "ChannelEstimators": lambda: vq.estimators.ChannelEstimators([vq.estimators.dsq().on(2, 1.0)]),
    "WeightQuantizer": lambda: vq.estimators.WeightQuantizer(2, 1.0),
    "Batches": batches,
    "ImageFolder": lambda: folder(Path()),
    "ImageFiles": lambda: folder(Path()),
    "Stream": lambda: vq.data.Stream([ROWS]),
    "Draws": draws,
    "Transform": lambda: vq.data.CenterCrop(2),
    "Compose": lambda: vq.data.Compose([]),
    "Normalize": lambda: vq.data.Normalize(0.5, 0.5),
    "RandomCrop": lambda: vq.data.RandomCrop(2),
    "CenterCrop": lambda: vq.data.CenterCrop(2),
    "Resize": lambda: vq.data.Resize(2),
    "RandomResizedCrop": lambda: vq.data.RandomResizedCrop(2),
    "RandomHorizontalFlip": lambda: vq.data.RandomHorizontalFlip(),
    "Trainer": trainer,
    "Communicator": vq.distributed.current,
    "TwinTrainer": twins,
    "Run": lambda: vq.train.Run("run", trainer()),
    "TensorBoard": lambda: vq.train.TensorBoard("board"),
    "Logger": lambda: vq.train.TensorBoard("board"),
    "Reconstruction": vq.train.Reconstruction,
    "Classification": vq.train.Classification,
    "Classifier": lambda: vq.models.ResNet18(vq.VectorQuant(8, 5), width=4),
    "AlexNet": lambda: vq.models.AlexNet(width=2, hidden=4, image_size=32),
    "ResNet18": lambda: vq.models.ResNet18(width=4),
    "VisionTransformer": lambda: vq.models.VisionTransformer(
        image_size=8, patch_size=4, width=4, depth=2, heads=2, hidden=4, quantized_after=1
    ),
    "Sequential": lambda: vq.nn.Sequential(layer()),
    "Residual": lambda: vq.nn.Residual(layer()),
    "ModuleList": lambda: vq.nn.ModuleList([layer()]),
    "ModuleDict": lambda: vq.nn.ModuleDict({"a": layer()}),
    "Recipe": recipes.get,
}
# Names whose values are free: what is given there is shown or handed on.
FREE = {("track", "label"), ("__init__", "tag")}
# Their libraries are imported first, and are not always there.
FREE |= {(name, image) for name in ("fid", "lpips") for image in ("a", "b")}
RECORDS = {
    *("BlockKMeansResult", "KMeansProgress", "KMeansResult"),
    *("QuantizerInfo", "GradientGap", "Conversion", "TwinRecord", "TwinReport"),
    *(
        "TwinWeights",
        "WeightedLayer",
        "ImageSet",
        "Evaluation",
        "StepMetrics",
        "Estimator",
        "Schedule",
    ),
    *("Objective", "Logger"),
    *("CodeFile", "Tally", "CodebookUpdate"),
    *("Recipe", "Measured", "Optimizer", "JoinedSchedule"),
}


def members() -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Class (empty for functions), name and function of all that is public."""
    modules = [*MODULES.values(), recipes]
    seen = set()
    for module in modules:
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if name[0] != "_" and getattr(value, "__module__", "") == module.__name__
        ]
        for name in names:
            value = getattr(module, name)
            if id(value) in seen or not getattr(value, "__module__", "").startswith("vqswift"):
                continue
            seen.add(id(value))
            if inspect.isfunction(value):
                yield "", name, value
            if not inspect.isclass(value):
                continue
            for kind in value.__mro__:
                if not kind.__module__.startswith("vqswift"):
                    continue
                for member, item in vars(kind).items():
                    if (id(item) in seen) or (member[0] == "_" and member != "__init__"):
                        continue
                    seen.add(id(item))
                    if isinstance(item, (classmethod, staticmethod)):
                        item = item.__func__
                    is_record = member == "__init__" and {name, kind.__name__} & RECORDS
                    if inspect.isfunction(item) and not is_record:
                        yield name if member == "__init__" else kind.__name__, member, item


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            if "VectorQuantOptions" in str(parameter.annotation):
                for name, kind in VectorQuantOptions.__annotations__.items():
                    found.append(
                        inspect.Parameter(name, parameter.KEYWORD_ONLY, default=0, annotation=kind)
                    )
        else:
            found.append(parameter)
    return found


def taken(parameter: inspect.Parameter) -> Any:
    """A value that the parameter takes."""
    annotation = str(parameter.annotation)
    if "Iterator" in annotation:
        return iter([])
    if annotation in OF_KIND:
        return OF_KIND[annotation]()
    if parameter.name in GIVEN and "Callable" not in annotation:
        return GIVEN[parameter.name]()
    for part, value in (
        ("Sequence[Callable", [lambda *_: 1.0] * 2),
        *(("Callable", lambda *_: 1.0), ("Array", ROWS), ("Tensor", leaf()), ("int", 2)),
        *(("float", 0.5), ("bool", True), ("str", "train"), ("Split", "train"), ("Axes", 0)),
        *(("Pair", 2), ("Iterable", [])),
    ):
        if part in annotation:
            return value
    raise AssertionError(f"no value for {parameter}")


def wrong(annotation: str) -> list[Any]:
    """Objects that a parameter of this annotation does not take."""
    takes_layers = re.search("Model|Module|Callable|InplaceOptimizer", annotation)
    objects: list[Any] = [Unknown()] if takes_layers else [Unknown(), layer()]
    if not re.search("None|Root|Axes", annotation):
        objects.append(None)
    if not re.search(r"\bstr\b|PathLike|Split|Root|Path|Literal|Range", annotation):
        objects.append("text")
    if not re.search(
        r"[Aa]rray|Tensor|Sequence|Iterable|Axes|Pair|Triple|Parameters|tuple|list", annotation
    ):
        objects.append(np.ones((3, 2), np.float32))
    return objects


CASES = [
    pytest.param(owner, name, function, parameter, id=f"{owner}.{name}({parameter.name})")
    for owner, name, function in members()
    for parameter in parameters(function)
    if (name, parameter.name) not in FREE
    and parameter.annotation not in ("Any", "object", "P.args", "P.kwargs")
    and "made" not in inspect.signature(function).parameters
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("owner", "name", "function", "parameter"), CASES)
def test_wrong_object(
    owner: str, name: str, function: Callable[..., Any], parameter: inspect.Parameter
) -> None:
    for value in wrong(str(parameter.annotation)):
        positional, named = [], {}
        for other in parameters(function):
            if other.name == parameter.name:
                given = value
            elif other.default is other.empty and other.kind is not other.VAR_POSITIONAL:
                given = taken(other)
            else:
                continue
            if other.kind is other.KEYWORD_ONLY or other.default is not other.empty:
                named[other.name] = given
            else:
                positional.append(given)
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional.append(named.pop(parameter.name, value))
        if name == "__init__":
            kind = next(c for c in _classes() if c.__name__ == owner)
            target: Callable[..., Any] = kind
        elif owner:
            target = getattr(_instance(owner), name)
        else:
            target = function
        with pytest.raises(TypeError) as caught:
            result = target(*positional, **named)
            if hasattr(result, "__next__"):
                next(result)
            if hasattr(result, "__enter__"):
                result.__enter__()
        text = str(caught.value)
        assert text.startswith("["), text
        assert parameter.name in text, text
        shown = "Unknown" if isinstance(value, Unknown) else repr(value)
        if isinstance(value, vq.nn.Module):
            shown = "a Linear"
        if isinstance(value, np.ndarray):
            shown = "an array of float32 of shape [3, 2]"
        assert shown in text, text


def _classes() -> list[type]:
    modules = [*MODULES.values(), recipes]
    return [value for m in modules for value in vars(m).values() if inspect.isclass(value)]


def _instance(owner: str) -> Any:
    if owner in INSTANCES:
        return INSTANCES[owner]()
    if owner == "Native":
        return layer()
    if owner in ("Learned", "LSQ", "LSQPlus", "PACT"):
        return vq.estimators.LSQ(2)
    if owner in ACTIVATIONS:
        return getattr(vq.nn, owner)()
    raise AssertionError(f"no instance of {owner}")
