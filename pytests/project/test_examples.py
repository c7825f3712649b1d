"""The examples: the command in each first line runs, and shows what the example is about."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from conftest import ROOT, building

EXAMPLES = ROOT / "examples"
PYTHON = sorted(EXAMPLES.glob("*.py"))
# Whole networks, of which PyTorch's twins stand in the tests of peers.
NETWORKS = {
    EXAMPLES / f"{name}.py" for name in ("codec", "code_gru", "code_transformer", "vit", "vqgan")
}
COMPILED = [EXAMPLES / "swift/Sources/Waves/main.swift", EXAMPLES / "c/palette.c"]


def command(example: Path) -> str:
    first = example.read_text().partition("\n")[0]
    return re.sub(r"^(#|//) ", "", first)


def output(example: Path) -> str:
    """What the example's command prints."""
    words = shlex.split(command(example))
    if words[0] == "python":
        words[0] = sys.executable
    # SwiftPM obeys CC and CXX, and gcc does not understand its flags.
    environment = {k: v for k, v in os.environ.items() if k not in ("CC", "CXX")}
    with building() if example in COMPILED else nullcontext():
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, text)]


def test_better_codebooks_lose_less() -> None:
    lost = numbers(r"([\d.]+)% of the variance", output(EXAMPLES / "codebook.py"))
    assert len(lost) == 5
    assert lost == sorted(lost, reverse=True)


def test_autoencoder_learns() -> None:
    pytest.importorskip("sklearn")
    text = output(EXAMPLES / "autoencoder.py")
    errors = numbers(r"mse ([\d.]+)", text)
    assert len(errors) == 4 and errors[-1] < errors[0]
    (decibels,) = numbers(r"([\d.]+) dB", text)
    assert decibels > 15
    assert len(text.splitlines()) == 4 + 1 + 1 + 8


def test_own_encoder_learns_and_is_loaded() -> None:
    text = output(EXAMPLES / "own_encoder.py")
    errors = numbers(r"L1 ([\d.]+)", text)
    assert len(errors) == 5 and errors[-1] < errors[0]
    assert text.endswith("the same bits: True\n")


def test_dropped_estimator_trains_alike() -> None:
    pytest.importorskip("sklearn")
    text = output(EXAMPLES / "drop_estimator.py")
    assert text.count("dsq -> straight-through") == 2
    kept, dropped, replaced = numbers(r"([\d.]+)% of the weights", text)
    assert kept == 100 and dropped > 99
    assert dropped > replaced


def test_swift_program_sends_waves() -> None:
    text = output(COMPILED[0])
    errors = numbers(r"step \d+: error ([\d.]+)", text)
    assert len(errors) == 4
    assert errors == sorted(errors, reverse=True)
    (decibels,) = numbers(r"([\d.]+) dB", text)
    assert decibels > 6  # a quarter of the power


def test_c_program_reduces_colors() -> None:
    text = output(COMPILED[1])
    decibels = numbers(r"colors: ([\d.]+) dB", text)
    assert len(decibels) == 3
    assert decibels == sorted(decibels)
    (red, blue) = numbers(r"(?:red|blue) ([\d.]+)", text)
    assert red > blue


def test_every_example_is_run_and_listed() -> None:
    tested = set(re.findall(r"EXAMPLES / \"(\w+\.py)\"", Path(__file__).read_text()))
    assert tested == {path.name for path in PYTHON}
    table = (EXAMPLES / "README.md").read_text()
    for example in (*PYTHON, *COMPILED):
        assert f"]({example.relative_to(EXAMPLES)})" in table
        assert f"`{command(example)}`" in table


@pytest.mark.parametrize("example", [*PYTHON, *COMPILED], ids=lambda path: path.name)
def test_example_is_short(example: Path) -> None:
    most = 130 if example in NETWORKS else 80
    assert 30 <= len(example.read_text().splitlines()) <= most


def test_codec_passes_sound() -> None:
    text = output(EXAMPLES / "codec.py")
    losses = numbers(r"loss ([\d.]+)", text)
    assert losses[-1] < losses[0]
    (lost,) = numbers(r"([\d.]+)% of the variance", text)
    assert lost < 40


def test_vqgan_learns() -> None:
    pytest.importorskip("sklearn")
    (lost,) = numbers(r"([\d.]+)% of the variance", output(EXAMPLES / "vqgan.py"))
    assert lost < 30


def test_vision_transformer_learns() -> None:
    pytest.importorskip("sklearn")
    (accuracy,) = numbers(r"other digits: ([\d.]+)", output(EXAMPLES / "vit.py"))
    assert accuracy > 0.75


@pytest.mark.parametrize(
    ("example", "share"),
    [(EXAMPLES / "code_transformer.py", 0.5), (EXAMPLES / "code_gru.py", 0.75)],
    ids=lambda value: getattr(value, "stem", ""),
)
def test_networks_of_codes_learn(example: Path, share: float) -> None:
    pytest.importorskip("sklearn")
    text = output(example)
    first, *_, other = numbers(r"([\d.]+) bits a code", text)
    assert other < share * first
    assert len(text.split("that it made:\n")[1].splitlines()) == 8
