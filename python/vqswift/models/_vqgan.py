"""The VQGAN autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from .._arguments import checked
from .._random import Generator, layer_generator
from .._tensor import Tensor
from ..nn import AvgPool2d, Conv2d, GroupNorm, Sequential, SiLU, Upsample, functional
from ..nn._module import Module
from ..quantizers import Quantizer
from ._autoencoder import Autoencoder, wants_variance

_EPS = 1e-6


class _ResidualBlock(Module):
    """x, or a 1x1 convolution of it, and two 3x3 convolutions of it behind norms."""

    def __init__(self, inputs: int, outputs: int, groups: int, source: Generator) -> None:
        super().__init__()
        layers: list[Module] = []
        for channels in (inputs, outputs):
            convolution = Conv2d(channels, outputs, 3, 1, 1, bias=False, generator=source)
            layers += [GroupNorm(groups, channels, _EPS), SiLU(), convolution]
        self.body = Sequential(*layers)
        is_wider = inputs != outputs
        self.shortcut = (
            Conv2d(inputs, outputs, 1, bias=False, generator=source) if is_wider else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return (x if self.shortcut is None else self.shortcut(x)) + y


class _Attention(Module):
    """x, and what its places gather from each other with one head."""

    def __init__(self, width: int, groups: int, source: Generator) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, width, _EPS)
        self.qkv = Conv2d(width, 3 * width, 1, generator=source)
        self.out = Conv2d(width, width, 1, generator=source)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(1, 2).chunk(3, -1)  # each [n, h w, c]
        y = functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.reshape(*x.shape))


@checked
class VQGAN(Autoencoder):
    """The autoencoder of VQGAN (Esser et al., 2021) as MaskGIT has it, around any quantizer.

    x [n, h, w, channels] -> reconstruction of x's shape; the encoder gives [n, h/f, w/f, features],
    f = 2^(levels - 1). A level is `blocks` residual blocks with group norm and SiLU, then a mean of
    2x2, in the decoder a repetition and a 3x3 convolution; at the lowest map stand `blocks` more.
    The published network has 128 channels times (1, 1, 2, 2, 4) and 256 features; the sizes at
    first are those of a quarter of the channels and a factor of 8. For a `SQVAEQuant` of kind
    "II", "III" or "IV" the encoder gives log variances too.

    Args:
        quantizer: a layer of feature size `features`; None leaves quantization out.
        channels: of the images.
        width: channels of the first level.
        multipliers: of the width, one for each level.
        blocks: residual blocks of a level.
        features: the encoder's channels.
        groups: of the norms; they must divide the channels of every level.
        attention: behind the first block of the lowest map, in encoder and decoder.
    """

    encoder: Sequential[Tensor]
    decoder: Sequential[Tensor]

    def __init__(
        self,
        quantizer: Quantizer | None,
        *,
        channels: int = 3,
        width: int = 32,
        multipliers: Sequence[int] = (1, 1, 2, 2),
        blocks: int = 2,
        features: int = 64,
        groups: int = 8,
        attention: bool = False,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            quantizer,
            channels=channels,
            width=width,
            multipliers=tuple(multipliers),
            blocks=blocks,
            features=features,
            groups=groups,
            attention=attention,
        )
        widths = [width * multiplier for multiplier in multipliers]
        sizes = {"channels": channels, "blocks": blocks, "features": features, "groups": groups}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"[vqgan] {name} = {value}: must be at least 1")
        if not widths or min(widths) < 1 or any(size % groups for size in widths):
            raise ValueError(
                f"[vqgan] width = {width}, multipliers = {tuple(multipliers)}: the channels "
                f"{widths} must be of at least one level, and multiples of groups = {groups}"
            )
        self.downsamplings, self.features = len(widths) - 1, features
        self.side_multiple = 2**self.downsamplings
        source = layer_generator(generator)

        def block(inputs: int, outputs: int) -> Module:
            return _ResidualBlock(inputs, outputs, groups, source)

        def level(inputs: int, outputs: int) -> list[Module]:
            return [block(inputs, outputs), *(block(outputs, outputs) for _ in range(blocks - 1))]

        def lowest() -> list[Module]:
            first, *others = level(widths[-1], widths[-1])
            return [
                first,
                *([_Attention(widths[-1], groups, source)] if attention else []),
                *others,
            ]

        encoded = 2 * features if wants_variance(quantizer) else features
        down: list[Module] = [Conv2d(channels, width, 3, 1, 1, generator=source)]
        for place, size in enumerate(widths):
            down += [AvgPool2d(2)] if place else []
            down += level(widths[place - 1] if place else width, size)
        down += [*lowest(), GroupNorm(groups, widths[-1], _EPS), SiLU()]
        self.encoder = Sequential(*down, Conv2d(widths[-1], encoded, 1, generator=source))
        up: list[Module] = [Conv2d(features, widths[-1], 3, 1, 1, generator=source), *lowest()]
        above = widths[-1]
        for place, size in reversed([*enumerate(widths)]):
            up += level(above, size)
            up += [Upsample(2), Conv2d(size, size, 3, 1, 1, generator=source)] if place else []
            above = size
        up += [GroupNorm(groups, above, _EPS), SiLU()]
        self.decoder = Sequential(*up, Conv2d(above, channels, 3, 1, 1, generator=source))

    @property
    def last_layer(self) -> Tensor:
        """The weight of the decoder's last convolution, which adversarial losses are weighed by."""
        last = self.decoder[-1]
        assert isinstance(last, Conv2d)
        return last.weight
