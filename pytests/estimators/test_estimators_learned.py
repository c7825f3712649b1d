"""Learned-step quantizers and categorical samples against NumPy in Float64, through Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, estimators, nn, optim

EPSILON = 2.0**-23

QUANTIZERS: dict[str, Callable[[], nn.Module]] = {
    "PACT": lambda: estimators.PACT(3, clip=1.5),
    "LSQ weights": lambda: estimators.LSQ(3),
    "LSQ activations": lambda: estimators.LSQ(3, values="activations"),
    "LSQ signed activations": lambda: estimators.LSQ(3, values="activations", signed=True),
    "LSQ+": lambda: estimators.LSQPlus(3),
    "LSQ+ signed": lambda: estimators.LSQPlus(3, signed=True),
}
EACH = pytest.mark.parametrize("make", QUANTIZERS.values(), ids=QUANTIZERS.keys())


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return vq.Generator(seed).normal(shape).numpy()


def levels(bits: int, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def away_from_ties(x: np.ndarray, step: float, offset: float) -> np.ndarray:
    """x with every place on the grid at least 1e-3 from a half and from a whole number, so that
    float32 and Float64 agree on rounding and on what is inside."""
    places = (x.astype(np.float64) - offset) / step
    part = places - np.floor(places)
    moved = np.floor(places) + np.where(part < 0.5, 0.25, 0.75)
    near = (np.abs(part - 0.5) < 1e-3) | (part < 1e-3) | (part > 1 - 1e-3)
    return np.where(near, moved * step + offset, x).astype(np.float32)


def stepped(
    x: np.ndarray, g: np.ndarray, step: float, offset: float, low: int, high: int
) -> tuple[np.ndarray, np.ndarray, float, float, float]:
    """Output, dx, ds and do without their scale, and the magnitude of ds, in Float64."""
    v = (x.astype(np.float64) - offset) / step
    g = g.astype(np.float64)
    output = np.rint(np.clip(v, low, high)) * step + offset
    inside = (v > low) & (v < high)
    terms = g * np.where(inside, np.rint(v) - v, np.clip(v, low, high))
    return output, np.where(inside, g, 0), terms.sum(), g[~inside].sum(), np.abs(terms).sum()


@pytest.mark.parametrize("shape", [(40,), (5, 7), (3, 4, 4, 6)])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_pact_is_its_formula(bits: int, shape: tuple[int, ...]) -> None:
    clip, count = 1.25, 2**bits - 1
    x_values = away_from_ties(normal(*shape), clip / count, 0)
    g = normal(*shape, seed=2)
    layer, x = estimators.PACT(bits, clip=clip), Tensor(x_values, requires_grad=True)
    y = layer(x)
    y.backward(Tensor(g))
    wanted = np.rint(np.clip(x_values.astype(np.float64), 0, clip) * count / clip) * clip / count
    assert np.abs(y.numpy() - wanted).max() <= 2 * EPSILON * clip
    assert np.array_equal(x.grad.numpy(), np.where((x_values >= 0) & (x_values < clip), g, 0))
    above = g[x_values >= clip].astype(np.float64)
    assert abs(layer.clip.grad.item() - above.sum()) <= 16 * EPSILON * (1 + np.abs(above).sum())


@pytest.mark.parametrize("shape", [(40,), (6, 5), (3, 4, 4, 6)])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("kind", ["weights", "activations", "plus"])
def test_learned_steps_are_their_formula(
    kind: str, bits: int, signed: bool, shape: tuple[int, ...]
) -> None:
    low, high = levels(bits, signed)
    layer = (
        estimators.LSQPlus(bits, signed=signed)
        if kind == "plus"
        else estimators.LSQ(bits, values=kind, signed=signed)
    )
    first = normal(*shape) + 0.25
    layer(first)
    wide = first.astype(np.float64)
    if kind == "plus":
        start = (wide.max() - wide.min()) / (high - low)
        assert layer.offset.item() == pytest.approx(wide.min() - low * start, abs=8 * EPSILON)
    else:
        start = 2 * np.abs(wide).mean() / np.sqrt(high)
    assert layer.step.item() == pytest.approx(start, rel=8 * EPSILON)
    assert layer.initialized.item() == 1

    # Other values than those of the start, so that places lie beyond both ends.
    step = 1.7 / (high - low)
    layer.step.assign(step)
    offset = -0.4 if kind == "plus" else 0.0
    if kind == "plus":
        layer.offset.assign(offset)
    step, offset = float(np.float32(step)), float(np.float32(offset))
    x_values = away_from_ties(normal(*shape, seed=3), step, offset)
    g = normal(*shape, seed=4)
    x = Tensor(x_values, requires_grad=True)
    y = layer(x)
    y.backward(Tensor(g))
    output, dx, ds, do, magnitude = stepped(x_values, g, step, offset, low, high)
    assert np.abs(y.numpy() - output).max() <= 4 * EPSILON
    assert np.array_equal(x.grad.numpy(), dx.astype(np.float32))
    count = x_values.size if kind == "weights" else x_values[0].size
    scale = 1 / np.sqrt(count * high)
    # A place of magnitude up to 3 / step is off by its last bit, and so is round(v) - v.
    slack = 16 * EPSILON * magnitude + 4 * EPSILON / step * np.abs(g).sum()
    assert abs(layer.step.grad.item() - ds * scale) <= slack * scale
    if kind == "plus":
        slack = 16 * EPSILON * (1 + np.abs(g).sum())
        assert abs(layer.offset.grad.item() - do * scale) <= slack * scale


def test_places_on_the_ends_count_as_outside() -> None:
    layer = estimators.LSQ(2)
    layer(normal(4))
    layer.step.assign(0.5)
    x = Tensor(np.array([-1.0, -0.5, 0.5, 0.2], np.float32), requires_grad=True)
    y = layer(x)
    assert y.numpy().tolist() == [-1.0, -0.5, 0.5, 0.0]
    y.backward(Tensor(np.array([1, 10, 100, 1000], np.float32)))
    assert x.grad.numpy().tolist() == [0, 10, 0, 1000]
    expected = (1 * -2 + 100 * 1 + 1000 * -0.4) / np.sqrt(4)
    assert layer.step.grad.item() == pytest.approx(expected, rel=4 * EPSILON)


@EACH
def test_state_goes_both_ways(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    layer = make()
    layer(normal(8, 5))
    state = layer.state_dict()
    parameters = {name for name, _ in layer.named_parameters()}
    assert set(state) - parameters == set(state) & {"initialized"}
    vq.save(tmp_path / "state", state)
    other = make()
    other.load_state_dict(vq.load(tmp_path / "state")[0])
    x = normal(4, 5, seed=9)
    assert np.array_equal(other(x).numpy(), layer(x).numpy())
    after = other.state_dict()
    assert all(np.array_equal(after[name], value) for name, value in state.items())


@EACH
def test_outputs_are_fixed_points_of_few_values(make: Callable[[], nn.Module]) -> None:
    layer = make()
    y = layer(normal(30, 40))
    assert 2 <= len(np.unique(y.numpy())) <= 8
    assert np.array_equal(layer(y).numpy(), y.numpy())
    assert layer.eval()(np.zeros((0, 4), np.float32)).shape == (0, 4)


@EACH
def test_evaluation_keeps_nothing(make: Callable[[], nn.Module]) -> None:
    trained, fresh = make(), make().eval()
    before = fresh.state_dict()
    x = normal(30, 4)
    assert np.array_equal(fresh(x).numpy(), trained(x).numpy())
    assert all(np.array_equal(before[n], v) for n, v in fresh.state_dict().items())


@EACH
def test_threads_do_not_matter(
    make: Callable[[], nn.Module], threads: Callable[[int], None]
) -> None:
    def bits() -> list[bytes]:
        layer, x = make(), Tensor(normal(50, 40, 41), requires_grad=True)
        y = layer(x)
        y.backward(Tensor(normal(50, 40, 41, seed=2)))
        grads = [x.grad, *(parameter.grad for parameter in layer.parameters())]
        return [tensor.numpy().tobytes() for tensor in (y, *grads)]

    threads(1)
    one = bits()
    threads(2)
    assert bits() == one


def test_quantizers_run_inside_a_native_network() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), estimators.LSQPlus(4), nn.Linear(8, 2))
    model(normal(16, 6)).sum().backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert set(grads) > {"2.step", "2.offset"}
    assert all(grad is not None for grad in grads.values())


def test_weight_decay_reaches_the_clip_and_spares_steps_on_request() -> None:
    for layer, name, decays in [
        (estimators.PACT(4), "clip", True),
        (estimators.LSQ(4), "step", False),
    ]:
        layer(normal(50)).sum().backward()
        parameter = getattr(layer, name)
        parameter.grad = np.float32(0)
        before = parameter.item()
        optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.5, decay_biases_and_norms=False).step()
        assert parameter.item() == pytest.approx(before * (0.95 if decays else 1), rel=EPSILON)


def test_lsq_learns_its_step() -> None:
    """A regression from the solution's weights: from a step that is too small and from one that is
    too large training comes to the same."""
    x, solution = normal(256, 32), normal(32, 1, seed=5)

    def trained(factor: float) -> float:
        weight = Tensor(solution, requires_grad=True)
        layer = estimators.LSQ(4)
        layer(weight)
        layer.step.assign(layer.step.numpy() * factor)
        optimizer = optim.Adam([weight, *layer.parameters()], lr=0.003)
        losses = []
        for _ in range(1500):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(Tensor(x) @ layer(weight), Tensor(x @ solution))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert np.mean(losses[-20:]) < 0.1 * losses[0]
        step: float = layer.step.item()
        return step

    assert trained(0.1) == pytest.approx(trained(4.0), rel=0.05)


def test_pact_learns_its_clip() -> None:
    """Values up to 4 under a clip of 1: the error's gradient opens it."""
    x = np.linspace(0, 4, 200, dtype=np.float32)
    layer = estimators.PACT(4, clip=1.0)
    optimizer = optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.mse_loss(layer(x), Tensor(x)).backward()
        optimizer.step()
    assert 3.5 < layer.clip.item() < 4.5


