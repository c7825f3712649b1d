"""A codebook that is given, in whatever way, is the codebook: the layer goes on as one that began
with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, nn, optim

D, K = 8, 8
Layer = Any


def sgd(parameters: list[Tensor]) -> optim.Optimizer:
    return optim.SGD(parameters, lr=0.5, momentum=0.9)


def adam(parameters: list[Tensor]) -> optim.Optimizer:
    return optim.Adam(parameters, lr=0.05)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "EMA": {"ema_decay": 0.8},
    "EMA without smoothing": {"ema_decay": 0.99, "ema_epsilon": 0.0},
    "manual EMA": {"ema_decay": 0.8, "ema_manual": True},
    "EMA of directions": {"ema_decay": 0.8, "norm": "l2", "cb_norm": "l2"},
    "k-means": {"init": "kmeans"},
    "k-means++": {"init": "kmeans++"},
    "EMA from k-means": {"init": "kmeans", "ema_decay": 0.8},
    "in-place from k-means": {"init": "kmeans", "inplace_optimizer": sgd},
    "repeated k-means": {"kmeans_freq": 3},
    "replacement": {"replace_freq": 4},
    "EMA with replacement": {"ema_decay": 0.8, "replace_freq": 4},
    "learned map": {"affine_lr": 0.5, "affine_groups": 2},
    "moments": {"affine": "ema"},
    "EMA with moments": {"affine": "ema", "ema_decay": 0.8},
    "in-place SGD": {"inplace_optimizer": sgd},
    "in-place Adam": {"inplace_optimizer": adam},
    "in-place, synchronized": {"inplace_optimizer": sgd, "sync_nu": 0.5},
    "outer steps": {"inplace_optimizer": sgd, "outer_steps": 2, "sync_nu": 0.5},
    "synchronized": {"sync_nu": 0.5},
    "SimVQ": {"simvq": True},
    "rotation": {"gradient": "rotation"},
    "directional": {"gradient": "directional"},
    "projections": {"code_size": 4, "ema_decay": 0.8},
    "drawn codes": {"temperature": 1.0},
    "regularizers": {"orthogonal_weight": 0.1, "entropy_weight": 0.1},
}
KINDS: dict[str, Callable[..., Layer]] = {
    "plain": lambda **o: vq.VectorQuant(D, K, **o),
    "group": lambda **o: vq.GroupVectorQuant(D, K, groups=2, **o),
    "shared group": lambda **o: vq.GroupVectorQuant(D, K, groups=2, shared=True, **o),
    "residual": lambda **o: vq.ResidualVectorQuant(D, K, stages=2, **o),
    "shared residual": lambda **o: vq.ResidualVectorQuant(D, K, stages=2, shared=True, **o),
}


def books(layer: Layer) -> dict[str, np.ndarray]:
    """The raw codebooks by their names in the state."""
    return {n: v for n, v in layer.state_dict().items() if n.rpartition(".")[2] == "codebook"}


def through_file(layer: Layer, given: dict[str, np.ndarray], path: Path) -> None:
    vq.save(path / "codes.safetensors", given)
    layer.load_state_dict(vq.load(path / "codes.safetensors")[0], strict=False)


def in_a_model(layer: Layer, given: dict[str, np.ndarray], path: Path) -> None:
    model = nn.Module()
    model.parts = [nn.Linear(2, 2), layer]
    state = {f"parts.1.{name}": value for name, value in given.items()}
    model.load_state_dict(state, strict=False)


def assign_each(write: Callable[[Tensor, np.ndarray], None]) -> Callable[..., None]:
    def way(layer: Layer, given: dict[str, np.ndarray], path: Path) -> None:
        for tensor, value in zip(layer.codebooks, given.values(), strict=True):
            write(tensor, value)

    return way


WAYS: dict[str, Callable[[Layer, dict[str, np.ndarray], Path], None]] = {
    "assign": assign_each(lambda tensor, value: tensor.assign(value)),
    "assign a tensor": assign_each(lambda tensor, value: tensor.assign(Tensor(value))),
    "assign twice": assign_each(lambda t, value: (t.assign(value * 2), t.assign(value))[0]),
    "assign to a view": assign_each(lambda t, value: t.detach().reshape(-1).assign(value.ravel())),
    "load in part": lambda layer, given, path: layer.load_state_dict(given, strict=False),
    "load in part from a file": through_file,
    "load in part through a model": in_a_model,
}


class Run:
    """A layer, the optimizer of what it gives to its caller, and training steps."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        parameters = layer.parameters()
        self.optimizer = optim.Adam(parameters, lr=0.02) if parameters else None

    def step(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        z = rng.normal(0.5, 1.0, (40, D)).astype(np.float32)
        pull = rng.normal(size=z.shape).astype(np.float32) / len(z)
        z_q, info = self.layer(Tensor(z, requires_grad=True))
        ((z_q * pull).sum() + info.loss).backward()
        if self.optimizer is not None:
            self.optimizer.step()
            self.optimizer.zero_grad()
        if self.layer_is_manual:
            self.layer.update()

    @property
    def layer_is_manual(self) -> bool:
        return any("ema_pending_counts" in name for name in self.layer.state_dict())

    def state(self) -> dict[str, np.ndarray]:
        """All that is of a codebook's past: not maps, projections, draws, nor moments of them."""
        other = ("affine_scale", "affine_bias", "transform", "weight", "bias", "temperature")
        state = {
            name: value
            for name, value in self.layer.state_dict().items()
            if not name.endswith((*other, "generator", "running_mean", "running_var"))
        }
        for index, optimizer in enumerate(self.layer.inplace_optimizers):
            state |= {f"in-place {index} {n}": v for n, v in optimizer.state_dict().items()}
        return state


def equal_rest(layer: Layer, began: Layer) -> None:
    """Gives `layer` what of `began` does not follow from a codebook."""
    rest = {n: v for n, v in began.state_dict().items() if n.endswith(("generator", "temperature"))}
    layer.load_state_dict(rest, strict=False)
    mine = dict(layer._walk_parameters(True))
    for name, tensor in began._walk_parameters(True):
        if not name.endswith("codebook"):
            mine[name].assign(tensor)


def make(kind: str, options: dict[str, Any], seed: int) -> Layer:
    try:
        return KINDS[kind](seed=seed, **options)
    except ValueError as refused:
        pytest.skip(str(refused))


def assert_equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray], way: str = "") -> None:
    assert a.keys() == b.keys(), way
    for name in a:
        assert np.array_equal(a[name], b[name]), f"{name} {way}"


