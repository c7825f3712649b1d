"""Properties that hold for every input, searched by hypothesis."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from vqswift import Tensor

EPSILON = 2.0**-23
FEW = settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
SIZES = {"points": st.integers(1, 60), "codes": st.integers(1, 20), "width": st.integers(1, 9)}


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layer_with(codebook: np.ndarray, **options: Any) -> vq.VectorQuant:
    codes, width = codebook.shape
    layer = vq.VectorQuant(width, codes, **options)
    state = layer.state_dict()
    state["codebook"] = codebook
    layer.load_state_dict(state)
    return layer


def squared_error(x: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Of each point to its nearest code, in Float64."""
    codes = vq.nearest_codes(x, codebook)
    return ((x.astype(np.float64) - codebook[codes]) ** 2).sum(1)


@FEW
@given(seed=SEEDS, **SIZES)
def test_permuted_codes_permute_q(seed: int, points: int, codes: int, width: int) -> None:
    z, codebook = normal(seed, points, width), normal(seed + 1, codes, width)
    order = np.random.default_rng(seed).permutation(codes)
    z_q, info = layer_with(codebook).eval()(Tensor(z))
    permuted, permuted_info = layer_with(codebook[order]).eval()(Tensor(z))
    assert np.array_equal(order[permuted_info.q.numpy()], info.q.numpy())
    assert np.array_equal(permuted.numpy(), z_q.numpy())
    assert permuted_info.perplexity == pytest.approx(info.perplexity, rel=8 * EPSILON)
    assert permuted_info.active_codes == info.active_codes


@FEW
@given(
    points=arrays.arrays(
        np.float32, st.tuples(SIZES["points"], st.just(3)), elements=st.integers(-3, 3)
    ),
    codebook=arrays.arrays(
        np.float32, st.tuples(SIZES["codes"], st.just(3)), elements=st.integers(-3, 3)
    ),
)
def test_the_lowest_of_equally_near_codes_wins(points: np.ndarray, codebook: np.ndarray) -> None:
    """Small integers, whose distances are exact and often equal."""
    distances = ((points[:, None] - codebook[None]) ** 2).sum(-1)
    assert np.array_equal(vq.nearest_codes(points, codebook), distances.argmin(1))


@FEW
@given(seed=SEEDS, used=st.integers(1, 32), unused=st.integers(0, 8), repeats=st.integers(1, 5))
def test_perplexity_of_equally_used_codes_is_their_number(
    seed: int, used: int, unused: int, repeats: int
) -> None:
    codebook = 10 * normal(seed, used + unused, 4)
    z = codebook[:used].repeat(repeats, 0)
    _, info = layer_with(codebook)(Tensor(z))
    assert info.perplexity == pytest.approx(used, rel=1e-5)
    assert info.active_codes == used
    assert info.loss.item() == 0


@FEW
@given(seed=SEEDS, share=st.integers(1, 40), **SIZES)
def test_perplexity_lies_between_one_and_the_number_of_active_codes(
    seed: int, share: int, points: int, codes: int, width: int
) -> None:
    z = normal(seed, points * share, width)
    _, info = layer_with(normal(seed + 1, codes, width))(Tensor(z))
    assert 1 <= info.active_codes <= min(codes, len(z))
    assert 1 - 1e-5 <= info.perplexity <= info.active_codes * (1 + 1e-5)


PLAIN: dict[str, dict[str, Any]] = {
    "nu = 0": {"sync_nu": 0.0},
    "zero affine": {"affine_lr": 2.0},
    "zero affine in one group a code": {"affine_lr": 2.0, "affine_groups": 8},
}


@pytest.mark.parametrize("options", PLAIN.values(), ids=PLAIN.keys())
@FEW
@given(
    seed=SEEDS,
    points=SIZES["points"],
    width=SIZES["width"],
    beta=st.floats(0, 1, width=32),
    scale=st.floats(2.0**-10, 2.0**10, width=32),
)
def test_a_neutral_option_equals_the_plain_layer(
    options: dict[str, Any], seed: int, points: int, width: int, beta: float, scale: float
) -> None:
    codebook, z = normal(seed, 8, width), normal(seed + 1, points, width) * np.float32(scale)
    weights = Tensor(normal(seed + 2, points, width))
    results = []
    for layer in (layer_with(codebook, beta=beta), layer_with(codebook, beta=beta, **options)):
        vectors = Tensor(z, requires_grad=True)
        z_q, info = layer(vectors)
        ((z_q * weights).sum() + info.loss).backward()
        gradients = [t.grad.numpy() for t in (vectors, layer.codebook) if t.grad is not None]
        results.append([z_q.numpy(), info.q.numpy(), info.d.numpy(), info.loss.numpy(), *gradients])
    for plain, other in zip(*results, strict=True):
        assert np.array_equal(plain, other)


ONE: dict[str, Any] = {
    "one group": lambda *sizes, **options: vq.GroupVectorQuant(*sizes, groups=1, **options),
    "one stage": lambda *sizes, **options: vq.ResidualVectorQuant(*sizes, stages=1, **options),
}


