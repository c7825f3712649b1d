"""Residual quantization by the names of vector-quantize-pytorch."""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar

import torch
from torch import nn

from .._vector import ResidualVectorQuant
from ._options import Options, VectorQuantizeOptions, lacking, refuse
from ._shapes import (
    new_seed,
    padded,
    projections,
    rows_of,
    start_uniformly,
    to_given,
    to_last,
)
from ._states import fit_state
from ._vector import CommitmentLoss


@dataclass(frozen=True, kw_only=True)
class ResidualVQOptions(Options):
    """The options of `ResidualVQ` beside its sizes and those of `VectorQuantize`."""

    operation: ClassVar[str] = "ResidualVQ"

    shared_codebook: bool = False
    diveq: bool = lacking(False, "stages have directional_reparam, their sum has not")
    heads: int = lacking(1, "stages have one code each")
    quantize_dropout: bool = False
    quantize_dropout_cutoff_index: int = 0
    quantize_dropout_multiple_of: int = 1
    implicit_neural_codebook: bool = lacking(False)
    mlp_kwargs: dict[str, Any] | None = lacking(None)
    beam_size: int | None = lacking(None)
    eval_beam_size: int | None = lacking(None)
    beam_score_quantizer_weights: list[float] | None = lacking(None)
    quant_grad_frac: float = lacking(0.0)


_OWN = tuple(ResidualVQOptions.__dataclass_fields__)
_OF_ONE_LAYER = (
    "separate_codebook_per_head",
    "layernorm_after_project_in",
    "threshold_ema_dead_code",
    "orthogonal_reg_weight",
    "manual_ema_update",
)


class ResidualVQ(nn.Module):
    """`vector_quantize_pytorch.ResidualVQ` over the native kernels.

    `quantized, indices, losses = rvq(x)` of x [batch, n, dim]: int64 indices [batch, n, stages], -1
    for stages that dropout left out, and losses [stages], 0 in evaluation.

    Keywords and initial values are the peer's; what there is not raises ValueError with the name of
    the option. docs/torch.md says where behaviour differs.

    Attributes:
        layers: the quantizer, `vqswift.torch.ResidualVectorQuant` with channels last.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_quantizers: int | None = None,
        codebook_size: int | tuple[int, ...],
        codebook_dim: int | None = None,
        accept_image_fmap: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        own = {name: options.pop(name) for name in _OWN if name in options}
        self.stages = ResidualVQOptions(**own)
        self.options = given = VectorQuantizeOptions(accept_image_fmap=accept_image_fmap, **options)
        stages, size = _sizes(num_quantizers, codebook_size)
        self._refuse_of_one_layer()
        width = codebook_dim or dim
        self.dim, self.num_quantizers, self.codebook_size = dim, stages, size
        self.freeze_codebook = given.freeze_codebook
        self.project_in, self.project_out = projections(dim, width)
        self.layers = ResidualVectorQuant(
            width,
            size,
            stages=stages,
            shared=self.stages.shared_codebook,
            seed=new_seed(),
            **given.ours(width),
        )
        if not given.kmeans_init:
            start_uniformly(self.layers)
        if not given.is_ema and not given.is_learned:
            self.layers.freeze()
        self._commitment = CommitmentLoss(given)
        self.register_load_state_dict_pre_hook(fit_state)  # type: ignore[no-untyped-call]

    def _refuse_of_one_layer(self) -> None:
        given = self.options
        for name in _OF_ONE_LAYER:
            value = getattr(given, name)
            if value:
                refuse("ResidualVQ", name, value, "stages have no such option here")
        if given.use_cosine_sim:
            why = "unit codes cannot follow residuals, which shrink from stage to stage"
            refuse("ResidualVQ", "use_cosine_sim", True, why)
        if self.stages.shared_codebook and given.in_place_codebook_optimizer is not None:
            why = "there is no in_place_codebook_optimizer with it here"
            refuse("ResidualVQ", "shared_codebook", True, why)
        cutoff = self.stages.quantize_dropout_cutoff_index
        if cutoff < 0:
            refuse("ResidualVQ", "quantize_dropout_cutoff_index", cutoff, "must be at least 0")

    # MARK: Calls

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None = None,
        indices: torch.Tensor | None = None,
        return_all_codes: bool = False,
        sample_codebook_temp: float | None = None,
        freeze_codebook: bool = False,
        beam_size: int | None = None,
        rand_quantize_dropout_fixed_seed: int | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """x -> (quantized, indices, losses), and all stages' codes [stages, ...] on demand."""
        calls = {"indices": indices, "sample_codebook_temp": sample_codebook_temp}
        for name, value in (calls | {"beam_size": beam_size}).items():
            if value is not None:
                refuse("ResidualVQ", name, value, "a call has no such option here")
        given = self.options
        rows = to_last(x, given.axis)
        used = self._used(rand_quantize_dropout_fixed_seed)
        fixed = freeze_codebook or self.freeze_codebook or self.layers.frozen
        quantized, info = self.layers(self.project_in(rows), mask, freeze=fixed, stages=used)
        out = padded(self.project_out(quantized), rows, mask, given.return_zeros_for_masked_padding)
        losses = given.loss_weight * self._commitment.unweighted(info, self.training)
        missing = (0, self.num_quantizers - info.q.shape[-1])
        codes = nn.functional.pad(info.q, missing, value=-1)
        result = (to_given(out, given.axis), codes, nn.functional.pad(losses, missing))
        return (*result, self.get_codes_from_indices(codes)) if return_all_codes else result

    def _used(self, seed: int | None) -> int | None:
        """How many stages this forward uses; None for all."""
        own = self.stages
        if not (self.training and own.quantize_dropout and self.num_quantizers > 1):
            return None
        if seed is None:
            seed = int(torch.randint(10_000, (), device="cpu").item())
        drawn = random.Random(seed)
        last = drawn.randrange(own.quantize_dropout_cutoff_index, self.num_quantizers)
        step = own.quantize_dropout_multiple_of
        return min(ceil((last + 1) / step) * step, self.num_quantizers)

    # MARK: Codes

    @property
    def codebooks(self) -> torch.Tensor:
        """[stages, k, d]: what vectors are compared with."""
        books: list[torch.Tensor] = self.layers.effective_codebooks
        return torch.stack([books[stage % len(books)] for stage in range(self.num_quantizers)])

    def get_codes_from_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """Indices [..., stages], or of the first ones -> codes [all stages, ..., d]; 0 for -1."""
        missing = (0, self.num_quantizers - indices.shape[-1])
        parts = nn.functional.pad(indices, missing, value=-1).unbind(-1)
        return torch.stack([rows_of(b, q) for b, q in zip(self.codebooks, parts, strict=True)])

    def get_output_from_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """Indices -> what the evaluation forward gives for them; 0 where all are -1."""
        total = self.get_codes_from_indices(indices).sum(0)
        out = padded(self.project_out(total), total, (indices >= 0).any(-1), True)
        return to_given(out, self.options.axis)


