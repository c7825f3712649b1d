"""Estimators, weight quantizers, quantized models, conversions and twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from vqswift import Tensor, estimators, nn, optim
from vqswift.estimators import Estimator, TwinTrainer, WeightQuantizer, quantize_model

from .case import INF, NAN, Case, ints, ones


def on(estimator: Estimator, bits: Any = 2, bound: Any = 1.0) -> Callable[[], object]:
    return lambda: estimator.on(bits, bound)


def sampled(h: Any) -> Callable[[], object]:
    return lambda: estimators.from_samples(h)


def function(h: Any, samples: Any = 9) -> Callable[[], object]:
    return lambda: estimators.from_function(h, samples=samples)


def quantizer(*arguments: Any, **options: Any) -> Callable[[], object]:
    return lambda: WeightQuantizer(*arguments, **options)


def model(**options: Any) -> nn.Module:
    return quantize_model(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)), **options)


def rate(net: nn.Module) -> optim.Optimizer:
    return optim.SGD(net.parameters(), lr=0.1)


def replaced(value: Any) -> Callable[[], object]:
    return lambda: setattr(estimators.weighted_layers(model())[0], "quantizer", value)


def converted(net: nn.Module, **options: Any) -> Callable[[], object]:
    return lambda: estimators.to_ste(net, optim.SGD(net.parameters(), lr=0.1, **options))


def trainer() -> TwinTrainer:
    first, twin = model(), model()
    made = TwinTrainer(first, rate(first))
    made.add("twin", twin, rate(twin))
    return made


def added(name: str, net: nn.Module, optimizer: Any = None) -> Callable[[], object]:
    return lambda: trainer().add(name, net, rate(net) if optimizer is None else optimizer)


def evaluated(images: int, labels: int, **options: Any) -> Callable[[], object]:
    x = np.ones((images, 2), np.float32)
    return lambda: trainer().evaluate(x, np.zeros(labels, np.int32), **options)


BITS = ["uniform_grid", "1 to 16"]
NAMES = ["estimator", "must be one of ste, clipped_ste, dsq"]
POSITIVE = ["from_samples", "positive and finite"]

ESTIMATOR: dict[str, Case] = {
    "no bits": (on(estimators.dsq(), 0), ValueError, [*BITS, "bits = 0"]),
    "17 bits": (on(estimators.ste(), 17), ValueError, [*BITS, "bits = 17"]),
    "negative bits": (on(estimators.dsq(), -3), ValueError, [*BITS, "bits = -3"]),
    "many bits": (on(estimators.dsq(), 1 << 40), (ValueError, OverflowError), []),
    "fractional bits": (
        on(estimators.dsq(), 2.5),
        TypeError,
        ["estimator.on", "bits = 2.5", "integer"],
    ),
    "bits as text": (
        on(estimators.ste(), "2"),
        TypeError,
        ["estimator.on", "bits = '2'", "integer"],
    ),
    "no bound": (
        on(estimators.ste(), 2, 0),
        ValueError,
        ["bound = 0.0", "must be positive"],
    ),
    "negative bound": (on(estimators.reste(), 1, -1), ValueError, ["bound = -1.0", "positive"]),
    "infinite bound": (on(estimators.mad(), 1, INF), ValueError, ["bound = inf", "positive"]),
    "bound nan": (on(estimators.dsq(), 1, NAN), ValueError, ["bound = nan", "positive"]),
    "bound as text": (
        on(estimators.dsq(), 1, "x"),
        TypeError,
        ["estimator.on", "bound = 'x'", "number"],
    ),
    "no sharpness": (on(estimators.dsq(0)), ValueError, ["dsq", "sharpness = 0.0", "positive"]),
    "sharpness": (on(estimators.dsq(1e4)), ValueError, ["dsq", "= 10000.0", "at most 120.0"]),
    "sharpness nan": (on(estimators.dsq(NAN)), ValueError, ["dsq", "sharpness = nan"]),
    "sharpness as text": (lambda: estimators.dsq("a"), TypeError, ["dsq", "'a'", "number"]),
    "amplitude": (on(estimators.cosine(1)), ValueError, ["cosine", "amplitude = 1.0", "-1 and 1"]),
    "negative cosine": (on(estimators.cosine(-1.5)), ValueError, ["cosine", "amplitude = -1.5"]),
    "power": (on(estimators.reste(0.5), 1), ValueError, ["reste", "power = 0.5", "at least 1"]),
    "cap": (on(estimators.reste(3, 0), 1), ValueError, ["reste", "cap = 0.0", "positive"]),
    "strength": (on(estimators.ewgs(1)), ValueError, ["ewgs", "strength = 1.0", "0..<1"]),
    "progress": (on(estimators.ede(2), 1), ValueError, ["ede", "progress = 2.0", "0...1"]),
    **{
        f"{name} of 2 bits": (on(estimators.get(name)), ValueError, [name, "bits = 2", "must be 1"])
        for name in ("tanh", "sigmoid", "arctan", "approx_sign", "reste", "ede")
    },
    **{
        f"{what} of {name}": (
            (lambda name=name: estimators.get(name).on(1, 1.0).alpha)
            if what == "alpha"
            else (lambda name=name: estimators.get(name).on(1, 1.0).warp([0.1])),
            RuntimeError,
            [name, f"no {what}", why],
        )
        for name, why in (("ewgs", "the gradient's sign"), ("ede", "annealed"))
        for what in ("alpha", "warp")
    },
    "unwarp of ewgs": (
        lambda: estimators.ewgs().on(2, 1.0).inverse_warp(0.1),
        RuntimeError,
        ["ewgs", "no warp"],
    ),
    "weights as text": (
        lambda: estimators.dsq().on(2, 1.0).warp("abc"),
        TypeError,
        ["grid_estimator.warp", "'abc'", "real numbers"],
    ),
    "unknown name": (lambda: estimators.get("foo"), ValueError, [*NAMES, "'foo'"]),
    "name as number": (lambda: estimators.get(3), TypeError, ["get", "name = 3", "string"]),
    "name as list": (lambda: estimators.get(["ste"]), TypeError, ["get", "['ste']", "string"]),
    "no name": (lambda: estimators.get(None), TypeError, ["get", "None", "string"]),
    "sample of 0": (sampled([1, 0, 2]), ValueError, [*POSITIVE, "h[1] = 0.0"]),
    "negative sample": (sampled([-0.5, 1]), ValueError, [*POSITIVE, "h[0] = -0.5"]),
    "sample nan": (sampled([1, 1, NAN]), ValueError, [*POSITIVE, "h[2] = nan"]),
    "infinite sample": (sampled([INF, 1]), ValueError, [*POSITIVE, "h[0] = inf"]),
    "sample beyond float32": (sampled([1, 1e39]), ValueError, [*POSITIVE, "1e+39", "float32"]),
    "sample below float32": (sampled([1, 1e-50]), ValueError, [*POSITIVE, "1e-50", "float32"]),
    "one sample": (sampled([1]), ValueError, ["from_samples", "[1]", "two or more"]),
    "no samples": (sampled([]), ValueError, ["from_samples", "[0]", "two or more"]),
    "matrix of samples": (sampled([[1, 2]] * 2), ValueError, ["from_samples", "[2, 2]", "list"]),
    "samples as text": (sampled("abc"), TypeError, ["from_samples", "'abc'", "real numbers"]),
    "complex samples": (sampled([1j, 1]), TypeError, ["from_samples", "1j", "real numbers"]),
    "negative function": (function(lambda x: x), ValueError, [*POSITIVE, "h[0] = -0.5"]),
    "function nan": (function(lambda x: np.where(x == 0, NAN, 1)), ValueError, [*POSITIVE, "h[4]"]),
    "function's shape": (
        function(lambda x: [1, 2]),
        ValueError,
        ["from_function", "9 positions", "[2]", "one value for each"],
    ),
    "function of text": (function(lambda x: "a"), TypeError, ["from_function", "'a'", "real"]),
    "no function": (function(3), TypeError, ["from_function", "h = 3", "a function"]),
    "one position": (function(np.cos, 1), ValueError, ["from_function", "samples = 1", "2"]),
    "negative positions": (function(np.cos, -1), ValueError, ["from_function", "samples = -1"]),
}

WEIGHT_QUANTIZER: dict[str, Case] = {
    "slices of channels": (
        lambda: estimators.ChannelEstimators([1]),  # type: ignore[list-item]
        TypeError,
        ["channel_estimators", "slices[0] = 1", "a GridEstimator"],
    ),
    "no slices of channels": (
        lambda: estimators.ChannelEstimators([]),
        ValueError,
        ["channel_estimators", "one or more"],
    ),
    "bits": (quantizer(0, 1.0), ValueError, [*BITS, "bits = 0"]),
    "many bits": (quantizer(17, 1.0, "dsq"), ValueError, [*BITS, "bits = 17"]),
    "bound": (quantizer(2, -1.0), ValueError, ["bound = -1.0", "must be positive, from 1e-30"]),
    "estimator": (quantizer(2, 1.0, "x"), ValueError, [*NAMES, "'x'"]),
    "one bit": (quantizer(2, 1.0, "tanh"), ValueError, ["tanh", "bits = 2", "must be 1"]),
    "no scale": (
        quantizer(2, 1.0, gradient_scale=0),
        ValueError,
        ["weight_quantizer", "gradient_scale = 0.0", "positive and finite"],
    ),
    "scale nan": (quantizer(2, 1.0, gradient_scale=NAN), ValueError, ["gradient_scale = nan"]),
    "scale as text": (
        quantizer(2, 1.0, gradient_scale="a"),
        TypeError,
        ["weight_quantizer", "gradient_scale = 'a'", "number"],
    ),
    "integers": (
        lambda: WeightQuantizer(2, 1.0)(ints(1)),
        TypeError,
        ["weight_quantizer", "int32"],
    ),
    "codes of integers": (
        lambda: WeightQuantizer(2, 1.0).codes([2**24 + 1]),
        ValueError,
        ["weight_quantizer.codes", "w of dtype int64", "16777217"],
    ),
    "weights as text": (
        lambda: WeightQuantizer(2, 1.0)("a"),
        TypeError,
        ["weight_quantizer", "x = 'a'"],
    ),
    "progress": (
        lambda: WeightQuantizer(1, 1.0, "ede").set_progress(1.5),
        ValueError,
        ["weight_quantizer", "progress = 1.5", "0...1"],
    ),
    "progress nan": (
        lambda: WeightQuantizer(1, 1.0, "ede").set_progress(NAN),
        ValueError,
        ["progress = nan", "0...1"],
    ),
    "progress as text": (
        lambda: WeightQuantizer(2, 1.0).set_progress("a"),
        TypeError,
        ["progress = 'a'", "number"],
    ),
    "no model": (lambda: quantize_model(3), TypeError, ["quantize_model", "model = 3", "Module"]),
    "no layers": (
        lambda: quantize_model(nn.ReLU()),
        ValueError,
        ["quantize_model", "no layer is left"],
    ),
    "no convolutions": (
        lambda: model(layers="conv"),
        ValueError,
        ["quantize_model", "no layer is left"],
    ),
    "all skipped": (lambda: model(skip="*"), ValueError, ["quantize_model", "no layer is left"]),
    "kind of layers": (
        lambda: model(layers="dense"),
        ValueError,
        ["quantize_model", "'dense'", "all, conv or linear"],
    ),
    "skipped name": (
        lambda: model(skip=["0", "head"]),
        ValueError,
        ["quantize_model", "skip 'head'", "there are 0, 2"],
    ),
    "skipped number": (lambda: model(skip=[0]), TypeError, ["quantize_model", "skip 0", "name"]),
    "bits of a model": (lambda: model(bits=0), ValueError, [*BITS, "bits = 0"]),
    "bound of a model": (lambda: model(bound=0), ValueError, ["bound = 0.0", "positive"]),
    "estimator of a model": (lambda: model(estimator="?"), ValueError, [*NAMES, "'?'"]),
    "one axis": (lambda: estimators.he_bound((3,)), ValueError, ["he_bound", "[3]", "out, in"]),
    "empty axis": (lambda: estimators.he_bound((3, 0)), ValueError, ["he_bound", "[3, 0]"]),
    "negative axis": (lambda: estimators.he_bound((3, -2)), ValueError, ["he_bound", "[3, -2]"]),
    "layer's quantizer": (replaced(3), TypeError, ["quantizer", "0: a int", "WeightQuantizer"]),
    "layer as quantizer": (replaced(nn.Linear(2, 2)), TypeError, ["quantizer", "a Linear"]),
    "estimator as quantizer": (replaced(estimators.dsq()), TypeError, ["quantizer", "Estimator"]),
}

CONVERSION: dict[str, Case] = {
    "no optimizer": (
        lambda: estimators.to_ste(model(), None),
        TypeError,
        ["to_ste", "optimizer = None", "Optimizer"],
    ),
    "nothing quantized": (
        converted(nn.Linear(2, 3)),
        ValueError,
        ["to_ste", "no quantized layer"],
    ),
    "weight decay": (
        converted(model(), weight_decay=0.5),
        ValueError,
        ["to_ste", "weight decay 0.5", "M(w) does not shrink", "force=True"],
    ),
    "trainer's optimizer": (
        lambda: TwinTrainer(model(), None),
        TypeError,
        ["twin_trainer", "optimizer = None", "Optimizer"],
    ),
    "trainer's model": (
        lambda: TwinTrainer(nn.Linear(2, 3), rate(nn.Linear(2, 3))),
        ValueError,
        ["twins", "model", "no quantized layer"],
    ),
    "twin's optimizer": (
        added("a", model(), 3),
        TypeError,
        ["twin_trainer.add", "optimizer = 3", "Optimizer"],
    ),
    "twin's layers": (
        added("a", quantize_model(nn.Linear(2, 3))),
        ValueError,
        ["twins", "a: quantized layers", "(3, 2)", "they must be"],
    ),
    "twin's name": (added("twin", model()), ValueError, ["twins", "'twin'", "already"]),
    "model's name": (added("model", model()), ValueError, ["twins", "'model'", "already"]),
    "unknown twin": (lambda: trainer().report("b"), ValueError, ["twins", "'b'", "there are twin"]),
    "weights of no twin": (lambda: trainer().weights("b"), ValueError, ["twins", "'b'"]),
    "too few batches": (
        lambda: trainer().fit(iter([(ones(4, 2).numpy(), np.zeros(4, np.int32))]), 2),
        ValueError,
        ["twins", "after 1 of 2 steps"],
    ),
    "batch's width": (
        lambda: trainer().fit(iter([(np.ones((4, 3)), np.zeros(4, np.int32))]), 1),
        ValueError,
        ["linear", "[4, 3]", "2 features"],
    ),
    "loss nan": (
        lambda: trainer().fit(iter([(Tensor([[NAN, 1.0]]), ints(1))]), 1),
        FloatingPointError,
        ["twins", "model", "nan"],
    ),
    "no images": (evaluated(0, 0), ValueError, ["twins", "0 images", "one or more"]),
    "labels": (evaluated(3, 4), ValueError, ["twins", "3 images", "[4]", "one label for each"]),
    "batch size": (evaluated(3, 3, batch_size=0), ValueError, ["twins", "batch_size = 0", "1"]),
}
