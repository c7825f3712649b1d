"""PACT, LSQ, LSQ+ and categorical samples."""

from __future__ import annotations

from typing import Any

import vqswift as vq
from vqswift import estimators

from .case import INF, NAN, Case, ints, ones


def lsq(bits: Any = 4, **options: Any) -> Any:
    return lambda: estimators.LSQ(bits, **options)


LEARNED_QUANTIZER: dict[str, Case] = {
    "no bits": (lambda: estimators.PACT(0), ValueError, ["pact", "bits = 0", "1 to 16"]),
    "bits of lsq": (lsq(17), ValueError, ["lsq", "bits = 17", "1 to 16"]),
    "bits of lsq+": (lambda: estimators.LSQPlus(-1), ValueError, ["lsq_plus", "bits = -1"]),
    "one bit with a sign": (lsq(1), ValueError, ["lsq", "bits = 1", "at least 2 with a sign"]),
    "fractional bits": (lsq(2.5), TypeError, ["lsq", "bits = 2.5", "integer"]),
    "values of lsq": (lsq(values="biases"), ValueError, ["lsq", "'biases'", "activations"]),
    "clip": (lambda: estimators.PACT(4, clip=0), ValueError, ["pact", "clip = 0.0", "positive"]),
    "infinite clip": (lambda: estimators.PACT(4, clip=INF), ValueError, ["pact", "clip = inf"]),
    "nan in pact": (
        lambda: estimators.PACT(4)([1.0, NAN]),
        ValueError,
        ["pact", "x holds nan", "index 1", "finite"],
    ),
    "infinity in lsq": (
        lambda: estimators.LSQ(4)([INF]),
        ValueError,
        ["lsq", "x holds inf", "finite"],
    ),
    "integers in lsq": (lambda: estimators.LSQ(4)(ints(1, 2)), TypeError, ["lsq", "int32"]),
    "nothing in training": (
        lambda: estimators.LSQPlus(4)(ones(0, 3)),
        ValueError,
        ["lsq_plus", "[0, 3]", "at least one element"],
    ),
    "a step that is none": (
        lambda: (lambda layer: layer.step.assign(-1.0))(estimators.LSQ(4)),
        ValueError,
        ["lsq", "step = -1.0", "positive"],
    ),
    "no category": (
        lambda: estimators.reinmax(ones(3, 0), vq.Generator()),
        ValueError,
        ["reinmax", "[3, 0]", "k at least 1"],
    ),
    "scalar logits": (
        lambda: estimators.straight_through_softmax(ones(), vq.Generator()),
        ValueError,
        ["straight_through_softmax", "[]", "k at least 1"],
    ),
    "infinite logits": (
        lambda: estimators.gumbel_softmax([0.0, -INF], vq.Generator()),
        ValueError,
        ["gumbel_softmax", "logits holds -inf", "index 1"],
    ),
    "temperature": (
        lambda: estimators.reinmax(ones(2), vq.Generator(), temperature=0.0),
        ValueError,
        ["reinmax", "temperature = 0.0", "1e-06"],
    ),
    "integer logits": (
        lambda: estimators.reinmax([1, 2**24 + 1], vq.Generator()),
        ValueError,
        ["reinmax", "logits", "16777217"],
    ),
}
