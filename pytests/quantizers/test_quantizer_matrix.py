"""Every pair of a quantizer's options in every layer kind: it works in full, or it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from matrix.options import ACCEPTED, FEATURES, REFUSAL, REFUSED, Case, of_each
from matrix.run import Run, assert_equal_states, batch, states
from vqswift import Tensor


@of_each(REFUSED)
def test_a_contradiction_is_refused_with_its_reason(case: Case) -> None:
    assert case.reason is not None
    with pytest.raises(REFUSAL, match=case.reason):
        case.make()


def parts(z: np.ndarray, mask: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """z and its mask in two parts of samples."""
    for part in (slice(0, 1), slice(1, None)):
        yield z[part], None if mask is None else mask[part]


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
    outputs = [layer(part, kept)[0].numpy() for part, kept in parts(z, mask)]
    # A projection's products are of float32, and OpenBLAS orders their sums by the number of rows.
    whole = z_q.numpy()
    rounding = 2.0**-24 * 64 * np.abs(whole).max() if case.has("code_size") else 0.0
    np.testing.assert_allclose(np.concatenate(outputs), whole, rtol=0, atol=rounding)
    assert_equal_states(before, states(run))
    run.zero_grad()
    layer.train()
    return z_q.numpy()


@of_each(ACCEPTED)
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


# What a training forward changes after it read the codes' values: all codes by statistics, or
# unused ones, which a norm over the codebook mixes with the others.
MOVING = ("ema", "directional"), {"replace", "cb_norm bn"}, {"replace", "cb_norm in"}


@of_each(
    case
    for case in ACCEPTED
    if not case.has(*MOVING[0]) and {case.first, case.second} not in MOVING[1:]
)
def test_training_codes_decode_to_the_output(case: Case) -> None:
    run = Run(case)
    run.steps(range(2))
    z, mask = batch(case, 50)
    z_q, info = run.layer(z, mask)
    assert np.array_equal(run.layer.decode(info.q).numpy(), z_q.numpy())


# With an option that changes nothing here: threads share the rows of more than one chunk.
LARGE = [case for case in ACCEPTED if case.has("beta")]


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_the_number_of_threads_changes_no_bit(case: Case, threads: Callable[[int], None]) -> None:
    results = []
    for count in (1, 2):
        threads(count)
        run = Run(case)
        run.steps(range(3), (4, 1100, FEATURES))
        z, mask = batch(case, 50, (4, 1100, FEATURES))
        z_q, info = run.layer.eval()(z, mask)
        results.append(states(run) | {"z_q": z_q.numpy(), "q": info.q.numpy()})
    assert_equal_states(*results)
