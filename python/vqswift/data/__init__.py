"""Image sets from their original files, crops of two photographs, and batches of them.

Sets are read from the first folder that has them: the `root` argument or, without one,
`VQSWIFT_DATA`, then `../shared/data` beside the current directory and beside the checkout.
Nothing is downloaded.
"""

from ._batches import Batches, unit_range
from ._files import has, search_roots
from ._folder import ImageFolder
from ._photos import PHOTO_CREDITS, photos
from ._sets import ImageSet, cifar10, fashion_mnist, mnist

__all__ = [
    "PHOTO_CREDITS",
    "Batches",
    "ImageFolder",
    "ImageSet",
    "cifar10",
    "fashion_mnist",
    "has",
    "mnist",
    "photos",
    "search_roots",
    "unit_range",
]
