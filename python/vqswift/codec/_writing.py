"""Codes and images to files, beside the network."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .._atomic import write_whole
from .._codes import pack_codes
from .._codes._bits import width_of
from ._network import ImageNetwork
from ._progress import Progress
from ._sources import Source
from ._tally import Tally

Size = tuple[int, int]

# A disk confirms a file after milliseconds, as long as the network takes for an image.
_THREADS = 4


class _File(NamedTuple):
    bits: Future[int]  # of a file of codes; 0 of an image
    size: Size
    codes: int


class Writer:
    """Writes files in threads, each whole or not at all, and counts those that are written.

    Files of at most two batches wait; those that wait when the context ends by an error are written
    too. The error of a file is raised by a later `settle`, or at the end of the context.
    """

    def __init__(self, network: ImageNetwork, tally: Tally, progress: Progress) -> None:
        self._network, self._tally, self._progress = network, tally, progress
        self._pool = ThreadPoolExecutor(_THREADS, "vqswift-writer")
        self._earlier: list[_File] = []
        self._latest: list[_File] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.settle()
                self.settle()
        finally:
            self._pool.shutdown()

    def codes(self, source: Source, size: Size, codes: NDArray[np.int32]) -> None:
        """Write the codes of one image."""
        num_codes, model = self._network.num_codes, self._network.fingerprint

        def write() -> int:
            content = pack_codes(codes, num_codes, model=model, image_size=size)
            _write(source, content)
            return 8 * len(content)

        self._put(write, size, codes)

    def image(self, source: Source, image: NDArray[np.uint8], codes: NDArray[np.int32]) -> None:
        """Write the image of codes as PNG."""

        def write() -> int:
            _write(source, _png(image))
            return 0

        self._put(write, (image.shape[0], image.shape[1]), codes)

    def settle(self) -> None:
        """Wait for the files of the batch before the last, and count them."""
        for file in self._earlier:
            self._tally.file_bits += file.bits.result()
            self._tally.written += 1
            self._tally.pixels += math.prod(file.size)
            self._tally.code_bits += file.codes * width_of(self._network.num_codes)
        self._earlier, self._latest = self._latest, []
        self._progress.reach(self._tally.done)

    def _put(self, write: Callable[[], int], size: Size, codes: NDArray[np.int32]) -> None:
        self._latest.append(_File(self._pool.submit(write), size, codes.size))


def _write(source: Source, content: bytes) -> None:
    try:
        write_whole(source.target, content)
    except FileNotFoundError:
        source.target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(source.target, content)


def _png(image: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    # Within two percent of the smallest file for photographs, in half of the time and less.
    picture.save(stream, "PNG", compress_type=zlib.Z_RLE)
    return stream.getvalue()
