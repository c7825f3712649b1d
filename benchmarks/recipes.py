"""The recipes' contest: one small autoencoder, trained with vqswift's recipes and with its peer's.

    python -m benchmarks.recipes [--seeds 0 1 2] [--holdout] [--only NAME ...]

CIFAR-10, 8,000 training and 2,000 test images in [-1, 1]: conv 3->16, max-pool 2, GELU,
conv 16->32, max-pool 2, quantizer (256 codes of 32 elements), upsample 2, conv 32->16, GELU,
upsample 2, conv 16->3, clamp; convolutions are 3x3. L1 loss plus 10 times the commitment loss where
a setting has no weight of its own, AdamW 3e-4, batch 128, 600 iterations. Both sides start from the
same weights and see the same batches; that the networks are the same is checked without a
quantizer. `--holdout` evaluates on the last 1,000 training images, which are then not trained on:
settings are chosen so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import _recipes_task as task
from ._contest import ROOT, clean_environment
from ._results import machine
from ._table import print_table

RESULTS = Path(__file__).resolve().parents[1] / "results" / "recipes"
SIDES = ("vqswift", "vector-quantize-pytorch")
BASELINE = "no quantizer"


def main() -> None:
    """Trains all, or one setting of one side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--iterations", type=int, default=task.ITERATIONS)
    parser.add_argument("--holdout", action="store_true", help="evaluate on training images")
    parser.add_argument("--only", nargs="+", help="train these, keep the others' results")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with the peer")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(_one(options), default=float))
        return
    runs = []
    for side in SIDES:
        python = sys.executable if side == SIDES[0] else options.peer_python
        command = [
            python,
            "-m",
            "benchmarks.recipes",
            "--iterations",
            str(options.iterations),
            "--side",
            side,
        ]
        if options.holdout:
            command.append("--holdout")
        names = _output([*command, "--setting", ""])
        if "skip" in names:
            print(f"{side}: skipped, {names['skip']}")
            continue
        for name in names["settings"]:
            if options.only and name not in options.only:
                continue
            for seed in options.seeds:
                run = _output([*command, "--setting", name, "--seeds", str(seed)])
                if "skip" in run:
                    sys.exit(f"recipes: {side}, {name}, seed {seed}: {run['skip']}")
                runs.append({"side": side, "setting": name, "seed": seed} | run)
                print(f"{side}, {name}, seed {seed}: {run['mse']:.5f}, {run['perplexity']:.1f}")
    _report(runs, options)


def _one(options: argparse.Namespace) -> dict[str, Any]:
    """What a child tells: its settings, or the outcome of the one that is named."""
    if options.side == SIDES[0]:
        from . import _recipes_vqswift as half
    else:
        from . import _recipes_torch as half  # type: ignore[no-redef]
    if not options.setting:
        return {"settings": [*half.SETTINGS]}
    (seed,) = options.seeds
    given = task.load(seed, holdout=options.holdout, iterations=options.iterations)
    return asdict(half.train(options.setting, given))


def _output(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment({}), capture_output=True, text=True
    )
    if done.returncode:
        return {"skip": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    return json.loads(done.stdout.splitlines()[-1])


def _report(runs: list[dict[str, Any]], options: argparse.Namespace) -> None:
    _check_networks(runs)
    summaries = _kept(options)
    for side, name in dict.fromkeys((run["side"], run["setting"]) for run in runs):
        of_setting = [run for run in runs if (run["side"], run["setting"]) == (side, name)]
        summaries.append(
            {
                "side": side,
                "setting": name,
                "mse": statistics.mean(run["mse"] for run in of_setting),
                "mse by seed": [run["mse"] for run in of_setting],
                "perplexity": statistics.mean(run["perplexity"] for run in of_setting),
                "active codes": statistics.mean(run["active_codes"] for run in of_setting),
                "seconds": statistics.median(run["seconds"] for run in of_setting),
            }
        )
    summaries.sort(key=lambda summary: summary["mse"])
    rows = [
        [
            f"{summary['side']}: {summary['setting']}",
            f"{summary['mse']:.5f}",
            " ".join(f"{value:.5f}" for value in summary["mse by seed"]),
            f"{summary['perplexity']:.1f}",
            f"{summary['active codes']:.0f}",
            f"{summary['seconds']:.1f}",
        ]
        for summary in summaries
    ]
    images = "hold-out" if options.holdout else "test"
    header = ("setting", f"{images} MSE", "by seed", "perplexity", "active codes", "seconds")
    print_table(f"{options.iterations} iterations, seeds {options.seeds}", header, rows)
    document = {
        "machine": machine(),
        "images": images,
        "iterations": options.iterations,
        "seeds": options.seeds,
        "settings": summaries,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = _path(options)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")


def _path(options: argparse.Namespace) -> Path:
    return RESULTS / ("holdout.json" if options.holdout else "recipes.json")


def _kept(options: argparse.Namespace) -> list[dict[str, Any]]:
    """With `--only`, what an earlier run of the same contest wrote of the other settings."""
    if not options.only or not _path(options).exists():
        return []
    document = json.loads(_path(options).read_text(encoding="utf-8"))
    if (document["iterations"], document["seeds"]) != (options.iterations, options.seeds):
        return []
    return [s for s in document["settings"] if s["setting"] not in options.only]


def _check_networks(runs: list[dict[str, Any]]) -> None:
    """Exits unless both sides' losses agree, without a quantizer, in the first 20 iterations.

    Rounding errors grow from step to step, about tenfold within 20.
    """
    baselines = {
        (run["side"], run["seed"]): run["losses"] for run in runs if run["setting"] == BASELINE
    }
    for (side, seed), losses in baselines.items():
        others = baselines.get((SIDES[0], seed), losses)
        worst = max(abs(a / b - 1) for a, b in zip(losses[:20], others[:20], strict=True))
        if worst > 1e-4:
            sys.exit(f"recipes: the network of {side}, seed {seed}, differs from ours by {worst}")


if __name__ == "__main__":
    main()
