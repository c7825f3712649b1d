"""A step of a trainer over blocks of a batch, which several ranks share out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from .._deferral import in_block
from .._functions import no_grad
from .._tensor import Tensor
from ..data import Batches, Stream
from ..data._cut import Cut, share_of
from ..distributed import CodebookUpdate, current
from ..distributed._codebooks import update_blocks, waiting_layers
from ..distributed._gradients import GradientSum
from ..quantizers import Quantizer

if TYPE_CHECKING:
    from ._trainer import Trainer

_STEP_DRAWS = 1 << 26  # blocks of numbers that a layer may draw in a step
_BLOCK_DRAWS = 1 << 48  # from a block's draws to those of the next


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
        self._moments = list(_running_moments(trainer.model))

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
        return cls(trainer, blocks)

    def gradients(self, batch: Any, rate: float) -> Measured:
        """Give the parameters the gradients of the whole batch's mean."""
        cut = batch if isinstance(batch, Cut) else self.share.of(batch)
        trainer = self._trainer
        if any(layer._is_waiting() for _, layer in waiting_layers(trainer.model)):
            self._start(cut)
        parameters = [*trainer.model.parameters(), *self._in_place]
        waiting = [book.grad for book in self._in_place]
        before = [moment.numpy() for moment in self._moments]
        sums, told = GradientSum(parameters), []
        with _draws(trainer) as drawing:
            for block in self._blocks:
                for parameter in parameters:
                    parameter.grad = None
                part, weight = cut.parts.get(block), 0.0
                if part is not None:
                    self._write_moments(before)
                    drawing(block)
                    with in_block(block):
                        found = trainer._found(part, rate)
                    count = len(part[0] if isinstance(part, tuple) else part)
                    weight = count / cut.count
                    (found.loss * weight).backward()
                    told.append(_numbers(found, count))
                moments = [moment.numpy().reshape(-1) for moment in self._moments]
                own = np.concatenate([np.ones(1), *moments]).astype(np.float32)
                sums.add(block, own * np.float32(weight))
        size = 1 + sum(moment.size for moment in self._moments)
        extra = sums.finish(self._communicator, self._ranges, size)
        # Files that could not be read leave less than a whole batch.
        share = extra[0]
        if abs(share - 1) > 1e-5:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad = Tensor(parameter.grad.numpy() / share)
        self._write_moments(np.split(extra[1:] / share, np.cumsum([m.size for m in before])[:-1]))
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

    def _start(self, cut: Cut) -> None:
        """Give codebooks their start by the vectors of a first batch, which are not quantized."""
        before = [moment.numpy() for moment in self._moments]
        trainer = self._trainer
        with no_grad(), _draws(trainer) as drawing:
            for block, part in cut.parts.items():
                drawing(block)
                with in_block(block):
                    trainer.objective(trainer.model, part)
        self._write_moments(before)
        update_blocks(trainer.model, self._communicator, self._ranges, self._blocks)

    def _write_moments(self, values: Iterable[NDArray[Any]]) -> None:
        for moment, value in zip(self._moments, values, strict=True):
            moment.assign(value.reshape(moment.shape).astype(np.float32))

    def _measured(self, told: list[_Told], cut: Cut) -> Measured:
        """The means over all blocks, in their order."""
        own = np.array([[*each.numbers, *each.values.values()] for each in told])
        found = self._communicator.all_gather(own.reshape(-1))
        counts = [share.filled(cut.count) for share in self._shares]
        rows = np.concatenate(
            [part.reshape(count, -1) for part, count in zip(found, counts, strict=True) if count]
        )
        weights = rows[:, 0] / rows[:, 0].sum()
        means = [float(sum(weights * column)) for column in rows.T]
        names = list(told[0].values) if told else [f"value {i}" for i in range(len(means) - 6)]
        return Measured(
            count=int(rows[:, 0].sum()),
            loss=means[1],
            task_loss=means[2],
            quantizer_loss=means[3],
            perplexity=means[4],
            active_codes=int(rows[:, 5].max()),
            values=dict(zip(names, means[6:], strict=True)),
        )


@dataclass(frozen=True)
class _Told:
    numbers: tuple[float, ...]
    values: Mapping[str, float]


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


def _running_moments(model: nn.Module) -> Iterator[Tensor]:
    """The running moments of batch norms, but for those of quantizers."""
    owned = {
        name + "." if name else ""
        for name, module in model.named_modules()
        if isinstance(module, Quantizer)
    }
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] in ("running_mean", "running_var") and not any(
            name.startswith(prefix) for prefix in owned
        ):
            yield buffer


@contextmanager
def _draws(trainer: Trainer) -> Iterator[Any]:
    """Give what moves the generators of layers to the draws of a block; behind it they stand where
    the next step begins."""
    modules = [trainer.model]
    if isinstance(trainer.objective, nn.Module):
        modules.append(trainer.objective)
    before = [module.rng_state_dict() for module in modules]

    def move(blocks: int) -> None:
        for module, state in zip(modules, before, strict=True):
            if state:
                module.load_rng_state_dict({n: _moved(words, blocks) for n, words in state.items()})

    try:
        yield lambda block: move((block + 1) * _BLOCK_DRAWS)
    except BaseException:
        move(0)
        raise
    move(_STEP_DRAWS)


def _moved(words: NDArray[np.int32], blocks: int) -> NDArray[np.int32]:
    moved = np.ascontiguousarray(words).view(np.uint64).copy()
    moved[2] += np.uint64(blocks)
    return moved.view(np.int32)


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
