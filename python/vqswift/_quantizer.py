"""Vector quantization: the layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy.typing as npt

from . import _core
from ._random import checked_word, layer_stream
from ._tensor import Tensor, as_tensor
from .nn._module import Native
from .optim import Optimizer

_NORMS = {"none": 0, "l2": 1}


@dataclass(frozen=True)
class QuantizerInfo:
    """What a quantizer's forward tells beside its output.

    With z [..., d]: `q` int32 [...] codes, `d` [...] squared distances, `loss` scalar without
    alpha, `z` the vectors as compared (after the norm), `z_q` the output, the two parts of the
    loss, `perplexity` 2^entropy of the batch's code usage and `active_codes` that it uses.
    """

    q: Tensor
    d: Tensor
    loss: Tensor
    z: Tensor
    z_q: Tensor
    commitment_loss: float
    codebook_loss: float
    perplexity: float
    active_codes: int


class VectorQuant(Native):
    """Replaces each vector of z by the nearest of `num_codes` codes.

    Huh et al., "Straightening Out the Straight-Through Estimator", ICML 2023. Calling the layer
    gives `(z_q, info)`. The gradient passes straight through; `info.loss` is
    `(1 - beta) mse(z, sg z_q) + beta mse(sg z, z_q)`, to be added to the task loss times alpha.

    Args:
        feature_size: d, the size of a vector.
        num_codes: k, the number of codes.
        beta: weight of the codebook's side of the loss, 0 to 1.
        sync_nu: synchronized update: the codebook gains nu times the gradient of the output.
        affine_lr: learned affine map, E = (1 + lr s) C + lr b; 0 is off.
        affine_groups: contiguous blocks of codes, each with its own s and b.
        affine: "learned", the form that this layer has.
        replace_freq: a code unused for so many training steps becomes a random vector of the batch
            plus noise; 0 is off.
        inplace_optimizer: a callable `parameters -> optimizer`: alternating optimization. The
            optimizer it gives owns the raw codebook and steps inside training forwards; the
            codebook is then not in `parameters()`.
        kmeans_init: k-means with k-means++ seeds on the first training batch.
        norm, cb_norm: "none" or "l2", of z and of the codebook.
        dim: channel axis of z; 1 for channels-first.
        inner_steps: steps of the in-place optimizer, the batch split evenly among them.
        outer_steps: training forwards from one inner phase to the next.
        reassign: look codes up again after the inner phase.
        seed: of initial codes, replacement and k-means.
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        beta: float = 0.95,
        sync_nu: float = 0.0,
        affine_lr: float = 0.0,
        affine_groups: int = 1,
        affine: str = "learned",
        replace_freq: int = 0,
        inplace_optimizer: Callable[[list[Tensor]], Optimizer] | None = None,
        kmeans_init: bool = False,
        norm: str = "none",
        cb_norm: str = "none",
        dim: int = -1,
        inner_steps: int = 1,
        outer_steps: int = 1,
        reassign: bool = False,
        seed: int = 0,
    ) -> None:
        for name, value in (("norm", norm), ("cb_norm", cb_norm)):
            if value not in _NORMS:
                raise ValueError(
                    f"[vector_quant] {name} = {value!r}: it must be one of {[*_NORMS]}"
                )
        if affine != "learned":
            raise ValueError(f"[vector_quant] affine = {affine!r}: it must be 'learned'")
        seed = checked_word("vector_quant", "seed", seed)
        super().__init__(
            _core.vector_quant_create(
                feature_size,
                num_codes,
                beta,
                sync_nu,
                affine_lr,
                affine_groups,
                replace_freq,
                kmeans_init,
                _NORMS[norm],
                _NORMS[cb_norm],
                inner_steps,
                outer_steps,
                reassign,
                seed,
                layer_stream()[1],
            )
        )
        self.dim = dim
        self.inplace_optimizer: Optimizer | None = None
        if inplace_optimizer is not None:
            optimizer = inplace_optimizer([self.codebook])
            if not isinstance(optimizer, Optimizer):
                raise TypeError(
                    "[vector_quant] inplace_optimizer must return a vqswift.optim optimizer, "
                    f"not {type(optimizer).__name__}"
                )
            _core.quantizer_set_inplace_optimizer(self._handle, optimizer._handle)
            self.inplace_optimizer = optimizer

    @property
    def codebook(self) -> Tensor:
        """The raw codebook [k, d], the parameter itself."""
        return dict(self._own_parameters(True))["codebook"]

    @property
    def effective_codebook(self) -> Tensor:
        """[k, d] after affine map and norm: what vectors are compared with."""
        return Tensor._wrap(_core.quantizer_effective_codebook(self._handle))

    def forward(self, z: Tensor) -> tuple[Tensor, QuantizerInfo]:  # type: ignore[override]
        """z, channels on axis `dim` -> (z_q of z's shape, info); `info.q` lacks the channel axis.

        ValueError for a wrong channel count, NaN or infinity, and in training for an empty batch.
        """
        z = as_tensor(z)
        parts = _core.quantizer_forward(self._handle, self._channels_last(z)._handle)
        z_q, codes, distances, loss, compared = (Tensor._wrap(handle) for handle in parts[:5])
        z_q = self._channels_back(z_q)
        info = QuantizerInfo(codes, distances, loss, self._channels_back(compared), z_q, *parts[5:])
        return z_q, info

    def encode(self, z: Tensor | npt.ArrayLike) -> Tensor:
        """z -> int32 codes, without the channel axis; changes no state."""
        z = self._channels_last(as_tensor(z))
        return Tensor._wrap(_core.quantizer_encode(self._handle, z._handle))

    def decode(self, codes: Tensor | npt.ArrayLike) -> Tensor:
        """int32 codes -> their vectors, channels on axis `dim`; IndexError outside 0..k-1."""
        vectors = _core.quantizer_decode(self._handle, as_tensor(codes)._handle)
        return self._channels_back(Tensor._wrap(vectors))

    def _axis(self, rank: int) -> int:
        if not -rank <= self.dim < rank:
            raise ValueError(f"[vector_quant] dim = {self.dim}: z has {rank} axes")
        return self.dim % rank

    def _channels_last(self, z: Tensor) -> Tensor:
        axis, rank = self._axis(z.ndim), z.ndim
        if axis == rank - 1:
            return z
        return z.permute([a for a in range(rank) if a != axis] + [axis])

    def _channels_back(self, z: Tensor) -> Tensor:
        axis, rank = self._axis(z.ndim), z.ndim
        if axis == rank - 1:
            return z
        order = list(range(rank - 1))
        order.insert(axis, rank - 1)
        return z.permute(order)
