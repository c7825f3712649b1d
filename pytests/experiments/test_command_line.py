"""The command `vqswift`: its version, its name, and every option's help with its default."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
import vqswift as vq
from vqswift import __main__ as command
from vqswift.codec._commands import COMMANDS as CODEC_COMMANDS
from vqswift.codec._painting_commands import COMMANDS as PAINTING_COMMANDS
from vqswift.experiments import COMMANDS, _page


def subparsers() -> dict[str, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(prog="vqswift")
    commands = parser.add_subparsers()
    for each in (*COMMANDS, *CODEC_COMMANDS, *PAINTING_COMMANDS):
        each.add_to(commands)
    return {
        f"{name} {below}".rstrip(): each
        for name, parser in commands.choices.items()
        for below, each in nested(parser).items()
    }


def nested(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a group, or the command itself."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {"": parser}


OPTIONS = [
    pytest.param(parser, action, id=f"{name} {action.dest}")
    for name, parser in subparsers().items()
    for action in parser._actions
    if action.dest != "help"
]


@pytest.mark.parametrize(("parser", "action"), OPTIONS)
def test_every_option_tells_what_it_is_and_its_default(
    parser: argparse.ArgumentParser, action: argparse.Action
) -> None:
    text = parser._get_formatter()._expand_help(action)
    assert action.help, "no help"
    assert "None" not in text
    if action.const is True:
        return
    if "by default" not in text and action.option_strings:
        assert f"(default: {action.default})" in text
    assert len(text.split()) >= 2


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["demo", "--help"]])
def test_told_on_standard_output(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert not err
    if arguments == ["--version"]:
        assert out == f"vqswift {vq.__version__}\n"
    else:
        assert out.startswith("usage: vqswift ")
        assert "python -m" not in out


def test_a_wrong_command_names_vqswift(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["sing"], ["demo", "--steps", "many"]):
        with pytest.raises(SystemExit) as caught:
            command.main(arguments)
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("usage: vqswift")
        assert "\nvqswift" in error


def test_as_a_module_it_has_the_same_name(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "vqswift", "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == 0
    assert found.stdout.startswith("usage: vqswift ")
    for name in ("demo", "encode", "decode", "reconstruct", "estimators", "resnet50", "--version"):
        assert name in found.stdout


def test_lines_of_a_figure_are_named_without_what_all_end_with() -> None:
    named = _page._without_common_end
    assert named(["A-seed-0-epochs-30", "B+l2-seed-0-epochs-30"]) == ["A", "B+l2"]
    assert named(["k-seed-0", "k-seed-1"]) == ["k-seed-0", "k-seed-1"]
    assert named(["a", "b-a"]) == ["a", "b-a"]
    assert named(["x"]) == ["x"]
