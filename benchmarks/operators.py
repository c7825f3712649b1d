"""Operators of transformers and codecs: vqswift against PyTorch, forward and backward.

    python -m benchmarks.operators [--threads 2] [--rounds 5] [--quick] [--peer-python PYTHON]

An operator is a case; a forward, and a forward with its backward are the ways. Prints the medians
and the ratio to PyTorch.
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

FORWARD, BOTH = "forward", "forward and backward"
# Calls of microseconds are made for a while first, until caches and threads are warm.
REPEATS, SECONDS = 25, 0.3
Operator = Callable[..., Any]

# Shapes of the arguments: 8 images of a small ViT, its attention scores, feature maps.
TOKENS, WIDTH, SCORES, MAPS = (8, 197, 384), (384,), (1182, 197), (4, 32, 32, 128)
# Heads of the same ViT and of a small GPT, and hidden layers of a codec, as each library has them.
HEADS, LONG, SOUND = (8, 6, 197, 64), (4, 8, 512, 32), (4, 4096, 32)
# Sequences of a recurrent layer of as many outputs as inputs.
STEPS = (64, 32, 256)
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "layer_norm": [TOKENS, WIDTH, WIDTH],
    "group_norm": [MAPS, (128,), (128,)],
    "gelu": [TOKENS],
    "gelu_tanh": [TOKENS],
    "silu": [TOKENS],
    "elu": [TOKENS],
    "sin": [TOKENS],
    "softmax": [SCORES],
    "sum": [TOKENS],
    "sum over an axis": [TOKENS],
    "attention": [HEADS, HEADS, HEADS],
    "causal attention": [LONG, LONG, LONG],
    "conv1d": [SOUND, (32, 32, 7)],
    "dilated conv1d": [SOUND, (32, 32, 3)],
    "strided conv1d": [SOUND, (64, 32, 8)],
    "conv1d, 512 channels": [(1, 512, 512), (512, 512, 7)],
    "strided conv1d, 64 channels": [(4, 2048, 64), (128, 64, 8)],
    "dilated conv2d": [MAPS, (128, 128, 3, 3)],
    "conv2d, 7x1": [MAPS, (128, 128, 7, 1)],
    "grouped conv2d": [MAPS, (128, 4, 3, 3)],
    "lstm": [STEPS],
}


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = options_of(__doc__, rounds=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.quick:
        options.rounds = min(options.rounds, 1)
    if options.contestant:
        serve(lambda case: _PREPARE[options.contestant](case, options.threads))
        return

    def contestant(name: str, python: str) -> Contestant:
        command = [python, "-m", "benchmarks.operators", "--contestant", name]
        return Contestant(name, [*command, "--threads", str(options.threads)])

    outcomes = contest(
        [contestant("vqswift", sys.executable), contestant("PyTorch", options.peer_python)],
        options.rounds,
        [*SHAPES],
    )
    found = {(o.case, o.way, o.name): o for o in outcomes if o.seconds}
    rows = [_row(found, case, way) for case in SHAPES for way in (FORWARD, BOTH)]
    header = ("operator", "", "vqswift ms", "PyTorch ms", "PyTorch / vqswift")
    print_table(f"float32, {options.threads} threads, medians", header, rows)
    document = {"threads": options.threads, "rows": rows, "outcomes": told(outcomes)}
    print(f"written to {save(f'operators_{options.threads}', options, document)}")


def _row(found: dict[tuple[str, str, str], Outcome], case: str, way: str) -> list[str]:
    own, peer = (found.get((case, way, name)) for name in ("vqswift", "PyTorch"))
    cells = ["-" if each is None else f"{each.median * 1e3:.3f}" for each in (own, peer)]
    ratio = "-" if own is None or peer is None else f"{peer.median / own.median:.2f}"
    return [case, way, *cells, ratio]


def _arrays(case: str) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal(shape, dtype=np.float32) for shape in SHAPES[case]]


def _measure(
    arguments: list[Any], operator: Operator, gradient_of: Operator, without_tape: Operator
) -> Measure:
    gradient = gradient_of(operator(*arguments))

    def forward() -> None:
        with without_tape():
            operator(*arguments)

    def both() -> None:
        for argument in arguments:
            argument.grad = None
        operator(*arguments).backward(gradient)

    def measured() -> dict[str, list[float]]:
        ways = {FORWARD: forward, BOTH: both}
        return {way: _repeated(call) for way, call in ways.items()}

    return measured


def _repeated(call: Callable[[], None]) -> list[float]:
    call()
    first = seconds_of(call)
    for _ in range(int(SECONDS / first)):
        call()
    return [seconds_of(call) for _ in range(REPEATS)]


def _convolutions(f: Any) -> dict[str, Operator]:
    """Those of either library: their functions have the same arguments."""
    return {
        "conv1d": lambda x, w: f.conv1d(x, w, padding=3),
        "dilated conv1d": lambda x, w: f.conv1d(x, w, padding=9, dilation=9),
        "strided conv1d": lambda x, w: f.conv1d(x, w, stride=4, padding=2),
        "conv1d, 512 channels": lambda x, w: f.conv1d(x, w, padding=3),
        "strided conv1d, 64 channels": lambda x, w: f.conv1d(x, w, stride=4, padding=2),
        "dilated conv2d": lambda x, w: f.conv2d(x, w, padding=2, dilation=2),
        "conv2d, 7x1": lambda x, w: f.conv2d(x, w, padding=(3, 0)),
        "grouped conv2d": lambda x, w: f.conv2d(x, w, padding=1, groups=32),
    }


def _prepare_vqswift(case: str, threads: int) -> tuple[dict[str, Any], Measure]:
    import vqswift as vq
    from vqswift.nn import functional as f

    vq.set_threads(threads)
    operators: dict[str, Operator] = {
        "layer_norm": f.layer_norm,
        "group_norm": lambda x, w, b: f.group_norm(x, 32, w, b),
        "gelu": f.gelu,
        "gelu_tanh": lambda x: f.gelu(x, "tanh"),
        "silu": f.silu,
        "elu": f.elu,
        "sin": lambda x: x.sin(),
        "softmax": f.softmax,
        "sum": lambda x: x.sum(),
        "sum over an axis": lambda x: x.sum(axis=1),
        "attention": f.scaled_dot_product_attention,
        "causal attention": lambda *x: f.scaled_dot_product_attention(*x, is_causal=True),
        **_convolutions(f),
        "lstm": lambda x: lstm(x)[0],
    }
    lstm = vq.nn.LSTM(STEPS[-1], STEPS[-1], batch_first=True)
    arguments = [vq.Tensor(array, requires_grad=True) for array in _arrays(case)]
    measure = _measure(
        arguments, operators[case], lambda y: vq.Tensor(np.ones(y.shape, np.float32)), vq.no_grad
    )
    return {"threads": vq.get_threads(), "with": vq.libraries()}, measure


def _prepare_torch(case: str, threads: int) -> tuple[dict[str, Any], Measure]:
    import torch
    from torch.nn import functional as f

    torch.set_num_threads(threads)
    operators: dict[str, Operator] = {
        "layer_norm": lambda x, w, b: f.layer_norm(x, WIDTH, w, b),
        "group_norm": lambda x, w, b: f.group_norm(x, 32, w, b),
        "gelu": f.gelu,
        "gelu_tanh": lambda x: f.gelu(x, approximate="tanh"),
        "silu": f.silu,
        "elu": f.elu,
        "sin": torch.sin,
        "softmax": lambda x: f.softmax(x, -1),
        "sum": torch.sum,
        "sum over an axis": lambda x: x.sum(1),
        "attention": f.scaled_dot_product_attention,
        "causal attention": lambda *x: f.scaled_dot_product_attention(*x, is_causal=True),
        **_convolutions(f),
        "lstm": lambda x: lstm(x)[0],
    }
    lstm = torch.nn.LSTM(STEPS[-1], STEPS[-1], batch_first=True)
    arrays = _arrays(case)
    if case == "group_norm" or "conv" in case:
        # PyTorch's own layout is the one in which it is at its best.
        arrays[0] = np.ascontiguousarray(np.moveaxis(arrays[0], -1, 1))
    arguments = [torch.from_numpy(array).requires_grad_() for array in arrays]
    measure = _measure(arguments, operators[case], torch.ones_like, torch.no_grad)
    return {"threads": torch.get_num_threads(), "torch": torch.__version__}, measure


_PREPARE = {"vqswift": _prepare_vqswift, "PyTorch": _prepare_torch}


if __name__ == "__main__":
    main()
