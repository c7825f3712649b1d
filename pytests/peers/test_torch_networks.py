"""Convolutions, attention and transformer blocks beside torch's with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn
from vqswift.nn import functional as F

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def same(ours: Any, theirs: Any, tolerance: float = 1e-4) -> None:
    expected = theirs.detach().numpy()
    size = np.abs(expected).max(initial=1e-6)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=tolerance, atol=tolerance * size)


def load(ours: nn.Module, theirs: Any) -> None:
    """torch's state strictly into ours, and ours strictly back."""
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    state = {k: torch.from_numpy(np.array(v)) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=True)


def compare(ours: nn.Module, theirs: Any, x: np.ndarray, last: bool) -> None:
    """Values and gradients; `last`: ours has channels last, torch first."""
    load(ours, theirs)
    a = vq.Tensor(np.moveaxis(x, 1, -1) if last else x, requires_grad=True)
    b = torch.from_numpy(x).requires_grad_()
    y, z = ours(a), theirs(b)
    turned = z.movedim(1, -1) if last else z
    same(y, turned)
    g = normal(*y.shape)
    (y * g).sum().backward()
    (turned * torch.from_numpy(g)).sum().backward()
    assert a.grad is not None
    same(a.grad, b.grad.movedim(1, -1) if last else b.grad)
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        same(parameter.grad, gradients[name].grad)


CONVOLUTIONS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Conv1d", (8, 12, 5), {"stride": 2, "padding": 4, "dilation": 2, "groups": 4}),
    ("Conv1d", (8, 12, 4), {"padding": "same", "padding_mode": "reflect"}),
    ("Conv1d", (8, 12, 4), {"padding": "same"}),
    ("Conv2d", (8, 8, 3), {"padding": 1, "groups": 8}),
    ("Conv2d", (8, 12, (3, 2)), {"padding": (2, 3), "dilation": (1, 3), "bias": False}),
    ("Conv2d", (8, 12, 3), {"padding": 2, "padding_mode": "circular"}),
    ("Conv2d", (8, 12, 3), {"padding": 2, "padding_mode": "replicate", "stride": 2}),
    ("Conv2d", (8, 12, 3), {"padding": "valid"}),
    ("Conv3d", (8, 12, (2, 3, 1)), {"stride": (1, 2, 1), "padding": (1, 1, 0), "groups": 2}),
    ("Conv3d", (8, 4, 2), {"padding": "same"}),
    ("ConvTranspose1d", (8, 12, 4), {"stride": 2, "padding": 1, "groups": 2}),
    ("ConvTranspose1d", (8, 12, 4), {"stride": 3, "output_padding": 2, "dilation": 2}),
    ("ConvTranspose3d", (8, 12, (2, 4, 3)), {"stride": (1, 2, 3), "padding": (1, 1, 0)}),
    (
        "ConvTranspose3d",
        (8, 4, (3, 2, 1)),
        {"stride": (3, 2, 1), "output_padding": (2, 1, 0), "groups": 2, "dilation": (2, 1, 1)},
    ),
    ("ConvTranspose2d", (8, 12, 3), {"stride": (2, 1), "dilation": (1, 2), "groups": 4}),
]


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize(("kind", "sizes", "options"), CONVOLUTIONS)
def test_convolutions(kind: str, sizes: tuple[Any, ...], options: dict[str, Any]) -> None:
    rank = int(kind[-2])
    x = normal(2, 8, *(11, 12, 9)[:rank])
    compare(
        getattr(nn, kind)(*sizes, **options), getattr(torch.nn, kind)(*sizes, **options), x, True
    )


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    ("kind", "sizes", "options"),
    [
        ("Linear", (8, 5), {}),
        ("Conv1d", (8, 12, 7), {"padding": 9, "dilation": 3}),
        ("ConvTranspose1d", (8, 12, 4), {"stride": 2, "padding": 1}),
        ("Conv2d", (8, 12, 3), {"groups": 2, "bias": False}),
    ],
)
def test_weight_norm(kind: str, sizes: tuple[Any, ...], options: dict[str, Any]) -> None:
    rank = int(kind[-2]) if kind[-1] == "d" else 0
    x = normal(2, 8, *(15, 12)[:rank])
    theirs = torch.nn.utils.weight_norm(getattr(torch.nn, kind)(*sizes, **options))
    ours = nn.weight_norm(getattr(nn, kind)(*sizes, **options))
    compare(ours, theirs, x, True)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_scaled_dot_product_attention(is_causal: bool, masked: bool) -> None:
    if is_causal and masked:
        pytest.skip("torch takes one of both")
    arrays = normal(2, 3, 70, 16), normal(2, 3, 90, 16), normal(2, 3, 90, 8)
    mask = normal(2, 1, 70, 90) if masked else None
    ours = [vq.Tensor(x, requires_grad=True) for x in arrays]
    theirs = [torch.from_numpy(x).requires_grad_() for x in arrays]
    y = F.scaled_dot_product_attention(*ours, mask, is_causal=is_causal)
    bias = None if mask is None else torch.from_numpy(mask)
    z = torch.nn.functional.scaled_dot_product_attention(*theirs, bias, is_causal=is_causal)
    same(y, z)
    g = normal(*y.shape)
    (y * g).sum().backward()
    (z * torch.from_numpy(g)).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None
        same(a.grad, b.grad)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 6, "vdim": 10}])
