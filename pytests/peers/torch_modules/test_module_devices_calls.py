"""Calls of every shape by the formulas for other devices, on the CPU, and what they compute."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import FAMILY, D, K, vectors  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from vqswift.torch import _device  # noqa: E402

LAYERS = {
    name: FAMILY[name]
    for name in ("plain", "rotation, projected", "SimVQ", "group", "shared group", "residual")
    + ("shared residual", "FSQ", "LFQ", "Gumbel", "SQ-VAE")
}
every = pytest.mark.parametrize("name", LAYERS)
kinds = {
    "one": lambda **o: vqt.VectorQuant(D, K, seed=1, **o),
    "group": lambda **o: vqt.GroupVectorQuant(D, K, groups=3, seed=1, **o),
    "shared group": lambda **o: vqt.GroupVectorQuant(D, K, groups=3, shared=True, seed=1, **o),
    "residual": lambda **o: vqt.ResidualVectorQuant(D, K, stages=3, seed=1, **o),
}
of_every_kind = pytest.mark.parametrize("kind", kinds)


def assert_alike(module: Any, z: torch.Tensor, mask: torch.Tensor | None = None) -> None:
    expected, wanted = module(z, mask=mask)
    with _device.forced():
        z_q, info = module(z, mask=mask)
        codes, decoded = module.encode(z, mask=mask), module.decode(info.q)
    assert z_q.shape == expected.shape
    torch.testing.assert_close(z_q, expected, rtol=1e-5, atol=1e-5)
    for field, ours, theirs in zip(info._fields, info, wanted, strict=True):
        assert ours.shape == theirs.shape, field
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5, msg=field)
    assert torch.equal(codes, module.encode(z, mask=mask))
    assert decoded.shape == module.decode(wanted.q).shape


@every
def test_a_vector_alone_is_quantized(name: str) -> None:
    module = LAYERS[name]().eval()
    assert_alike(module, vectors(D))
    for kept in (True, False):
        assert_alike(module, vectors(D), torch.tensor(kept))


@pytest.mark.parametrize("kind", ["II", "IV"])
def test_a_vector_alone_has_a_log_variance(kind: str) -> None:
    module = vqt.SQVAEQuant(D, K, kind=kind, seed=1).eval()
    z, spread = vectors(D), vectors(D, seed=1)
    with _device.forced():
        info = module(z, spread)[1]
    torch.testing.assert_close(info.loss, module(z, spread)[1].loss)


@every
def test_no_vector_is_quantized_in_evaluation(name: str) -> None:
    module = LAYERS[name]().eval()
    for shape in ((0, D), (3, 0, D)):
        assert_alike(module, torch.empty(shape))
    assert_alike(module, vectors(2, 3, D), torch.zeros(2, 3, dtype=torch.bool))


@of_every_kind
def test_codes_of_another_number_are_not_decoded(kind: str) -> None:
    module = kinds[kind]()
    for where in (_device.forced, contextlib.nullcontext):
        with where():
            for count in range(6):
                codes = torch.ones(2, count, dtype=torch.long)
                if kind == "one" or count == 3 or (kind == "residual" and count in (1, 2)):
                    assert module.decode(codes).shape[0] == 2
                    continue
                with pytest.raises(
                    ValueError, match=rf"\.decode\] shape \[2, {count}\]: the last axis must be 3"
                ):
                    module.decode(codes)


@pytest.mark.parametrize("index", [-2, K, 1 << 40])
@of_every_kind
def test_a_code_that_is_not_there_is_named(kind: str, index: int) -> None:
    with _device.forced(), pytest.raises(IndexError, match=rf"index {index} is outside"):
        kinds[kind]().decode(torch.full((2, 3), index))


@of_every_kind
def test_a_codebook_without_its_start_is_not_decoded(kind: str) -> None:
    module = kinds[kind](init="kmeans")
    codes = torch.zeros(2, 3, dtype=torch.long)
    for where in (_device.forced, contextlib.nullcontext):
        with where():
            for passing in (contextlib.nullcontext(), vqt.no_quantization(module)):
                with passing:
                    for call in (
                        lambda: module.decode(codes),
                        lambda: module.encode(vectors(9, D)),
                    ):
                        with pytest.raises(RuntimeError, match="waits for its start"):
                            call()
            with vqt.no_quantization(module):
                if kind == "residual":
                    with pytest.raises(RuntimeError, match="waits for its start"):
                        module(vectors(9, D))
                else:
                    assert module(vectors(9, D))[1].q.shape[0] == 9


@every
def test_codes_are_those_of_the_forward_where_vectors_pass(name: str) -> None:
    module = LAYERS[name]()
    z = vectors(3, 8, D)
    expected = module.encode(z)
    with vqt.no_quantization(module), _device.forced():
        assert torch.equal(module.encode(z), expected)


def test_vectors_of_another_size_than_codes_are_encoded_where_they_pass() -> None:
    module = vqt.GumbelQuant(D, K, code_size=3, seed=1)
    z = vectors(9, D)
    with vqt.no_quantization(module):
        expected = module.encode(z)
        with _device.forced():
            assert torch.equal(module.encode(z), expected)
            with pytest.raises(RuntimeError, match="cannot pass for codes of 3"):
                module(z)


class Watched(TorchDispatchMode):
    """Names of operations, and the elements of the largest tensor that one gave."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.names.append(func.__name__)
        for value in found if isinstance(found, (tuple, list)) else [found]:
            if torch.is_tensor(value):
                self.largest = max(self.largest, value.numel())
        return found


@pytest.mark.parametrize(
    ("make", "size"),
    [(lambda: vqt.FSQ([8] * 8), 8), (lambda: vqt.LFQ(24, entropy_weight=0.0), 24)],
    ids=["FSQ", "LFQ"],
)
def test_many_codes_take_no_memory_of_their_number(make: Any, size: int) -> None:
    module, z = make(), vectors(100, size)
    expected = module(z)[1]
    with _device.forced(), Watched() as watched:
        info = module(z)[1]
        module.encode(z)
    assert watched.largest <= 16 * z.numel()
    assert torch.equal(info.q, expected.q)
    torch.testing.assert_close(info.summary, expected.summary)
    torch.testing.assert_close(info.stage_perplexities, expected.stage_perplexities)


def test_many_codes_that_stages_share_are_counted_once() -> None:
    codes = 1 << 15
    module = vqt.ResidualVectorQuant(2, codes, stages=2, shared=True, seed=1).eval()
    with _device.forced():
        info = module(vectors(50, 2))[1]
    wanted = module(vectors(50, 2))[1]
    assert torch.equal(info.active_codes, wanted.active_codes)
    torch.testing.assert_close(info.perplexity, wanted.perplexity)


@every
def test_codes_alone_are_found_without_losses_and_counts(name: str) -> None:
    module = LAYERS[name]()
    with _device.forced(), Watched() as watched:
        module.encode(vectors(3, 8, D))
    seen = " ".join(watched.names)
    for unneeded in ("mse_loss", "bincount", "log2", "log_softmax"):
        assert unneeded not in seen


def test_a_start_reads_few_numbers_back() -> None:
    """A number that the CPU reads waits for all work of another device."""
    with Watched() as watched:
        _device.kmeans(vectors(2000, D), 512, 0)
    assert sum("_local_scalar" in name or "is_nonzero" in name for name in watched.names) < 40


def test_columns_are_counted_at_once() -> None:
    module = vqt.ResidualVectorQuant(D, K, stages=8, seed=1)
    with _device.forced(), Watched() as watched:
        module(vectors(50, D))
    assert sum("bincount" in name for name in watched.names) == 1
