"""Runs in a directory: resuming, validation, loggers, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from test_train import images, same_state
from vqswift import data, train

# A program that trains; its arguments: directory, steps.
PROGRAM = """
import sys
sys.path.insert(0, {here!r})
from test_run import a_run
a_run(sys.argv[1], ema=0.9).fit(int(sys.argv[2]), progress=False)
"""


def a_trainer(seed: int = 0, **options) -> train.Trainer:
    vq.manual_seed(seed)
    quantizer = vq.VectorQuant(
        8,
        16,
        kmeans_init=True,
        affine_lr=1.0,
        replace_freq=3,
        inplace_optimizer=lambda parameters: vq.optim.SGD(parameters, lr=50.0, momentum=0.9),
    )
    model = vq.models.SQVAE(width=8, quantizer=quantizer)
    optimizer = vq.optim.AdamW(model.parameters(), lr=1e-3)
    batches = data.Batches(images(24), batch_size=8, seed=seed)
    return train.Trainer(model, optimizer, batches, **options)


def a_run(directory: str | Path, ema: float | None = None, **options) -> train.Run:
    given = {"checkpoint_every": 3} | options
    return train.Run(directory, a_trainer(ema=ema), **given)


def states(run: train.Run) -> list[dict]:
    trainer = run.trainer
    found = [trainer.model.state_dict(), trainer.optimizer.state_dict()]
    return found + ([trainer.ema.state_dict()] if trainer.ema else [])


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = a_run(tmp_path / "whole", ema=0.9)
    whole.fit(10, progress=False)
    first = a_run(tmp_path / "parts", ema=0.9)
    first.fit(4, progress=False)
    second = a_run(tmp_path / "parts", ema=0.9)
    assert second.step == 4
    second.fit(10, progress=False)
    assert all(map(same_state, states(whole), states(second)))
    steps = [line["step"] for line in second.history()]
    assert steps == list(range(1, 11))
    names = [path.name for path in second.checkpoints()]
    assert names == ["checkpoint-000000009.safetensors", "checkpoint-000000010.safetensors"]
    assert (tmp_path / "whole" / names[-1]).read_bytes() == second.checkpoints()[-1].read_bytes()


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.3])
def test_a_killed_run_ends_in_the_same_bytes(tmp_path: Path, delay: float) -> None:
    program = PROGRAM.format(here=str(Path(__file__).parent))
    command = [sys.executable, "-c", program, str(tmp_path / "killed"), "12"]
    process = subprocess.Popen(command)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not metrics.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.wait()
    done = subprocess.run(command, check=True, timeout=120)
    assert done.returncode == 0
    whole = a_run(tmp_path / "whole", ema=0.9)
    whole.fit(12, progress=False)
    name = "checkpoint-000000012.safetensors"
    assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where a shell has begun the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (15, SystemExit)]
)
@pytest.mark.usefixtures("interrupts")
def test_a_signal_writes_a_checkpoint_and_leaves(tmp_path: Path, number: int, raised: type) -> None:
    run = a_run(tmp_path, checkpoint_every=1000, callbacks=[lambda run, metrics: stop(metrics)])

    def stop(metrics: train.StepMetrics) -> None:
        if metrics.step == 4:
            os.kill(os.getpid(), number)

    with pytest.raises(raised):
        run.fit(100, progress=False)
    assert [path.name for path in run.checkpoints()] == ["checkpoint-000000004.safetensors"]
    resumed = a_run(tmp_path, checkpoint_every=1000)
    assert resumed.step == 4
    assert all(map(same_state, states(run), states(resumed)))


@pytest.mark.parametrize("shown", ["lines", "bar"])
@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
@pytest.mark.usefixtures("interrupts")
def test_a_signal_between_steps_writes_a_checkpoint_while_its_exception_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str, number: int, raised: type
) -> None:
    if shown == "bar":
        pytest.importorskip("rich", reason="rich is not installed")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    def text(metrics: train.StepMetrics) -> str:
        if metrics.step == 2:
            os.kill(os.getpid(), number)
        return ""

    monkeypatch.setattr(vq.train._progress, "_text", text)
    monkeypatch.setattr(vq.train._progress, "_LINE_SECONDS", 0.0)
    before = signal.getsignal(number)
    run = a_run(tmp_path, checkpoint_every=1000)
    with pytest.raises(raised) as held:
        run.fit(100)
    assert held.value.__traceback__ is not None
    assert [path.name for path in run.checkpoints()] == ["checkpoint-000000002.safetensors"]
    assert signal.getsignal(number) is before
    assert a_run(tmp_path, checkpoint_every=1000).step == 2


def test_validation_finds_the_best(tmp_path: Path) -> None:
    given = iter([3.0, 1.0, 2.0])

    def validate(model: vq.nn.Module) -> dict[str, float]:
        assert not model.training
        return {"error": next(given)}

    run = a_run(tmp_path, validate=validate, best=("error", "min"))
    run.fit(9, progress=False)
    lines = [line for line in run.history() if "validation.error" in line]
    assert [(line["step"], line["validation.error"]) for line in lines] == [(3, 3), (6, 1), (9, 2)]
    assert run.trainer.model.training
    best = a_trainer()
    train.load_trainer(best, tmp_path / "best.safetensors")
    assert best.step == 6


@pytest.mark.parametrize(
    ("direction", "given", "best"),
    [
        ("min", [np.nan, 3.0, 1.0, 2.0], 3),
        ("max", [np.nan, 1.0, 3.0, 2.0], 3),
        ("min", [3.0, np.nan, 2.0, np.nan], 3),
        ("max", [1.0, np.nan, 0.5, np.nan], 1),
        ("min", [np.nan, np.inf, np.nan, np.nan], 2),
    ],
)
def test_nan_is_never_the_best(
    tmp_path: Path, direction: str, given: list[float], best: int
) -> None:
    numbers = iter(given)
    run = a_run(
        tmp_path,
        validate=lambda _: {"error": next(numbers)},
        validate_every=1,
        best=("error", direction),
    )
    run.fit(4, progress=False)
    found = a_trainer()
    train.load_trainer(found, tmp_path / "best.safetensors")
    assert found.step == best


def test_of_nan_alone_there_is_no_best(tmp_path: Path) -> None:
    run = a_run(tmp_path, validate=lambda _: {"error": np.nan}, best=("error", "min"))
    run.fit(3, progress=False)
    assert not (tmp_path / "best.safetensors").exists()


def test_validation_sees_the_averaged_weights(tmp_path: Path) -> None:
    seen = []
    run = a_run(tmp_path, ema=0.5, validate=lambda model: seen.append(model.state_dict()) or {})
    run.fit(3, progress=False)
    with run.trainer.ema.applied() as model:
        assert same_state(seen[0], model.state_dict())
    assert not same_state(seen[0], run.trainer.model.state_dict())


class Listener:
    def __init__(self) -> None:
        self.taken: list[tuple[int, dict[str, float]]] = []
        self.is_closed = False

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.taken.append((step, dict(values)))

    def close(self) -> None:
        self.is_closed = True


def test_loggers_get_every_number(tmp_path: Path) -> None:
    listener = Listener()
    assert isinstance(listener, train.Logger)
    run = a_run(tmp_path, loggers=[listener], validate=lambda _: {"error": 1.5})
    run.fit(3, progress=False)
    assert listener.is_closed
    assert [step for step, _ in listener.taken] == [1, 2, 3, 3]
    assert listener.taken[-1] == (3, {"validation.error": 1.5})
    assert listener.taken[0][1]["loss"] == run.history()[0]["loss"]


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    a_run(tmp_path, loggers=[train.TensorBoard(tmp_path / "board")]).fit(3, progress=False)
    events = accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    losses = [event.value for event in events.Scalars("loss")]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert losses == pytest.approx([line["loss"] for line in lines], rel=1e-6)


@dataclass(frozen=True)
class Setting:
    rate: float = 1e-3


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    a_run(tmp_path, configuration=Setting()).fit(1, progress=False)
    assert train.from_toml(Setting, (tmp_path / "config.toml").read_text()) == Setting()
    a_run(tmp_path, configuration=Setting())
    with pytest.raises(ValueError, match=r"another configuration: 'rate = 0.002' is not in it"):
        a_run(tmp_path, configuration=Setting(2e-3))


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.fit(6, progress=False)
    newest = run.checkpoints()[-1]
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match="checkpoint-000000003.safetensors is taken"):
        resumed = a_run(tmp_path)
    assert resumed.step == 3
    resumed.fit(6, progress=False)
    assert newest.read_bytes() == content


def test_a_loss_that_is_not_finite_names_step_layer_and_checkpoint(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.fit(4, progress=False)
    decoder = dict(run.trainer.model.named_parameters())["decoder.2.weight"]
    decoder.assign(np.full(decoder.shape, 3e38, np.float32))
    with pytest.raises(FloatingPointError) as raised:
        run.fit(6, progress=False)
    text = str(raised.value)
    assert "step 5" in text and "decoder" in text
    assert "the last checkpoint is" in text and "checkpoint-000000004" in text
    # The checkpoint is whole.
    assert a_run(tmp_path).step == 4


def test_a_full_disk_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path)
    run.fit(3, progress=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(vq.train._run, "save_trainer", full)
    with pytest.raises(OSError, match="No space left"):
        run.fit(6, progress=False)
    monkeypatch.undo()
    assert a_run(tmp_path).step == 3


def test_falling_perplexity_is_told(tmp_path: Path) -> None:
    watch = vq.train._run._Watch(100)
    told = [watch.after(step, 100.0 if step < 40 else 5.0) for step in range(1, 80)]
    found = [(place + 1, text) for place, text in enumerate(told) if text]
    assert len(found) == 1 and 40 <= found[0][0] < 50
    assert "from 100.0" in found[0][1] and "index collapse" in found[0][1]
    steady = vq.train._run._Watch(100)
    assert not any(steady.after(step, 100.0 + step % 7) for step in range(1, 200))
    unquantized = vq.train._run._Watch(100)
    assert not any(unquantized.after(step, 0.0) for step in range(1, 200))


def test_accumulated_batches_are_one_large_batch() -> None:
    """Of a model without norms and quantizer, whose batches do not meet elsewhere."""

    class Plain(vq.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = vq.nn.Linear(3, 3)

        def forward(self, x: vq.Tensor) -> tuple[vq.Tensor, vq.QuantizerInfo]:
            y = self.layer(x)
            return y, vq.quantizers._base.unquantized(y)

    def trained(batch_size: int, accumulate: int) -> np.ndarray:
        vq.manual_seed(0)
        model = Plain()
        batches = data.Batches(images(24), batch_size=batch_size, shuffle=False, drop_last=True)
        optimizer = vq.optim.SGD(model.parameters(), lr=0.1)
        trainer = train.Trainer(model, optimizer, batches, accumulate=accumulate)
        history = trainer.fit(2, progress=False)
        assert [metrics.step for metrics in history] == [1, 2]
        return model.layer.weight.numpy()

    np.testing.assert_allclose(trained(4, 3), trained(12, 1), rtol=1e-5)


def test_classification_counts_what_is_right() -> None:
    class Sure(vq.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = vq.nn.Parameter(np.ones((), np.float32))

        def forward(self, x: vq.Tensor) -> tuple[vq.Tensor, vq.QuantizerInfo]:
            logits = x.reshape(len(x), -1)[:, :3] * self.scale
            return logits, vq.quantizers._base.unquantized(x)

    x = np.zeros((4, 1, 1, 3), np.float32)
    x[[0, 1, 2, 3], 0, 0, [0, 1, 2, 2]] = 5
    found = train.Classification(alpha=0.0)(Sure(), (x, np.array([0, 1, 2, 0])))
    assert found.values == {"accuracy": 0.75}
    expected = np.log(1 + 2 * np.exp(-5)) + 5 / 4
    assert float(found.loss) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(TypeError, match=r"\(images, labels\) is required"):
        train.Classification()(Sure(), x)


def test_a_run_in_a_thread_leaves_signals_alone(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    run = a_run(tmp_path)
    thread = threading.Thread(target=lambda: run.fit(2, progress=False))
    thread.start()
    thread.join()
    assert run.step == 2
    assert signal.getsignal(signal.SIGINT) is before
