"""`vqswift.torch.vqtorch`: the README's example, formulas in plain PyTorch, options, states."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from vqswift.torch import vqtorch

D, K = 6, 12
CLOSE = {"rtol": 0.0, "atol": 1e-5}


def vectors(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_readme_example_runs_on_the_cpu() -> None:
    torch.manual_seed(0)
    vq_layer = vqtorch.VectorQuant(
        feature_size=32,
        num_codes=1024,
        beta=0.98,
        kmeans_init=True,
        norm=None,
        cb_norm=None,
        affine_lr=10.0,
        sync_nu=0.2,
        replace_freq=20,
        dim=-1,
    )
    with torch.no_grad():
        vq_layer(torch.randn(128, 8, 8, 32))
    z_q, vq_dict = vq_layer(torch.randn(128, 8, 8, 32))
    assert list(vq_dict) == ["z", "z_q", "d", "q", "loss", "perplexity"]
    assert z_q.shape == (128, 8, 8, 32)
    assert vq_dict["q"].shape == vq_dict["d"].shape == (128, 8, 8, 1)


def test_the_readme_s_experimental_features() -> None:
    assert vqtorch.VectorQuant(D, 16, affine_lr=1.0, affine_groups=8)(vectors(2, D, 3, 3))
    inplace_optimizer = lambda *args, **kwargs: torch.optim.SGD(  # noqa: E731
        *args, **kwargs, lr=50.0, momentum=0.9
    )
    for kind in (vqtorch.VectorQuant, vqtorch.GroupVectorQuant, vqtorch.ResidualVectorQuant):
        in_place = kind(32, 64, beta=1.0, inplace_optimizer=inplace_optimizer, dim=-1)
        same = vectors(16, 8, 32)
        errors = [(in_place(same)[0] - same).square().mean().item() for _ in range(30)]
        assert errors[-1] < 0.7 * errors[0]
    layer, z = vqtorch.VectorQuant(D, K), vectors(2, D, 3, 3)
    with vqtorch.no_vq(layer):
        assert torch.equal(layer(z)[0], z)
    assert not torch.equal(layer(z)[0], z)


@pytest.mark.parametrize("nu", [0.0, 0.4])
def test_vector_quant_has_vqtorch_s_formulas(nu: float) -> None:
    """Written out in PyTorch: the affine map, the loss by beta, straight through with nu."""
    beta, rate = 0.9, 2.0
    layer = vqtorch.VectorQuant(D, K, beta=beta, sync_nu=nu, affine_lr=rate)
    raw = layer.layer.codebooks[0]
    scale, bias = (layer.layer.get_parameter(f"affine_{name}") for name in ("scale", "bias"))
    with torch.no_grad():
        scale.copy_(0.1 * vectors(1, D)), bias.copy_(0.1 * vectors(1, D, seed=3))
    learned = (raw, scale, bias)
    z = vectors(2, D, 4, 5).requires_grad_()
    weight = vectors(2, D, 4, 5, seed=4)
    z_q, told = layer(z)
    ((z_q * weight).sum() + 3 * told["loss"]).backward()
    found = [z.grad, *(p.grad for p in learned)]

    z.grad = None
    for parameter in learned:
        parameter.grad = None
    codes = (1 + rate * scale) * raw + rate * bias
    last = z.movedim(1, -1)
    distances = torch.cdist(last.flatten(0, -2), codes)
    q = distances.argmin(-1)
    values = codes[q].view_as(last)
    mse = nn.functional.mse_loss
    loss = (1 - beta) * mse(last, values.detach()) + beta * mse(last.detach(), values)
    through = last + (values - last).detach() + nu * (values - values.detach())
    ((through.movedim(-1, 1) * weight).sum() + 3 * loss).backward()
    expected = [z.grad, *(p.grad for p in learned)]

    assert torch.equal(told["q"].flatten(), q)
    torch.testing.assert_close(told["d"].flatten(), distances.amin(-1), **CLOSE)
    torch.testing.assert_close(told["z"].squeeze(-2), last, **CLOSE)
    torch.testing.assert_close(told["z_q"].squeeze(-2), values, **CLOSE)
    torch.testing.assert_close(told["loss"], loss, **CLOSE)
    torch.testing.assert_close(layer.get_codebook(), codes, **CLOSE)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("share", [True, False])
def test_group_codes_index_the_one_table(share: bool) -> None:
    layer = vqtorch.GroupVectorQuant(D, K, groups=2, share=share, dim=-1)
    assert layer.get_codebook().shape == (K, D // 2)
    z_q, told = layer(vectors(3, 7, D))
    assert told["q"].shape == told["d"].shape == (3, 7, 2)
    assert told["z"].shape == (3, 7, 2, D // 2)
    table = layer.get_codebook()
    torch.testing.assert_close(table[told["q"]].flatten(-2), z_q, **CLOSE)
    if not share:
        assert told["q"][..., 0].max() < K // 2 <= told["q"][..., 1].min()


@pytest.mark.parametrize("share", [True, False])
def test_residual_codes_index_the_one_table(share: bool) -> None:
    layer = vqtorch.ResidualVectorQuant(D, K, groups=3, share=share)
    z = vectors(2, D, 4, 4)
    z_q, told = layer(z)
    assert told["q"].shape == (2, 4, 4, 3)
    assert told["z_q"].shape == (2, 4, 4, 1, D)
    values = layer.get_codebook()[told["q"]]
    torch.testing.assert_close(values.sum(-2).movedim(-1, 1), z_q, **CLOSE)
    left = z.movedim(1, -1)
    for stage in range(3):
        torch.testing.assert_close(told["z_res"][..., stage, :], left, **CLOSE)
        left = left - values[..., stage, :]
    torch.testing.assert_close(told["z_res"][..., 3, :], left, **CLOSE)


@pytest.mark.parametrize(
    ("kind", "options", "keyword"),
    [
        (vqtorch.VectorQuant, {"code_vector_size": 3}, "code_vector_size"),
        (vqtorch.VectorQuant, {"affine_groups": 2}, "affine_groups"),
        (vqtorch.GroupVectorQuant, {"groups": 5, "share": False}, "num_codes"),
    ],
)
def test_what_is_not_here_raises_with_the_options_name(
    kind: Any, options: dict[str, Any], keyword: str
) -> None:
    with pytest.raises(ValueError, match=rf"^\[{kind.__name__}\] {keyword} = "):
        kind(10, 12, **options)


def state_of_vqtorch(**own: torch.Tensor) -> dict[str, torch.Tensor]:
    """As vqtorch's modules name it."""
    return {"codebook.weight": vectors(K, D)} | own


