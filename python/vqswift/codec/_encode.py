"""Image files to files of codes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from .._codes._files import load_header
from ..data._folder import IMAGE_SUFFIXES
from ..nn import Module
from ._batches import grouped
from ._network import ImageNetwork, check_choice
from ._progress import Progress
from ._reading import Image, read_image, readable
from ._sources import Source, sources_of
from ._tally import Tally
from ._workers import through
from ._writing import Writer

SUFFIX = ".vq"
MAX_PIXELS = 1 << 25


@checked
def encode_files(
    model: Module,
    inputs: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    batch_size: int = 16,
    max_pixels: int = MAX_PIXELS,
    skip_existing: bool = False,
    skip_damaged: bool = False,
    progress: bool = False,
) -> Tally:
    """Write the codes of each image, `NAME.png` as `NAME.vq`, and say what was done.

    Images of one size, after the last rows and columns were repeated up to the network's multiple,
    share a batch; a bounded number of them is in memory. The files tell the original size, and the
    network by its `fingerprint`. Transparency shows white.

    Args:
        model: an autoencoder with a quantizer, as the package `vqswift.codec` says.
        inputs: files, and folders with files at any depth.
        output: folder of the code files; sub-folders are kept.
        batch_size: images that are encoded together, of large ones fewer.
        max_pixels: of an image; larger ones are taken for damaged.
        skip_existing: leave images whose codes stand there already, of this network.
        skip_damaged: go on behind an image that cannot be read, instead of raising its error.
        progress: show how far it is.

    ImportError without Pillow; ValueError for an image that is damaged, and what was written so far
    stays; ValueError or FileNotFoundError for inputs that give no, or not one, name to each file,
    before anything is written.
    """
    check_choice("encode", batch_size, max_pixels)
    network = ImageNetwork("encode", model)
    sources = sources_of("encode", inputs, IMAGE_SUFFIXES, output, SUFFIX)
    tally = Tally()
    with (
        Progress(len(sources), "encode", shown=progress) as shown,
        Writer(network, tally, shown) as writer,
    ):
        images = readable(
            sources,
            partial(read_image, "encode", network, max_pixels),
            partial(_is_done, network) if skip_existing else None,
            tally,
            shown,
            skip_damaged=skip_damaged,
        )
        sized = ((i.padded.shape, i.padded.shape[0] * i.padded.shape[1], i) for i in images)
        batches = grouped(sized, batch_size)
        for batch, codes in through(network, batches, _codes, len(sources) // batch_size):
            for image, own in zip(batch, codes, strict=True):
                writer.codes(image.source, image.size, own)
            writer.settle()
    return tally


def _codes(network: ImageNetwork, images: list[Image]) -> NDArray[np.int32]:
    return network.encode([image.padded for image in images])


def _is_done(network: ImageNetwork, source: Source) -> bool:
    """Whether the target has codes of this network."""
    try:
        return load_header("[encode]", source.target).model == network.fingerprint
    except (OSError, ValueError):
        return False
