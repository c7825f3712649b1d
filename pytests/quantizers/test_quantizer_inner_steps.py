"""In-place steps descend along the codebook's gradient, through map and norm, with every option."""

from __future__ import annotations

import numpy as np
import pytest
from matrix.layers import Layer
from matrix.options import ACCEPTED, Case
from matrix.run import Run, batch, channels_last
from vqswift import Tensor, optim

RATE = 1e-3


def with_rate(case: Case, rate: float) -> Run:
    """The case with plain gradient descent in place, after two steps of training."""

    class Plain(Case):
        @property
        def options(self):
            return super().options | {"inplace_optimizer": lambda p: optim.SGD(p, lr=rate)}

    run = Run(Plain(case.kind, case.first, case.second))
    run.steps(range(2))
    return run


def squared_error(layer: Layer, z: np.ndarray, codes: np.ndarray) -> float:
    """mse of vectors [m, groups, d] and the values of their codes [m, groups], in Float64."""
    books = [book.numpy().astype(np.float64) for book in layer.effective_codebooks]
    values = [books[min(i, len(books) - 1)][codes[:, i]] for i in range(codes.shape[1])]
    return float(((z - np.stack(values, 1)) ** 2).mean())


# A frozen codebook makes no step, the means of the same batch have no gradient, and the parts of
# several inner steps have means of their own.
CASES = [
    case
    for case in ACCEPTED
    if case.has("in-place SGD")
    and case.kind in ("plain", "group", "shared group", "residual")
    and not (case.is_residual and case.has("code_size"))
    and not case.has("freeze", "kmeans_freq", "inner_steps")
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_step_descends_along_the_gradient(case: Case) -> None:
    still, moved = with_rate(case, 0.0), with_rate(case, 0.0)
    moved.layer.load_state_dict(still.layer.state_dict())
    for optimizer in moved.layer.inplace_optimizers:
        optimizer.lr = RATE
    z, mask = batch(case, 50)
    given = {"stages": 1} if case.is_residual else {}
    for codebook in still.layer.codebooks + moved.layer.codebooks:
        codebook.grad = None
    _, info = still.layer(Tensor(z), mask, **given)
    moved.layer(Tensor(z), mask, **given)
    before = [codebook.numpy() for codebook in still.layer.codebooks]
    after = [codebook.numpy() for codebook in moved.layer.codebooks]

    kept = np.ones(info.q.shape[:2], bool) if mask is None else mask
    codes = info.q.numpy()[kept].reshape(kept.sum(), -1)
    vectors = channels_last(case, info.z.numpy())[kept].astype(np.float64)
    vectors = vectors.reshape(len(vectors), codes.shape[1], -1)
    still.layer.freeze()  # in training, so that a batch norm takes this batch's moments

    # A given codebook starts the running moments of its map anew; the step had those of before.
    moments = {n: v for n, v in still.layer.state_dict().items() if "affine_" in n}

    def assign(codebook: Tensor, values: np.ndarray) -> None:
        codebook.assign(values.astype(np.float32))
        still.layer.load_state_dict(moments, strict=False)

    def objective() -> float:
        regularization = 0.0
        if case.has("orthogonal", "entropy"):
            regularization = still.layer(Tensor(z), mask, **given)[1].regularization
        return squared_error(still.layer, vectors, codes) + regularization

    for index, codebook in enumerate(still.layer.codebooks[: 1 if case.is_residual else None]):
        step = (after[index].astype(np.float64) - before[index]) / -RATE
        own = codes if len(before) == 1 else codes[:, index]
        if case.has("replace"):
            step[np.setdiff1d(np.arange(8), own)] = 0
        scale = np.abs(step).max()
        assert scale > 0
        slopes = []
        for width in (0.02, 0.01):
            ends = []
            for sign in (1, -1):
                assign(codebook, before[index] + sign * width * step / scale)
                ends.append(objective())
            slopes.append((ends[0] - ends[1]) / (2 * width))
        assign(codebook, before[index])
        expected = (4 * slopes[1] - slopes[0]) / 3
        # Each group steps by its own mean.
        found = (step * step).sum() / scale / (2 if case.kind == "group" else 1)
        # Codes are float32 numbers of about 1, and their steps differences of two.
        rounding = 2**-23 / RATE * np.abs(step / scale).sum() + 1e-4 * abs(expected)
        assert found == pytest.approx(expected, abs=rounding + 0.2 * abs(slopes[0] - slopes[1]))
