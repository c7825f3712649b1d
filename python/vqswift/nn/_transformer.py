"""Transformer blocks (Vaswani et al. 2017), by torch's names."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from .._arguments import checked, described
from .._integers import as_layer_input
from .._tensor import Tensor
from . import functional
from ._attention import MultiheadAttention
from ._collections import ModuleList, require_layers
from ._dropout import Dropout
from ._linear import Linear
from ._module import Module
from ._normalization import LayerNorm

Array = npt.ArrayLike | Tensor
Function = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[str, Function] = {"relu": functional.relu, "gelu": functional.gelu}


def _activation(operation: str, activation: str | Callable[[Tensor], Tensor]) -> Function:
    if callable(activation):
        return activation
    if not isinstance(activation, str):
        raise TypeError(
            f"[{operation}] activation is {described(activation)}: a name or a function is required"
        )
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"[{operation}] activation = {activation!r}: {' or '.join(_ACTIVATIONS)}, or a function"
        )
    return _ACTIVATIONS[activation]


class _Block(Module):
    """What encoder and decoder blocks have in common."""

    self_attn: MultiheadAttention
    linear1: Linear
    dropout: Dropout
    linear2: Linear

    def _build(
        self,
        operation: str,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: str | Callable[[Tensor], Tensor],
        batch_first: bool,
        norm_first: bool,
        bias: bool,
    ) -> None:
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        self.norm_first = norm_first
        self._activation = _activation(operation, activation)

    def _attended(self, x: Tensor, mask: Any, hidden: Any, is_causal: bool) -> Tensor:
        return self.self_attn.forward(
            x, x, x, attn_mask=mask, key_padding_mask=hidden, is_causal=is_causal
        )[0]

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.dropout(self._activation(self.linear1(x)))
        result: Tensor = self.linear2(hidden)
        return result

    def _added(self, x: Tensor, body: Function, norm: LayerNorm, dropout: Dropout) -> Tensor:
        """x and what `body` makes of it, normalized before or after."""
        first = self.norm_first
        result: Tensor = x + dropout(body(norm(x))) if first else norm(x + dropout(body(x)))
        return result


@checked
class TransformerEncoderLayer(_Block):
    """Self-attention and a network of two layers, each with a residual connection and a norm.

    Sequences are [t, n, d_model], or [n, t, d_model] with `batch_first`; masks as in
    `MultiheadAttention`.
    """

    norm1: LayerNorm
    norm2: LayerNorm
    dropout1: Dropout
    dropout2: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._build(
            "transformer_encoder_layer",
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            batch_first,
            norm_first,
            bias,
        )
        self.norm1, self.norm2 = (LayerNorm(d_model, layer_norm_eps, bias=bias) for _ in range(2))
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)

    def forward(
        self,
        src: Array,
        src_mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """A sequence of the input's shape."""
        x = as_layer_input("transformer_encoder_layer", src)

        def attended(y: Tensor) -> Tensor:
            return self._attended(y, src_mask, src_key_padding_mask, is_causal)

        x = self._added(x, attended, self.norm1, self.dropout1)
        return self._added(x, self._feed_forward, self.norm2, self.dropout2)


@checked
class TransformerDecoderLayer(_Block):
    """Self-attention, attention to `memory`, and a network of two layers."""

    multihead_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    dropout1: Dropout
    dropout2: Dropout
    dropout3: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._build(
            "transformer_decoder_layer",
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            batch_first,
            norm_first,
            bias,
        )
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first
        )
        self.norm1, self.norm2, self.norm3 = (
            LayerNorm(d_model, layer_norm_eps, bias=bias) for _ in range(3)
        )
        self.dropout1, self.dropout2, self.dropout3 = (Dropout(dropout) for _ in range(3))

    def forward(
        self,
        tgt: Array,
        memory: Array,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """A sequence of the shape of `tgt`."""
        x = as_layer_input("transformer_decoder_layer", tgt)
        kept = as_layer_input("transformer_decoder_layer", memory)

        def attended(y: Tensor) -> Tensor:
            return self._attended(y, tgt_mask, tgt_key_padding_mask, tgt_is_causal)

        def crossed(y: Tensor) -> Tensor:
            return self.multihead_attn.forward(
                y,
                kept,
                kept,
                attn_mask=memory_mask,
                key_padding_mask=memory_key_padding_mask,
                is_causal=memory_is_causal,
            )[0]

        x = self._added(x, attended, self.norm1, self.dropout1)
        x = self._added(x, crossed, self.norm2, self.dropout2)
        return self._added(x, self._feed_forward, self.norm3, self.dropout3)


class _Stack(Module):
    """Copies of a block one after the other."""

    layers: ModuleList

    def _stack(
        self, operation: str, name: str, layer: Module, count: int, norm: Module | None
    ) -> None:
        for given, what in ((layer, name), (norm, "norm")):
            if not isinstance(given, Module) and (given is not None or what == name):
                raise TypeError(f"[{operation}] {what} is {described(given)}: a Module is required")
        require_layers(operation, count)
        self.layers = ModuleList(copy.deepcopy(layer) for _ in range(count))
        self.norm = norm

    def _normalized(self, x: Tensor) -> Tensor:
        result: Tensor = x if self.norm is None else self.norm(x)
        return result


@checked
class TransformerEncoder(_Stack):
    """`num_layers` copies of an encoder block, equal at first as torch's, and a norm if given."""

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self._stack("transformer_encoder", "encoder_layer", encoder_layer, num_layers, norm)

    def forward(
        self,
        src: Array,
        mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """A sequence of the input's shape."""
        x = as_layer_input("transformer_encoder", src)
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, is_causal)
        return self._normalized(x)


@checked
class TransformerDecoder(_Stack):
    """`num_layers` copies of a decoder block, equal at first as torch's, and a norm if given."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self._stack("transformer_decoder", "decoder_layer", decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Array,
        memory: Array,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """A sequence of the shape of `tgt`."""
        x = as_layer_input("transformer_decoder", tgt)
        for layer in self.layers:
            x = layer(
                x,
                memory,
                tgt_mask,
                memory_mask,
                tgt_key_padding_mask,
                memory_key_padding_mask,
                tgt_is_causal,
                memory_is_causal,
            )
        return self._normalized(x)
