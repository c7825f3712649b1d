"""Sums of products by the names of axes, made of transpositions and matrix products."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from ._arguments import checked
from ._integers import as_floats
from ._tensor import Tensor

# A letter, or an axis of `...` counted from its end.
_Label = str | int
# A tensor and the label of each of its axes, all different.
_Part = tuple[Tensor, list[_Label]]


@checked
def einsum(equation: str, *operands: Tensor | npt.ArrayLike) -> Tensor:
    """The sum of products of elements over all axes that the result lacks: "bij,bjk->bik".

    `equation`: a letter for each axis of each operand, `...` for those without, which broadcast;
    behind `->` those of the result, else `...` and the letters that stand once, by the alphabet.
    A letter that stands twice in an operand takes its diagonal. Axes of size 1 broadcast. Pairs
    are joined in the order of the fewest multiplications. ValueError for what does not fit.
    """
    tensors = [as_floats("einsum", f"operand {i}", x) for i, x in enumerate(operands)]
    inputs, output = _parsed(equation, [x.shape for x in tensors])
    sizes = _sizes(equation, inputs, tensors)
    parts = [
        _without_repeats(equation, x, labels) for x, labels in zip(tensors, inputs, strict=True)
    ]
    parts = [_squeezed(part, sizes) for part in parts]
    for i, (x, labels) in enumerate(parts):
        others = {label for j, part in enumerate(parts) if j != i for label in part[1]}
        parts[i] = _summed(x, labels, others.union(output))
    while len(parts) > 1:
        a, b = min(
            itertools.combinations(range(len(parts)), 2),
            key=lambda pair: math.prod(sizes[x] for x in {*parts[pair[0]][1], *parts[pair[1]][1]}),
        )
        right, left = parts.pop(b), parts.pop(a)
        needed = {label for part in parts for label in part[1]}.union(output)
        parts.append(_joined(left, right, needed, sizes))
    result, labels = parts[0]
    return _ordered(result, labels, output)


def _parsed(
    equation: str, shapes: Sequence[tuple[int, ...]]
) -> tuple[list[list[_Label]], list[_Label]]:
    """The labels of each operand and of the result."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"[einsum] {equation!r}: {len(terms)} terms for {len(shapes)} operands")
    inputs = [_labels(equation, t, len(s)) for t, s in zip(terms, shapes, strict=True)]
    dots = max(sum(isinstance(label, int) for label in labels) for labels in inputs)
    counts = Counter(label for labels in inputs for label in labels if isinstance(label, str))
    once = sorted(label for label, count in counts.items() if count == 1)
    if not arrow:
        return inputs, [*range(-dots, 0), *once]
    letters = right.replace("...", "")
    output = _labels(equation, right, len(letters) + (dots if "..." in right else 0))
    for letter in letters:
        if letter not in counts or letters.count(letter) > 1:
            rule = "must stand in an operand" if letter not in counts else "must stand once"
            raise ValueError(f"[einsum] {equation!r}: '{letter}' of the result {rule}")
    return inputs, output


def _labels(equation: str, term: str, rank: int) -> list[_Label]:
    head, dots, tail = term.partition("...")
    letters = head + tail
    if not all(letter.isascii() and letter.isalpha() for letter in letters):
        raise ValueError(f"[einsum] {equation!r}: letters, '...', ',' and '->' are taken")
    rest = rank - len(letters)
    if rest < 0 or (rest and not dots):
        raise ValueError(
            f"[einsum] {equation!r}: '{term}' has {len(letters)} letters for {rank} axes"
        )
    return [*head, *range(-rest, 0), *tail]


def _sizes(
    equation: str, inputs: Sequence[Sequence[_Label]], tensors: Sequence[Tensor]
) -> dict[_Label, int]:
    """The size of each label; an axis of 1 takes that of others."""
    sizes: dict[_Label, int] = {}
    for labels, x in zip(inputs, tensors, strict=True):
        for label, size in zip(labels, x.shape, strict=True):
            known = sizes.setdefault(label, size)
            if 1 not in (known, size) and known != size:
                name = f"'{label}'" if isinstance(label, str) else f"axis {label} of '...'"
                raise ValueError(f"[einsum] {equation!r}: {name} has the sizes {known} and {size}")
            if known == 1:
                sizes[label] = size
    return sizes


def _without_repeats(equation: str, x: Tensor, labels: list[_Label]) -> _Part:
    """Diagonals where a label stands twice."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            size = x.shape[first]
            if x.shape[second] != size:
                raise ValueError(
                    f"[einsum] {equation!r}: '{label}' has the sizes {size} and {x.shape[second]} "
                    "in one operand"
                )
            rest = [axis for axis in range(x.ndim) if axis not in (first, second)]
            shape = [x.shape[axis] for axis in rest]
            square = x.permute([*rest, first, second]).reshape([*shape, size * size])
            x = square.take(np.arange(size) * (size + 1), -1)
            labels = [*(labels[axis] for axis in rest), label]
    return x, labels


def _squeezed(part: _Part, sizes: dict[_Label, int]) -> _Part:
    """Without axes of size 1 that others have larger."""
    x, labels = part
    kept = [axis for axis, label in enumerate(labels) if x.shape[axis] == sizes[label]]
    return x.reshape([x.shape[axis] for axis in kept]), [labels[axis] for axis in kept]


def _summed(x: Tensor, labels: list[_Label], needed: Collection[_Label]) -> _Part:
    alone = [axis for axis, label in enumerate(labels) if label not in needed]
    if not alone:
        return x, labels
    return x.sum(alone), [label for label in labels if label in needed]


def _ordered(x: Tensor, labels: list[_Label], order: Sequence[_Label]) -> Tensor:
    axes = [labels.index(label) for label in order]
    return x if axes == list(range(x.ndim)) else x.permute(axes)


def _joined(a: _Part, b: _Part, needed: Collection[_Label], sizes: dict[_Label, int]) -> _Part:
    """The product of two parts, summed over what they share and nobody needs."""
    (x, left), (y, right) = a, b
    batch = [label for label in left if label in right and label in needed]
    inner = [label for label in left if label in right and label not in needed]
    rows = [label for label in left if label not in right]
    columns = [label for label in right if label not in left]
    m, n, k, count = (
        math.prod(sizes[label] for label in group) for group in (rows, columns, inner, batch)
    )
    x = _ordered(x, left, [*batch, *rows, *inner]).reshape(count, m, k)
    y = _ordered(y, right, [*batch, *inner, *columns]).reshape(count, k, n)
    product = x @ y if inner else x * y
    labels = [*batch, *rows, *columns]
    return product.reshape([sizes[label] for label in labels]), labels
