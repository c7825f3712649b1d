"""Configurations as TOML, both ways."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from vqswift.train import from_toml, to_toml
from vqswift.train._configuration import difference


@dataclass(frozen=True)
class Inner:
    kind: Literal["a", "b"] = "a"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outer:
    name: str
    rate: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    rows: tuple[str, ...] = ()
    sizes: list[int] = field(default_factory=list)
    is_last: bool = False
    limit: int | None = None
    folder: Path | None = None
    inner: Inner = field(default_factory=Inner)


FULL = Outer(
    name='a "quoted" name',
    rate=1e-4,
    betas=(0.5, 0.25),
    rows=("x", "y"),
    sizes=[3, 4],
    is_last=True,
    limit=7,
    folder=Path("runs/one"),
    inner=Inner("b", {"beta": 0.9, "nested": {"deep": [1, 2]}}),
)


@pytest.mark.parametrize("made", [Outer("plain"), FULL])
def test_both_ways(made: Outer) -> None:
    assert from_toml(Outer, to_toml(made)) == made


def test_a_file_that_somebody_wrote() -> None:
    read = from_toml(Outer, 'name = "n"\nrate = 3\n[inner]\nkind = "b"\n')
    assert read == Outer("n", rate=3.0, inner=Inner("b"))
    assert type(read.rate) is float


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("rate = 1.0", ValueError, ["name is missing", "no default"]),
        ('name = "n"\nrates = 1.0', ValueError, ["rates", "no field of Outer", "rate"]),
        ('name = "n"\n[inner]\nkind = "c"', ValueError, ["inner.kind = 'c'", "'a', 'b'"]),
        ('name = "n"\n[inner]\nkin = "c"', ValueError, ["inner.kin", "no field of Inner"]),
        ("name = 3", TypeError, ["name = 3", "str"]),
        ('name = "n"\nlimit = 1.5', TypeError, ["limit = 1.5", "int"]),
        ('name = "n"\nis_last = 1', TypeError, ["is_last = 1", "bool"]),
        ('name = "n"\nbetas = [0.1]', TypeError, ["betas = [0.1]", "tuple"]),
        ('name = "n"\nrows = [1]', TypeError, ["rows[0] = 1", "str"]),
        ('name = "n"\nrate = nan', ValueError, ["rate = nan"]),
        ('name = "n"\ninner = 3', TypeError, ["inner = 3", "Inner"]),
        ("name = ", ValueError, ["from_toml", "Invalid value"]),
    ],
)
def test_what_does_not_fit_is_named(text: str, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as raised:
        from_toml(Outer, text)
    assert all(word in str(raised.value) for word in words), raised.value


def test_what_toml_has_not_is_named() -> None:
    with pytest.raises(TypeError, match=r"inner.options.x is a set: what a configuration may hold"):
        to_toml(Outer("n", inner=Inner(options={"x": {1}})))
    with pytest.raises(TypeError, match="a dataclass is required"):
        to_toml({"name": "n"})


class Level(enum.StrEnum):
    LOW, HIGH = "low", "high"


class Count(enum.IntEnum):
    ONE, TWO = 1, 2


@dataclass(frozen=True)
class Kinds:
    level: Level = Level.LOW
    count: Count = Count.ONE
    either: Literal["auto"] | int = "auto"
    exact: Literal[1, 2] = 1
    bare: tuple = ()  # type: ignore[type-arg]
    none: tuple[()] = ()
    several: Sequence[int] = ()
    named: Mapping[str, float] = field(default_factory=dict)
    rate: float = 1.0
    derived: int = field(default=0, init=False)


@pytest.mark.parametrize(
    "made",
    [
        Kinds(),
        Kinds(Level.HIGH, Count.TWO, 3, 2, (1, "a"), (), (4, 5), {"a": 0.5}, 2.0),
    ],
)
def test_kinds_both_ways(made: Kinds) -> None:
    assert from_toml(Kinds, to_toml(made)) == made


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('level = "middle"', ValueError),
        ("count = 3", ValueError),
        ("count = true", ValueError),
        ("either = 1.5", TypeError),
        ("exact = true", ValueError),
        ("exact = 1.0", ValueError),
        ("none = [1]", TypeError),
        ("several = 1", TypeError),
    ],
)
def test_kinds_that_do_not_fit(text: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"\[from_toml\] {text.split()[0]} = "):
        from_toml(Kinds, text)


def test_text_that_is_no_unicode() -> None:
    with pytest.raises(ValueError, match=r"\[to_toml\] name = .* Unicode text is required"):
        to_toml(Outer("\ud800"))


@pytest.mark.parametrize(("new", "is_same"), [("1.0", True), ("2", False), ("true", False)])
def test_an_integer_is_its_float(new: str, is_same: bool) -> None:
    assert (difference("rate = 1", f"rate = {new}") is None) == is_same
    assert (difference("rates = [1, 3]", f"rates = [{new}, 3.0]") is None) == is_same
