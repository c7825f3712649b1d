"""Alternating optimization: optimizers that step codebooks inside training forwards."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from .. import _core
from . import _distributed as distributed
from ._memory import array, given, refresh
from ._native_steps import NativeSteps

InplaceOptimizer = Callable[[list[Any]], Any]
_Method = TypeVar("_Method", bound=Callable[..., Any])


def uncompiled(method: _Method) -> _Method:
    """Let `torch.compile` run a method as it is, or raise with the reason for a whole graph."""
    why = "a training forward with inplace_optimizer steps an optimizer: it is not compiled"
    run: _Method = torch.compiler.disable(method, reason=why)  # type: ignore[no-untyped-call]
    return run


class _Now(threading.local):
    """What steps the codebooks of the forward under way."""

    steps: Steps | None = None


_now = _Now()


def steps_under_way() -> Steps | None:
    """What steps the codebooks of the forward under way; None where nothing does."""
    return _now.steps


def step_codebook(index: int, codebook: _core.TensorHandle, gradient: _core.TensorHandle) -> None:
    """Step a quantizer's codebook for the core, which has found its gradient."""
    if _now.steps is None:
        raise RuntimeError(
            "[inplace_optimizer] an operator alone cannot step it: call the layer, not compiled"
        )
    _now.steps.step(index, codebook, given(gradient))


def carrier(codebook: torch.Tensor, waiting: torch.Tensor) -> torch.Tensor:
    """The codebook, such that its gradient waits for the next step."""
    found = codebook.detach().requires_grad_()

    def keep(gradient: torch.Tensor) -> None:
        added = gradient.detach().clone()
        if distributed.is_active():
            distributed.average(added)
        waiting.add_(added)

    found.register_hook(keep)  # type: ignore[no-untyped-call]
    return found


def made_optimizer(
    operation: str, make: InplaceOptimizer, codebook: nn.Parameter
) -> torch.optim.Optimizer:
    """The optimizer of one codebook, of `torch.optim` or `vqswift.optim`.

    TypeError for what is none, ValueError for one that owns something else or needs a closure.
    """
    try:
        optimizer = make([codebook])
    except TypeError as error:
        try:
            optimizer = NativeSteps(codebook, make)
        except TypeError:
            raise error from None
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"[{operation}] inplace_optimizer must return an optimizer of torch.optim or "
            f"vqswift.optim, not {type(optimizer).__name__}"
        )
    owned = [p for group in optimizer.param_groups for p in group["params"]]
    name = type(optimizer).__name__
    if len(owned) != 1 or owned[0] is not codebook:
        raise ValueError(
            f"[{operation}] inplace_optimizer = {name}: it must own the codebook that it is given "
            "and nothing else"
        )
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"[{operation}] inplace_optimizer = {name}: its step needs a closure, and the core "
            "finds one gradient a step"
        )
    return optimizer


class InplaceOptimizers(nn.Module):
    """The optimizers of a quantizer's codebooks, one each, as part of its state.

    `state_dict` has their own, options and rates too, under "_extra_state".
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__()
        self.optimizers = tuple(optimizers)

    def get_extra_state(self) -> list[dict[str, Any]]:
        """The optimizers' states."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def set_extra_state(self, state: list[dict[str, Any]]) -> None:
        """Let the optimizers go on from copies of such states."""
        if len(state) != len(self.optimizers):
            raise ValueError(
                f"[load_state_dict] {len(state)} in-place optimizers: there are "
                f"{len(self.optimizers)}"
            )
        for optimizer, own in zip(self.optimizers, state, strict=True):
            optimizer.load_state_dict(_copied(own))

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        for optimizer in self.optimizers:
            for moments in optimizer.state.values():
                for name, value in moments.items():
                    # Counts of steps have no axis, and their optimizer's dtype.
                    if torch.is_tensor(value) and value.ndim:
                        moments[name] = fn(value)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    @contextmanager
    def stepping(
        self, codebooks: Sequence[nn.Parameter], waiting: Sequence[torch.Tensor | None]
    ) -> Iterator[None]:
        """Let a training forward step `codebooks`, each also by the gradient that waits for it;
        one that raises leaves nothing behind. Codes that it replaced have no moments afterwards."""
        steps = Steps(self.optimizers, codebooks, waiting)
        before, _now.steps = _now.steps, steps
        try:
            yield
            steps.finish()
        except BaseException:
            steps.undo()
            raise
        finally:
            _now.steps = before


