"""Convolutions as functions."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked, described
from .._functions import concatenate, pad
from .._integers import as_floats, as_layer_input
from .._tensor import Pair, Tensor, as_pair

Array = npt.ArrayLike | Tensor
Triple = int | tuple[int, ...]


def as_sizes(operation: str, name: str, value: int | Sequence[int], count: int) -> tuple[int, ...]:
    """`count` sizes of one number or of so many."""
    if isinstance(value, (int, np.integer)):
        return (int(value),) * count
    try:
        sizes = tuple(operator.index(size) for size in value)
    except TypeError:
        raise TypeError(
            f"[{operation}] {name} is {described(value)}: whole numbers are required"
        ) from None
    if len(sizes) != count:
        raise ValueError(f"[{operation}] {name} = {value!r}: one size or {count} are required")
    return sizes


def _image(operation: str, x: Array, rank: int) -> Tensor:
    given = as_layer_input(operation, x)
    if given.ndim != rank:
        axes = {3: "[n, t, c]", 4: "[n, h, w, c]", 5: "[n, d, h, w, c]"}[rank]
        raise ValueError(f"[{operation}] shape {list(given.shape)}: the input must be {axes}")
    return given


def _weight(operation: str, weight: Array, rank: int) -> Tensor:
    given = as_floats(operation, "weight", weight)
    if given.ndim != rank:
        raise ValueError(
            f"[{operation}] the weight's shape {list(given.shape)}: {rank} axes are required"
        )
    return given


def _bias(operation: str, bias: Array | None) -> Tensor | None:
    return None if bias is None else as_floats(operation, "bias", bias)


def is_same(operation: str, padding: str) -> bool:
    """Whether a padding by name keeps the input's size; ValueError for one that there is not."""
    if padding not in ("same", "valid"):
        raise ValueError(
            f"[{operation}] padding = {padding!r}: numbers, 'valid' or 'same' are required"
        )
    return padding == "same"


