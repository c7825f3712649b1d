"""Image files that a MaskGIT makes, or completes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .._arguments import checked, is_integer, refuse
from .._random import Generator
from ..data._folder import IMAGE_SUFFIXES
from ..models import MaskGIT, generate
from ..nn import Module
from ._batches import grouped
from ._encode import MAX_PIXELS
from ._network import ImageNetwork, as_bytes, check_choice
from ._progress import Progress
from ._reading import read_image, readable
from ._sources import Source, sources_of
from ._tally import Tally
from ._writing import Writer

_OPTIONS = (
    "steps",
    "temperature",
    "choice_temperature",
    "order",
    "guidance",
    "guidance_schedule",
)


@checked
def sample_files(
    transformer: MaskGIT,
    tokenizer: Module,
    output: str | os.PathLike[str],
    count: int,
    *,
    label: int | None = None,
    map_shape: tuple[int, int] | None = None,
    batch_size: int = 64,
    seed: int = 0,
    progress: bool = False,
    **options: Any,
) -> Tally:
    """Write `count` images that the networks make, `0000.png` and so on, in `output`.

    Args:
        transformer: of codes of the tokenizer.
        tokenizer: as `encode_files` takes it.
        output: folder; made where it is missing.
        count: of the images.
        label: their class; none by default.
        map_shape: height and width of the map of codes; a square by default.
        batch_size: images that go through the networks together; it changes no image.
        seed: of all that is drawn.
        progress: tell how far it is.
        options: of `vq.models.generate`: `steps`, `temperature`, `guidance` and so on.
    """
    network = _fitting("sample", transformer, tokenizer)
    check_choice("sample", batch_size, MAX_PIXELS)
    if count < 1:
        raise ValueError(f"[sample] count = {count}: must be at least 1")
    _require_options("sample", options)
    shape = map_shape or (math.isqrt(transformer.length),) * 2
    if len(shape) != 2 or min(shape) < 1 or math.prod(shape) != transformer.length:
        raise ValueError(
            f"[sample] map_shape = {shape}: the transformer's {transformer.length} codes are not "
            "of it"
        )
    source, tally = Generator(seed), Tally()
    with (
        Progress(count, "sample", shown=progress) as shown,
        Writer(network, tally, shown) as writer,
    ):
        for start in range(0, count, batch_size):
            many = min(batch_size, count - start)
            labels = None if label is None else [label] * many
            made = generate(
                transformer,
                many,
                labels=labels,
                batch_size=batch_size,
                generator=source,
                **_with_map(options, map_shape),
            )
            codes = made.numpy().reshape(many, *shape)
            for index, picture in enumerate(network.decode(codes), start):
                name = Path(f"{index:04d}.png")
                writer.image(Source(name, Path(output) / name), picture, codes[index - start])
            writer.settle()
    return tally


@checked
def inpaint_files(
    transformer: MaskGIT,
    tokenizer: Module,
    inputs: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    output: str | os.PathLike[str],
    box: tuple[int, int, int, int],
    *,
    label: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    progress: bool = False,
    **options: Any,
) -> Tally:
    """Write each image with a box of it made anew, `NAME.png` in `output`.

    The codes of all places that the box touches are hidden and drawn; pixels outside the box are
    the image's own.

    Args:
        transformer, tokenizer: as for `sample_files`.
        inputs: files and folders of images, each of as many codes as the transformer has.
        output: folder.
        box: top, left, height and width in pixels.
        label: the class that is painted; none by default.
        batch_size, seed, progress, options: as for `sample_files`.
    """
    network = _fitting("inpaint", transformer, tokenizer)
    check_choice("inpaint", batch_size, MAX_PIXELS)
    _require_options("inpaint", options)
    if not (isinstance(box, tuple) and len(box) == 4 and all(map(is_integer, box))):
        refuse("inpaint", "box", box, "(top, left, height, width)")
    top, left, height, width = box
    if min(top, left) < 0 or min(height, width) < 1:
        raise ValueError(
            f"[inpaint] box = {box}: top and left of at least 0, height and width of at least 1 "
            "are required"
        )
    side, source, tally = network.side, Generator(seed), Tally()
    places = (
        slice(top // side, -(-(top + height) // side)),
        slice(left // side, -(-(left + width) // side)),
    )
    pixels = slice(top, top + height), slice(left, left + width)
    sources = sources_of("inpaint", inputs, IMAGE_SUFFIXES, output, ".png")
    with (
        Progress(len(sources), "inpaint", shown=progress) as shown,
        Writer(network, tally, shown) as writer,
    ):
        reading = partial(read_image, "inpaint", network, MAX_PIXELS)
        images = readable(sources, reading, None, tally, shown, skip_damaged=False)
        sized = ((i.padded.shape, i.padded.shape[0] * i.padded.shape[1], i) for i in images)
        for batch in (group.items for group in grouped(sized, batch_size)):
            for image in batch:
                if top + height > image.size[0] or left + width > image.size[1]:
                    raise ValueError(
                        f"[inpaint] box = {box}: {image.source.path} is of {image.size[0]} x "
                        f"{image.size[1]} pixels"
                    )
            codes = network.encode([image.padded for image in batch])
            if math.prod(codes.shape[1:]) != transformer.length:
                raise ValueError(
                    f"[inpaint] {batch[0].source.path}: {[*codes.shape[1:]]} codes, and the "
                    f"transformer has {transformer.length}"
                )
            codes[:, *places] = -1
            filled = generate(
                transformer,
                codes=codes.reshape(len(batch), -1),
                labels=None if label is None else [label] * len(batch),
                batch_size=batch_size,
                generator=source,
                **_with_map(options, (codes.shape[1], codes.shape[2])),
            )
            decoded = network.decode(filled.numpy().reshape(codes.shape))
            for image, own, picture in zip(batch, filled.numpy(), decoded, strict=True):
                painted = as_bytes(image.padded)
                painted[pixels] = picture[pixels]
                writer.image(image.source, painted[: image.size[0], : image.size[1]], own)
            writer.settle()
    return tally


def _fitting(operation: str, transformer: MaskGIT, tokenizer: Module) -> ImageNetwork:
    """The tokenizer; ValueError where its codes are not the transformer's."""
    network = ImageNetwork(operation, tokenizer)
    if network.num_codes != transformer.num_codes or network.further:
        more = f" in {network.further} a place" if network.further else ""
        raise ValueError(
            f"[{operation}] the tokenizer has {network.num_codes} codes{more}, the transformer "
            f"{transformer.num_codes}"
        )
    return network


def _require_options(operation: str, options: dict[str, Any]) -> None:
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(
                f"[{operation}] {name} is no option: those of vq.models.generate that may be given "
                f"are {', '.join(_OPTIONS)}"
            )


def _with_map(options: dict[str, Any], map_shape: tuple[int, int] | None) -> dict[str, Any]:
    """The options; the order of Halton wants the map's shape too."""
    return options | ({"map_shape": map_shape} if options.get("order") == "halton" else {})
