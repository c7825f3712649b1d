"""The commonest mistakes are told what to write, as docs/how-to/mistakes.md has it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from mistakes import NAMES, TOLD, is_told, of_torch, run
from vqswift import nn

KINDS = (TypeError, ValueError, RuntimeError, AttributeError)


def backward_twice() -> None:
    loss = nn.Linear(4, 4)(NAMES["z"]).sum()
    loss.backward()
    loss.backward()


def without_super() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(4, 4)

    Mine()


def state_with_a_prefix() -> None:
    layer = nn.Linear(4, 4)
    layer.load_state_dict({f"module.{name}": v for name, v in layer.state_dict().items()})


# Of rows whose first column is no program.
PROGRAMS: dict[str, Callable[[], None]] = {
    "`loss.backward()`, twice": backward_twice,
    "a layer assigned before `super().__init__()`": without_super,
    "`load_state_dict` of names that `DataParallel` or `torch.compile` gave": state_with_a_prefix,
}


@pytest.mark.parametrize("written", [row for row in TOLD if not of_torch(row)])
def test_what_is_told(written: str) -> None:
    with pytest.raises(KINDS) as caught:
        PROGRAMS.get(written, lambda: run(written))()
    is_told(written, caught.value)


def test_there_are_more_than_twenty() -> None:
    assert len(TOLD) >= 20 and set(PROGRAMS) <= set(TOLD)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_the_order_of_axes_fits_the_shape(rank: int) -> None:
    x = np.zeros((2, 3, *range(4, 2 + rank)), np.float32)
    for given in (x, vq.Tensor(x)):
        with pytest.raises(ValueError, match="channels come last: write x.") as caught:
            nn.GroupNorm(1, 3)(given)
        call = str(caught.value).rpartition("write ")[2]
        assert nn.GroupNorm(1, 3)(eval(call, {"x": given})).shape == (*x.shape[:1], *x.shape[2:], 3)


def test_no_order_is_told_where_none_helps() -> None:
    for shape in ((2, 5, 6), (3, 4), (2, 3, 4, 5)):
        with pytest.raises(ValueError) as caught:
            nn.GroupNorm(1, 7)(np.zeros(shape, np.float32))
        assert "come last" not in str(caught.value)


@pytest.mark.parametrize("name", ["cuda", "float", "long", "clone", "contiguous", "numel", "data"])
def test_pytorchs_names_of_tensors_are_known(name: str) -> None:
    x = vq.Tensor([1.0])
    assert not hasattr(x, name)
    with pytest.raises(AttributeError, match=rf"^\[tensor\] {name}: ") as caught:
        getattr(x, name)
    for call in (c for c in str(caught.value).split("write ")[1:] if c.startswith("x.")):
        eval(call.partition(",")[0], {"x": x, "np": np, "vq": vq})
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'nothing'"):
        _ = x.nothing  # type: ignore[attr-defined]


def test_an_own_error_within_backward_stays_as_it_is() -> None:
    class Odd(ValueError):
        def __init__(self, one: int, other: int) -> None:
            super().__init__("a gradient must be given")

    class Refusing(vq.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: vq.Tensor) -> vq.Tensor:
            return x * 1.0

        @staticmethod
        def backward(ctx: object, gradient: vq.Tensor) -> vq.Tensor:
            raise Odd(1, 2)

    with pytest.raises(Odd, match="^a gradient must be given$"):
        Refusing.apply(vq.Tensor([1.0], requires_grad=True)).sum().backward()


def test_a_hint_fits_what_was_given() -> None:
    with pytest.raises(TypeError, match="a number is required$"):
        vq.optim.Adam(nn.Linear(4, 4).parameters(), lr="fast")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"write model.parameters\(\), which has no names"):
        vq.optim.Adam(nn.Linear(4, 4).named_parameters())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no other$"):
        nn.Linear(4, 4).load_state_dict({"module.weight": np.ones((4, 4))})
