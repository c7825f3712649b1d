"""Trainings in bfloat16 beside the same in float32: what they reach, and the time of a step.

    python -m benchmarks.bfloat16 [--rounds 1] [--steps 1500] [--vit-steps 200] [--quick]

Table 3's rows VQVAE and Affine+OPT+replace+l2 (the SQ-VAE network with 64 channels and 1024 codes,
batches of 32), and a ViT-T without quantizer (width 192, depth 12, 4x4 patches, batches of 64),
of CIFAR-10 from the first step on; a round is a seed. Told are the loss of the last tenth of the
steps, the squared error and perplexity, or the accuracy, of 2000 test images in float32, and the
median time of a step. A CPU without AVX-512 BF16 rounds the operands and multiplies them in
float32: its numbers count, its times do not.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._results import options_of, save
from ._table import print_table

TEST_IMAGES = 2000
PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    """Trains every case in both precisions, seed after seed."""
    from vqswift import _core

    parser = options_of(__doc__, rounds=1)
    parser.add_argument("--steps", type=int, default=1500, help="of the autoencoders")
    parser.add_argument("--vit-steps", type=int, default=200)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    options = parser.parse_args()
    native = _core.multiplies_bfloat16()
    cases = _cases(
        options.data,
        20 if options.quick else options.steps,
        2 if options.quick else options.vit_steps,
    )
    measured = []
    for seed in range(1 if options.quick else options.rounds):
        for name, case in cases.items():
            for precision in PRECISIONS:
                found = _trained(case, seed, precision)
                measured.append({"network": name, "seed": seed, "precision": precision} | found)
                print(" ".join(f"{key} {value}" for key, value in measured[-1].items()), flush=True)
    header = ["network", "precision", "loss", "error or accuracy", "perplexity", "ms a step"]
    rows = [_row(name, precision, measured) for name in cases for precision in PRECISIONS]
    how = "by the CPU's instruction" if native else "rounded, multiplied in float32"
    print_table(f"bfloat16 {how}; mean of {len(measured) // len(rows)} seeds", header, rows)
    print(f"written to {save('bfloat16', options, {'native': native, 'measured': measured})}")


def _cases(data_folder: Path | None, steps: int, vit_steps: int) -> dict[str, Any]:
    """What makes, of a seed, a trainer, its number of steps, and what tells what it reaches."""
    from vqswift import data, train
    from vqswift.experiments.straightening import _autoencoder, _classifier, _table3

    training = data.cifar10("train", data_folder)
    test = data.cifar10("test", data_folder)
    test = dataclasses.replace(
        test, images=test.images[:TEST_IMAGES], labels=test.labels[:TEST_IMAGES]
    )

    def autoencoder(row: str) -> Callable[[int], Any]:
        def made(seed: int) -> Any:
            settings = _table3.Table3Settings(epochs=1)
            chosen = _table3.configuration(row, seed, settings)
            return chosen.trainer(training.images), steps, reached

        def reached(model: Any) -> dict[str, float]:
            found = train.evaluate(model, test.images)
            return {"error": found.mse, "perplexity": found.perplexity}

        return made

    def transformer(seed: int) -> Any:
        chosen = _classifier.ClassifierConfiguration(
            row="vit-t",
            seed=seed,
            epochs=1,
            network="vit",
            quantizer=_autoencoder.QuantizerConfiguration("none"),
            width=192,
            batch_size=64,
            learning_rate=1e-3,
        )
        return chosen.trainer(training), vit_steps, accuracy

    def accuracy(model: Any) -> dict[str, float]:
        return {"accuracy": _classifier.evaluated(model, test)["accuracy"]}

    rows = ("VQVAE", "Affine+OPT+replace+l2")
    cases: dict[str, Any] = {f"Table 3, {row}": autoencoder(row) for row in rows}
    return cases | {"ViT-T": transformer}


def _trained(case: Callable[[int], Any], seed: int, precision: str) -> dict[str, float]:
    import vqswift as vq

    trainer, steps, reached = case(seed)
    with vq.autocast(precision, simulate=True):
        told = trainer.fit(steps, progress=False)
    last = [step.loss for step in told[-max(steps // 10, 1) :]]
    found = {"loss": statistics.mean(last), **reached(trainer.model)}
    return found | {"milliseconds": 1e3 * statistics.median(step.seconds for step in told)}


def _row(name: str, precision: str, measured: list[dict[str, Any]]) -> list[str]:
    own = [m for m in measured if (m["network"], m["precision"]) == (name, precision)]

    def mean(key: str, form: str) -> str:
        return format(statistics.mean(m[key] for m in own), form) if key in own[0] else ""

    reached = mean("error", ".5f") or mean("accuracy", ".1%")
    times = mean("milliseconds", ".1f")
    return [name, precision, mean("loss", ".4f"), reached, mean("perplexity", ".1f"), times]


if __name__ == "__main__":
    main()
