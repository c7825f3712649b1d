"""The SQ-VAE autoencoder."""

from __future__ import annotations

from typing import Any, Literal

from .._arguments import checked
from .._options import create
from .._random import Generator, layer_generator
from ..nn import init
from ..nn._native import Native
from ..quantizers import Quantizer
from ._autoencoder import Autoencoder, wants_variance


@checked
class SQVAE(Autoencoder):
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

    encoder: Native
    decoder: Native
    side_multiple = 4

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
        if start not in ("torch", "sqvae"):
            raise ValueError(f"[sqvae] start = {start!r}: it must be 'torch' or 'sqvae'")
        sizes = {"image_size": image_size, "channels": channels, "width": width}
        super().__init__(quantizer, **sizes, start=start)
        variance: dict[str, Any] = {"log_variance": True} if wants_variance(quantizer) else {}
        self.encoder = Native(
            create("sqvae_encoder", **sizes, **variance, generator=layer_generator(generator))
        )
        self.decoder = Native(
            create("sqvae_decoder", **sizes, generator=layer_generator(generator))
        )
        if start == "sqvae":
            draws = layer_generator(generator)
            for side in (self.encoder, self.decoder):
                _start_as_published(side, draws)


def _start_as_published(network: Native, generator: Generator) -> None:
    """Convolutions N(0, 0.02), weights of norms N(1, 0.02), biases 0."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            init.zeros_(parameter)
        else:
            mean = 0.0 if parameter.ndim == 4 else 1.0
            init.normal_(parameter, mean, 0.02, generator=generator)
