"""Checkpoints from which a run continues bit for bit.

One safetensors file: ``model.*`` (parameters and buffers), ``optim.*`` (``optim.inplace.<i>.*`` for
the in-place optimizer of the i-th quantizer, with the gradient that the last backward left for its
next step), ``rng.*`` (generators of layers), and as metadata the step and the position in the
batches.
"""

from __future__ import annotations

import json
import os
from typing import Any

from numpy.typing import NDArray

import vqswift as vq

from .._arguments import checked
from ._trainer import Trainer

_GRADIENT = "codebook.grad"


@checked
def save_trainer(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Writes model, optimizers, step and position of ``trainer`` to ``path``."""
    tensors = _prefixed("model.", trainer.model.state_dict())
    tensors |= _prefixed("optim.", trainer.optimizer.state_dict())
    for prefix, optimizer, codebook in _inplace(trainer.model):
        tensors |= _prefixed(prefix, optimizer.state_dict())
        if codebook.grad is not None:
            tensors[prefix + _GRADIENT] = codebook.grad.numpy()
    tensors |= _prefixed("rng.", trainer.model.rng_state_dict())
    metadata = {"step": str(trainer.step), "batches": json.dumps(trainer.batches.state_dict())}
    vq.save(path, tensors, metadata)


@checked
def load_trainer(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Puts ``trainer``, built as the saved one was, where that one stood.

    Raises ``ValueError`` or ``KeyError`` when the file is no trainer's checkpoint or does not fit.
    """
    tensors, metadata = vq.load(path)
    if missing := {"step", "batches"} - set(metadata):
        raise ValueError(f"[load_trainer] {path}: no {' and no '.join(sorted(missing))} in it")
    trainer.model.load_state_dict(_taken("model.", tensors))
    for prefix, optimizer, codebook in _inplace(trainer.model):
        state = _taken(prefix, tensors)
        gradient = state.pop(_GRADIENT, None)
        optimizer.load_state_dict(state)
        codebook.grad = None if gradient is None else vq.Tensor(gradient)
    trainer.optimizer.load_state_dict(_taken("optim.", tensors))
    trainer.model.load_rng_state_dict(_taken("rng.", tensors))
    trainer.batches.load_state_dict(json.loads(metadata["batches"]))
    trainer.step = int(metadata["step"])


@checked
def load_model(model: vq.nn.Module, path: str | os.PathLike[str]) -> None:
    """Loads the model's part of a checkpoint."""
    tensors, _ = vq.load(path)
    model.load_state_dict(_taken("model.", tensors))


def _inplace(model: Any) -> list[tuple[str, vq.optim.Optimizer, vq.Tensor]]:
    """The prefix of each in-place optimizer's entries, the optimizer and its codebook."""
    found = [
        pair
        for module in model.modules()
        for pair in zip(
            getattr(module, "inplace_optimizers", ()),
            getattr(module, "codebooks", ()),
            strict=False,
        )
    ]
    return [(f"optim.inplace.{i}.", optimizer, book) for i, (optimizer, book) in enumerate(found)]


def _prefixed(prefix: str, state: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {prefix + name: value for name, value in state.items()}


def _taken(prefix: str, tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Removes the entries below ``prefix`` and returns them by the rest of their names."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}
