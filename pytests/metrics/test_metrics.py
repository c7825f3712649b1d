"""Metrics against NumPy in Float64, by hand, and against other libraries where installed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, metrics

EPSILON = 2.0**-52


# Usage


def test_perplexity_is_two_to_the_entropy(rng: np.random.Generator) -> None:
    codes = rng.integers(0, 50, (7, 9, 3))
    shares = np.bincount(codes.ravel(), minlength=64) / codes.size
    shares = shares[shares > 0]
    expected = 2 ** -(shares * np.log2(shares)).sum()
    assert metrics.perplexity(codes, 64) == pytest.approx(expected, rel=64 * EPSILON)
    assert metrics.active_codes(codes, 64) == len(shares)


@pytest.mark.parametrize("m", [1, 2, 5, 256])
def test_m_equally_used_codes_have_perplexity_m(m: int) -> None:
    assert metrics.perplexity(np.tile(np.arange(m), 3), 300) == pytest.approx(m, rel=m * EPSILON)


def test_an_epoch_is_its_batches_together(rng: np.random.Generator) -> None:
    batches = [rng.integers(-1, 20, size) for size in [(4, 5), (31,), (0,), (2, 2, 2)]]
    usage = metrics.CodeUsage(20)
    for batch in batches:
        usage.update(batch)
    together = np.concatenate([batch.ravel() for batch in batches])
    kept = together[together >= 0]
    assert usage.counts.dtype == np.int64
    assert np.array_equal(usage.counts, np.bincount(kept, minlength=20))
    assert np.array_equal(usage.probabilities, np.bincount(kept, minlength=20) / len(kept))
    assert usage.perplexity == metrics.perplexity(kept, 20)
    assert usage.active_codes == len(np.unique(kept))
    usage.counts[:] = 7
    assert usage.counts.sum() == len(kept)
    usage.reset()
    assert usage.active_codes == 0 and not usage.counts.any()


def test_a_refused_batch_is_not_counted_in_part() -> None:
    usage = metrics.CodeUsage(4)
    usage.update([1, 1])
    with pytest.raises(IndexError):
        usage.update([0, 1, 4])
    assert usage.counts.tolist() == [0, 2, 0, 0]


def test_codes_of_a_layer_count_as_they_come(no_leak: None) -> None:
    layer = vq.VectorQuant(2, 8, seed=3)
    z = vq.Generator(1).normal((5, 6, 2))
    mask = np.arange(30).reshape(5, 6) % 3 > 0
    _, info = layer(z, mask)
    assert metrics.perplexity(info.q, 8) == pytest.approx(info.perplexity, rel=2.0**-23)
    assert metrics.active_codes(info.q, 8) == info.active_codes


# Distances


def test_quantization_error_is_the_loss_before_its_weights(rng: np.random.Generator) -> None:
    layer = vq.VectorQuant(3, 8, seed=3)
    z = Tensor(rng.normal(size=(40, 3)))
    z_q, info = layer(z)
    error = metrics.quantization_error(z, z_q)
    assert error == pytest.approx(info.loss.item(), rel=2.0**-22)
    expected = np.square(z.numpy().astype(np.float64) - z_q.numpy()).mean()
    assert error == pytest.approx(expected, rel=2.0**-20)


def test_masked_vectors_enter_no_quantization_error(rng: np.random.Generator) -> None:
    z, z_q = rng.normal(size=(2, 6, 5, 4)).astype(np.float32)
    mask = rng.random((6, 5)) < 0.6
    z[~mask] = np.nan
    expected = np.square(z[mask].astype(np.float64) - z_q[mask]).mean()
    assert metrics.quantization_error(z, z_q, mask) == pytest.approx(expected, rel=2.0**-20)
    assert metrics.quantization_error(z, z_q, mask.astype(np.int64) * 5) == pytest.approx(
        expected, rel=2.0**-20
    )


@pytest.mark.parametrize("mean", [0.0, 50.0])
def test_divergences_are_the_definition(rng: np.random.Generator, mean: float) -> None:
    p = (rng.normal(size=(300, 8)) + mean).astype(np.float32)
    c = (rng.normal(size=(40, 8)) + mean).astype(np.float32)
    squares = np.square(p[:, None].astype(np.float64) - c).sum(axis=2)
    used = np.unique(squares.argmin(axis=1))
    q = c[used]
    # One rounding of each distance to float32.
    near = pytest.approx
    assert metrics.divergence(p, c) == near(squares.min(axis=1).mean() / 2, rel=2.0**-24)
    assert metrics.divergence(c, p) == near(squares.min(axis=0).mean() / 2, rel=2.0**-24)
    assert metrics.divergence(p, q) == metrics.divergence(p, c)
    assert metrics.divergence(c, q) > 0 == metrics.divergence(q, c)
    assert metrics.divergence_bound(p) == near(
        p.astype(np.float64).var(axis=0).sum() / 2, rel=2.0**-22
    )


def test_the_best_codebook_stays_below_the_bound(rng: np.random.Generator) -> None:
    p = rng.normal(size=(200, 4)).astype(np.float32) + 5
    far = np.zeros((3, 4), np.float32)
    best = vq.kmeans(p, 8).centroids
    assert metrics.divergence(p, best) < metrics.divergence_bound(p) < metrics.divergence(p, far)


def test_activation_probability_is_the_binomial_tail() -> None:
    def tail(n: int, k: int, least: int) -> float:
        terms = [math.comb(n, j) * (k - 1) ** (n - j) for j in range(least)]
        return 1 - sum(terms) / k**n if least <= n else 0.0

    sizes = {"batch_size": 3, "height": 16, "width": 8, "pool_layers": 2}
    for least in (0, 1, 2, 5, 24, 25):
        found = metrics.activation_probability(10, at_least=least, **sizes)
        assert found == pytest.approx(tail(24, 10, least), rel=1e-12, abs=24 * EPSILON)


def test_activation_probability_keeps_the_digits_of_small_tails() -> None:
    binom = pytest.importorskip("scipy.stats").binom
    for k, batch, least in [(1024, 1, 40), (64, 10, 300), (4096, 64, 100), (2, 1, 1000)]:
        n = batch * 1024
        found = metrics.activation_probability(
            k, batch_size=batch, height=32, width=32, at_least=least
        )
        expected = binom.sf(least - 1, n, 1 / k)
        # The logarithms of factorials are about n log n.
        assert found == pytest.approx(expected, rel=4 * EPSILON * n * math.log(n))


# Gradients


class Autoencoder(vq.nn.Module):
    """Batch norm, dropout and a quantizer: all that must stay as it was."""

    def __init__(self, quantizer: vq.nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = vq.nn.Sequential(
            vq.nn.Linear(4, 3), vq.nn.BatchNorm(3), vq.nn.Dropout(0.2), vq.nn.Linear(3, 2)
        )
        self.quantizer = quantizer or vq.VectorQuant(2, 8, seed=5)
        self.decoder = vq.nn.Sequential(vq.nn.Linear(2, 6), vq.nn.GELU(), vq.nn.Linear(6, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, object]:
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info


QUANTIZERS: dict[str, Callable[[], vq.nn.Module]] = {
    "plain": lambda: vq.VectorQuant(2, 8, seed=5),
    "alternating": lambda: vq.VectorQuant(
        2,
        8,
        sync_nu=1.0,
        affine_lr=1.0,
        replace_freq=1,
        kmeans_init=True,
        inplace_optimizer=lambda p: vq.optim.SGD(p, lr=0.1, momentum=0.9),
    ),
    "replacing": lambda: vq.VectorQuant(2, 8, replace_freq=1, norm="bn", code_size=3),
    "stochastic": lambda: vq.VectorQuant(
        2, 8, affine="ema", temperature=1.0, temperature_decay=0.9, gradient="directional"
    ),
    "averaging": lambda: vq.VectorQuant(2, 8, ema_decay=0.9, ema_manual=True),
    "group": lambda: vq.GroupVectorQuant(2, 4, groups=2, sync_nu=0.5),
    "residual": lambda: vq.ResidualVectorQuant(2, 4, stages=3, quantizer_dropout=0.5),
}


def task_loss(model: Autoencoder, x: Tensor) -> Callable[[], tuple[Tensor, object]]:
    def loss() -> tuple[Tensor, object]:
        y, info = model(x)
        return vq.nn.functional.mse_loss(y, x), info

    return loss


def gradients(
    model: Autoencoder, loss: Callable[[], tuple[Tensor, object]]
) -> dict[str, np.ndarray]:
    model.zero_grad()
    loss()[0].backward()
    return gradients_of(model)


def gradients_of(model: Autoencoder) -> dict[str, np.ndarray]:
    every = model._walk_parameters(True)
    return {name: p.grad.numpy() for name, p in every if p.grad is not None}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_gradient_gap_is_the_difference_of_two_passes(training: bool) -> None:
    vq.manual_seed(1)
    model = Autoencoder().train(training)
    state, draws = model.state_dict(), model.rng_state_dict()
    loss = task_loss(model, vq.Generator(2).normal((32, 4)))
    info = loss()[1]
    model.load_state_dict(state)
    model.load_rng_state_dict(draws)
    quantized = gradients(model, loss)
    model.load_state_dict(state)
    model.load_rng_state_dict(draws)
    with vq.no_quantization(model):
        exact = gradients(model, loss)
    model.load_state_dict(state)
    model.load_rng_state_dict(draws)

    gap = metrics.gradient_gap(model, loss)
    names = [name for name in exact if not name.startswith("quantizer.")]
    assert list(gap.by_parameter) == names
    for name in names:
        expected = np.square(exact[name].astype(np.float64) - quantized[name]).sum()
        # oneDNN's sums depend on the thread count in the last bits.
        scale = float(np.square(exact[name]).sum())
        assert gap.by_parameter[name] == pytest.approx(expected, rel=1e-4, abs=1e-9 * scale)
    assert gap.total == pytest.approx(sum(gap.by_parameter.values()), rel=1e-12)
    assert gap.total > 0
    assert gap.perplexity == info.perplexity and gap.active_codes == info.active_codes


def test_codes_that_hold_every_vector_leave_no_gap() -> None:
    vq.manual_seed(1)
    model = Autoencoder().eval()
    x = vq.Generator(2).normal((8, 4))
    model.quantizer.codebook.assign(model.encoder(x))
    gap = metrics.gradient_gap(model, task_loss(model, x))
    assert gap.total == 0
    assert gap.active_codes == 8


@pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=QUANTIZERS.keys())
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_gradient_gap_leaves_everything_as_it_was(
    quantizer: Callable[[], vq.nn.Module], training: bool, no_leak: None
) -> None:
    vq.manual_seed(1)
    model = Autoencoder(quantizer())
    optimizer = vq.optim.AdamW(model.parameters(), lr=1e-3)
    loss = task_loss(model, vq.Generator(2).normal((16, 4)))
    for _ in range(3):
        optimizer.zero_grad()
        loss()[0].backward()
        optimizer.step()
    loss()[0].backward()
    model.train(training)

    def everything() -> dict[str, np.ndarray]:
        found = {f"state {n}": v for n, v in model.state_dict().items()}
        found |= {f"rng {n}": v for n, v in model.rng_state_dict().items()}
        found |= {f"optimizer {n}": v for n, v in optimizer.state_dict().items()}
        inner = getattr(model.quantizer, "inplace_optimizer", None)
        if inner is not None:
            found |= {f"inner {n}": v for n, v in inner.state_dict().items()}
        found |= {f"grad {n}": g for n, g in gradients_of(model).items()}
        return found

    before = everything()
    gap = metrics.gradient_gap(model, loss)
    assert gap.total > 0 and gap.perplexity >= 1
    after = everything()
    assert before.keys() == after.keys()
    assert [n for n in before if not np.array_equal(before[n], after[n])] == []
    assert not model.quantizer.frozen and model.encoder.training == training


def test_a_loss_that_fails_leaves_everything_as_it_was() -> None:
    vq.manual_seed(1)
    model = Autoencoder().train()
    model.quantizer.freeze()
    x = vq.Generator(2).normal((16, 4))
    before = model.state_dict()

    def failing() -> tuple[Tensor, object]:
        model(x)
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        metrics.gradient_gap(model, failing)
    after = model.state_dict()
    assert all(np.array_equal(before[n], after[n]) for n in before)
    assert model.quantizer.frozen
    _, info = model(x)
    assert info.loss.item() > 0, "the quantizer quantizes again"
