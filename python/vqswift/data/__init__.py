"""Samples of arrays, files and iterables in batches, what is done to them, and known sets.

Sets are read from the first folder that has them: the `root` argument or, without one,
`VQSWIFT_DATA`, then `../shared/data` beside the current directory and beside the checkout.
Nothing is downloaded.
"""

from ._archives import npz_images
from ._batches import Batches
from ._celeba import celeba
from ._crops import CenterCrop, RandomCrop, RandomResizedCrop, Resize
from ._draws import Draws
from ._files import has, search_roots
from ._folder import ImageFolder
from ._image_files import ImageFiles
from ._photos import PHOTO_CREDITS, photos
from ._sets import ImageSet, cifar10, fashion_mnist, mnist
from ._stream import Stream
from ._transform import Compose, Normalize, RandomHorizontalFlip, Transform
from ._values import unit_range

__all__ = [
    "PHOTO_CREDITS",
    "Batches",
    "CenterCrop",
    "Compose",
    "Draws",
    "ImageFiles",
    "ImageFolder",
    "ImageSet",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "Resize",
    "Stream",
    "Transform",
    "celeba",
    "cifar10",
    "fashion_mnist",
    "has",
    "mnist",
    "npz_images",
    "photos",
    "search_roots",
    "unit_range",
]
