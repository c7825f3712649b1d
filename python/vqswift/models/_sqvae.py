"""The SQ-VAE autoencoder."""

from __future__ import annotations

from typing import Any, Literal

import numpy.typing as npt

from .._arguments import checked
from .._integers import as_layer_input
from .._options import create
from .._random import Generator, layer_generator
from .._tensor import Tensor
from ..nn import init
from ..nn._module import Module
from ..nn._native import Native
from ..quantizers import Quantizer, QuantizerInfo, SQVAEQuant
from ..quantizers._base import unquantized


@checked
class SQVAE(Module):
    """The SQ-VAE autoencoder (Takida et al., 2022) around any quantizer, or none.

    x [n, h, w, channels] in 0...1 -> reconstruction of x's shape; the encoder gives
    [n, h/4, w/4, width], and beside them their log variances for a `SQVAEQuant` of kind "II", "III"
    or "IV".

    Args:
        quantizer: a layer of feature size `width`; None leaves quantization out.
        image_size: 28, 32, 64 or 128: whose network it is. Each takes all sides that 4 divides;
            that of 64 and 128 has six residual blocks.
        channels: of the images.
        width: d, the encoder's channels.
        start: "torch" draws weights as PyTorch's layers do; "sqvae" as the paper's code:
            convolutions from N(0, 0.02), weights of batch norms from N(1, 0.02), biases 0.
    """

    #: Height and width of images must be multiples of it.
    side_multiple = 4

    encoder: Native
    decoder: Native
    quantizer: Quantizer | None

    def __init__(
        self,
        quantizer: Quantizer | None,
        *,
        image_size: int = 32,
        channels: int = 3,
        width: int = 64,
        start: Literal["torch", "sqvae"] = "torch",
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if start not in ("torch", "sqvae"):
            raise ValueError(f"[sqvae] start = {start!r}: it must be 'torch' or 'sqvae'")
        sizes = {"image_size": image_size, "channels": channels, "width": width}
        has_variance = isinstance(quantizer, SQVAEQuant) and quantizer.kind != "I"
        variance: dict[str, Any] = {"log_variance": True} if has_variance else {}
        self.encoder = Native(
            create("sqvae_encoder", **sizes, **variance, generator=layer_generator(generator))
        )
        self.quantizer = quantizer
        self.decoder = Native(
            create("sqvae_decoder", **sizes, generator=layer_generator(generator))
        )
        self._start = start
        if start == "sqvae":
            draws = layer_generator(generator)
            for side in (self.encoder, self.decoder):
                _start_as_published(side, draws)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, the quantizer among them as it is."""
        known = self.encoder.options
        sizes = {name: known[name] for name in ("image_size", "channels", "width")}
        return {"quantizer": self.quantizer, **sizes, "start": self._start}

    def forward(self, x: Tensor | npt.ArrayLike) -> tuple[Tensor, QuantizerInfo]:
        """Images -> (reconstruction, info); without a quantizer its codes are -1."""
        x = as_layer_input("sqvae", x)
        if x.ndim == 4 and any(side % self.side_multiple for side in x.shape[1:3]):
            raise ValueError(
                f"[sqvae] shape {list(x.shape)}: height and width must be multiples of 4"
            )
        if self.quantizer is None:
            z = self.encoder(x)
            return self.decoder(z), unquantized(z)
        z_q, info = self.quantizer(*self._features(x))
        return self.decoder(z_q), info

    def encode(self, x: Tensor | npt.ArrayLike) -> Tensor:
        """Images -> int32 codes [n, h/4, w/4]."""
        return self._required("encode").encode(*self._features(x))

    def decode(self, codes: Tensor | npt.ArrayLike) -> Tensor:
        """int32 codes [n, h/4, w/4] -> images."""
        images: Tensor = self.decoder(self._required("decode").decode(codes))
        return images

    def _features(self, x: Tensor | npt.ArrayLike) -> list[Tensor]:
        """What the quantizer takes: z, and where it wants them the log variances."""
        z: Tensor = self.encoder(x)
        return [*z.chunk(2, -1)] if z.shape[-1] != self.encoder.options["width"] else [z]

    def _required(self, operation: str) -> Quantizer:
        if self.quantizer is None:
            raise ValueError(f"[sqvae.{operation}] the network has no quantizer, and no codes")
        return self.quantizer


def _start_as_published(network: Native, generator: Generator) -> None:
    """Convolutions N(0, 0.02), weights of norms N(1, 0.02), biases 0."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            init.zeros_(parameter)
        else:
            mean = 0.0 if parameter.ndim == 4 else 1.0
            init.normal_(parameter, mean, 0.02, generator=generator)