class Steps:
    """The steps of one training forward."""

    # Optimizers keep what they make: it must be usable outside of inference mode.
    @torch.inference_mode(False)
    def __init__(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        codebooks: Sequence[nn.Parameter],
        waiting: Sequence[torch.Tensor | None],
    ) -> None:
        self._owners = list(zip(optimizers, codebooks, waiting, strict=True))
        for optimizer, codebook, _ in self._owners:
            _follow(optimizer, codebook)
        self._before = [
            (codebook.detach().clone(), _copied(optimizer.state.get(codebook, {})), _copied(waits))
            for optimizer, codebook, waits in self._owners
        ]
        # The codebooks as steps left them.
        self._stepped = [codebook for codebook, _, _ in self._before]

    @torch.inference_mode(False)
    @torch.no_grad()
    def step(self, index: int, handle: _core.TensorHandle, gradient: torch.Tensor) -> None:
        """One step of a codebook, whose value is in the core and comes back to it."""
        codebook = self._owners[index][1]
        value = torch.empty(codebook.shape, device="cpu", dtype=torch.float32)
        _core.tensor_copy_out(handle, array(value))
        rows = _differing(value, codebook)
        if rows.any():
            codebook[rows.bool()] = value[rows.bool()].to(codebook.dtype)
        self.step_parameter(index, gradient.clone(), rows)
        refresh(handle, codebook.detach().float())

    @torch.inference_mode(False)
    @torch.no_grad()
    def step_parameter(self, index: int, gradient: torch.Tensor, rows: torch.Tensor) -> None:
        """One step by `gradient`, which is written, of a codebook of which k-means has just set
        `rows`, uint8 [k]."""
        optimizer, codebook, waiting = self._owners[index]
        starts_anew = bool(rows.any())
        if starts_anew:
            _forget(optimizer, codebook, waiting, rows)
        if waiting is not None:
            gradient += waiting
            waiting.zero_()
        if distributed.is_active():
            distributed.agree(gradient, codebook, starts_anew)
        if not torch.isfinite(gradient).all():
            raise ValueError("[inplace_optimizer] the codebook's gradient is not finite")
        codebook.grad = gradient.to(codebook.dtype)
        try:
            optimizer.step()
        finally:
            codebook.grad = None
        self._stepped[index] = codebook.detach().clone()

    @torch.no_grad()
    def finish(self) -> None:
        """Forget moments of codes that were replaced since the last step."""
        for (optimizer, codebook, waiting), stepped in zip(
            self._owners, self._stepped, strict=True
        ):
            rows = _differing(stepped, codebook)
            if distributed.is_active():
                distributed.follow_first(rows)
            if rows.any():
                _forget(optimizer, codebook, waiting, rows)
            if codebook.dtype == torch.float64:  # The core has rounded the others to float32.
                codebook.copy_(torch.where(rows.bool()[:, None], codebook, stepped))

    @torch.no_grad()
    def undo(self) -> None:
        """Go back to what was before the forward."""
        for (optimizer, codebook, waiting), before in zip(self._owners, self._before, strict=True):
            value, moments, gradient = before
            codebook.copy_(value)
            if moments or codebook in optimizer.state:
                optimizer.state[codebook] = moments
            if waiting is not None and gradient is not None:
                waiting.copy_(gradient)


@torch.no_grad()
def forget_changed(
    optimizers: InplaceOptimizers,
    codebooks: Sequence[nn.Parameter],
    waiting: Sequence[torch.Tensor | None],
    before: Sequence[torch.Tensor],
) -> None:
    """Forget moments, and gradients that wait, of codes that are not as `before`."""
    for optimizer, codebook, gradient, value in zip(
        optimizers.optimizers, codebooks, waiting, before, strict=True
    ):
        _follow(optimizer, codebook)
        _forget(optimizer, codebook, gradient, _differing(value, codebook))


def _differing(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Whether each row differs as the core has it, in float32, uint8 [k]."""
    return (a.float() != b.float()).any(1).to(torch.uint8)


def _forget(
    optimizer: torch.optim.Optimizer,
    codebook: nn.Parameter,
    waiting: torch.Tensor | None,
    rows: torch.Tensor,
) -> None:
    """Let moments of rows be 0, and of all rows, the count of steps too."""
    chosen = rows.bool()
    tensors = [v for v in optimizer.state.get(codebook, {}).values() if torch.is_tensor(v)]
    for tensor in tensors if waiting is None else [*tensors, waiting]:
        if tensor.ndim and len(tensor) == len(chosen):
            tensor[chosen] = 0
        elif chosen.all():
            tensor.zero_()


def _follow(optimizer: torch.optim.Optimizer, codebook: nn.Parameter) -> None:
    """Let an optimizer own the parameter that has taken the place of its own."""
    owned = optimizer.param_groups[0]["params"]
    if owned[0] is not codebook:
        if owned[0] in optimizer.state:
            optimizer.state[codebook] = optimizer.state.pop(owned[0])
        owned[0] = codebook


def _copied(state: Any) -> Any:
    """Dicts and lists of tensors, without those they are of."""
    if torch.is_tensor(state):
        return state.detach().clone()
    if isinstance(state, dict):
        return {name: _copied(value) for name, value in state.items()}
    return [_copied(value) for value in state] if isinstance(state, list) else state
