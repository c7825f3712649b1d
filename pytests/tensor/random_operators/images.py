"""Windows over images and norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from interpolation_matrices import MODES, interpolated
from vqswift import Tensor
from vqswift.nn import functional as F

from .case import Case, Draw, Maker


def _images(draw: Draw, least: int = 1) -> tuple[int, int, int, int]:
    """[n, h, w, c]."""
    return (
        draw.whole(1, 2),
        draw.whole(least, 7),
        draw.whole(least, 7),
        draw.one_of([1, 2, 3, 16]),
    )


def _windows(
    x: np.ndarray, kernel: Any, stride: Any, padding: Any, fill: float = 0.0
) -> np.ndarray:
    """[n, oh, ow, c, kh, kw] of images [n, h, w, c]."""
    (ph, pw), (sh, sw) = padding, stride
    wide = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(wide, kernel, axis=(1, 2))[:, ::sh, ::sw]


def _pool(name: str, reduce: Callable[..., Any], fill: float) -> Maker:
    def make(draw: Draw) -> Case:
        kernel = (draw.whole(1, 3), draw.whole(1, 3))
        stride = (draw.whole(1, 3), draw.whole(1, 3))
        padding = (draw.whole(0, kernel[0] // 2), draw.whole(0, kernel[1] // 2))
        return Case(
            lambda t: getattr(F, name)(t, kernel, stride, padding),
            lambda x: reduce(_windows(x, kernel, stride, padding, fill), axis=(4, 5)),
            [draw.floats(_images(draw, least=3))],
            scale=4,
        )

    return make


def _upsample(draw: Draw) -> Case:
    scale = (draw.whole(1, 3), draw.whole(1, 3))
    return Case(
        lambda t: F.upsample_nearest2d(t, scale),
        lambda x: x.repeat(scale[0], axis=1).repeat(scale[1], axis=2),
        [draw.floats(_images(draw))],
        scale=16,
    )


def _interpolate(draw: Draw) -> Case:
    mode = draw.one_of(list(MODES))
    axes = draw.one_of(MODES[mode])
    align = not mode.startswith("nearest") and draw.chance(0.5)
    shape = (draw.whole(1, 2), *(draw.whole(1, 6) for _ in range(axes)), draw.whole(1, 5))
    if draw.chance(0.5):
        sizes = tuple(draw.whole(1, 9) for _ in range(axes))
        given, factors = {"size": sizes}, (None,) * axes
    else:
        factors = tuple(draw.one_of([0.4, 1, 1.3, 2, 2.5, 3]) for _ in range(axes))
        sizes = tuple(int(size * f) for size, f in zip(shape[1:-1], factors, strict=True))
        given = {"scale_factor": factors}
    return Case(
        lambda t: F.interpolate(t, **given, mode=mode, align_corners=align or None),
        lambda x: interpolated(x, sizes, factors, mode, align),
        [draw.floats(shape)],
        roundings=32,
        scale=32,
        raises=ValueError if 0 in sizes else None,
    )


def _pool3d(name: str, reduce: Callable[..., Any], fill: float) -> Maker:
    def make(draw: Draw) -> Case:
        kernel, stride = ([draw.whole(1, 3) for _ in range(3)] for _ in range(2))
        zeros = [draw.whole(0, k // 2) for k in kernel]

        def reference(x: np.ndarray) -> Any:
            wide = np.pad(x, [(0, 0), *((z, z) for z in zeros), (0, 0)], constant_values=fill)
            every = np.lib.stride_tricks.sliding_window_view(wide, tuple(kernel), axis=(1, 2, 3))
            steps = tuple(slice(None, None, s) for s in stride)
            return reduce(every[(slice(None), *steps)], axis=(5, 6, 7))

        return Case(
            lambda t: getattr(F, name)(t, tuple(kernel), tuple(stride), tuple(zeros)),
            reference,
            [draw.floats((draw.whole(1, 2), *(draw.whole(3, 5) for _ in range(3)), 2))],
            scale=4,
        )

    return make


def _adaptive_pool(draw: Draw) -> Case:
    name, reduce = draw.one_of([("adaptive_max_pool2d", np.max), ("adaptive_avg_pool2d", np.mean)])
    sizes = (draw.whole(1, 9), draw.whole(1, 9))

    def along(x: np.ndarray, axis: int, count: int) -> np.ndarray:
        length = x.shape[axis]
        ends = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
        parts = [reduce(x.take(range(a, b), axis), axis=axis, keepdims=True) for a, b in ends]
        return np.concatenate(parts, axis)

    return Case(
        lambda t: getattr(F, name)(t, sizes),
        lambda x: along(along(x, 1, sizes[0]), 2, sizes[1]),
        [draw.floats(_images(draw))],
        roundings=16,
        scale=16,
    )


def _dilated(weight: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """[..., kh, kw] with zeros between the taps."""
    sizes = [(size - 1) * d + 1 for size, d in zip(weight.shape[-2:], dilation, strict=True)]
    wide = np.zeros((*weight.shape[:-2], *sizes))
    wide[..., :: dilation[0], :: dilation[1]] = weight
    return wide


def _convolution(draw: Draw) -> Case:
    kernel, dilation = (draw.whole(1, 4), draw.whole(1, 3)), draw.one_of([(1, 1), (1, 1), (1, 2)])
    stride, padding = (draw.whole(1, 2), draw.whole(1, 2)), (draw.whole(0, 2), draw.whole(0, 2))
    groups = draw.one_of([1, 1, 2, 3])
    n, h, w, inputs = _images(draw, least=5)
    outputs, inputs = groups * draw.one_of([1, 2, 5]), groups * inputs

    def reference(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        taps = _dilated(weight, dilation)
        parts = zip(np.split(x, groups, 3), np.split(taps, groups), strict=True)
        found = [
            np.einsum("nyxiab,oiab->nyxo", _windows(part, tap.shape[2:], stride, padding), tap)
            for part, tap in parts
        ]
        return np.concatenate(found, 3) + bias

    return Case(
        lambda x, w, b: F.conv2d(x, w, b, stride, padding, dilation, groups),
        reference,
        [
            draw.away_from_zero((n, h, w, inputs)),
            draw.away_from_zero((outputs, inputs // groups, *kernel)),
            draw.away_from_zero((outputs,)),
        ],
        roundings=32,
        # Sums of so many products below 4, of as many as there are pixels in a gradient.
        scale=4 * (inputs // groups * kernel[0] * kernel[1] + 128),
    )


def _transposed_convolution(draw: Draw) -> Case:
    kernel, dilation = (draw.whole(1, 4), draw.whole(1, 3)), draw.one_of([(1, 1), (1, 1), (2, 1)])
    stride = (draw.whole(1, 2), draw.whole(1, 2))
    padding = (draw.whole(0, kernel[0] // 2), draw.whole(0, kernel[1] // 2))
    more = (draw.whole(0, stride[0] - 1), draw.whole(0, stride[1] - 1))
    groups = draw.one_of([1, 1, 2, 3])
    n, h, w, inputs = _images(draw, least=3)
    outputs, inputs = groups * draw.one_of([1, 2, 5]), groups * inputs

    def one(x: np.ndarray, taps: np.ndarray) -> np.ndarray:
        sizes = [(s - 1) * t + k for s, t, k in zip((h, w), stride, taps.shape[2:], strict=True)]
        wide = np.zeros((n, sizes[0] + more[0], sizes[1] + more[1], taps.shape[1]))
        for a, b in np.ndindex(*taps.shape[2:]):
            part = wide[:, a : a + stride[0] * h : stride[0], b : b + stride[1] * w : stride[1]]
            part[:, :h, :w] += x @ taps[:, :, a, b]
        (ph, pw) = padding
        return wide[:, ph : wide.shape[1] - ph, pw : wide.shape[2] - pw]

    def reference(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        taps = _dilated(weight, dilation)
        parts = zip(np.split(x, groups, 3), np.split(taps, groups), strict=True)
        return np.concatenate([one(part, tap) for part, tap in parts], 3) + bias

    return Case(
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride, padding, more, groups, dilation),
        reference,
        [
            draw.away_from_zero((n, h, w, inputs)),
            draw.away_from_zero((inputs, outputs // groups, *kernel)),
            draw.away_from_zero((outputs,)),
        ],
        roundings=32,
        scale=4 * (inputs // groups * kernel[0] * kernel[1] + 256),
    )


def _standardized(x: np.ndarray, axes: Any, eps: float = 1e-5) -> np.ndarray:
    mean = x.mean(axis=axes, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + eps))


def _layer_norm(draw: Draw) -> Case:
    lead, last = draw.shape(most_rank=3, least=1), draw.one_of([2, 3, 8, 33])
    x = draw.floats((*lead, last))
    parameters = [draw.away_from_zero((last,)) for _ in range(2)]
    if draw.chance(0.5):
        return Case(
            F.layer_norm,
            lambda x, w, b: _standardized(x, -1) * w + b,
            [x, *parameters],
            roundings=256,
            scale=8,
        )
    return Case(
        F.rms_norm,
        lambda x, w: x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5) * w,
        [x, parameters[0]],
        roundings=256,
        scale=8,
    )


def _group_norm(draw: Draw) -> Case:
    groups, width = draw.whole(1, 3), draw.whole(1, 4)
    shape = (*_images(draw, least=2)[:3], groups * width)

    def reference(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        parts = x.reshape(*shape[:3], groups, width)
        return np.asarray(_standardized(parts, (1, 2, 4)).reshape(shape) * w + b)

    return Case(
        lambda x, w, b: F.group_norm(x, groups, w, b),
        reference,
        [draw.floats(shape), *(draw.away_from_zero(shape[3:]) for _ in range(2))],
        roundings=256,
        scale=8,
    )


def _batch_norm(draw: Draw) -> Case:
    shape = _images(draw, least=2) if draw.chance(0.5) else (draw.whole(3, 40), draw.whole(1, 20))
    channels = shape[-1]

    def ours(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        mean, var = Tensor(np.zeros(channels)), Tensor(np.ones(channels))
        return F.batch_norm(x, w, b, mean, var, True)

    return Case(
        ours,
        lambda x, w, b: _standardized(x, tuple(range(len(shape) - 1))) * w + b,
        [draw.floats(shape), *(draw.away_from_zero((channels,)) for _ in range(2))],
        roundings=256,
        scale=8,
    )


MAKERS: dict[str, Maker] = {
    "max_pool2d": _pool("max_pool2d", np.max, -np.inf),
    "avg_pool2d": _pool("avg_pool2d", np.mean, 0.0),
    "upsample_nearest2d": _upsample,
    "interpolate": _interpolate,
    "max_pool3d": _pool3d("max_pool3d", np.max, -np.inf),
    "avg_pool3d": _pool3d("avg_pool3d", np.mean, 0.0),
    "adaptive pools": _adaptive_pool,
    "conv2d": _convolution,
    "conv_transpose2d": _transposed_convolution,
    "layer and RMS norm": _layer_norm,
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
}