def began_with(kind: str, options: dict[str, Any]) -> Layer:
    """A layer that begins with its codebook: no k-means sets it."""
    return make(kind, {n: v for n, v in options.items() if n != "init"}, 77)


@pytest.mark.parametrize("trained", [0, 3])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_given_codebook_trains_as_one_that_was_there(
    kind: str, option: str, trained: int, tmp_path: Path
) -> None:
    for way, give in WAYS.items():
        began = Run(began_with(kind, OPTIONS[option]))
        run = Run(make(kind, OPTIONS[option], 5))
        for step in range(trained):
            run.step(step)
        given = books(began.layer)
        give(run.layer, given, tmp_path)
        assert_equal(books(run.layer), given, way)
        for step in (10, 11):
            equal_rest(run.layer, began.layer)
            began.step(step)
            run.step(step)
            assert_equal(run.state(), began.state(), way)


@pytest.mark.parametrize("trained", [0, 3])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_strict_load_brings_all_that_follows(kind: str, option: str, trained: int) -> None:
    """The in-place and outer moments of another codebook are forgotten too."""
    source = Run(make(kind, OPTIONS[option], 77))
    for step in range(2):
        source.step(20 + step)
    run = Run(make(kind, OPTIONS[option], 5))
    for step in range(trained):
        run.step(step)
    run.layer.load_state_dict(source.layer.state_dict())
    fresh = Run(make(kind, OPTIONS[option], 6))
    fresh.layer.load_state_dict(source.layer.state_dict())
    for step in (10, 11):
        run.step(step)
        fresh.step(step)
        # Maps and projections keep the moments of the outer optimizer, as PyTorch's parameters do.
        if not trained or all(n.endswith("codebook") for n, _ in run.layer.named_parameters()):
            assert_equal(run.state(), fresh.state())


