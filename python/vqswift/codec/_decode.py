"""Files of codes to image files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from ..nn import Module
from ._batches import grouped
from ._encode import MAX_PIXELS, SUFFIX
from ._network import ImageNetwork, check_choice
from ._progress import Progress
from ._reading import Codes, read_codes, readable
from ._sources import sources_of
from ._tally import Tally
from ._workers import through
from ._writing import Writer


@checked
def decode_files(
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
    """Write the image of each file of codes, `NAME.vq` as `NAME.png`, in its original size.

    The arguments are those of `encode_files`; `skip_existing` leaves whatever image stands there.
    ValueError for a file that is damaged, or of another network.
    """
    check_choice("decode", batch_size, max_pixels)
    network = ImageNetwork("decode", model)
    sources = sources_of("decode", inputs, frozenset({SUFFIX}), output, ".png")
    tally = Tally()
    with (
        Progress(len(sources), "decode", shown=progress) as shown,
        Writer(network, tally, shown) as writer,
    ):
        files = readable(
            sources,
            partial(read_codes, "decode", network, max_pixels),
            (lambda source: source.target.is_file()) if skip_existing else None,
            tally,
            shown,
            skip_damaged=skip_damaged,
        )
        sized = ((f.codes.shape, f.size[0] * f.size[1], f) for f in files)
        batches = grouped(sized, batch_size)
        for batch, images in through(network, batches, _images, len(sources) // batch_size):
            for file, image in zip(batch, images, strict=True):
                writer.image(file.source, image[: file.size[0], : file.size[1]], file.codes)
            writer.settle()
    return tally


def _images(network: ImageNetwork, files: list[Codes]) -> NDArray[np.uint8]:
    return network.decode(np.stack([file.codes for file in files]))
