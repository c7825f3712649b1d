"""A step of a trainer over blocks of a batch, which several ranks share out."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._deferral import in_block
from .._functions import no_grad
from .._tensor import Tensor
from ..data import Batches, Stream
from ..data._cut import Cut, samples_of, share_of
from ..distributed import CodebookUpdate, current
from ..distributed._batch_norm import shares_moments
from ..distributed._codebooks import update_blocks, waiting_layers
from ..distributed._gradients import GradientSum
from ..nn import Module
from ._objectives import module_of
from ._running import RunningMoments, drawing

if TYPE_CHECKING:
    from ._trainer import Trainer


_LEARNED = ("codebook", "weight", "bias")  # last parts of names in a state


@dataclass(frozen=True)
class Measured:
    """What is told of a step's batch of `count` samples."""

    count: int
    loss: float
    task_loss: float
    quantizer_loss: float
    perplexity: float
    active_codes: int
    values: Mapping[str, float]


class Spread:
    """The blocks of a trainer's batches: their gradients and codebooks, over all ranks.

    Draws of layers depend on step and block. Each block moves the running moments of batch norms
    from where the step found them; the step takes their mean, weighted by samples.
    """

    def __init__(self, trainer: Trainer, blocks: int) -> None:
        self._trainer = trainer
        self._communicator = current()
        size = self._communicator.size
        self.share = share_of(self._communicator.rank, size, blocks)
        self._shares = [share_of(rank, size, blocks) for rank in range(size)]
        self._ranges = [(share.first, share.last) for share in self._shares]
        self._blocks = list(range(self.share.first, self.share.last))
        layers = [layer for _, layer in waiting_layers(trainer.model)]  # refuses what cannot wait
        self._in_place = [
            book for layer in layers if layer.inplace_optimizers for book in layer.codebooks
        ]
        self._moments = RunningMoments(trainer.model)
        objective = module_of(trainer.objective)
        self._parts = [trainer.model, *([objective] if objective is not None else [])]
        self._shares_moments = any(shares_moments(part) for part in self._parts)
        if self._shares_moments and blocks != size:
            raise ValueError(
                f"[trainer] blocks = {blocks} on {size} ranks: batch norms that are synchronized "
                "take one block a rank, since all blocks must be forwarded at once"
            )

    @classmethod
    def of(cls, trainer: Trainer) -> Spread | None:
        """That of a trainer; None for one process that takes batches whole."""
        size = current().size
        if size == 1 and trainer.blocks is None:
            return None
        if trainer.accumulate > 1:
            raise ValueError(
                f"[trainer] accumulate = {trainer.accumulate} on {size} ranks: give a greater "
                "batch and blocks, which are taken one after the other"
            )
        blocks = size if trainer.blocks is None else trainer.blocks
        if blocks < size:
            raise ValueError(f"[trainer] blocks = {blocks}: there are {size} ranks to share them")
        _require_equal(trainer.model)
        return cls(trainer, blocks)

    def gradients(self, batch: Any, rate: float) -> Measured:
        """Give the parameters the gradients of the whole batch's mean."""
        cut = batch if isinstance(batch, Cut) else self.share.of(batch)
        self._require_samples(cut)
        trainer = self._trainer
        if any(layer._is_waiting() for _, layer in waiting_layers(trainer.model)):
            self._start(cut)
        parameters = [*self._in_place, *(p for part in self._parts for p in part.parameters())]
        waiting = [book.grad for book in self._in_place]
        sums, told = GradientSum(parameters, self._communicator, self._ranges), []
        self._moments.begin()
        with drawing(self._parts) as draw_for:
            for block in self._blocks:
                for parameter in parameters:
                    parameter.grad = None
                part, weight = cut.parts.get(block), 0.0
                if part is not None:
                    self._moments.restore()
                    draw_for(block)
                    with in_block(block):
                        found = trainer._found(part, rate)
                    count = samples_of(part)
                    weight = count / cut.count
                    loss = found.loss * weight
                    # Batch norms talk within the backward themselves.
                    if block == self._blocks[-1] and not self._shares_moments:
                        sums.backward(loss, block)
                    else:
                        loss.backward()
                    told.append(_numbers(found, count))
                own = np.concatenate([np.ones(1, np.float32), self._moments.values()])
                sums.add(block, own * np.float32(weight))
        extra = sums.finish(1 + self._moments.size)
        # Files that could not be read leave less than a whole batch.
        share = extra[0]
        if abs(share - 1) > 1e-5:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad = Tensor(parameter.grad.numpy() / share)
        self._moments.end(extra[1:] / share)
        for book, gradient in zip(self._in_place, waiting, strict=True):
            if gradient is not None:
                own = gradient.numpy()
                book.grad = Tensor(own if book.grad is None else own + book.grad.numpy())
        return self._measured(told, cut)

    def update(self, measured: Measured) -> Measured:
        """Let the codebooks learn from the whole batch, and tell how it used them."""
        model = self._trainer.model
        found = update_blocks(model, self._communicator, self._ranges, self._blocks)
        if not found:
            return measured
        active: dict[str, int] = {}
        for book in found:
            active[book.layer] = active.get(book.layer, 0) + book.active_codes
        return dataclasses.replace(
            measured, perplexity=_mean_perplexity(found), active_codes=max(active.values())
        )

    def _require_samples(self, cut: Cut) -> None:
        """ValueError on all ranks where batch norms wait for one that has nothing to forward."""
        if not self._shares_moments:
            return
        here = self._communicator
        if not here.all_reduce(np.array([len(cut.parts)], np.int64), "min")[0]:
            raise ValueError(
                f"[trainer] a batch of {cut.count} samples on {here.size} ranks leaves one without "
                "any: batch norms that are synchronized need some on each (drop_last=True leaves "
                "a small last batch out)"
            )

    def _start(self, cut: Cut) -> None:
        """Give codebooks their start by the vectors of a first batch, which are not quantized."""
        trainer = self._trainer
        moments = RunningMoments(trainer.model, shared=True)
        with no_grad(), drawing(self._parts) as draw_for:
            for block, part in cut.parts.items():
                draw_for(block)
                with in_block(block):
                    trainer.objective(trainer.model, part)
        moments.restore()
        update_blocks(trainer.model, self._communicator, self._ranges, self._blocks)

    def _measured(self, told: list[_Told], cut: Cut) -> Measured:
        """The means over all blocks, in their order."""
        own = np.array([each.row() for each in told])
        found = self._communicator.all_gather(own.reshape(-1))
        counts = [share.filled(cut.count) for share in self._shares]
        parts = [part.reshape(c, -1) for part, c in zip(found, counts, strict=True) if c]
        names = list(told[0].values) if told else []
        if min(counts) == 0:  # who had no samples does not know the names
            names = self._names_of(names, next(rank for rank, c in enumerate(counts) if c))
        if len({part.shape[1] for part in parts}) > 1 or len({r[6] for p in parts for r in p}) > 1:
            raise ValueError(
                f"[trainer] the objective's values {sorted(names)}: blocks of a batch name others"
            )
        rows = np.concatenate(parts)
        weights = rows[:, 0] / rows[:, 0].sum()
        means = [float(sum(weights * column)) for column in rows.T]
        values = dict(zip(sorted(names), means[7:], strict=True))
        return Measured(
            count=int(rows[:, 0].sum()),
            loss=means[1],
            task_loss=means[2],
            quantizer_loss=means[3],
            perplexity=means[4],
            active_codes=int(rows[:, 5].max()),
            values={name: values[name] for name in names},
        )

    def _names_of(self, names: list[str], rank: int) -> list[str]:
        """Those of one rank, on all."""
        text = np.frombuffer("\0".join(names).encode(), np.uint8)
        told: str = self._communicator.broadcast(text, rank).tobytes().decode()
        return told.split("\0") if told else []


