"""Networks in folders: every model and quantizer comes back, and nothing else does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn, optim
from vqswift.nn import _pretrained

IMAGES = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
VECTORS = np.random.default_rng(1).standard_normal((2, 6, 8)).astype(np.float32)
DIGITS = np.random.default_rng(2).random((2, 28, 28, 1), np.float32)

MODELS: dict[str, tuple[Callable[[], nn.Module], np.ndarray]] = {
    "SQVAE": (
        lambda: vq.models.SQVAE(
            vq.SQVAEQuant(8, 16, kind="II"), image_size=64, width=8, start="sqvae"
        ),
        IMAGES,
    ),
    "AlexNet": (
        lambda: vq.models.AlexNet(
            vq.VectorQuant(8, 5), classes=3, width=2, hidden=4, image_size=32, dropout=0.25
        ),
        IMAGES,
    ),
    "ResNet18": (lambda: vq.models.ResNet18(None, classes=3, width=4, small_images=True), IMAGES),
    "ResNet50": (lambda: vq.models.ResNet50(3, small_images=True), IMAGES),
    "VisionTransformer": (
        lambda: vq.models.VisionTransformer(
            vq.LFQ(4), image_size=32, patch_size=8, classes=3, width=4, depth=2, heads=2, hidden=4,
            quantized_after=1,
        ),
        IMAGES,
    ),
    "VQGAN": (
        lambda: vq.models.VQGAN(
            vq.VectorQuant(8, 5), width=8, multipliers=(1, 2), features=8, groups=4, attention=True
        ),
        IMAGES,
    ),
    "MaskGIT": (
        lambda: vq.models.MaskGIT(
            5, 6, classes=2, width=8, depth=2, heads=2, hidden=8, norm_first=True
        ),
        np.array([[0, 1, -1, 2, 4, -1]], np.int32),
    ),
    "PatchDiscriminator": (lambda: vq.models.PatchDiscriminator(width=4, layers=2), IMAGES),
    "mnist_net_a": (vq.models.mnist_net_a, DIGITS),
    "mnist_net_b": (vq.models.mnist_net_b, DIGITS),
}  # fmt: skip
QUANTIZERS: dict[str, Callable[[], vq.Quantizer]] = {
    "FSQ": lambda: vq.FSQ([8, 5, 5, 3, 2, 2, 2, 2]),
    "GroupVectorQuant": lambda: vq.GroupVectorQuant(8, 5, groups=2, ema_decay=0.9, norm="l2"),
    "GumbelQuant": lambda: vq.GumbelQuant(8, 5, code_size=3, temperature_decay=0.9, hard=True),
    "LFQ": lambda: vq.LFQ(8, entropy_weight=1, dim=-1),
    "ResidualVectorQuant": lambda: vq.ResidualVectorQuant(
        8, 5, stages=3, kmeans_init=True, affine="ema", quantizer_dropout=0.5
    ),
    "SQVAEQuant": lambda: vq.SQVAEQuant(8, 5, seed=2**64 - 1),
    "VectorQuant": lambda: vq.VectorQuant(
        8, 5, code_size=4, simvq=True, temperature=0.5, seed=3, replace_freq=1
    ),
}
EVERY: dict[str, tuple[Callable[[], nn.Module], np.ndarray]] = {
    **MODELS,
    **{name: (make, VECTORS) for name, make in QUANTIZERS.items()},
    **{
        f"recipe {name}": (partial(vq.recipes.get(name).build, 8, 5), VECTORS)
        for name in vq.recipes.names()
    },
}


def output(model: nn.Module, x: np.ndarray) -> np.ndarray:
    found: Any = model(x)
    values: np.ndarray = (found[0] if isinstance(found, tuple) else found).numpy()
    return values


def config_of(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())


def test_every_model_and_every_quantizer_is_here() -> None:
    kinds = {
        name
        for name in vq.models.__all__
        if name.startswith("mnist") or isinstance(getattr(vq.models, name), type)
    }
    assert MODELS.keys() == kinds
    kinds = {
        name
        for name in vq.quantizers.__all__
        if isinstance(kind := getattr(vq, name), type) and issubclass(kind, vq.Quantizer)
    }
    assert QUANTIZERS.keys() == kinds - {"Quantizer"}


@pytest.mark.parametrize("name", EVERY)
def test_what_comes_back_is_what_was_saved(name: str, tmp_path: Path) -> None:
    make, x = EVERY[name]
    vq.manual_seed(1)
    model = make()
    output(model, x)  # a training forward: running moments, starts of codebooks
    model.save_pretrained(tmp_path)
    vq.manual_seed(99)
    back = type(model).from_pretrained(tmp_path)
    assert type(back) is type(model) and repr(back) == repr(model)
    assert not back.training and model.training
    for one, other in zip(model.modules(), back.modules(), strict=True):
        assert other.options == one.options
    state = back.state_dict()
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(state[key], value)
    assert back.fingerprint() == model.fingerprint()
    assert output(back, x).tobytes() == output(model.eval(), x).tobytes()
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "config.json"}


def test_the_configuration_is_plain_json(tmp_path: Path) -> None:
    vq.models.SQVAE(vq.FSQ([4, 4]), width=2, image_size=28).save_pretrained(tmp_path)
    assert config_of(tmp_path) == {
        "library": "vqswift",
        "version": vq.__version__,
        "class": "SQVAE",
        "arguments": {
            "quantizer": {"class": "FSQ", "arguments": {"levels": [4, 4], "dim": -1}},
            "image_size": 28,
            "channels": 3,
            "width": 2,
            "start": "torch",
        },
    }


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(optim).values()
        if isinstance(kind, type)
        and issubclass(kind, optim.Optimizer)
        and kind.__name__ != "Optimizer"
    ],
)
def test_an_optimizer_in_place_comes_back(kind: Any, tmp_path: Path) -> None:
    layer = vq.ResidualVectorQuant(8, 5, stages=2, inplace_optimizer=lambda p: kind(p, lr=0.25))
    layer.save_pretrained(tmp_path)
    back = vq.ResidualVectorQuant.from_pretrained(tmp_path)
    assert repr(back.inplace_optimizers) == repr(layer.inplace_optimizers)
    layer.eval().train(), back.train()
    assert output(back, VECTORS).tobytes() == output(layer, VECTORS).tobytes()
    np.testing.assert_array_equal(back.codebooks[1].numpy(), layer.codebooks[1].numpy())


class Block(nn.Module):
    def __init__(self, size: int, bias: bool = True) -> None:
        super().__init__()
        self.config = {"size": size, "bias": bias}
        self.layer = nn.Linear(size, size, bias)

    def forward(self, x: Any) -> Any:
        return self.layer(x)


class Own(nn.Module):
    def __init__(self, quantizer: vq.Quantizer, blocks: tuple[Block, ...], rates: Any = ()) -> None:
        super().__init__()
        self.quantizer, self.blocks, self.rates = quantizer, blocks, rates

    @property
    def config(self) -> dict[str, Any]:
        return {"quantizer": self.quantizer, "blocks": self.blocks, "rates": self.rates}

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.quantizer(x)


def own() -> Own:
    return Own(vq.VectorQuant(8, 4), (Block(8), Block(8, False)), {"a": (1, 0.5, None)})


def test_an_own_network_says_its_arguments(tmp_path: Path) -> None:
    model = own()
    model.save_pretrained(tmp_path)
    back = Own.from_pretrained(tmp_path, classes=[Block])
    assert back.rates == {"a": (1, 0.5, None)} and len(back.blocks) == 2
    assert output(back, VECTORS).tobytes() == output(model.eval(), VECTORS).tobytes()
    with pytest.raises(ValueError, match=r"class = 'Block' of Own.blocks\[0\]: it must be one of"):
        Own.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"class = 'Own' of the configuration"):
        nn.Module.from_pretrained(tmp_path)
    told = r"^\[from_pretrained\] an item of classes is a test_pretrained.Block: a class of modules"
    with pytest.raises(TypeError, match=told):
        Own.from_pretrained(tmp_path, classes=[Block(8)])  # type: ignore[list-item]


class Silent(nn.Module):
    pass


class Stale(Block):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.config = {"size": size + 1}


def tied() -> nn.Module:
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.Tanh(), layer)


def spoiled() -> nn.Module:
    layer = nn.Linear(2, 2)
    layer.bias.assign(np.array([0, np.nan], np.float32))
    return layer


class Sequential(nn.Sequential[Any]):
    """A name that the package has."""


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Silent, r"Silent has no config: an attribute or property with the arguments"),
        (lambda: Stale(2), r"Stale: its config makes another module: in layer.bias, layer.weight"),
        (lambda: Own(vq.LFQ(2), (), float("inf")), r"Own.config\['rates'\] = inf: JSON has finite"),
        (lambda: Own(vq.LFQ(2), (), {1: 2}), r"Own.config\['rates'\] has the key 1: a text is"),
        (lambda: Own(vq.LFQ(2), (), print), r"Own.config\['rates'\] is a builtin_function_or_"),
        (lambda: Own(vq.LFQ(2), (), {"class": 1}), r"\['rates'\] has the key 'class' or 'optimi"),
        (lambda: Sequential(nn.Tanh()), r"Sequential: vqswift has a class of this name"),
        (lambda: vq.estimators.quantize_model(nn.Linear(2, 2)), r"in weight quantizers of the mod"),
        (tied, r"Sequential: its config makes another module: in 2.bias, 2.weight$"),
        (spoiled, r"Linear: \[load_state_dict\] bias.*nan"),
        (lambda: nn.Sequential(nn.Conv3d(1, 1, 1)), r"Conv3d has no config"),
    ],
)
def test_what_would_not_come_back_is_not_saved(
    make: Callable[[], nn.Module], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"^\[save_pretrained\] .*" + told):
        make().save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def write_config(folder: Path, text: str) -> None:
    arrays, _ = vq.load(folder / "model.safetensors")
    vq.save(folder / "model.safetensors", arrays, {"config": text})
    (folder / "config.json").write_text(text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update({"class": "os.system"}), r"class = 'os.system' of the configuration: "),
        (lambda c: c.update({"class": "Module"}), r"class = 'Module' of the configuration: it "),
        (lambda c: c.update({"class": ["FSQ"]}), r"class = \['FSQ'\] of the configuration: it mus"),
        (lambda c: c.update({"extra": 1}), r"the configuration has the unknown keys \['extra'\]"),
        (lambda c: c.update({"library": "other"}), r"the configuration has no 'library': 'vqswif"),
        (lambda c: c.pop("class"), r"the configuration names no 'class'"),
        (lambda c: c.update({"arguments": 3}), r"arguments of VectorQuant = 3: an object is requ"),
        (lambda c: c["arguments"].update({"colour": 1}), r"VectorQuant has no arguments \['colou"),
        (lambda c: c["arguments"].update({"beta": 7.0}), r"VectorQuant: \[vector_quant\] beta = 7"),
        (
            lambda c: c["arguments"].update({"num_codes": "x"}),
            r"VectorQuant: \[vector_quant\] num_codes = 'x'",
        ),
        (lambda c: c["arguments"].update({"num_codes": 2**80}), r"VectorQuant: .*num_codes"),
        (lambda c: c["arguments"].update({"num_codes": 6}), r"\[load_state_dict\] codebook"),
        (lambda c: c.update({"drawn_from": ["1", "-2"]}), r"drawn_from of the configuration = \["),
        (
            lambda c: c["arguments"].update({"inplace_optimizer": {"optimizer": "eval"}}),
            r"optimizer = 'eval' of VectorQuant.inplace_optimizer: it must be one of vqswift's",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(
    change: Callable[[Any], Any], told: str, tmp_path: Path
) -> None:
    vq.VectorQuant(4, 5).save_pretrained(tmp_path)
    config = config_of(tmp_path)
    change(config)
    write_config(tmp_path, json.dumps(config))
    vq.manual_seed(5)
    with pytest.raises(ValueError, match=r"^\[from_pretrained\] " + str(tmp_path) + ": " + told):
        nn.Module.from_pretrained(tmp_path)
    drawn = nn.Linear(2, 2).weight.numpy()
    vq.manual_seed(5)
    np.testing.assert_array_equal(drawn, nn.Linear(2, 2).weight.numpy())


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"class": 1, "class": 2}', '{"a": NaN}', "[" * 10**5, "null", "\0"]
)
def test_what_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    vq.LFQ(4).save_pretrained(tmp_path)
    arrays, _ = vq.load(tmp_path / "model.safetensors") if vq.LFQ(4).state_dict() else ({}, {})
    vq.save(tmp_path / "model.safetensors", arrays)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"^\[from_pretrained\] .*the configuration "):
        nn.Module.from_pretrained(tmp_path)


def test_another_class_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        nn.Module.from_pretrained(tmp_path / "nowhere")
    nn.Linear(2, 3).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"it holds a Linear: a SQVAE is required$"):
        vq.models.SQVAE.from_pretrained(tmp_path)
    arrays, _ = vq.load(tmp_path / "model.safetensors")
    vq.save(tmp_path / "model.safetensors", arrays)
    assert repr(nn.Module.from_pretrained(tmp_path)) == "Linear(2, 3)"  # by config.json alone
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no config\.json$"):
        nn.Module.from_pretrained(tmp_path)


def test_saving_changes_nothing_of_what_is_drawn_later(tmp_path: Path) -> None:
    drawn = []
    for saves in (False, True):
        vq.manual_seed(4)
        model = vq.models.SQVAE(vq.VectorQuant(2, 3), width=2, image_size=28)
        if saves:
            model.save_pretrained(tmp_path)
        drawn.append(nn.Linear(3, 3).weight.numpy())
    np.testing.assert_array_equal(*drawn)


def test_a_save_that_fails_leaves_a_folder_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = nn.Linear(2, 3), nn.Linear(3, 2)
    first.save_pretrained(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_pretrained, "save", full)
        with pytest.raises(OSError, match="No space"):
            second.save_pretrained(tmp_path)
    assert nn.Module.from_pretrained(tmp_path).fingerprint() == first.fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(_pretrained, "write_whole", full)
        with pytest.raises(OSError, match="No space"):
            second.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"config.json differs from what model.safetensors was"):
        assert nn.Module.from_pretrained(tmp_path).fingerprint() == second.fingerprint()


SAVES = """
import sys, vqswift as vq
models = [vq.nn.Linear(64, 64), vq.nn.Linear(64, 65)]
print(*(model.fingerprint().hex() for model in models), flush=True)
while True:
    for model in models:
        model.save_pretrained(sys.argv[1])
