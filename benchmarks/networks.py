"""A training step of the networks of `examples/` and `vqswift.models`, beside PyTorch's.

    python -m benchmarks.networks [--only NAME ...] [--threads 2] [--rounds 5] [--steps 5] [--quick]
                                  [--peer-python PYTHON]

Each example at its own size and larger; the classifiers, which are torchvision's there, have no
quantizer, and of MaskGIT's codes half are hidden. A step is forward, loss, backward, AdamW and
reading the loss. PyTorch runs eager and compiled, image networks in both layouts; its best counts.
Memory is what the resident size grows by, from the import to the peak of the steps after the first
two, in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from ._contest import ROOT, Contestant, best, clean_environment, contest
from ._memory import forget_peak, peak, resident
from ._results import options_of, save, told
from ._serve import Measure, seconds_of, serve
from ._table import print_table
from ._verdict import HEADER, Comparison, ahead, as_json

OURS, TORCH, EAGER = "vqswift", "PyTorch", "eager"
RATE, WARM, MEGABYTE = 1e-3, 0.3, 1 << 20
Batch = tuple[np.ndarray, ...]
Step = Callable[[], float]


@dataclass(frozen=True)
class Network:
    """A class, its sizes, what makes a batch from random numbers, and what its step must reach.

    `module` is that of PyTorch's class, and of ours where it is no example.
    """

    name: str
    sizes: dict[str, Any]
    batch: Callable[[np.random.Generator], Batch]
    has_images: bool = False
    bar: float = 1.0
    module: str = "networks"


def _floats(*shape: int) -> Callable[[np.random.Generator], Batch]:
    return lambda random: (random.random(shape, np.float32),)


def _codes(count: int, *shape: int) -> Callable[[np.random.Generator], Batch]:
    return lambda random: (random.integers(count, size=shape).astype(np.int32),)


def _half_hidden(random: np.random.Generator) -> Batch:
    codes = random.integers(1024, size=(32, 64)).astype(np.int32)
    hidden = random.random(codes.shape) < 0.5
    labels = random.integers(10, size=len(codes)).astype(np.int32)
    return np.where(hidden, -1, codes), np.where(hidden, codes, -1), labels


def _labelled(*shape: int) -> Callable[[np.random.Generator], Batch]:
    return lambda random: (*_floats(*shape)(random), *_codes(10, shape[0])(random))


# By example; its own sizes and larger ones.
NETWORKS = {
    "codec": Network("Codec", {}, _floats(8, 1024, 1)),
    "codec, large": Network("Codec", {"width": 32}, _floats(4, 8192, 1)),
    "vit": Network("VisionTransformer", {}, _labelled(64, 8, 8, 1), True),
    "vit, large": Network(
        "VisionTransformer", {"width": 192, "depth": 6, "heads": 3}, _labelled(64, 8, 8, 1), True
    ),
    "vqgan": Network("VQGAN", {}, _floats(32, 16, 16, 1), True),
    "vqgan, large": Network(
        "VQGAN", {"width": 64, "features": 64, "codes": 512}, _floats(16, 32, 32, 1), True
    ),
    "code_transformer": Network("CodeTransformer", {}, _codes(32, 64, 17)),
    "code_transformer, large": Network(
        "CodeTransformer", {"width": 256, "depth": 6, "heads": 8}, _codes(32, 8, 257)
    ),
    "code_gru": Network("CodeGRU", {}, _codes(32, 64, 9)),
    "code_gru, large": Network("CodeGRU", {"width": 256}, _codes(32, 64, 65)),
}
# Of `vqswift.models`; the classifiers at the sizes of the first paper.
MODELS = {
    "resnet18, 64x64": Network("ResNet18", {}, _labelled(64, 64, 64, 3), True, 1.6, "classifiers"),
    "vit-t, 32x32": Network(
        "VisionTransformer",
        {"image_size": 32, "patch_size": 4},
        _labelled(128, 32, 32, 3),
        True,
        1.2,
        "classifiers",
    ),
    "alexnet, 224x224": Network(
        "AlexNet", {"dropout": 0.0}, _labelled(32, 224, 224, 3), True, 1.5, "classifiers"
    ),
    "maskgit, 64 codes": Network(
        "MaskGIT",
        {"num_codes": 1024, "length": 64, "classes": 10, "width": 256, "depth": 8, "heads": 4}
        | {"hidden": 1024, "dropout": 0.0},
        _half_hidden,
        bar=1.2,
        module="maskgit",
    ),
}
CASES = NETWORKS | MODELS


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = options_of(__doc__, rounds=5)
    parser.add_argument("--only", nargs="+", choices=[*CASES], default=[*CASES])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each in a round")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(_added(options.contestant, options.memory, options.threads)))
        return
    if options.contestant:
        serve(partial(_prepare, options))
        return
    if options.quick:
        options.rounds, options.steps = min(options.rounds, 1), min(options.steps, 2)
    commands = {
        OURS: _command(sys.executable, OURS, options),
        TORCH: _command(options.peer_python, TORCH, options),
    }
    contestants = [Contestant(name, command) for name, command in commands.items()]
    outcomes = contest(contestants, options.rounds, options.only)
    rows, memory = [], {}
    for case in options.only:
        ours, peer = (best(o for o in outcomes if (o.case, o.name) == (case, n)) for n in commands)
        bar = CASES[case].bar
        rows.append(ahead(f"training step, {case}", ours, peer, bar, "x PyTorch's best"))
        memory[case] = {name: _memory(command, case) for name, command in commands.items()}
        rows.append(_compared(case, **memory[case]))
    print_table(f"{options.threads} threads", HEADER, [row.cells() for row in rows])
    document = {"rows": as_json(rows), "memory": memory, "outcomes": told(outcomes)}
    print(f"written to {save('networks', options, document)}")


def _command(python: str, name: str, options: argparse.Namespace) -> list[str]:
    smoke = ["--quick"] if options.quick else []
    arguments = ["--threads", str(options.threads), "--steps", str(options.steps), *smoke]
    return [python, "-m", "benchmarks.networks", *arguments, "--contestant", name]


def _memory(command: list[str], case: str) -> int | None:
    """Bytes that training adds in a process of its own; None where it cannot run."""
    done = subprocess.run(
        [*command, "--memory", case],
        cwd=ROOT,
        env=clean_environment({}),
        capture_output=True,
        text=True,
    )
    return None if done.returncode else json.loads(done.stdout.splitlines()[-1])


def _compared(case: str, vqswift: int | None, PyTorch: int | None) -> Comparison:
    told = [f"{size / MEGABYTE:.0f} MB" if size else "" for size in (vqswift, PyTorch)]
    value = vqswift / PyTorch if vqswift and PyTorch else None
    return Comparison(f"memory, {case}", *told, value, 1.0, "x PyTorch eager", at_most=True)


def _added(name: str, case: str, threads: int) -> int:
    step_of = _makers(name, case, threads, eager_only=True)[EAGER]
    before = resident()
    step = step_of()
    for turn in range(6):
        if turn == 2:
            forget_peak()
        step()
    return peak() - before


def _prepare(options: argparse.Namespace, case: str) -> tuple[dict[str, Any], Measure]:
    name, threads = options.contestant, options.threads
    makers = _makers(name, case, threads, eager_only=options.quick)
    steps = {way: make() for way, make in makers.items()}
    facts = {"threads": threads, "last of 3 losses": {}}
    for way, step in steps.items():
        facts["last of 3 losses"][way] = [step() for _ in range(3)][-1]

    def measure() -> dict[str, list[float]]:
        seconds = {}
        for way, step in steps.items():
            warm = time.perf_counter() + WARM
            while time.perf_counter() < warm:
                step()
            seconds[way] = [seconds_of(step) for _ in range(options.steps)]
        return seconds

    return facts, measure


def _makers(name: str, case: str, threads: int, eager_only: bool) -> dict[str, Callable[[], Step]]:
    """What makes a network and gives its step, by PyTorch's ways; ours has one."""
    network = CASES[case]
    batch = network.batch(np.random.default_rng(0))
    if name == OURS:
        import vqswift as vq

        vq.set_threads(threads)
        module = _ours(case)
        return {EAGER: partial(_our_step, module, network, batch)}
    import torch

    torch.set_num_threads(threads)
    torch.compiler.reset()
    ways = {EAGER: (False, False)}
    if network.has_images:
        ways["eager, channels last"] = (True, False)
    if not eager_only:
        ways |= {way.replace(EAGER, "compiled"): (last, True) for way, (last, _) in ways.items()}
    module = importlib.import_module(f"benchmarks._torch_{network.module}")
    return {way: partial(_torch_step, module, network, batch, *how) for way, how in ways.items()}


def _ours(case: str) -> ModuleType:
    """The module of our network, with its `loss_of`."""
    if case in MODELS:
        return importlib.import_module(f"benchmarks._vqswift_{CASES[case].module}")
    name = case.partition(",")[0]
    specification = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _our_step(module: ModuleType, network: Network, batch: Batch) -> Step:
    import vqswift as vq

    vq.manual_seed(0)
    model = getattr(module, network.name)(**network.sizes)
    optimizer = vq.optim.AdamW(model.parameters(), lr=RATE)

    def step() -> float:
        loss = module.loss_of(model, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _torch_step(
    module: ModuleType, network: Network, batch: Batch, channels_last: bool, compiled: bool
) -> Step:
    import torch

    torch.manual_seed(0)
    model = getattr(module, network.name)(**network.sizes)
    given = [torch.from_numpy(array) for array in batch]
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    elif network.has_images:
        given[0] = given[0].movedim(-1, 1).contiguous().movedim(1, -1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    run = torch.compile(model.loss, dynamic=False) if compiled else model.loss

    def step() -> float:
        loss = run(*given)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
