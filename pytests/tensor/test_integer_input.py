"""Integers in the place of numbers: taken where float32 holds them, else refused and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import estimators, metrics, nn
from vqswift.nn import functional as F

DTYPES = [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, bool]
ROWS = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 1, 1]])
IMAGES = np.arange(2 * 12 * 12 * 3).reshape(2, 12, 12, 3) % 2
SQUARE = np.ones((4, 3, 3, 3), np.float32)


def quantized(layer: Any, z: Any) -> np.ndarray:
    return layer.eval()(z)[0].numpy()


@pytest.fixture(autouse=True)
def equal_layers() -> None:
    vq.manual_seed(1)


# Calls of one input, which they take as numbers.
CALLS: dict[str, Callable[[Any], Any]] = {
    "vector_quant": lambda x: quantized(vq.VectorQuant(4, 5), x),
    "encode": lambda x: vq.VectorQuant(4, 5).encode(x).numpy(),
    "group_vector_quant": lambda x: quantized(vq.GroupVectorQuant(4, 5, groups=2), x),
    "fsq": lambda x: quantized(vq.FSQ([3, 3, 3, 3]), x),
    "lfq": lambda x: quantized(vq.LFQ(4), x),
    "gumbel_quant": lambda x: quantized(vq.GumbelQuant(4, 5), x),
    "sqvae_quant": lambda x: quantized(vq.SQVAEQuant(4, 5), x),
    "mse_loss": lambda x: F.mse_loss(x, ROWS * 0.5).numpy(),
    "target of l1_loss": lambda x: F.l1_loss(ROWS * 0.5, x).numpy(),
    "logits": lambda x: F.cross_entropy(x, [0, 1, 2]).numpy(),
    "weight_quantizer": lambda x: estimators.WeightQuantizer(2, 1.0).codes(x).numpy(),
    "gumbel_softmax": lambda x: estimators.gumbel_softmax(x, vq.Generator(1)).numpy(),
    "mse": lambda x: metrics.mse(x, ROWS * 0.5),
    "psnr": lambda x: metrics.psnr(x, ROWS * 0.5, 1.0),
    "quantization_error": lambda x: metrics.quantization_error(x, ROWS * 0.5),
    "divergence": lambda x: metrics.divergence(x, ROWS * 0.5),
    "divergence_bound": metrics.divergence_bound,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_integers_give_what_floats_give(call: Callable[[Any], Any], dtype: Any) -> None:
    wanted = call(ROWS.astype(np.float32))
    vq.manual_seed(1)
    np.testing.assert_array_equal(call(ROWS.astype(dtype)), wanted)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_lists_of_integers_are_taken(call: Callable[[Any], Any]) -> None:
    wanted = call(ROWS.astype(np.float32))
    vq.manual_seed(1)
    np.testing.assert_array_equal(call(ROWS.tolist()), wanted)


LAYERS: dict[str, tuple[Callable[[], Any], np.ndarray]] = {
    "linear": (lambda: nn.Linear(4, 2, generator=vq.Generator(1)), ROWS),
    "conv2d": (lambda: nn.Conv2d(3, 2, 3, generator=vq.Generator(1)), IMAGES),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(3, 2, 3, generator=vq.Generator(1)), IMAGES),
    "batch_norm": (lambda: nn.BatchNorm(3), IMAGES),
    "layer_norm": (lambda: nn.LayerNorm(4), ROWS),
    "re_lu": (nn.ReLU, ROWS),
    "max_pool2d": (lambda: nn.MaxPool2d(2), IMAGES),
    "avg_pool2d": (lambda: nn.AvgPool2d(2), IMAGES),
    "upsample": (lambda: nn.Upsample(2), IMAGES),
    "lsq": (lambda: estimators.LSQ(2), ROWS),
}


@pytest.mark.parametrize(("make", "x"), LAYERS.values(), ids=LAYERS.keys())
def test_a_layer_takes_integers_that_are_no_image(make: Callable[[], Any], x: np.ndarray) -> None:
    wanted = make()(x.astype(np.float32)).numpy()
    for dtype in (bool, np.int8, np.int16, np.int32, np.int64):
        np.testing.assert_array_equal(make()(x.astype(dtype)).numpy(), wanted)
    np.testing.assert_array_equal(make()(x.tolist()).numpy(), wanted)


@pytest.mark.parametrize(("name", "make"), [(n, m) for n, (m, _) in LAYERS.items()])
@pytest.mark.parametrize(("dtype", "divisor"), [(np.uint8, "255"), (np.uint16, "65535")])
def test_an_image_of_bytes_is_to_be_divided(
    name: str, make: Callable[[], Any], dtype: Any, divisor: str
) -> None:
    x = LAYERS[name][1].astype(dtype)
    wholes = [make(), nn.Sequential(make()), nn.Sequential(nn.Identity(), make())]
    for whole in wholes:
        with pytest.raises(TypeError, match=f"divide an image by {divisor}") as caught:
            whole(x)
        assert "int32" not in str(caught.value)
        assert np.dtype(dtype).name in str(caught.value)


def test_models_and_functions_say_so_too() -> None:
    model = vq.models.SQVAE(vq.VectorQuant(4, 5), width=4)
    images = np.zeros((1, 32, 32, 3), np.uint8)
    for call in (model, model.encode, lambda x: F.conv2d(x, SQUARE), lambda x: F.max_pool2d(x, 2)):
        with pytest.raises(TypeError, match="divide an image by 255"):
            call(images)
    with pytest.raises(TypeError, match=r"holds integers.*image / 255"):
        nn.Conv2d(3, 2, 3)(vq.Tensor(images))


def test_embeddings_take_indices_of_any_integer_type() -> None:
    table = nn.Sequential(nn.Flatten(), nn.Embedding(5, 4))
    wanted = table(np.array([[0, 4]], np.int32)).numpy()
    for dtype in (np.uint8, np.int64, np.uint16):
        np.testing.assert_array_equal(table(np.array([[0, 4]], dtype)).numpy(), wanted)


def test_what_float32_rounds_is_refused() -> None:
    exact = np.array([[2**24, 2**30, -(2**40), 2**63]], np.float64).astype(np.float32)
    held = np.array([[2**24, 2**30, -(2**40), 2**62]], np.int64)
    assert F.mse_loss(held, exact).item() == pytest.approx((2.0**62) ** 2 / 4)
    for value in (2**24 + 1, -(2**24) - 1, 2**53 + 1, 2**63 - 1, -(2**63) + 1):
        with pytest.raises(ValueError, match=f"mse_loss.*int64 holds {value}, which float32"):
            F.mse_loss(np.array([[value]]), [[0.0]])
    with pytest.raises(ValueError, match="uint64 holds 18446744073709551615"):
        nn.Linear(1, 1)(np.array([[2**64 - 1]], np.uint64))


def test_integer_images_have_a_range_of_their_own() -> None:
    a = np.arange(2 * 12 * 12 * 3).reshape(2, 12, 12, 3).astype(np.uint8)
    b = a[:, ::-1]
    for metric in (metrics.psnr, metrics.ssim):
        with pytest.raises(ValueError, match=r"data_range=255"):
            metric(a, b)
        as_bytes = metric(a, b, 255)
        assert as_bytes == pytest.approx(metric(a / 255, b / 255, 1.0), abs=1e-4)
        assert metric(a / 255, b / 255) == metric(a / 255, b / 255, 1.0)
