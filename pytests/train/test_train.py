"""The training loop, evaluation and checkpoints."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from vqswift import data, train


def images(count: int, seed: int = 0) -> np.ndarray:
    """Images of two-color blocks `[count, 32, 32, 3]` uint8."""
    random = np.random.default_rng(seed)
    coarse = random.integers(256, size=(count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def trainer(seed: int = 0, **options) -> train.Trainer:
    vq.manual_seed(seed)
    quantizer = vq.VectorQuant(
        8,
        16,
        kmeans_init=True,
        affine_lr=1.0,
        sync_nu=1.0,
        replace_freq=3,
        inplace_optimizer=lambda parameters: vq.optim.SGD(parameters, lr=50.0, momentum=0.9),
        seed=seed,
    )
    model = vq.models.SQVAE(image_size=32, channels=3, width=8, quantizer=quantizer)
    optimizer = vq.optim.AdamW(model.parameters(), lr=1e-3)
    batches = data.Batches(images(24), batch_size=8, seed=seed)
    return train.Trainer(model, optimizer, batches, **options)


def same_state(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(np.asarray(value), np.asarray(second[name])) for name, value in first.items()
    )


def test_loss_falls_and_metrics_add_up(tmp_path):
    path = tmp_path / "deep" / "metrics.jsonl"
    run = trainer(alpha=2.0, metrics=path, tag="run 1")
    history = run.fit(60, progress=False)
    assert [metrics.step for metrics in history] == list(range(1, 61))
    assert history[-1].loss < 0.5 * history[0].loss
    assert history[-1].mse < history[0].mse
    for metrics in history:
        # The loss is two float32 roundings away from the sum of its parts.
        expected = metrics.mse + 2 * metrics.quantizer_loss
        assert metrics.loss == pytest.approx(expected, rel=4 * float(np.finfo(np.float32).eps))
        assert 1 <= metrics.perplexity <= metrics.active_codes + 1e-3 <= 16 + 1e-3
        assert metrics.images_per_second == pytest.approx(8 / metrics.seconds)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["loss"] for line in lines] == [metrics.loss for metrics in history]
    assert {line["run"] for line in lines} == {"run 1"}


def test_same_seed_gives_the_same_bits():
    states = []
    for _ in range(2):
        run = trainer(seed=3)
        run.fit(4, progress=False)
        states.append(run.model.state_dict())
    assert same_state(*states)


@pytest.mark.parametrize("taken", [1, 4])
def test_a_resumed_run_continues_bit_for_bit(tmp_path, taken):
    whole = trainer()
    whole.fit(taken + 5, progress=False)
    first = trainer()
    first.fit(taken, progress=False)
    train.save_trainer(first, tmp_path / "run.safetensors")
    second = trainer(seed=9)
    train.load_trainer(second, tmp_path / "run.safetensors")
    assert second.step == taken
    second.fit(5, progress=False)
    assert same_state(whole.model.state_dict(), second.model.state_dict())
    assert same_state(whole.optimizer.state_dict(), second.optimizer.state_dict())


class WithDropout(vq.nn.Module):
    """An autoencoder of the user's own that draws from a generator in training."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = vq.nn.Sequential(vq.nn.Conv2d(3, 8, 4, 4), vq.nn.Dropout(0.3), vq.nn.ReLU())
        self.quantizer = vq.VectorQuant(8, 16, kmeans_init=True)
        self.decoder = vq.nn.ConvTranspose2d(8, 3, 4, 4)

    def forward(self, x: vq.Tensor) -> tuple[vq.Tensor, vq.QuantizerInfo]:
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info


def dropout_trainer() -> train.Trainer:
    vq.manual_seed(5)
    model = WithDropout()
    optimizer = vq.optim.Adam(model.parameters(), lr=1e-3)
    return train.Trainer(model, optimizer, data.Batches(images(24), batch_size=8, seed=1))


