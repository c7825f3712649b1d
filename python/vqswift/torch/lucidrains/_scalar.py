"""FSQ and LFQ by the names of vector-quantize-pytorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2, prod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import nn

from .. import _scalar as ours
from ._options import Options, lacking, refuse
from ._shapes import projections

_INVERSE = 100.0  # of the temperature at first
_IN_FLOAT32 = "codes are always found in float32"


@dataclass(frozen=True, kw_only=True)
class FSQOptions(Options):
    """The options of `FSQ` beside its sizes."""

    operation: ClassVar[str] = "FSQ"

    scale: float | None = lacking(None, "the peer does not use it either")
    allowed_dtypes: tuple[torch.dtype, ...] = lacking((torch.float32, torch.float64), _IN_FLOAT32)
    channel_first: bool = False
    projection_has_bias: bool = True
    return_indices: bool = True
    force_quantization_f32: bool = lacking(True, _IN_FLOAT32)
    preserve_symmetry: bool = lacking(False)
    noise_dropout: float = lacking(0.0)
    bound_hard_clamp: bool = lacking(False)
    orthogonal_rotation: bool = lacking(False)


@dataclass(frozen=True, kw_only=True)
class LFQOptions(Options):
    """The options of `LFQ` beside its sizes."""

    operation: ClassVar[str] = "LFQ"

    entropy_loss_weight: float = 0.1
    commitment_loss_weight: float = 0.0
    diversity_gamma: float = 1.0
    straight_through_activation: Any = lacking(None)
    codebook_scale: float = lacking(1.0)
    frac_per_sample_entropy: float = lacking(1.0, "the entropies are exact: they need no table")
    has_projections: bool | None = None
    projection_has_bias: bool = True
    soft_clamp_input_value: float | None = None
    cosine_sim_project_in: bool = lacking(False)
    cosine_sim_project_in_scale: float | None = lacking(None)
    channel_first: bool | None = None
    experimental_softplus_entropy_loss: bool = lacking(False)
    entropy_loss_offset: float = lacking(5.0)
    spherical: bool = lacking(False)
    force_quantization_f32: bool = lacking(True, _IN_FLOAT32)
    orthogonal_rotation: bool = lacking(False)


class _Codebooks(nn.Module):
    """Vectors of `num_codebooks` parts between two projections."""

    def __init__(
        self,
        operation: str,
        dim: int | None,
        size: int,
        num_codebooks: int,
        keep: bool | None,
        projects: bool | None,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_codebooks, self.codebook_dim = num_codebooks, size
        self.keep_num_codebooks_dim = num_codebooks > 1 if keep is None else keep
        if num_codebooks > 1 and not self.keep_num_codebooks_dim:
            refuse(operation, "keep_num_codebooks_dim", keep, "there are several codebooks")
        self._operation, inner = operation, size * num_codebooks
        self.dim = inner if dim is None else dim
        self.has_projections = self.dim != inner if projects is None else projects
        if not self.has_projections and self.dim != inner:
            refuse(operation, "has_projections", projects, f"dim = {dim} is not {inner}")
        self.project_in, self.project_out = projections(
            self.dim, inner, bias=bias, always=self.has_projections
        )

    def _parts(self, x: torch.Tensor, channel_first: bool) -> torch.Tensor:
        """x -> [..., num_codebooks, size] after the projection."""
        rows = x.movedim(1, -1) if channel_first else x
        if rows.shape[-1] != self.dim:
            raise ValueError(
                f"[{self._operation}] shape {[*x.shape]}: axis {1 if channel_first else -1} must "
                f"be dim = {self.dim}"
            )
        projected: torch.Tensor = self.project_in(rows)
        return projected.reshape(*rows.shape[:-1], self.num_codebooks, self.codebook_dim)

    def _joined(self, parts: torch.Tensor, channel_first: bool, projects: bool = True) -> Any:
        out = parts.flatten(-2)
        out = self.project_out(out) if projects else out
        return out.movedim(-1, 1) if channel_first else out

    def _codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes [..., num_codebooks] -> as they are returned."""
        return codes if self.keep_num_codebooks_dim else codes[..., 0]

    def _with_axis(self, indices: torch.Tensor) -> torch.Tensor:
        """Returned indices -> codes [..., num_codebooks]."""
        return indices if self.keep_num_codebooks_dim else indices[..., None]

    def _is_image(self, indices: torch.Tensor) -> bool:
        return indices.ndim >= 3 + int(self.keep_num_codebooks_dim)


