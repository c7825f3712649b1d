"""Configurations as TOML, both ways."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from vqswift.train import from_toml, to_toml


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
    with pytest.raises(TypeError, match=r"inner.options.x = .*TOML has no set"):
        to_toml(Outer("n", inner=Inner(options={"x": {1}})))
    with pytest.raises(TypeError, match="a dataclass is required"):
        to_toml({"name": "n"})
