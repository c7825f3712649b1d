"""Memory that a training forward and backward of a quantizer add to their inputs and outputs.

    python -m benchmarks.quantizer_memory [--points 1000000] [--quick] [--peer-python PYTHON]

64-dimensional vectors, 8192 codes. Added is the peak resident size less what was resident before,
less the outputs: the quantized vectors, codes and distances (where there are any), and for backward
the gradients of the quantized vectors (which comes in) and of the vectors (which goes out). One
backward takes the commitment loss and an inner product of the output, the stand-in for a decoder.
Each is measured in a process of its own, after a small warm-up. What needs an n x k matrix runs on
fewer vectors (--few) and is told by the vector.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ._contest import ROOT, clean_environment
from ._memory import forget_peak, peak, resident
from ._results import options_of, save
from ._table import print_table

WIDTH, CODES, WARM_UP = 64, 8192, 256
MEGABYTE = 1 << 20
LIMIT = 64  # megabytes that ours may add at a million vectors
OURS = "vqswift"
PHASES = ("forward", "forward and backward")
# From vectors and the gradient of their quantized values to everything that is not the peer's own.
Step = Callable[[Any, Any], dict[str, Any]]
# What makes the vectors of an array, what makes a constant of one, and the step.
Contestant = tuple[Callable[[np.ndarray], Any], Callable[[np.ndarray], Any], Step]


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = options_of(__doc__, rounds=1)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=16_384, help="vectors for n x k peers")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.points, options.few = min(options.points, 65_536), min(options.few, 1024)
    if options.contestant:
        print(json.dumps(_measure(options.contestant, options.phase, options.points)))
        return
    results = []
    for name, (_, is_linear) in CONTESTANTS.items():
        python = sys.executable if name == OURS else options.peer_python
        points = options.points if is_linear else min(options.few, options.points)
        for phase in PHASES:
            command = [
                python,
                "-m",
                "benchmarks.quantizer_memory",
                "--contestant",
                name,
                "--phase",
                phase,
            ]
            results.append(_run([*command, "--points", str(points)], name, phase, points))
    _report(results, options)


def _run(command: list[str], name: str, phase: str, points: int) -> dict[str, Any]:
    result = {"name": name, "phase": phase, "points": points}
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment({}), capture_output=True, text=True
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        return result | {"skip": lines[-1][:200]}
    return result | json.loads(done.stdout.splitlines()[-1])


def _report(results: list[dict[str, Any]], options: argparse.Namespace) -> None:
    rows = []
    for result in results:
        head = [f"{result['name']}, {result['phase']}", f"{result['points']:,}"]
        if "skip" in result:
            print(f"{head[0]}: skipped, {result['skip']}")
            continue
        a_vector = f"{result['added'] / result['points']:,.0f}"
        amounts = [f"{result[key] / MEGABYTE:.1f}" for key in ("outputs", "added")]
        rows.append([*head, *amounts, a_vector])
    header = ("", "vectors", "outputs, MB", "added, MB", "added, bytes a vector")
    print_table(f"{WIDTH}-dimensional vectors, {CODES} codes, training", header, rows)
    path = save("quantizer_memory", options, {"results": results})
    print(f"written to {path}")
    ours = [result for result in results if result["name"] == OURS]
    if any("skip" in result for result in ours):
        sys.exit("quantizer_memory: vqswift could not run")
    worst = max(result["added"] for result in ours) / MEGABYTE
    if options.points <= 1_000_000 and worst >= LIMIT:
        sys.exit(f"quantizer_memory: vqswift adds {worst:.1f} MB, at most {LIMIT} are allowed")


def _measure(name: str, phase: str, points: int) -> dict[str, Any]:
    """Bytes of the outputs, and what the peak exceeds the resident size before and them by."""
    make, _ = CONTESTANTS[name]
    leaf, constant, step = make(phase == PHASES[1])
    random = np.random.default_rng(0)
    for size in (WARM_UP, points):
        z = leaf(random.random((size, WIDTH), dtype=np.float32))
        gradient = constant(random.random((size, WIDTH), dtype=np.float32))
        if size == WARM_UP:
            step(z, gradient)
    gc.collect()
    forget_peak()
    before = resident()
    outputs = step(z, gradient)
    added = peak() - before
    sizes = {key: _nbytes(value) for key, value in outputs.items()}
    held = sum(sizes.values())
    return {"sizes": sizes, "outputs": held, "peak": added, "added": added - held}


def _nbytes(tensor: Any) -> int:
    return int(np.prod(tensor.shape)) * tensor.dtype.itemsize


def _inner(a: Any, b: Any) -> Any:
    """The sum of products, whose backward makes one tensor of a's size and nothing else."""
    return (a.reshape(1, -1) @ b.reshape(-1, 1)).reshape(())


