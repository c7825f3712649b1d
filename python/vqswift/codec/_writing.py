"""Codes and images to files."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray

from .._atomic import write_whole
from .._codes import pack_codes
from .._codes._bits import width_of
from ._network import ImageNetwork
from ._sources import Source
from ._tally import Tally

Size = tuple[int, int]


def write_codes(
    network: ImageNetwork, source: Source, size: Size, codes: NDArray[np.int32], tally: Tally
) -> None:
    """Write the codes of one image."""
    content = pack_codes(codes, network.num_codes, model=network.fingerprint, image_size=size)
    source.target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(source.target, content)
    tally.file_bits += 8 * len(content)
    count(network, size, codes, tally)


def write_image(source: Source, size: Size, padded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Write the image as PNG without what was added to its sides, and return it."""
    from PIL import Image

    image = padded[: size[0], : size[1]]
    stream = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(stream, "PNG")
    source.target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(source.target, stream.getvalue())
    return image


def count(network: ImageNetwork, size: Size, codes: NDArray[np.int32], tally: Tally) -> None:
    """Take a file that was written into the tally."""
    tally.written += 1
    tally.pixels += math.prod(size)
    tally.code_bits += codes.size * width_of(network.num_codes)
