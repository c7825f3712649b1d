"""`vqswift sample` and `inpaint`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..experiments._harness import Command, begin, output_setting, setting, threads_setting
from ..models import MaskGIT
from ..nn import Module
from ._painting import inpaint_files, sample_files
from ._tally import Tally

_ORDERS = ("confidence", "halton")
_OPTIONS = (
    *("label", "steps", "temperature", "choice_temperature", "guidance", "order", "batch_size"),
    "seed",
)


@dataclass(frozen=True)
class _Settings:
    """What both commands take."""

    transformer: Path = setting(
        Path(), "folder of a MaskGIT, which save_pretrained wrote", is_positional=True
    )
    tokenizer: Path = setting(Path(), "folder of the network of its codes", is_positional=True)
    label: int | None = setting(None, "class of the images; none by default")
    steps: int = setting(12, "in which codes are drawn")
    temperature: float = setting(1.0, "that logits are divided by")
    choice_temperature: float = setting(4.5, "of the noise in confidences")
    guidance: float = setting(0.0, "weight of the class against none")
    order: str = setting("confidence", "which places are filled first", choices=_ORDERS)
    batch_size: int = setting(64, "images that go through the networks together")
    seed: int = setting(0, "of all that is drawn")
    threads: int | None = threads_setting()


@dataclass(frozen=True)
class SampleSettings(_Settings):
    """How many images, and where they go."""

    count: int = setting(64, "of the images")
    output: Path = output_setting("samples")


@dataclass(frozen=True)
class InpaintSettings(_Settings):
    """Which images, which box of them, and where they go."""

    inputs: tuple[Path, ...] = setting((), "files, and folders of files", is_positional=True)
    box: tuple[int, ...] = setting(
        (), "what is made anew, in pixels", parts=("TOP", "LEFT", "HEIGHT", "WIDTH")
    )
    output: Path = output_setting("inpainted")


def sample(settings: SampleSettings) -> Tally:
    """Write images that a MaskGIT makes, 0000.png and so on."""
    tally = sample_files(
        *_networks(settings),
        settings.output,
        settings.count,
        progress=True,
        **_options(settings),
    )
    print(f"{tally.written} files written to {settings.output}", flush=True)
    return tally


def inpaint(settings: InpaintSettings) -> Tally:
    """Write images with a box of each made anew by a MaskGIT, NAME.png."""
    if len(settings.box) != 4:
        raise ValueError(
            f"[inpaint] box = {settings.box}: four numbers are required, top, left, height and "
            "width in pixels"
        )
    top, left, height, width = settings.box
    tally = inpaint_files(
        *_networks(settings),
        settings.inputs,
        settings.output,
        (top, left, height, width),
        progress=True,
        **_options(settings),
    )
    print(f"{tally.written} files written to {settings.output}", flush=True)
    return tally


def _networks(settings: _Settings) -> tuple[MaskGIT, Module]:
    begin(settings)
    return (
        MaskGIT.from_pretrained(settings.transformer),
        Module.from_pretrained(settings.tokenizer),
    )


def _options(settings: _Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _OPTIONS}


COMMANDS = (
    Command("sample", "write images that a MaskGIT makes", sample.__doc__, SampleSettings, sample),
    Command(
        "inpaint",
        "write images with a box made anew by a MaskGIT",
        inpaint.__doc__,
        InpaintSettings,
        inpaint,
    ),
)
