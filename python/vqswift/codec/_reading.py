"""Images and codes from files, one at a time, damaged ones left out by choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .._codes._files import load_checked
from .._codes._unpacking import Header, require_model
from ..data._picture import Picture, check_pixels
from ._network import ImageNetwork
from ._progress import Progress
from ._sources import Source
from ._tally import Tally

Size = tuple[int, int]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Image:
    """An image of a file in 0...1, and as the network takes it."""

    source: Source
    size: Size
    padded: NDArray[np.float32]


@dataclass(frozen=True)
class Codes:
    """Codes of a file and the size of their image."""

    source: Source
    size: Size
    codes: NDArray[np.int32]


def readable(
    sources: Iterable[Source],
    read: Callable[[Source], Found],
    is_there: Callable[[Source], bool] | None,
    tally: Tally,
    progress: Progress,
    *,
    skip_damaged: bool,
) -> Iterator[Found]:
    """What `read` makes of the sources, without those of which `is_there` says that they are done.

    The errors of `read` for a damaged file, ValueError and OSError, are told and left behind with
    `skip_damaged`.
    """
    for source in sources:
        if is_there is not None and is_there(source):
            tally.existing += 1
            progress.reach(tally.done)
            continue
        try:
            found = read(source)
        except (OSError, ValueError) as error:
            if not skip_damaged:
                raise
            tally.damaged.append(source.path)
            progress.say(f"skipped: {error}")
            progress.reach(tally.done)
            continue
        yield found


def read_image(operation: str, network: ImageNetwork, max_pixels: int, source: Source) -> Image:
    """The image of a file; ValueError for one that is damaged or too large."""
    picture = Picture(
        source.path,
        upright=True,
        background=(255, 255, 255),
        most=max_pixels,
        operation=operation,
    )
    width, height = picture.size
    return Image(source, (height, width), network.padded(picture.whole()))


def read_codes(operation: str, network: ImageNetwork, max_pixels: int, source: Source) -> Codes:
    """The codes of a file; ValueError for one that is damaged, or not of an image and this
    network."""
    place = f"[{operation}] {source.path}:"
    found = load_checked(place, source.path, partial(_check, place, network, max_pixels))
    assert found.image_size is not None
    return Codes(source, found.image_size, found.codes)


def _check(place: str, network: ImageNetwork, max_pixels: int, header: Header) -> None:
    size = header.image_size
    if size is None:
        raise ValueError(f"{place} it tells no size of an image")
    try:
        check_pixels(size, max_pixels)
    except ValueError as error:
        raise ValueError(f"{place} {error}") from None
    if header.counts != (network.num_codes,):
        raise ValueError(
            f"{place} num_codes {[*header.counts]}: the network has {network.num_codes}"
        )
    grid, further = header.shape[:2], header.shape[2:]
    if grid != network.grid(size) or (network.further is not None and further != network.further):
        wanted = [*network.grid(size), *(network.further or ())]
        raise ValueError(
            f"{place} codes {list(header.shape)} of an image of {size[0]} x {size[1]} pixels: the "
            f"network has {wanted}"
        )
    require_model(place, header, network.fingerprint)
