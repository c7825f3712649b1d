"""NumPy's functions on tensors: they stay on the tape, or are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from ._tensor import Tensor

#: Ufuncs with a counterpart on tensors.
UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: lambda a, b: a + b,
    np.subtract: lambda a, b: a - b,
    np.multiply: lambda a, b: a * b,
    np.divide: lambda a, b: a / b,
    np.floor_divide: lambda a, b: a // b,
    np.remainder: lambda a, b: a % b,
    np.matmul: lambda a, b: a @ b,
    np.power: lambda a, b: a**b,
    np.negative: lambda x: -x,
    np.positive: lambda x: x,
    np.absolute: lambda x: x.abs(),
    np.exp: lambda x: x.exp(),
    np.log: lambda x: x.log(),
    np.log2: lambda x: x.log2(),
    np.log10: lambda x: x.log10(),
    np.log1p: lambda x: x.log1p(),
    np.expm1: lambda x: x.expm1(),
    np.sin: lambda x: x.sin(),
    np.cos: lambda x: x.cos(),
    np.sign: lambda x: x.sign(),
    np.floor: lambda x: x.floor(),
    np.ceil: lambda x: x.ceil(),
    np.rint: lambda x: x.round(),
    np.sqrt: lambda x: x.sqrt(),
    np.square: lambda x: x.square(),
    np.tanh: lambda x: x.tanh(),
    np.reciprocal: lambda x: 1.0 / x,
    np.equal: lambda a, b: a == b,
    np.not_equal: lambda a, b: a != b,
    np.less: lambda a, b: a < b,
    np.less_equal: lambda a, b: a <= b,
    np.greater: lambda a, b: a > b,
    np.greater_equal: lambda a, b: a >= b,
    np.bitwise_and: lambda a, b: a & b,
    np.bitwise_or: lambda a, b: a | b,
    np.bitwise_xor: lambda a, b: a ^ b,
    np.invert: lambda x: ~x,
    np.logical_and: lambda a, b: _truth(a) & _truth(b),
    np.logical_or: lambda a, b: _truth(a) | _truth(b),
    np.logical_xor: lambda a, b: _truth(a) ^ _truth(b),
    np.logical_not: lambda x: ~_truth(x),
}

#: Functions whose results no gradient passes, taken of the elements.
READERS = {
    *(np.isfinite, np.isinf, np.isnan, np.signbit, np.isclose, np.allclose, np.array_equal),
    *(np.array_equiv, np.shape, np.ndim, np.size, np.count_nonzero, np.nonzero),
    *(np.array2string, np.array_repr, np.array_str, np.result_type, np.save),
    *(np.savez, np.savez_compressed, np.savetxt, np.may_share_memory, np.shares_memory),
}


#: Functions that write into their first argument.
WRITERS = {np.copyto, np.fill_diagonal, np.put, np.putmask, np.place, np.put_along_axis}


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: Any) -> Any:
    """What `Tensor.__array_ufunc__` gives."""
    from ._functions import maximum, minimum
    from ._tensor import Tensor, as_tensor

    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    if method == "at":
        _refuse(name, "it writes in place")
    if options.get("out") is not None:
        _refuse(name, "an array does not take the result of a tensor")
    if method == "__call__" and not options:
        if ufunc is np.maximum or ufunc is np.minimum:
            return (maximum if ufunc is np.maximum else minimum)(*inputs)
        if ufunc is np.power:
            inputs = inputs[0], _exponent(inputs[1])
        if ufunc in UFUNCS:
            kept = (Tensor, int, float)
            exponent = ufunc is np.power and isinstance(inputs[1], np.generic)
            numbers = (int(x) if isinstance(x, np.integer) else x for x in inputs)
            return UFUNCS[ufunc](
                *(
                    x
                    if type(x) in kept or isinstance(x, Tensor) or (i and exponent)
                    else as_tensor(x)
                    for i, x in enumerate(numbers)
                )
            )
    if ufunc not in READERS and any(t.requires_grad for t in _tensors(inputs)):
        _refuse(name, "it has no counterpart on the tape")
    result = getattr(ufunc, method)(*_arrays(inputs), **_arrays(options))
    return tuple(map(Tensor, result)) if isinstance(result, tuple) else Tensor(result)


def _exponent(value: Any) -> Any:
    """A scalar or an array of one element as a number of Python, which has no ufunc to come back
    by."""
    if not isinstance(value, (np.ndarray, np.generic)) or value.ndim:
        return value
    number = value.item()
    return int(number) if isinstance(number, bool) else number


def apply_function(function: Callable[..., Any], args: Any, options: Any) -> Any:
    """What `Tensor.__array_function__` gives."""
    name = function.__name__
    if function in WRITERS:
        _refuse(name, "it writes in place, and a tensor is written by .assign(value)")
    if function in FUNCTIONS:
        try:
            return FUNCTIONS[function](*args, **options)
        except TypeError as error:
            if "argument" not in str(error):
                raise
            _refuse(name, f"not with these arguments ({error})")
    if function not in READERS and any(t.requires_grad for t in _tensors((args, options))):
        _refuse(name, "it has no counterpart on the tape")
    return function(*_arrays(args), **_arrays(options))


def _refuse(name: str, why: str) -> NoReturn:
    raise TypeError(
        f"[numpy.{name}] {why}: use vqswift's operators, or np.asarray(tensor) off the tape"
    )


def _truth(value: Any) -> Tensor:
    from ._tensor import as_tensor

    return as_tensor(value).astype(bool)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors among nested arguments."""
    from ._tensor import Tensor

    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _arrays(value: Any) -> Any:
    """Nested arguments with arrays in the place of tensors."""
    from ._tensor import Tensor

    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(map(_arrays, value))
    return value


