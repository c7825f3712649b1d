"""`vqswift encode`, `decode` and `reconstruct`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..experiments._harness import Command, begin, output_setting, setting, threads_setting
from ..nn import Module
from ._decode import decode_files
from ._encode import MAX_PIXELS, encode_files
from ._reconstruct import reconstruct_files
from ._tally import Tally


@dataclass(frozen=True)
class _Settings:
    """What the commands take alike."""

    model: Path = setting(Path(), "folder that save_pretrained wrote", is_positional=True)
    inputs: tuple[Path, ...] = setting((), "files, and folders of files", is_positional=True)
    batch_size: int = setting(16, "images that go through the network together")
    max_pixels: int = setting(MAX_PIXELS, "of an image; larger ones count as damaged")
    skip_existing: bool = setting(False, "leave what is written already")
    skip_damaged: bool = setting(False, "tell files that cannot be read, and go on")
    threads: int | None = threads_setting()


@dataclass(frozen=True)
class EncodeSettings(_Settings):
    """Which images, and where their codes go."""

    output: Path = output_setting("codes")


@dataclass(frozen=True)
class DecodeSettings(_Settings):
    """Which codes, and where their images go."""

    output: Path = output_setting("decoded")


@dataclass(frozen=True)
class ReconstructSettings(_Settings):
    """Which images, and where their reconstructions go."""

    output: Path = output_setting("reconstructed")


Settings = EncodeSettings | DecodeSettings | ReconstructSettings


def _done(work: Callable[..., Tally], settings: Settings) -> Tally:
    """Do the work on a network of the package, and tell of it."""
    begin(settings)
    model = Module.from_pretrained(settings.model)
    tally = work(
        model,
        settings.inputs,
        settings.output,
        batch_size=settings.batch_size,
        max_pixels=settings.max_pixels,
        skip_existing=settings.skip_existing,
        skip_damaged=settings.skip_damaged,
        progress=True,
    )
    told = [f"{tally.written} files written to {settings.output}"]
    told += [f"{tally.existing} were there"] if tally.existing else []
    told += [f"{len(tally.damaged)} damaged left out"] if tally.damaged else []
    if tally.pixels:
        told.append(f"{tally.bits_per_pixel:.4f} bits per pixel")
    if tally.file_bits:
        told.append(f"{tally.file_bits / tally.pixels:.4f} with the files' headers")
    print(", ".join(told), flush=True)
    return tally


def encode(settings: EncodeSettings) -> Tally:
    """Write the codes of images, NAME.png as NAME.vq."""
    return _done(encode_files, settings)


def decode(settings: DecodeSettings) -> Tally:
    """Write the images of codes, NAME.vq as NAME.png."""
    return _done(decode_files, settings)


def reconstruct(settings: ReconstructSettings) -> Tally:
    """Write images as their codes have them, NAME.png, and tell how close they are."""
    tally = _done(reconstruct_files, settings)
    if tally.psnr_of:
        worst = min(tally.psnr_of, key=lambda path: tally.psnr_of[path])
        print(f"PSNR {tally.psnr:.2f} dB, at worst {tally.psnr_of[worst]:.2f} dB: {worst}")
    return tally


COMMANDS = (
    Command("encode", "write the codes of images", encode.__doc__, EncodeSettings, encode),
    Command("decode", "write the images of codes", decode.__doc__, DecodeSettings, decode),
    Command(
        "reconstruct",
        "write images as their codes have them, and measure them",
        reconstruct.__doc__,
        ReconstructSettings,
        reconstruct,
    ),
)
