"""The base of all quantizers: state, channels on any axis, masks, freezing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import nn

from .. import quantizers as native
from . import _device as device
from . import _distributed as distributed
from . import _operators as operators
from ._info import QuantizerInfo
from ._plan import Plan, description, plan

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def single(tensor: torch.Tensor) -> torch.Tensor:
    """Floats as float32."""
    if tensor.dtype == torch.float32 or not tensor.is_floating_point():
        return tensor
    return tensor.float()


class Quantizer(nn.Module):
    """The base of all quantizers: channels on axis `dim`, masks, encode and decode.

    Parameters and buffers have the names, shapes and initial values of `vqswift`'s layer: a
    `state_dict` fits both.
    """

    dim: int

    def __init__(self, layer: native.Quantizer, **own: Any) -> None:
        """Take kind, options and state of a layer of `vqswift`; `own` are options of the
        description beside."""
        super().__init__()
        made = layer._made
        assert made is not None
        unused = ("seed", "stream")
        self._kind = made.kind
        self._options = {n: v for n, v in made.options.items() if n not in unused} | own
        self.dim = layer.dim
        self._frozen = False
        self._quantizing = True
        self._describe_again()
        state = layer.state_dict()
        rule = self._plan
        beside = [name for name in state if name not in rule.state]
        for index, name in enumerate(rule.state + beside):
            path, _, last = name.rpartition(".")
            owner = self._part(path)
            # `torch.device` as a context, and `torch.set_default_device`, say where.
            value = torch.from_numpy(state[name]).to(torch.get_default_device())
            if index < rule.parameters:
                owner.register_parameter(last, nn.Parameter(value, index in rule.trained))
            else:
                owner.register_buffer(last, value)

    def _part(self, path: str) -> nn.Module:
        """The module at a dotted path, made where it is not there."""
        owner: nn.Module = self
        for name in path.split(".") if path else []:
            if name not in owner._modules:
                owner.add_module(name, nn.Module())
            owner = owner._modules[name] or owner
        return owner

    # MARK: State

    @property
    def options(self) -> dict[str, Any]:
        """What the layer was made of, by name: every option of its kind, None for none."""
        return dict(self._plan.options)

    def extra_repr(self) -> str:
        """The options that were given."""
        given = [f"{name}={value!r}" for name, value in self._options.items()]
        return ", ".join(given + ([f"dim={self.dim}"] if self.dim != -1 else []))

    def _describe_again(self) -> None:
        """Make descriptions and plans, by whether codebooks are frozen and vectors replaced."""
        self._texts = {
            (frozen, quantizing): description(self._kind, self._options, frozen, quantizing)
            for frozen in (False, True)
            for quantizing in (False, True)
        }
        for text in self._texts.values():
            plan(text)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._describe_again()

    def _describe(self, freeze: bool | None = None) -> str:
        frozen = self._frozen if freeze is None else freeze
        return self._texts[frozen, self._quantizing]

    @property
    def _plan(self) -> Plan:
        return plan(self._describe())

    def _tensor(self, name: str) -> torch.Tensor:
        path, _, last = name.rpartition(".")
        owner = self._part(path) if path else self
        found: torch.Tensor = getattr(owner, last)
        return found

    def _state(self) -> list[torch.Tensor]:
        """The parameters and buffers that calls read, floats as float32."""
        return [single(self._tensor(name)) for name in self._plan.names]

    @torch.no_grad()
    def _write(self, names: Sequence[str], values: Sequence[torch.Tensor]) -> None:
        for name, value in zip(names, values, strict=True):
            self._tensor(name).copy_(value)

    @property
    def frozen(self) -> bool:
        """Whether codebooks are fixed: see `freeze`."""
        return self._frozen

    def freeze(self, frozen: bool = True) -> Self:
        """Fix the codebooks: no gradient, statistics, initialization or replacement reaches them
        until `unfreeze`. Returns the layer."""
        self._frozen = frozen
        rule = self._plan
        for index, name in enumerate(rule.state[: rule.parameters]):
            self._tensor(name).requires_grad_(index in rule.trained)
        return self

    def unfreeze(self) -> Self:
        """Let codebooks learn again; returns the layer."""
        return self.freeze(False)

    # MARK: Calls

    def forward(
        self,
        z: torch.Tensor,
        mask: torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
        freeze: bool | None = None,
    ) -> tuple[torch.Tensor, QuantizerInfo]:
        """z, channels on axis `dim` -> (z_q of z's shape and dtype, info).

        `mask`, z's shape without the channel axis, is False for vectors to leave out: their output
        is 0, their code -1, and they enter neither loss nor statistics. `lengths` [batch] says the
        same of sequences [batch, time, d] that are padded at the end. `freeze` fixes codebooks, or
        does not, in this call alone. ValueError for a wrong channel count, NaN or infinity in a
        vector that is not left out, a mask that does not fit, and in training for an empty batch.
        """
        return self._forward(z, mask, lengths, freeze)

    def encode(
        self,
        z: torch.Tensor,
        mask: torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """z -> int64 codes, without the channel axis; changes no state."""
        return self._encode(z, mask, lengths)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Integer codes -> their vectors, channels on axis `dim`, of the codebook's dtype; a code
        of -1 gives 0. IndexError for other codes outside 0..k-1."""
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise TypeError(f"[{self._kind}.decode] codes are {codes.dtype}: integers are required")
        axes = self._plan.axes
        width = codes.shape[-1] if codes.ndim else 0
        # The first stages may be decoded alone.
        fits = 1 <= width <= axes[0] if self._plan.stages else [width] == axes
        if axes and not fits:
            raise ValueError(
                f"[{self._kind}.decode] shape {[*codes.shape]}: the last axis must be {axes[0]} "
                "codes"
            )
        state = self._state()
        self._require_together(state, codes=codes)
        if device.is_meant(codes):
            with device.uncast(codes):
                values = device.decode(self, codes)
        else:
            values = operators.decode(codes, state, self._describe())
        return self._channels_back(values).to(self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        floats = (p.dtype for p in self.parameters() if p.is_floating_point())
        return next(floats, torch.get_default_dtype())

    def _forward(
        self,
        z: torch.Tensor,
        mask: torch.Tensor | None,
        lengths: torch.Tensor | None,
        freeze: bool | None,
        stages: int = 0,
        logvar: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, QuantizerInfo]:
        rows = self._rows(z)
        kept = self._mask(rows, mask, lengths)
        layer, state = self._call(freeze)
        rule = plan(layer)
        spread = None if logvar is None else self._rows(logvar, "logvar")
        self._require_together(state, z=rows, logvar=spread)
        if device.is_meant(rows):
            with device.uncast(rows):
                fixed = self._frozen if freeze is None else freeze
                out = device.quantize(self, rows, spread, kept, fixed, stages)
            if self.training:
                self._synchronize(plan(self._describe(freeze)))
        else:
            out = operators.quantize(rows, spread, state, kept, layer, stages, self.training)
            if self.training and rule.written:
                first = operators.COMPARED + 1
                self._take_written(rule, out[first : first + len(rule.written)])
        z_q = self._as_given(out[operators.Z_Q], z)
        if rule.compared:
            compared = self._as_given(out[operators.COMPARED], z)
        elif kept is None:
            compared = z
        else:
            compared = self._as_given(torch.where(kept[..., None], rows, 0), z)
        info = QuantizerInfo(
            q=out[operators.CODES],
            d=out[operators.DISTANCES],
            loss=out[operators.LOSS],
            z=compared,
            z_q=z_q,
            stage_losses=out[operators.STAGE_LOSSES],
            stage_perplexities=out[operators.STAGE_PERPLEXITIES],
            summary=out[operators.SUMMARY],
        )
        return z_q, info

    def _call(self, freeze: bool | None) -> tuple[str, list[torch.Tensor]]:
        """The description and the state that a forward is made with."""
        return self._describe(freeze), self._state()

    def _take_written(self, rule: Plan, values: Sequence[torch.Tensor]) -> None:
        """Take the state that a training forward gave."""
        names = [rule.names[index] for index in rule.written]
        self._write(names, values)
        self._synchronize(rule)

    def _synchronize(self, rule: Plan) -> None:
        """Keep what a training forward wrote equal in all processes."""
        if distributed.is_active():
            names = [rule.names[index] for index in rule.written]
            distributed.synchronize({name: self._tensor(name) for name in names})

    @torch.no_grad()
    def _encode(
        self,
        z: torch.Tensor,
        mask: torch.Tensor | None,
        lengths: torch.Tensor | None,
        stages: int = 0,
        logvar: torch.Tensor | None = None,
    ) -> torch.Tensor:
        rows = self._rows(z)
        kept = self._mask(rows, mask, lengths)
        spread = None if logvar is None else self._rows(logvar, "logvar")
        state = self._state()
        self._require_together(state, z=rows, logvar=spread)
        if device.is_meant(rows):
            with device.uncast(rows):
                return device.encode(self, rows, spread, kept, stages)
        found: torch.Tensor = operators.encode(rows, spread, state, kept, self._describe(), stages)
        return found

    # MARK: Shapes

    def _axis(self, rank: int) -> int:
        if not -rank <= self.dim < rank:
            raise ValueError(f"[{self._kind}] dim = {self.dim}: z has {rank} axes")
        return self.dim % rank

    def _rows(self, z: torch.Tensor, name: str = "z") -> torch.Tensor:
        """z with its channels on the last axis, float32."""
        if z.dtype not in _FLOATS:
            raise TypeError(f"[{self._kind}] {name} is {z.dtype}: a floating dtype is required")
        axis, size = self._axis(z.ndim), self._plan.features
        if z.shape[axis] != size:
            fitting = [a for a in range(1, z.ndim) if z.shape[a] == size]
            raise ValueError(
                f"[{self._kind}] shape {[*z.shape]}: axis {axis} (dim = {self.dim}) must be "
                f"feature_size = {size}"
                + (f"; dim={fitting[0]} would take axis {fitting[0]}" if fitting else "")
            )
        if axis != z.ndim - 1:
            z = z.movedim(axis, -1)
        return single(z)

    def _require_together(
        self, state: Sequence[torch.Tensor], **given: torch.Tensor | None
    ) -> None:
        """Refuse tensors by name that do not lie where the first of them and the layer do."""
        (first, tensor), *others = given.items()
        assert tensor is not None
        place = tensor.device
        for own in state:
            if own.device != place:
                raise ValueError(
                    f"[{self._kind}] the layer is on {own.device}, {first} on {place}: move one"
                )
        for name, other in others:
            if other is not None and other.device != place:
                raise ValueError(
                    f"[{self._kind}] {name} is on {other.device}, {first} on {place}: move one"
                )

    def _channels_back(self, rows: torch.Tensor) -> torch.Tensor:
        axis = self._axis(rows.ndim)
        return rows if axis == rows.ndim - 1 else rows.movedim(-1, axis)

    def _as_given(self, rows: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Rows with channels where z has them, of its dtype."""
        rows = self._channels_back(rows)
        return rows if rows.dtype == z.dtype else rows.to(z.dtype)

    def _mask(
        self, rows: torch.Tensor, mask: torch.Tensor | None, lengths: torch.Tensor | None
    ) -> torch.Tensor | None:
        if mask is not None and lengths is not None:
            raise ValueError(f"[{self._kind}] mask and lengths: only one of them may be given")
        self._require_together([], z=rows, mask=mask, lengths=lengths)
        if lengths is not None:
            return self._length_mask(rows, lengths)
        if mask is None:
            return None
        if mask.is_floating_point() or mask.is_complex():
            raise TypeError(f"[{self._kind}] mask is {mask.dtype}: bool or integers are required")
        if mask.shape != rows.shape[:-1]:
            raise ValueError(
                f"[{self._kind}] shapes {[*mask.shape]} and {[*rows.shape[:-1]]}: the mask must "
                "have z's shape without the channel axis"
            )
        return mask != 0

    def _length_mask(self, rows: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if rows.ndim != 3 or lengths.shape != rows.shape[:1]:
            raise ValueError(
                f"[{self._kind}] lengths {[*lengths.shape]}: z must be [batch, time, d] and "
                f"lengths [batch]; z is {[*rows.shape]}"
            )
        if lengths.is_floating_point():
            raise TypeError(f"[{self._kind}] lengths are {lengths.dtype}: integers are required")
        return torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]


@contextlib.contextmanager
def no_quantization(module: nn.Module) -> Iterator[None]:
    """Let vectors pass through every quantizer of `module` without being replaced by codes.

    Norms and projections stay: the output is norm(z), with projections `W_out norm(W_in z)`, stage
    after stage in a residual quantizer, and z itself where there are neither. `info.q` still has
    the codes that vectors would have, the quantizers' losses are 0, and no codebook, running
    moment or other state changes.
    """
    switched = [m for m in module.modules() if isinstance(m, Quantizer) and m._quantizing]
    try:
        for quantizer in switched:
            quantizer._quantizing = False
        yield
    finally:
        for quantizer in switched:
            quantizer._quantizing = True
