"""Products, softmax and losses."""

from __future__ import annotations

import numpy as np
import vqswift as vq
from vqswift.nn import functional as F

from .case import Case, Draw, Maker


def _matmul(draw: Draw) -> Case:
    m, k, n = (draw.one_of([0, 1, 2, 3, 5, 17]) for _ in range(3))
    batches = draw.pair(most_rank=3)
    left, right = (*batches[0], m, k), (*batches[1], k, n)
    if draw.chance(0.15):
        left = (k,)
    if draw.chance(0.15):
        right = (k,)
    return Case(
        lambda a, b: a @ b,
        lambda a, b: a @ b,
        [draw.away_from_zero(left), draw.away_from_zero(right)],
        # Sums of k products, and in a gradient of as many as broadcasting repeats.
        roundings=16 + k,
        scale=4 * (k + 32),
    )


def _linear(draw: Draw) -> Case:
    k, n = (draw.one_of([0, 1, 2, 3, 5, 17]) for _ in range(2))
    inputs = [draw.away_from_zero((*draw.shape(most_rank=3), k)), draw.away_from_zero((n, k))]
    if draw.chance(0.5):
        inputs.append(draw.away_from_zero((n,)))
    return Case(
        F.linear,
        lambda x, w, b=0.0: x @ w.T + b,
        inputs,
        roundings=16 + k,
        scale=4 * (k + 32),
    )


def _einsum(draw: Draw) -> Case:
    """One to four operands of up to four letters."""
    letters = "abcde"[: draw.whole(1, 5)]
    sizes = {letter: draw.size() if draw.chance(0.3) else draw.whole(1, 3) for letter in letters}
    count, dots = draw.one_of([1, 2, 2, 2, 3, 4]), draw.chance(0.3)
    common = draw.shape(most_rank=2, least=1)
    terms, inputs, terms_in_product = [], [], 1
    for _ in range(count):
        order = draw.rng.permutation(len(letters))[: draw.whole(0, min(4, len(letters)))]
        term = "".join(letters[at] for at in order)
        if term and draw.chance(0.1):
            term += term[0]
        shape = tuple(sizes[letter] for letter in term)
        if dots:
            place, spread = draw.whole(0, len(term)), draw.broadcasting(common)
            shape = (*shape[:place], *spread, *shape[place:])
            term = f"{term[:place]}...{term[place:]}"
        terms.append(term)
        inputs.append(draw.away_from_zero(shape))
    equation = ",".join(terms)
    used = sorted(set("".join(terms)) - {"."})
    for letter in used:
        terms_in_product *= sizes[letter]
    if draw.chance(0.7):
        kept = [used[at] for at in draw.rng.permutation(len(used))[: draw.whole(0, len(used))]]
        place = draw.whole(0, len(kept))
        kept.insert(place, "..." if dots else "")
        equation += "->" + "".join(kept)
    return Case(
        lambda *ts: vq.einsum(equation, *ts),
        lambda *xs: np.einsum(equation, *xs),
        inputs,
        roundings=32,
        # The largest of up to four factors below 2, and of their sums.
        scale=2.0**count * max(1, terms_in_product) * 8,
    )


def _outer(draw: Draw) -> Case:
    return Case(
        vq.outer,
        np.outer,
        [draw.floats((draw.size(),)), draw.floats((draw.size(),))],
        scale=16,
    )


def _softmax(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1)
    axis = draw.axis(len(shape))

    def reference(x: np.ndarray) -> np.ndarray:
        e = np.exp(x)
        return np.asarray(e / e.sum(axis=axis, keepdims=True))

    if draw.chance(0.5):
        return Case(lambda t: t.softmax(axis), reference, [draw.floats(shape)], roundings=32)
    return Case(
        lambda t: t.log_softmax(axis),
        lambda x: np.log(reference(x)),
        [draw.floats(shape)],
        roundings=32,
        scale=8,
    )


def _distance(draw: Draw) -> Case:
    shape = draw.shape(least=1)
    inputs = [draw.floats(shape), draw.offset_floats(shape)]
    if draw.chance(0.5):
        return Case(F.mse_loss, lambda a, b: ((a - b) ** 2).mean(), inputs, roundings=32)
    return Case(F.l1_loss, lambda a, b: np.abs(a - b).mean(), inputs, roundings=32)


def _cross_entropy(draw: Draw) -> Case:
    n, k = draw.size(1), draw.whole(1, 20)
    labels = draw.integers((n,), 0, k - 1)
    smoothing = draw.one_of([0.0, 0.1])

    def reference(x: np.ndarray) -> np.ndarray:
        logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        target = np.eye(k)[labels] * (1 - smoothing) + smoothing / k
        return np.asarray(-(logs * target).sum() / n)

    return Case(
        lambda t: F.cross_entropy(t, labels, smoothing),
        reference,
        [draw.floats((n, k))],
        roundings=64,
    )


MAKERS: dict[str, Maker] = {
    "matmul": _matmul,
    "linear": _linear,
    "einsum": _einsum,
    "outer": _outer,
    "softmax": _softmax,
    "mse and l1": _distance,
    "cross_entropy": _cross_entropy,
}