# Categories

LOGITS = np.array([0.5, -1.0, 0.25, 1.5])
QUADRATIC = np.array(
    [[1.0, 0.5, -0.3, 0.2], [0.1, -2.0, 0.4, 0.0], [0.6, -0.1, 1.5, 0.3], [0.0, 0.9, -0.7, 0.8]]
)
LINEAR = np.array([0.3, -0.5, 2.0, 1.0])


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def jacobian_product(p: np.ndarray, g: np.ndarray) -> np.ndarray:
    return p * (g - (p * g).sum(-1, keepdims=True))


Sampler = Callable[[Tensor, vq.Generator], Tensor]
SAMPLERS: dict[str, Sampler] = {
    "reinmax": estimators.reinmax,
    "straight-through": estimators.straight_through_softmax,
    "hard Gumbel": estimators.gumbel_softmax,
}


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_samples_follow_the_softmax(sampler: Sampler) -> None:
    n = 40_000
    drawn = sampler(Tensor(np.tile(LOGITS, (2, n // 2, 1))), vq.Generator(3)).numpy()
    assert drawn.shape == (2, n // 2, 4)
    assert set(np.unique(drawn)) == {0.0, 1.0} and (drawn.sum(-1) == 1).all()
    p = softmax(LOGITS)
    # Five standard deviations of a share.
    assert (np.abs(drawn.mean((0, 1)) - p) < 5 * np.sqrt(p * (1 - p) / n)).all()


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_draws_go_on_with_the_generator(sampler: Sampler, threads: Callable[[int], None]) -> None:
    logits, generator = Tensor(normal(300, 70)), vq.Generator(5)
    threads(1)
    first, second = (sampler(logits, generator).numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    # A block a row, or a word an element.
    blocks = 300 * 70 // 4 if sampler is estimators.gumbel_softmax else 300
    assert generator.counter == 2 * blocks
    threads(2)
    again = vq.Generator(5)
    assert np.array_equal(sampler(logits, again).numpy(), first)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.3])
@pytest.mark.parametrize("shape", [(7,), (5, 1), (40, 33), (3, 4, 600)])
def test_reinmax_gradient_is_its_formula(shape: tuple[int, ...], temperature: float) -> None:
    values, g = normal(*shape), normal(*shape, seed=2)
    logits = Tensor(values, requires_grad=True)
    sample = estimators.reinmax(logits, vq.Generator(7), temperature=temperature)
    sample.backward(Tensor(g))
    wide, g = values.astype(np.float64), g.astype(np.float64)
    p1 = (sample.numpy() + softmax(wide / temperature)) / 2
    wanted = 2 * jacobian_product(p1, g) - 0.5 * jacobian_product(softmax(wide), g)
    assert np.abs(logits.grad.numpy() - wanted).max() <= 32 * EPSILON * np.abs(g).max()


def test_straight_through_gradient_is_the_softmax() -> None:
    values, g = normal(20, 9), normal(20, 9, seed=2)
    logits = Tensor(values, requires_grad=True)
    estimators.straight_through_softmax(logits, vq.Generator(7)).backward(Tensor(g))
    wanted = jacobian_product(softmax(values.astype(np.float64)), g.astype(np.float64))
    assert np.abs(logits.grad.numpy() - wanted).max() <= 16 * EPSILON * np.abs(g).max()


def test_gumbel_softmax_hard_and_soft_agree() -> None:
    values, g = normal(20, 9), normal(20, 9, seed=2)
    soft, hard = Tensor(values, requires_grad=True), Tensor(values, requires_grad=True)
    y = estimators.gumbel_softmax(soft, vq.Generator(1), temperature=0.7, hard=False)
    d = estimators.gumbel_softmax(hard, vq.Generator(1), temperature=0.7)
    assert np.allclose(y.numpy().sum(-1), 1, atol=8 * EPSILON)
    assert np.array_equal(d.numpy().argmax(-1), y.numpy().argmax(-1))
    y.backward(Tensor(g))
    d.backward(Tensor(g))
    assert np.array_equal(soft.grad.numpy(), hard.grad.numpy())
    wanted = jacobian_product(y.numpy().astype(np.float64), g.astype(np.float64)) / 0.7
    assert np.abs(soft.grad.numpy() - wanted).max() <= 32 * EPSILON * np.abs(g).max()


def gradients_by_category(sampler: Sampler, cubic: float) -> np.ndarray:
    """The gradient of f(D) = D A D + b D + cubic (b D)^3 in the logits for each D, [k, k]."""
    n = 512
    logits = Tensor(np.tile(LOGITS, (n, 1)), requires_grad=True)
    d = sampler(logits, vq.Generator(11))
    linear = (d @ Tensor(LINEAR[:, None])).sum(axis=1)
    quadratic = ((d @ Tensor(QUADRATIC)) * d).sum(axis=1)
    (quadratic + linear + linear * linear * linear * cubic).sum().backward()
    drawn = d.numpy().argmax(-1)
    rows = [logits.grad.numpy()[drawn == code] for code in range(4)]
    assert all(len(row) and np.ptp(row, axis=0).max() == 0 for row in rows)
    return np.stack([row[0] for row in rows]).astype(np.float64)


def exact_gradient(cubic: float) -> np.ndarray:
    """sum_i p_i f(e_i), differentiated."""
    f = np.diag(QUADRATIC) + LINEAR + cubic * LINEAR**3
    return jacobian_product(softmax(LOGITS), f)


def test_reinmax_is_unbiased_for_quadratic_functions() -> None:
    """Over every category with its probability, against the exact gradient of the mean."""
    p = softmax(LOGITS)
    mean = p @ gradients_by_category(estimators.reinmax, 0)
    assert np.abs(mean - exact_gradient(0)).max() <= 32 * EPSILON
    biased = p @ gradients_by_category(estimators.straight_through_softmax, 0)
    assert np.abs(biased - exact_gradient(0)).max() > 0.1


def test_reinmax_is_closer_than_straight_through_beyond_quadratic() -> None:
    p, exact = softmax(LOGITS), exact_gradient(0.05)
    near = np.abs(p @ gradients_by_category(estimators.reinmax, 0.05) - exact).max()
    far = np.abs(p @ gradients_by_category(estimators.straight_through_softmax, 0.05) - exact).max()
    assert 1e-4 < near < far / 5


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_categories_far_apart(sampler: Sampler) -> None:
    """Shares among 2000 categories of which few can be drawn, the last among them."""
    values = np.full(2000, -1e4)
    values[[3, 700, 1999]] = np.log([0.2, 0.3, 0.5])
    n = 4000
    shares = sampler(Tensor(np.tile(values, (n, 1))), vq.Generator(2)).numpy().mean(0)
    wanted = np.where(values > -1e4, np.exp(values), 0)
    assert (np.abs(shares - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / n)).all()


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_one_category_and_no_rows(sampler: Sampler) -> None:
    alone = Tensor(np.zeros((3, 1)), requires_grad=True)
    d = sampler(alone, vq.Generator(1))
    assert d.numpy().tolist() == [[1], [1], [1]]
    d.sum().backward()
    assert alone.grad.numpy().tolist() == [[0], [0], [0]]
    assert sampler(Tensor(np.zeros((0, 5))), vq.Generator(1)).shape == (0, 5)


@pytest.mark.parametrize("layer", [estimators.PACT(4), estimators.LSQ(4), estimators.LSQPlus(4)])
def test_a_warp_is_refused(layer: estimators.LSQ) -> None:
    for call in (lambda: layer.alpha, lambda: layer.warp(0.1), lambda: layer.inverse_warp(0.1)):
        with pytest.raises(RuntimeError, match=r"\] no warp and no alpha: the step or clip is lea"):
            call()
    with pytest.raises(ValueError, match="'lsq': its step is learned"):
        estimators.get("lsq")