class FSQ(_Codebooks):
    """`vector_quantize_pytorch.FSQ` over the native kernels.

    `quantized, indices = fsq(z)` of z [batch, n, dim], or [batch, dim, height, width]; indices are
    int32. Keywords and initial values are the peer's; what there is not raises ValueError with the
    name of the option.

    Attributes:
        layer: the quantizer, `vqswift.torch.FSQ` of one codebook with channels last.
    """

    def __init__(
        self,
        levels: Sequence[int],
        dim: int | None = None,
        num_codebooks: int = 1,
        keep_num_codebooks_dim: bool | None = None,
        **options: Any,
    ) -> None:
        given = FSQOptions(**options)
        super().__init__(
            "FSQ",
            dim,
            len(levels),
            num_codebooks,
            keep_num_codebooks_dim,
            None,
            given.projection_has_bias,
        )
        self.options, self.levels = given, tuple(levels)
        self.codebook_size = prod(levels)
        self.layer = ours.FSQ(levels)

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """z -> (quantized, indices), or None for these without `return_indices`."""
        first = z.ndim >= 4 or self.options.channel_first
        quantized, info = self.layer(self._parts(z, first))
        codes = self._codes(info.q).int() if self.options.return_indices else None
        return self._joined(quantized, first), codes

    @property
    def implicit_codebook(self) -> torch.Tensor:
        """[codes, levels]."""
        return self.layer.decode(torch.arange(self.codebook_size))

    def indices_to_codes(self, indices: torch.Tensor) -> torch.Tensor:
        """Indices -> what the forward gives for them, projected; 0 for -1."""
        parts = self.layer.decode(self._with_axis(indices))
        first = self._is_image(indices) or self.options.channel_first
        codes: torch.Tensor = self._joined(parts, first)
        return codes

    def indices_to_level_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """Indices [...] -> the level of each element [..., levels]."""
        levels = torch.tensor(self.levels, device=indices.device)
        return indices[..., None] // self._basis(levels) % levels

    def codes_to_indices(self, zhat: torch.Tensor) -> torch.Tensor:
        """Unprojected codes [..., levels] -> int32 indices [...]."""
        levels = torch.tensor(self.levels, device=zhat.device)
        found = (zhat * (levels // 2)).round().long() + levels // 2
        return (found * self._basis(levels)).sum(-1).int()

    @staticmethod
    def _basis(levels: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.ones_like(levels[:1]), levels[:-1].cumprod(0)])


class LFQReturn(NamedTuple):
    """What `LFQ` gives."""

    quantized: torch.Tensor
    indices: torch.Tensor
    entropy_aux_loss: torch.Tensor


class LFQ(_Codebooks):
    """`vector_quantize_pytorch.LFQ` over the native kernels.

    `quantized, indices, loss = lfq(x)` of x [batch, n, dim], or [batch, dim, height, width]; `loss`
    is 0 in evaluation. Keywords and initial values are the peer's; what there is not raises
    ValueError with the name of the option. Entropies are exact, and limited to 2^20 codes.
    """

    mask: torch.Tensor

    def __init__(
        self,
        *,
        dim: int | None = None,
        codebook_size: int | None = None,
        num_codebooks: int = 1,
        keep_num_codebooks_dim: bool | None = None,
        **options: Any,
    ) -> None:
        given = LFQOptions(**options)
        if codebook_size is None:
            if dim is None:
                refuse("LFQ", "codebook_size", None, "dim or codebook_size must be given")
            codebook_size = 1 << dim
        bits = ceil(log2(codebook_size))
        if codebook_size != 1 << bits:
            refuse(
                "LFQ", "codebook_size", codebook_size, f"must be a power of 2, such as {1 << bits}"
            )
        super().__init__(
            "LFQ",
            dim,
            bits,
            num_codebooks,
            keep_num_codebooks_dim,
            given.has_projections,
            given.projection_has_bias,
        )
        self.options, self.codebook_size = given, codebook_size
        self.register_buffer("mask", 2 ** torch.arange(bits - 1, -1, -1))
        self._layers = {_INVERSE: self._made(_INVERSE)}

    def _made(self, inverse: float) -> ours.LFQ:
        return ours.LFQ(
            self.codebook_dim,
            commitment_weight=self.options.commitment_loss_weight,
            entropy_weight=self.options.entropy_loss_weight,
            diversity=self.options.diversity_gamma,
            temperature=1 / inverse,
        ).train(self.training)

    def _layer(self, inverse: float) -> ours.LFQ:
        """The quantizer of an inverse temperature; none has a state."""
        if inverse not in self._layers:
            if torch.compiler.is_compiling():
                why = "another than 100 must have been called once before it is compiled"
                refuse("LFQ", "inv_temperature", inverse, why)
            self._layers[inverse] = self._made(inverse)
        return self._layers[inverse]

    def train(self, mode: bool = True) -> Self:
        """Train, or evaluate."""
        for layer in self._layers.values():
            layer.train(mode)
        return super().train(mode)

    def forward(
        self,
        x: torch.Tensor,
        inv_temperature: float = _INVERSE,
        return_loss_breakdown: bool = False,
        mask: torch.Tensor | None = None,
    ) -> LFQReturn:
        """x -> (quantized, indices, loss); `mask` [batch, n] is False for what the loss leaves
        out."""
        if return_loss_breakdown:
            refuse("LFQ", "return_loss_breakdown", True, "the loss is not told in parts")
        first = x.ndim >= 4 if self.options.channel_first is None else self.options.channel_first
        parts = self._parts(x, first)
        if self.options.soft_clamp_input_value is not None:
            limit = self.options.soft_clamp_input_value
            parts = (parts / limit).tanh() * limit
        layer = self._layer(inv_temperature)
        found = [layer(part) for part in parts.unbind(-2)]
        quantized = torch.stack([z_q for z_q, _ in found], -2)
        codes = torch.stack([info.q for _, info in found], -1)
        losses = [info.loss for _, info in found]
        if mask is not None:
            losses = [layer(part, mask)[1].loss for part in parts.unbind(-2)]
        loss = torch.stack(losses).mean()
        if not self.training:
            loss = torch.zeros_like(loss)
        return LFQReturn(self._joined(quantized, first), self._codes(codes), loss)

    @property
    def codebook(self) -> torch.Tensor:
        """[codes, bits]."""
        places = torch.arange(self.codebook_size, device=self.mask.device)
        return self._layer(_INVERSE).decode(places)

    def indices_to_codes(self, indices: torch.Tensor, project_out: bool = True) -> torch.Tensor:
        """Indices -> what the forward gives for them; 0 for -1."""
        first = self.options.channel_first
        parts = self._layer(_INVERSE).decode(self._with_axis(indices))
        first = self._is_image(indices) if first is None else first
        codes: torch.Tensor = self._joined(parts, first, project_out)
        return codes
