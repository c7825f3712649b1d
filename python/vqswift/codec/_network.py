"""An autoencoder, as images and codes of any size are put through it."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._arguments import is_integer
from .._functions import no_grad
from .._tensor import Tensor
from ..nn import Module
from ..nn._mode import evaluating
from ..quantizers import Quantizer

# What modules of the library hold their state in, and where a user's functions may be.
_FOREIGN = ("_forward_hooks", "_forward_pre_hooks", "_weight_quantizers", "_inplace_optimizer")
_STATE = frozenset(
    {
        *_FOREIGN,
        *("_buffers", "_children", "_handle", "_made", "_made_with", "_parameters", "_parts"),
        *("_shares_moments", "_tensors"),
    }
)

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class ImageNetwork:
    """A network in evaluation, with what its files must be told.

    ValueError for one that is no autoencoder with a quantizer, or has other channels than 1 and 3.
    """

    def __init__(self, operation: str, model: Module) -> None:
        self._operation, self._model = operation, model
        name = type(model).__name__
        for method in ("encode", "decode"):
            if not callable(getattr(model, method, None)):
                raise ValueError(
                    f"[{operation}] {name} has no {method}: an autoencoder with a quantizer is "
                    "required, such as SQVAE"
                )
        quantizer = getattr(model, "quantizer", None)
        own = getattr(model, "num_codes", None)
        if is_integer(own):
            self.num_codes = int(own)  # type: ignore[arg-type]
        elif isinstance(quantizer, Quantizer):
            self.num_codes = _codes_of(quantizer)
        else:
            raise ValueError(f"[{operation}] {name} has no quantizer, and no codes")
        #: Axes of codes behind height and width; None where nothing is known.
        self.further = _further_axes(quantizer) if isinstance(quantizer, Quantizer) else None
        self.side = int(getattr(model, "side_multiple", 1))
        config = getattr(model, "config", None)
        self.channels = int(config.get("channels", 3)) if isinstance(config, Mapping) else 3
        if self.channels not in (1, 3):
            raise ValueError(
                f"[{operation}] {name} has {self.channels} channels: 1, gray, or 3 are required"
            )
        self.fingerprint = model.fingerprint()

    @property
    def is_own(self) -> bool:
        """Whether all of it is the library's, so that copies of it compute the same in threads:
        no hook, no method or object that the user set, no optimizer in a quantizer."""
        return all(_is_own(module) for module in self._model.modules())

    @property
    def bytes(self) -> int:
        """Of its parameters and buffers."""
        return sum(array.nbytes for array in self._model.state_dict().values())

    def copy(self) -> Self:
        """One with weights of its own."""
        made = copy.copy(self)
        made._model = copy.deepcopy(self._model)
        return made

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the codes of an image of that size."""
        return -(-size[0] // self.side), -(-size[1] // self.side)

    def padded(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """An image [h, w, 3] in the network's channels, its last rows and columns repeated up to
        multiples of the network's."""
        if self.channels == 1:
            image = (image @ _LUMINANCE)[:, :, None]
        grid = self.grid((image.shape[0], image.shape[1]))
        more = [
            (0, cells * self.side - length)
            for cells, length in zip(grid, image.shape[:2], strict=True)
        ]
        is_whole = not any(after for _, after in more)
        return image if is_whole else np.pad(image, (*more, (0, 0)), mode="edge")

    def encode(self, images: Sequence[NDArray[np.float32]]) -> NDArray[np.int32]:
        """Images of one size -> codes [n, h', w', ...]."""
        x = np.stack(images)
        model: Any = self._model
        with evaluating(self._model), no_grad():
            codes: NDArray[np.int32] = model.encode(Tensor(x)).numpy()
        if codes.shape[:3] != (len(x), *self.grid((x.shape[1], x.shape[2]))):
            raise ValueError(
                f"[{self._operation}] images {[*x.shape]} have codes {[*codes.shape]}: one for "
                f"each {self.side} x {self.side} pixels is required (side_multiple)"
            )
        return codes

    def decode(self, codes: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Codes [n, h', w', ...] -> images [n, h, w, channels] of bytes."""
        model: Any = self._model
        with evaluating(self._model), no_grad():
            images: NDArray[np.float32] = model.decode(Tensor(codes)).numpy()
        rows, columns = codes.shape[1:3]
        wanted = (len(codes), rows * self.side, columns * self.side, self.channels)
        if images.shape != wanted:
            raise ValueError(
                f"[{self._operation}] codes {[*codes.shape]} give images {[*images.shape]}: "
                f"{[*wanted]} are required"
            )
        return as_bytes(images)


def _is_own(module: Module) -> bool:
    if type(module).__module__.partition(".")[0] != __name__.partition(".")[0]:
        return False
    own = {name: value for name, value in vars(module).items() if name not in _STATE}
    return not any(map(vars(module).get, _FOREIGN)) and all(map(_is_plain, own.values()))


def _is_plain(value: object) -> bool:
    """Whether it is a number, a text, a module, or made of them."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return isinstance(value, (NoneType, bool, int, float, str, Module))


def as_bytes(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Values in 0...1, and what lies beyond at its end, to the nearest of 256 levels."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def _codes_of(quantizer: Quantizer) -> int:
    options = quantizer.options
    if "num_codes" in options:
        return int(options["num_codes"])
    return 1 << options["bits"] if "bits" in options else math.prod(options["levels"])


def _further_axes(quantizer: Quantizer) -> tuple[int, ...]:
    options = quantizer.options
    return tuple(options[name] for name in ("groups", "stages") if name in options)


def check_choice(operation: str, batch_size: int, max_pixels: int) -> None:
    """ValueError for a batch size or a number of pixels below 1, ImportError without Pillow."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise ImportError(
            f'[{operation}] image files need Pillow: `pip install "vqswift[train]"`'
        ) from None
    for name, value in (("batch_size", batch_size), ("max_pixels", max_pixels)):
        if value < 1:
            raise ValueError(f"[{operation}] {name} = {value}: must be at least 1")
