"""The operators `torch.ops.vqswift`: functions of vectors, state and a description alone.

None changes its arguments or gives one of them back. Gradients come from the saved inputs and
codes: a forward is made again without its search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import torch

from .. import _core
from .. import quantizers as native
from ._memory import array, borrowed, borrowed_if, given, own
from ._plan import Plan, follow_threads, plan

_LIBRARY: Any = torch.library.Library("vqswift", "DEF")  # type: ignore[no-untyped-call]

_SCHEMAS = (
    "quantize(Tensor z, Tensor? logvar, Tensor[] state, Tensor? mask, str layer, int stages, "
    "bool training) -> Tensor[]",
    "quantize_backward(Tensor z, Tensor? logvar, Tensor[] state, Tensor? mask, Tensor codes, "
    "Tensor? output, Tensor? loss, Tensor? compared, Tensor? stage_losses, str layer, int stages, "
    "bool training) -> Tensor[]",
    "encode(Tensor z, Tensor? logvar, Tensor[] state, Tensor? mask, str layer, int stages) "
    "-> Tensor",
    "decode(Tensor codes, Tensor[] state, str layer) -> Tensor",
    "decode_backward(Tensor gradient, Tensor codes, Tensor[] state, str layer) -> Tensor[]",
    "effective_codebook(Tensor[] state, str layer, int index) -> Tensor",
    "effective_codebook_backward(Tensor gradient, Tensor[] state, str layer, int index) "
    "-> Tensor[]",
    "nearest_codes(Tensor x, Tensor codebook, int topk) -> (Tensor, Tensor)",
)
for _schema in _SCHEMAS:
    _LIBRARY.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))

# Positions in what `quantize` gives; the state that it wrote and kept follows.
Z_Q, CODES, DISTANCES, LOSS, STAGE_LOSSES, STAGE_PERPLEXITIES, SUMMARY, COMPARED = range(8)
_RESULTS = 8
_DIFFERENTIABLE = (Z_Q, LOSS, STAGE_LOSSES, COMPARED)


def _mask(mask: torch.Tensor | None) -> _core.TensorHandle | None:
    return None if mask is None else borrowed((mask != 0).to(torch.int32))


def _codes(codes: torch.Tensor, operation: str) -> _core.TensorHandle:
    if codes.numel():
        low, high = (int(value) for value in codes.aminmax())
        if low < -1 or high >= 1 << 31:
            raise IndexError(f"[{operation}] index {low if low < -1 else high}: no such code")
    return borrowed(codes.to(torch.int32))


def _long(handle: _core.TensorHandle) -> torch.Tensor:
    return given(handle).long()


def _padded(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """With zeros for the stages that dropout left out."""
    missing = count - tensor.numel()
    return torch.nn.functional.pad(tensor, (0, missing)) if missing else tensor


# MARK: quantize


def _quantize(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    layer: str,
    stages: int,
    training: bool,
) -> list[torch.Tensor]:
    rule = plan(layer)
    engine = rule.take()
    handle = engine.load(engine.read, state, training)
    parts, traced = _core.quantizer_trace(
        handle, borrowed(z), borrowed_if(logvar), _mask(mask), stages
    )
    count, loss = rule.loss_count(stages), given(parts.loss)
    summary = (
        parts.commitment_loss,
        parts.codebook_loss,
        parts.regularization,
        parts.perplexity,
        parts.active_codes,
    )
    results = [
        given(parts.z_q) if rule.quantizing else own(parts.z_q, z),
        _long(parts.q),
        given(parts.d),
        loss,
        # Of one stage the core's is the loss itself.
        given(parts.stage_losses).clone()
        if count == 1
        else _padded(given(parts.stage_losses), count),
        _padded(given(parts.stage_perplexities), count),
        torch.tensor(summary, dtype=torch.float64),
        given(parts.z) if rule.compared else z.new_empty(0),
    ]
    if not rule.quantizing:
        results = _apart(results)
    if training and rule.written:
        for index in rule.written:
            new = torch.empty_like(state[index], memory_format=torch.contiguous_format)
            _core.tensor_copy_out(engine.read[index], array(new))
            results.append(new)
        found = dict(traced)
        for index in rule.kept:
            noted = found.get(rule.names[index])
            results.append(state[index].clone() if noted is None else given(noted))
    rule.give(engine)
    return results


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
        mask: torch.Tensor | None,
        z: torch.Tensor,
        logvar: torch.Tensor | None,
        *state: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        direct = _is_plain(z)
        call = _quantize if direct else _below
        results = call(z, logvar, state, mask, layer, stages, training)
        rule = plan(layer)
        read = list(state)
        if training:
            # The caller writes the new values into its tensors; gradients read those kept.
            for index, value in zip(rule.written + rule.kept, results[_RESULTS:], strict=True):
                read[index] = value
        ctx.call = layer, stages, training, direct
        ctx.save_for_backward(z, logvar, mask, results[CODES], *read)
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
        of_state: list[torch.Tensor | None] = [None] * len(state)
        first = 1 if logvar is None else 2
        for index, gradient in zip(plan(layer).trained, found[first:], strict=True):
            of_state[index] = gradient
        of_logvar = None if logvar is None else found[1]
        return None, None, None, None, found[0], of_logvar, *of_state


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
) -> list[torch.Tensor]:
    needs = torch.is_grad_enabled() and (
        z.requires_grad
        or (logvar is not None and logvar.requires_grad)
        or any(value.requires_grad for value in state)
    )
    if not needs:
        if _is_plain(z):
            return _quantize(z, logvar, state, mask, layer, stages, training)
        return _below(z, logvar, state, mask, layer, stages, training)
    return list(_Quantize.apply(layer, stages, training, mask, z, logvar, *state))


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
    engine = rule.take()
    pairs = _core.quantizer_pullback(
        engine.load(engine.read, state, training),
        borrowed(z),
        borrowed_if(logvar),
        _mask(mask),
        borrowed(codes.to(torch.int32)),
        stages,
        borrowed_if(output),
        borrowed_if(loss),
        borrowed_if(compared),
        borrowed_if(stage_losses),
    )
    rule.give(engine)
    # Straight through, the gradient in z is that of the output.
    (_, of_z), *others = pairs
    return [own(of_z, output, compared), *(given(handle) for _, handle in others)]


def _apart(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Tensors that share no elements."""
    seen: set[int] = set()
    for index, tensor in enumerate(tensors):
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            tensors[index] = tensor.clone()
        seen.add(place)
    return tensors


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
    inputs += [state[index] for index in rule.trained]
    return [value.new_empty(value.shape) for value in inputs]


