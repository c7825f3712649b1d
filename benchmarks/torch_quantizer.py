"""A training forward and backward of `vqswift.torch` in PyTorch, its memory and its overhead.

    python -m benchmarks.torch_quantizer [--rounds 9] [--quick] [--peer-python PYTHON]

Features [32, 64, 32, 32], channels first as an image autoencoder has them, 1024 codes; the backward
takes the loss and an inner product of the output, the stand-in for a decoder. Memory is what the
peak exceeds the resident size before and the outputs by (z_q, codes, the gradient of the features),
each in a process of its own after a small step. The overhead is the time of a step of 8 vectors
less that of the native layer, whose work is the same.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ._contest import ROOT, Contestant, Outcome, best, clean_environment, contest, core_types
from ._memory import forget_peak, peak, resident
from ._results import options_of, save, told
from ._serve import Measure, seconds_of, serve, timed, torch_needs_core_types
from ._table import print_table
from ._verdict import HEADER, Comparison, ahead, as_json
from .quantizer_step import CODES, DECAY, EMA, LEARNED, PEER, PEER_WAYS

SHAPE, QUICK_SHAPE = (32, 64, 32, 32), (4, 64, 16, 16)
OURS, OVERHEAD = "vqswift.torch", "overhead"
VQTORCH = "vqtorch's way"  # by `_torch_vqtorch.py`
PEERS = (PEER, VQTORCH)
FASTER, SMALLER, MICROSECONDS = 10.0, 10.0, 60.0
MEGABYTE = 1 << 20


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = options_of(__doc__, rounds=9)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = QUICK_SHAPE if options.quick else SHAPE
    if options.memory:
        print(json.dumps(_memory(options.contestant, options.memory, shape)))
        return
    if options.contestant:
        serve(partial(_prepare, options.contestant))
        return
    if options.quick:
        options.rounds = min(options.rounds, 2)
    case = ",".join(map(str, shape))
    outcomes = contest(
        [
            Contestant(OURS, _command(sys.executable, OURS)),
            *(
                each
                for name in PEERS
                for each in core_types(name, _command(options.peer_python, name))
            ),
        ],
        options.rounds,
        [case],
    )
    memory = [_run_memory(options, name, way) for name in (OURS, *PEERS) for way in _ways(name)]
    _report(outcomes, memory, options)


def _command(python: str, name: str) -> list[str]:
    return [python, "-m", "benchmarks.torch_quantizer", "--contestant", name]


def _ways(name: str) -> list[str]:
    return {OURS: [LEARNED, EMA], PEER: [*PEER_WAYS], VQTORCH: [LEARNED]}[name]


def _run_memory(options: argparse.Namespace, name: str, way: str) -> dict[str, Any]:
    python = sys.executable if name == OURS else options.peer_python
    command = [*_command(python, name), "--memory", way, *(["--quick"] if options.quick else [])]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment({}), capture_output=True, text=True
    )
    result = {"name": name, "way": way}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        return result | {"skip": lines[-1][:200]}
    return result | json.loads(done.stdout.splitlines()[-1])


def _report(
    outcomes: list[Outcome], memory: list[dict[str, Any]], options: argparse.Namespace
) -> None:
    rows = rows_of(outcomes, memory)
    table = []
    for o in outcomes:
        if o.seconds and o.way != OVERHEAD:
            low, high = o.spread
            table.append([o.label, f"{1e3 * o.median:.4g}", f"{1e3 * low:.4g}-{1e3 * high:.4g}"])
    print_table(f"{CODES} codes, forward and backward", ("", "ms", "spread"), table)
    amounts = [
        [f"{m['name']}, {m['way']}", f"{m['added'] / MEGABYTE:.1f}"]
        for m in memory
        if "skip" not in m
    ]
    print_table("memory beside inputs and outputs", ("", "MB"), amounts)
    print_table("the bars", HEADER, [row.cells() for row in rows])
    document = {"rows": as_json(rows), "outcomes": told(outcomes), "memory": memory}
    print(f"written to {save('torch_quantizer', options, document)}")
    if not any(o.name == OURS and o.seconds for o in outcomes):
        sys.exit("torch_quantizer: vqswift.torch could not run")


def rows_of(outcomes: list[Outcome], memory: list[dict[str, Any]]) -> list[Comparison]:
    """Each of ours against the best of each peer's, and the overhead against its bound."""
    ours = {o.way: o for o in outcomes if o.name == OURS and o.seconds}
    added = {(m["name"], m["way"]): m["added"] for m in memory if "skip" not in m}
    pairs = [(PEER, LEARNED), (PEER, EMA), (VQTORCH, LEARNED)]
    rows = []
    for name, way in pairs:
        peer = best(o for o in outcomes if o.name == name)
        rows.append(ahead(f"torch quantizer, {way}", ours.get(way), peer, FASTER, f"x {name}"))
    for name, way in pairs:
        mine = added.get((OURS, way))
        least = min((v for (other, _), v in added.items() if other == name), default=None)
        rows.append(
            Comparison(
                f"torch quantizer, {way}, memory",
                "" if mine is None else f"{mine / MEGABYTE:.1f} MB",
                "" if least is None else f"{least / MEGABYTE:.1f} MB, {name}",
                None if mine is None or least is None else least / max(mine, 1),
                SMALLER,
                f"x {name}",
            )
        )
    over = ours.get(OVERHEAD)
    value = None if over is None else 1e6 * over.median
    told_as = "" if value is None else f"{value:.1f} us"
    rows.append(
        Comparison("torch adapter, per step", told_as, "", value, MICROSECONDS, "us", at_most=True)
    )
    return rows


