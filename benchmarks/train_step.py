"""A training step of the CIFAR-10 autoencoder: vqswift against the same network in PyTorch.

    python benchmarks/train_step.py [--rounds 8] [--steps 5] [--quick] [--torch-python PYTHON]

SQ-VAE backbone, 64 channels, 1024 codes, batch 128, plain quantizer, beta 0.95, alpha 5, AdamW
(1e-4, betas 0.9 and 0.95, weight decay 1e-4, none on the codebook). All start from the same
weights on the same batches, and the first losses must agree to 1e-4 relative. A step is forward,
loss, backward, update and reading the loss. Torch is an extra: ``pip install torch``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _contest import Contestant, Outcome, contest, machine, save, serve

BATCH, WIDTH, CODES, ALPHA, BETA = 128, 64, 1024, 5.0, 0.95
RATE, BETAS, DECAY = 1e-4, (0.9, 0.95), 1e-4
OURS = "vqswift"
PEERS = {
    "PyTorch eager": ("nchw", "eager"),
    "PyTorch eager, channels last": ("nhwc", "eager"),
    "PyTorch compiled": ("nchw", "compiled"),
    "PyTorch compiled, channels last": ("nhwc", "compiled"),
}


def main() -> None:
    """Measures all, or serves as one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each in a round")
    parser.add_argument("--quick", action="store_true", help="three rounds, nothing compiled")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with torch")
    parser.add_argument("--contestant", choices=(OURS, *PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        serve(lambda: _prepare(options.contestant, options.weights, options.steps))
        return
    rounds = min(options.rounds, 3) if options.quick else options.rounds
    peers = [
        name for name, (_, mode) in PEERS.items() if not (options.quick and mode == "compiled")
    ]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"

        def contestant(name: str, python: str) -> Contestant:
            arguments = ["--steps", str(options.steps), "--weights", str(weights)]
            return Contestant(name, [python, __file__, *arguments, "--contestant", name])

        # Ours is ready first and leaves the weights for the others.
        outcomes = contest(
            [
                contestant(OURS, sys.executable),
                *(contestant(name, options.torch_python) for name in peers),
            ],
            rounds,
        )
    _report(outcomes)


def _report(outcomes: list[Outcome]) -> None:
    ran = [outcome for outcome in outcomes if outcome.skipped is None]
    ours = next((outcome for outcome in ran if outcome.name == OURS), None)
    if ours is None:
        sys.exit("train_step: vqswift could not run")
    first = ours.facts["first_loss"]
    print(f"milliseconds a step, median of {len(ours.seconds)}, first to ninth decile")
    print(f"{'contestant':<32} {'ms':>7} {'spread':>15} {'ours is':>10} {'first loss':>12}")
    for outcome in ran:
        fast, slow = outcome.spread
        print(
            f"{outcome.name:<32} {1e3 * outcome.median:7.1f} {1e3 * fast:7.1f}-{1e3 * slow:<7.1f} "
            f"{outcome.median / ours.median:9.2f}x {outcome.facts['first_loss']:12.7f}"
        )
    path = save(
        "train_step",
        {
            "machine": machine(),
            "milliseconds": {outcome.name: 1e3 * outcome.median for outcome in ran},
            "ratio": {outcome.name: outcome.median / ours.median for outcome in ran},
            "facts": {outcome.name: outcome.facts for outcome in ran},
            "seconds": {outcome.name: outcome.seconds for outcome in ran},
            "skipped": {outcome.name: outcome.skipped for outcome in outcomes if outcome.skipped},
        },
    )
    print(f"written to {path}")
    differing = [
        outcome.name for outcome in ran if abs(outcome.facts["first_loss"] / first - 1) > 1e-4
    ]
    if differing:
        sys.exit(f"train_step: the first loss of {', '.join(differing)} differs from ours")
    if len(ran) == 1:
        print("no peer to compare with: pip install torch")


def _prepare(
    name: str, weights: Path, steps: int
) -> tuple[dict[str, Any], Callable[[], list[float]]]:
    if name == OURS:
        facts, step = _ours(weights)
    else:
        facts, step = _torch(weights, *PEERS[name])
    batches = _batches()
    facts["first_loss"] = step(batches[0])
    for batch in batches:
        step(batch)

    def measure() -> list[float]:
        step(batches[0])
        seconds = []
        for index in range(steps):
            start = time.perf_counter()
            step(batches[index % len(batches)])
            seconds.append(time.perf_counter() - start)
        return seconds

    return facts, measure


def _batches() -> list[np.ndarray]:
    """Four batches ``[128, 32, 32, 3]`` of smooth random images in [0, 1]."""
    random = np.random.default_rng(0)
    coarse = random.random((4, BATCH, 8, 8, 3), dtype=np.float32)
    fine = random.random((4, BATCH, 32, 32, 3), dtype=np.float32)
    return list(0.8 * coarse.repeat(4, axis=2).repeat(4, axis=3) + 0.2 * fine)


def _ours(weights: Path) -> tuple[dict[str, Any], Callable[[np.ndarray], float]]:
    import vqswift as vq

    vq.manual_seed(0)
    quantizer = vq.VectorQuant(WIDTH, CODES, beta=BETA)
    model = vq.models.SQVAE(image_size=32, channels=3, width=WIDTH, quantizer=quantizer)
    np.savez(weights, **model.state_dict())
    optimizer = vq.optim.AdamW(model.parameters(), lr=RATE, betas=BETAS, weight_decay=DECAY)
    model.train()

    def step(batch: np.ndarray) -> float:
        x = vq.Tensor(batch)
        reconstruction, info = model(x)
        loss = vq.nn.functional.mse_loss(reconstruction, x) + info.loss * ALPHA
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"version": vq.__version__, "threads": vq.get_threads()}, step


def _torch(
    weights: Path, layout: str, mode: str
) -> tuple[dict[str, Any], Callable[[np.ndarray], float]]:
    import torch
    from _torch_sqvae import SQVAE

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
        reconstruction, loss = model(x)
        return torch.nn.functional.mse_loss(reconstruction, x) + ALPHA * loss

    run = torch.compile(objective) if mode == "compiled" else objective

    def step(batch: np.ndarray) -> float:
        x = torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous(memory_format=order)
        loss = run(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"version": torch.__version__, "threads": torch.get_num_threads()}, step


if __name__ == "__main__":
    main()
