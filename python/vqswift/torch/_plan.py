"""What a quantizer's description says of its calls: names of its state, and shapes of results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

import torch

from .. import _core
from .._options import options_of
from ._engines import Pool
from ._inplace import step_codebook
from ._memory import refresh

# What moves with the codebook in training forwards, where an option is on.
_OF_OPTIONS = {
    "unused_steps": ("replace_freq",),
    "kmeans_phase": ("kmeans_freq",),
    "temperature": ("temperature",),
}
_DRAWING = ("temperature", "replace_freq", "kmeans_freq", "quantizer_dropout")
_MOVING = ("ema_decay", "replace_freq", "kmeans_freq", "inplace_optimizer")
# What a description has beside the core's options: whether optimizers step codebooks in place.
_OWN = "inplace_optimizer"
# The core's gradient that waits for a step; here the layer keeps it.
_WAITING = "codebook_gradient"


def last_part(name: str) -> str:
    """The name of a parameter or buffer in its own module."""
    return name.rpartition(".")[2]


def description(
    kind: str, options: Mapping[str, Any], frozen: bool = False, quantizing: bool = True
) -> str:
    """The text that operators know a quantizer by: all but its state."""
    return json.dumps([kind, dict(options), frozen, quantizing], sort_keys=True)


class Engine:
    """A quantizer of the core, whose state is written before each use."""

    def __init__(self, kind: str, options: Mapping[str, Any], frozen: bool, quantizing: bool):
        own = {name: value for name, value in options.items() if name != _OWN}
        self.handle = _core.module_create(kind, own, (), None)
        _core.quantizer_set_frozen(self.handle, frozen)
        _core.quantizer_set_quantizing(self.handle, quantizing)
        self.parameters = _core.module_parameters(self.handle, True)
        if options.get(_OWN):
            self._step_in_place()
        self.trained = _core.module_parameters(self.handle, False)
        buffers = _core.module_buffers(self.handle)
        self.buffers = [(n, handle) for n, handle in buffers if last_part(n) != _WAITING]
        self.state = self.parameters + self.buffers
        self.read: list[_core.TensorHandle] = []
        self._training = True

    def _step_in_place(self) -> None:
        """Let the layer that calls step the codebooks."""
        codebooks = [handle for n, handle in self.parameters if last_part(n) == "codebook"]
        for index, codebook in enumerate(codebooks):
            step = partial(step_codebook, index, codebook)
            optimizer = _core.optimizer_create_hosted(codebook, step)
            _core.quantizer_set_inplace_optimizer(self.handle, index, optimizer)

    def load(
        self, handles: Sequence[_core.TensorHandle], state: Sequence[torch.Tensor], training: bool
    ) -> _core.ModuleHandle:
        """Write that much of the state, where it differs."""
        for handle, tensor in zip(handles, state, strict=True):
            refresh(handle, tensor)
        if training != self._training:
            _core.module_set_training(self.handle, training)
            self._training = training
        return self.handle


class Plan:
    """What follows from a description.

    Attributes:
        state: names of parameters, then of buffers: those of `vqswift`'s layer.
        parameters: how many of them are parameters.
        names: those of the state that a call reads, parameters first.
        trained: positions in `names` of those that the caller's optimizer trains.
        synchronized: positions of codebooks that an in-place optimizer steps, where the output's
            gradient reaches them.
        reached: positions of those that gradients reach, both.
        written: positions of what a training forward changes; of these `kept` are those that the
            gradients depend on.
        axes: of the codes of one vector; `stages` of residual quantizers, else 0.
        losses: entries of `stage_losses`.
        codes: in each codebook.
        output: elements of an output vector.
        engines: of the description.
        initial: what options are by themselves.
        compared: of a vector as it is compared; 0 where that is the vector itself.
    """

    def __init__(self, text: str) -> None:
        kind, options, frozen, quantizing = json.loads(text)
        known = {name: option.initial for name, option in options_of("module", kind).items()}
        self.quantizing: bool = quantizing
        self.kind, self._made = kind, (kind, options, frozen, quantizing)
        self.initial, self._given = known, known | options
        unnamed = ("seed", "stream", _OWN)
        self.options = {n: v for n, v in self._given.items() if n not in unnamed}
        self.steps_in_place: bool = self._given.get(_OWN, False)
        self.engines = Pool(self._made_engine)
        engine = Engine(*self._made)
        self.parameters = len(engine.parameters)
        self.state = [name for name, _ in engine.state]
        self.names = [name for name in self.state if self._reads(name)]
        self.trained = [self.names.index(name) for name, _ in engine.trained]
        books = [i for i, name in enumerate(self.names) if last_part(name) == "codebook"]
        self.synchronized = books if self._synchronizes and not frozen else []
        self.reached = self.trained + self.synchronized
        own = self._written(frozen) if quantizing else {}
        self.written = [i for i, name in enumerate(self.names) if name in own]
        self.kept = [i for i in self.written if own[self.names[i]]]

        groups = self._given.get("groups", 0)
        self.stages: int = self._given.get("stages", 0)
        self.axes = [groups or self.stages] if groups or self.stages else []
        parts = 1 if self._given.get("shared") else groups
        self.losses = self.stages or parts or 1
        self.features = self._features()
        width = self._given.get("code_size") or self.features // max(groups, 1)
        self.codes = self._codes()
        coded = self._given.get("code_size") if kind == "gumbel_quant" else None
        self.output: int = coded or self.features
        self.engines.give(self._reading(engine))
        self.compared = width * max(groups, 1) if self._changes_vectors(width) else 0

    def _codes(self) -> int:
        if self.kind == "fsq":
            return prod(self._given["levels"])
        codes: int = 1 << self._given["bits"] if self.kind == "lfq" else self._given["num_codes"]
        return codes

    def _features(self) -> int:
        if self.kind == "fsq":
            return len(self._given["levels"])
        size: int = self._given["bits"] if self.kind == "lfq" else self._given["feature_size"]
        return size

    def _changes_vectors(self, width: int) -> bool:
        if self.kind == "fsq":
            return True
        projected = width != self.features // max(self._given.get("groups", 0), 1)
        if self.kind not in ("vector_quant", "group_vector_quant", "residual_vector_quant"):
            return False
        if self.stages:
            return not projected and bool(self._given["norm"] != "none")
        return projected or bool(self._given["norm"] != "none")

    def _reads(self, name: str) -> bool:
        """Whether a forward reads what is there."""
        given, last = self._given, last_part(name)
        if self.kind in ("gumbel_quant", "sqvae_quant"):
            return True
        if last == "generator":
            return self._draws
        if last == "initialized":
            return self._starts
        if last in _OF_OPTIONS:
            return any(map(given.get, _OF_OPTIONS[last]))
        return last != "inner_phase" or self.steps_in_place

    @property
    def _synchronizes(self) -> bool:
        given = self._given
        return self.steps_in_place and (given["sync_nu"] > 0 or given["gradient"] == "directional")

    @property
    def _starts(self) -> bool:
        return self._given["init"] in ("kmeans", "kmeans++")

    @property
    def _draws(self) -> bool:
        given = self._given
        directional = given["gradient"] == "directional"
        return directional or self._starts or any(given.get(name) for name in _DRAWING)

    def _written(self, frozen: bool) -> dict[str, bool]:
        """Names that training forwards write, and whether gradients depend on their values."""
        given = self._given
        if self.kind in ("gumbel_quant", "sqvae_quant"):
            return {"temperature": True, "generator": True}
        if self.kind in ("fsq", "lfq"):
            return {}
        starts, draws = self._starts, self._draws
        directional = given["gradient"] == "directional"
        moves = not frozen and (starts or any(map(given.get, _MOVING)))
        found = {}
        for name in self.names:
            last = last_part(name)
            if last == "codebook":
                writes, reads = moves, True
            elif last == "generator":
                writes, reads = draws, directional
            elif last in _OF_OPTIONS:
                writes, reads = not frozen and any(map(given.get, _OF_OPTIONS[last])), False
            elif last == "inner_phase":
                writes, reads = not frozen and self.steps_in_place, False
            elif last == "initialized":
                writes, reads = not frozen and starts, False
            elif last.startswith("running_"):
                writes, reads = True, False
            elif last.startswith("ema_"):
                writes, reads = not frozen, False
            elif last.startswith("affine_") and given["affine"] == "ema":
                writes, reads = not frozen, True
            else:
                continue
            if writes:
                found[name] = reads
        return found

    def code_axes(self, stages: int) -> list[int]:
        """Of the codes of one vector, by the first `stages` stages; 0 for all."""
        return [stages or self.stages] if self.stages else self.axes

    def loss_count(self, stages: int) -> int:
        """The entries of `stage_losses`."""
        return stages or self.stages if self.stages else self.losses

    def _made_engine(self) -> Engine:
        return self._reading(Engine(*self._made))

    def _reading(self, engine: Engine) -> Engine:
        """The engine, with the handles of `names`."""
        handles = dict(engine.state)
        engine.read = [handles[name] for name in self.names]
        return engine

    @contextmanager
    def engine(
        self, state: Sequence[torch.Tensor], training: bool = False, whole: bool = False
    ) -> Iterator[tuple[Engine, _core.ModuleHandle]]:
        """An engine in that state, of `names` or the `whole` one, which no other thread uses."""
        engine = self.engines.take()
        handles = [handle for _, handle in engine.state] if whole else engine.read
        yield engine, engine.load(handles, state, training)
        self.engines.give(engine)


_PLANS: dict[str, Plan] = {}


def plan(text: str) -> Plan:
    """The plan of a description."""
    # A cache that `torch.compile` can look into.
    if text not in _PLANS:
        _PLANS[text] = Plan(text)
    return _PLANS[text]
