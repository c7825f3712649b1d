"""`VectorQuant`, `GroupVectorQuant` and `ResidualVectorQuant` in operations of PyTorch."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import torch

from .. import _distributed as distributed
from ._book import Assigned, Book, normalized
from ._result import Result
from ._through import once

if TYPE_CHECKING:
    from .._base import Quantizer

KINDS = ("vector_quant", "group_vector_quant", "residual_vector_quant")
_ANY = frozenset(
    [
        *("feature_size", "num_codes", "code_size", "beta", "sync_nu", "affine_lr"),
        *("affine_groups", "ema_decay", "ema_epsilon", "simvq", "replace_freq", "max_norm"),
        *("groups", "stages", "shared", "quantizer_dropout", "seed", "stream", "kmeans_freq"),
        *("inner_steps", "outer_steps", "reassign"),
    ]
)
_SOME: dict[str, tuple[Any, ...]] = {
    "gradient": ("ste", "rotation"),
    "init": ("normal", "kaiming", "uniform", "kmeans", "kmeans++"),
    "norm": ("none", "l2", "l2c"),
    "cb_norm": ("none", "l2", "l2c"),
}


def _checked(layer: Quantizer) -> dict[str, Any]:
    """The options, unless one is the kernels' alone."""
    options, initial = layer._plan.options, layer._plan.initial
    for name, value in options.items():
        allowed = _SOME.get(name, (initial[name],))
        if name not in _ANY and value not in allowed:
            raise NotImplementedError(
                f"[{layer._kind}] {name} = {value!r}: only on the CPU; move the layer and its "
                "input there"
            )
    return options


def _books(layer: Quantizer, frozen: bool) -> list[Book]:
    """The codebook of each group or stage, one in all that share it."""
    options = _checked(layer)
    if layer._kind == "vector_quant":
        return [Book(layer, "", 0, options, frozen)]
    count = options.get("groups") or options["stages"]
    if options["shared"]:
        return [Book(layer, "0.", 0, options, frozen)] * count
    return [Book(layer, f"{index}.", index, options, frozen) for index in range(count)]


def effective_codebooks(layer: Quantizer) -> list[torch.Tensor]:
    """What vectors are compared with, [k, code size] of each codebook."""
    books = _books(layer, layer._frozen)
    return [book.effective for book in (books[:1] if layer._plan.options.get("shared") else books)]


def quantize(layer: Quantizer, rows: torch.Tensor, frozen: bool, stages: int) -> Result:
    """Rows [m, d], by the first stages or all; a training forward moves EMA codebooks and replaces
    unused codes."""
    rows, books = once(rows), _books(layer, frozen)
    if layer._kind == "vector_quant":
        return _whole(layer, books[0], rows)
    if layer._kind == "group_vector_quant":
        return _grouped(layer, books, rows)
    limit = stages or len(books)
    used = _stages_to_use(layer, books, limit, rows.device)
    if not layer._quantizing:  # A stage passes on what its codes leave.
        _require_starts(books[:used])
    if layer._plan.options["shared"]:
        books[0].stages = used
    staged = _projected_stages if books[0].is_projected else _stages
    return staged(layer, books[:used], rows).padded(limit)


def _require_starts(books: list[Book]) -> None:
    for book in set(books):
        book.require_start()


def encode(layer: Quantizer, rows: torch.Tensor, stages: int) -> torch.Tensor:
    """The codes of rows [m, d], by the first stages or all."""
    books = _books(layer, frozen=True)
    if layer._kind == "vector_quant":
        return books[0].encode(books[0].compared(rows))
    if layer._kind == "group_vector_quant":
        parts = rows.chunk(len(books), 1)
        return torch.stack(
            [book.encode(book.compared(part)) for book, part in zip(books, parts, strict=True)], 1
        )
    is_projected = books[0].is_projected
    residual = rows if is_projected else normalized(rows, layer._plan.options)
    found = []
    for book in books[: stages or len(books)]:
        codes = book.encode(book.compared(residual) if is_projected else residual)
        residual = residual - book.projected(book.effective[codes])
        found.append(codes)
    return torch.stack(found, 1)