"""


@pytest.mark.filterwarnings("ignore:.*config.json differs")
def test_a_save_that_is_killed_leaves_a_folder_that_loads(tmp_path: Path) -> None:
    delays = np.random.default_rng(0).uniform(0, 0.05, 3)
    for delay in delays:
        command = [sys.executable, "-c", SAVES, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told = child.stdout.readline().split()
            while not (tmp_path / "config.json").exists():
                time.sleep(0.001)
            time.sleep(delay)
            child.send_signal(signal.SIGKILL)
        assert nn.Module.from_pretrained(tmp_path).fingerprint().hex() in told


def test_another_reader_of_safetensors_has_the_weights(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors")
    layer = nn.Linear(2, 3)
    layer.save_pretrained(tmp_path)
    with package.safe_open(tmp_path / "model.safetensors", "np") as file:
        assert json.loads(file.metadata()["config"]) == config_of(tmp_path)
        np.testing.assert_array_equal(file.get_tensor("weight"), layer.weight.numpy())
        assert {*file.keys()} == {"weight", "bias"}


def test_a_fingerprint_knows_every_bit(tmp_path: Path) -> None:
    layer = nn.Linear(2, 3)
    before = layer.fingerprint()
    assert len(before) == 32 and layer.fingerprint() == before
    weight = layer.weight.numpy().copy()
    weight[1, 1] = np.nextafter(weight[1, 1], np.float32(9))
    layer.weight.assign(weight)
    assert layer.fingerprint() != before
    assert nn.ReLU().fingerprint() != nn.Tanh().fingerprint()
    assert vq.FSQ([4, 2]).fingerprint() != vq.FSQ([2, 4]).fingerprint()
    assert Silent().fingerprint() != Block(1).fingerprint()
