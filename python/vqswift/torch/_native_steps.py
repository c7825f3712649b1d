"""An optimizer of `vqswift.optim` that steps a parameter of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from .. import _core
from .._tensor import Tensor
from ..optim import Optimizer
from ._memory import array, borrowed, given, refresh

_CODEBOOK = 3  # VQ_ROLE_CODEBOOK: it never decays


class NativeSteps(torch.optim.Optimizer):
    """The steps of `make([codebook])`, an optimizer of `vqswift.optim`, on a codebook of PyTorch.

    Moments are PyTorch's state of the codebook, by the core's names, and "lr" of the group is the
    rate of the next step. It can be pickled if `make` can.
    """

    def __init__(
        self, codebook: nn.Parameter, make: Callable[[list[Any]], Any], lr: float | None = None
    ) -> None:
        self._make, (self._native, self._own) = make, _made(make, codebook)
        super().__init__([codebook], {"lr": self._native.lr if lr is None else lr})

    def __reduce__(self) -> Any:
        group = self.param_groups[0]
        codebook = group["params"][0]
        state = dict(self.state.get(codebook, {}))
        return _again, (codebook, self._make, group["lr"], state)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Step the codebook by its gradient."""
        group = self.param_groups[0]
        codebook = group["params"][0]
        if codebook.grad is None:
            return
        if codebook.device.type != "cpu":
            raise NotImplementedError(
                f"[inplace_optimizer] a codebook on {codebook.device}: optimizers of vqswift.optim "
                "step on the CPU; give one of torch.optim"
            )
        self._native.lr = float(group["lr"])
        kept = self.state.get(codebook, {})
        if kept and not kept["step"]:
            kept = {}
        state = [(f"0.{name}", borrowed(_single(value))) for name, value in kept.items()]
        _core.optimizer_load(self._native._handle, state, True)
        value = codebook.detach().float().contiguous()
        refresh(self._own._handle, value)
        _core.tensor_set_grad(self._own._handle, borrowed(codebook.grad.float()))
        self._native.step()
        _core.tensor_copy_out(self._own._handle, array(value))
        codebook.copy_(value)
        found = _core.optimizer_state(self._native._handle)
        moments = {name.removeprefix("0."): given(handle) for name, handle in found}
        self.state[codebook] = {n: _as(codebook.dtype, m).clone() for n, m in moments.items()}


def _as(dtype: torch.dtype, tensor: torch.Tensor) -> torch.Tensor:
    """Moments of that dtype; counts of steps stay."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


_single = partial(_as, torch.float32)


def _made(make: Callable[[list[Any]], Any], codebook: nn.Parameter) -> tuple[Optimizer, Tensor]:
    """An optimizer and the codebook of the core that it owns."""
    value = Tensor(codebook.detach().float().numpy())
    own = Tensor._wrap(_core.tensor_requiring_grad(value._handle, _CODEBOOK))
    native = make([own])
    if not isinstance(native, Optimizer):
        raise TypeError(f"{type(native).__name__} is no optimizer of vqswift.optim")
    return native, own


def _again(
    codebook: nn.Parameter, make: Callable[[list[Any]], Any], lr: float, state: dict[str, Any]
) -> NativeSteps:
    optimizer = NativeSteps(codebook, make, lr)
    if state:
        optimizer.state[codebook] = state
    return optimizer