def same_widths(kernel: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    """Before and after each axis, for an output of the input's size: the odd one stands behind."""
    total = [gap * (size - 1) for gap, size in zip(dilation, kernel, strict=True)]
    return [(width // 2, width - width // 2) for width in total]


def extended(
    operation: str,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: int | Sequence[int] | str,
    dilation: Sequence[int],
) -> tuple[Tensor, tuple[int, ...]]:
    """x [n, *s, c] and the zeros at both ends that a convolution is to read, of "same" too."""
    if not isinstance(padding, str):
        return x, as_sizes(operation, "padding", padding, len(kernel))
    if not is_same(operation, padding):
        return x, (0,) * len(kernel)
    if any(step != 1 for step in stride):
        raise ValueError(f"[{operation}] stride = {tuple(stride)}: padding 'same' goes with 1")
    widths = same_widths(kernel, dilation)
    x = pad(x, [(0, 0), *((0, after - before) for before, after in widths), (0, 0)])
    return x, tuple(before for before, _ in widths)


@checked
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """x [n, h, w, i], weight [o, i / groups, kh, kw] -> [n, h', w', o].

    `padding`: zeros at both ends, "valid" for none, "same" for an output of the input's size.
    docs/numerics.md has its accuracy.
    """
    kernel, offset = as_floats("conv2d", "weight", weight), _bias("conv2d", bias)
    given, steps, gaps = as_layer_input("conv2d", x), as_pair(stride), as_pair(dilation)
    zeros: tuple[int, ...]
    if isinstance(padding, str):
        given, zeros = extended("conv2d", given, kernel.shape[2:], steps, padding, gaps)
    else:
        zeros = as_pair(padding)
    return Tensor._wrap(
        _core.tensor_conv2d(
            given._handle,
            kernel._handle,
            None if offset is None else offset._handle,
            steps,
            (zeros[0], zeros[1]),
            gaps,
            groups,
        )
    )


@checked
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Tensor:
    """x [n, h, w, i], weight [i, o / groups, kh, kw] -> [n, h', w', o]."""
    offset = _bias("conv_transpose2d", bias)
    return Tensor._wrap(
        _core.tensor_conv_transpose2d(
            as_layer_input("conv_transpose2d", x)._handle,
            as_floats("conv_transpose2d", "weight", weight)._handle,
            None if offset is None else offset._handle,
            as_pair(stride),
            as_pair(padding),
            as_pair(output_padding),
            as_pair(dilation),
            groups,
        )
    )


@checked
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """x [n, t, i], weight [o, i / groups, k] -> [n, t', o]; `padding` as in `conv2d`."""
    kernel = _weight("conv1d", weight, 3)
    given, (zeros,) = extended(
        "conv1d", _image("conv1d", x, 3), kernel.shape[2:], (stride,), padding, (dilation,)
    )
    row = conv2d(
        given.unsqueeze(1),
        kernel.unsqueeze(2),
        bias,
        (1, stride),
        (0, zeros),
        (1, dilation),
        groups,
    )
    return row.squeeze(1)


@checked
def conv_transpose1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    groups: int = 1,
    dilation: int = 1,
) -> Tensor:
    """x [n, t, i], weight [i, o / groups, k] -> [n, t', o]."""
    row = conv_transpose2d(
        _image("conv_transpose1d", x, 3).unsqueeze(1),
        _weight("conv_transpose1d", weight, 3).unsqueeze(2),
        bias,
        (1, stride),
        (0, padding),
        (0, output_padding),
        groups,
        (1, dilation),
    )
    return row.squeeze(1)


@checked
def conv3d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Triple = 1,
    padding: Triple | str = 0,
    dilation: Triple = 1,
    groups: int = 1,
) -> Tensor:
    """x [n, d, h, w, i], weight [o, i / groups, kd, kh, kw] -> [n, d', h', w', o].

    One convolution of images for each step of the kernel in depth; `padding` as in `conv2d`.
    """
    kernel = _weight("conv3d", weight, 5)
    steps = as_sizes("conv3d", "stride", stride, 3)
    gaps = as_sizes("conv3d", "dilation", dilation, 3)
    given, zeros = extended(
        "conv3d", _image("conv3d", x, 5), kernel.shape[2:], steps, padding, gaps
    )
    if min(*steps, *gaps) < 1 or min(zeros) < 0:
        raise ValueError(
            f"[conv3d] stride {steps}, dilation {gaps}, padding {zeros}: at least 1, 1 and 0"
        )
    given = pad(given, [(0, 0), (zeros[0], zeros[0]), (0, 0), (0, 0), (0, 0)])
    n, depth, h, w, c = given.shape
    count = (depth - gaps[0] * (kernel.shape[2] - 1) - 1) // steps[0] + 1
    if count < 1:
        raise ValueError(
            f"[conv3d] shape {list(given.shape)}: the kernel, {kernel.shape[2]} deep, exceeds the "
            "padded input"
        )
    total: Tensor | None = None
    for place in range(kernel.shape[2]):
        first = place * gaps[0]
        part = given[:, first : first + (count - 1) * steps[0] + 1 : steps[0]]
        images = conv2d(
            part.reshape((n * count, h, w, c)),
            kernel[:, :, place],
            bias if total is None else None,
            (steps[1], steps[2]),
            (zeros[1], zeros[2]),
            (gaps[1], gaps[2]),
            groups,
        )
        total = images if total is None else total + images
    assert total is not None
    return total.reshape((n, count, *total.shape[1:]))


@checked
def conv_transpose3d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Triple = 1,
    padding: Triple = 0,
    output_padding: Triple = 0,
    groups: int = 1,
    dilation: Triple = 1,
) -> Tensor:
    """x [n, d, h, w, i], weight [i, o / groups, kd, kh, kw] -> [n, d', h', w', o].

    One transposed convolution of images for each step of the kernel in depth.
    """
    operation = "conv_transpose3d"
    kernel, offset = _weight(operation, weight, 5), _bias(operation, bias)
    given = _image(operation, x, 5)
    steps = as_sizes(operation, "stride", stride, 3)
    zeros = as_sizes(operation, "padding", padding, 3)
    more = as_sizes(operation, "output_padding", output_padding, 3)
    gaps = as_sizes(operation, "dilation", dilation, 3)
    if min(*steps, *gaps) < 1 or min(*zeros, *more) < 0:
        raise ValueError(
            f"[{operation}] stride {steps}, dilation {gaps}, padding {zeros}, output_padding "
            f"{more}: at least 1, 1, 0 and 0"
        )
    if any(size >= step for size, step in zip(more, steps, strict=True)):
        raise ValueError(f"[{operation}] output_padding = {more}: must be below the stride {steps}")
    n, depth, h, w, inputs = given.shape
    taps = kernel.shape[2]
    length = (depth - 1) * steps[0] - 2 * zeros[0] + gaps[0] * (taps - 1) + 1 + more[0]
    if length < 1 or depth < 1 or taps < 1:
        raise ValueError(
            f"[{operation}] shape {list(given.shape)}, weight {list(kernel.shape)}: the output "
            f"would be {length} deep"
        )
    count = depth + gaps[0] * (taps - 1) // steps[0]
    if count * steps[0] >= 2**31:
        raise OverflowError(
            f"[{operation}] {count} times {steps[0]} slices before the padding goes: at most 2^31"
        )
    outputs = kernel.shape[1] * groups
    if offset is not None and offset.shape != (outputs,):
        raise ValueError(f"[{operation}] bias of shape {list(offset.shape)}: must be [{outputs}]")
    # Tap t moves slice z of the input to slice z stride + t dilation of the output and its padding.
    phases: dict[int, list[tuple[int, Tensor]]] = {}
    for tap in range(taps):
        images = conv_transpose2d(
            given.reshape((n * depth, h, w, inputs)),
            kernel[:, :, tap],
            None,
            (steps[1], steps[2]),
            (zeros[1], zeros[2]),
            (more[1], more[2]),
            groups,
            (gaps[1], gaps[2]),
        )
        slices = images.reshape((n, depth, *images.shape[1:]))
        first, phase = divmod(tap * gaps[0], steps[0])
        phases.setdefault(phase, []).append((first, slices))
    whole = _interleaved(phases, steps[0], count)
    beyond = max(0, zeros[0] + length - whole.shape[1])
    whole = pad(whole, [(0, 0), (0, beyond), (0, 0), (0, 0), (0, 0)])
    y = whole[:, zeros[0] : zeros[0] + length]
    return y if offset is None else y + offset


def _interleaved(phases: dict[int, list[tuple[int, Tensor]]], stride: int, count: int) -> Tensor:
    """[n, stride count, ...]: the sum of the slices of each phase, each from its first place on, at
    that phase of every `stride` slices; zeros at others."""
    parts, filled = [], 0
    some = next(iter(phases.values()))[0][1].shape
    for phase in sorted(phases):
        total: Tensor | None = None
        for first, slices in phases[phase]:
            around = (first, count - first - slices.shape[1])
            wide = pad(slices, [(0, 0), around, (0, 0), (0, 0), (0, 0)])
            total = wide if total is None else total + wide
        assert total is not None
        gap = [(0, 0), (0, 0), (phase - filled, 0), (0, 0), (0, 0), (0, 0)]
        parts.append(pad(total.unsqueeze(2), gap))
        filled = phase + 1
    rest = [(0, 0), (0, 0), (0, stride - filled), (0, 0), (0, 0), (0, 0)]
    parts[-1] = pad(parts[-1], rest)
    return concatenate(parts, 2).reshape((some[0], count * stride, *some[2:]))
