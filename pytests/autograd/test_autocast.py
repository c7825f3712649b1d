"""`vq.autocast`: NumPy's products in Float64 of operands that NumPy rounds are the witness."""

import threading
import warnings

import numpy as np
import pytest
import vqswift as vq
from vqswift import _autocast

rng = np.random.default_rng(0)


def nearest(x: np.ndarray) -> np.ndarray:
    """Rounded to 8 bits, ties to even, in Float64."""
    fraction, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.rint(fraction * 256) / 256, exponent)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def gradients(layer, x: np.ndarray, pull: np.ndarray):
    """The value, and the gradients of sum(value * pull), of x and the layer's parameters."""
    leaf = vq.Tensor(x, requires_grad=True)
    with vq.autocast("bfloat16", simulate=True):
        value = layer(leaf)
    (value * pull).sum().backward()  # outside of the block
    return value.numpy(), leaf.grad.numpy()


def test_products() -> None:
    a, b = normal(40, 30), normal(30, 20)
    x, y = vq.Tensor(a, requires_grad=True), vq.Tensor(b, requires_grad=True)
    with vq.autocast(simulate=True):
        product = x @ y
    pull = normal(40, 20)
    (product * pull).sum().backward()
    close = {"rtol": 0, "atol": 3e-5}
    np.testing.assert_allclose(product.numpy(), nearest(a) @ nearest(b), **close)
    np.testing.assert_allclose(x.grad.numpy(), nearest(pull) @ nearest(b).T, **close)
    np.testing.assert_allclose(y.grad.numpy(), nearest(a).T @ nearest(pull), **close)
    assert np.abs(product.numpy() - a.astype(float) @ b).max() > 1e-3
    assert product.dtype == np.float32