def decode(layer: Quantizer, codes: torch.Tensor) -> torch.Tensor:
    """The vectors of codes, 0 of -1."""
    books = _books(layer, layer._frozen)
    _require_starts(books)
    columns = [codes] if layer._kind == "vector_quant" else codes.unbind(-1)
    values = [
        torch.where((part >= 0)[..., None], book.projected(book.effective[part.clamp(min=0)]), 0)
        for book, part in zip(books[: len(columns)], columns, strict=True)
    ]
    return torch.cat(values, -1) if layer._kind == "group_vector_quant" else _sum(values)


def _sum(values: list[torch.Tensor]) -> torch.Tensor:
    return reduce(torch.add, values)


def _result(layer: Quantizer, book: Book, part: Assigned, z_q: torch.Tensor) -> Result:
    beta = book.options["beta"]
    return Result.of_codes(
        z_q=z_q,
        codes=part.codes,
        distances=part.distances,
        compared=part.vectors,
        loss=part.loss,
        commitment=(1 - beta) * part.error,
        codebook=beta * part.error,
        quantizing=layer._quantizing,
    )


def _whole(
    layer: Quantizer, book: Book, rows: torch.Tensor, passing: torch.Tensor | None = None
) -> Result:
    """Rows by one codebook; `passing` takes the output's gradient in their place, and passes where
    nothing is quantized."""
    z = book.compared(rows)
    carrier = z if passing is None else book.compared(passing)
    part = book.assign(z)
    output = book.through(carrier, part.synchronized) if layer._quantizing else carrier.clone()
    book.move([part])
    return _result(layer, book, part, book.projected(output))


def _grouped(layer: Quantizer, books: list[Book], rows: torch.Tensor) -> Result:
    """Each group of channels by its codebook; the loss is the mean."""
    if layer._plan.options["shared"]:
        count = len(books)
        folded = rows.reshape(len(rows) * count, rows.shape[1] // count)
        return _whole(layer, books[0], folded).folded(count)
    parts = rows.chunk(len(books), 1)
    results = [_whole(layer, book, part) for book, part in zip(books, parts, strict=True)]
    z_q = torch.cat([result.z_q for result in results], 1)
    compared = torch.cat([result.compared for result in results], 1)
    return Result.added(results, z_q, compared, weight=1 / len(books))


def _stages(layer: Quantizer, books: list[Book], rows: torch.Tensor) -> Result:
    """Each stage quantizes what those before leave; the output's gradient reaches z once."""
    vectors = normalized(rows, layer._plan.options)
    residual = vectors if layer._quantizing else vectors.detach()
    parts: list[Assigned] = []
    for book in books:
        parts.append(book.assign(residual))
        residual = residual - parts[-1].values.detach()
    values = [part.synchronized for part in parts]
    output = books[0].through(vectors, _sum(values)) if layer._quantizing else vectors.clone()
    shared: bool = layer._plan.options["shared"]
    for book, part in zip(books[:1] if shared else books, parts, strict=False):
        book.move(parts if shared else [part])
    pairs = zip(books, parts, strict=True)
    results = [_result(layer, book, part, part.values) for book, part in pairs]
    return Result.added(results, output, vectors, shares_codebook=shared)


def _projected_stages(layer: Quantizer, books: list[Book], rows: torch.Tensor) -> Result:
    """Stages with projections: the output's gradient passes them as if nothing were quantized."""
    residual, passing = rows, rows
    results = []
    for stage, book in enumerate(books):
        result = _whole(layer, book, residual, passing if stage else None)
        value = result.z_q if layer._quantizing else book.projected(book.effective[result.codes])
        residual = residual - value.detach()
        passing = passing - result.z_q
        results.append(result)
    return Result.added(results, _sum([result.z_q for result in results]), rows)


def _stages_to_use(layer: Quantizer, books: list[Book], limit: int, place: torch.device) -> int:
    """All, or by dropout a random number in training, drawn by PyTorch, once each has its start."""
    dropout = layer._plan.options["quantizer_dropout"]
    drops = dropout > 0 and layer.training and layer._quantizing
    if not drops or any(book.is_waiting for book in books):
        return limit
    used = limit
    if torch.rand((), device="cpu") < dropout:
        used = int(torch.randint(1, limit + 1, (), device="cpu"))
    if not distributed.is_active():
        return used
    agreed = torch.tensor([used], device=place)
    distributed.follow_first(agreed)
    return int(agreed)
