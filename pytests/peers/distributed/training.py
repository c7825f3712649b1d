"""Trainings on ranks, whose state is told after every step: `training.py ENGINE QUANTIZERS STEPS
FOLDER [BLOCKS]`, names of quantizers with commas between them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import vqswift as vq
from vqswift import train
from vqswift.data import Batches
from vqswift.distributed import _gradients

IMAGES = np.random.default_rng(0).random((50, 28, 28, 1), dtype=np.float32)
QUANTIZERS: dict[str, Any] = {
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
}


def trainer(name: str, blocks: int | None) -> train.Trainer:
    vq.manual_seed(0)
    model = vq.models.SQVAE(QUANTIZERS[name](), image_size=28, channels=1, width=8)
    batches = Batches(IMAGES, batch_size=16, seed=1, drop_last=False)
    optimizer = vq.optim.AdamW(model.parameters(), lr=1e-2)
    return train.Trainer(model, optimizer, batches, blocks=blocks)


def digest(trainer: train.Trainer) -> str:
    state = {**trainer.model.state_dict(), **trainer.optimizer.state_dict()}
    text = hashlib.sha256()
    for name in sorted(state):
        text.update(name.encode() + state[name].tobytes())
    return text.hexdigest()


def steps(name: str, count: int, blocks: int | None) -> list[Any]:
    """Of each step the digest of the state, loss, perplexity and codes in use."""
    here = trainer(name, blocks)
    return [
        [digest(here), step.loss, step.perplexity, step.active_codes] for step in here.steps(count)
    ]


def main(engine: str, names: str, count: str, folder: str, blocks: str = "8") -> None:
    communicator = vq.distributed.init(engine, timeout=60)
    vq.set_threads(1 + communicator.rank % 2)
    _gradients._BUCKET = 1 << 12  # messages that go out beside the backward
    for name in names.split(","):
        before = communicator.sent
        told = {
            "steps": steps(name, int(count), int(blocks)),
            "sent": communicator.sent - before,
            "pid": os.getpid(),
        }
        path = Path(folder) / f"{name}-{communicator.size}-{communicator.rank}.json"
        path.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
