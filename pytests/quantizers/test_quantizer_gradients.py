"""Gradients of every pair of options agree with central differences while the codes stay fixed.

The loss's gradient in z is that of `(1 - beta) mse` and of the regularizers, in codebooks and
their maps that of `beta mse` and of the regularizers; what an in-place optimizer, an EMA or a
freeze owns gets none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from matrix.options import ACCEPTED, Case, of_each
from matrix.run import Run, batch, channels_at, channels_last
from vqswift import Tensor

Forward = Callable[[], tuple[Tensor, vq.QuantizerInfo]]


def float64(x: Tensor) -> np.ndarray:
    return x.numpy().astype(np.float64)


def gradient(tensor: Tensor) -> np.ndarray:
    """What backward left, 0 for nothing; forgets it."""
    result = np.zeros(tensor.shape) if tensor.grad is None else float64(tensor.grad)
    tensor.grad = None
    return result


class NearTieError(Exception):
    """No step of a useful length stays on one smooth path."""


Number = Callable[[Tensor, vq.QuantizerInfo], float]


def slope(
    pair: Pair, tensor: Tensor, forward: Forward, along: np.ndarray, number: Number
) -> tuple[float, float]:
    """The derivative of `number` along a direction and its error, by Richardson's extrapolation.

    The step is halved until both ends are on the path of the middle.
    """
    origin, path = tensor.numpy(), pair.path(forward()[1])
    state = pair.layer.state_dict()
    name = next((name for name, own in pair.all.items() if own is tensor), None)

    def write(value: np.ndarray) -> None:
        # With the statistics, which a codebook alone would begin anew; without the checks of
        # load_state_dict, which take twice as long.
        if name is None:
            tensor.assign(value)
        else:
            pair.layer._load(state | {name: value}, True)

    def central(step: float) -> tuple[float, float] | None:
        ends = []
        for sign in (1, -1):
            write((origin + sign * step * along).astype(np.float32))
            z_q, info = forward()
            if np.array_equal(pair.path(info), path):
                ends.append(number(z_q, info))
        if len(ends) < 2:
            return None
        return (ends[0] - ends[1]) / (2 * step), np.abs(ends).max()

    largest = 0.04 * float(np.clip(np.abs(origin).max(), 0.1, 1.0))
    try:
        for step in largest * 0.5 ** np.arange(5):
            wide = central(step)
            narrow = central(step / 2) if wide else None
            if wide and narrow:
                # The numbers are float32 and, of entropies, within 2^-24 (d + 8) r^2 2 /
                # temperature; the rest of the series is smaller than its first term by far.
                rounding = 64 * 2**-24 * wide[1] / step
                return (4 * narrow[0] - wide[0]) / 3, rounding + 0.2 * abs(wide[0] - narrow[0])
        raise NearTieError
    finally:
        write(origin)


def check(pair: Pair, tensor: Tensor, forward: Forward, found: np.ndarray, number: Number) -> None:
    # Along the gradient, so that the slope is far from 0, and aside of it.
    aside = np.random.default_rng(3).normal(size=tensor.shape)
    along = found / max(np.abs(found).max(), 1e-30) + 0.3 * aside
    along /= np.abs(along).max()
    expected, error = slope(pair, tensor, forward, along, number)
    # The gradient itself is of float32 elements.
    error += 1e-5 * np.abs(found * along).sum()
    assert float((found * along).sum()) == pytest.approx(expected, abs=error)


class Pair:
    """A trained layer of the case in evaluation, vectors for it and the forward of them."""

    def __init__(self, case: Case) -> None:
        self.case, run = case, Run(case)
        run.steps(range(3))
        self.layer = run.layer.eval()
        self.trained = dict(self.layer.named_parameters())
        self.all = dict(self.layer._walk_parameters(True))

    def give(self, seed: int) -> None:
        z, self.mask = batch(self.case, seed)
        self.z = Tensor(np.nan_to_num(z), requires_grad=True)
        for tensor in self.all.values():
            tensor.grad = None

    def forward(self) -> tuple[Tensor, vq.QuantizerInfo]:
        return self.layer(self.z, self.mask)

    def first_stage(self) -> tuple[Tensor, vq.QuantizerInfo]:
        """Of residual layers one stage: later ones see the first's value as a constant."""
        if self.case.is_residual:
            return self.layer(self.z, self.mask, stages=1)
        return self.forward()

    def path(self, info: vq.QuantizerInfo) -> np.ndarray:
        """Codes, and which vectors and codes a clamp shortens: constant on a smooth path."""
        kinks = [info.q.numpy().ravel()]
        rows = []
        if self.case.has("norm l2c"):
            z = channels_last(self.case, float64(info.z))
            groups = 2 if "group" in self.case.kind else 1
            rows += [z.reshape(-1, z.shape[-1] // groups)]
        if self.case.has("cb_norm l2c"):
            rows += [float64(codes) for codes in self.layer.effective_codebooks]
        kinks += [np.linalg.norm(r, axis=1) > 1.5 - 1e-5 for r in rows]
        return np.concatenate(kinks)


def for_clear_vectors(pair: Pair, test: Callable[[Pair], None]) -> None:
    """The test on the first vectors of a few that are not too near to another path."""
    for seed in range(50, 62):
        pair.give(seed)
        try:
            return test(pair)
        except NearTieError:
            continue
    raise AssertionError("all vectors are near ties")


def vectors_side(_: Tensor, info: vq.QuantizerInfo) -> float:
    return info.commitment_loss + info.regularization


def codebook_side(_: Tensor, info: vq.QuantizerInfo) -> float:
    return info.codebook_loss + info.regularization


def check_loss(pair: Pair) -> None:
    pair.forward()[1].loss.backward()
    check(pair, pair.z, pair.forward, gradient(pair.z), vectors_side)
    for tensor in pair.all.values():
        tensor.grad = None
    pair.first_stage()[1].loss.backward()
    for name, tensor in pair.all.items():
        found = gradient(tensor)
        if name not in pair.trained or "project_out" in name:
            assert not found.any(), name
        else:
            side = vectors_side if "project_in" in name else codebook_side
            check(pair, tensor, pair.first_stage, found, side)


# In evaluation, and of one stage, these do what a residual layer does: each option once.
ALIKE = ("shared residual", "residual with dropout")
CASES = [case for case in ACCEPTED if case.kind not in ALIKE or case.has("beta")]


@of_each(CASES)
def test_the_loss_descends_by_its_parts(case: Case) -> None:
    for_clear_vectors(Pair(case), check_loss)


# The output's gradient


def rotated(g: np.ndarray, z: np.ndarray, q: np.ndarray) -> np.ndarray:
    """|q| / |z| (I - 2 w w^T + 2 q^ z^^T)^T g of rows, w = unit(z^ + q^)."""
    sizes = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (z, q)]
    unit_z, unit_q = z / sizes[0], q / sizes[1]
    w = unit_z + unit_q
    w /= np.linalg.norm(w, axis=-1, keepdims=True)
    turned = g - 2 * (g * w).sum(-1, keepdims=True) * w
    turned += 2 * (g * unit_q).sum(-1, keepdims=True) * unit_z
    return turned * sizes[1] / sizes[0]


def along_direction(
    g: np.ndarray, z: np.ndarray, q: np.ndarray, output: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of z and of q of `output = z + |q - z| s`, s constant."""
    length = np.maximum(np.linalg.norm(q - z, axis=-1, keepdims=True), 1e-8)
    unit, s = (q - z) / length, (output - z) / length
    pull = (g * s).sum(-1, keepdims=True) * unit
    return g - pull, pull


def check_output(pair: Pair) -> None:
    """In training, where directions are drawn and an in-place optimizer waits for gradients."""
    case, layer = pair.case, pair.layer.train()
    z_q, info = layer(pair.z, pair.mask)
    kept = np.ones(info.q.shape[:2], bool) if pair.mask is None else pair.mask
    groups = 2 if "group" in case.kind else 1

    def rows(x: Tensor) -> np.ndarray:
        x = channels_last(case, float64(x))[kept]
        return x.reshape(len(x), groups, -1)

    def spread(x: np.ndarray) -> np.ndarray:
        whole = np.zeros((*kept.shape, groups * x.shape[-1]))
        whole[kept] = x.reshape(len(x), -1)
        return channels_at(case, whole)

    z, output = rows(info.z), rows(z_q)
    g = np.random.default_rng(4).normal(size=z.shape)
    if case.has("directional"):
        # The direction from a vector to a code that all but equals it is rounding alone.
        g[np.linalg.norm(output - z, axis=-1) < 1e-4] = 0
    z_q.backward(Tensor(spread(g).astype(np.float32)))
    found = {name: gradient(tensor) for name, tensor in pair.all.items()}
    in_z = gradient(pair.z)

    # What passes the norm unquantized brings its gradient to z.
    with vq.no_quantization(layer):
        passed, _ = layer(pair.z, pair.mask)
    layer.eval()
    to_z = to_q = g
    if case.has("rotation"):
        to_z = rotated(g, z, output)
    elif case.has("directional"):
        to_z, to_q = along_direction(g, z, rows(layer.decode(info.q)), output)
    passed.backward(Tensor(spread(to_z).astype(np.float32)))
    expected = gradient(pair.z)
    np.testing.assert_allclose(in_z, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())

    rate = 0.5 if case.has("sync_nu") else float(case.has("directional"))
    owned = case.has("in-place SGD", "in-place AdamW") or "inplace_optimizer" in case.options
    pull = spread(to_q)
    for name, tensor in pair.all.items():
        waits = owned and not layer.frozen
        if rate == 0 or not (name in pair.trained or waits):
            assert not found[name].any(), name
        else:
            check(
                pair,
                tensor,
                lambda: (layer.decode(info.q), info),
                found[name] / rate,
                lambda values, _: float((float64(values) * pull).sum()),
            )


UNPROJECTED = [case for case in CASES if not case.has("code_size")]


@of_each(UNPROJECTED)
def test_the_output_gives_its_gradient_as_the_options_say(case: Case) -> None:
    for_clear_vectors(Pair(case), check_output)
