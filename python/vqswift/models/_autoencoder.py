"""What the autoencoders share: an encoder, a quantizer of what it gives, a decoder."""

from __future__ import annotations

import numpy.typing as npt

from .._arguments import checked, operation_of
from .._integers import as_layer_input
from .._tensor import Tensor
from ..nn._module import Module
from ..quantizers import Quantizer, QuantizerInfo, SQVAEQuant
from ..quantizers._base import unquantized
from ._network import QuantizedNetwork


@checked
class Autoencoder(QuantizedNetwork):
    """`encoder`, a quantizer of what it gives, and `decoder`, which gives images."""

    encoder: Module
    decoder: Module
    #: Pixels along a side for one place of the map of codes; sides are multiples of it.
    side_multiple: int

    def forward(self, x: Tensor | npt.ArrayLike) -> tuple[Tensor, QuantizerInfo]:
        """Images -> (reconstruction, info); without a quantizer its codes are -1."""
        x = self._images(x)
        if self.quantizer is None:
            z: Tensor = self.encoder(x)
            info = unquantized(z)
        else:
            z, info = self.quantizer(*self._features(x))
        images: Tensor = self.decoder(z)
        return images, info

    def encode(self, x: Tensor | npt.ArrayLike) -> Tensor:
        """Images -> int32 codes, one for each place of the map."""
        return self._required("encode").encode(*self._features(self._images(x)))

    def decode(self, codes: Tensor | npt.ArrayLike) -> Tensor:
        """int32 codes, as `encode` gives them -> images."""
        images: Tensor = self.decoder(self._required("decode").decode(codes))
        return images

    def _images(self, x: Tensor | npt.ArrayLike) -> Tensor:
        name, multiple = operation_of(type(self)), self.side_multiple
        x = as_layer_input(name, x)
        if x.ndim == 4 and (x.shape[1] % multiple or x.shape[2] % multiple):
            raise ValueError(
                f"[{name}] shape {list(x.shape)}: height and width must be multiples of {multiple}"
            )
        return x

    def _features(self, x: Tensor) -> list[Tensor]:
        """What the quantizer takes: z, and where it wants them the log variances."""
        z: Tensor = self.encoder(x)
        return [*z.chunk(2, -1)] if wants_variance(self.quantizer) else [z]

    def _required(self, operation: str) -> Quantizer:
        if self.quantizer is None:
            raise ValueError(
                f"[{operation_of(type(self))}.{operation}] the network has no quantizer, and no "
                "codes"
            )
        return self.quantizer


def wants_variance(quantizer: Quantizer | None) -> bool:
    """Whether it takes log variances beside z."""
    return isinstance(quantizer, SQVAEQuant) and quantizer.kind != "I"
