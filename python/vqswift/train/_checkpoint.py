"""Checkpoints from which a run continues bit for bit.

One safetensors file: `model.*` (parameters and buffers), `optim.*` (`optim.inplace.<i>.*` for
the in-place optimizer of the i-th quantizer, with the gradient that the last backward left for its
next step), `rng.*` (generators of layers), `objective.*` (those of an objective, or of its
reconstruction loss, that is a module), `objective_state.*` (its buffers, and its parameters that
are trained), `ema.*` (the average of the weights, where there is one), and as metadata the step,
the position in the batches and the state of a schedule that has one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .. import nn, optim
from .._arguments import checked, refuse
from .._checkpoint import Path, load, save
from .._fitting import fitted
from .._tensor import Tensor
from ..optim._schedules import JoinedSchedule
from ._objectives import module_of
from ._trainer import Trainer

_GRADIENT = "codebook.grad"


@checked
def save_trainer(trainer: Trainer, path: Path) -> None:
    """Write model, optimizers, schedule, step and position of `trainer` to `path`."""
    tensors = _prefixed("model.", trainer.model.state_dict())
    tensors |= _prefixed("optim.", trainer.optimizer.state_dict())
    for prefix, optimizer, codebook in _inplace(trainer.model):
        tensors |= _prefixed(prefix, optimizer.state_dict())
        if codebook.grad is not None:
            tensors[prefix + _GRADIENT] = codebook.grad.numpy()
    tensors |= _prefixed("rng.", trainer.model.rng_state_dict())
    if (objective := module_of(trainer.objective)) is not None:
        tensors |= _prefixed("objective.", objective.rng_state_dict())
        tensors |= _prefixed("objective_state.", _trained_state(objective))
    if trainer.ema is not None:
        tensors |= _prefixed("ema.", trainer.ema.state_dict())
    metadata = {"step": str(trainer.step), "batches": json.dumps(trainer.batches.state_dict())}
    if (schedule := _stateful(trainer.schedule)) is not None:
        metadata["schedule"] = json.dumps(schedule.state_dict())
    save(path, tensors, metadata)


@checked
def load_trainer(trainer: Trainer, path: Path) -> None:
    """Put `trainer`, built as the saved one was, where that one stood.

    Lines of its metrics file that it will write again are dropped then. Raises `ValueError` or
    `TypeError` when the file is no trainer's checkpoint or does not fit, `OSError` when it
    cannot be read; the trainer is then as it was.
    """
    put_back(trainer, read_checkpoint(path))


@dataclass(frozen=True)
class Content:
    """What a trainer's checkpoint holds."""

    path: Path
    step: int
    position: dict[str, Any]  # in the batches
    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def read_checkpoint(path: Path) -> Content:
    """A whole checkpoint; ValueError for a file that is none, OSError where it cannot be read."""
    tensors, metadata = load(path)
    if missing := {"step", "batches"} - set(metadata):
        raise ValueError(f"[load_trainer] {path!r}: no {' and no '.join(sorted(missing))} in it")
    step, position = _step(path, metadata["step"]), _object(path, "batches", metadata)
    return Content(path, step, position, tensors, metadata)


def put_back(trainer: Trainer, content: Content) -> None:
    """Put `trainer` where the checkpoint was written, or leave it as it was."""
    path, tensors, position = content.path, content.tensors, content.position
    phase: dict[str, Any] = {}
    if (schedule := _stateful(trainer.schedule)) is not None:
        if "schedule" not in content.metadata:
            raise ValueError(f"[load_trainer] {path!r}: no schedule in it")
        phase = schedule._checked_state(_object(path, "schedule", content.metadata))
    model = _taken("model.", tensors)
    trainer.model._checked_state(model)
    inplace = []
    for prefix, optimizer, codebook in _inplace(trainer.model):
        state = _taken(prefix, tensors)
        given, gradient = state.pop(_GRADIENT, None), None
        if given is not None:
            name = prefix + _GRADIENT
            fit = fitted("load_trainer", name, given, codebook.dtype, codebook.shape)
            gradient = Tensor(fit)
        optimizer._checked_state(state)
        inplace.append((optimizer, state, codebook, gradient))
    outer = _taken("optim.", tensors)
    trainer.optimizer._checked_state(outer)
    generators = _taken("rng.", tensors)
    _check_generators(path, trainer.model, generators)
    drawn, learned = _taken("objective.", tensors), _taken("objective_state.", tensors)
    objective = module_of(trainer.objective)
    if objective is not None:
        _check_generators(path, objective, drawn)
        if learned.keys() != (own := _trained_state(objective).keys()):
            raise ValueError(
                f"[load_trainer] {path!r}: it has {sorted(learned)} of the objective, which has "
                f"{sorted(own)}"
            )
        objective._checked_state(learned, False)
    elif drawn or learned:
        raise ValueError(f"[load_trainer] {path!r}: an objective's state in it, unlike the trainer")
    averages = _taken("ema.", tensors)
    if bool(averages) != (trainer.ema is not None):
        there = "an average" if averages else "no average"
        raise ValueError(f"[load_trainer] {path!r}: {there} of weights in it, unlike the trainer")
    # The first two refuse before they change anything; all that follows is checked.
    before = trainer.batches.state_dict()
    trainer.batches.load_state_dict(position)
    if trainer.ema is not None:
        try:
            trainer.ema.load_state_dict(averages)
        except BaseException:
            trainer.batches.load_state_dict(before)
            raise
    trainer.model.load_state_dict(model)
    for optimizer, state, codebook, gradient in inplace:
        optimizer.load_state_dict(state)
        codebook.grad = gradient
    trainer.optimizer.load_state_dict(outer)
    trainer.model.load_rng_state_dict(generators)
    if objective is not None:
        objective.load_rng_state_dict(drawn)
        objective.load_state_dict(learned, strict=False)
    if schedule is not None:
        schedule._load(phase)
    trainer._resume(content.step)


@checked
def load_model(model: Any, path: Path) -> None:
    """Load the model's part of a checkpoint."""
    if not hasattr(model, "load_state_dict"):
        refuse("load_model", "model", model, "a module")
    tensors, _ = load(path)
    model.load_state_dict(_taken("model.", tensors))


def _stateful(schedule: Any) -> optim.PlateauSchedule | JoinedSchedule | None:
    """The schedule, where it has a state."""
    has_state = isinstance(schedule, (optim.PlateauSchedule, JoinedSchedule))
    return schedule if has_state and schedule.state_dict() else None


def _trained_state(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Buffers, and the parameters that are trained."""
    fixed = {name for name, each in module.named_parameters() if not each.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in fixed}


def _check_generators(path: Path, module: nn.Module, state: dict[str, NDArray[Any]]) -> None:
    try:
        module._checked_generators(state)
    except ValueError as error:
        raise ValueError(
            f"[load_trainer] {path!r}: {error}; vq.manual_seed(seed) before the trainer is built "
            "gives its layers the same"
        ) from error


def _step(path: Path, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"[load_trainer] {path!r}: step {text!r} must be a number from 0")
    return int(text)


def _object(path: Path, name: str, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(metadata[name])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(
            f"[load_trainer] {path!r}: {name} {metadata[name]!r} must be a JSON object"
        )
    return found


def _inplace(model: Any) -> list[tuple[str, optim.Optimizer, Tensor]]:
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
    """Remove the entries below `prefix` and returns them by the rest of their names."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}