def _ours(backward: bool) -> Contestant:
    import vqswift as vq

    layer = vq.VectorQuant(WIDTH, CODES, sync_nu=1.0, replace_freq=20)

    def step(z: Any, gradient: Any) -> dict[str, Any]:
        z_q, info = layer(z)
        outputs = {"z_q": z_q, "codes": info.q, "distances": info.d}
        if backward:
            (info.loss + _inner(z_q, gradient)).backward()
            outputs |= {"gradient of z_q": gradient, "gradient of z": z.grad}
        return outputs

    return lambda array: vq.Tensor(array, requires_grad=True), vq.Tensor, step


def _torch(lookup: str, backward: bool) -> Contestant:
    import torch
    from torch.nn import functional

    codebook = torch.randn(CODES, WIDTH, requires_grad=True)

    def nearest(z: torch.Tensor) -> torch.Tensor:
        if lookup == "cdist":
            return torch.cdist(z, codebook).argmin(1)
        half_norms = codebook.square().sum(1) / 2
        parts = z.split(4096)
        return torch.cat(
            [torch.addmm(half_norms, part, codebook.t(), alpha=-1).argmin(1) for part in parts]
        )

    def step(z: torch.Tensor, gradient: torch.Tensor) -> dict[str, Any]:
        with torch.no_grad():
            codes = nearest(z)
        if lookup == "cdist":
            moved = functional.one_hot(codes, CODES).float() @ codebook
        else:
            moved = functional.embedding(codes, codebook)
        loss = 0.05 * functional.mse_loss(z, moved.detach())
        loss = loss + 0.95 * functional.mse_loss(z.detach(), moved)
        z_q = z + (moved - z).detach()
        outputs = {"z_q": z_q.detach(), "codes": codes}
        if backward:
            (loss + _inner(z_q, gradient)).backward()
            outputs |= {"gradient of z_q": gradient, "gradient of z": z.grad}
        return outputs

    return lambda array: torch.from_numpy(array).requires_grad_(), torch.from_numpy, step


def _vector_quantize_pytorch(backward: bool) -> Contestant:
    import torch
    from vector_quantize_pytorch import VectorQuantize

    layer = VectorQuantize(WIDTH, CODES)

    def step(z: torch.Tensor, gradient: torch.Tensor) -> dict[str, Any]:
        z_q, codes, loss = layer(z[None])
        outputs = {"z_q": z_q.detach(), "codes": codes}
        if backward:
            (loss + _inner(z_q, gradient)).backward()
            outputs |= {"gradient of z_q": gradient, "gradient of z": z.grad}
        return outputs

    return lambda array: torch.from_numpy(array).requires_grad_(), torch.from_numpy, step


# Each with whether its memory is linear in the number of vectors alone.
CONTESTANTS: dict[str, tuple[Callable[[bool], Contestant], bool]] = {
    OURS: (_ours, True),
    "PyTorch in chunks": (lambda backward: _torch("chunks", backward), True),
    "PyTorch, cdist and one-hot": (lambda backward: _torch("cdist", backward), False),
    "vector-quantize-pytorch": (_vector_quantize_pytorch, False),
}


if __name__ == "__main__":
    main()