# The functions, with those of NumPy's arguments that tensors have


def _sum(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return _tensor(a).sum(axis, keepdims)


def _mean(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return _tensor(a).mean(axis, keepdims)


def _max(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return _tensor(a).max(axis, keepdims)


def _min(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return _tensor(a).min(axis, keepdims)


def _var(a: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Tensor:
    if ddof not in (0, 1):
        _refuse("var", f"ddof = {ddof}: 0 and 1 are taken")
    return _tensor(a).var(axis, keepdims, unbiased=ddof == 1)


def _std(a: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Tensor:
    return _var(a, axis, ddof=ddof, keepdims=keepdims).sqrt()


def _argmax(a: Any, axis: int | None = None) -> Tensor:
    return _along(a, axis, lambda x, at: x.argmax(at))


def _argmin(a: Any, axis: int | None = None) -> Tensor:
    return _along(a, axis, lambda x, at: x.argmin(at))


def _along(a: Any, axis: int | None, function: Callable[[Tensor, int], Tensor]) -> Tensor:
    """`function` along an axis, or of all elements in a row."""
    x = _tensor(a)
    return function(x.reshape(-1), 0) if axis is None else function(x, axis)


def _sort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
    return _along(a, axis, lambda x, at: x.sort(at).values)


def _argsort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
    return _along(a, axis, lambda x, at: x.argsort(at))


def _cumsum(a: Any, axis: int | None = None) -> Tensor:
    return _along(a, axis, lambda x, at: x.cumsum(at))


def _cumprod(a: Any, axis: int | None = None) -> Tensor:
    return _along(a, axis, lambda x, at: x.cumprod(at))


def _take(a: Any, indices: Any, axis: int | None = None) -> Tensor:
    return _along(a, axis, lambda x, at: x[(*(slice(None),) * (at % x.ndim), np.asarray(indices))])


def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Tensor:
    return _along(arr, axis, lambda x, at: x.take_along_axis(indices, at))


def _einsum(subscripts: Any, *operands: Any, optimize: Any = False) -> Tensor:
    from ._einsum import einsum

    if not isinstance(subscripts, str):
        _refuse("einsum", "the axes are to be named by a string")
    return einsum(subscripts, *operands)


def _outer(a: Any, b: Any) -> Tensor:
    from ._functions import outer

    return outer(_tensor(a).reshape(-1), _tensor(b).reshape(-1))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    tensor = _tensor(x)
    axes = tensor.ndim if axis is None else np.size(axis)
    if ord is not None and axes != 1:
        _refuse("norm", f"ord = {ord!r} of {axes} axes is no sum of powers")
    return tensor.norm(2 if ord is None else ord, axis, keepdims)


def _transpose(a: Any, axes: Any = None) -> Tensor:
    return _tensor(a).T if axes is None else _tensor(a).permute(axes)


def _swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    order = list(range(_tensor(a).ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return _tensor(a).permute(order)


def _reshaped(function: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    """What only changes the shape, as `function` changes that of an array."""
    return lambda a, *args, **options: _tensor(a).reshape(
        function(np.empty(_tensor(a).shape, np.bool_), *args, **options).shape
    )


def _clip(a: Any, a_min: float | None = None, a_max: float | None = None) -> Tensor:
    return _tensor(a).clamp(a_min, a_max)


def _where(condition: Any, *operands: Any) -> Any:
    from ._functions import where

    return where(condition, *operands) if operands else np.nonzero(np.asarray(condition))


def _concatenate(arrays: Any, axis: int = 0) -> Tensor:
    from ._functions import concatenate

    return concatenate(arrays, axis)


def _stack(arrays: Any, axis: int = 0) -> Tensor:
    from ._functions import stack

    return stack(arrays, axis)


def _constant(function: Callable[..., np.ndarray], a: Any, *args: Any) -> Tensor:
    from ._tensor import Tensor

    return Tensor(function(_tensor(a).numpy(), *args))


def _tensor(value: Any) -> Tensor:
    from ._tensor import as_tensor

    return as_tensor(value)


def _dot(a: Any, b: Any) -> Tensor:
    left, right = _tensor(a), _tensor(b)
    if left.ndim == 0 or right.ndim == 0:
        return left * right
    if right.ndim > 2:
        _refuse("dot", "of a right side with more than two axes it has no counterpart on the tape")
    return left @ right


FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.sum: _sum,
    np.mean: _mean,
    np.max: _max,
    np.min: _min,
    np.amax: _max,
    np.amin: _min,
    np.var: _var,
    np.std: _std,
    np.any: lambda a, axis=None, *, keepdims=False: _tensor(a).any(axis, keepdims),
    np.all: lambda a, axis=None, *, keepdims=False: _tensor(a).all(axis, keepdims),
    np.argmax: _argmax,
    np.argmin: _argmin,
    np.prod: lambda a, axis=None, *, keepdims=False: _tensor(a).prod(axis, keepdims),
    np.cumsum: _cumsum,
    np.cumprod: _cumprod,
    np.sort: _sort,
    np.argsort: _argsort,
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    np.tril: lambda m, k=0: _tensor(m).tril(k),
    np.triu: lambda m, k=0: _tensor(m).triu(k),
    np.outer: _outer,
    np.einsum: _einsum,
    np.linalg.norm: _norm,
    np.reshape: lambda a, shape: _tensor(a).reshape(shape),
    np.ravel: lambda a: _tensor(a).reshape(-1),
    np.squeeze: _reshaped(np.squeeze),
    np.expand_dims: _reshaped(np.expand_dims),
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.broadcast_to: lambda array, shape: _tensor(array).broadcast_to(shape),
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.clip: _clip,
    np.where: _where,
    np.dot: _dot,
    np.zeros_like: lambda a: _constant(np.zeros_like, a),
    np.ones_like: lambda a: _constant(np.ones_like, a),
    np.full_like: lambda a, fill_value: _constant(np.full_like, a, fill_value),
}
