"""The transformer of MaskGIT against its formula in Float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import vqswift as vq

CODES, LENGTH, CLASSES = 7, 5, 3


def network(**options) -> vq.models.MaskGIT:
    vq.manual_seed(0)
    sizes = {"classes": CLASSES, "width": 8, "depth": 2, "heads": 2, "hidden": 12}
    return vq.models.MaskGIT(CODES, LENGTH, **(sizes | options))


def spread(model: vq.models.MaskGIT) -> None:
    """Weights and biases of a size at which each of them shows."""
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.assign(parameter.numpy() + 0.4 * rng.normal(size=parameter.shape))


def normalized(x: np.ndarray, state: dict[str, np.ndarray], name: str) -> np.ndarray:
    centered = x - x.mean(-1, keepdims=True)
    x = centered / np.sqrt(np.square(centered).mean(-1, keepdims=True) + 1e-12)
    return x * state[f"{name}.weight"] + state[f"{name}.bias"]


def dense(x: np.ndarray, state: dict[str, np.ndarray], name: str) -> np.ndarray:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def attended(x: np.ndarray, state: dict[str, np.ndarray], name: str, heads: int) -> np.ndarray:
    """[t, e]"""
    t, e = x.shape
    joined = x @ state[f"{name}.in_proj_weight"].T + state[f"{name}.in_proj_bias"]
    q, k, v = (part.reshape(t, heads, -1).swapaxes(0, 1) for part in np.split(joined, 3, -1))
    scores = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(e // heads))
    y = (scores / scores.sum(-1, keepdims=True)) @ v
    return dense(y.swapaxes(0, 1).reshape(t, e), state, f"{name}.out_proj")


def formula(model: vq.models.MaskGIT, codes: list[int], label: int, norm_first: bool) -> np.ndarray:
    state = {name: value.astype(np.float64) for name, value in model.state_dict().items()}
    kind = CODES + 1 + (CLASSES if label < 0 else label)
    rows = [kind, *(CODES if code < 0 else code for code in codes)]
    x = normalized(state["embedding.weight"][rows] + state["positions"], state, "norm")
    for place in range(2):
        own = f"blocks.{place}"

        def mlp(y: np.ndarray, own: str = own) -> np.ndarray:
            return dense(gelu(dense(y, state, f"{own}.mlp.0")), state, f"{own}.mlp.2")

        if norm_first:
            y = normalized(x, state, f"{own}.norm1")
            x = x + attended(y, state, f"{own}.attention", 2)
            x = x + mlp(normalized(x, state, f"{own}.norm2"))
        else:
            x = normalized(x + attended(x, state, f"{own}.attention", 2), state, f"{own}.norm1")
            x = normalized(x + mlp(x), state, f"{own}.norm2")
    if norm_first:
        x = normalized(x, state, "last_norm")
    y = normalized(gelu(dense(x[1:], state, "head.0")), state, "head.2")
    return y @ state["embedding.weight"][:CODES].T + state["bias"]


@pytest.mark.parametrize("norm_first", [False, True])
def test_logits_are_the_formulas(norm_first: bool) -> None:
    model = network(norm_first=norm_first).eval()
    spread(model)
    codes = [[0, -1, 6, -1, 2], [-1] * 5, [1, 2, 3, 4, 5]]
    labels = [2, 0, -1]
    logits = model(codes, labels).numpy()
    assert logits.shape == (3, LENGTH, CODES)
    wanted = np.stack(
        [formula(model, row, label, norm_first) for row, label in zip(codes, labels, strict=True)]
    )
    np.testing.assert_allclose(logits, wanted, atol=2e-5 * np.abs(wanted).max())


def test_no_class_is_a_class_of_its_own() -> None:
    model = network().eval()
    spread(model)
    codes = np.full((2, LENGTH), -1)
    without = model(codes).numpy()
    np.testing.assert_array_equal(without, model(codes, [-1, -1]).numpy())
    assert np.abs(without - model(codes, [0, 1]).numpy()).max() > 1e-2
    assert network(classes=0)(codes).shape == (2, LENGTH, CODES)


def test_every_place_sees_every_other() -> None:
    model = network().eval()
    spread(model)
    plain = np.array([[0, 1, 2, 3, 4]])
    before = model(plain).numpy()
    for place in range(LENGTH):
        changed = plain.copy()
        changed[0, place] = -1
        assert (np.abs(model(changed).numpy() - before).max(-1) > 1e-4).all()


def test_initial_values() -> None:
    """Truncated normal of 0.02 in all matrices; within 2 deviations that leaves 0.8796 of it."""
    model = network(width=64, hidden=128)
    matrices = {n: p.numpy() for n, p in model.named_parameters() if p.ndim == 2}
    assert len(matrices) == 2 + 2 * 4 + 1
    every = np.concatenate([matrix.ravel() for matrix in matrices.values()])
    assert np.abs(every).max() <= 0.04
    # Of 10^5 numbers: five standard errors.
    assert abs(every.std() / (0.02 * 0.8796) - 1) < 5 / math.sqrt(2 * every.size)
    rest = {n: p.numpy() for n, p in model.named_parameters() if p.ndim == 1}
    for name, values in rest.items():
        is_norm = "norm" in name or name.startswith("head.2")
        assert (values == (is_norm and name.endswith("weight"))).all(), name


def test_dropout_is_of_training_alone() -> None:
    model = network(dropout=0.5)
    codes = np.zeros((2, LENGTH), np.int32)
    assert not np.array_equal(model(codes).numpy(), model(codes).numpy())
    model.eval()
    np.testing.assert_array_equal(model(codes).numpy(), model(codes).numpy())


@pytest.mark.parametrize(
    ("call", "exception", "text"),
    [
        (lambda m: m([[0, 1]]), ValueError, "[maskgit] codes of shape [1, 2]: [n, 5] is required"),
        (lambda m: m([[0] * 4 + [7]]), IndexError, "[maskgit] codes = 7: must lie in -1...6"),
        (lambda m: m([[0] * 4 + [-2]]), IndexError, "codes = -2"),
        (lambda m: m(np.zeros((1, 5))), TypeError, "float64 of shape [1, 5]: integers are"),
        (lambda m: m([[0] * 5], [3]), IndexError, "labels = 3: must lie in -1...2"),
        (lambda m: m([[0] * 5], [0, 1]), ValueError, "labels of shape [2]: one for each of 1"),
        (lambda m: network(classes=0)([[0] * 5], [0]), IndexError, "must lie in -1...-1"),
        (lambda m: vq.models.MaskGIT(0, 4), ValueError, "[maskgit] num_codes = 0: must be at"),
        (lambda m: vq.models.MaskGIT(4, 0), ValueError, "[maskgit] length = 0: must be at least 1"),
        (lambda m: network(classes=-1), ValueError, "[maskgit] classes = -1: must be at least 0"),
        (lambda m: network(heads=3), ValueError, "num_heads = 3: must be at least 1 and divide"),
        (lambda m: network(depth=0), ValueError, "[maskgit] num_layers = 0: must be at least 1"),
    ],
)
def test_what_does_not_fit(call, exception: type[Exception], text: str) -> None:
    with pytest.raises(exception) as caught:
        call(network())
    assert text in str(caught.value)
