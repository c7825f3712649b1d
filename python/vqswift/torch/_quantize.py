"""The operator `torch.ops.vqswift.quantize` and its gradient, a forward without its search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .. import _core
from ._library import LIBRARY, declare, placed, refuse_derivative
from ._memory import apart, array, borrowed, borrowed_if, borrowed_mask, given, own
from ._plan import Plan, plan

# Positions in what `quantize` gives; the state that it wrote and kept follows.
Z_Q, CODES, DISTANCES, LOSS, STAGE_LOSSES, STAGE_PERPLEXITIES, SUMMARY, COMPARED = range(8)
_RESULTS = 8
_DIFFERENTIABLE = (Z_Q, LOSS, STAGE_LOSSES, COMPARED)


def _padded(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """With zeros for the stages that dropout left out."""
    missing = count - tensor.numel()
    return torch.nn.functional.pad(tensor, (0, missing)) if missing else tensor


def _quantize(*arguments: Any) -> list[torch.Tensor]:
    return _quantized(*arguments)[0]


def _quantized(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    layer: str,
    stages: int,
    training: bool,
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What the operator gives, and the codes as int32, which the gradient takes."""
    rule = plan(layer)
    engine = rule.engines.take()
    handle = engine.load(engine.read, state, training)
    parts, traced = _core.quantizer_trace(
        handle, borrowed(z), borrowed_if(logvar), borrowed_mask(mask), stages
    )
    count, loss, codes = rule.loss_count(stages), given(parts.loss), given(parts.q)
    summary = (
        parts.commitment_loss,
        parts.codebook_loss,
        parts.regularization,
        parts.perplexity,
        parts.active_codes,
    )
    results = [
        given(parts.z_q) if rule.quantizing else own(parts.z_q, z),
        codes.long(),
        given(parts.d),
        loss,
        # Of one stage the core's is the loss itself.
        given(parts.stage_losses).clone()
        if count == 1
        else _padded(given(parts.stage_losses), count),
        _padded(given(parts.stage_perplexities), count),
        torch.from_numpy(np.array(summary)),
        given(parts.z) if rule.compared else z.new_empty(0),
    ]
    if not rule.quantizing:
        results = apart(results)
    if training and rule.written:
        for index in rule.written:
            new = torch.empty_like(state[index], memory_format=torch.contiguous_format)
            _core.tensor_copy_out(engine.read[index], array(new))
            results.append(new)
        found = dict(traced)
        for index in rule.kept:
            noted = found.get(rule.names[index])
            results.append(state[index].clone() if noted is None else given(noted))
    rule.engines.give(engine)
    return results, codes


def _quantize_fake(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    layer: str,
    stages: int,
    training: bool,
) -> list[torch.Tensor]:
    rule = plan(layer)
    lead = list(z.shape[:-1])
    per_code = lead + rule.code_axes(stages)
    count = rule.loss_count(stages)
    results = [
        z.new_empty([*lead, rule.output]),
        z.new_empty(per_code, dtype=torch.int64),
        z.new_empty(per_code),
        z.new_empty([]),
        z.new_empty([count]),
        z.new_empty([count]),
        z.new_empty([5], dtype=torch.float64),
        z.new_empty([*lead, rule.compared] if rule.compared else [0]),
    ]
    if not training:
        return results
    copies = [*rule.written, *rule.kept]
    return results + [state[index].new_empty(state[index].shape) for index in copies]