@pytest.mark.parametrize("order", ["model first", "optimizer first"])
def test_moments_that_are_loaded_stay_whatever_comes_first(order: str) -> None:
    def make_run(seed: int) -> Run:
        return Run(vq.VectorQuant(D, K, inplace_optimizer=sgd, affine_lr=0.1, seed=seed))

    source, run = make_run(1), make_run(2)
    for step in range(3):
        source.step(step)
        run.step(step)
    loads = [
        lambda: run.layer.load_state_dict(source.layer.state_dict()),
        lambda: run.layer.inplace_optimizer.load_state_dict(
            source.layer.inplace_optimizer.state_dict()
        ),
    ]
    for load in loads if order == "model first" else loads[::-1]:
        load()
    run.optimizer.load_state_dict(source.optimizer.state_dict())
    source.step(9)
    run.step(9)
    assert_equal(source.layer.state_dict(), run.layer.state_dict())


@pytest.mark.parametrize("options", [{"inplace_optimizer": sgd}, {"ema_decay": 0.9}, {}])
def test_weights_that_are_swapped_for_an_evaluation_leave_training_alone(
    options: dict[str, Any],
) -> None:
    runs = [Run(vq.VectorQuant(D, K, seed=1, **options)) for _ in range(2)]
    for step in range(6):
        for run in runs:
            run.step(step)
        layer = runs[0].layer
        before = layer.state_dict()
        layer.load_state_dict({n: v * 2 if v.dtype.kind == "f" else v for n, v in before.items()})
        layer.eval()(np.ones((3, D), np.float32))
        layer.train().load_state_dict(before)
        assert_equal(runs[0].state(), runs[1].state())


def test_rows_that_stay_keep_their_statistics() -> None:
    """A caller who replaces a code touches that code alone."""
    layer = vq.VectorQuant(D, K, ema_decay=0.8, replace_freq=100, seed=1)
    run = Run(layer)
    for step in range(4):
        run.step(step)
    before = layer.state_dict()
    codes = layer.codebook.numpy()
    codes[3] = 7
    layer.codebook.assign(codes)
    after = layer.state_dict()
    rest = np.arange(K) != 3
    for name in ("ema_counts", "ema_sums", "unused_steps"):
        assert np.array_equal(after[name][rest], before[name][rest]), name
    assert after["ema_counts"][3] == 1 and (after["ema_sums"][3] == 7).all()
    assert after["unused_steps"][3] == 0
    layer.codebook.assign(codes)
    assert_equal(layer.state_dict(), after)