def test_a_linear_layer() -> None:
    layer = vq.nn.Linear(30, 20)
    x, pull = normal(4, 10, 30), normal(4, 10, 20)
    value, gradient = gradients(layer, x, pull)
    weight = nearest(layer.weight.numpy())
    close = {"rtol": 0, "atol": 3e-5}
    np.testing.assert_allclose(value, nearest(x) @ weight.T + layer.bias.numpy(), **close)
    np.testing.assert_allclose(gradient, nearest(pull) @ weight, **close)
    rows = nearest(pull).reshape(-1, 20)
    np.testing.assert_allclose(
        layer.weight.grad.numpy(), rows.T @ nearest(x).reshape(-1, 30), **close
    )
    np.testing.assert_allclose(
        layer.bias.grad.numpy(), pull.reshape(-1, 20).sum(0, dtype=float), **close
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution(stride: int) -> None:
    layer = vq.nn.Conv2d(6, 8, 3, stride=stride, padding=1)
    x = normal(2, 9, 9, 6)
    pull = normal(*layer(x).shape)
    value, gradient = gradients(layer, x, pull)
    weight = nearest(layer.weight.numpy())
    padded = np.pad(nearest(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    windows = windows[:, ::stride, ::stride]  # [n, oh, ow, c, 3, 3]
    close = {"rtol": 0, "atol": 3e-5}
    wanted = np.einsum("nhwcij,ocij->nhwo", windows, weight) + layer.bias.numpy()
    np.testing.assert_allclose(value, wanted, **close)
    wanted = np.einsum("nhwcij,nhwo->ocij", windows, nearest(pull))
    np.testing.assert_allclose(layer.weight.grad.numpy(), wanted, rtol=0, atol=2e-4)
    spread = np.zeros_like(padded)
    each = np.einsum("nhwo,ocij->nhwcij", nearest(pull), weight)
    for i in range(3):
        for j in range(3):
            rows = slice(i, i + stride * each.shape[1], stride)
            columns = slice(j, j + stride * each.shape[2], stride)
            spread[:, rows, columns] += each[..., i, j]
    np.testing.assert_allclose(gradient, spread[:, 1:-1, 1:-1], **close)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (vq.nn.LayerNorm(8), (4, 8)),
        (vq.nn.GRU(8, 8), (2, 5, 8)),
        (vq.VectorQuant(8, 16, sync_nu=0.5, affine_lr=1.0, seed=0), (64, 8)),
        (vq.GroupVectorQuant(8, 16, groups=2, seed=0), (64, 8)),
        (vq.ResidualVectorQuant(8, 16, stages=3, seed=0), (64, 8)),
        (vq.FSQ([4, 4, 4, 4, 4, 4, 4, 4]), (64, 8)),
        (vq.SQVAEQuant(8, 16, seed=0), (64, 8)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stays_float32(layer: vq.nn.Module, shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    layer.eval()

    def told() -> list[np.ndarray]:
        leaf = vq.Tensor(x, requires_grad=True)
        result = layer(leaf)
        value = result[0] if isinstance(result, tuple) else result
        if value.requires_grad:
            (value * np.cos(x)).sum().backward()
        return [value.numpy()] + ([] if leaf.grad is None else [leaf.grad.numpy()])

    plain = told()
    with vq.autocast(simulate=True):
        for found, wanted in zip(told(), plain, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_attention_stays_float32() -> None:
    q, k, v = (vq.Tensor(normal(2, 2, 7, 8)) for _ in range(3))
    attention = vq.nn.functional.scaled_dot_product_attention
    plain = attention(q, k, v).numpy()
    with vq.autocast(simulate=True):
        np.testing.assert_array_equal(attention(q, k, v).numpy(), plain)


def test_blocks_nest_and_end() -> None:
    a, b = normal(30, 30), normal(30, 30)
    plain = (vq.Tensor(a) @ b).numpy()
    with vq.autocast(simulate=True):
        rounded = (vq.Tensor(a) @ b).numpy()
        with vq.autocast("float32"):
            np.testing.assert_array_equal((vq.Tensor(a) @ b).numpy(), plain)
        with pytest.raises(ZeroDivisionError), vq.autocast(np.float32):
            _ = 1 / 0
        np.testing.assert_array_equal((vq.Tensor(a) @ b).numpy(), rounded)
        beside = []
        other = threading.Thread(target=lambda: beside.append((vq.Tensor(a) @ b).numpy()))
        other.start()
        other.join()
    assert (rounded != plain).any()
    np.testing.assert_array_equal((vq.Tensor(a) @ b).numpy(), plain)
    np.testing.assert_array_equal(beside[0], plain)

    @vq.autocast(vq.bfloat16, simulate=True)
    def product() -> np.ndarray:
        return (vq.Tensor(a) @ b).numpy()

    for _ in range(2):
        np.testing.assert_array_equal(product(), rounded)


def test_a_checkpoint_computes_again_as_before() -> None:
    layer = vq.nn.Linear(30, 20)
    x, pull = normal(5, 30), normal(5, 20)
    plain = gradients(layer, x, pull)
    weight = layer.weight.grad.numpy()
    layer.zero_grad()
    again = gradients(lambda leaf: vq.autograd.checkpoint(layer, leaf), x, pull)
    np.testing.assert_array_equal(layer.weight.grad.numpy(), weight)
    for found, wanted in zip(again, plain, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_training_goes_on_as_in_float32() -> None:
    images = rng.random((64, 8, 8, 3)).astype(np.float32)

    def losses(**options) -> list[float]:
        vq.manual_seed(0)
        model = vq.models.SQVAE(vq.VectorQuant(16, 8, kmeans_init=True, seed=0), width=16)
        optimizer = vq.optim.AdamW(model.parameters(), lr=2e-3)
        batches = vq.data.Batches(images, batch_size=16, seed=0)
        trainer = vq.train.Trainer(model, optimizer, batches)
        with vq.autocast(**options):
            steps = trainer.fit(24, progress=False)
        assert all(p.dtype == np.float32 for p in model.parameters())
        return [step.loss for step in steps]

    plain, rounded = losses(dtype="float32"), losses(simulate=True)
    assert plain != rounded
    np.testing.assert_allclose(rounded[0], plain[0], rtol=0.01)
    # Later steps find other codes.
    assert np.mean(rounded[-4:]) < 0.3 * rounded[0]
    assert np.mean(rounded[-4:]) < 1.5 * np.mean(plain[-4:])


def test_a_cpu_without_it_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_autocast._core, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(_autocast, "_WARNED", [])
    a, b = normal(30, 30), normal(30, 30)
    plain = (vq.Tensor(a) @ b).numpy()
    told = pytest.warns(UserWarning, match="products stay float32; simulate=True")
    with told as seen, vq.autocast("bfloat16"):
        np.testing.assert_array_equal((vq.Tensor(a) @ b).numpy(), plain)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with vq.autocast("bfloat16"), vq.autocast(simulate=True):
            pass


def test_bad_arguments() -> None:
    wanted = r"\[autocast\] dtype float16: bfloat16 or float32"
    with pytest.raises(ValueError, match=wanted), vq.autocast("float16"):
        pass
    with pytest.raises(TypeError, match=r"\[autocast\] dtype = 'bfloat': a dtype is required"):
        vq.autocast("bfloat")
    with pytest.raises(TypeError, match=r"\[autocast\] simulate = 'yes': True or False"):
        vq.autocast(simulate="yes")
    with pytest.raises(ValueError, match=r"products = 5: it must be 0, 1 or 2"):
        vq._core.set_products(5)
    assert vq._core.products() == 0


@pytest.mark.skipif(not vq._core.multiplies_bfloat16(), reason="needs AVX-512 BF16 and oneDNN")
def test_the_instruction_gives_what_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = vq.nn.Conv2d(32, 48, 3, stride=2, padding=1)
    x = normal(4, 16, 16, 32)
    pull = normal(4, 8, 8, 48)
    native = gradients(layer, x, pull)
    monkeypatch.setattr(_autocast._core, "multiplies_bfloat16", lambda: False)
    simulated = gradients(layer, x, pull)
    for found, wanted in zip(native, simulated, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
