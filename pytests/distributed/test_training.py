"""A trainer over ranks: the bits of one process that takes the same blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from ranks import on_ranks
from vqswift import train
from vqswift.data import Batches, Stream

IMAGES = np.random.default_rng(0).random((50, 8, 8, 3), dtype=np.float32)
STEPS = 7  # of 4 an epoch: the last batch is smaller


class Network(vq.nn.Module):
    def __init__(self, quantizer: Any) -> None:
        super().__init__()
        self.encoder = vq.nn.Sequential(
            vq.nn.Conv2d(3, 8, 4, stride=2, padding=1),
            vq.nn.BatchNorm(8),
            vq.nn.ReLU(),
            vq.nn.Dropout(0.1),
        )
        self.quantizer = quantizer
        self.decoder = vq.nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)

    def forward(self, x: Any) -> Any:
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info


QUANTIZERS: dict[str, Callable[[], Any]] = {
    "plain": lambda: vq.VectorQuant(8, 16),
    "ema": lambda: vq.VectorQuant(8, 16, ema_decay=0.9, affine="ema", replace_freq=2),
    "best": lambda: vq.VectorQuant(
        8,
        16,
        init="kmeans",
        affine_lr=1.0,
        sync_nu=2.0,
        replace_freq=2,
        norm="l2",
        cb_norm="l2",
        inplace_optimizer=lambda p: vq.optim.SGD(p, lr=5.0),
    ),
    "residual": lambda: vq.ResidualVectorQuant(
        8, 16, stages=3, ema_decay=0.9, quantizer_dropout=0.5, init="kmeans"
    ),
    "fsq": lambda: vq.FSQ([3] * 8),
}


def made(name: str, blocks: int | None, batches: Any = None) -> train.Trainer:
    vq.manual_seed(0)
    model = Network(QUANTIZERS[name]())
    return train.Trainer(
        model,
        vq.optim.AdamW(model.parameters(), lr=1e-2),
        Batches(IMAGES, batch_size=16, seed=1, drop_last=False) if batches is None else batches,
        blocks=blocks,
        clip_norm=1.0,
        schedule=vq.optim.cosine_schedule(STEPS, warmup_steps=2),
        ema=0.9,
    )


def state(trainer: train.Trainer) -> dict[str, np.ndarray]:
    found = dict(trainer.model.state_dict())
    found |= {f"optim.{n}": v for n, v in trainer.optimizer.state_dict().items()}
    found |= {f"rng.{n}": v for n, v in trainer.model.rng_state_dict().items()}
    assert trainer.ema is not None
    return found | {f"ema.{n}": v for n, v in trainer.ema.state_dict().items()}


def numbers(found: list[train.StepMetrics]) -> list[dict[str, float]]:
    return [
        {
            k: v
            for k, v in each.numbers().items()
            if "seconds" not in k and "per" not in k or k == "perplexity"
        }
        for each in found
    ]


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("name", QUANTIZERS)
@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_number_of_ranks_gives_the_bits_of_one_process(name: str, size: int) -> None:
    one = made(name, 4)
    expected = one.fit(STEPS, progress=False)
    trainers = [made(name, 4) for _ in range(size)]
    found = on_ranks(size, lambda rank: trainers[rank].fit(STEPS, progress=False))
    for rank in range(size):
        assert numbers(found[rank]) == numbers(expected)
        assert equal(state(trainers[rank]), state(one))


class Plain(vq.nn.Module):
    """Neither batch norm, which takes a block's moments, nor dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = vq.nn.Conv2d(3, 8, 4, stride=2, padding=1)
        self.quantizer = vq.VectorQuant(8, 16, ema_decay=0.9)
        self.decoder = vq.nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)

    def forward(self, x: Any) -> Any:
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info


def test_blocks_change_no_more_than_rounding_does() -> None:
    losses = []
    for blocks in (None, 1, 4):
        vq.manual_seed(0)
        model = Plain()
        batches = Batches(IMAGES, batch_size=16, seed=1)
        optimizer = vq.optim.SGD(model.parameters(), lr=1e-2)
        trainer = train.Trainer(model, optimizer, batches, blocks=blocks)
        losses.append([step.loss for step in trainer.fit(5, progress=False)])
    assert losses[1] == losses[0]
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-5)


def test_a_stream_is_cut_like_batches() -> None:
    listed = [IMAGES[:16], IMAGES[16:32], IMAGES[32:35]]
    one = made("ema", 4, Stream(listed))
    one.fit(STEPS, progress=False)
    trainers = [made("ema", 4, Stream(listed)) for _ in range(3)]
    on_ranks(3, lambda rank: trainers[rank].fit(STEPS, progress=False))
    assert all(equal(state(trainer), state(one)) for trainer in trainers)


