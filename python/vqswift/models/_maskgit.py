"""The transformer of MaskGIT."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import checked, described
from .._arrays import as_array
from .._random import Generator, layer_generator
from .._tensor import Tensor
from ..nn import (
    GELU,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    ModuleList,
    MultiheadAttention,
    Parameter,
    Sequential,
    init,
)
from ..nn._collections import require_layers
from ..nn._module import Module
from ..nn.functional import linear
from ._network import Network

_EPS = 1e-12
_DEVIATION = 0.02


class _Block(Module):
    """Attention and two dense layers; norms stand behind both sums, or before both."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float,
        norm_first: bool,
        source: Generator,
    ) -> None:
        super().__init__()
        # What is dropped has streams of its own, which copies of the network go on with.
        self.attention = MultiheadAttention(width, heads, dropout, batch_first=True)
        self.dropout = Dropout(dropout)
        self.norm1, self.norm2 = LayerNorm(width, _EPS), LayerNorm(width, _EPS)
        first = Linear(width, hidden, generator=source)
        second = Linear(hidden, width, generator=source)
        self.mlp = Sequential(first, GELU(), second, Dropout(dropout))
        self._norm_first = norm_first

    def forward(self, x: Tensor) -> Tensor:
        if self._norm_first:
            x = x + self._attended(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self._attended(x))
        return self.norm2(x + self.mlp(x))

    def _attended(self, x: Tensor) -> Tensor:
        return self.dropout(self.attention(x, x, x)[0])


@checked
class MaskGIT(Network):
    """The bidirectional transformer of MaskGIT (Chang et al., 2022), which fills in hidden codes.

    codes [n, length], -1 where they are hidden, and classes [n] -> logits [n, length, num_codes].
    It is a BERT: a token of the class stands before the codes, positions are learned, norms follow
    the sums, and the logits are products with the embeddings of the codes, plus a bias, of what a
    dense layer, GELU and a norm give. Rows of `embedding` are the codes, the hidden code, the
    classes and no class. Weights begin as N(0, 0.02) within two standard deviations, biases at 0.
    The published network has width 768, depth 24, 16 heads and hidden 3072.

    Args:
        num_codes: k.
        length: codes of a sample, h w of a map.
        classes: what samples are told apart by; 0 without.
        width, depth, heads, hidden: channels of the tokens, blocks, heads of attention, and
            channels between the two dense layers.
        dropout: of the embeddings, of attention's shares and of both sums of a block.
        norm_first: norms stand before attention and dense layers, and one behind the last block.
    """

    def __init__(
        self,
        num_codes: int,
        length: int,
        *,
        classes: int = 0,
        width: int = 256,
        depth: int = 8,
        heads: int = 4,
        hidden: int = 1024,
        dropout: float = 0.1,
        norm_first: bool = False,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            num_codes=num_codes,
            length=length,
            classes=classes,
            width=width,
            depth=depth,
            heads=heads,
            hidden=hidden,
            dropout=dropout,
            norm_first=norm_first,
        )
        for name, value, least in (
            ("num_codes", num_codes, 1),
            ("length", length, 1),
            ("classes", classes, 0),
        ):
            if value < least:
                raise ValueError(f"[maskgit] {name} = {value}: must be at least {least}")
        require_layers("maskgit", depth)
        self.num_codes, self.length, self.classes = num_codes, length, classes
        source = layer_generator(generator)
        self.embedding = Embedding(num_codes + 1 + classes + 1, width, generator=source)
        self.positions = Parameter(np.zeros((1 + length, width), np.float32))
        self.norm = LayerNorm(width, _EPS)
        self.dropout = Dropout(dropout)
        self.blocks = ModuleList(
            _Block(width, heads, hidden, dropout, norm_first, source) for _ in range(depth)
        )
        self.last_norm = LayerNorm(width, _EPS) if norm_first else None
        self.head = Sequential(
            Linear(width, width, generator=source), GELU(), LayerNorm(width, _EPS)
        )
        self.bias = Parameter(np.zeros(num_codes, np.float32))
        for _, parameter in self.named_parameters():
            if parameter.ndim == 2:
                bounds = -2 * _DEVIATION, 2 * _DEVIATION
                init.trunc_normal_(parameter, 0.0, _DEVIATION, *bounds, generator=source)
        for layer in self.modules():
            if isinstance(layer, Linear):
                init.zeros_(layer.bias)

    def forward(
        self, codes: Tensor | npt.ArrayLike, labels: Tensor | npt.ArrayLike | None = None
    ) -> Tensor:
        """Logits [n, length, num_codes] of every code, of those that are given too.

        `codes`: [n, length], -1 where hidden. `labels`: [n], -1 for no class; None for none at all.
        IndexError for others outside 0...num_codes-1 and 0...classes-1.
        """
        x = self.embedding(self._tokens(*self._given(codes, labels))) + self.positions
        x = self.dropout(self.norm(x))
        for block in self.blocks:
            x = block(x)
        if self.last_norm is not None:
            x = self.last_norm(x)
        hidden: Tensor = self.head(x[:, 1:])
        return linear(hidden, self.embedding.weight[: self.num_codes], self.bias)

    def _given(
        self, codes: Any, labels: Any, operation: str = "maskgit"
    ) -> tuple[np.ndarray, np.ndarray]:
        """int32 codes [n, length] and labels [n], all checked; -1 without labels."""
        places = whole(operation, "codes", codes, self.num_codes)
        if places.ndim != 2 or places.shape[1] != self.length:
            raise ValueError(
                f"[{operation}] codes of shape {list(places.shape)}: [n, {self.length}] is required"
            )
        if labels is None:
            return places, np.full(len(places), -1, np.int32)
        kinds = whole(operation, "labels", labels, self.classes)
        if kinds.shape != places.shape[:1]:
            raise ValueError(
                f"[{operation}] labels of shape {list(kinds.shape)}: one for each of "
                f"{len(places)} samples is required"
            )
        return places, kinds

    def _tokens(self, codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Rows of the embedding [n, 1 + length]."""
        places = np.where(codes < 0, self.num_codes, codes)
        kinds = self.num_codes + 1 + np.where(labels < 0, self.classes, labels)
        return np.concatenate([kinds[:, None], places], 1).astype(np.int32)


def whole(operation: str, name: str, value: Any, count: int) -> np.ndarray:
    """int32 in -1...count-1; TypeError for other numbers, IndexError for others outside."""
    numbers = value.numpy() if isinstance(value, Tensor) else as_array(operation, name, value)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"[{operation}] {name} is {described(value)}: integers are required")
    if numbers.size and not -1 <= int(numbers.min()) <= int(numbers.max()) < count:
        beyond = numbers[(numbers < -1) | (numbers >= count)].flat[0]
        raise IndexError(f"[{operation}] {name} = {beyond}: must lie in -1...{count - 1}")
    return numbers.astype(np.int32)
