"""What a run's directory holds: checkpoints, lines of metrics, the configuration."""

from __future__ import annotations

import os
import re
import resource
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from test_run import a_run, a_trainer
from vqswift import train
from vqswift.train._metrics_file import MetricsFile, lines_of

NAME = "checkpoint-{:09d}.safetensors"


@pytest.mark.parametrize(
    "copy",
    [
        "checkpoint-9-old.safetensors",
        "checkpoint-000000002-good.safetensors",
        "checkpoint-99.safetensors",
        "checkpoint-0000000099.safetensors",
        "checkpoint-000000099.safetensors.kept",
        "checkpoint-٠٠٠٠٠٠٠٠٩.safetensors",
    ],
)
def test_files_of_other_names_are_no_checkpoints(tmp_path: Path, copy: str) -> None:
    run = a_run(tmp_path, checkpoint_every=2, keep=1)
    run.fit(2, progress=False)
    shutil.copy(tmp_path / NAME.format(2), tmp_path / copy)
    run.fit(4, progress=False)
    assert [path.name for path in run.checkpoints()] == [NAME.format(4)]
    assert (tmp_path / copy).is_file()
    assert a_run(tmp_path).step == 4


def test_checkpoints_are_ordered_by_their_steps(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    names = [NAME.format(step) for step in (7, 999_999_999, 1_000_000_000)]
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in run.checkpoints()] == names


def test_a_damaged_later_checkpoint_does_not_displace_a_new_one(tmp_path: Path) -> None:
    run = a_run(tmp_path, checkpoint_every=3)
    run.fit(6, progress=False)
    (tmp_path / NAME.format(6)).write_bytes(b"half")
    with pytest.warns(UserWarning, match="checkpoint-000000003.safetensors is taken"):
        resumed = a_run(tmp_path, checkpoint_every=4, keep=1)
    resumed.fit(4, progress=False)
    assert (tmp_path / NAME.format(4)).is_file()
    assert not (tmp_path / NAME.format(3)).exists()
    with pytest.warns(UserWarning, match="checkpoint-000000004.safetensors is taken"):
        assert a_run(tmp_path).step == 4


def test_metrics_go_on_after_a_full_disk(tmp_path: Path) -> None:
    """The limit of a file's size breaks a line off as a full disk does."""
    run = a_run(tmp_path, checkpoint_every=1000)
    run.fit(3, progress=False)
    path = tmp_path / "metrics.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            run.fit(6, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not path.read_bytes().endswith(b"\n")
    run.fit(6, progress=False)
    assert [line["step"] for line in run.history()] == [1, 2, 3, 4, 5, 6]
    assert a_run(tmp_path).step == 6


@pytest.mark.parametrize("steps", [3, 5])
@pytest.mark.parametrize("fails", ["save_trainer", "validate", "metrics"])
def test_the_next_fit_does_what_an_error_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, steps: int
) -> None:
    errors: list[OSError] = []

    def full(*_: object) -> None:
        if errors:
            raise errors.pop()

    def validate(_: object) -> dict[str, float]:
        if fails == "validate":
            full()
        return {"error": 1.0}

    run = a_run(tmp_path, validate=validate)
    run.fit(2, progress=False)
    errors.append(OSError(28, "No space left on device"))
    with monkeypatch.context() as patch:
        if fails == "save_trainer":
            patch.setattr(train._run, "save_trainer", full)
        elif fails == "metrics":
            patch.setattr(MetricsFile, "_opened", full)
        with pytest.raises(OSError, match="No space left"):
            run.fit(steps, progress=False)
    assert run.step == 3
    run.fit(steps, progress=False)
    assert (tmp_path / NAME.format(3)).is_file()
    assert run.checkpoints()[-1].name == NAME.format(steps)
    found = [(line["step"], "loss" in line) for line in lines_of(tmp_path)]
    expected = [(1, True), (2, True), (2, False), (3, True), (3, False)]
    assert found == expected + [(4, True), (5, True), (5, False)] * (steps > 3)


def test_an_unfinished_last_line_is_dropped_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    with MetricsFile(path, None) as lines:
        lines.write({"step": 2, "loss": 0.5})
    assert path.read_text() == '{"step": 1}\n{"step": 2, "loss": 0.5}\n'


def test_no_line_is_lost_or_doubled_by_disks_that_fill_up_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = MetricsFile(path, None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # A line has 12 bytes; where the second fails anew, the one beside it is not taken.
        for step, room in ((1, 5), (2, 15), (9, 20), (3, 29)):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
            with pytest.raises(OSError, match="File too large"), lines:
                lines.write({"step": step})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with lines:
        lines.write({"step": 4})
    assert [line["step"] for line in lines_of(tmp_path)] == [1, 2, 3, 4]


def test_a_metrics_file_may_be_a_device() -> None:
    with MetricsFile(os.devnull, "tag") as lines:
        lines.write({"step": 1})


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"5",
        b"[1]",
        b"",
        b'{"loss": 1.0}',
        b'{"step": 1.5}',
        b'{"step": true}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_bad_line_is_told_with_its_file_and_number(tmp_path: Path, bad: bytes) -> None:
    run = a_run(tmp_path)
    run.fit(3, progress=False)
    path = tmp_path / "metrics.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + bad + b"\n" + b"".join(others))
    text = rf"\[run\] {re.escape(str(path))}, line 2: .* a JSON object with an integer 'step'"
    with pytest.raises(ValueError, match=text):
        a_run(tmp_path)
    with pytest.raises(ValueError, match=text.replace("run", "report", 1)):
        lines_of(tmp_path, operation="report")


@dataclass(frozen=True)
class Part:
    rate: float = 1.0


@dataclass(frozen=True)
class Parts:
    limit: int | None = None
    name: str = "n"
    first: Part = field(default_factory=Part)
    second: Part = field(default_factory=Part)
    options: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (Parts(limit=7), Parts(), "it has 'limit = 7', which the new one has not"),
        (Parts(), Parts(limit=7), "'limit = 7' is not in it"),
        (
            Parts(first=Part(2.0)),
            Parts(second=Part(2.0)),
            "'first.rate = 1.0' is not in it, but 'first.rate = 2.0'",
        ),
        (Parts(name="a"), Parts(name="b"), "\"name = 'b'\" is not in it, but \"name = 'a'\""),
        (Parts(options={"a": 1}), Parts(), "'options = {}' is not in it"),
        (Parts(), Parts(options={"a": 1}), "'options.a = 1' is not in it"),
    ],
)
def test_the_value_that_differs_is_told(
    tmp_path: Path, before: Parts, after: Parts, told: str
) -> None:
    a_run(tmp_path, configuration=before)
    with pytest.raises(ValueError, match=f"another configuration: {re.escape(told)}; take another"):
        a_run(tmp_path, configuration=after)


def test_comments_and_not_a_number_leave_a_configuration_the_same(tmp_path: Path) -> None:
    a_run(tmp_path, configuration=Part(float("nan")))
    a_run(tmp_path, configuration=Part(float("nan")))
    path = tmp_path / "config.toml"
    path.write_text("# mine\n" + path.read_text())
    a_run(tmp_path, configuration=Part(float("nan")))


@pytest.mark.parametrize("content", [b"rate = ", b"\xff"])
def test_a_configuration_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"\[run\] {re.escape(str(path))}: .*no TOML"):
        train.Run(tmp_path, a_trainer(), configuration=Part())
