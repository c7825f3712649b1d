"""`vqswift encode`, `decode` and `reconstruct`."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import __main__ as command
from vqswift.codec._progress import Progress

Image: Any = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network in `model` and images in `photos`."""
    monkeypatch.chdir(tmp_path)
    vq.models.SQVAE(vq.FSQ([8, 8]), width=2, image_size=28).save_pretrained("model")
    Path("photos").mkdir()
    for index, size in enumerate([(12, 9), (12, 12), (3, 20)]):
        pixels = np.random.default_rng(index).integers(256, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"photos/{index}.png")
    return tmp_path


def test_there_and_back(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["encode", "model", "photos", "--output", "codes"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "encode 3/3 images" and not err
    bits = 6 * (9 + 9 + 5) / (12 * 9 + 12 * 12 + 3 * 20)
    assert lines[1].startswith(f"3 files written to codes, {bits:.4f} bits per pixel, ")
    assert command.main(["decode", "model", "codes", "--output", "images", "--threads", "1"]) == 0
    assert {path.name for path in Path("images").iterdir()} == {"0.png", "1.png", "2.png"}
    capsys.readouterr()
    assert command.main(["reconstruct", "model", "photos/0.png", "photos/1.png"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"PSNR \d+\.\d\d dB, at worst \d+\.\d\d dB: photos/[01]\.png", told)
    for name in ("0.png", "1.png"):
        assert Path("reconstructed", name).read_bytes() == Path("images", name).read_bytes()


def test_going_on_and_leaving_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/1.png").write_bytes(b"no image")
    assert command.main(["encode", "model", "photos"]) == 1
    assert capsys.readouterr().err.startswith("vqswift: [encode] photos/1.png: cannot identify ")
    for there in (0, 2):
        arguments = ["encode", "model", "photos", "--skip-existing", "--skip-damaged"]
        assert command.main(arguments) == 0
        out, err = capsys.readouterr()
        assert err.startswith("skipped: [encode] photos/1.png: ")
        was = f", {there} were there" if there else ""
        last = out.splitlines()[-1]
        assert last.startswith(f"{2 - there} files written to codes{was}, 1 damaged left out")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["encode", "nowhere", "photos"], "vqswift: [Errno 2] No such file or directory: 'nowh"),
        (["decode", "model", "photos"], "vqswift: [decode] photos: no file in it ends in .vq\n"),
        (["encode", "model", "photos", "--batch-size", "0"], "vqswift: [encode] batch_size = 0: "),
        (["encode", "model", "photos", "--max-pixels", "50"], "vqswift: [encode] photos/0.png: 1"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], told: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 1
    out, err = capsys.readouterr()
    assert err.startswith(told) and err.count("\n") == 1 and not out


def test_a_command_that_is_killed_goes_on(place: Path) -> None:
    pixels = np.random.default_rng(9).integers(256, size=(120, 24, 24, 3), dtype=np.uint8)
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(f"photos/more{index}.png")
    arguments = ["encode", "model", "photos", "--batch-size", "2", "--output"]
    run = [sys.executable, "-m", "vqswift", *arguments, "halves"]
    with subprocess.Popen(run, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None and len([*Path("halves").glob("*.vq")]) < 20:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
    assert command.main([*arguments, "halves", "--skip-existing"]) == 0
    assert command.main([*arguments, "whole"]) == 0
    contents = [
        {p.name: p.read_bytes() for p in Path(name).glob("*.vq")} for name in ("halves", "whole")
    ]
    assert len(contents[0]) == 123 and contents[0] == contents[1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_name_that_is_no_text_is_told_as_it_is(place: Path) -> None:
    name = b"photos/\xff.png"
    Path("photos/0.png").rename(os.fsdecode(name))
    done = subprocess.run(
        [sys.executable, "-m", "vqswift", "reconstruct", "model", name],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0 and done.stdout.endswith(b" dB: " + name + b"\n"), done.stderr


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress(3, "encode", shown=True) as progress:
        progress.reach(2)
        progress.say("skipped: [encode] a[b].png")
    assert "2/3 images" in terminal.getvalue() and "a[b].png" in terminal.getvalue()
    with Progress(3, "encode", shown=False) as silent:
        before = terminal.getvalue()
        silent.reach(3), silent.say("nothing")
    assert terminal.getvalue() == before
