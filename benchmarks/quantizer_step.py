"""A training forward and backward of a quantizer: vqswift against vector-quantize-pytorch.

    python -m benchmarks.quantizer_step [--rounds 9] [--quick] [--peer-python PYTHON]

8192 vectors of 64 elements, 1024 codes; the backward takes the commitment loss and an inner product
of the output, the stand-in for a decoder. A codebook that an optimizer moves gets its gradient, one
by EMA is moved. Each of ours is compared with the best of the peer's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ._contest import Contestant, Outcome, best, best_cores, contest, core_types
from ._results import options_of, save, told
from ._serve import Measure, serve, timed, torch_needs_core_types
from ._table import print_table
from ._verdict import HEADER, Comparison, ahead, as_json, milliseconds

POINTS, WIDTH, CODES, DECAY = 8192, 64, 1024, 0.8
OURS, PEER = "vqswift", "vector-quantize-pytorch"
LEARNED, EMA, BAR = "learned codebook", "EMA", 5.0
# Its options for every way, the first its default.
PEER_WAYS: dict[str, dict[str, Any]] = {
    EMA: {},
    "EMA, straight-through": {"rotation_trick": False},
    LEARNED: {"learnable_codebook": True, "ema_update": False},
    "learned codebook, straight-through": {
        "learnable_codebook": True,
        "ema_update": False,
        "rotation_trick": False,
    },
}


def main() -> None:
    """Measures all, or serves as one of them."""
    options = options_of(__doc__, rounds=9).parse_args()
    if options.contestant:
        serve(partial(_prepare, options.contestant))
        return
    if options.quick:
        options.rounds = min(options.rounds, 2)
    outcomes = contest(
        [
            Contestant(
                OURS, [sys.executable, "-m", "benchmarks.quantizer_step", "--contestant", OURS]
            ),
            *core_types(
                PEER, [options.peer_python, "-m", "benchmarks.quantizer_step", "--contestant", PEER]
            ),
        ],
        options.rounds,
        [str(POINTS // 8 if options.quick else POINTS)],
    )
    _report(outcomes, options)


def _report(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    rows = rows_of(outcomes)
    table = []
    for o in best_cores(outcomes):
        fast, slow = o.spread
        spread = f"{1e3 * fast:.4g}-{1e3 * slow:.4g}"
        table.append([o.label, milliseconds(o).removesuffix(" ms"), spread])
    print_table(f"{WIDTH}-dimensional vectors, {CODES} codes", ("", "ms", "spread"), table)
    print_table("the bars", HEADER, [row.cells() for row in rows])
    document = {"rows": as_json(rows), "outcomes": told(outcomes)}
    print(f"written to {save('quantizer_step', options, document)}")
    if not any(o.name == OURS and o.seconds for o in outcomes):
        sys.exit("quantizer_step: vqswift could not run")


def rows_of(outcomes: list[Outcome]) -> list[Comparison]:
    """Each of ours against the best of the peer's, whichever way and core type."""
    peer = best(o for o in outcomes if o.name == PEER)
    return [
        ahead(
            f"quantizer forward and backward, {way}",
            best(o for o in outcomes if (o.name, o.way) == (OURS, way)),
            peer,
            BAR,
            f"x {PEER}",
        )
        for way in (LEARNED, EMA)
    ]


def _prepare(name: str, case: str) -> tuple[dict[str, Any], Measure]:
    random = np.random.default_rng(0)
    z, gradient = (random.standard_normal((int(case), WIDTH), dtype=np.float32) for _ in range(2))
    facts, steps = {OURS: _ours, PEER: _peer}[name](z, gradient)
    return facts, lambda: {way: timed(step, repeats=5) for way, step in steps.items()}


Steps = dict[str, Callable[[], None]]


def _ours(array: np.ndarray, gradient: np.ndarray) -> tuple[dict[str, Any], Steps]:
    import vqswift as vq

    z, weights = vq.Tensor(array, requires_grad=True), vq.Tensor(gradient)

    def step(layer: vq.VectorQuant) -> None:
        z_q, info = layer(z)
        (info.loss + (z_q * weights).sum()).backward()
        for tensor in (z, *layer.parameters()):
            tensor.grad = None

    layers = {
        LEARNED: vq.VectorQuant(WIDTH, CODES, seed=0),
        EMA: vq.VectorQuant(WIDTH, CODES, ema_decay=DECAY, seed=0),
    }
    facts = {"version": vq.__version__, "threads": vq.get_threads()}
    return facts, {way: partial(step, layer) for way, layer in layers.items()}


def _peer(array: np.ndarray, gradient: np.ndarray) -> tuple[dict[str, Any], Steps]:
    from importlib.metadata import version

    import torch
    from vector_quantize_pytorch import VectorQuantize

    torch_needs_core_types()
    torch.manual_seed(0)
    z, weights = torch.from_numpy(array)[None].requires_grad_(), torch.from_numpy(gradient)[None]

    def step(layer: torch.nn.Module) -> None:
        z_q, _, loss = layer(z)
        (loss.sum() + (z_q * weights).sum()).backward()
        z.grad = None
        for parameter in layer.parameters():
            parameter.grad = None

    layers = {way: VectorQuantize(WIDTH, CODES, **given) for way, given in PEER_WAYS.items()}
    facts = {"version": version(PEER), "torch": torch.__version__}
    facts["threads"] = str(torch.get_num_threads())
    return facts, {way: partial(step, layer) for way, layer in layers.items()}


if __name__ == "__main__":
    main()
