"""Every pair of a quantizer's options in every layer kind: it works in full, or it is refused."""

from __future__ import annotations

import numpy as np
import pytest
from matrix.options import ACCEPTED, REFUSAL, REFUSED, Case
from matrix.run import Run, assert_equal_states, batch, states
from vqswift import Tensor


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_contradiction_is_refused_with_its_reason(case: Case) -> None:
    assert case.reason is not None
    with pytest.raises(REFUSAL, match=case.reason):
        case.make()


def parts(case: Case, z: np.ndarray, mask: np.ndarray | None, sizes: list[int]):
    """z and its mask cut by samples."""
    for rows in np.split(np.arange(len(z)), sizes):
        yield z[rows], None if mask is None else mask[rows]


def check_evaluation(run: Run) -> np.ndarray:
    """In evaluation decode(encode(z)) is the output, parts are as the whole, and no state moves."""
    case, layer = run.case, run.layer.eval()
    z, mask = batch(case, 50)
    before = states(run)
    z_q, info = layer(Tensor(z, requires_grad=True), mask)
    (z_q.sum() + info.loss).backward()
    codes = layer.encode(z, mask)
    decoded = layer.decode(codes)
    if decoded.requires_grad:
        decoded.sum().backward()
    assert np.array_equal(codes.numpy(), info.q.numpy())
    assert np.array_equal(decoded.numpy(), z_q.numpy())
    outputs = [layer(part, kept)[0].numpy() for part, kept in parts(case, z, mask, [1])]
    assert np.array_equal(np.concatenate(outputs), z_q.numpy())
    assert_equal_states(before, states(run))
    run.zero_grad()
    layer.train()
    return z_q.numpy()


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_a_pair_evaluates_and_restores_exactly(case: Case) -> None:
    whole = Run(case)
    whole.steps(range(2))
    restored = whole.restored()
    output = check_evaluation(whole)
    z, mask = batch(case, 50)
    assert np.array_equal(restored.layer.eval()(z, mask)[0].numpy(), output)
    restored.layer.train()
    # The one was evaluated and went backward through it, the other begins anew.
    for run in (whole, restored):
        run.steps(range(2, 4))
    assert_equal_states(states(whole), states(restored))
