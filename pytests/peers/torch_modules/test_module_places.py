"""Layers, their inputs and their state on several devices, of which "meta" is one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift as vq  # noqa: E402
import vqswift.torch as vqt  # noqa: E402
from family import FAMILY, D, K, vectors  # noqa: E402
from vqswift.torch import converters, estimators, lucidrains, vqtorch  # noqa: E402
from vqswift.torch._memory import refresh  # noqa: E402

STATELESS = ("FSQ", "LFQ")
every = pytest.mark.parametrize("name", [name for name in FAMILY if name not in STATELESS])
SGD = functools.partial(torch.optim.SGD, lr=0.1)


def elsewhere(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, device="meta", dtype=dtype)


# MARK: Layers and inputs apart


@every
def test_a_layer_and_vectors_on_two_devices_are_told(name: str) -> None:
    there, here = FAMILY[name]().to("meta"), FAMILY[name]()
    for call in (there, there.eval(), there.encode):
        with pytest.raises(ValueError, match=r"the layer is on meta, z on cpu: move one"):
            call(vectors(5, D))
    for call in (here, here.eval(), here.encode):
        with pytest.raises(ValueError, match=r"the layer is on cpu, z on meta: move one"):
            call(elsewhere(5, D))


@every
def test_a_layer_and_codes_on_two_devices_are_told(name: str) -> None:
    module = FAMILY[name]()
    codes = torch.zeros([5, *module._plan.axes], dtype=torch.int64)
    with pytest.raises(ValueError, match="the layer is on cpu, codes on meta: move one"):
        module.decode(codes.to("meta"))
    with pytest.raises(ValueError, match="the layer is on meta, codes on cpu: move one"):
        module.to("meta").decode(codes)


def test_a_layer_on_two_devices_is_told() -> None:
    module = vqt.VectorQuant(D, K, affine_lr=0.5)
    module.affine_scale = torch.nn.Parameter(module.affine_scale.detach().to("meta"))
    for call in (module, module.encode):
        with pytest.raises(ValueError, match="the layer is on meta, z on cpu: move one"):
            call(vectors(5, D))


def test_a_layer_that_steps_in_place_is_left_as_it_was() -> None:
    module = vqt.VectorQuant(D, K, inplace_optimizer=SGD)
    before = module.codebook.detach().clone()
    with pytest.raises(ValueError, match="the layer is on cpu, z on meta"):
        module(elsewhere(5, D))
    assert torch.equal(module.codebook, before)


@pytest.mark.parametrize("given", ["mask", "lengths", "logvar"])
def test_what_goes_with_vectors_is_where_they_are(given: str) -> None:
    values = {
        "mask": torch.ones(2, 5, dtype=torch.bool),
        "lengths": torch.tensor([5, 3]),
        "logvar": torch.zeros(2, 5, D),
    }
    module = vqt.SQVAEQuant(D, K, kind="IV")
    calls: list[Callable[..., Any]] = [module, module.encode]
    if given != "logvar":
        module = vqt.VectorQuant(D, K)
        calls = [module, module.encode, module.fit]
    for call in calls:
        with pytest.raises(ValueError, match=rf"{given} is on meta, z on cpu: move one"):
            call(vectors(2, 5, D), **{given: values[given].to("meta")})


def test_the_core_reads_the_cpu_s_elements_alone() -> None:
    handle = vq.Tensor(vectors(3).numpy())._handle
    with pytest.raises(RuntimeError, match=r"\[refresh\] a tensor on meta"):
        refresh(handle, elsewhere(3))


def test_searches_of_two_devices_are_told() -> None:
    x, there = vectors(9, D), elsewhere(K, D)
    with pytest.raises(ValueError, match=r"\[nearest_codes\] codebook is on meta, x on cpu"):
        vqt.nearest_codes(x, there)
    with pytest.raises(ValueError, match=r"\[nearest_codes\] codebook is on cpu, x on meta"):
        vqt.nearest_codes(there, x)
    with pytest.raises(ValueError, match=r"\[kmeans\] init is on meta, x on cpu"):
        vqt.kmeans(x, K, init=there)


# MARK: What the kernels alone do


def test_what_is_done_on_the_cpu_alone_says_how() -> None:
    module = vqt.VectorQuant(D, K, ema_decay=0.9).to("meta")
    for name, call in (
        ("fit", lambda: module.fit(elsewhere(9, D))),
        ("update", module.update),
        ("assign", lambda: module.assign(vectors(K, D))),
    ):
        told = rf"\[vector_quant\.{name}\] the layer is on meta: move it to the CPU, {name}, and"
        with pytest.raises(NotImplementedError, match=told):
            call()
    module = vqt.VectorQuant(D, K)
    for name, call in (
        ("fit", lambda: module.fit(elsewhere(9, D))),
        ("assign", lambda: module.assign(elsewhere(K, D))),
    ):
        told = rf"\[vector_quant\.{name}\] the layer is on cpu, what is given on meta: move one"
        with pytest.raises(ValueError, match=told):
            call()


def test_weights_are_quantized_on_the_cpu() -> None:
    quantizer = estimators.WeightQuantizer(2, 1.0)
    with pytest.raises(NotImplementedError, match="the weight is on meta"):
        quantizer(elsewhere(3, 4))
    with pytest.raises(NotImplementedError, match="the bound is on meta"):
        quantizer.to("meta")(vectors(3, 4))


# MARK: Default devices


MADE: dict[str, Callable[[], Any]] = {
    **FAMILY,
    "stepped in place": lambda: vqt.VectorQuant(D, K, inplace_optimizer=SGD),
    "VectorQuantize": lambda: lucidrains.VectorQuantize(dim=D, codebook_size=K, codebook_dim=3),
    "ResidualVQ": lambda: lucidrains.ResidualVQ(dim=D, codebook_size=K, num_quantizers=2),
    "lucidrains FSQ": lambda: lucidrains.FSQ([8, 5, 4], dim=D),
    "lucidrains LFQ": lambda: lucidrains.LFQ(codebook_size=K, dim=D),
    "lucidrains SimVQ": lambda: lucidrains.SimVQ(dim=D, codebook_size=K),
    "vqtorch": lambda: vqtorch.VectorQuant(D, K),
    "weights": lambda: estimators.WeightQuantizer(2, 1.0),
}


@pytest.mark.parametrize("name", MADE)
def test_a_layer_is_made_where_torch_says(name: str) -> None:
    with torch.device("meta"):
        module = MADE[name]()
    state = [*module.parameters(), *module.buffers()]
    assert all(tensor.is_meta for tensor in state)
    assert all(
        not tensor.is_meta
        for tensor in MADE[name]().state_dict().values()
        if torch.is_tensor(tensor)
    )


def test_a_converted_layer_is_made_where_torch_says() -> None:
    books = [(vectors(K, D), torch.ones(K), vectors(K, D))]
    here = converters._layer("from_encodec", books, {})
    assert torch.equal(here.codebooks[0], books[0][0])
    with torch.device("meta"):
        assert converters._layer("from_encodec", books, {}).codebooks[0].is_meta


@every
def test_another_default_device_leaves_a_layer_on_the_cpu_alone(name: str) -> None:
    module, twin = FAMILY[name](), FAMILY[name]()
    z = vectors(3, 8, D).requires_grad_()
    expected = twin(z)
    with torch.device("meta"):
        z_q, info = module(z)
        (z_q.sum() + info.loss).backward()
        module.decode(info.q)
    assert torch.equal(z_q, expected[0])


def test_another_default_device_leaves_steps_in_place_alone() -> None:
    module, twin = (vqt.VectorQuant(D, K, seed=1, inplace_optimizer=SGD) for _ in range(2))
    z = vectors(40, D)
    with torch.device("meta"):
        module(z)
    twin(z)
    assert torch.equal(module.codebook, twin.codebook)
