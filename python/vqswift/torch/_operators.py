"""The operators `torch.ops.vqswift`: functions of vectors, state and a description alone.

None changes its arguments or gives one of them back. Gradients come from the saved inputs and
codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import _core
from .. import quantizers as native
from ._engines import follow_threads, recording
from ._library import LIBRARY, declare, differentiate, placed, refuse_derivative
from ._memory import apart, array, borrowed, borrowed_if, borrowed_mask, given, long_given, own
from ._plan import plan
from ._quantize import (
    CODES,
    COMPARED,
    DISTANCES,
    LOSS,
    STAGE_LOSSES,
    STAGE_PERPLEXITIES,
    SUMMARY,
    Z_Q,
    quantize,
)

__all__ = [
    "CODES",
    "COMPARED",
    "DISTANCES",
    "LOSS",
    "STAGE_LOSSES",
    "STAGE_PERPLEXITIES",
    "SUMMARY",
    "Z_Q",
    "decode",
    "effective_codebook",
    "encode",
    "nearest_codes",
    "quantize",
]


def _codes(codes: torch.Tensor, operation: str) -> _core.TensorHandle:
    if codes.numel():
        low, high = (int(value) for value in codes.aminmax())
        if low < -1 or high >= 1 << 31:
            raise IndexError(f"[{operation}] index {low if low < -1 else high}: no such code")
    return borrowed(codes.to(torch.int32))


def _encode(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    layer: str,
    stages: int,
) -> torch.Tensor:
    with plan(layer).engine(state) as (_, handle):
        return long_given(
            _core.quantizer_encode(
                handle, borrowed(z), borrowed_if(logvar), borrowed_mask(mask), stages
            )
        )


def _encode_fake(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    layer: str,
    stages: int,
) -> torch.Tensor:
    return z.new_empty([*z.shape[:-1], *plan(layer).code_axes(stages)], dtype=torch.int64)


def _decode(codes: torch.Tensor, state: Sequence[torch.Tensor], layer: str) -> torch.Tensor:
    rule = plan(layer)
    with rule.engine(state) as (engine, handle), recording(False):
        result = own(_core.quantizer_decode(handle, _codes(codes, f"{rule.kind}.decode")))
        return result


def _decode_fake(codes: torch.Tensor, state: Sequence[torch.Tensor], layer: str) -> torch.Tensor:
    rule = plan(layer)
    lead = codes.shape[: codes.ndim - len(rule.axes)]
    return codes.new_empty([*lead, rule.output], dtype=torch.float32)


def _decode_backward(
    gradient: torch.Tensor, codes: torch.Tensor, state: Sequence[torch.Tensor], layer: str
) -> list[torch.Tensor]:
    with plan(layer).engine(state) as (engine, handle), recording(True):
        value = _core.quantizer_decode(handle, borrowed(codes.to(torch.int32)))
        return _gradients(engine, value, gradient)


def _effective_codebook(state: Sequence[torch.Tensor], layer: str, index: int) -> torch.Tensor:
    with plan(layer).engine(state) as (engine, handle), recording(False):
        # Where there is no map it is the engine's own codebook.
        return given(_core.quantizer_effective_codebook(handle, index)).clone()


def _effective_codebook_fake(state: Sequence[torch.Tensor], layer: str, index: int) -> torch.Tensor:
    names = plan(layer).names
    place = [i for i, name in enumerate(names) if name.rpartition(".")[2] == "codebook"][index]
    return state[place].new_empty(state[place].shape)


def _effective_codebook_backward(
    gradient: torch.Tensor, state: Sequence[torch.Tensor], layer: str, index: int
) -> list[torch.Tensor]:
    with plan(layer).engine(state) as (engine, handle), recording(True):
        value = _core.quantizer_effective_codebook(handle, index)
        return _gradients(engine, value, gradient)


def _gradients(
    engine: Any, value: _core.TensorHandle, gradient: torch.Tensor
) -> list[torch.Tensor]:
    if not _core.tensor_requires_grad(value):
        return [gradient.new_zeros(_core.tensor_shape(handle)) for _, handle in engine.trained]
    leaves = [handle for _, handle in engine.trained]
    found = _core.tensor_gradients(value, borrowed(gradient), leaves, False)
    return apart([own(handle, gradient) for _, handle in found])


def _state_gradients_fake(layer: str, state: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [state[index].new_empty(state[index].shape) for index in plan(layer).trained]


def _decode_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    codes, state, ctx.layer = inputs
    ctx.save_for_backward(codes, *state)


def _decode_gradient(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    codes, *state = ctx.saved_tensors
    found = torch.ops.vqswift.decode_backward(gradient, codes, state, ctx.layer)
    return None, placed(found, plan(ctx.layer).trained, len(state)), None


def _effective_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    state, ctx.layer, ctx.index = inputs
    ctx.save_for_backward(*state)


def _effective_gradient(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    state = list(ctx.saved_tensors)
    found = torch.ops.vqswift.effective_codebook_backward(gradient, state, ctx.layer, ctx.index)
    return placed(found, plan(ctx.layer).trained, len(state)), None, None


def _nearest_codes(
    x: torch.Tensor, codebook: torch.Tensor, topk: int
) -> tuple[torch.Tensor, torch.Tensor]:
    follow_threads()
    codes, distances = native.nearest_codes(array(x), array(codebook), True, topk or None)
    return torch.from_numpy(codes).long(), torch.from_numpy(distances)


_WIDE = (torch.float64, torch.int32, torch.int64)


def _nearest_codes_fake(
    x: torch.Tensor, codebook: torch.Tensor, topk: int
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = [x.shape[0], topk] if topk else [x.shape[0]]
    is_wide = x.dtype in _WIDE or codebook.dtype in _WIDE
    distances = x.new_empty(shape, dtype=torch.float64 if is_wide else torch.float32)
    return x.new_empty(shape, dtype=torch.int64), distances


def _fake_decode_backward(
    gradient: torch.Tensor, codes: torch.Tensor, state: Sequence[torch.Tensor], layer: str
) -> list[torch.Tensor]:
    return _state_gradients_fake(layer, state)


def _fake_effective_codebook_backward(
    gradient: torch.Tensor, state: Sequence[torch.Tensor], layer: str, index: int
) -> list[torch.Tensor]:
    return _state_gradients_fake(layer, state)


declare(
    "encode(Tensor z, Tensor? logvar, Tensor[] state, Tensor? mask, str layer, int stages) "
    "-> Tensor",
    _encode,
    _encode_fake,
)
torch.library.register_autocast("vqswift::encode", "cpu", torch.float32, lib=LIBRARY)
declare("decode(Tensor codes, Tensor[] state, str layer) -> Tensor", _decode, _decode_fake)
declare(
    "decode_backward(Tensor gradient, Tensor codes, Tensor[] state, str layer) -> Tensor[]",
    _decode_backward,
    _fake_decode_backward,
)
declare(
    "effective_codebook(Tensor[] state, str layer, int index) -> Tensor",
    _effective_codebook,
    _effective_codebook_fake,
)
declare(
    "effective_codebook_backward(Tensor gradient, Tensor[] state, str layer, int index) "
    "-> Tensor[]",
    _effective_codebook_backward,
    _fake_effective_codebook_backward,
)
declare(
    "nearest_codes(Tensor x, Tensor codebook, int topk) -> (Tensor, Tensor)",
    _nearest_codes,
    _nearest_codes_fake,
)
differentiate("decode", _decode_gradient, _decode_context)
differentiate("effective_codebook", _effective_gradient, _effective_context)
refuse_derivative("decode_backward")
refuse_derivative("effective_codebook_backward")

encode = torch.ops.vqswift.encode
decode = torch.ops.vqswift.decode
effective_codebook = torch.ops.vqswift.effective_codebook
nearest_codes = torch.ops.vqswift.nearest_codes
