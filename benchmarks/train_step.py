"""A training step of the CIFAR-10 autoencoder: vqswift against the same network in PyTorch.

    python -m benchmarks.train_step [--batch 128 32] [--busy] [--rounds 8] [--steps 5] [--quick]
                                    [--peer-python PYTHON]

SQ-VAE backbone, 64 channels, 1024 codes, plain quantizer, beta 0.95, alpha 5, AdamW (1e-4, betas
0.9 and 0.95, weight decay 1e-4, none on the codebook). All start from the same weights on the same
batches, and the first losses must agree to 1e-4 relative, but under autocast. A step is forward,
loss, backward, update and reading the loss. Ours is also timed with alternating optimization: the
codebook's own AdamW inside the forward, once or four times a step. With `--busy` every round is
measured a second time, with one core held by another process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ._busy import busy_core
from ._contest import Contestant, Outcome, best, best_cores, contest, core_types
from ._results import options_of, save, told
from ._serve import Measure, seconds_of, serve, torch_needs_core_types
from ._table import print_table
from ._verdict import HEADER, Comparison, ahead, as_json, beside, milliseconds

WIDTH, CODES, ALPHA, BETA = 64, 1024, 5.0, 0.95
RATE, BETAS, DECAY = 1e-4, (0.9, 0.95), 1e-4
OURS, TORCH, QUIET, BUSY = "vqswift", "PyTorch", "", "one core busy"
# Ours, with the alternating optimizer's steps in a forward; PyTorch's layouts and modes.
INNER_STEPS = {"": 0, "alternating, 1 inner step": 1, "alternating, 4 inner steps": 4}
INNER_BARS = {1: 1.05, 4: 2.0}
EAGER = "eager"
WAYS = {
    EAGER: ("nchw", "eager"),
    "eager, channels last": ("nhwc", "eager"),
    "compiled": ("nchw", "compiled"),
    "compiled, channels last": ("nhwc", "compiled"),
    "max-autotune": ("nchw", "max-autotune"),
    "max-autotune, channels last": ("nhwc", "max-autotune"),
    "compiled, bfloat16 autocast, channels last": ("nhwc", "autocast"),
}
AUTOCAST = {way for way, (_, mode) in WAYS.items() if mode == "autocast"}
# By batch: times PyTorch's eager mode as users write it, and times PyTorch's best; of the latter no
# more than `INTEL_BAR` on Intel.
BARS: dict[int, tuple[float | None, float]] = {128: (2.3, 2.4), 32: (None, 2.2)}
INTEL_BAR = 2.0
SLOWDOWN_BAR, AGREE = 2.2, 1e-4
WARM = 0.3  # seconds of steps before those that are timed


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = options_of(__doc__, rounds=8)
    parser.add_argument("--batch", type=int, nargs="+", default=[*BARS])
    parser.add_argument("--busy", action="store_true", help="also beside a process on one core")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each in a round")
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        serve(partial(_prepare, options))
        return
    if options.quick:
        options.rounds, options.steps = min(options.rounds, 2), min(options.steps, 2)
    conditions: dict[str, Callable[[], AbstractContextManager[Any]]] = {QUIET: nullcontext}
    if options.busy:
        conditions[BUSY] = busy_core
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder) / "weights.npz")

        def command(python: str, name: str) -> list[str]:
            smoke = ["--quick"] if options.quick else []
            arguments = ["--steps", str(options.steps), "--weights", weights, *smoke]
            return [python, "-m", "benchmarks.train_step", *arguments, "--contestant", name]

        # Ours is ready first and leaves the weights for the others.
        outcomes = contest(
            [
                Contestant(OURS, command(sys.executable, OURS)),
                *core_types(TORCH, command(options.peer_python, TORCH)),
            ],
            options.rounds,
            [str(batch) for batch in options.batch],
            conditions,
        )
    _report(outcomes, options)


def _report(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    rows, differing = [], []
    for batch in options.batch:
        of_batch = [o for o in outcomes if o.case == str(batch)]
        for condition in (QUIET, *([BUSY] if options.busy else [])):
            _print_batch(batch, condition, of_batch)
        rows += rows_of(batch, of_batch)
        differing += differing_losses(of_batch)
    print_table("the bars", HEADER, [row.cells() for row in rows])
    document = {"rows": as_json(rows), "outcomes": told(outcomes)}
    print(f"written to {save('train_step', options, document)}")
    if not any(o.name == OURS and o.seconds for o in outcomes):
        sys.exit("train_step: vqswift could not run")
    if differing:
        sys.exit(f"train_step: the first loss of {', '.join(differing)} differs from ours")
    if not any(o.name == TORCH and o.seconds for o in outcomes):
        print("no peer to compare with: pip install torch")


def _print_batch(batch: int, condition: str, outcomes: list[Outcome]) -> None:
    shown = best_cores(o for o in outcomes if o.condition == condition)
    quiet = {o.title: o.median for o in best_cores(outcomes) if o.condition == QUIET}
    ours = best(o for o in shown if o.name == OURS and not o.way)
    table = []
    for o in shown:
        fast, slow = o.spread
        table.append(
            [
                o.label,
                milliseconds(o).removesuffix(" ms"),
                f"{1e3 * fast:.4g}-{1e3 * slow:.4g}",
                f"{o.median / ours.median:.2f}" if ours else "-",
                f"{o.median / quiet[o.title]:.2f}",
                f"{o.facts['first losses'][o.way]:.7f}",
            ]
        )
    title = f"batch {batch}{condition and ', ' + condition}: ms a step"
    header = ("", "ms", "spread", "ours is x", "of its quiet time", "first loss")
    print_table(title, header, table)


def rows_of(batch: int, outcomes: list[Outcome]) -> list[Comparison]:
    """What the bars say of one batch."""

    def fastest(name: str, way: str | None = None, condition: str = QUIET) -> Outcome | None:
        return best(
            o
            for o in outcomes
            if (o.name, o.condition) == (name, condition) and way in (None, o.way)
        )

    work = f"training step, batch {batch}"
    eager_bar, best_bar = BARS.get(batch, (None, 1.0))
    if is_intel():
        best_bar = min(best_bar, INTEL_BAR)
    ours, peer = fastest(OURS, ""), fastest(TORCH)
    rows = []
    if eager_bar:
        rows.append(ahead(work, ours, fastest(TORCH, EAGER), eager_bar, "x PyTorch eager"))
    rows.append(ahead(work, ours, peer, best_bar, "x PyTorch's best"))
    for way, steps in INNER_STEPS.items():
        if steps:
            unit = "x the plain step"
            rows.append(beside(f"{work}, {way}", fastest(OURS, way), ours, INNER_BARS[steps], unit))
    held, peer_held = fastest(OURS, "", BUSY), fastest(TORCH, None, BUSY)
    if held:
        busy = f"{work}, {BUSY}"
        rows.append(beside(busy, held, ours, SLOWDOWN_BAR, "x our quiet time"))
        lead = peer.median / ours.median if ours and peer else 1.0
        rows.append(ahead(busy, held, peer_held, round(lead, 3), "x PyTorch's best, as when quiet"))
    return rows


def is_intel() -> bool:
    """Whether the CPU says so."""
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "GenuineIntel" in cpu.read_text()


def differing_losses(outcomes: list[Outcome]) -> list[str]:
    """The labels of those whose first loss is not that of our plain step to `AGREE`."""
    losses = {
        o.label: o.facts["first losses"][o.way]
        for o in outcomes
        if o.seconds and o.way not in AUTOCAST and (o.name != OURS or not INNER_STEPS[o.way])
    }
    ours = losses.get(OURS)
    if ours is None:
        return []
    return [label for label, loss in losses.items() if not abs(loss / ours - 1) <= AGREE]


Step = Callable[[np.ndarray], float]


def _prepare(options: argparse.Namespace, case: str) -> tuple[dict[str, Any], Measure]:
    facts: dict[str, Any]
    if options.contestant == OURS:
        facts, steps = _ours(options.weights)
    else:
        facts, steps = _torch(options.weights, eager_only=options.quick)
    batches = _batches(int(case))
    facts["first losses"] = {way: step(batches[0]) for way, step in steps.items()}
    for step in steps.values():
        for batch in batches:
            step(batch)

    def measure() -> dict[str, list[float]]:
        seconds: dict[str, list[float]] = {}
        for way, step in steps.items():
            warm = time.perf_counter() + WARM
            while time.perf_counter() < warm:
                step(batches[0])
            turns = [batches[index % len(batches)] for index in range(options.steps)]
            seconds[way] = [seconds_of(partial(step, batch)) for batch in turns]
        return seconds

    return facts, measure


def _batches(size: int) -> list[np.ndarray]:
    """Four batches `[size, 32, 32, 3]` of smooth random images in [0, 1]."""
    random = np.random.default_rng(0)
    coarse = random.random((4, size, 8, 8, 3), dtype=np.float32)
    fine = random.random((4, size, 32, 32, 3), dtype=np.float32)
    return list(0.8 * coarse.repeat(4, axis=2).repeat(4, axis=3) + 0.2 * fine)


def _ours(weights: Path) -> tuple[dict[str, Any], dict[str, Step]]:
    import vqswift as vq

    given = {"lr": RATE, "betas": BETAS, "weight_decay": DECAY}

    def step_of(inner_steps: int) -> Step:
        vq.manual_seed(0)
        options: dict[str, Any] = {}
        if inner_steps:
            inner = partial(vq.optim.AdamW, lr=RATE, betas=BETAS, weight_decay=0.0)
            options = {"inplace_optimizer": inner, "inner_steps": inner_steps}
        quantizer = vq.VectorQuant(WIDTH, CODES, beta=BETA, seed=0, **options)
        model = vq.models.SQVAE(image_size=32, channels=3, width=WIDTH, quantizer=quantizer)
        if inner_steps:
            with np.load(weights) as arrays:
                model.load_state_dict(model.state_dict() | dict(arrays))
        else:
            np.savez(weights, **model.state_dict())
        optimizer = vq.optim.AdamW(model.parameters(), **given)
        model.train()
        return partial(_our_step, model, optimizer)

    steps = {way: step_of(inner_steps) for way, inner_steps in INNER_STEPS.items()}
    return {"version": vq.__version__, "threads": vq.get_threads()}, steps


def _our_step(model: Any, optimizer: Any, batch: np.ndarray) -> float:
    import vqswift as vq

    x = vq.Tensor(batch)
    reconstruction, info = model(x)
    loss = vq.nn.functional.mse_loss(reconstruction, x) + info.loss * ALPHA
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _torch(weights: Path, eager_only: bool) -> tuple[dict[str, Any], dict[str, Step]]:
    import torch

    torch_needs_core_types()
    torch.compiler.reset()
    steps = {
        way: _torch_step(weights, layout, mode)
        for way, (layout, mode) in WAYS.items()
        if mode == "eager" or not eager_only
    }
    return {"version": torch.__version__, "threads": torch.get_num_threads()}, steps


def _torch_step(weights: Path, layout: str, mode: str) -> Step:
    import torch

    from ._torch_sqvae import SQVAE

    model = SQVAE(WIDTH, CODES, BETA)
    with np.load(weights) as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in model.state_dict()}
    model.load_state_dict(state)
    order = torch.channels_last if layout == "nhwc" else torch.contiguous_format
    model = model.to(memory_format=order)
    network = [value for name, value in model.named_parameters() if name != "quantizer.codebook"]
    optimizer = torch.optim.AdamW(
        [{"params": network}, {"params": [model.quantizer.codebook], "weight_decay": 0.0}],
        lr=RATE,
        betas=BETAS,
        weight_decay=DECAY,
        fused=True,
    )

    def objective(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            reconstruction, loss = model(x)
        return torch.nn.functional.mse_loss(reconstruction.float(), x) + ALPHA * loss

    run = objective
    if mode == "max-autotune":
        run = torch.compile(objective, dynamic=False, mode=mode)
    elif mode != "eager":
        run = torch.compile(objective, dynamic=False)

    def step(batch: np.ndarray) -> float:
        x = torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous(memory_format=order)
        loss = run(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
