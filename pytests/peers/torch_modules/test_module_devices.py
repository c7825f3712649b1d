"""The formulas for other devices, on the CPU, against the native kernels."""

from __future__ import annotations

import contextlib
import copy
import importlib
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import FAMILY, D, K, vectors  # noqa: E402
from vqswift.torch import _device  # noqa: E402

LAYERS: dict[str, Any] = {
    "plain": lambda: vqt.VectorQuant(D, K, seed=1),
    "synchronized, affine": lambda: vqt.VectorQuant(
        D, K, seed=1, sync_nu=0.5, affine_lr=0.5, affine_groups=2, beta=0.6
    ),
    "rotation, projected, l2": lambda: vqt.VectorQuant(
        D, K, seed=1, code_size=3, gradient="rotation", norm="l2", cb_norm="l2"
    ),
    "clamped": lambda: vqt.VectorQuant(D, K, seed=1, norm="l2c", cb_norm="l2c", max_norm=1.5),
    "SimVQ": lambda: vqt.VectorQuant(D, K, seed=1, simvq=True),
    "EMA": lambda: vqt.VectorQuant(D, K, seed=1, ema_decay=0.8),
    "EMA, affine": lambda: vqt.VectorQuant(
        D, K, seed=1, ema_decay=0.8, affine_lr=0.5, affine_groups=2
    ),
    "group, EMA": lambda: vqt.GroupVectorQuant(D, K, groups=2, seed=1, ema_decay=0.8),
    "group, projected, rotation": lambda: vqt.GroupVectorQuant(
        D, K, groups=3, seed=1, code_size=5, gradient="rotation", sync_nu=0.3
    ),
    "shared group, l2": lambda: vqt.GroupVectorQuant(
        D, K, groups=2, shared=True, seed=1, norm="l2", cb_norm="l2", ema_decay=0.8
    ),
    "residual": lambda: vqt.ResidualVectorQuant(
        D, K, stages=3, seed=1, sync_nu=0.5, affine_lr=0.5, beta=0.6, norm="l2c", cb_norm="l2c"
    ),
    "residual, rotation, EMA": lambda: vqt.ResidualVectorQuant(
        D, K, stages=3, seed=1, gradient="rotation", ema_decay=0.8, norm="l2"
    ),
    "residual, projected": lambda: vqt.ResidualVectorQuant(
        D, K, stages=3, seed=1, code_size=4, norm="l2", cb_norm="l2", ema_decay=0.8
    ),
    "residual, projected, rotation": lambda: vqt.ResidualVectorQuant(
        D, K, stages=2, seed=1, code_size=4, gradient="rotation", sync_nu=0.5
    ),
    "shared residual, EMA": lambda: vqt.ResidualVectorQuant(
        D, K, stages=3, shared=True, seed=1, ema_decay=0.8
    ),
    "shared residual, SimVQ": lambda: vqt.ResidualVectorQuant(
        D, K, stages=3, shared=True, seed=1, simvq=True
    ),
    "FSQ": lambda: vqt.FSQ([8, 5, 4, 3, 2, 7]),
    "LFQ": lambda: vqt.LFQ(D, commitment_weight=0.3, temperature=0.5),
}


