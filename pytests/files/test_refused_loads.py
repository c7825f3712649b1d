"""A state that is refused leaves everything as it was: models, optimizers, generators, trainers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import data, nn, train


class Model(nn.Module):
    """Every kind of state: parameters, moments, counters, generators, an in-place optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.BatchNorm(4), nn.Dropout(0.1))
        self.quantizer = vq.VectorQuant(
            4,
            8,
            kmeans_init=True,
            affine_lr=1.0,
            sync_nu=1.0,
            replace_freq=3,
            inplace_optimizer=lambda parameters: vq.optim.SGD(parameters, lr=5.0, momentum=0.9),
        )
        self.decoder = nn.ConvTranspose2d(4, 3, 4, 4)

    def forward(self, x: vq.Tensor) -> tuple[vq.Tensor, vq.QuantizerInfo]:
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info


def trainer(steps: int = 0, **options: Any) -> train.Trainer:
    vq.manual_seed(4)
    model = Model()
    pixels = np.random.default_rng(0).integers(256, size=(24, 8, 8, 3), dtype=np.uint8)
    optimizer = vq.optim.AdamW(model.parameters(), lr=1e-3)
    run = train.Trainer(model, optimizer, data.Batches(pixels, batch_size=8, seed=1), **options)
    run.fit(steps, progress=False)
    return run


def picture(run: train.Trainer) -> dict[str, Any]:
    """Everything that a checkpoint holds, as bytes."""
    inner = run.model.quantizer.inplace_optimizers[0]
    codebook = run.model.quantizer.codebooks[0]
    arrays = {
        **{f"model {n}": v for n, v in run.model.state_dict().items()},
        **{f"optimizer {n}": v for n, v in run.optimizer.state_dict().items()},
        **{f"inner {n}": v for n, v in inner.state_dict().items()},
        **{f"rng {n}": v for n, v in run.model.rng_state_dict().items()},
        "gradient": np.zeros(0) if codebook.grad is None else codebook.grad.numpy(),
    }
    bits = {name: (value.shape, value.tobytes()) for name, value in arrays.items()}
    return bits | {"step": run.step, "batches": run.batches.state_dict(), "lrs": run.optimizer.lrs}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    path = tmp_path_factory.mktemp("saved") / "run"
    train.save_trainer(trainer(5), path)
    return vq.load(path)


@pytest.fixture(scope="module")
def run() -> train.Trainer:
    return trainer(2)


def refuses(
    run: train.Trainer, path: Path, arrays: dict[str, Any], metadata: dict[str, str]
) -> None:
    vq.save(path, arrays, metadata)
    before = picture(run)
    with pytest.raises((ValueError, TypeError)):
        train.load_trainer(run, path)
    assert picture(run) == before


def test_a_checkpoint_without_any_one_entry(saved, run, tmp_path: Path) -> None:
    arrays, metadata = saved
    numbers = ("learning_rates", "weight_decays")
    optional = {prefix + name for prefix in ("optim.", "optim.inplace.0.") for name in numbers}
    optional.add("optim.inplace.0.codebook.grad")
    for name in arrays.keys() - optional:
        rest = {n: v for n, v in arrays.items() if n != name}
        # Without its step a parameter has no state, and its moments belong to none.
        refuses(run, tmp_path / "x", rest, metadata)
    for key in metadata:
        refuses(run, tmp_path / "x", arrays, {k: v for k, v in metadata.items() if k != key})


def test_a_checkpoint_with_any_one_entry_of_another_shape_or_type(
    saved, run, tmp_path: Path
) -> None:
    arrays, metadata = saved
    for name, value in arrays.items():
        longer = np.zeros((*value.shape, 2), value.dtype)
        refuses(run, tmp_path / "x", arrays | {name: longer}, metadata)
        if value.dtype == np.float32 and value.size:
            for bad in (np.nan, np.inf, -np.inf):
                if bad == np.inf and name.startswith("optim") and name.split(".")[-1] != "grad":
                    continue  # squares may overflow
                if bad == -np.inf and "momentum" in name or name.endswith(("exp_avg",)):
                    continue
                spoiled = value.copy()
                spoiled.flat[-1] = bad
                refuses(run, tmp_path / "x", arrays | {name: spoiled}, metadata)


