"""Sums of products by the names of axes, against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vqswift as vq

SIZES = {"a": 2, "b": 3, "c": 4, "d": 5, "i": 3, "j": 4, "k": 5}
EQUATIONS = [
    *("ij,jk->ik", "ij,jk", "ij->ji", "ij->i", "ij->", "i,i->", "i,j->ij", "ij,ij->ij", "i,ij,j->"),
    *("bij,bjk->bik", "abij,bjk->aik", "ij,ik->jk", "ij,kj->", "ba,ab", "ij,jk,kd,da->ia"),
    *("ii->i", "ii", "aab->b", "aiai->ai", "ii,i->i", "abc,cd,bd->ad", "ij , jk -> ik"),
    *("...ij,...jk->...ik", "...ij,jk", "i...,i...->...", "...->...", "...i->i..."),
]


def operands(equation: str, dots: tuple[tuple[int, ...], ...] = ((2, 1), (3,))) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = []
    for number, term in enumerate(equation.replace(" ", "").partition("->")[0].split(",")):
        head, has_dots, tail = term.partition("...")
        middle = dots[number] if has_dots else ()
        shape = (*(SIZES[x] for x in head), *middle, *(SIZES[x] for x in tail))
        found.append(rng.standard_normal(shape).astype(np.float32))
    return found


@pytest.mark.parametrize("equation", EQUATIONS)
def test_values_and_gradients(equation: str) -> None:
    inputs = operands(equation)
    tensors = [vq.Tensor(x, requires_grad=True) for x in inputs]
    found = vq.einsum(equation, *tensors)
    wide = [x.astype(np.float64) for x in inputs]
    expected = np.asarray(np.einsum(equation, *wide))
    assert found.shape == expected.shape
    # At most 240 products of numbers of size 1.
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=240 * 2**-20)
    g = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)
    found.backward(g)
    way = np.random.default_rng(2)
    for i, tensor in enumerate(tensors):
        step = way.standard_normal(inputs[i].shape)
        # The sum is linear in each operand.
        slope = (np.einsum(equation, *wide[:i], step, *wide[i + 1 :]) * g).sum()
        assert tensor.grad is not None
        own = (tensor.grad.numpy() * step).sum(dtype=np.float64)
        np.testing.assert_allclose(own, slope, rtol=0, atol=240 * 2**-18)


def test_axes_of_size_one_and_none() -> None:
    for shapes in [((1, 3), (2, 3)), ((2, 0), (2, 0)), ((0, 3), (0, 3)), ((1, 0), (2, 0))]:
        a, b = (np.ones(shape, np.float32) for shape in shapes)
        expected = np.einsum("ij,ij->i", a, b)
        np.testing.assert_array_equal(vq.einsum("ij,ij->i", a, b).numpy(), expected)


def test_dots_that_the_result_lacks_are_summed() -> None:
    x = np.ones((2, 3, 4), np.float32)
    assert vq.einsum("...i->i", x).tolist() == [6, 6, 6, 6]


def test_pairs_are_joined_in_the_cheaper_order() -> None:
    """The product of the large matrices would have 4 * 10^8 elements."""
    a, b, c = (np.ones(shape, np.float32) for shape in [(20_000, 2), (2, 20_000), (20_000, 1)])
    assert vq.einsum("ij,jk,kl->il", a, b, c)[0, 0].item() == 40_000


def test_numpys_einsum_stays_on_the_tape() -> None:
    x = vq.Tensor(np.ones((2, 3)), requires_grad=True)
    found: Any = np.einsum("ij,kj->ik", x, np.ones((4, 3), np.float32), optimize=True)
    assert isinstance(found, vq.Tensor) and found.requires_grad and found.shape == (2, 4)
    with pytest.raises(TypeError, match=r"\[numpy.einsum\] the axes are to be named by a string"):
        np.einsum(x, [0, 1], [0])


REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "terms": (("ij,jk", np.ones((2, 2))), "'ij,jk': 2 terms for 1 operands"),
    "letters": (("ij->i", np.ones(2)), "'ij->i': 'ij' has 2 letters for 1 axes"),
    "fewer letters": (("i", np.ones((2, 2))), "'i': 'i' has 1 letters for 2 axes"),
    "signs": (("i1", np.ones((2, 2))), "'i1': letters, '...', ',' and '->' are taken"),
    "dots": (("..i", np.ones((2, 2))), "letters, '...', ',' and '->' are taken"),
    "sizes": (("ij,jk", np.ones((2, 3)), np.ones((2, 2))), "'j' has the sizes 3 and 2"),
    "diagonal": (("ii", np.ones((2, 3))), "'i' has the sizes"),
    "unknown": (("ij->k", np.ones((2, 3))), "'k' of the result must stand in an operand"),
    "twice": (("ij->ii", np.ones((2, 3))), "'i' of the result must stand once"),
    "broadcast": (
        ("...i,...i", np.ones((2, 3)), np.ones((4, 3))),
        "axis -1 of '...' has the sizes 2 and 4",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    arguments, words = REFUSED[case]
    with pytest.raises(ValueError) as raised:
        vq.einsum(*arguments)
    assert words in str(raised.value) and str(raised.value).startswith("[einsum]")


def test_integers_that_float32_rounds_are_refused() -> None:
    assert vq.einsum("i,i->", np.arange(3), np.ones(3)).item() == 3
    with pytest.raises(ValueError, match=r"\[einsum\] operand 0 of dtype int"):
        vq.einsum("i->", np.array([2**24 + 1]))
