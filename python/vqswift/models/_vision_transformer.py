"""The vision transformer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .._arguments import checked
from .._functions import concatenate
from .._random import Generator, layer_generator
from .._tensor import Tensor
from ..nn import (
    GELU,
    Conv2d,
    Identity,
    LayerNorm,
    Linear,
    ModuleDict,
    MultiheadAttention,
    Parameter,
    Sequential,
    init,
)
from ..nn._collections import require_layers
from ..nn._module import Module
from ..quantizers import Quantizer
from ._classifier import Classifier

_EPS = 1e-6


class _Block(Module):
    """Attention and two dense layers, each behind a norm and added to what came in."""

    def __init__(self, width: int, heads: int, hidden: int, source: Generator) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(width, eps=_EPS)
        self.self_attention = MultiheadAttention(width, heads, batch_first=True, generator=source)
        self.ln_2 = LayerNorm(width, eps=_EPS)
        first = Linear(width, hidden, generator=source)
        second = Linear(hidden, width, generator=source)
        # Places 2 and 4 are dropouts in torchvision.
        self.mlp = Sequential(first, GELU(), Identity(), second, Identity())
        for layer in (first, second):
            init.xavier_uniform_(layer.weight, generator=source)
            init.normal_(layer.bias, std=1e-6, generator=source)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        z: Tensor = self.mlp(self.ln_2(x))
        return x + z


class _Encoder(Module):
    def __init__(
        self, blocks: Mapping[str, Module], positions: Parameter | None, norm: Module | None
    ) -> None:
        super().__init__()
        if positions is not None:
            self.pos_embedding = positions
        self.layers = ModuleDict(blocks)
        if norm is not None:
            self.ln = norm

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "pos_embedding"):
            x = x + self.pos_embedding
        for block in self.layers.values():
            x = block(x)
        if hasattr(self, "ln"):
            x = self.ln(x)
        return x


class _Front(Module):
    """Images to tokens, [n, 1 + patches, width], through the first blocks."""

    def __init__(
        self,
        side: int,
        patch: int,
        channels: int,
        width: int,
        blocks: Mapping[str, Module],
        source: Generator,
    ) -> None:
        super().__init__()
        self._side = side
        self.class_token = Parameter(np.zeros((1, 1, width), np.float32))
        self.conv_proj = Conv2d(channels, width, patch, patch, generator=source)
        deviation = math.sqrt(1 / (channels * patch * patch))
        init.trunc_normal_(self.conv_proj.weight, std=deviation, generator=source)
        init.zeros_(self.conv_proj.bias)
        count = (side // patch) ** 2 + 1
        positions = Parameter(source.normal((1, count, width), std=0.02))
        self.encoder = _Encoder(blocks, positions, None)

    def forward(self, x: Tensor) -> Tensor:
        side = self._side
        if x.ndim != 4 or x.shape[1:3] != (side, side):
            raise ValueError(
                f"[visiontransformer] shape {list(x.shape)}: [n, {side}, {side}, c] is required"
            )
        patches = self.conv_proj(x).flatten(1, 2)
        token = self.class_token.broadcast_to((len(x), 1, patches.shape[-1]))
        y: Tensor = self.encoder(concatenate([token, patches], 1))
        return y


class _Back(Module):
    """Tokens through the last blocks to the class token's logits."""

    def __init__(self, width: int, classes: int, blocks: Mapping[str, Module]) -> None:
        super().__init__()
        self.encoder = _Encoder(blocks, None, LayerNorm(width, eps=_EPS))
        head = Linear(width, classes)
        init.zeros_(head.weight)
        init.zeros_(head.bias)
        self.heads = ModuleDict({"head": head})

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.heads["head"](self.encoder(x)[:, 0])
        return y


@checked
class VisionTransformer(Classifier):
    """A vision transformer (Dosovitskiy et al., 2021) with a quantizer of its tokens.

    x [n, image_size, image_size, channels] -> (logits [n, classes], info). The quantizer's vectors
    are all tokens behind block `quantized_after`, [n, 1 + patches, width], so that nothing passes
    it by. The sizes at first are those of ViT-T: `torchvision_state` has the names of torchvision's
    class, and the initial weights are drawn as there; timm counts the same parameters.

    Args:
        quantizer: a layer of feature size `width`; None leaves quantization out.
        image_size: side of the images, a multiple of `patch_size`.
        patch_size: side of a patch; 4 is usual for images of 32.
        depth, heads, width, hidden: blocks, heads and channels of the tokens and of the dense
            layers.
        classes: of the logits.
        channels: of the images.
        quantized_after: blocks in front of the quantizer.
    """

    def __init__(
        self,
        quantizer: Quantizer | None = None,
        *,
        image_size: int = 224,
        patch_size: int = 16,
        classes: int = 1000,
        channels: int = 3,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        hidden: int = 768,
        quantized_after: int = 6,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            quantizer,
            image_size=image_size,
            patch_size=patch_size,
            classes=classes,
            channels=channels,
            width=width,
            depth=depth,
            heads=heads,
            hidden=hidden,
            quantized_after=quantized_after,
        )
        if patch_size < 1 or image_size < patch_size or image_size % patch_size:
            raise ValueError(
                f"[visiontransformer] image_size = {image_size}, patch_size = {patch_size}: the "
                "side must be a multiple of the patch's"
            )
        if not 0 <= quantized_after <= depth:
            raise ValueError(
                f"[visiontransformer] quantized_after = {quantized_after}: must be in 0...{depth}"
            )
        require_layers("visiontransformer", depth)
        source = layer_generator(generator)
        blocks = {
            f"encoder_layer_{place}": _Block(width, heads, hidden, source) for place in range(depth)
        }
        names = list(blocks)
        front = {name: blocks[name] for name in names[:quantized_after]}
        back = {name: blocks[name] for name in names[quantized_after:]}
        self.front = _Front(image_size, patch_size, channels, width, front, source)
        self.back = _Back(width, classes, back)
