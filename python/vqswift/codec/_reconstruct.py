"""Image files through the network and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from ..data._folder import IMAGE_SUFFIXES
from ..nn import Module
from ..train._evaluation import psnr_of
from ._batches import grouped
from ._encode import MAX_PIXELS
from ._network import ImageNetwork, check_choice
from ._progress import Progress
from ._reading import Image, read_image, readable
from ._sources import sources_of
from ._tally import Tally
from ._workers import through
from ._writing import Writer


@checked
def reconstruct_files(
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
    """Write each image as its codes have it, `NAME.png` in `output`, and measure how close that is.

    The arguments are those of `encode_files`, `skip_existing` as of `decode_files`. The PSNR is
    that of the written bytes and the original in the network's channels, peak 1.
    """
    check_choice("reconstruct", batch_size, max_pixels)
    network = ImageNetwork("reconstruct", model)
    sources = sources_of("reconstruct", inputs, IMAGE_SUFFIXES, output, ".png")
    tally = Tally()
    with (
        Progress(len(sources), "reconstruct", shown=progress) as shown,
        Writer(network, tally, shown) as writer,
    ):
        images = readable(
            sources,
            partial(read_image, "reconstruct", network, max_pixels),
            (lambda source: source.target.is_file()) if skip_existing else None,
            tally,
            shown,
            skip_damaged=skip_damaged,
        )
        sized = ((i.padded.shape, i.padded.shape[0] * i.padded.shape[1], i) for i in images)
        batches = grouped(sized, batch_size)
        count = len(sources) // batch_size
        for batch, (codes, decoded) in through(network, batches, _decoded, count):
            for image, own, picture in zip(batch, codes, decoded, strict=True):
                inside = slice(image.size[0]), slice(image.size[1])
                error = np.square(picture[inside] / 255.0 - image.padded[inside])
                tally.psnr_of[image.source.path] = psnr_of(float(error.mean()))
                writer.image(image.source, picture[inside], own)
            writer.settle()
    return tally


def _decoded(
    network: ImageNetwork, images: list[Image]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Codes, and the images that they decode to."""
    codes = network.encode([image.padded for image in images])
    return codes, network.decode(codes)