@dataclass(frozen=True)
class _Told:
    numbers: tuple[float, ...]
    values: Mapping[str, float]

    def row(self) -> list[float]:
        """The numbers, a checksum of the names, and the values by name."""
        names = sorted(self.values)
        check = zlib.crc32("\0".join(names).encode())
        return [*self.numbers, float(check), *(self.values[name] for name in names)]


def _numbers(found: Any, count: int) -> _Told:
    info = found.info
    numbers = (
        float(count),
        float(found.loss),
        float(found.task_loss),
        float(info.loss),
        float(info.perplexity),
        float(info.active_codes),
    )
    return _Told(numbers, {name: float(value) for name, value in found.values.items()})


def _mean_perplexity(found: list[CodebookUpdate]) -> float:
    return float(np.mean([book.perplexity for book in found]))


def _require_equal(model: Module) -> None:
    """ValueError on all ranks where these have models of other weights."""
    check = 0
    for name, value in model.state_dict().items():
        if name.rpartition(".")[2] in _LEARNED:
            text = f"{name} {[*value.shape]}".encode()
            check = zlib.crc32(np.asarray(value).tobytes(), zlib.crc32(text, check))
    here = current()
    found = here.all_gather_of(np.array([check]), [1] * here.size)
    others = [rank for rank, each in enumerate(found) if each[0] != found[0][0]]
    if others:
        raise ValueError(
            f"[trainer] rank {', '.join(map(str, others))} has a model of other weights than rank "
            "0: all ranks build it from one seed (vq.manual_seed), or load the same file"
        )


@contextmanager
def sharing(batches: Batches | Stream, spread: Spread | None) -> Iterator[None]:
    """Let `batches` prepare this rank's share of each batch alone."""
    if spread is None or not isinstance(batches, Batches):
        yield
        return
    batches._share = spread.share
    try:
        yield
    finally:
        batches._share = None
