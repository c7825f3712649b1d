"""Layers and losses against torch's of the same name: outputs and gradients on the same input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn
from vqswift.nn import functional

torch = pytest.importorskip("torch", reason="torch is not installed")
tnn, tf = torch.nn, torch.nn.functional

IMAGE, ROWS = (3, 4, 6, 8), (6, 5)


def random(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 2


def first(x: Any) -> Any:
    """Channels last to channels first."""
    return x.movedim(-1, 1)


def last(x: Any) -> Any:
    return x.movedim(1, -1)


def like(module: Any) -> Callable[[Any], Any]:
    """A torch layer of images [n, c, h, w] on images [n, h, w, c]."""
    return lambda x: last(module(first(x)))


def agree(
    own: Callable[..., vq.Tensor],
    theirs: Callable[..., Any],
    shapes: list[tuple[int, ...]],
    tolerance: float = 2e-5,
) -> None:
    arrays = [random(shape, seed) for seed, shape in enumerate(shapes)]
    ours = [vq.Tensor(array, requires_grad=True) for array in arrays]
    torchs = [torch.tensor(array, requires_grad=True) for array in arrays]
    y, expected = own(*ours), theirs(*torchs)
    assert y.shape == tuple(expected.shape)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    g = random(y.shape, 9)
    y.backward(vq.Tensor(g))
    expected.backward(torch.tensor(g))
    for ours_one, torchs_one in zip(ours, torchs, strict=True):
        assert ours_one.grad is not None
        np.testing.assert_allclose(
            ours_one.grad.numpy(), torchs_one.grad.numpy(), rtol=1e-3, atol=5 * tolerance
        )


ACTIVATIONS = [
    ("ReLU", ()),
    ("ReLU6", ()),
    ("LeakyReLU", (0.2,)),
    ("ELU", (1.5,)),
    ("CELU", (0.7,)),
    ("SELU", ()),
    ("GELU", ()),
    ("SiLU", ()),
    ("Mish", ()),
    ("Hardswish", ()),
    ("Hardsigmoid", ()),
    ("Hardtanh", (-0.5, 1.5)),
    ("Sigmoid", ()),
    ("LogSigmoid", ()),
    ("Tanh", ()),
    ("Softplus", (2.0,)),
    ("Softsign", ()),
    ("PReLU", ()),
    ("Softmax", (-1,)),
    ("LogSoftmax", (1,)),
    ("GLU", (-1,)),
    ("GLU", (1,)),
    ("Softmin", (1,)),
    ("Hardshrink", (0.7,)),
    ("Softshrink", (0.7,)),
    ("Tanhshrink", ()),
    ("Threshold", (0.3, -1.5)),
]


@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=[name for name, _ in ACTIVATIONS])
def test_activations(name: str, options: tuple[Any, ...]) -> None:
    agree(getattr(nn, name)(*options), getattr(tnn, name)(*options), [IMAGE])


def test_gelu_by_tanh() -> None:
    agree(nn.GELU("tanh"), tnn.GELU(approximate="tanh"), [IMAGE])


def test_norms() -> None:
    width = IMAGE[-1:]
    agree(
        lambda x, w, b: functional.layer_norm(x, w, b),
        lambda x, w, b: tf.layer_norm(x, width, w, b),
        [IMAGE, width, width],
    )
    agree(
        lambda x, w: functional.rms_norm(x, w),
        lambda x, w: tf.rms_norm(x, width, w, 1e-5),
        [IMAGE, width],
    )
    agree(
        lambda x, w, b: functional.group_norm(x, 4, w, b),
        lambda x, w, b: last(tf.group_norm(first(x), 4, w, b)),
        [IMAGE, width, width],
    )
    agree(nn.InstanceNorm(8), like(tnn.InstanceNorm2d(8)), [IMAGE])


LAYERS: dict[str, tuple[nn.Module, Callable[[Any], Any], tuple[int, ...]]] = {
    "pixel shuffle": (nn.PixelShuffle(2), like(tnn.PixelShuffle(2)), IMAGE),
    "pixel unshuffle": (nn.PixelUnshuffle(2), like(tnn.PixelUnshuffle(2)), IMAGE),
    "adaptive": (nn.AdaptiveAvgPool2d((3, 4)), like(tnn.AdaptiveAvgPool2d((3, 4))), IMAGE),
    "adaptive 1d": (nn.AdaptiveAvgPool1d(3), like(tnn.AdaptiveAvgPool1d(3)), (2, 7, 5)),
    "max 1d": (nn.MaxPool1d(3, 2, 1), like(tnn.MaxPool1d(3, 2, 1)), (2, 9, 5)),
    "average 1d": (nn.AvgPool1d(3, 2, 1), like(tnn.AvgPool1d(3, 2, 1)), (2, 9, 5)),
    "adaptive max": (nn.AdaptiveMaxPool2d((3, 4)), like(tnn.AdaptiveMaxPool2d((3, 4))), IMAGE),
    "adaptive max 1d": (nn.AdaptiveMaxPool1d(3), like(tnn.AdaptiveMaxPool1d(3)), (2, 7, 5)),
    "max 3d": (
        nn.MaxPool3d((2, 3, 2), (1, 2, 2), (1, 1, 0)),
        like(tnn.MaxPool3d((2, 3, 2), (1, 2, 2), (1, 1, 0))),
        (2, 5, 6, 7, 3),
    ),
    "average 3d": (nn.AvgPool3d(3, 2, 1), like(tnn.AvgPool3d(3, 2, 1)), (2, 5, 6, 7, 3)),
    "unflatten": (nn.Unflatten(1, (2, 2)), tnn.Unflatten(1, (2, 2)), IMAGE),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    own, theirs, shape = LAYERS[name]
    agree(own, theirs, [shape])


def test_bilinear() -> None:
    agree(functional.bilinear, tf.bilinear, [(2, 6, 3), (2, 6, 4), (5, 3, 4), (5,)])
    ours, theirs = nn.Bilinear(3, 4, 5), tnn.Bilinear(3, 4, 5)
    ours.load_state_dict({n: v.numpy() for n, v in theirs.state_dict().items()})
    agree(ours, theirs, [(6, 3), (6, 4)])


def test_equal_maxima_give_their_gradient_to_torchs() -> None:
    x = np.random.default_rng(0).integers(0, 2, (2, 5, 6, 7, 2)).astype(np.float32)
    for own, theirs, given in (
        (nn.MaxPool3d(3, 2, 1), tnn.MaxPool3d(3, 2, 1), x),
        (nn.AdaptiveMaxPool2d((3, 4)), tnn.AdaptiveMaxPool2d((3, 4)), x[:, 0]),
    ):
        ours, torchs = vq.Tensor(given, requires_grad=True), torch.tensor(given, requires_grad=True)
        own(ours).sum().backward()
        theirs(first(torchs)).sum().backward()
        assert ours.grad is not None
        np.testing.assert_array_equal(ours.grad.numpy(), torchs.grad.numpy())


LABELS = np.array([0, 4, 2, -1, 1, 3], np.int32)
SIGNS = np.array([1, -1, 1, 1, -1, -1], np.float32)
WEIGHT = np.array([0.5, 1, 2, 1, 3], np.float32)


@pytest.mark.filterwarnings("ignore:reduction. .mean")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(reduction: str) -> None:
    labels, signs = torch.tensor(LABELS).long(), torch.tensor(SIGNS)
    weight, r = torch.tensor(WEIGHT), reduction
    pairs: list[tuple[Any, Any, int]] = [
        (functional.mse_loss, tf.mse_loss, 2),
        (functional.l1_loss, tf.l1_loss, 2),
        (
            lambda a, b, reduction: functional.huber_loss(a, b, reduction, 0.7),
            lambda a, b, reduction: tf.huber_loss(a, b, reduction=reduction, delta=0.7),
            2,
        ),
        (
            lambda a, b, reduction: functional.smooth_l1_loss(a, b, reduction, 0.7),
            lambda a, b, reduction: tf.smooth_l1_loss(a, b, reduction=reduction, beta=0.7),
            2,
        ),
        (
            lambda a, b, reduction: functional.binary_cross_entropy_with_logits(
                a, b.sigmoid(), reduction, WEIGHT
            ),
            lambda a, b, reduction: tf.binary_cross_entropy_with_logits(
                a, b.sigmoid(), reduction=reduction, pos_weight=weight
            ),
            2,
        ),
        (
            lambda a, b, reduction: functional.kl_div(a, b, reduction, log_target=True),
            lambda a, b, reduction: tf.kl_div(a, b, reduction=reduction, log_target=True),
            2,
        ),
        (
            lambda a, reduction: functional.nll_loss(a, LABELS, reduction, -1),
            lambda a, reduction: tf.nll_loss(a, labels, reduction=reduction, ignore_index=-1),
            1,
        ),
        (
            lambda a, reduction: functional.cross_entropy(
                a, LABELS, reduction=reduction, ignore_index=-1
            ),
            lambda a, reduction: tf.cross_entropy(a, labels, reduction=reduction, ignore_index=-1),
            1,
        ),
        (
            lambda a, reduction: functional.cross_entropy(
                a, LABELS, 0.2, reduction=reduction, ignore_index=-1
            ),
            lambda a, reduction: tf.cross_entropy(
                a, labels, reduction=reduction, ignore_index=-1, label_smoothing=0.2
            ),
            1,
        ),
        (
            lambda a, b, reduction: functional.cosine_embedding_loss(a, b, SIGNS, 0.2, reduction),
            lambda a, b, reduction: tf.cosine_embedding_loss(
                a, b, signs, margin=0.2, reduction=reduction
            ),
            2,
        ),
        (
            lambda a, b, c, reduction: functional.triplet_margin_loss(a, b, c, reduction=reduction),
            lambda a, b, c, reduction: tf.triplet_margin_loss(a, b, c, reduction=reduction),
            3,
        ),
    ]
    for own, theirs, count in pairs:
        agree(
            lambda *tensors, own=own: own(*tensors, reduction=r),
            lambda *tensors, theirs=theirs: theirs(*tensors, reduction=r),
            [ROWS] * count,
        )


FUNCTIONS = ["exp", "log1p", "expm1", "sin", "cos", "erf", "rsqrt", "log2", "log10", "round"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_elements(name: str) -> None:
    def positive(x: Any) -> Any:
        return x * x + 0.1

    agree(lambda x: getattr(positive(x), name)(), lambda x: getattr(positive(x), name)(), [IMAGE])