def test_dropout_resumes_where_it_stood(tmp_path):
    run = dropout_trainer()
    run.fit(3, progress=False)
    train.save_trainer(run, tmp_path / "run.safetensors")
    resumed = dropout_trainer()
    train.load_trainer(resumed, tmp_path / "run.safetensors")
    assert list(resumed.model.rng_state_dict()) == ["encoder.1.generator"]
    assert same_state(resumed.model.rng_state_dict(), run.model.rng_state_dict())
    first, second = run.fit(2, progress=False), resumed.fit(2, progress=False)
    assert [m.loss for m in first] == [m.loss for m in second]
    assert same_state(run.model.state_dict(), resumed.model.state_dict())


class WithAttention(WithDropout):
    """Draws the shares that attention drops, and noise of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = vq.nn.MultiheadAttention(8, 2, 0.2, batch_first=True)
        self.noise = vq.Generator(4)

    def forward(self, x: vq.Tensor) -> tuple[vq.Tensor, vq.QuantizerInfo]:
        z = self.encoder(x).flatten(1, 2)
        z = z + self.attention(z, z, z)[0] + self.noise.normal(z.shape, std=0.1)
        z_q, info = self.quantizer(z.reshape(len(x), 8, 8, 8))
        return self.decoder(z_q), info


def attention_trainer() -> train.Trainer:
    vq.manual_seed(5)
    model = WithAttention()
    optimizer = vq.optim.Adam(model.parameters(), lr=1e-3)
    return train.Trainer(model, optimizer, data.Batches(images(24), batch_size=8, seed=1))


def test_generators_of_python_resume_where_they_stood(tmp_path):
    run = attention_trainer()
    names = {"encoder.1.generator", "attention.generator", "noise"}
    assert set(run.model.rng_state_dict()) == names
    run.fit(3, progress=False)
    train.save_trainer(run, tmp_path / "run.safetensors")
    resumed = attention_trainer()
    train.load_trainer(resumed, tmp_path / "run.safetensors")
    assert resumed.model.noise.counter == run.model.noise.counter > 0
    run.fit(2, progress=False), resumed.fit(2, progress=False)
    assert same_state(run.model.state_dict(), resumed.model.state_dict())
    assert same_state(run.model.rng_state_dict(), resumed.model.rng_state_dict())


def test_generators_of_another_seed_are_refused():
    run = dropout_trainer()
    state = run.model.rng_state_dict()
    state["encoder.1.generator"][0] += 1
    with pytest.raises(ValueError, match=r"\[load_rng_state_dict\] encoder.1.generator: it must"):
        run.model.load_rng_state_dict(state)
    with pytest.raises(ValueError, match=r"\[load_rng_state_dict\] names \['x'\]: they must be"):
        run.model.load_rng_state_dict({"x": np.zeros(6, np.int32)})


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    vq.save(path, {"a": np.zeros(2, np.float32)}, {})
    with pytest.raises(ValueError, match="no batches and no step in it"):
        train.load_trainer(trainer(), path)


def test_schedule_scales_the_learning_rate():
    run = trainer(schedule=lambda step: 1 / (1 + step))
    rates = [metrics.learning_rate for metrics in run.fit(3, progress=False)]
    assert rates == pytest.approx([1e-3, 5e-4, 1e-3 / 3], rel=1e-6)


def test_clipping_changes_the_step():
    free, clipped = trainer(), trainer(clip_norm=1e-4)
    for run in (free, clipped):
        run.fit(2, progress=False)
    assert not same_state(free.model.state_dict(), clipped.model.state_dict())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"alpha": -1}, "alpha -1: must be finite and not negative"),
        ({"alpha": math.nan}, "alpha nan"),
        ({"clip_norm": 0}, "clip_norm 0: must be positive"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        trainer(**options)
    with pytest.raises(ValueError, match="-1 steps"):
        trainer().fit(-1, progress=False)


def test_a_loss_that_is_not_finite_stops_the_run():
    run = trainer(reconstruction_loss=lambda y, x: (y - x).sum() * math.inf)
    before = run.model.encoder.state_dict()
    weights = {name: value for name, value in before.items() if "running" not in name}
    with pytest.raises(FloatingPointError, match=r"\[trainer\] step 1: loss"):
        run.fit(1, progress=False)
    after = run.model.encoder.state_dict()
    assert all(
        np.array_equal(value, after[name]) for name, value in weights.items() if "num" not in name
    )


def test_evaluation_counts_codes_over_the_whole_set():
    run = trainer()
    run.fit(3, progress=False)
    before = run.model.state_dict()
    whole = images(20, seed=5)
    found = train.evaluate(run.model, whole, batch_size=7)
    reconstructions = train.reconstruct(run.model, whole, batch_size=20)
    error = reconstructions.astype(np.float64) - data.unit_range(whole)
    assert found.mse == pytest.approx(np.square(error).mean(), rel=1e-6)
    assert found.psnr == pytest.approx(-10 * math.log10(found.mse))
    with vq.no_grad():
        codes = run.model.eval().encode(vq.Tensor(data.unit_range(whole))).numpy()
    counts = np.bincount(codes.ravel(), minlength=16)
    assert found.active_codes == np.count_nonzero(counts)
    assert found.perplexity == pytest.approx(train.perplexity_of(counts))
    assert found.images == 20
    assert same_state(before, run.model.state_dict())


def test_evaluation_without_a_quantizer_uses_no_code():
    model = vq.models.SQVAE(None, image_size=28, channels=1, width=4)
    whole = images(5, seed=1)[..., :1]
    found = train.evaluate(model, whole)
    error = train.reconstruct(model, whole).astype(np.float64) - data.unit_range(whole)
    assert found.mse == pytest.approx(np.square(error).mean(), rel=1e-6)
    assert (found.perplexity, found.active_codes, found.images) == (0, 0, 5)


def test_metrics_by_hand():
    assert train.psnr_of(0.01) == pytest.approx(20)
    assert train.psnr_of(0) == math.inf
    assert train.perplexity_of(np.array([5, 5, 0, 5, 5])) == pytest.approx(4)
    assert train.perplexity_of(np.array([7])) == 1
    # H = 1/2 + 1/4 * 2 + 1/4 * 2 = 1.5 bits
    assert train.perplexity_of(np.array([2, 1, 1])) == pytest.approx(2**1.5)
    with pytest.raises(ValueError, match="mse -1"):
        train.psnr_of(-1)
    with pytest.raises(ValueError, match="counts that sum to 0"):
        train.perplexity_of(np.zeros(3, int))


def test_progress_without_a_terminal_prints_lines(capsys):
    trainer().fit(3, label="plain")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("   plain    1/3  loss ")
    assert lines[-1].startswith("   plain    3/3  loss ")
    assert "perplexity" in lines[-1] and lines[-1].endswith("images/s")


def test_a_checkpoint_is_loaded_into_a_module_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    vq.save(path, {"model.weight": np.ones(2, np.float32)})
    with pytest.raises(TypeError, match=r"^\[load_model\] model = 2: a module is required$"):
        train.load_model(2, path)


def test_the_perplexity_takes_one_axis_of_counts() -> None:
    huge = np.broadcast_to(np.float32(1), (2**20, 2**20))
    with pytest.raises(ValueError, match=r"^\[perplexity_of\] counts of shape \[1048576, 10485"):
        train.perplexity_of(huge)


def test_a_schedule_that_is_taken_away_leaves_the_base_rate() -> None:
    run = trainer(schedule=lambda step: 0.5)
    base = run.optimizer.base_lrs[0]
    rates = []
    for index, _ in enumerate(run.steps(3)):
        rates.append(run.optimizer.lr)
        if index == 0:
            run.schedule = None
    assert rates == [0.5 * base, base, base] and run.optimizer.lr == base
