"""What single calls cost beside their work: small ones of vqswift and of PyTorch, one thread.

    python -m benchmarks.calls [--rounds 7] [--quick] [--peer-python PYTHON]

Tensors of 64 vectors of 32 elements, so that nearly all of a call is Python and the way into the
library. Prints the least time of each call in each round, the median over the rounds, and holds
`layer(z)` of a `VectorQuant` of 256 codes in training against a forward and backward of
PyTorch's `nn.Linear`. A codebook that has changed is packed again: that is the call behind
`codebook.assign`, which counts with it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ._contest import Contestant, Outcome, contest
from ._results import options_of, save, told
from ._serve import Measure, seconds_of, serve
from ._table import print_table
from ._verdict import HEADER, Comparison, as_json

ROWS, WIDTH, CODES = 64, 32, 256
QUANTIZER, LINEAR_STEP = "layer(z), training", "linear layer, forward and backward"
CALLS = (
    "addition", "linear layer", LINEAR_STEP, "Adam step", QUANTIZER, "codebook.assign and layer(z)"
)  # fmt: skip
OURS, PEER = "vqswift", "PyTorch"
HALF = 0.5


def main() -> None:
    """Measures all, or serves as one of them."""
    options = options_of(__doc__, rounds=7).parse_args()
    if options.contestant:
        serve(lambda case: _PREPARE[options.contestant](int(case)))
        return
    repeats = 200 if options.quick else 3000

    def contestant(name: str, python: str) -> Contestant:
        return Contestant(name, [python, "-m", "benchmarks.calls", "--contestant", name])

    outcomes = contest(
        [contestant(OURS, sys.executable), contestant(PEER, options.peer_python)],
        min(options.rounds, 2) if options.quick else options.rounds,
        [str(repeats)],
    )
    found = {(o.way, o.name): o for o in outcomes if o.seconds}
    table = []
    for way in CALLS:
        own, peer = (found.get((way, name)) for name in (OURS, PEER))
        ratio = f"{own.median / peer.median:.2f}" if own and peer else "-"
        table.append([way, _microseconds(own), _microseconds(peer), ratio])
    print_table("microseconds a call, one thread", ("", OURS, PEER, "vqswift / PyTorch"), table)
    rows = [row_of(found.get((QUANTIZER, OURS)), found.get((LINEAR_STEP, PEER)))]
    print_table("the bar", HEADER, [row.cells() for row in rows])
    document = {"rows": as_json(rows), "calls": table, "outcomes": told(outcomes)}
    print(f"written to {save('calls', options, document)}")


def row_of(quantizer: Outcome | None, linear: Outcome | None) -> Comparison:
    """A quantizer's call against a step of PyTorch's linear layer."""
    return Comparison(
        "layer(z), n 64, k 256, d 32, training",
        quantizer and f"{_microseconds(quantizer)} us" or "",
        linear and f"{_microseconds(linear)} us, nn.Linear forward and backward" or "",
        quantizer.median / linear.median if quantizer and linear else None,
        HALF,
        "of nn.Linear's step",
        at_most=True,
    )


def _microseconds(outcome: Outcome | None) -> str:
    return f"{1e6 * outcome.median:.1f}" if outcome else "-"


def _measure(calls: dict[str, Callable[[], object]], repeats: int) -> Measure:
    def least(call: Callable[[], object]) -> list[float]:
        for _ in range(repeats // 10):
            call()
        return [min(seconds_of(call) for _ in range(repeats))]

    return lambda: {way: least(call) for way, call in calls.items()}


def _values() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, WIDTH), dtype=np.float32)


def _common(z: Any, pull: Any, linear: Any, optimizer: Any) -> list[Callable[[], object]]:
    """The calls that both libraries spell alike."""

    def step() -> None:
        linear(z).backward(pull)
        z.grad = linear.weight.grad = linear.bias.grad = None

    linear(z).backward(pull)
    held = [parameter.grad for parameter in linear.parameters()]

    def update() -> None:
        for parameter, gradient in zip(linear.parameters(), held, strict=True):
            parameter.grad = gradient
        optimizer.step()

    return [lambda: z + z, lambda: linear(z), step, update]


def _vqswift(repeats: int) -> tuple[dict[str, Any], Measure]:
    import vqswift as vq

    vq.set_threads(1)
    z, pull = vq.Tensor(_values(), requires_grad=True), vq.ones((ROWS, WIDTH))
    linear, layer = vq.nn.Linear(WIDTH, WIDTH), vq.VectorQuant(WIDTH, CODES, seed=0)
    (codebook,) = layer.codebooks
    values = codebook.numpy().copy()

    def changed() -> None:
        codebook.assign(values)
        layer(z)

    calls = _common(z, pull, linear, vq.optim.Adam(linear.parameters()))
    named = dict(zip(CALLS, [*calls, lambda: layer(z), changed], strict=True))
    return {"version": vq.__version__}, _measure(named, repeats)


def _torch(repeats: int) -> tuple[dict[str, Any], Measure]:
    import torch

    torch.set_num_threads(1)
    z, pull = torch.from_numpy(_values()).requires_grad_(), torch.ones(ROWS, WIDTH)
    linear = torch.nn.Linear(WIDTH, WIDTH)
    calls = _common(z, pull, linear, torch.optim.Adam(linear.parameters()))
    return {"torch": torch.__version__}, _measure(dict(zip(CALLS, calls, strict=False)), repeats)


_PREPARE = {OURS: _vqswift, PEER: _torch}


if __name__ == "__main__":
    main()
