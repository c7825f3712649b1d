"""Checkpoints from which a run continues bit for bit.

One safetensors file: ``model.*`` (parameters and buffers, generator counters and the in-place
optimizer's moments among them), ``optim.*``, ``rng.*``, and as metadata the step and the
position in the batches.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vqswift as vq

from ._trainer import Trainer


def save_trainer(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Writes model, optimizer, step and position of ``trainer`` to ``path``."""
    tensors = _prefixed("model.", trainer.model.state_dict())
    tensors |= _prefixed("optim.", trainer.optimizer.state_dict())
    metadata = {"step": str(trainer.step), "batches": json.dumps(trainer.batches.state_dict())}
    vq.save(os.fspath(path), tensors, metadata)


def load_trainer(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Puts ``trainer``, built as the saved one was, where that one stood.

    Raises ``ValueError`` when the file is no trainer's checkpoint or does not fit the model.
    """
    tensors, metadata = vq.load(os.fspath(path))
    if missing := {"step", "batches"} - set(metadata):
        raise ValueError(f"[load_trainer] {path}: no {' and no '.join(sorted(missing))} in it")
    trainer.model.load_state_dict(_under("model.", tensors))
    trainer.optimizer.load_state_dict(_under("optim.", tensors))
    trainer.batches.load_state_dict(json.loads(metadata["batches"]))
    trainer.step = int(metadata["step"])


def load_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Loads the model's part of a checkpoint."""
    tensors, _ = vq.load(os.fspath(path))
    model.load_state_dict(_under("model.", tensors))


def _prefixed(prefix: str, state: dict[str, Any]) -> dict[str, NDArray[Any]]:
    return {prefix + name: np.asarray(value) for name, value in state.items()}


def _under(prefix: str, tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
