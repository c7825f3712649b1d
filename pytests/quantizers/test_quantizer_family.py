"""FSQ, LFQ, Gumbel and Gaussian quantizers against NumPy in Float64, through Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, nn, optim

EPSILON = 2.0**-23

KINDS = ("I", "II", "III", "IV")
FAMILY: dict[str, Callable[[], vq.Quantizer]] = {
    "FSQ": lambda: vq.FSQ([8, 5, 3, 2]),
    "LFQ": lambda: vq.LFQ(4, commitment_weight=0.25, temperature=1.0),
    "Gumbel": lambda: vq.GumbelQuant(4, 9, temperature_decay=0.5),
    "hard Gumbel": lambda: vq.GumbelQuant(4, 9, hard=True),
    **{f"Gaussian {kind}": lambda kind=kind: vq.SQVAEQuant(4, 9, kind=kind) for kind in KINDS},
}
LAYERS = pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY.keys())


def vectors(*shape: int, seed: int = 1) -> Tensor:
    return vq.Generator(seed).normal(shape)


def arguments(layer: vq.Quantizer, z: Tensor) -> tuple[Tensor, ...]:
    """z and, where the layer takes one, a log variance."""
    needs = isinstance(layer, vq.SQVAEQuant) and layer.kind != "I"
    return (z, vectors(*z.shape, seed=2)) if needs else (z,)


@LAYERS
@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 3, 3, 4)])
def test_evaluation_is_the_decoding_of_the_codes(
    make: Callable[[], vq.Quantizer], shape: tuple[int, ...]
) -> None:
    layer = make().eval()
    given = arguments(layer, vectors(*shape))
    z_q, info = layer(*given)
    codes = layer.encode(*given)
    assert codes.shape == shape[:-1] and codes.dtype == np.int32
    assert np.array_equal(info.q.numpy(), codes.numpy())
    assert np.array_equal(layer.decode(codes).numpy(), z_q.numpy())
    assert info.loss.shape == () and info.d.shape == shape[:-1]
    parts = info.commitment_loss + info.codebook_loss + info.regularization
    assert info.loss.item() == pytest.approx(parts, rel=4 * EPSILON, abs=4 * EPSILON)


@LAYERS
def test_channels_first(make: Callable[[], vq.Quantizer]) -> None:
    last, first = make().eval(), make().eval()
    first.load_state_dict(last.state_dict())
    first.dim = 1
    given = arguments(last, vectors(2, 3, 5, 4))
    turned = [Tensor(np.moveaxis(x.numpy(), -1, 1)) for x in given]
    z_q, info = last(*given)
    other, told = first(*turned)
    assert np.array_equal(np.moveaxis(other.numpy(), 1, -1), z_q.numpy())
    assert np.array_equal(told.q.numpy(), info.q.numpy())
    assert np.array_equal(first.encode(*turned).numpy(), info.q.numpy())
    assert np.array_equal(first.decode(told.q).numpy(), other.numpy())


@LAYERS
def test_lengths_leave_out_the_padding(make: Callable[[], vq.Quantizer]) -> None:
    layer = make().eval()
    clean = [x.numpy() for x in arguments(layer, vectors(2, 6, 4))]
    lengths = [4, 6]
    padded = [x.copy() for x in clean]
    for x in padded:
        x[0, 4:] = np.nan
    z_q, info = layer(*padded, lengths=lengths)
    mask = np.arange(6) < np.array(lengths)[:, None]
    same, told = layer(*clean, mask=mask)
    assert np.array_equal(z_q.numpy(), same.numpy())
    assert info.loss.item() == told.loss.item()
    assert np.array_equal(info.q.numpy() == -1, ~mask)
    assert not z_q.numpy()[~mask].any()
    assert np.array_equal(layer.encode(*padded, lengths=lengths).numpy(), info.q.numpy())


@LAYERS
def test_a_saved_layer_goes_on_bit_for_bit(
    make: Callable[[], vq.Quantizer], tmp_path: Path
) -> None:
    layer, other = make(), make()
    given = arguments(layer, vectors(7, 4))
    layer(*given)
    state = layer.state_dict()
    if state:
        vq.save(tmp_path / "layer.safetensors", state)
        state = vq.load(tmp_path / "layer.safetensors")[0]
    other.load_state_dict(state)
    for _ in range(2):
        (z_q, info), (again, told) = layer(*given), other(*given)
        assert np.array_equal(z_q.numpy(), again.numpy())
        assert info.loss.item() == told.loss.item()


@LAYERS
def test_the_task_reaches_the_encoder(make: Callable[[], vq.Quantizer]) -> None:
    layer = make()
    z = Tensor(vectors(6, 4).numpy(), requires_grad=True)
    z_q, info = layer(z, *arguments(layer, z)[1:])
    (info.loss * 10 + (z_q * z_q).sum()).backward()
    assert z.grad is not None and np.isfinite(z.grad.numpy()).all() and z.grad.numpy().any()


@LAYERS
def test_no_quantization_passes_vectors_through(make: Callable[[], vq.Quantizer]) -> None:
    layer = make()
    given = arguments(layer, vectors(6, 4))
    before = layer.state_dict()
    with vq.no_quantization(layer):
        z_q, info = layer(*given)
    assert np.array_equal(z_q.numpy(), given[0].numpy()) and info.loss.item() == 0
    assert np.array_equal(info.q.numpy(), layer.encode(*given).numpy())
    for name, value in layer.state_dict().items():
        assert np.array_equal(value, before[name]), name


# FSQ


def fsq_bound(z: np.ndarray, levels: list[int]) -> np.ndarray:
    count = np.array(levels)
    half = (count - 1) * 1.001 / 2
    offset = np.where(count % 2 == 0, 0.5, 0.0)
    return np.tanh(z + np.arctanh(offset / half)) * half - offset


def test_fsq_hand_values() -> None:
    layer = vq.FSQ([3, 5, 4])
    z_q, info = layer([0.25, 0.6, -7.0])
    assert z_q.numpy().tolist() == [0, 0.5, -1] and info.q.item() == 10
    assert layer.levels == (3, 5, 4)
    assert not layer.state_dict() and not list(layer.parameters())


@pytest.mark.parametrize("levels", [[3], [8, 5, 5, 5], [2, 4, 7], [8, 8, 8, 6, 5]])
def test_fsq_equals_its_formulas(levels: list[int]) -> None:
    z = vectors(2000, len(levels)).numpy() * 2
    z_q, info = vq.FSQ(levels)(z)
    bounded = fsq_bound(z.astype(np.float64), levels)
    half_width = np.array(levels) // 2
    rounded = np.rint(bounded)
    # Away from halves by more than float32 rounds the bound.
    clear = np.abs(np.abs(bounded - rounded) - 0.5) > 32 * EPSILON
    assert clear.mean() > 0.999
    assert np.array_equal(z_q.numpy()[clear], (rounded / half_width).astype(np.float32)[clear])
    index = np.rint(z_q.numpy() * half_width + half_width).astype(np.int64)
    basis = np.cumprod([1, *levels[:-1]])
    assert np.array_equal(info.q.numpy(), (index * basis).sum(-1))
    np.testing.assert_allclose(info.z.numpy(), bounded / half_width, atol=16 * EPSILON)


# LFQ


def lfq_loss(z: np.ndarray, temperature: float, diversity: float) -> float:
    bits = z.shape[1]
    codes = np.arange(2**bits)[:, None] >> np.arange(bits - 1, -1, -1) & 1
    logits = 2 * z @ (2.0 * codes - 1).T / temperature
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)

    def entropy(p: np.ndarray) -> np.ndarray:
        return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)

    return float(entropy(p).mean() - diversity * entropy(p.mean(0)))


def test_lfq_hand_values() -> None:
    layer = vq.LFQ(3)
    z_q, info = layer([[0.2, -0.1, 0.5], [0.0, -0.0, 1.0]])
    assert z_q.numpy().tolist() == [[1, -1, 1], [-1, -1, 1]]
    assert info.q.numpy().tolist() == [5, 1]
    assert layer.decode([5, -1]).numpy().tolist() == [[1, -1, 1], [0, 0, 0]]


@pytest.mark.parametrize("bits", [1, 2, 5, 10])
@pytest.mark.parametrize("temperature", [0.01, 0.5, 4.0])
def test_lfq_loss_equals_its_formula(bits: int, temperature: float) -> None:
    z = vectors(60, bits).numpy()
    layer = vq.LFQ(
        bits, temperature=temperature, diversity=0.5, entropy_weight=2.0, commitment_weight=0.25
    )
    _, info = layer(z)
    wide = z.astype(np.float64)
    expected = 2 * lfq_loss(wide, temperature, 0.5)
    # Logits of size 2 bits / temperature carry their rounding into the probabilities.
    tolerance = 8 * EPSILON * (1 + 4 * bits / max(temperature, 0.5))
    assert info.regularization == pytest.approx(expected, rel=tolerance, abs=tolerance)
    error = ((np.abs(wide) - 1) ** 2).mean()
    assert info.commitment_loss == pytest.approx(0.25 * error, rel=8 * EPSILON)
    _, quiet = layer.eval()(z)
    assert quiet.loss.item() == info.loss.item()


def test_lfq_keeps_no_table_of_vectors_by_codes() -> None:
    """18 bits of 4096 vectors would be a table of 4 GB."""
    _, info = vq.LFQ(18)(vectors(4096, 18))
    # No two of so many sign vectors are shared by more than a few: the mean is nearly uniform
    # over as many codes as there are vectors.
    assert -0.1 * np.log(4096) * 1.01 < info.loss.item() < -0.1 * np.log(4096) * 0.9


# Gumbel


def gumbel_logits(layer: vq.GumbelQuant, z: np.ndarray) -> np.ndarray:
    state = layer.state_dict()
    return (
        z.astype(np.float64) @ state["projection.weight"].astype(np.float64).T
        + state["projection.bias"]
    )


def test_gumbel_evaluation_equals_its_formulas() -> None:
    layer = vq.GumbelQuant(6, 20, code_size=3, kl_weight=0.5).eval()
    z = vectors(50, 6).numpy()
    z_q, info = layer(z)
    logits = gumbel_logits(layer, z)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    codes = logits.argmax(1)
    assert np.array_equal(info.q.numpy(), codes)
    assert np.array_equal(z_q.numpy(), layer.codebook.numpy()[codes])
    loss = 0.5 * (p * np.log(20 * p)).sum(1).mean()
    # sum p log p and log k, both about 3, nearly cancel.
    assert info.loss.item() == pytest.approx(loss, abs=8 * EPSILON)
    expected = -np.log(p[np.arange(50), codes])
    np.testing.assert_allclose(info.d.numpy(), expected, rtol=16 * EPSILON)
    assert [name for name, _ in layer.named_parameters()] == [
        "codebook",
        "projection.weight",
        "projection.bias",
    ]


def test_gumbel_temperature_anneals_in_training_alone() -> None:
    layer = vq.GumbelQuant(4, 8, temperature=2.0, temperature_decay=0.5, temperature_min=0.75)
    seen = []
    for _ in range(3):
        seen.append(layer.temperature)
        layer(vectors(3, 4))
    layer.eval()(vectors(3, 4))
    assert [*seen, layer.temperature] == [2.0, 1.0, 0.75, 0.75]


def test_layers_of_one_seed_differ_and_a_manual_seed_repeats_them() -> None:
    vq.manual_seed(3)
    first, second = vq.GumbelQuant(4, 8), vq.GumbelQuant(4, 8)
    vq.manual_seed(3)
    again = vq.GumbelQuant(4, 8)
    assert not np.array_equal(first.codebook.numpy(), second.codebook.numpy())
    assert np.array_equal(first.codebook.numpy(), again.codebook.numpy())


# Gaussian


@pytest.mark.parametrize("kind", KINDS)
def test_gaussian_evaluation_equals_its_formulas(kind: str) -> None:
    layer = vq.SQVAEQuant(5, 30, kind=kind).eval()
    state = layer.state_dict()
    state["log_variance"] = np.array(-1.0, np.float32)
    layer.load_state_dict(state)
    z, given = vectors(3, 4, 2, 5), vectors(3, 4, 2, 5, seed=2)
    _, info = layer(z) if kind == "I" else layer(z, given)

    x, logvar = z.numpy().astype(np.float64), given.numpy().astype(np.float64)
    axes = {"I": None, "II": (1, 2, 3), "III": (3,), "IV": ()}[kind]
    own = np.zeros_like(x) if axes is None else logvar.mean(axes, keepdims=True) + 0 * x
    s2 = np.exp(own) + np.exp(-1.0)
    codebook = layer.codebook.numpy().astype(np.float64)
    logits = -0.5 * ((x[..., None, :] - codebook) ** 2 / s2[..., None, :]).sum(-1)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    codes = logits.argmax(-1)
    assert np.array_equal(info.q.numpy(), codes)
    entropy = (p * np.log(np.maximum(p, 1e-300))).sum() / 3
    error = (0.5 * (x - codebook[codes]) ** 2 / s2).sum() / 3
    assert info.regularization == pytest.approx(entropy, rel=64 * EPSILON)
    assert info.commitment_loss == pytest.approx(error, rel=64 * EPSILON)
    distances = ((x - codebook[codes]) ** 2).sum(-1)
    np.testing.assert_allclose(info.d.numpy(), distances, rtol=8 * EPSILON)


def test_gaussian_reconstruction_loss() -> None:
    x, y = vectors(4, 6, 5, 3), vectors(4, 6, 5, 3, seed=2)
    squares = ((x.numpy().astype(np.float64) - y.numpy()) ** 2).sum()
    loss = vq.SQVAEQuant.reconstruction_loss(x, y)
    assert loss.item() == pytest.approx(45 * np.log(squares / 4), rel=8 * EPSILON)


# Learning


def clusters(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(8, 4)) * 2
    points = centers[rng.integers(8, size=512)] + 0.05 * rng.normal(size=(512, 4))
    return points.astype(np.float32)


def evaluated_error(layer: vq.Quantizer, x: np.ndarray) -> float:
    layer.eval()
    error = float(((layer(x)[0].numpy() - x) ** 2).mean())
    layer.train()
    return error


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_learns_clusters_and_more_codes_help(hard: bool) -> None:
    x, errors = clusters(), []
    for codes in (2, 24):
        layer = vq.GumbelQuant(4, codes, temperature_decay=0.99, temperature_min=0.1, hard=hard)
        optimizer = optim.Adam(layer.parameters(), lr=0.05)
        start = evaluated_error(layer, x)
        for _ in range(200):
            z_q, info = layer(x)
            loss = ((z_q - Tensor(x)) * (z_q - Tensor(x))).mean() + info.loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors.append(evaluated_error(layer, x))
        assert errors[-1] < start
    # Eight clusters of standard deviation 0.05.
    assert errors[1] < 0.02 * errors[0]


@pytest.mark.parametrize("kind", ["I", "IV"])
def test_an_sq_vae_learns_clusters_and_its_variance_anneals_itself(kind: str) -> None:
    """Sixty-four values a sample: enough for the reconstruction to outweigh the entropy."""
    x = clusters() @ np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32) / 2
    vq.manual_seed(0)
    encoder, variance, decoder = nn.Linear(64, 8), nn.Linear(64, 8), nn.Linear(8, 64)
    layer = vq.SQVAEQuant(8, 32, kind=kind, temperature_decay=0.99, temperature_min=0.1)
    parts = (encoder, variance, decoder, layer)
    optimizer = optim.Adam([p for part in parts for p in part.parameters()], lr=0.02)
    for _ in range(200):
        z_q, info = layer(encoder(x), variance(x) if kind == "IV" else None)
        reconstructed = decoder(z_q)
        loss = info.loss + layer.reconstruction_loss(x, reconstructed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((reconstructed.numpy() - x) ** 2).mean() < 0.01 * x.var()
    assert layer.state_dict()["log_variance"] < 1.5 < np.log(20)
    assert info.perplexity > 6