def test_a_state_of_vqtorch_goes_both_ways() -> None:
    theirs = state_of_vqtorch(
        **{
            "affine_transform.scale": 0.1 * vectors(1, D),
            "affine_transform.bias": 0.1 * vectors(1, D, seed=3),
            "_counts": torch.tensor([20.0, 17.0] * (K // 2)),
        }
    )
    layer = vqtorch.VectorQuant(D, K, affine_lr=2.0, replace_freq=20)
    layer.load_state_dict(vqtorch.convert_state_dict(theirs))
    scale, bias = theirs["affine_transform.scale"], theirs["affine_transform.bias"]
    expected = (1 + 2 * scale) * theirs["codebook.weight"] + 2 * bias
    torch.testing.assert_close(layer.get_codebook(), expected, **CLOSE)
    assert layer.layer.get_buffer("unused_steps").tolist() == [0, 3] * (K // 2)
    back = vqtorch.to_theirs(layer.state_dict(), replace_freq=20)
    assert back.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(back[name], value), name


def test_a_state_of_vqtorch_leaves_in_place_optimizers_alone() -> None:
    """The peer does not save them."""
    layer = vqtorch.VectorQuant(
        D, K, sync_nu=0.5, inplace_optimizer=lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)
    )
    layer(vectors(2, D, 3, 3))
    (moments,) = layer.layer.inplace_optimizers[0].state.values()
    before = moments["momentum_buffer"].clone()
    layer.load_state_dict(vqtorch.convert_state_dict(state_of_vqtorch()))
    (moments,) = layer.layer.inplace_optimizers[0].state.values()
    assert torch.equal(moments["momentum_buffer"], before)
    assert torch.equal(layer.get_codebook(), vectors(K, D))
    assert list(vqtorch.to_theirs(layer.state_dict())) == ["codebook.weight"]


@pytest.mark.parametrize("kind", [vqtorch.GroupVectorQuant, vqtorch.ResidualVectorQuant])
@pytest.mark.parametrize("share", [True, False])
def test_tables_become_codebooks(kind: Any, share: bool) -> None:
    width = D // 2 if kind is vqtorch.GroupVectorQuant else D
    theirs = {"codebook.weight": vectors(K, width)}
    layer = kind(D, K, groups=2, share=share)
    layer.load_state_dict(vqtorch.convert_state_dict(theirs, groups=2, share=share))
    assert torch.equal(layer.get_codebook(), theirs["codebook.weight"])
    back = vqtorch.to_theirs(layer.state_dict())
    assert torch.equal(back["codebook.weight"], theirs["codebook.weight"])


def test_states_that_do_not_fit_raise() -> None:
    with pytest.raises(ValueError, match="norm_layer"):
        vqtorch.convert_state_dict(state_of_vqtorch(**{"norm_layer.weight": torch.ones(D)}))
    with pytest.raises(ValueError, match="groups = 5"):
        vqtorch.convert_state_dict(state_of_vqtorch(), groups=5, share=False)
    several = vqtorch.GroupVectorQuant(D, K, groups=2, share=False, affine_lr=1.0)
    with pytest.raises(ValueError, match="maps of their own"):
        vqtorch.to_theirs(several.state_dict())
