"""The operators keep PyTorch's rules, and their gradients are those of central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import FAMILY, D, K, trained, vectors  # noqa: E402
from torch.library import opcheck  # noqa: E402
from vqswift.torch import _operators as operators  # noqa: E402

pytestmark = [
    # Of opcheck, which looks at the gradients of all tensors, and of gradcheck in float32.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),
    pytest.mark.filterwarnings("ignore:Input #.* requires gradient and is not a double"),
]


def state(module: Any) -> list[Any]:
    return [
        tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in module._state()
    ]


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", FAMILY)
def test_quantize_passes_opcheck(name: str, training: bool) -> None:
    module = trained(FAMILY[name]()).train(training)
    z = vectors(4, 9, D, seed=7).requires_grad_()
    mask = torch.arange(9) < torch.tensor([9, 5, 7, 9])[:, None]
    for kept in (None, mask):
        opcheck(
            torch.ops.vqswift.quantize,
            (z, None, state(module), kept, module._describe(), 0, training),
        )


def test_quantize_passes_opcheck_with_a_log_variance() -> None:
    module = vqt.SQVAEQuant(D, K, kind="IV", seed=1)
    z, logvar = vectors(4, 9, D).requires_grad_(), vectors(4, 9, D, seed=1).requires_grad_()
    arguments = (z, logvar, state(module), None, module._describe(), 0, True)
    opcheck(torch.ops.vqswift.quantize, arguments)


@pytest.mark.parametrize("name", FAMILY)
def test_encode_and_decode_pass_opcheck(name: str) -> None:
    module = trained(FAMILY[name]()).eval()
    z = vectors(4, 9, D, seed=7)
    frozen = [tensor.detach() for tensor in state(module)]
    opcheck(torch.ops.vqswift.encode, (z, None, frozen, None, module._describe(), 0))
    codes = module.encode(z)
    opcheck(torch.ops.vqswift.decode, (codes, state(module), module._describe()))
    if hasattr(module, "effective_codebooks"):
        arguments = (state(module), module._describe(), len(module.codebooks) - 1)
        opcheck(torch.ops.vqswift.effective_codebook, arguments)


def test_the_search_passes_opcheck() -> None:
    x, codebook = vectors(9, D), vectors(K, D, seed=1)
    for topk in (0, 3):
        opcheck(torch.ops.vqswift.nearest_codes, (x, codebook, topk))
        opcheck(torch.ops.vqswift.nearest_codes, (x.double(), codebook.double(), topk))


# Losses that are smooth while no vector changes its code, so that differences are gradients.
SMOOTH: dict[str, Callable[[], Any]] = {
    "the encoder's loss": lambda: vqt.VectorQuant(D, K, beta=0.0, seed=1),
    "the encoder's loss, l2": lambda: vqt.VectorQuant(D, K, beta=0.0, norm="l2", seed=1),
    "entropy": lambda: vqt.VectorQuant(
        D, K, beta=0.0, entropy_weight=0.5, entropy_temperature=3.0, seed=1
    ),
    "LFQ": lambda: vqt.LFQ(D, temperature=1.0),
    "Gumbel": lambda: vqt.GumbelQuant(D, K, seed=1),
    "projected": lambda: vqt.VectorQuant(D, K, beta=0.0, code_size=3, seed=1),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_the_loss_passes_gradcheck_in_z(name: str) -> None:
    module = SMOOTH[name]().eval()

    def loss(z: torch.Tensor) -> torch.Tensor:
        return module(z)[1].loss

    # Float32: differences over 2 eps have an error of about 2^-24 loss / eps + eps^2.
    assert torch.autograd.gradcheck(
        loss, (vectors(5, D).requires_grad_(),), eps=4e-3, atol=2e-3, rtol=2e-2
    )


@pytest.mark.parametrize("options", [{}, {"affine_lr": 0.5}, {"cb_norm": "l2"}], ids=str)
def test_the_loss_passes_gradcheck_in_the_codebook(options: dict[str, Any]) -> None:
    module = vqt.VectorQuant(D, 4, beta=1.0, seed=1, **options).eval()
    z, layer = vectors(9, D), module._describe()

    def loss(*given: torch.Tensor) -> torch.Tensor:
        values = [*given, *module._state()[len(given) :]]
        return operators.quantize(z, None, values, None, layer, 0, False)[operators.LOSS]

    parameters = [p.detach().clone().requires_grad_() for p in module.parameters()]
    assert torch.autograd.gradcheck(loss, parameters, eps=4e-3, atol=2e-3, rtol=2e-2)


def test_decode_passes_gradcheck() -> None:
    module = vqt.VectorQuant(D, 4, affine_lr=0.5, seed=1)
    codes, layer, rest = torch.tensor([0, 3, 1, 3]), module._describe(), module._state()[3:]

    def decoded(*given: torch.Tensor) -> torch.Tensor:
        return operators.decode(codes, [*given, *rest], layer)

    parameters = [p.detach().clone().requires_grad_() for p in module.parameters()]
    assert torch.autograd.gradcheck(decoded, parameters, eps=1e-2, atol=1e-3, rtol=1e-2)


def test_a_second_derivative_is_refused() -> None:
    module = FAMILY["plain"]()
    z = vectors(4, D).requires_grad_()
    (gradient,) = torch.autograd.grad(module(z)[1].loss, z, create_graph=True)
    with pytest.raises(RuntimeError, match="has no second derivative"):
        gradient.sum().backward()


def test_gradients_of_the_info_reach_z() -> None:
    """Of the vectors as compared and of the losses of stages, as of the output."""
    module = vqt.ResidualVectorQuant(D, K, stages=2, norm="l2", seed=1)
    z = vectors(7, D).requires_grad_()
    info = module(z)[1]
    weights = vectors(7, D, seed=2)
    (gradient,) = torch.autograd.grad((info.z * weights).sum(), z)
    unit = z / z.norm(dim=-1, keepdim=True)
    (expected,) = torch.autograd.grad((unit * weights).sum(), z)
    torch.testing.assert_close(gradient, expected)
    losses = module(z)[1]
    (of_stages,) = torch.autograd.grad(losses.stage_losses.sum(), z)
    (of_loss,) = torch.autograd.grad(module(z)[1].loss, z)
    torch.testing.assert_close(of_stages, of_loss)