def _sizes(stages: int | None, size: int | tuple[int, ...]) -> tuple[int, int]:
    """The number of stages and the codes of each."""
    sizes = size if isinstance(size, tuple) else (size,) * (stages or 0)
    if not sizes:
        refuse("ResidualVQ", "num_quantizers", stages, "must be at least 1")
    if len(set(sizes)) > 1:
        refuse("ResidualVQ", "codebook_size", size, "all stages have as many codes here")
    if stages is not None and stages != len(sizes):
        refuse("ResidualVQ", "codebook_size", size, f"num_quantizers = {stages} differs")
    return len(sizes), sizes[0]


class GroupedResidualVQ(nn.Module):
    """`vector_quantize_pytorch.GroupedResidualVQ`: a `ResidualVQ` for each group of channels.

    Indices are [groups, batch, n, stages], losses [groups, stages]; the other options are
    `ResidualVQ`'s. Dropout leaves as many stages in every group.
    """

    def __init__(
        self, *, dim: int, groups: int = 1, accept_image_fmap: bool = False, **options: Any
    ) -> None:
        super().__init__()
        if dim % groups:
            refuse("GroupedResidualVQ", "groups", groups, f"must divide dim = {dim}")
        self.dim, self.groups, self.accept_image_fmap = dim, groups, accept_image_fmap
        self.rvqs = nn.ModuleList(
            ResidualVQ(dim=dim // groups, accept_image_fmap=accept_image_fmap, **options)
            for _ in range(groups)
        )

    @property
    def split_dim(self) -> int:
        """The axis of channels."""
        return self._parts[0].options.axis

    @property
    def _parts(self) -> list[ResidualVQ]:
        return [part for part in self.rvqs if isinstance(part, ResidualVQ)]

    @property
    def codebooks(self) -> torch.Tensor:
        """[groups, stages, k, d]."""
        return torch.stack([part.codebooks for part in self._parts])

    def forward(
        self,
        x: torch.Tensor,
        indices: torch.Tensor | None = None,
        return_all_codes: bool = False,
        sample_codebook_temp: float | None = None,
        freeze_codebook: bool = False,
        mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """x -> (quantized, indices, losses), and all codes [groups, stages, ...] on demand."""
        if indices is not None:
            refuse("GroupedResidualVQ", "indices", indices, "a call has no such option here")
        seed = None
        if self.training and self._parts[0].stages.quantize_dropout:
            seed = int(torch.randint(10_000, (), device="cpu").item())
        parts = [
            part(
                chunk,
                mask,
                return_all_codes=return_all_codes,
                sample_codebook_temp=sample_codebook_temp,
                freeze_codebook=freeze_codebook,
                rand_quantize_dropout_fixed_seed=seed,
            )
            for part, chunk in zip(self._parts, x.chunk(self.groups, self.split_dim), strict=True)
        ]
        quantized, *others = zip(*parts, strict=True)
        return (torch.cat(quantized, self.split_dim), *map(torch.stack, others))

    def get_codes_from_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """Indices [groups, ..., stages] -> codes [groups, stages, ..., d]."""
        pairs = zip(self._parts, indices, strict=True)
        return torch.stack([part.get_codes_from_indices(own) for part, own in pairs])

    def get_output_from_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """Indices [groups, ..., stages] -> what the evaluation forward gives for them."""
        pairs = zip(self._parts, indices, strict=True)
        return torch.cat([p.get_output_from_indices(own) for p, own in pairs], self.split_dim)