def test_multihead_attention(batch_first: bool, options: dict[str, Any]) -> None:
    ours = nn.MultiheadAttention(8, 2, batch_first=batch_first, **options)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=batch_first, **options)
    load(ours, theirs)
    k, v = normal(6, 6, options.get("kdim", 8)), normal(6, 6, options.get("vdim", 8))
    q = normal(6, 6, 8)
    padding = rng.random((6, 6)) < 0.3
    padding[:, 0] = False
    mask = np.triu(np.ones((6, 6), bool), 1)
    y, shares = ours(q, k, v, padding, True, mask)
    z, expected = theirs(
        *map(torch.from_numpy, (q, k, v)), torch.from_numpy(padding), True, torch.from_numpy(mask)
    )
    same(y, z)
    same(shares, expected)
    each = normal(12, 6, 6)
    if not options.get("kdim"):
        y, _ = ours(q, q, q, attn_mask=each)
        tensor = torch.from_numpy(q)
        same(y, theirs(tensor, tensor, tensor, attn_mask=torch.from_numpy(each))[0])


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_encoder(norm_first: bool, bias: bool) -> None:
    def made(module: Any) -> Any:
        layer = module.TransformerEncoderLayer(
            16, 4, 24, 0.0, "gelu", batch_first=True, norm_first=norm_first, bias=bias
        )
        options = {"enable_nested_tensor": False} if module is torch.nn else {}
        return module.TransformerEncoder(layer, 2, module.LayerNorm(16), **options)

    compare(made(nn), made(torch.nn), normal(3, 9, 16), False)


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder(norm_first: bool) -> None:
    def made(module: Any) -> Any:
        layer = module.TransformerDecoderLayer(16, 2, 24, 0.0, norm_first=norm_first)
        return module.TransformerDecoder(layer, 2)

    ours, theirs = made(nn), made(torch.nn)
    load(ours, theirs)
    target, memory = normal(7, 3, 16), normal(5, 3, 16)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(7)
    z = theirs(torch.from_numpy(target), torch.from_numpy(memory), mask)
    same(ours(target, memory, mask.numpy()), z)
    same(ours(target, memory, tgt_is_causal=True), z)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad(mode: str) -> None:
    x = normal(2, 3, 5, 6)
    theirs = torch.nn.functional.pad(torch.from_numpy(x), (2, 3, 1, 4), mode)
    same(vq.pad(x, [(0, 0), (0, 0), (1, 4), (2, 3)], mode=mode), theirs, 0)