def _prepare(name: str, case: str) -> tuple[dict[str, Any], Measure]:
    import torch

    shape = tuple(map(int, case.split(",")))
    facts: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    if name != OURS:
        torch_needs_core_types()
    z, gradient = _inputs(shape)
    steps = {way: partial(_step, _layer(name, way), z, gradient) for way in _ways(name)}

    def measure() -> dict[str, list[float]]:
        seconds = {way: timed(step, repeats=5) for way, step in steps.items()}
        return seconds | ({OVERHEAD: _overhead()} if name == OURS else {})

    return facts, measure


def _inputs(shape: tuple[int, ...]) -> tuple[Any, Any]:
    import torch

    torch.manual_seed(0)
    return torch.randn(shape).requires_grad_(), torch.randn(shape)


def _layer(name: str, way: str) -> Any:
    if name == OURS:
        import vqswift.torch as vqt

        options = {"ema_decay": DECAY} if way == EMA else {}
        return vqt.VectorQuant(SHAPE[1], CODES, dim=1, seed=0, **options)
    if name == VQTORCH:
        from ._torch_vqtorch import VectorQuant

        return VectorQuant(SHAPE[1], CODES)
    from vector_quantize_pytorch import VectorQuantize

    return VectorQuantize(SHAPE[1], CODES, accept_image_fmap=True, **PEER_WAYS[way])


def _step(layer: Any, z: Any, gradient: Any) -> dict[str, Any]:
    """A forward and backward of either; its outputs."""
    found = layer(z)
    z_q, codes, loss = (
        (found[0], found[1].q, found[1].loss) if len(found) == 2 else (found[0], *found[1:3])
    )
    (loss.sum() + z_q.reshape(-1) @ gradient.reshape(-1)).backward()
    outputs = {"z_q": z_q.detach(), "codes": codes, "gradient of z": z.grad}
    z.grad = None
    for parameter in layer.parameters():
        parameter.grad = None
    return outputs


def _overhead(calls: int = 300) -> list[float]:
    """Seconds of a step of a few vectors more than the native layer takes: best of several."""
    import torch
    import vqswift as vq

    module, layer = _layer(OURS, LEARNED), vq.VectorQuant(SHAPE[1], CODES, seed=0)
    module.dim = -1
    z, pull = torch.randn(8, SHAPE[1]).requires_grad_(), torch.randn(8, SHAPE[1])
    native, given = vq.Tensor(z.detach().numpy(), requires_grad=True), vq.Tensor(pull.numpy())

    def adapter() -> None:
        z_q, info = module(z)
        torch.autograd.grad([z_q, info.loss], [z, module.codebook], [pull, None])

    def bare() -> None:
        z_q, info = layer(native)
        ((z_q * given).sum() + info.loss).backward()
        native.grad = layer.codebook.grad = None

    def least(call: Callable[[], None]) -> float:
        for _ in range(calls // 10):
            call()
        return min(seconds_of(call) for _ in range(calls))

    return [least(adapter) - least(bare) for _ in range(3)]


def _memory(name: str, way: str, shape: tuple[int, ...]) -> dict[str, Any]:
    layer = _layer(name, way)
    _step(layer, *_inputs((1, *shape[1:2], 4, 4)))
    z, gradient = _inputs(shape)
    gc.collect()
    forget_peak()
    before = resident()
    outputs = _step(layer, z, gradient)
    added = peak() - before
    held = sum(int(np.prod(t.shape)) * t.dtype.itemsize for t in outputs.values())
    return {"outputs": held, "peak": added, "added": added - held}


if __name__ == "__main__":
    main()