def close(ours: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    torch.testing.assert_close(
        ours, expected, rtol=2.0**-16, atol=2.0**-18, check_dtype=False, msg=name
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_values_gradients_and_state_are_the_kernels(name: str, masked: bool) -> None:
    native = LAYERS[name]()
    with torch.no_grad():
        for key, parameter in native.named_parameters():
            if key.startswith("affine_"):
                parameter.copy_(vectors(*parameter.shape, seed=5))
    module = copy.deepcopy(native)
    mask = torch.arange(9) < torch.tensor([9, 5, 7, 9])[:, None] if masked else None
    for step in range(3):
        for each in (native, module):
            each.train(step < 2)
        z = vectors(4, 9, D, seed=step)
        pull = vectors(4, 9, D, seed=50 + step)
        ours, theirs = z.clone().requires_grad_(), z.clone().requires_grad_()
        with _device.forced():
            z_q, info = module(ours, mask)
            ((z_q * pull).sum() + 3 * info.loss).backward()
            codes, decoded = module.encode(z, mask), module.decode(info.q)
        expected, wanted = native(theirs, mask)
        assert torch.equal(codes, native.encode(z, mask))
        close(decoded, native.decode(info.q), "decoded")
        ((expected * pull).sum() + 3 * wanted.loss).backward()
        assert torch.equal(info.q, wanted.q)
        assert info.q.dtype == torch.int64
        for field, value, other in zip(info._fields, info, wanted, strict=True):
            close(value, other, field)
        close(ours.grad, theirs.grad, "z")
        for (key, mine), other in zip(module.named_parameters(), native.parameters(), strict=True):
            if other.grad is not None:
                close(mine.grad, other.grad, key)
        module.zero_grad()
        native.zero_grad()
        for key, value in native.state_dict().items():
            close(module.state_dict()[key], value, key)


def same(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> None:
    for field, value, other in zip(ours[1]._fields, ours[1], theirs[1], strict=True):
        close(value, other, field)
    close(ours[0], theirs[0], "output")


@pytest.mark.parametrize("name", LAYERS)
def test_what_passes_unquantized_is_the_kernels(name: str) -> None:
    module = LAYERS[name]()
    z = vectors(4, 9, D)
    results = []
    for where in (_device.forced(), contextlib.nullcontext()):
        values = z.clone().requires_grad_()
        with where, vqt.no_quantization(module):
            found = module(values)
        found[0].square().sum().backward()
        results.append((found, values.grad))
    same(results[0][0], results[1][0])
    close(results[0][1], results[1][1], "z")


@pytest.mark.parametrize("name", [name for name in LAYERS if "residual" in name])
def test_the_first_stages_alone(name: str) -> None:
    module = LAYERS[name]().eval()
    z = vectors(4, 9, D)
    for stages in (1, 2):
        with _device.forced():
            ours, codes = module(z, stages=stages), module.encode(z, stages=stages)
            decoded = module.decode(codes)
        same(ours, module(z, stages=stages))
        assert torch.equal(codes, ours[1].q)
        close(decoded, ours[0], "decoded")


@pytest.mark.parametrize("name", [n for n in LAYERS if not n.endswith("FSQ") and n != "LFQ"])
def test_effective_codebooks_are_the_kernels(name: str) -> None:
    module = LAYERS[name]()
    found = []
    for where in (_device.forced(), contextlib.nullcontext()):
        module.zero_grad()
        with where:
            books = module.effective_codebooks
        if books[0].requires_grad:
            sum(book.square().sum() for book in books).backward()
        found.append((books, [p.grad for p in module.parameters()]))
    for book, expected in zip(found[0][0], found[1][0], strict=True):
        close(book, expected, "effective")
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        if ours is not None or theirs is not None and theirs.any():
            close(ours, theirs, "gradient")


def test_dropout_leaves_stages_out() -> None:
    module = vqt.ResidualVectorQuant(D, K, stages=3, seed=1, quantizer_dropout=0.7, ema_decay=0.8)
    torch.manual_seed(0)
    counts = []
    for seed in range(60):
        z, before = vectors(4, 9, D, seed=seed), copy.deepcopy(module)
        with _device.forced():
            ours = module(z)
        used = int((ours[1].q[0, 0] >= 0).sum())
        counts.append(used)
        before.eval()
        expected = before(z, stages=used)
        assert torch.equal(ours[1].q[..., :used], expected[1].q)
        assert (ours[1].q[..., used:] == -1).all()
        close(ours[0], expected[0], "output")
        assert not ours[1].stage_losses[used:].any() and not ours[1].d[..., used:].any()
        with _device.forced():
            assert module.decode(ours[1].q).shape == z.shape
    shares = torch.bincount(torch.tensor(counts), minlength=4)[1:] / len(counts)
    # 0.7 / 3 each, and 0.3 more for all.
    assert ((shares - torch.tensor([0.7, 0.7, 1.6]) / 3).abs() < 0.17).all()


def test_codes_far_from_the_origin_are_exact() -> None:
    x, codebook = (1000 + vectors(n, D, seed=n) for n in (2000, 64))
    exact = (x.double()[:, None] - codebook.double()[None]).square().sum(-1).argmin(-1)
    assert torch.equal(_device.nearest(x, codebook), exact)
    rounded = (codebook.square().sum(1) - 2 * x @ codebook.T).argmin(-1)
    assert (rounded != exact).sum() > 100
    with _device.forced():
        assert torch.equal(vqt.nearest_codes(x, codebook), exact)


def test_equal_codes_give_the_lowest_index() -> None:
    codebook = vectors(8, D)
    doubled = torch.cat([codebook, codebook])
    assert torch.equal(_device.nearest(vectors(90, D, seed=1), doubled) < 8, torch.ones(90) > 0)


def test_many_vectors_are_taken_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, codebook = vectors(500, D), vectors(K, D, seed=1)
    whole = _device.nearest(x, codebook)
    module = importlib.import_module("vqswift.torch._device._nearest")
    monkeypatch.setattr(module, "_CHUNK", 7 * K)
    monkeypatch.setattr(module, "_EXACT", 3 * D)
    assert torch.equal(_device.nearest(x, codebook), whole)


def test_unused_codes_are_replaced_by_vectors() -> None:
    torch.manual_seed(0)
    module = vqt.VectorQuant(D, K, seed=1, replace_freq=1, ema_decay=0.8)
    before = module.codebook.clone()
    z = 9 + vectors(40, D)
    with _device.forced():
        used = module(z)[1].q.unique()
    dead = torch.ones(K).bool()
    dead[used] = False
    assert dead.any()
    assert (torch.cdist(module.codebook[dead], z).amin(1) < 0.2 * z.norm(dim=1).max()).all()
    assert not torch.equal(module.codebook, before)
    assert torch.equal(module.ema_sums[dead], module.codebook[dead])


@pytest.mark.parametrize("name", ["directional, moments", "drawn, l2", "entropy, batch norm"])
def test_what_only_the_kernels_have_raises(name: str) -> None:
    with _device.forced(), pytest.raises(NotImplementedError, match="CPU"):
        FAMILY[name]()(vectors(3, 8, D))


def test_bad_input_is_named_there_too() -> None:
    with _device.forced():
        module = vqt.VectorQuant(D, K)
        with pytest.raises(ValueError, match="not finite"):
            module(torch.full((3, D), torch.nan))
        with pytest.raises(ValueError, match="at least one vector"):
            module(torch.empty(0, D))
        with pytest.raises(IndexError, match="outside"):
            module.decode(torch.tensor([K]))
    with pytest.raises(NotImplementedError, match="kmeans"):
        vqt.kmeans(torch.empty(9, D, device="meta"), 3)


BAD_SEARCHES = [
    (torch.full((3, D), torch.inf), torch.ones(2, D), None, "x .* not finite"),
    (torch.ones(3, D), torch.full((2, D), torch.nan), None, "codebook .* not finite"),
    (torch.ones(3, D), torch.ones(2, D + 1), None, "equal width"),
    (torch.ones(D), torch.ones(2, D), None, "matrix"),
    (torch.ones(3, D), torch.ones(2, D), 3, "topk = 3"),
]


@pytest.mark.parametrize(("x", "codebook", "topk", "told"), BAD_SEARCHES)
def test_a_bad_search_is_named_there_too(
    x: torch.Tensor, codebook: torch.Tensor, topk: int | None, told: str
) -> None:
    with _device.forced(), pytest.raises(ValueError, match=rf"\[nearest_codes\] .*{told}"):
        vqt.nearest_codes(x, codebook, topk=topk)


def test_meta_tensors_have_shapes() -> None:
    module = vqt.ResidualVectorQuant(D, K, stages=2).to("meta")
    z_q, info = module(torch.empty(2, 5, D, device="meta"))
    assert z_q.shape == (2, 5, D)
    assert info.q.shape == (2, 5, 2)
    assert z_q.device.type == info.loss.device.type == "meta"
