"""The layers. Defaults, names and initial weights are torch's; images are [n, h, w, c]."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._options import Made, create
from .._random import Generator, layer_generator
from .._tensor import Pair, Tensor, as_pair, as_tensor
from ._module import Module
from ._native import Native


@checked
class Linear(Native):
    """x [..., in] -> x W^T + b [..., out]; `weight` [out, in], `bias` [out]."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            create(
                "linear",
                in_features=in_features,
                out_features=out_features,
                bias=bias,
                generator=layer_generator(generator),
            )
        )


@checked
class Conv2d(Native):
    """x [n, h, w, in] -> [n, h', w', out]; `weight` [out, in, kh, kw], `bias` [out]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            create(
                "conv2d",
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=as_pair(kernel_size),
                stride=as_pair(stride),
                padding=as_pair(padding),
                bias=bias,
                generator=layer_generator(generator),
            )
        )


@checked
class ConvTranspose2d(Native):
    """x [n, h, w, in] -> [n, (h-1) stride - 2 padding + k + output_padding, ..., out].

    `weight` [in, out, kh, kw], `bias` [out].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            create(
                "conv_transpose2d",
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=as_pair(kernel_size),
                stride=as_pair(stride),
                padding=as_pair(padding),
                output_padding=as_pair(output_padding),
                bias=bias,
                generator=layer_generator(generator),
            )
        )


@checked
class BatchNorm(Native):
    """Normalizes the last axis over all others; running variance unbiased."""

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(create("batch_norm", features=features, eps=eps, momentum=momentum))


@checked
class LayerNorm(Native):
    """Normalizes each vector of the last axis."""

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        super().__init__(create("layer_norm", normalized_shape=(features,), eps=eps))


@checked
class Embedding(Native):
    """int32 [...] -> rows of `weight` [count, features]."""

    def __init__(self, count: int, features: int, *, generator: Generator | None = None) -> None:
        source = layer_generator(generator)
        super().__init__(create("embedding", count=count, features=features, generator=source))

    def _input(self, x: Any) -> Tensor:
        return as_tensor(x)


class _Activation(Native):
    _kind: str

    def __init__(self) -> None:
        super().__init__(create(self._kind))


class ReLU(_Activation):
    """max(x, 0)."""

    _kind = "relu"


class GELU(_Activation):
    """x Phi(x), the exact form."""

    _kind = "gelu"


class SiLU(_Activation):
    """x sigmoid(x)."""

    _kind = "silu"


class Tanh(_Activation):
    """Hyperbolic tangent."""

    _kind = "tanh"


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    _kind = "sigmoid"


class Identity(_Activation):
    """x."""

    _kind = "identity"

    def _input(self, x: Any) -> Tensor:
        return as_tensor(x)


class Flatten(_Activation):
    """[n, ...] -> [n, product of the rest]."""

    _kind = "flatten"

    def _input(self, x: Any) -> Tensor:
        return as_tensor(x)


@checked
class Dropout(Native):
    """Zeroes elements with probability `p` in training, the others times 1 / (1 - p)."""

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        super().__init__(create("dropout", p=p, generator=layer_generator(generator)))


def _pool(kind: str, kernel: Pair, stride: Pair | None, padding: Pair) -> Made:
    step = None if stride is None else as_pair(stride)
    return create(kind, kernel_size=as_pair(kernel), stride=step, padding=as_pair(padding))


@checked
class MaxPool2d(Native):
    """Maximum of each window; the stride is the kernel's size unless given."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__(_pool("max_pool2d", kernel_size, stride, padding))


@checked
class AvgPool2d(Native):
    """Mean of each window, padding counted as zeros."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__(_pool("average_pool2d", kernel_size, stride, padding))


@checked
class Upsample(Native):
    """Repeats each pixel `scale` times along both axes."""

    def __init__(self, scale: Pair) -> None:
        super().__init__(create("upsample_nearest2d", scale=as_pair(scale)))


class _Fused(Module):
    """Runs as one module of the core while every part is the core's own."""

    def __init__(self) -> None:
        super().__init__()
        self._fuse(None, [])

    _parts: list[_core.ModuleHandle]
    _handle: _core.ModuleHandle | None

    def _fuse(self, handle: _core.ModuleHandle | None, parts: list[_core.ModuleHandle]) -> None:
        object.__setattr__(self, "_handle", handle)
        object.__setattr__(self, "_parts", parts)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_parts": []}

    def _create(self, parts: list[_core.ModuleHandle]) -> _core.ModuleHandle:
        raise NotImplementedError

    def _input(self, x: Any) -> Tensor:
        """x as the first child that computes takes it."""
        for child in self.children():
            if isinstance(child, (Native, _Fused)) and not isinstance(child, (Identity, Flatten)):
                return child._input(x)
        return as_tensor(x)

    def _fused(self) -> _core.ModuleHandle | None:
        """The handle over the children as they are now; None when one has a Python forward."""
        handles = [_plain_handle(child) for child in self.children()]
        parts = [handle for handle in handles if handle is not None]
        if len(parts) < len(handles):
            return None
        if self._handle is None or any(a is not b for a, b in zip(parts, self._parts, strict=True)):
            self._fuse(self._create(parts), parts)
        return self._handle


def _require_module(operation: str, value: object) -> None:
    if not isinstance(value, Module):
        raise TypeError(f"[{operation}] a {type(value).__name__} is no layer: Modules are required")


@checked
class Sequential(_Fused):
    """Modules one after the other, named "0", "1", ...

    When all are native the whole runs as one native module, batch norm fused with a ReLU after it.
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for index, module in enumerate(modules):
            _require_module("sequential", module)
            self._children[str(index)] = module

    def _create(self, parts: list[_core.ModuleHandle]) -> _core.ModuleHandle:
        return _core.module_create("sequential", {}, parts, None)

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        handle = self._fused()
        if handle is not None:
            return Tensor._wrap(_core.module_forward(handle, self._input(x)._handle))
        for module in self.children():
            x = module(x)
        return x

    def __getitem__(self, index: int) -> Module:
        return list(self.children())[index]

    def __len__(self) -> int:
        return sum(1 for _ in self.children())


@checked
class Residual(_Fused):
    """x + body(x)."""

    def __init__(self, body: Module) -> None:
        super().__init__()
        _require_module("residual", body)
        self.body = body

    def _create(self, parts: list[_core.ModuleHandle]) -> _core.ModuleHandle:
        return _core.module_create("residual", {}, parts, None)

    def forward(self, x: Tensor | npt.ArrayLike) -> Tensor:
        """x plus the body's output."""
        handle = self._fused()
        if handle is not None:
            return Tensor._wrap(_core.module_forward(handle, self._input(x)._handle))
        body: Tensor = self.body(x)
        return as_tensor(x) + body


def _plain_handle(module: Module) -> _core.ModuleHandle | None:
    """The handle of a module whose forward is the core's, tensor to tensor; else None."""
    own_forward = type(module).forward in (Native.forward, Sequential.forward, Residual.forward)
    if not own_forward or "forward" in module.__dict__:
        return None
    if isinstance(module, _Fused):
        return module._fused()
    return module._handle if isinstance(module, Native) else None
