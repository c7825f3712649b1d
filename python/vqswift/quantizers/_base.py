"""The base of all quantizers: what a forward tells, masks, freezing and a pass without codes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._arrays import as_array
from .._integers import as_codes, as_floats
from .._options import Made
from .._random import own_seed
from .._tensor import Tensor
from ..nn._module import Module
from ..nn._native import Native
from ._shown import info_shown, usage_pictures


@dataclass(frozen=True)
class QuantizerInfo:
    """What a quantizer's forward tells beside its output.

    With z [..., d] and one code a vector: `q` int32 [...] codes, `d` [...] squared distances;
    group and residual quantizers add an axis of groups or stages to both. A vector that a mask
    leaves out has code -1, as has a stage that dropout leaves out. `loss` is a scalar without
    alpha, `z_q` the output, `z` the vectors as compared: after projection and norm, but z itself
    in a residual quantizer with projections. `commitment_loss`, `codebook_loss` and
    `regularization` are the parts of the loss. `perplexity` is 2^entropy of the batch's code
    usage (the mean over stages or groups) and `active_codes` the number of codes that it uses, of
    all codebooks.

    `stage_losses` and `stage_perplexities` have one entry for each stage that was used or group
    with a codebook of its own, and one in all for a shared group layer and for quantizers without
    stages. Of nearest codes they are commitment losses: their sum, in groups their mean, and
    `regularization` make `loss`.
    """

    q: Tensor
    d: Tensor
    loss: Tensor
    z: Tensor
    z_q: Tensor
    stage_losses: Tensor
    stage_perplexities: Tensor
    commitment_loss: float
    codebook_loss: float
    regularization: float
    perplexity: float
    active_codes: int

    def _repr_html_(self) -> str:
        return info_shown(self)


def unquantized(z: Tensor) -> QuantizerInfo:
    """The info of a network without a quantizer: codes -1, of which none is used, and loss 0."""
    nothing = Tensor(np.zeros((), np.float32))
    places = z.shape[:-1]
    return QuantizerInfo(
        q=Tensor(np.full(places, -1, np.int32)),
        d=Tensor(np.zeros(places, np.float32)),
        loss=nothing,
        z=z,
        z_q=z,
        stage_losses=nothing.reshape(1)[:0],
        stage_perplexities=nothing.reshape(1)[:0],
        commitment_loss=0.0,
        codebook_loss=0.0,
        regularization=0.0,
        perplexity=0.0,
        active_codes=0,
    )


@checked
class Quantizer(Native):
    """The base of all quantizers: channels on axis `dim`, masks, encode and decode."""

    _operation = "quantizer"

    def __init__(self, made: Made, dim: int = -1) -> None:
        super().__init__(made)
        self.dim = dim

    def _options_text(self) -> str:
        text = super()._options_text()
        return text if self.dim == -1 else f"{text}, dim={self.dim}"

    def _repr_html_(self) -> str:
        return super()._repr_html_() + usage_pictures(self.state_dict())

    def _arguments(self) -> dict[str, Any] | None:
        given = super()._arguments()
        if given is None:
            return None
        seeded = (
            {"seed": own_seed(given["seed"], self.options["stream"])} if "seed" in given else {}
        )
        return given | seeded | {"dim": self.dim}

    def _copied(self) -> dict[str, Any]:
        return super()._copied() | {"frozen": self.frozen}

    def __setstate__(self, copied: dict[str, Any]) -> None:
        super().__setstate__(copied)
        _core.quantizer_set_frozen(self._handle, copied["frozen"])

    def forward(  # type: ignore[override]
        self,
        z: Tensor | npt.ArrayLike,
        mask: Tensor | npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
    ) -> tuple[Tensor, QuantizerInfo]:
        """z, channels on axis `dim` -> (z_q of z's shape, info); codes lack the channel axis.

        `mask`, z's shape without the channel axis, is False for vectors to leave out: their output
        is 0, their code -1, and they enter neither loss nor statistics. `lengths` [batch] says the
        same of sequences [batch, time, d] that are padded at the end.
        ValueError for a wrong channel count, NaN or infinity in a vector that is not left out, a
        mask that does not fit, and in training for an empty batch.
        """
        return self._forward(z, mask, lengths, 0)

    def encode(
        self,
        z: Tensor | npt.ArrayLike,
        mask: Tensor | npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
    ) -> Tensor:
        """z -> int32 codes, without the channel axis; changes no state."""
        return self._encode(z, mask, lengths, 0)

    def decode(self, codes: Tensor | npt.ArrayLike) -> Tensor:
        """int32 codes -> their vectors, channels on axis `dim`; a code of -1 gives 0.

        IndexError for other codes outside 0..k-1.
        """
        given = as_codes(f"{self._operation}.decode", "codes", codes)
        vectors = _core.quantizer_decode(self._handle, given._handle)
        return self._channels_back(Tensor._wrap(vectors))

    @property
    def frozen(self) -> bool:
        """Whether codebooks are fixed: see `freeze`."""
        return _core.quantizer_is_frozen(self._handle)

    def freeze(self, frozen: bool = True) -> Self:
        """Fix the codebooks: no gradient, statistics, initialization or replacement reaches them
        until `unfreeze`. Returns the layer. Freezing a model fixes its quantizers' other
        parameters too."""
        _core.quantizer_set_frozen(self._handle, frozen)
        return self

    def unfreeze(self) -> Self:
        """Let codebooks, and all parameters, learn again; returns the layer."""
        return super().unfreeze()

    def _freeze_own(self, frozen: bool) -> None:
        _core.quantizer_set_frozen(self._handle, frozen)
        # Those that stay an outer optimizer's; a codebook's own rule holds it.
        for _, tensor in self._own_parameters(False):
            tensor.requires_grad = not frozen

    def _forward(
        self,
        z: Tensor | npt.ArrayLike,
        mask: Tensor | npt.ArrayLike | None,
        lengths: npt.ArrayLike | None,
        stages: int,
    ) -> tuple[Tensor, QuantizerInfo]:
        rows = self._rows(z)
        kept = self._mask(rows, mask, lengths)
        try:
            parts = _core.quantizer_forward(self._handle, rows._handle, None, kept, stages)
        except ValueError as error:
            raise self._of_passed_shapes(error, rows) from None
        return self._info(parts)

    def _info(self, parts: _core.Quantized) -> tuple[Tensor, QuantizerInfo]:
        wrap = Tensor._wrap
        z, z_q = self._channels_back(wrap(parts.z)), self._channels_back(wrap(parts.z_q))
        info = QuantizerInfo(
            wrap(parts.q),
            wrap(parts.d),
            wrap(parts.loss),
            z,
            z_q,
            wrap(parts.stage_losses),
            wrap(parts.stage_perplexities),
            parts.commitment_loss,
            parts.codebook_loss,
            parts.regularization,
            parts.perplexity,
            parts.active_codes,
        )
        return z_q, info

    def _encode(
        self,
        z: Tensor | npt.ArrayLike,
        mask: Tensor | npt.ArrayLike | None,
        lengths: npt.ArrayLike | None,
        stages: int,
    ) -> Tensor:
        rows = self._rows(z)
        kept = self._mask(rows, mask, lengths)
        try:
            codes = _core.quantizer_encode(self._handle, rows._handle, None, kept, stages)
        except ValueError as error:
            raise self._of_passed_shapes(error, rows) from None
        return Tensor._wrap(codes)

    def _mask(
        self, rows: Tensor, mask: Tensor | npt.ArrayLike | None, lengths: npt.ArrayLike | None
    ) -> _core.TensorHandle | None:
        """The mask that `mask` or `lengths` gives, int32 without the channel axis."""
        if mask is not None and lengths is not None:
            raise ValueError(f"[{self._operation}] mask and lengths: only one of them may be given")
        if lengths is not None:
            return Tensor(_length_mask(self._operation, rows.shape[:-1], lengths))._handle
        if mask is None:
            return None
        values = (
            mask.numpy() if isinstance(mask, Tensor) else as_array(self._operation, "mask", mask)
        )
        if values.dtype.kind not in "biu":
            raise TypeError(
                f"[{self._operation}] mask has dtype {values.dtype}: bool or integers are required"
            )
        return Tensor((values != 0).astype(np.int32))._handle

    def _axis(self, rank: int) -> int:
        if not -rank <= self.dim < rank:
            raise ValueError(f"[{self._operation}] dim = {self.dim}: z has {rank} axes")
        return self.dim % rank

    def _rows(self, z: Tensor | npt.ArrayLike, name: str = "z") -> Tensor:
        """z with its channels on the last axis."""
        return self._channels_last(as_floats(self._operation, name, z))

    def _of_passed_shapes(self, error: ValueError, *rows: Tensor | None) -> ValueError:
        """The error of the core, which sees channels last, with shapes as passed."""
        shapes = [tensor.shape for tensor in rows if tensor is not None]
        return type(error)(self._as_passed(str(error), shapes))

    def _as_passed(self, text: str, shapes: list[tuple[int, ...]]) -> str:
        shape, rank = shapes[0], len(shapes[0])
        axis = self._axis(rank)

        def passed(sizes: Sequence[int]) -> list[int]:
            order = list(sizes[:-1])
            order.insert(axis, sizes[-1])
            return [int(size) for size in order]

        def position(found: re.Match[str]) -> str:
            place = [int(i) for i in np.unravel_index(int(found[1]), shape)]
            return f"flat index {np.ravel_multi_index(passed(place), passed(shape))}"

        if axis != rank - 1:
            own = {str([*each]): str(passed(each)) for each in shapes if len(each) == rank}
            text = re.sub(r"\[[\d, ]+\]", lambda found: own.get(found[0], found[0]), text)
            text = text.replace("the last axis", f"axis {axis} (dim = {self.dim})")
            text = re.sub(r"flat index (\d+)", position, text)
        wanted = re.search(r"axis.* must be feature_size = (\d+)", text)
        sizes = passed(shape)
        fitting = [a for a in range(1, rank) if wanted and sizes[a] == int(wanted[1])]
        return text + (f"; dim={fitting[0]} would take axis {fitting[0]}" if fitting else "")

    def _channels_last(self, z: Tensor) -> Tensor:
        rank = z.ndim
        axis = self._axis(rank)
        if axis == rank - 1:
            return z
        return z.permute([a for a in range(rank) if a != axis] + [axis])

    def _channels_back(self, z: Tensor) -> Tensor:
        if self.dim == -1:
            return z
        rank = z.ndim
        axis = self._axis(rank)
        if axis == rank - 1:
            return z
        order = list(range(rank - 1))
        order.insert(axis, rank - 1)
        return z.permute(order)


def _length_mask(operation: str, lead: tuple[int, ...], lengths: npt.ArrayLike) -> np.ndarray:
    """int32 [batch, time], 1 for the first `lengths[i]` positions of sequence i."""
    given = as_array(operation, "lengths", lengths)
    if len(lead) != 2 or given.shape != lead[:1]:
        raise ValueError(
            f"[{operation}] lengths {list(given.shape)}: z must be [batch, time, d] and lengths "
            f"[batch]; z is {[*lead, 'd']}"
        )
    if given.dtype.kind not in "iu":
        raise TypeError(f"[{operation}] lengths has dtype {given.dtype}: integers are required")
    if given.size and not 0 <= given.min() <= given.max() <= lead[1]:
        raise ValueError(f"[{operation}] lengths {given.tolist()}: they must be in 0..{lead[1]}")
    return (np.arange(lead[1]) < given[:, None]).astype(np.int32)


@checked
@contextlib.contextmanager
def no_quantization(module: Module) -> Iterator[None]:
    """Let vectors pass through every quantizer of `module` without being replaced by codes.

    Norms and projections stay: the output is norm(z), with projections `W_out norm(W_in z)`, stage
    after stage in a residual quantizer, and z itself where there are neither. `info.q` still has
    the codes that vectors would have, the quantizers' losses are 0, and no codebook, running
    moment or other state changes. RuntimeError from a `GumbelQuant` whose codes are of another
    size than z.
    """
    switched = [
        m
        for m in module.modules()
        if isinstance(m, Quantizer) and _core.quantizer_is_quantizing(m._handle)
    ]
    try:
        for quantizer in switched:
            _core.quantizer_set_quantizing(quantizer._handle, False)
        yield
    finally:
        for quantizer in switched:
            _core.quantizer_set_quantizing(quantizer._handle, True)