@pytest.mark.parametrize("make", ONE.values(), ids=ONE.keys())
@FEW
@given(
    seed=SEEDS,
    points=st.integers(2, 60),
    codes=SIZES["codes"],
    width=SIZES["width"],
    options=st.fixed_dictionaries(
        {},
        optional={
            "beta": st.floats(0, 1, width=32),
            "sync_nu": st.floats(0, 2, width=32),
            "affine_lr": st.just(1.0),
            "affine": st.just("ema"),
            "gradient": st.sampled_from(["ste", "rotation"]),
            "norm": st.sampled_from(["none", "l2", "l2c", "bn"]),
            "replace_freq": st.integers(1, 3),
            "kmeans_init": st.booleans(),
        },
    ).filter(lambda options: not {"affine", "affine_lr"} <= options.keys()),
)
def test_one_part_equals_the_plain_layer(
    make: Any, seed: int, points: int, codes: int, width: int, options: dict[str, Any]
) -> None:
    assume(codes > 1 or "affine" not in options)  # one code has no variance: refused
    batches = [normal(seed + step, points, width) for step in range(4)]
    weights, outcomes = Tensor(normal(seed + 9, points, width)), []
    for build in (vq.VectorQuant, make):
        vq.manual_seed(0)
        layer, outcome = build(width, codes, seed=seed, **options), []
        for batch in batches:
            z = Tensor(batch, requires_grad=True)
            z_q, info = layer(z)
            ((z_q * weights).sum() + info.loss).backward()
            found = [z_q, info.q.reshape(points), info.d.reshape(points), info.loss, z.grad]
            gradients = [p.grad for p in layer.parameters() if p.grad is not None]
            outcome += [t.numpy() for t in found + gradients] + [info.perplexity]
        outcomes.append(outcome + [layer.codebooks[0].numpy()])
    for plain, other in zip(*outcomes, strict=True):
        assert np.array_equal(plain, other)


@FEW
@given(
    seed=SEEDS,
    points=SIZES["points"],
    codes=SIZES["codes"],
    width=SIZES["width"],
    stages=st.integers(1, 5),
    shared=st.booleans(),
)
def test_the_residual_does_not_grow_where_a_code_is_zero(
    seed: int, points: int, codes: int, width: int, stages: int, shared: bool
) -> None:
    layer = vq.ResidualVectorQuant(width, codes, stages=stages, shared=shared).eval()
    state = layer.state_dict()
    for index, name in enumerate(name for name in state if name.endswith("codebook")):
        state[name] = normal(seed + index, codes, width)
        state[name][seed % codes] = 0
    layer.load_state_dict(state)
    z = normal(seed + 9, points, width)
    squared = [(z.astype(np.float64) ** 2).sum(1)]
    squared += list(layer(Tensor(z))[1].d.numpy().astype(np.float64).T)
    # The residual is rounded once a stage.
    for before, after in pairwise(squared):
        assert (after <= before * (1 + 16 * EPSILON)).all()


@FEW
@given(seed=SEEDS, more=st.integers(1, 10), **SIZES)
def test_added_codes_never_raise_the_error(
    seed: int, more: int, points: int, codes: int, width: int
) -> None:
    x, codebook = normal(seed, points, width), normal(seed + 1, codes + more, width)
    assert (squared_error(x, codebook) <= squared_error(x, codebook[:codes])).all()


@FEW
@given(seed=SEEDS, repeats=st.integers(1, 3), **SIZES)
def test_the_objective_of_kmeans_never_rises(
    seed: int, repeats: int, points: int, codes: int, width: int
) -> None:
    """With repeated points, and with more clusters than points too."""
    x = normal(seed, points, width).repeat(repeats, 0)
    start = normal(seed + 1, codes, width)
    inertias = [vq.kmeans(x, codes, iterations=i, init=start).inertia for i in range(8)]
    # Centroids are rounded to float32, which moves each squared distance by that much.
    rounding = 8 * EPSILON * (x.astype(np.float64) ** 2).sum()
    assert all(after <= before + rounding for before, after in pairwise(inertias))


@FEW
@given(seed=SEEDS, **SIZES)
def test_decoded_codes_are_the_output_and_their_own_codes(
    seed: int, points: int, codes: int, width: int
) -> None:
    layer = layer_with(normal(seed, codes, width)).eval()
    z_q, info = layer(Tensor(normal(seed + 1, points, width)))
    decoded = layer.decode(info.q)
    assert np.array_equal(decoded.numpy(), z_q.numpy())
    assert np.array_equal(layer.encode(decoded).numpy(), info.q.numpy())


@pytest.mark.parametrize(
    "layer", [vq.LFQ(5), vq.VectorQuant(3, 32).eval(), vq.FSQ([3, 5, 7])], ids=type
)
def test_every_code_has_a_vector_of_its_own(layer: vq.Quantizer) -> None:
    count = 105 if isinstance(layer, vq.FSQ) else 32
    vectors = layer.decode(np.arange(count)).numpy()
    assert len(np.unique(vectors, axis=0)) == count
    if not isinstance(layer, vq.FSQ):  # whose bound moves a vector
        assert np.array_equal(layer.encode(vectors).numpy(), np.arange(count))


@FEW
@given(seed=SEEDS, exponent=st.integers(-20, 20), **SIZES)
def test_codes_do_not_depend_on_the_unit(
    seed: int, exponent: int, points: int, codes: int, width: int
) -> None:
    """Powers of two scale every distance exactly."""
    x, codebook = normal(seed, points, width), normal(seed + 1, codes, width)
    unit = np.float32(2.0**exponent)
    found, squared = vq.nearest_codes(x, codebook, return_distances=True)
    scaled, scaled_squared = vq.nearest_codes(x * unit, codebook * unit, return_distances=True)
    assert np.array_equal(scaled, found)
    assert np.array_equal(scaled_squared, squared * unit * unit)