BAD_METADATA: dict[str, Callable[[dict[str, Any]], dict[str, str]]] = {
    "negative step": lambda b: {"step": "-7"},
    "a step that is no number": lambda b: {"step": "seven"},
    "a fraction of a step": lambda b: {"step": "1.5"},
    "a step beyond 64 bits": lambda b: {"step": "1" * 30},
    "digits of another script": lambda b: {"step": "\u0663"},
    "no JSON": lambda b: {"batches": "{"},
    "deep JSON": lambda b: {"batches": "[" * 10**5},
    "a list": lambda b: {"batches": "[1, 2, 3]"},
    "no seed": lambda b: {"batches": json.dumps({k: v for k, v in b.items() if k != "seed"})},
    "negative seed": lambda b: {"batches": json.dumps(b | {"seed": -1})},
    "a seed that is a fraction": lambda b: {"batches": json.dumps(b | {"seed": 1.5})},
    "a seed that is a text": lambda b: {"batches": json.dumps(b | {"seed": "1"})},
    "a seed that is true": lambda b: {"batches": json.dumps(b | {"seed": True})},
    "negative epoch": lambda b: {"batches": json.dumps(b | {"epoch": -1})},
    "negative position": lambda b: {"batches": json.dumps(b | {"position": -1})},
    "position beyond the epoch": lambda b: {"batches": json.dumps(b | {"position": 99})},
    "NaN": lambda b: {"batches": json.dumps(b | {"position": math.nan})},
}


@pytest.mark.parametrize("case", BAD_METADATA)
def test_a_checkpoint_with_wrong_metadata(saved, run, tmp_path: Path, case: str) -> None:
    arrays, metadata = saved
    changed = BAD_METADATA[case](json.loads(metadata["batches"]))
    refuses(run, tmp_path / "x", arrays, metadata | changed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optim.0.step", np.array(0, np.int32)),
        ("optim.0.step", np.array(-7, np.int32)),
        ("optim.inplace.0.0.step", np.array(-1, np.int32)),
        ("optim.learning_rates", np.array([np.nan]).view(np.int32)),
        ("optim.learning_rates", np.array([-1.0]).view(np.int32)),
        ("optim.learning_rates", np.array([np.inf]).view(np.int32)),
        ("optim.learning_rates", np.array([1.0, 1.0]).view(np.int32)),
        ("optim.weight_decays", np.array([-1.0]).view(np.int32)),
        ("optim.unknown", np.zeros(1, np.float32)),
        ("model.unknown", np.zeros(1, np.float32)),
        ("rng.unknown", np.zeros(6, np.int32)),
    ],
)
def test_a_checkpoint_with_a_wrong_value(
    saved, run, tmp_path: Path, name: str, value: np.ndarray
) -> None:
    refuses(run, tmp_path / "x", saved[0] | {name: value}, saved[1])


def test_negative_second_moments_and_foreign_generators(saved, run, tmp_path: Path) -> None:
    arrays, metadata = saved
    squares = [name for name in arrays if name.endswith("exp_avg_sq")]
    assert squares
    for name in squares:
        refuses(run, tmp_path / "x", arrays | {name: -np.ones_like(arrays[name])}, metadata)
    streams = [name for name in arrays if name.startswith("rng.")]
    assert streams
    for name in streams:
        for word in range(4):
            other = arrays[name].copy()
            other[word] ^= 1
            refuses(run, tmp_path / "x", arrays | {name: other}, metadata)


def test_the_last_of_several_modules_keeps_the_first_unchanged() -> None:
    """Generators of the first layer were written before those of the second were looked at."""
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    holder = type("Holder", (nn.Module,), {})()
    holder.first, holder.second = model, nn.Dropout(0.5)
    state = {n: v.copy() for n, v in holder.rng_state_dict().items()}
    for words in state.values():
        words[4] = 9
    list(state.values())[-1][0] ^= 1
    before = {n: v.tolist() for n, v in holder.rng_state_dict().items()}
    with pytest.raises(ValueError, match="same seed and stream"):
        holder.load_rng_state_dict(state)
    assert {n: v.tolist() for n, v in holder.rng_state_dict().items()} == before


def test_a_refused_rate_leaves_the_moments() -> None:
    run = trainer(2)
    state = run.optimizer.state_dict()
    state = {n: v + 1 if n.endswith(("exp_avg", "step")) else v for n, v in state.items()}
    state["learning_rates"] = np.array([np.nan]).view(np.int32)
    before = picture(run)
    with pytest.raises(ValueError, match="learning_rates"):
        run.optimizer.load_state_dict(state)
    assert picture(run) == before