def test_a_run_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    whole = made("best", 4)
    whole.fit(STEPS, progress=False)
    for sitting, (size, steps) in enumerate(((2, 2), (4, 4), (1, 5), (3, STEPS))):
        trainers = [made("best", 4) for _ in range(size)]

        def sit(rank: int, trainers: Any = trainers, steps: int = steps) -> int:
            run = train.Run(tmp_path, trainers[rank], checkpoint_every=1, validate=_validated)
            run.fit(steps, progress=False)
            return run.step

        found = on_ranks(size, sit) if size > 1 else [sit(0)]
        assert found == [steps] * size, sitting
    assert all(equal(state(trainer), state(whole)) for trainer in trainers)
    lines = train._run.lines_of(tmp_path)
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, STEPS + 1))


def _validated(model: Any) -> dict[str, float]:
    return {"mse": train.evaluate(model, IMAGES[:8]).mse}


def test_wrong_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"blocks = 0: must be in 1\.\.\.4096"):
        made("plain", 0)
    trainer = made("plain", 2)

    def body(rank: int) -> None:
        with pytest.raises(ValueError, match="blocks = 2: there are 3 ranks to share them"):
            trainer.fit(1, progress=False)

    on_ranks(3, body)


def sent(size: int, rank: int, elements: int, width: int) -> int:
    """What docs/distributed.md says that a sum makes a rank send, with one node a rank."""
    if elements * width <= 1 << 16:
        return (size - 1) * elements * width
    own = elements * (rank + 1) // size - elements * rank // size
    return (elements - own + (size - 1) * own) * width


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_step_sends_what_the_guide_says(size: int) -> None:
    def made_wide() -> train.Trainer:
        vq.manual_seed(0)
        model = Plain()
        model.quantizer = vq.VectorQuant(8, 3000, ema_decay=0.9)
        batches = Batches(IMAGES, batch_size=16, seed=1)
        return train.Trainer(model, vq.optim.SGD(model.parameters(), lr=1e-2), batches)

    trainers = [made_wide() for _ in range(size)]

    def body(rank: int) -> int:
        trainers[rank].fit(1, progress=False)
        before = vq.distributed.current().sent
        trainers[rank].fit(2, progress=False)
        begin = 8 * (size - 1)  # what the weights are like
        return vq.distributed.current().sent - before - begin

    parameters = trainers[0].model.parameters()
    for rank, found in enumerate(on_ranks(size, body)):
        step = sent(size, rank, sum(p.size for p in parameters), 4)
        step += sent(size, rank, len(parameters) + 1, 4)
        step += sent(size, rank, 3000 + 3000 * 8 + size, 8)
        step += (size - 1) * (8 + 8 * 7)
        assert found == 2 * step


@pytest.mark.parametrize("size", [2, 3])
def test_values_have_their_names_on_ranks_without_samples(size: int) -> None:
    """The last batch has one sample, and the first rank none of it."""

    def objective(model: Any, batch: Any) -> train.Objective:
        found = train.Reconstruction()(model, batch)
        values = {"b": 2.0, "a": float(batch.shape[0])}
        return train.Objective(found.loss, found.task_loss, found.info, values=values)

    def body(rank: int) -> list[dict[str, float]]:
        vq.manual_seed(0)
        model = Network(QUANTIZERS["plain"]())
        batches = Batches(IMAGES[:5], batch_size=4, shuffle=False)
        optimizer = vq.optim.SGD(model.parameters(), lr=1e-2)
        trainer = train.Trainer(model, optimizer, batches, objective=objective)
        return [dict(step.values) for step in trainer.steps(2)]

    for steps in on_ranks(size, body):
        assert [list(values) for values in steps] == [["b", "a"]] * 2
        assert steps[1] == {"b": 2.0, "a": 1.0}


def test_other_names_on_another_rank_are_refused() -> None:
    def body(rank: int) -> None:
        def objective(model: Any, batch: Any) -> train.Objective:
            found = train.Reconstruction()(model, batch)
            values = {"ab"[rank]: 1.0}
            return train.Objective(found.loss, found.task_loss, found.info, values=values)

        trainer = made("plain", None)
        trainer.objective = objective
        with pytest.raises(ValueError, match="blocks of a batch name others"):
            list(trainer.steps(1))

    on_ranks(2, body)


def test_models_of_other_weights_are_refused_on_every_rank() -> None:
    def body(rank: int) -> None:
        vq.manual_seed(rank)
        model = Network(QUANTIZERS["plain"]())
        optimizer = vq.optim.SGD(model.parameters(), lr=1e-2)
        trainer = train.Trainer(model, optimizer, Batches(IMAGES, batch_size=16))
        with pytest.raises(ValueError, match="rank 1, 2 has a model of other weights than rank 0"):
            trainer.fit(1, progress=False)

    on_ranks(3, body)