# MARK: encode, decode, the effective codebook


def _encode(
    z: torch.Tensor,
    logvar: torch.Tensor | None,
    state: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    layer: str,
    stages: int,
) -> torch.Tensor:
    with plan(layer).engine(state) as (_, handle):
        return _long(
            _core.quantizer_encode(handle, borrowed(z), borrowed_if(logvar), _mask(mask), stages)
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
    with rule.engine(state) as (engine, handle), _recording(False):
        result = own(_core.quantizer_decode(handle, _codes(codes, f"{rule.kind}.decode")))
        return result


def _decode_fake(codes: torch.Tensor, state: Sequence[torch.Tensor], layer: str) -> torch.Tensor:
    rule = plan(layer)
    lead = codes.shape[: codes.ndim - len(rule.axes)]
    return codes.new_empty([*lead, rule.output], dtype=torch.float32)


def _decode_backward(
    gradient: torch.Tensor, codes: torch.Tensor, state: Sequence[torch.Tensor], layer: str
) -> list[torch.Tensor]:
    with plan(layer).engine(state) as (engine, handle), _recording(True):
        value = _core.quantizer_decode(handle, borrowed(codes.to(torch.int32)))
        return _gradients(engine, value, gradient)


def _effective_codebook(state: Sequence[torch.Tensor], layer: str, index: int) -> torch.Tensor:
    with plan(layer).engine(state) as (engine, handle), _recording(False):
        # Where there is no map it is the engine's own codebook.
        return given(_core.quantizer_effective_codebook(handle, index)).clone()


def _effective_codebook_fake(state: Sequence[torch.Tensor], layer: str, index: int) -> torch.Tensor:
    names = plan(layer).names
    place = [i for i, name in enumerate(names) if name.rpartition(".")[2] == "codebook"][index]
    return state[place].new_empty(state[place].shape)


def _effective_codebook_backward(
    gradient: torch.Tensor, state: Sequence[torch.Tensor], layer: str, index: int
) -> list[torch.Tensor]:
    with plan(layer).engine(state) as (engine, handle), _recording(True):
        value = _core.quantizer_effective_codebook(handle, index)
        return _gradients(engine, value, gradient)


class _recording:  # noqa: N801
    """Whether the core keeps a tape on this thread."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled

    def __enter__(self) -> None:
        self._before = _core.set_grad_enabled(self._enabled)

    def __exit__(self, *error: object) -> None:
        _core.set_grad_enabled(self._before)


def _gradients(
    engine: Any, value: _core.TensorHandle, gradient: torch.Tensor
) -> list[torch.Tensor]:
    if not _core.tensor_requires_grad(value):
        return [torch.zeros(_core.tensor_shape(handle)) for _, handle in engine.trained]
    leaves = [handle for _, handle in engine.trained]
    found = _core.tensor_gradients(value, borrowed(gradient), leaves, False)
    return _apart([own(handle, gradient) for _, handle in found])


def _state_gradients_fake(layer: str, state: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [state[index].new_empty(state[index].shape) for index in plan(layer).trained]


def _spread(ctx: Any, found: list[torch.Tensor], count: int) -> list[torch.Tensor | None]:
    """Gradients of trained parameters at their places in the state."""
    placed: list[torch.Tensor | None] = [None] * count
    for index, gradient in zip(plan(ctx.layer).trained, found, strict=True):
        placed[index] = gradient
    return placed


def _decode_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    codes, state, ctx.layer = inputs
    ctx.save_for_backward(codes, *state)


def _decode_gradient(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    codes, *state = ctx.saved_tensors
    found = torch.ops.vqswift.decode_backward(gradient, codes, state, ctx.layer)
    return None, _spread(ctx, found, len(state)), None


def _effective_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    state, ctx.layer, ctx.index = inputs
    ctx.save_for_backward(*state)


def _effective_gradient(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    state = list(ctx.saved_tensors)
    found = torch.ops.vqswift.effective_codebook_backward(gradient, state, ctx.layer, ctx.index)
    return _spread(ctx, found, len(state)), None, None


# MARK: The search


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


def _no_derivative(name: str, ctx: Any, *gradients: Any) -> NoReturn:
    raise RuntimeError(f"[{name}] a quantizer has no second derivative")


# MARK: Registration

_KERNELS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "quantize": (_quantize, _quantize_fake),
    "quantize_backward": (_quantize_backward, _quantize_backward_fake),
    "encode": (_encode, _encode_fake),
    "decode": (_decode, _decode_fake),
    "decode_backward": (
        _decode_backward,
        lambda gradient, codes, state, layer: _state_gradients_fake(layer, state),
    ),
    "effective_codebook": (_effective_codebook, _effective_codebook_fake),
    "nearest_codes": (_nearest_codes, _nearest_codes_fake),
    "effective_codebook_backward": (
        _effective_codebook_backward,
        lambda gradient, state, layer, index: _state_gradients_fake(layer, state),
    ),
}
for _name, (_kernel, _fake) in _KERNELS.items():
    _LIBRARY.impl(_name, _kernel, "CPU")
    torch.library.register_fake(f"vqswift::{_name}", _fake, lib=_LIBRARY)

for _name, _gradient, _context in (
    ("decode", _decode_gradient, _decode_context),
    ("effective_codebook", _effective_gradient, _effective_context),
):
    torch.library.register_autograd(
        f"vqswift::{_name}", _gradient, setup_context=_context, lib=_LIBRARY
    )
_LIBRARY.impl("quantize", _quantize_autograd, "Autograd")
for _name in _KERNELS:
    if _name.endswith("_backward"):
        torch.library.register_autograd(
            f"vqswift::{_name}", partial(_no_derivative, _name), lib=_LIBRARY
        )
for _name in ("quantize", "encode"):
    torch.library.register_autocast(f"vqswift::{_name}", "cpu", torch.float32, lib=_LIBRARY)


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
    is_direct = (
        not torch.compiler.is_compiling() and _is_plain(z) and not torch.is_autocast_enabled("cpu")
    )
    call = _quantize_autograd if is_direct else torch.ops.vqswift.quantize
    found: list[torch.Tensor] = call(z, logvar, state, mask, layer, stages, training)
    return found


encode = torch.ops.vqswift.encode
decode = torch.ops.vqswift.decode
effective_codebook = torch.ops.vqswift.effective_codebook
nearest_codes = torch.ops.vqswift.nearest_codes
