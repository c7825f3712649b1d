"""Options by name: the core's table, Python's signature and the docstring say the same."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import _core, nn, optim
from vqswift.quantizers._vector import VectorQuantOptions

KINDS: dict[str, Any] = {
    "linear": vq.nn.Linear,
    "conv1d": vq.nn.Conv1d,
    "conv2d": vq.nn.Conv2d,
    "conv_transpose1d": vq.nn.ConvTranspose1d,
    "conv_transpose2d": vq.nn.ConvTranspose2d,
    "batch_norm": vq.nn.BatchNorm,
    "embedding": vq.nn.Embedding,
    "dropout": vq.nn.Dropout,
    "max_pool2d": vq.nn.MaxPool2d,
    "average_pool2d": vq.nn.AvgPool2d,
    "interpolate": vq.nn.Upsample,
    "resnet50": vq.models.ResNet50,
    "vector_quant": vq.VectorQuant,
    "group_vector_quant": vq.GroupVectorQuant,
    "residual_vector_quant": vq.ResidualVectorQuant,
    "fsq": vq.FSQ,
    "lfq": vq.LFQ,
    "gumbel_quant": vq.GumbelQuant,
    "sqvae_quant": vq.SQVAEQuant,
    "pact": vq.estimators.PACT,
    "lsq": vq.estimators.LSQ,
    "lsq_plus": vq.estimators.LSQPlus,
}
# What a layer has beside the options of its kind.
OWN = {"self", "dim", "generator", "inplace_optimizer", "kmeans_init"}
# What Python gives by itself, "same" as a padding of that name.
GIVEN = {"stream", "same"}


def described(kind: str) -> dict[str, tuple[Any, ...]]:
    return {row[0]: row[1:] for row in _core.kind_options("module", kind)}


def signature(kind: str) -> dict[str, Any]:
    """The options by name, with their defaults where the signature has them."""
    parameters = inspect.signature(KINDS[kind].__init__).parameters
    names = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        names |= dict.fromkeys(VectorQuantOptions.__annotations__, inspect.Parameter.empty)
    return {name: value for name, value in names.items() if name not in OWN}


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_has_the_options_of_the_core(kind: str) -> None:
    assert signature(kind).keys() == described(kind).keys() - GIVEN
    for name, (_, required, *_) in described(kind).items():
        if required:
            assert signature(kind)[name] is inspect.Parameter.empty, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_has_the_defaults_of_the_core(kind: str) -> None:
    for name, default in signature(kind).items():
        form, required, initial, choices, _ = described(kind)[name]
        if required or default is inspect.Parameter.empty or default is None:
            continue
        if form == "pair" and isinstance(default, int):
            default = [default, default]
        if form == "bool":
            assert initial == str(default).lower(), name
        elif form == "float":
            assert float(initial) == default, name
        else:
            assert initial == repr(default), name
        assert not choices or default in choices.split(" "), name


def test_the_docstring_names_every_option() -> None:
    told = inspect.getdoc(vq.VectorQuant)
    assert told is not None
    arguments = told.split("Args:")[1]
    for name in VectorQuantOptions.__annotations__:
        assert re.search(rf"\b{name}\b", arguments), name


def test_the_guide_names_every_option(pytestconfig: pytest.Config) -> None:
    guide = (pytestconfig.rootpath / "docs/quantizers.md").read_text()
    for name in VectorQuantOptions.__annotations__:
        assert f"`{name}" in guide, name


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_refuses_what_it_does_not_take(kind: str) -> None:
    small = {"int": 4, "ints": (4,), "pair": (1, 1)}
    given = {name: small[row[0]] for name, row in described(kind).items() if row[1]}
    generator = vq.Generator(0)._handle
    for name, (form, *_) in described(kind).items():
        wrong = 1.5 if form in ("int", "bool", "str") else "x"
        with pytest.raises(TypeError, match=rf"^\[{kind}\] {name} is .*: .* is required$"):
            _core.module_create(kind, {**given, name: wrong}, (), generator)
    with pytest.raises(TypeError, match=rf"^\[{kind}\] unknown option 'nothing': the known are"):
        _core.module_create(kind, given | {"nothing": 1}, (), generator)
    for name in given:
        rest = {other: value for other, value in given.items() if other != name}
        with pytest.raises(RuntimeError, match=rf"^\[{kind}\] the option {name} is required$"):
            _core.module_create(kind, rest, (), generator)


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(ValueError, match=r"^\[module\] kind = 'linea': it must be one of \["):
        _core.module_create("linea", {}, (), None)


def test_wrong_parts() -> None:
    sizes = {"in_features": 2, "out_features": 2}
    with pytest.raises(RuntimeError, match=r"^\[linear\] a generator is required$"):
        _core.module_create("linear", sizes, (), None)
    with pytest.raises(RuntimeError, match=r"^\[residual\] 0 children: one is required$"):
        _core.module_create("residual", {}, (), None)
    with pytest.raises(TypeError, match="a dict is required"):
        _core.module_create("relu", [], (), None)  # type: ignore[arg-type]
    with pytest.raises(OverflowError, match=r"^\[linear\] in_features = .*: must fit in int64$"):
        _core.module_create("linear", sizes | {"in_features": 2**70}, (), None)
    with pytest.raises(ValueError, match=r"^\[linear\] in_features = .*: must fit in int64$"):
        _core.module_create("linear", sizes | {"in_features": 2**63}, (), None)


def test_the_files_that_the_guide_to_extending_names_exist(pytestconfig: pytest.Config) -> None:
    guide = (pytestconfig.rootpath / "docs/extending.md").read_text()
    paths = re.findall(r"`((?:Sources|python|pytests|docs)/[\w/.]+)`", guide)
    assert len(paths) > 10
    for path in paths:
        assert (pytestconfig.rootpath / path).exists(), path


def test_objects_say_what_they_are() -> None:
    shown = {
        "Linear(3, 4)": vq.nn.Linear(3, 4),
        "Linear(3, 4, bias=False)": vq.nn.Linear(3, 4, bias=False),
        "Conv2d(3, 4, (3, 5), padding=1)": vq.nn.Conv2d(3, 4, (3, 5), padding=1),
        "MaxPool2d(2)": vq.nn.MaxPool2d(2),
        "ReLU()": vq.nn.ReLU(),
        "Dropout(p=0.25)": vq.nn.Dropout(0.25),
        "FSQ((3, 5))": vq.FSQ([3, 5]),
        "SQVAEQuant(3, 4, kind='II')": vq.SQVAEQuant(3, 4, kind="II"),
        "VectorQuant(64, 1024, affine_lr=1.0)": vq.VectorQuant(64, 1024, affine_lr=1.0, beta=0.95),
        "VectorQuant(4, 8, init='kmeans')": vq.VectorQuant(4, 8, kmeans_init=True, seed=3),
        "ResidualVectorQuant(4, 8, stages=3)": vq.ResidualVectorQuant(4, 8, stages=3),
    }
    for text, layer in shown.items():
        assert repr(layer) == text
    tree = vq.nn.Sequential(vq.nn.Residual(vq.nn.Linear(2, 2)), vq.nn.Tanh())
    assert repr(tree) == (
        "Sequential(\n  (0): Residual(\n    (body): Linear(2, 2)\n  )\n  (1): Tanh()\n)"
    )
    model = repr(vq.models.SQVAE(vq.VectorQuant(64, 16)))
    assert "(encoder): sqvae_encoder()" in model and "(quantizer): VectorQuant(64, 16)" in model


def test_options_are_read_and_not_written() -> None:
    layer = vq.VectorQuant(4, 8, ema_decay=0.8)
    options = layer.options
    assert (options["ema_decay"], options["beta"], options["norm"]) == (0.8, 0.95, "none")
    assert options["code_size"] is None and options["num_codes"] == 8
    assert vq.FSQ([3, 5]).levels == (3, 5) and vq.nn.Dropout().options == {"p": 0.5}
    with pytest.raises(AttributeError, match=r"\[vector_quant\] ema_decay = 0.9: it stays as"):
        layer.ema_decay = 0.9
    with pytest.raises(AttributeError, match=r"\[dropout\] p = 0.2: it stays as"):
        vq.nn.Dropout().p = 0.2
    layer.note = "mine"
    assert layer.note == "mine"
    with pytest.raises(AttributeError, match="has no attribute 'bias'"):
        _ = vq.nn.Linear(2, 2, bias=False).bias


@pytest.mark.parametrize(
    "kind", [vq.VectorQuant, vq.GroupVectorQuant, vq.ResidualVectorQuant], ids=lambda k: k.__name__
)
def test_help_has_every_option_with_its_default(kind: type) -> None:
    text, known = pydoc.plain(pydoc.render_doc(kind)), _core.kind_options("module", kind._operation)
    initial = {name: value for name, _, _, value, *_ in known} | {"kmeans_init": "false"}
    for name in VectorQuantOptions.__annotations__:
        value = initial.get(name, "")
        default = {"true": "True", "false": "False", "": "None"}.get(value, value)
        assert re.search(rf"\b{name}: [^=]*= {re.escape(default)}[,)]", text), (name, default)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: nn.Linear(3, 4, biass=True),
            "[linear] unknown option 'biass': did you mean 'bias'?",
        ),
        (
            lambda: vq.GroupVectorQuant(8, 4, groups=2, share=True),
            "[group_vector_quant] unknown option 'share': did you mean 'shared'?",
        ),
        (
            lambda: vq.kmeans(np.ones((3, 1)), 1, iteration=3),
            "[kmeans] unknown option 'iteration': did you mean 'iterations'?",
        ),
        (
            lambda: optim.SGD([], lr=1.0, momentun=0.9),
            "[sgd] unknown option 'momentun': did you mean 'momentum'?",
        ),
        (
            lambda: optim.RMSprop([], lr=1.0, alfa=0.9),
            "[rmsprop] unknown option 'alfa': did you mean 'alpha'?",
        ),
        (
            lambda: nn.functional.mse_loss(vq.Tensor([1.0]), targets=1),
            "[mse_loss] unknown option 'targets': did you mean 'target'?",
        ),
    ],
)
def test_a_misspelt_name_is_told_with_the_nearest(call: Callable[[], object], text: str) -> None:
    with pytest.raises(TypeError, match=re.escape(text)):
        call()


def test_what_is_shown_can_be_called() -> None:
    for shown in (
        nn.LayerNorm(4),
        vq.SQVAEQuant(3, 4, temperature=0.3),
        vq.GumbelQuant(4, 8, temperature_min=0.5),
        vq.VectorQuant(4, 8, replace_freq=np.int64(3)),
        vq.Generator(3),
    ):
        text = repr(shown)
        names = {**vars(nn), **vars(vq)}
        assert repr(eval(text.replace(", counter=0", ""), names)) == text
    optimizer = optim.AdamW(nn.Linear(2, 2).parameters(), lr=0.5)
    assert repr(optimizer).startswith("AdamW(lr=0.5, betas=(0.9, 0.999), ")
    assert repr(optim.cosine_schedule(10)).startswith("cosine_schedule(total_steps=10, ")


@pytest.mark.parametrize(
    ("family", "kind", "make"),
    [
        ("optimizer", "sgd", optim.SGD),
        ("optimizer", "adam", optim.Adam),
        ("optimizer", "adamw", optim.AdamW),
        ("optimizer", "rmsprop", optim.RMSprop),
        ("optimizer", "adagrad", optim.Adagrad),
        ("optimizer", "lion", optim.Lion),
        ("optimizer", "adafactor", optim.Adafactor),
        ("optimizer", "muon", optim.Muon),
        ("schedule", "constant", optim.constant_schedule),
        ("schedule", "step", optim.step_schedule),
        ("schedule", "cosine", optim.cosine_schedule),
        ("schedule", "exponential", optim.exponential_schedule),
        ("schedule", "multistep", optim.multistep_schedule),
        ("schedule", "one_cycle", optim.one_cycle_schedule),
        ("estimator", "cosine", vq.estimators.cosine),
        ("estimator", "reste", vq.estimators.reste),
        ("estimator", "ewgs", vq.estimators.ewgs),
        ("estimator", "ede", vq.estimators.ede),
    ],
)
def test_other_kinds_have_the_defaults_of_the_core(
    family: str, kind: str, make: Callable[..., Any]
) -> None:
    known = {name: initial for name, _, _, initial, *_ in _core.kind_options(family, kind)}
    told = {
        name: parameter.default
        for name, parameter in inspect.signature(make).parameters.items()
        if isinstance(parameter.default, (bool, int, float, tuple)) and name in known
    }
    assert told
    for name, default in told.items():
        initial = known[name].capitalize() if isinstance(default, bool) else known[name]
        assert ast.literal_eval(initial) == (
            list(default) if isinstance(default, tuple) else default
        )