class _Quantize(torch.autograd.Function):
    """`quantize` with its gradient, without the lists that `torch.library` would walk in Python."""

    @staticmethod
    def forward(
        ctx: Any,
        layer: str,
        stages: int,
        training: bool,
        direct: bool,
        mask: torch.Tensor | None,
        z: torch.Tensor,
        logvar: torch.Tensor | None,
        *state: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        if direct:
            results, codes = _quantized(z, logvar, state, mask, layer, stages, training)
        else:
            results = _below(z, logvar, state, mask, layer, stages, training)
            codes = results[CODES]
        rule = plan(layer)
        read = list(state)
        if training:
            # The caller writes the new values into its tensors; gradients read those kept.
            for index, value in zip(rule.written + rule.kept, results[_RESULTS:], strict=True):
                read[index] = value
        ctx.call = layer, stages, training, direct
        ctx.save_for_backward(z, logvar, mask, codes, *read)
        ctx.set_materialize_grads(False)
        differentiable = _DIFFERENTIABLE if rule.compared else _DIFFERENTIABLE[:-1]
        ctx.mark_non_differentiable(
            *(value for i, value in enumerate(results) if i not in differentiable)
        )
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[Any, ...]:
        z, logvar, mask, codes, *state = ctx.saved_tensors
        layer, stages, training, direct = ctx.call
        is_last = direct and not torch.is_grad_enabled()
        call = _quantize_backward if is_last else torch.ops.vqswift.quantize_backward
        found = call(
            z,
            logvar,
            state,
            mask,
            codes,
            gradients[Z_Q],
            gradients[LOSS],
            gradients[COMPARED],
            gradients[STAGE_LOSSES],
            layer,
            stages,
            training,
        )
        of_state = placed(found[1 if logvar is None else 2 :], plan(layer).reached, len(state))
        of_logvar = None if logvar is None else found[1]
        return None, None, None, None, None, found[0], of_logvar, *of_state


def _is_plain(z: torch.Tensor) -> bool:
    """Whether nothing but autograd looks on: the kernels are then called without the dispatcher,
    which takes as long as a small search."""
    return (
        type(z) in (torch.Tensor, torch.nn.Parameter)
        and z.device.type == "cpu"
        and not torch._C._len_torch_dispatch_stack()
        and torch._C._functorch.peek_interpreter_stack() is None
    )


def _below(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    layer: str,
    stages: int,
    training: bool,
) -> list[torch.Tensor]:
    with torch._C._AutoDispatchBelowAutograd():
        found: list[torch.Tensor] = torch.ops.vqswift.quantize(
            z, logvar, state, mask, layer, stages, training
        )
    return found


def _quantize_autograd(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    layer: str,
    stages: int,
    training: bool,
    direct: bool | None = None,
) -> list[torch.Tensor]:
    if direct is None:
        direct = _is_plain(z)
    needs = torch.is_grad_enabled() and (
        z.requires_grad
        or (logvar is not None and logvar.requires_grad)
        or any(value.requires_grad for value in state)
    )
    if not needs:
        call = _quantize if direct else _below
        return call(z, logvar, state, mask, layer, stages, training)
    return list(_Quantize.apply(layer, stages, training, direct, mask, z, logvar, *state))


def _quantize_backward(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    codes: torch.Tensor,
    output: torch.Tensor | None,
    loss: torch.Tensor | None,
    compared: torch.Tensor | None,
    stage_losses: torch.Tensor | None,
    layer: str,
    stages: int,
    training: bool,
) -> list[torch.Tensor]:
    rule = plan(layer)
    if stage_losses is not None and rule.stages:
        stage_losses = stage_losses[: _used(rule, stages, codes)]
    engine = rule.engines.take()
    pairs = _core.quantizer_pullback(
        engine.load(engine.read, state, training),
        borrowed(z),
        borrowed_if(logvar),
        borrowed_mask(mask),
        borrowed(codes if codes.dtype == torch.int32 else codes.int()),
        stages,
        borrowed_if(output),
        borrowed_if(loss),
        borrowed_if(compared),
        borrowed_if(stage_losses),
    )
    rule.engines.give(engine)
    # Straight through, the gradient in z is that of the output.
    (_, of_z), *others = pairs
    return [own(of_z, output, compared), *(given(handle) for _, handle in others)]


def _used(rule: Plan, stages: int, codes: torch.Tensor) -> int:
    """The entries of `stage_losses` that a forward filled."""
    if not rule.stages or not codes.numel():
        return rule.loss_count(stages)
    return int((codes.reshape(-1, codes.shape[-1]) >= 0).any(0).sum())


def _quantize_backward_fake(
    z: torch.Tensor, logvar: torch.Tensor | None, state: Sequence[torch.Tensor], *rest: Any
) -> list[torch.Tensor]:
    rule = plan(rest[6])
    inputs = [z] if logvar is None else [z, logvar]
    inputs += [state[index] for index in rule.reached]
    return [value.new_empty(value.shape) for value in inputs]


declare(
    "quantize(Tensor z, Tensor? logvar, Tensor[] state, Tensor? mask, str layer, int stages, "
    "bool training) -> Tensor[]",
    _quantize,
    _quantize_fake,
)
declare(
    "quantize_backward(Tensor z, Tensor? logvar, Tensor[] state, Tensor? mask, Tensor codes, "
    "Tensor? output, Tensor? loss, Tensor? compared, Tensor? stage_losses, str layer, int stages, "
    "bool training) -> Tensor[]",
    _quantize_backward,
    _quantize_backward_fake,
)
LIBRARY.impl("quantize", _quantize_autograd, "Autograd")
refuse_derivative("quantize_backward")
torch.library.register_autocast("vqswift::quantize", "cpu", torch.float32, lib=LIBRARY)


def quantize(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    layer: str,
    stages: int,
    training: bool,
) -> list[torch.Tensor]:
    """`torch.ops.vqswift.quantize`, of plain tensors without the dispatcher."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or not _is_plain(z):
        found: list[torch.Tensor] = torch.ops.vqswift.quantize(
            z, logvar, state, mask, layer, stages, training
        )
        return found
    return _quantize_autograd(z, logvar, state, mask, layer, stages, training, True)
