"""The networks of the examples train as the same ones in PyTorch from the same weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
from benchmarks import _torch_networks as theirs  # noqa: E402

Batch = tuple[np.ndarray, ...]


@pytest.fixture(autouse=True)
def one_thread(threads: Callable[[int], None]) -> Iterator[None]:
    """Threads of both that wait for work would take the cores from each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    threads(1)
    yield
    torch.set_num_threads(before)


def example(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def codec() -> tuple[Any, Any, Callable[..., Any], Iterator[Batch]]:
    module, rng = example("codec"), np.random.default_rng(0)
    batches = ((module.sounds(4, 512, rng),) for _ in range(1000))
    return module.Codec(), theirs.Codec(), module.loss_of, batches


def vit() -> tuple[Any, Any, Callable[..., Any], Iterator[Batch]]:
    from sklearn.datasets import load_digits

    module, rng, digits = example("vit"), np.random.default_rng(0), load_digits()
    images = (digits.images[..., None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int32)
    places = (rng.integers(len(images), size=64) for _ in range(1000))
    batches = ((images[place], labels[place]) for place in places)
    return module.VisionTransformer(), theirs.VisionTransformer(), module.loss_of, batches


def vqgan() -> tuple[Any, Any, Callable[..., Any], Iterator[Batch]]:
    module, rng = example("vqgan"), np.random.default_rng(0)
    images = module.digits()
    batches = ((images[rng.integers(1500, size=16)],) for _ in range(1000))
    return module.VQGAN(), theirs.VQGAN(), module.loss_of, batches


def code_transformer() -> tuple[Any, Any, Callable[..., Any], Iterator[Batch]]:
    module, rng = example("code_transformer"), np.random.default_rng(0)
    sequences, _ = module.digits_as_codes()
    batches = ((sequences[rng.integers(1500, size=32)],) for _ in range(1000))
    twin = theirs.CodeTransformer(module.CODES)
    return module.CodeTransformer(), twin, module.loss_of, batches


def code_gru() -> tuple[Any, Any, Callable[..., Any], Iterator[Batch]]:
    module, rng = example("code_gru"), np.random.default_rng(0)
    sequences, _ = module.digits_as_codes()
    batches = ((sequences[rng.integers(1500, size=32)],) for _ in range(1000))
    return module.CodeGRU(), theirs.CodeGRU(module.CODES), module.loss_of, batches


def load(ours: vq.nn.Module, twin: Any) -> None:
    """Our weights into torch's modules, strictly."""
    state = {}
    for name, value in ours.state_dict().items():
        if name.startswith("quantizer."):
            place, _, kind = name.removeprefix("quantizer.").rpartition(".")
            # A quantizer of one stage does not number it.
            name = f"quantizer.codebooks.{place or 0}" if kind == "codebook" else ""
        name = name.replace("weight_g", "parametrizations.weight.original0")
        name = name.replace("weight_v", "parametrizations.weight.original1")
        if name:
            state[name] = torch.from_numpy(np.array(value))
    twin.load_state_dict(state, strict=True)


@pytest.mark.parametrize("make", [codec, vit, vqgan, code_transformer, code_gru])
def test_trains_as_in_torch(make: Callable[[], Any]) -> None:
    """Equal losses for ten steps, and after a hundred both are as good."""
    vq.manual_seed(0)
    ours, twin, loss_of, batches = make()
    load(ours, twin)
    # A smaller eps makes steps of full length of gradients that are rounding alone, as those of
    # biases in front of a norm.
    options = {"lr": 1e-3, "weight_decay": 0.01, "eps": 1e-4}
    own = vq.optim.AdamW(ours.parameters(), **options)
    other = torch.optim.AdamW(twin.parameters(), **options)
    losses = []
    for _ in range(100):
        batch = next(batches)
        loss, expected = loss_of(ours, *batch), twin.loss(*map(torch.from_numpy, batch))
        for optimizer, value in ((own, loss), (other, expected)):
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        losses.append((loss.item(), expected.item()))
    pairs = np.array(losses)
    np.testing.assert_allclose(pairs[:10, 0], pairs[:10, 1], rtol=2e-4)
    late = pairs[-20:].mean(0)
    assert late[0] < 0.9 * pairs[0, 0]
    assert 0.9 < late[0] / late[1] < 1.1