def test_integers_that_int32_does_not_hold() -> None:
    layer = nn.BatchNorm(2)
    state = layer.state_dict()
    for number in (2**31, 2**32 + 5, -(2**31) - 1, 2**63 - 1):
        with pytest.raises(ValueError, match="do not fit in int32"):
            layer.load_state_dict(state | {"num_batches_tracked": np.array(number, np.int64)})
    with pytest.raises(ValueError, match="do not fit in int32"):
        layer.load_state_dict(state | {"num_batches_tracked": np.array(2**64 - 1, np.uint64)})
    with pytest.raises(ValueError, match="do not fit in int32"):
        layer.load_state_dict(state | {"num_batches_tracked": np.array(1e12)})
    with pytest.raises(ValueError, match="finite"):
        layer.load_state_dict(state | {"num_batches_tracked": np.array(np.nan)})
    assert layer.state_dict()["num_batches_tracked"] == 0
    layer.load_state_dict(state | {"num_batches_tracked": np.array(2**31 - 1, np.int64)})
    assert layer.state_dict()["num_batches_tracked"] == 2**31 - 1
    run = trainer(1)
    words = run.model.rng_state_dict()
    wide = {name: value.astype(np.int64) + 2**32 for name, value in words.items()}
    with pytest.raises(ValueError, match="do not fit in int32"):
        run.model.load_rng_state_dict(wide)


def test_numbers_that_float32_does_not_hold() -> None:
    layer = nn.Linear(2, 1)
    before = layer.state_dict()
    for weight in (
        np.array([[1e300, 0.0]]),
        np.array([[np.nan, 0.0]]),
        np.array([[0.0, -np.inf]], np.float32),
        np.array([[2**24 + 1, 0]], np.int64),
        np.array([[2**62 + 1, 0]], np.int64),
    ):
        with pytest.raises(ValueError, match="weight"):
            layer.load_state_dict(before | {"weight": weight})
    assert all(np.array_equal(v, before[n]) for n, v in layer.state_dict().items())
    layer.load_state_dict(before | {"weight": np.array([[0.1, 2.0**62]])})
    assert layer.state_dict()["weight"].tolist() == [[float(np.float32(0.1)), 2.0**62]]
    layer.load_state_dict(before | {"weight": np.array([[2**24, -(2**62)]])})
    assert layer.state_dict()["weight"].tolist() == [[2.0**24, -(2.0**62)]]


def test_what_is_accepted_still_resumes_bit_for_bit(saved, tmp_path: Path) -> None:
    vq.save(tmp_path / "x", *saved)
    resumed = trainer(3)
    train.load_trainer(resumed, tmp_path / "x")
    assert picture(resumed) == picture(trainer(5))


# The metrics file of a resumed run.


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("tag", [None, "b"])
def test_a_resumed_run_writes_no_step_twice(tmp_path: Path, tag: str | None) -> None:
    metrics, checkpoint = tmp_path / "metrics.jsonl", tmp_path / "run"
    metrics.write_text('{"run": "a", "step": 9}\nnotes\n')
    metrics.chmod(0o600)
    first = trainer(2, metrics=metrics, tag=tag)
    train.save_trainer(first, checkpoint)
    first.fit(3, progress=False)
    with metrics.open("a") as file:
        file.write('{"run": "a", "step": 10}\n{"step": 6, "lo')
    second = trainer(metrics=metrics, tag=tag)
    train.load_trainer(second, checkpoint)
    assert len(metrics.read_text().splitlines()) == 9  # not before it goes on
    second.fit(4, progress=False)
    text = metrics.read_text().splitlines()
    assert text[1] == "notes"
    found = [json.loads(line) for line in text if line != "notes"]
    own = [line["step"] for line in found if line.get("run") == tag]
    assert own == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in found if line.get("run") == "a"] == [9, 10]
    assert metrics.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.jsonl", "run"]


def test_a_trainer_that_goes_back_writes_no_step_twice(tmp_path: Path) -> None:
    metrics, checkpoint = tmp_path / "metrics.jsonl", tmp_path / "run"
    run = trainer(2, metrics=metrics)
    train.save_trainer(run, checkpoint)
    losses = [m.loss for m in run.fit(3, progress=False)]
    train.load_trainer(run, checkpoint)
    again = [m.loss for m in run.fit(3, progress=False)]
    assert again == losses
    assert [line["step"] for line in lines(metrics)] == [1, 2, 3, 4, 5]


def test_a_run_that_did_not_load_keeps_what_the_file_has(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    trainer(2, metrics=metrics)
    trainer(2, metrics=metrics)
    assert [line["step"] for line in lines(metrics)] == [1, 2, 1, 2]
