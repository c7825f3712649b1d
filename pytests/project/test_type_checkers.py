"""What a type checker knows of a program: results of calls, and names that are misspelt."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import estimators, models, nn, optim

pytest.importorskip("mypy")

#: Modules whose calls give what other modules, known at run time only, give.
OPEN = {"Module", "ModuleList", "ModuleDict"}
HOLDERS = {
    "vq.nn": nn,
    "vq": vq.quantizers,
    "vq.models": models,
    "vq.estimators": estimators,
}
CLASSES: dict[str, type[nn.Module]] = {
    f"{prefix}.{name}": value
    for prefix, holder in HOLDERS.items()
    for name, value in vars(holder).items()
    if inspect.isclass(value)
    and issubclass(value, nn.Module)
    and not name.startswith("_")
    and hasattr(vq if prefix == "vq" else holder, name)
    and (prefix != "vq.models" or value.__module__ == models.__name__)
}
SIZES: dict[str, Any] = {"kernel_size": 2, "groups": 1, "num_heads": 1, "levels": [4], "scale": 2}
SIZES |= {
    "output_size": 1,
    "stages": 2,
    "bits": 2,
    "bound": 1.0,
    "nhead": 1,
    "unflattened_size": (2, 2),
}
SIZES |= {"upscale_factor": 2, "downscale_factor": 2}


def required(function: Any) -> list[inspect.Parameter]:
    """Parameters that a caller must give."""
    parameters = [*inspect.signature(function).parameters.values()][1:]
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for p in parameters if p.default is p.empty and p.kind not in fixed]


def arguments(function: Any) -> str:
    """Anything for each of them."""
    given = [f"{p.name}=a" if p.kind is p.KEYWORD_ONLY else "a" for p in required(function)]
    return ", ".join(given)


def checked(lines: list[str], folder: Path) -> list[str]:
    """What mypy says of each line, all in a function that has `a`, anything."""
    head = ["from typing import Any", "import numpy as np", "import vqswift as vq", ""]
    head += ["", "def program(a: Any) -> None:"]
    path = folder / "program.py"
    path.write_text("\n".join(head + [f"    {line}" for line in lines]) + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    done = subprocess.run(
        [*command, "--cache-dir", str(folder / "cache"), str(path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    said = [""] * len(lines)
    for number, text in re.findall(r"program\.py:(\d+): (.*)", done.stdout):
        said[int(number) - len(head) - 1] += text + "\n"
    return said


def test_the_result_of_every_layer_is_known(mypy_folder: Path) -> None:
    names = [name for name in CLASSES if name.rpartition(".")[2] not in OPEN]
    assert len(names) > 70
    calls = [
        f"reveal_type({name}.__new__({name})({arguments(CLASSES[name].forward)}))" for name in names
    ]
    for name, said in zip(names, checked(calls, mypy_folder), strict=True):
        if name == "vq.nn.Sequential":
            continue
        assert 'Revealed type is "' in said and "error" not in said, (name, said)
        assert re.search(r"\bAny\b", said) is None, (name, said)


def test_a_misspelt_name_of_every_layer_is_an_error(mypy_folder: Path) -> None:
    uses = [f"{name}.__new__({name}).wieght" for name in CLASSES]
    uses += [f"{name}.__new__({name}).forwrad(a)" for name in CLASSES]
    for use, said in zip(uses, checked(uses, mypy_folder), strict=True):
        assert "[attr-defined]" in said, (use, said)


def small(kind: type[nn.Module]) -> nn.Module | None:
    """A layer of sizes that fit; None where it is made of what has no size."""
    given = {
        p.name: SIZES.get(p.name, 4)
        for p in required(kind.__init__)
        if p.annotation != "Module" and p.name != "quantizer"
    }
    return kind(**given) if len(given) == len(required(kind.__init__)) else None


def with_tensors() -> Iterator[nn.Module]:
    """A layer of each kind, and those whose options bring further tensors."""
    for kind in CLASSES.values():
        if kind not in (nn.Module, nn.Sequential, nn.Upsample, vq.quantizers.Quantizer):
            layer = small(kind)
            if layer is not None:
                yield layer
    yield nn.InstanceNorm(4, affine=True)
    yield nn.WeightNorm(nn.Linear(4, 4))
    options: list[dict[str, Any]] = [
        {"affine": "learned"},
        {"affine": "ema", "ema_decay": 0.9},
        {"ema_decay": 0.9, "ema_manual": True},
        {"simvq": True},
        {"temperature": 1.0},
        {"kmeans_init": True, "kmeans_freq": 3},
    ]
    for option in options:
        yield vq.VectorQuant(4, 8, **option)
    yield vq.VectorQuant(4, 8, sync_nu=1.0, inplace_optimizer=lambda p: optim.SGD(p, lr=0.1))


def test_every_tensor_of_a_layer_is_known(mypy_folder: Path) -> None:
    kinds = {kind: name for name, kind in CLASSES.items()}
    uses = set()
    for layer in with_tensors():
        own = [*layer._own_parameters(True), *layer._own_buffers(), *layer._own_optional_buffers()]
        name = kinds[type(layer)]
        uses |= {f"reveal_type({name}.__new__({name}).{n})" for n, _ in own if "." not in n}
    lines = sorted(use for use in uses if "_l1" not in use and "_reverse" not in use)
    assert len(lines) > 60
    for line, said in zip(lines, checked(lines, mypy_folder), strict=True):
        assert re.search(r'Revealed type is ".*(Tensor|Parameter|float)', said), (line, said)
        assert "error" not in said, (line, said)


MISSPELT = {
    "info": "vq.VectorQuant(2, 4)(a)[1].perplexty",
    "output": "vq.VectorQuant(2, 4)(a)[0].shpae",
    "sequence": "vq.nn.Sequential(vq.nn.ReLU(), vq.nn.Tanh())(a).shpae",
    "tuple": "vq.nn.Sequential(vq.nn.ReLU(), vq.FSQ([5]))(a)[1].perplexty",
    "state": "vq.nn.LSTM(2, 2)(a)[1][0].shpae",
    "model": "vq.models.SQVAE(a)(a)[1].perplexty",
    "part": "vq.models.SQVAE(a).encodr",
    "clusters": "vq.kmeans(a, 2).centroid",
    "sorted": "vq.Tensor(a).sort().value",
    "gap": "vq.metrics.gradient_gap(a, a).totl",
    "package": "vq.nn.Liner(2, 2)",
    "function": "vq.nn.functional.sofmax(a)",
    "dtype": "vq.bfloat61",
    "setting": "vq.optim.SGD(a).mometum",
}
WRONG = {
    "option": "vq.VectorQuant(2, 4, bta=0.5)",
    "keyword": "vq.nn.Linear(2, 4, bais=False)",
    "call": "vq.nn.LSTM(2, 2)(a, a, a)",
    "mask": "vq.FSQ([5])(a, maks=a)",
    "layer": "vq.nn.Sequential(vq.nn.ReLU(), 3)",
}


def test_what_is_misspelt_or_wrong_is_an_error(mypy_folder: Path) -> None:
    said = checked([*MISSPELT.values(), *WRONG.values()], mypy_folder)
    for use, text in zip([*MISSPELT, *WRONG], said, strict=True):
        names, arguments = r"\[(attr|name)-defined\]", r"\[(call-arg|arg-type|call-overload)\]"
        rule = names if use in MISSPELT else arguments
        assert re.search(rule, text), (use, text)


def test_every_setting_of_an_optimizer_is_declared() -> None:
    kinds = [kind for kind in vars(optim).values() if inspect.isclass(kind)]
    kinds = [kind for kind in kinds if issubclass(kind, optim.Optimizer)]
    assert len(kinds) > 8
    for kind in kinds:
        if kind is optim.Optimizer:
            continue
        optimizer = kind([vq.Tensor(np.eye(2), requires_grad=True)])
        declared = {n for base in kind.__mro__ for n in vars(base).get("__annotations__", ())}
        assert set(optimizer._settings) <= declared, kind


OWN = """
class Model(vq.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = vq.nn.Sequential(vq.nn.Linear(2, 2), vq.nn.ReLU())
        self.quantizer = vq.VectorQuant(2, 4)
    def forward(self, x: vq.Tensor, scale: float = 1.0) -> tuple[vq.Tensor, vq.QuantizerInfo]:
        z_q, info = self.quantizer(self.layers(x) * scale)
        return z_q, info
model = Model()
model.layrs
model(a)[1].perplexty
model(a, sclae=2.0)
reveal_type(model(a, scale=2.0))
reveal_type(model.train().layers(a))
reveal_type([*model.named_parameters()][0][1].grad)
reveal_type(vq.autograd.checkpoint(model.layers, a))
"""


def test_a_model_of_ones_own(mypy_folder: Path) -> None:
    lines = OWN.strip().splitlines()
    said = dict(zip(lines, checked(lines, mypy_folder), strict=True))
    assert not any(said[line] for line in lines[: lines.index("model = Model()")])
    assert '"layrs"' in said["model.layrs"] and '"perplexty"' in said["model(a)[1].perplexty"]
    assert "[call-arg]" in said["model(a, sclae=2.0)"]
    assert (
        "tuple[vqswift._tensor.Tensor, vqswift.quantizers._base.QuantizerInfo]"
        in (said["reveal_type(model(a, scale=2.0))"])
    )
    for line in lines[-3:]:
        assert "_tensor.Tensor" in said[line], (line, said[line])
