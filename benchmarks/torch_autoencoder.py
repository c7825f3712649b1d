"""A CIFAR-10 autoencoder in PyTorch with either import of `VectorQuantize`: error, time, memory.

    python -m benchmarks.torch_autoencoder [--seeds 3] [--steps 400] [--quick]

`VectorQuantize` is of vector_quantize_pytorch or of vqswift.torch.lucidrains; the rest is one
script. Images [64, 3, 32, 32], features [64, 64, 8, 8], 512 codes that are running means, k-means
at the start, expired codes replaced; AdamW. The error is the mean square on all 10,000 test images.
Each seed trains in a process of its own, on one thread, the two contestants in turn. Times are CPU
seconds of the process, which other work on the machine disturbs less. The quantizer's is that of a
forward and backward of the trained layer alone, on a batch's features; memory is what the peak
exceeds the resident size before the first step by.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from ._contest import ROOT, clean_environment
from ._memory import forget_peak, peak, resident
from ._results import options_of, save
from ._table import print_table

OURS, PEER = "vqswift.torch.lucidrains", "vector_quantize_pytorch"
BATCH, WIDTH, CODES = 64, 64, 512
RATE, DECAY, EXPIRED = 2e-3, 0.95, 1
LAST = 5
MEGABYTE = 1 << 20
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def main() -> None:
    """Trains every seed with both, or one as a contestant."""
    parser = options_of(__doc__, rounds=1)
    parser.add_argument("--seeds", type=int, default=3, help="3 by default")
    parser.add_argument("--steps", type=int, default=400, help="400 by default")
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(run(options.contestant, options.seed, options.steps, options.quick)))
        return
    if options.quick:
        options.seeds, options.steps = 1, min(options.steps, 20)
    runs = [
        _run_apart(options, name, seed) for seed in range(options.seeds) for name in (OURS, PEER)
    ]
    _report(runs, options)


def _run_apart(options: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    python = sys.executable if name == OURS else options.peer_python
    given = ["--contestant", name, "--seed", str(seed), "--steps", str(options.steps)]
    command = [python, "-m", "benchmarks.torch_autoencoder", *given]
    done = subprocess.run(
        [*command, "--quick"] if options.quick else command,
        cwd=ROOT,
        env=clean_environment(ONE_THREAD),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"torch_autoencoder: {name}, seed {seed}: {done.stderr.strip()[-400:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(name: str, seed: int, steps: int, quick: bool) -> dict[str, Any]:
    """Trains one model; what there is to tell of it."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = autoencoder(importlib.import_module(name).VectorQuantize)
    images, test = (_images(split, quick) for split in ("train", "test"))
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=RATE)
    order = torch.Generator().manual_seed(seed)
    forget_peak()
    before, seconds = resident(), []
    for step in range(steps):
        batch = images[torch.randint(len(images), (BATCH,), generator=order)]
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (steps - step) / (0.3 * steps))
        start = time.process_time()
        reconstruction, loss = model(batch)
        (nn.functional.mse_loss(reconstruction, batch) + loss).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - start)
    added = peak() - before
    return {
        "name": name,
        "seed": seed,
        "steps": steps,
        "torch": torch.__version__,
        "test mse": error_of(model, test),
        "step": statistics.median(seconds[LAST:]),
        "quantizer": _quantizer_seconds(model, images[:BATCH]),
        "memory": added,
    }


def autoencoder(kind: Any) -> Any:
    """Images [n, 3, h, w] to reconstructions and the quantizer's loss."""
    from torch import nn

    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv2d(3, WIDTH // 2, 4, 2, 1),
                nn.ReLU(),
                nn.Conv2d(WIDTH // 2, WIDTH, 4, 2, 1),
                nn.ReLU(),
                nn.Conv2d(WIDTH, WIDTH, 3, 1, 1),
            )
            self.quantizer = kind(
                dim=WIDTH,
                codebook_size=CODES,
                decay=DECAY,
                kmeans_init=True,
                threshold_ema_dead_code=EXPIRED,
                accept_image_fmap=True,
            )
            self.decoder = nn.Sequential(
                nn.ConvTranspose2d(WIDTH, WIDTH, 4, 2, 1),
                nn.ReLU(),
                nn.ConvTranspose2d(WIDTH, 3, 4, 2, 1),
            )

        def forward(self, images: Any) -> Any:
            quantized, _, loss = self.quantizer(self.encoder(images))
            return self.decoder(quantized), loss.sum()

    return Autoencoder()


def _images(split: str, quick: bool) -> Any:
    """[n, 3, 32, 32] in 0..1."""
    import torch
    import vqswift as vq

    found = vq.data.cifar10(split).images
    found = found[:256] if quick else found
    return torch.from_numpy(found.copy()).movedim(-1, 1).float().div_(255).contiguous()


def error_of(model: Any, test: Any) -> float:
    """The mean squared error of reconstructions in evaluation."""
    import torch

    model.eval()
    with torch.no_grad():
        parts = [(model(part)[0] - part).square().sum().item() for part in test.split(500)]
    model.train()
    return sum(parts) / test.numel()


def _quantizer_seconds(model: Any, batch: Any, repeats: int = 20) -> float:
    """The median of a training forward and backward of the quantizer, of a copy of it."""
    import torch

    layer = copy.deepcopy(model.quantizer)
    z = model.encoder(batch).detach().requires_grad_()
    pull = torch.randn_like(z)

    seconds = []
    for _ in range(3 + repeats):
        start = time.process_time()
        quantized, _, loss = layer(z)
        ((quantized * pull).sum() + loss.sum()).backward()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[3:])


def summary(runs: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Of one contestant: the error's mean and spread over seeds, medians of the rest."""
    own = [each for each in runs if each["name"] == name]
    errors = [each["test mse"] for each in own]
    told = {key: statistics.median(e[key] for e in own) for key in ("step", "quantizer", "memory")}
    spread = {"test mse": statistics.mean(errors), "least": min(errors), "most": max(errors)}
    return {"name": name} | spread | told


def _report(runs: list[dict[str, Any]], options: argparse.Namespace) -> None:
    rows = [summary(runs, name) for name in (OURS, PEER)]
    cells = [
        [
            row["name"],
            f"{row['test mse']:.5f} ({row['least']:.5f}-{row['most']:.5f})",
            f"{1e3 * row['step']:.1f}",
            f"{1e3 * row['quantizer']:.2f}",
            f"{row['memory'] / MEGABYTE:.0f}",
        ]
        for row in rows
    ]
    header = ("", "test MSE", "step, ms", "quantizer, ms", "memory, MB")
    print_table(f"{options.seeds} seeds, {options.steps} steps", header, cells)
    document = {"rows": rows, "runs": runs}
    print(f"written to {save('torch_autoencoder', options, document)}")


if __name__ == "__main__":
    main()
