"""Attention against its formula in Float64, values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn
from vqswift.nn import functional as F

rng = np.random.default_rng(0)
Arrays = tuple[np.ndarray, ...]


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def formula(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, bias: np.ndarray, g: np.ndarray, scale: float
) -> tuple[np.ndarray, Arrays]:
    """softmax(scale q k^T + bias) v and the gradients of sum(g y), rows that see nothing 0."""
    q, k, v, g = (x.astype(np.float64) for x in (q, k, v, g))
    scores = scale * q @ k.swapaxes(-2, -1) + bias
    largest = scores.max(-1, keepdims=True)
    exponentials = np.exp(scores - np.where(np.isfinite(largest), largest, 0))
    total = exponentials.sum(-1, keepdims=True)
    p = np.divide(exponentials, total, out=np.zeros_like(exponentials), where=total > 0)
    dp = g @ v.swapaxes(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True))
    gradients = scale * ds @ k, scale * ds.swapaxes(-2, -1) @ q, p.swapaxes(-2, -1) @ g
    return p @ v, gradients


def seen(n: int, m: int, mask: np.ndarray | None, is_causal: bool) -> np.ndarray:
    """What a mask and the order add to scores."""
    bias = np.zeros((n, m))
    if mask is not None:
        bias = bias + (np.where(mask, 0, -np.inf) if mask.dtype == bool else mask)
    return bias + np.where(np.tri(n, m), 0, -np.inf) if is_causal else bias


SHAPES = {
    "one head": ((7, 5), 9, 4),
    "batch": ((2, 3, 40, 16), 40, 16),
    "long": ((1, 2, 300, 8), 513, 24),
    "few queries of many keys": ((2, 1, 3), 5000, 2),
    "blocks of one head": ((400, 32), 400, 32),
    "one of each": ((1, 1, 1), 1, 1),
    "no query": ((2, 0, 4), 3, 4),
}
MASKS: dict[str, Any] = {
    "none": lambda n, m: None,
    "bool": lambda n, m: rng.random((n, m)) < 0.7,
    "numbers": lambda n, m: normal(n, m),
    "keys": lambda n, m: rng.random((1, m)) < 0.7,
}


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("count", [1, 3])
def test_against_the_formula(
    case: str, kind: str, is_causal: bool, count: int, threads: Callable[[int], None]
) -> None:
    shape, m, e = SHAPES[case]
    *leading, n, d = shape
    arrays = normal(*shape), normal(*leading, m, d), normal(*leading, m, e)
    q, k, v = (vq.Tensor(x, requires_grad=True) for x in arrays)
    mask = MASKS[kind](n, m)
    threads(count)
    y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal)
    g = normal(*y.shape)
    (y * g).sum().backward()
    bias = seen(n, m, mask, is_causal)
    expected, gradients = formula(*arrays, bias, g, 1 / np.sqrt(d))
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=2e-6)
    for x, gradient in zip((q, k, v), gradients, strict=True):
        assert x.grad is not None
        size = np.abs(gradient).max(initial=1e-3)
        np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=1e-3, atol=1e-5 * size)


def test_threads_change_nothing(threads: Callable[[int], None]) -> None:
    arrays = normal(3, 260, 32), normal(3, 260, 32), normal(3, 260, 32)

    def computed(count: int) -> list[bytes]:
        threads(count)
        inputs = [vq.Tensor(x, requires_grad=True) for x in arrays]
        y = F.scaled_dot_product_attention(*inputs, is_causal=True)
        (y * y).sum().backward()
        gradients = [x.grad for x in inputs if x.grad is not None]
        assert len(gradients) == 3
        return [x.numpy().tobytes() for x in (y, *gradients)]

    assert computed(1) == computed(2) == computed(5)


def test_masks_broadcast_over_heads_and_batches() -> None:
    q, k, v = normal(2, 3, 6, 4), normal(2, 3, 5, 4), normal(2, 3, 5, 4)
    for shape in [(5,), (6, 1), (2, 1, 1, 5), (3, 6, 5), (1, 3, 1, 5), (2, 3, 6, 5), ()]:
        mask = normal(*shape)
        y = F.scaled_dot_product_attention(q, k, v, mask, scale=0.3)
        expected, _ = formula(q, k, v, mask, np.zeros((2, 3, 6, 4)), 0.3)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_a_query_that_sees_nothing_gets_zeros() -> None:
    q = vq.Tensor(normal(4, 3), requires_grad=True)
    mask = np.ones((4, 4), bool)
    mask[1] = False
    y = F.scaled_dot_product_attention(q, q, q, mask)
    assert not y.numpy()[1].any() and y.numpy()[[0, 2, 3]].all()
    y.sum().backward()
    assert q.grad is not None and np.isfinite(q.grad.numpy()).all()
    assert (
        not F.scaled_dot_product_attention(normal(2, 3), normal(0, 3), normal(0, 5)).numpy().any()
    )


def test_large_scores_do_not_overflow() -> None:
    q, k = normal(8, 4) * 1e4, normal(9, 4) * 1e4
    v = normal(9, 3)
    y = F.scaled_dot_product_attention(q, k, v).numpy()
    best = (q.astype(np.float64) @ k.T.astype(np.float64)).argmax(1)
    np.testing.assert_allclose(y, v[best], rtol=1e-5)


def test_a_learned_mask_and_dropout() -> None:
    """With all scores in memory the values are the same."""
    q, k, v = normal(2, 6, 4), normal(2, 5, 4), normal(2, 5, 4)
    mask = vq.Tensor(normal(6, 5), requires_grad=True)
    y = F.scaled_dot_product_attention(q, k, v, mask)
    fused = F.scaled_dot_product_attention(q, k, v, mask.numpy())
    np.testing.assert_allclose(y.numpy(), fused.numpy(), rtol=1e-5, atol=1e-6)
    y.sum().backward()
    assert mask.grad is not None
    ones = np.ones((2, 4000, 4), np.float32)
    dropped = F.scaled_dot_product_attention(
        ones[:, :2000], ones[:, :50], ones[:, :50], dropout_p=0.25, generator=vq.Generator(1)
    ).numpy()
    assert dropped.std() > 0.05 and abs(dropped.mean() - 1) < 0.02
    with pytest.raises(ValueError, match="a generator must draw"):
        F.scaled_dot_product_attention(q, k, v, dropout_p=0.5)


def test_memory_is_a_blocks() -> None:
    """16,000 positions: a matrix of their scores would have 1 GB."""
    resource = pytest.importorskip("resource")
    x = vq.Tensor(normal(16_000, 4), requires_grad=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    F.scaled_dot_product_attention(x, x, x, is_causal=True).sum().backward()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 6, "vdim": 10}])
def test_both_ways_of_multihead_attention(batch_first: bool, options: dict[str, Any]) -> None:
    """Shares that are asked for come with the result of the fused operator."""
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first, **options)
    features = options.get("kdim", 8), options.get("vdim", 8)
    q, k, v = normal(4, 5, 8), normal(4, 5, features[0]), normal(4, 5, features[1])
    if not options.get("kdim"):
        k = v = q
    mask = rng.random((5 if batch_first else 4,) * 2) < 0.3
    np.fill_diagonal(mask, False)
    fused, none = layer(q, k, v, attn_mask=mask)
    whole, shares = layer(q, k, v, attn_mask=mask, need_weights=True)
    assert none is None
    np.testing.assert_allclose(fused.numpy(), whole.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(shares.numpy().sum(-1), 1, rtol=1e-5)
    assert not shares.numpy()[:, mask].any()


def test_blocks_train() -> None:
    vq.manual_seed(0)
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 2, 32, 0.1, "gelu", batch_first=True, norm_first=True),
        2,
        nn.LayerNorm(16),
    )
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 4, 32, batch_first=True), 1)
    optimizer = vq.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    source, target = normal(4, 10, 16), normal(4, 6, 16)
    losses = []
    for _ in range(60):
        memory = encoder(source, is_causal=True)
        loss = F.mse_loss(decoder(source[:, :6], memory, tgt_is_causal=True), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert len({id(p) for p in encoder.parameters()}) == len(list(encoder.parameters())) == 26


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda q: F.scaled_dot_product_attention(q, q[:, :3], q), "as many features|same number"),
        (lambda q: F.scaled_dot_product_attention(q, q, q[:3]), "the same length"),
        (lambda q: F.scaled_dot_product_attention(q, q[None], q), "of equal rank"),
        (lambda q: F.scaled_dot_product_attention(q, q, q, np.ones((3, 5), bool)), "broadcast"),
        (
            lambda q: F.scaled_dot_product_attention(q, q, q, np.ones((5, 5), int)),
            "float32 or bool",
        ),
        (lambda q: F.scaled_dot_product_attention(q, q, q, scale=float("nan")), "scale = nan"),
        (lambda q: F.scaled_dot_product_attention(q[0], q, q), "axis -2"),
        (lambda q: nn.MultiheadAttention(8, 3), "num_heads = 3.*divide embed_dim = 8"),
        (lambda q: nn.MultiheadAttention(8, 2)(q, q, q), "three axes"),
        (lambda q: nn.TransformerEncoderLayer(8, 2, activation="tanh"), "activation = 'tanh'"),
        (lambda q: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 0), "num_layers = 0"),
        (lambda q: nn.TransformerDecoder(nn.ReLU(), 2**31), "num_layers = 2147483648"),
        (lambda q: nn.LSTM(1, 3, num_layers=2**31), "num_layers = 2147483648"),
    ],
)
def test_bad_input(call: Any, text: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError), match=text):
        call(normal(5, 4))