@pytest.mark.parametrize("kind", [k for k in KINDS if "residual" not in k])
def test_an_ema_codebook_follows_its_formula_from_where_it_was_given(kind: str) -> None:
    layer = make(kind, {"ema_decay": 0.75, "ema_epsilon": 0.0}, 1)
    run = Run(layer)
    run.step(0)
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=v.shape).astype(np.float32) for name, v in books(layer).items()}
    layer.load_state_dict(given, strict=False)
    z = rng.normal(size=(40, D)).astype(np.float32)
    layer(z)
    groups = 1 if kind == "plain" else 2
    parts = z.reshape(40, groups, D // groups).transpose(1, 0, 2).astype(np.float64)
    if kind == "shared group":
        parts = parts.reshape(1, -1, D // groups)
    for (name, value), rows in zip(books(layer).items(), parts, strict=True):
        codes = given[name].astype(np.float64)
        q = ((rows[:, None] - codes) ** 2).sum(-1).argmin(1)
        for j in range(K):
            count, total = (q == j).sum(), rows[q == j].sum(0)
            expected = (0.75 * codes[j] + 0.25 * total) / (0.75 + 0.25 * count)
            # A few roundings of numbers below 4.
            np.testing.assert_allclose(value[j], expected, atol=8 * 4 * 2.0**-24)


def test_an_ema_codebook_that_an_optimizer_moved_is_not_overwritten() -> None:
    layer = vq.VectorQuant(D, 1, ema_decay=0.5, ema_epsilon=0.0, seed=1)
    z = np.random.default_rng(0).normal(size=(40, D)).astype(np.float32)
    layer(z)
    layer.codebook.grad = Tensor(np.full((1, D), -100.0))
    optim.SGD([layer.codebook], lr=1.0).step()
    moved = layer.codebook.numpy()[0].astype(np.float64)
    layer(z)
    # Counts go from 1 to 20.5, then to 30.25.
    expected = (0.5 * 20.5 * moved + 0.5 * z.sum(0)) / 30.25
    np.testing.assert_allclose(layer.codebook.numpy()[0], expected, rtol=1e-6)


@pytest.mark.parametrize("init", ["kmeans", "kmeans++"])
def test_a_codebook_that_an_optimizer_moved_is_not_overwritten(init: str) -> None:
    layer = vq.VectorQuant(D, K, init=init, seed=1)
    layer.codebook.grad = Tensor(np.ones((K, D)))
    start = layer.codebook.numpy()
    optim.SGD([layer.codebook], lr=1.0).step()
    layer(np.random.default_rng(0).normal(size=(40, D)))
    assert np.array_equal(layer.codebook.numpy(), start - 1)


@pytest.mark.parametrize(
    "make_layer", [lambda: vq.GumbelQuant(D, K, seed=1), lambda: vq.SQVAEQuant(D, K, seed=1)]
)
@pytest.mark.parametrize("is_loaded", [False, True])
def test_other_quantizers_forget_the_moments_of_the_codebook_before(
    make_layer: Callable[[], Layer], is_loaded: bool
) -> None:
    layer = make_layer()
    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    z = np.random.default_rng(0).normal(size=(40, D)).astype(np.float32)

    def gradients() -> None:
        z_q, info = layer(z)
        (z_q.sum() + info.loss).backward()

    for _ in range(3):
        optimizer.zero_grad()
        gradients()
        optimizer.step()
    codes = np.random.default_rng(1).normal(size=(K, D)).astype(np.float32)
    if is_loaded:
        layer.load_state_dict({"codebook": codes}, strict=False)
    else:
        layer.codebook.assign(codes)
    assert layer.codebook.grad is None
    index = [n for n, _ in layer.named_parameters()].index("codebook")
    assert not any(name.startswith(f"{index}.") for name in optimizer.state_dict())
    gradients()
    moved = layer.codebook.grad.numpy()
    optimizer.step()
    # The first step of Adam is lr times the sign, but for eps.
    expected = codes - 0.1 * moved / (np.abs(moved) + 1e-8)
    np.testing.assert_allclose(layer.codebook.numpy(), expected, atol=1e-6)


def test_other_parameters_keep_their_moments_as_pytorchs_do() -> None:
    layer = nn.Linear(2, 2)
    optimizer = optim.Adam(layer.parameters())
    layer(np.ones((1, 2))).sum().backward()
    optimizer.step()
    before = optimizer.state_dict()
    layer.weight.assign(np.zeros((2, 2)))
    assert_equal(optimizer.state_dict(), before)


@pytest.mark.parametrize("name", ["LSQ", "LSQPlus"])
@pytest.mark.parametrize("way", ["assign", "load"])
def test_a_given_step_is_the_step(name: str, way: str) -> None:
    layer = getattr(vq.estimators, name)(4)
    x = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    if way == "assign":
        layer.step.assign(0.125)
    else:
        layer.load_state_dict({"step": np.float32(0.125)}, strict=False)
    found = layer(x).numpy()
    assert layer.step.item() == 0.125
    low, high = (-8, 7) if name == "LSQ" else (0, 15)
    np.testing.assert_allclose(found, np.round(np.clip(x / 0.125, low, high)) * 0.125, atol=1e-6)


def test_a_given_offset_is_the_offset() -> None:
    layer = vq.estimators.LSQPlus(4)
    layer.offset.assign(-0.5)
    x = np.linspace(0, 4, 9, dtype=np.float32)[:, None]
    layer(x)
    assert layer.offset.item() == -0.5
    assert layer.step.item() == pytest.approx(4.5 / 15)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_step_or_clip_that_is_none_is_refused(value: float) -> None:
    for layer, name in (
        (vq.estimators.LSQ(4), "step"),
        (vq.estimators.LSQPlus(4), "step"),
        (vq.estimators.PACT(4), "clip"),
    ):
        tensor = getattr(layer, name)
        before = tensor.item()
        with pytest.raises(ValueError, match=f"{name} = .*: must be positive and finite"):
            tensor.assign(value)
        assert tensor.item() == before


def test_a_codebook_of_which_one_row_stays_starts_the_moments_anew() -> None:
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32) * 5 + 10
    layer = vq.VectorQuant(4, 8, seed=0, affine="ema")
    for _ in range(5):
        layer(x)
    given = vq.kmeans(x, 8).centroids
    given[7] = layer.codebook.numpy()[7]
    layer.codebook.assign(given)
    np.testing.assert_array_equal(layer.effective_codebook.numpy(), given)
