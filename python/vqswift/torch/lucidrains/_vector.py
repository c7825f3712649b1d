"""Vector quantization by the names of vector-quantize-pytorch."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from .._info import QuantizerInfo
from .._vector import GroupVectorQuant, VectorQuant
from ._expiry import CodeExpiry
from ._options import VectorQuantizeOptions, refuse
from ._shapes import (
    length_mask,
    new_seed,
    padded,
    projections,
    rows_of,
    start_uniformly,
    to_given,
    to_last,
)
from ._states import fit_state


class LossBreakdown(NamedTuple):
    """The parts of a loss, without their weights."""

    commitment: torch.Tensor
    codebook_diversity: torch.Tensor
    orthogonal_reg: torch.Tensor
    inplace_optimize: torch.Tensor


class CommitmentLoss:
    """The peer's commitment loss of ours.

    Its mean square has the whole gradient on each side that learns, where ours is split by beta.
    """

    def __init__(self, options: VectorQuantizeOptions) -> None:
        self._options = options

    def unweighted(self, info: QuantizerInfo, training: bool) -> torch.Tensor:
        """[entries of `info.stage_losses`], 0 in evaluation."""
        own = info.stage_losses
        if not training:
            return torch.zeros_like(own)
        return 2 * own - own.detach() if self._options.takes_loss else own


class VectorQuantize(nn.Module):
    """`vector_quantize_pytorch.VectorQuantize` over the native kernels.

    `quantized, indices, loss = vq(x)` of x [batch, n, dim], [batch, dim], or with
    `accept_image_fmap` [batch, dim, height, width]; int64 indices have a last axis of heads where
    there are several. `loss` is a scalar, 0 in evaluation.

    Keywords and initial values are the peer's; what there is not raises ValueError with the name of
    the option. docs/torch.md says where behaviour differs.

    Attributes:
        layer: the quantizer, with channels last: `vqswift.torch.VectorQuant`, or `GroupVectorQuant`
            of several heads.
    """

    layer: VectorQuant | GroupVectorQuant

    def __init__(
        self, dim: int, codebook_size: int, codebook_dim: int | None = None, **options: Any
    ) -> None:
        super().__init__()
        self.options = given = VectorQuantizeOptions(**options)
        width = codebook_dim or dim
        self.dim, self.codebook_size, self.heads = dim, codebook_size, given.heads
        self.freeze_codebook = given.freeze_codebook
        self.project_in, self.project_out = projections(dim, width * given.heads)
        if given.layernorm_after_project_in:
            if not self.has_projections:
                given.refuse(
                    "layernorm_after_project_in", "there is no projection: give codebook_dim"
                )
            self.project_in = nn.Sequential(self.project_in, nn.LayerNorm(width * given.heads))
        self.layer = self._made(width)
        if not given.kmeans_init:
            start_uniformly(self.layer)
        if not given.is_ema and not given.is_learned:
            self.layer.freeze()
        self.expiry = self._expiry()
        self._commitment = CommitmentLoss(given)
        self.register_load_state_dict_pre_hook(fit_state)  # type: ignore[no-untyped-call]

    def _made(self, width: int) -> VectorQuant | GroupVectorQuant:
        given, size = self.options, width * self.heads
        own = given.ours(self.dim)
        if self.heads == 1:
            return VectorQuant(size, self.codebook_size, seed=new_seed(), **own)
        return GroupVectorQuant(
            size,
            self.codebook_size,
            groups=self.heads,
            shared=not given.separate_codebook_per_head,
            seed=new_seed(),
            **own,
        )

    def _expiry(self) -> CodeExpiry | None:
        given = self.options
        if given.threshold_ema_dead_code == 0:
            return None
        for name in ("affine_param", "manual_ema_update"):
            if getattr(given, name):
                given.refuse("threshold_ema_dead_code", f"{name} moves codes otherwise: give one")
        return CodeExpiry(
            given.threshold_ema_dead_code,
            given.decay,
            len(self.layer.codebooks),
            self.codebook_size,
            given.is_ema,
        )

    @property
    def has_projections(self) -> bool:
        """Whether codes are of another size than vectors."""
        return not isinstance(self.project_in, nn.Identity)

    # MARK: Calls

    def forward(
        self,
        x: torch.Tensor,
        indices: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        lens: torch.Tensor | None = None,
        topk: int | None = None,
        sample_codebook_temp: float | None = None,
        freeze_codebook: bool | None = None,
        return_loss_breakdown: bool = False,
        codebook_transform_fn: Any = None,
        ema_update_weight: Any = None,
        accum_ema_update: bool = False,
        ema_update: bool | None = None,
    ) -> Any:
        """x -> (quantized, indices, loss), and a `LossBreakdown` on demand.

        `mask` [batch, n] is False, or `lens` [batch] past, what to leave out: indices are -1 there.
        """
        _refuse_calls(
            indices=indices,
            topk=topk,
            sample_codebook_temp=sample_codebook_temp,
            codebook_transform_fn=codebook_transform_fn,
            ema_update_weight=ema_update_weight,
            accum_ema_update=accum_ema_update or None,
            ema_update=ema_update,
        )
        given = self.options
        if return_loss_breakdown and given.in_place_codebook_optimizer is not None:
            why = "the in-place step's loss is not told"
            refuse("VectorQuantize", "return_loss_breakdown", True, why)
        rows = to_last(x, given.axis)
        kept = length_mask(mask, lens, rows)
        inner = self.project_in(rows)
        freezes = self.freeze_codebook if freeze_codebook is None else freeze_codebook
        fixed = freezes or self.layer.frozen
        expires = self.expiry is not None and self.training and not freezes
        if expires:
            self._replace(inner, kept)
        quantized, info = self.layer(inner, kept, freeze=fixed)
        if expires and self.expiry is not None:
            self.expiry.count(self._by_book(info.q[..., None]).flatten(1))
        out = padded(self.project_out(quantized), rows, kept, given.return_zeros_for_masked_padding)
        own = self._commitment.unweighted(info, self.training).mean()
        loss = given.loss_weight * own
        regularization = info.loss - info.stage_losses.mean()
        if given.orthogonal_reg_weight > 0 and self.training:
            loss = loss + regularization
        result = (to_given(out, given.axis), info.q, loss)
        if not return_loss_breakdown:
            return result
        none = torch.zeros_like(own)
        orthogonal = none
        if given.orthogonal_reg_weight > 0 and self.training:
            orthogonal = regularization / given.orthogonal_reg_weight
        commitment = own if given.loss_weight > 0 else none
        return (*result, LossBreakdown(commitment, none, orthogonal, none))

    def _by_book(self, values: torch.Tensor) -> torch.Tensor:
        """[..., heads, d] or [..., d] -> [books, n, d]."""
        books = len(self.layer.codebooks)
        if books == 1:
            return values.reshape(1, -1, values.shape[-1])
        return values.reshape(-1, books, values.shape[-1]).transpose(0, 1)

    @torch.no_grad()
    def _replace(self, inner: torch.Tensor, kept: torch.Tensor | None) -> None:
        assert self.expiry is not None
        vectors = inner.reshape(*inner.shape[:-1], self.heads, -1).float()
        if self.options.use_cosine_sim:
            vectors = nn.functional.normalize(vectors, dim=-1)
        if kept is not None:
            kept = (kept != 0).flatten()
            if len(self.layer.codebooks) == 1:
                kept = kept.repeat_interleave(self.heads)
        self.expiry.replace(self.layer, self._by_book(vectors), kept)

    def update(self) -> None:
        """Move an EMA codebook by what forwards added, with `manual_ema_update`."""
        self.layer.update()

    # MARK: Codes

    @property
    def codebook(self) -> torch.Tensor:
        """[k, d], or [heads, k, d] of separate heads: what vectors are compared with."""
        books = self.layer.effective_codebooks
        return torch.stack(books) if self.options.separate_codebook_per_head else books[0]

    @codebook.setter
    def codebook(self, codes: torch.Tensor) -> None:
        self.layer.assign(*(codes if self.options.separate_codebook_per_head else codes[None]))

    def get_codes_from_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """Indices -> codes before the output's projection, channels where x has them."""
        return to_given(self._codes(indices), self.options.axis)

    def get_output_from_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """Indices -> what the evaluation forward gives for them; 0 for -1."""
        left_out = (indices >= 0).all(-1) if self.heads > 1 else indices >= 0
        out = self.project_out(self._codes(indices))
        return to_given(torch.where(left_out[..., None], out, 0), self.options.axis)

    def _codes(self, indices: torch.Tensor) -> torch.Tensor:
        books: list[torch.Tensor] = self.layer.effective_codebooks
        if self.heads == 1:
            return rows_of(books[0], indices)
        parts = indices.unbind(-1)
        return torch.cat(
            [rows_of(books[head % len(books)], part) for head, part in enumerate(parts)], -1
        )


def _refuse_calls(**given: Any) -> None:
    """Refuse what a call of ours has not, where it is given."""
    for name, value in given.items():
        if value is not None:
            refuse("VectorQuantize", name, value, "a call has no such option here")
