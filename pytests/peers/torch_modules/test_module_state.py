"""State is PyTorch's: it is saved, copied, cast and left alone as that of any module."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import vqswift as vq

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import FAMILY, D, K, trained, vectors  # noqa: E402

every = pytest.mark.parametrize("name", FAMILY)


def values(module: torch.nn.Module) -> dict[str, Any]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def step(module: Any, seed: int) -> Any:
    z = vectors(3, 8, D, seed=seed).requires_grad_()
    z_q, info = module(z)
    (z_q.square().sum() + info.loss).backward()
    return z_q.detach(), info.q, z.grad


def assert_go_on_alike(a: Any, b: Any) -> None:
    for seed in (20, 21):
        for ours, theirs in zip(step(a, seed), step(b, seed), strict=True):
            assert torch.equal(ours, theirs)
    assert_same(values(a), values(b))


@every
def test_a_state_dict_makes_another_layer_go_on(name: str) -> None:
    first, second = trained(FAMILY[name]()), FAMILY[name]()
    missing, unexpected = second.load_state_dict(first.state_dict(), strict=True)
    assert not missing
    assert not unexpected
    assert_go_on_alike(first, second)


@every
def test_a_deep_copy_goes_on_and_shares_nothing(name: str) -> None:
    first = trained(FAMILY[name]())
    second = copy.deepcopy(first)
    places = {t.data_ptr() for t in first.state_dict().values() if t.numel()}
    assert places.isdisjoint(t.data_ptr() for t in second.state_dict().values() if t.numel())
    assert_go_on_alike(first, second)


@every
def test_a_pickled_module_goes_on(name: str) -> None:
    first = trained(FAMILY[name]())
    file = io.BytesIO()
    torch.save(first, file)
    file.seek(0)
    assert_go_on_alike(copy.deepcopy(first), torch.load(file, weights_only=False))
    assert_go_on_alike(first, pickle.loads(pickle.dumps(first)))


@every
def test_evaluation_changes_nothing(name: str) -> None:
    module = trained(FAMILY[name]()).eval()
    before = values(module)
    z = vectors(3, 8, D, seed=5).requires_grad_()
    z_q, info = module(z)
    (z_q.sum() + info.loss).backward()
    codes = module.encode(z)
    assert torch.equal(module.decode(codes), z_q)
    assert_same(before, values(module))


@every
def test_training_under_no_grad_changes_what_training_changes(name: str) -> None:
    """As batch norm does: running state follows the mode, not the tape."""
    first = trained(FAMILY[name]())
    second = copy.deepcopy(first)
    z = vectors(3, 8, D, seed=6)
    first(z.clone().requires_grad_())
    with torch.no_grad():
        second(z)
    assert_same(values(first), values(second))


@every
def test_a_state_fits_the_native_layer_and_back(name: str) -> None:
    module = trained(FAMILY[name]())
    kind = getattr(vq, type(module).__name__)
    layer = kind(**module._options, dim=module.dim)
    layer.load_state_dict({n: v.numpy() for n, v in module.state_dict().items()}, strict=True)
    again = FAMILY[name]()
    again.load_state_dict({n: torch.tensor(v) for n, v in layer.state_dict().items()})
    assert_same(values(module), values(again))


def test_a_layer_starts_as_the_native_one() -> None:
    vq.manual_seed(5)
    layer = vq.ResidualVectorQuant(D, K, stages=2, code_size=3)
    vq.manual_seed(5)
    module = vqt.ResidualVectorQuant(D, K, stages=2, code_size=3)
    for name, value in layer.state_dict().items():
        assert (module.state_dict()[name].numpy() == value).all(), name


def test_seeds_make_equal_layers_equal_and_others_different() -> None:
    first, second = (vqt.VectorQuant(D, K, seed=1) for _ in range(2))
    assert torch.equal(first.codebook, second.codebook)
    assert not torch.equal(first.codebook, vqt.VectorQuant(D, K).codebook)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_module_is_cast_as_any_other(dtype: torch.dtype) -> None:
    module = trained(FAMILY["EMA, k-means, replaced"]()).to(dtype)
    assert module.codebook.dtype == module.ema_sums.dtype == dtype
    assert module.generator.dtype == module.unused_steps.dtype == torch.int32
    z = vectors(3, 8, D).to(dtype)
    z_q, info = module(z)
    assert z_q.dtype == dtype
    assert module.decode(info.q).dtype == dtype
    assert module.codebook.dtype == dtype


def test_an_optimizer_trains_what_requires_a_gradient() -> None:
    plain = vqt.VectorQuant(D, K, affine_lr=0.5)
    assert {n for n, p in plain.named_parameters() if p.requires_grad} == {
        "codebook",
        "affine_scale",
        "affine_bias",
    }
    for fixed in (vqt.VectorQuant(D, K, ema_decay=0.9), plain.freeze()):
        assert not any(p.requires_grad for p in fixed.parameters())
    assert plain.unfreeze().codebook.requires_grad
    simvq = vqt.VectorQuant(D, K, simvq=True)
    assert [n for n, p in simvq.named_parameters() if p.requires_grad] == ["transform"]
    optimizer = torch.optim.AdamW(
        [
            {"params": [plain.codebook], "lr": 1.0, "weight_decay": 0.0},
            {"params": [plain.affine_scale, plain.affine_bias], "lr": 0.0},
        ]
    )
    before = values(plain)
    step(plain, 1)
    optimizer.step()
    after = values(plain)
    assert not torch.equal(before["codebook"], after["codebook"])
    assert torch.equal(before["affine_scale"], after["affine_scale"])


def test_an_averaged_model_quantizes() -> None:
    module = FAMILY["plain"]()
    average = torch.optim.swa_utils.AveragedModel(
        module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5)
    )
    average.update_parameters(module)
    with torch.no_grad():
        module.codebook.add_(2.0)
    average.update_parameters(module)
    torch.testing.assert_close(average.module.codebook, module.codebook - 1.0)
    z = vectors(5, D)
    assert torch.equal(average.module.eval().decode(average.module.encode(z)), average(z)[0])


def test_the_tape_lives_as_long_as_pytorchs() -> None:
    """A forward whose backward never comes leaves nothing behind."""
    module = FAMILY["EMA, k-means, replaced"]()
    module(vectors(20, D).requires_grad_())
    before = vq._core.live_handles()
    for _ in range(5):
        z_q, info = module(vectors(20, D).requires_grad_())
        del z_q, info
    assert vq._core.live_handles() == before


def test_gradients_survive_a_change_of_the_codebook_by_the_next_forward() -> None:
    """Two forwards, then their backwards: each with the codebook that it compared with."""
    for name in ("EMA, k-means, replaced", "directional, moments", "Gumbel", "residual, dropout"):
        apart, together = (trained(FAMILY[name]()) for _ in range(2))
        expected = [step(apart, seed)[2] for seed in (7, 8)]
        zs = [vectors(3, 8, D, seed=seed).requires_grad_() for seed in (7, 8)]
        losses = []
        for z in zs:
            z_q, info = together(z)
            losses.append(z_q.square().sum() + info.loss)
        sum(losses).backward()
        for z, gradient in zip(zs, expected, strict=True):
            assert torch.equal(z.grad, gradient), name
