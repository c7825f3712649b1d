"""vqtorch's classes over the native kernels: a script changes its import.

Keywords, initial values, calls and dicts are vqtorch's. Where its behaviour is a defect, ours is
the one of docs/quantizers.md, "Names shared with vqtorch". An option that is not here raises
ValueError with its name.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import nn

from . import _vector as ours
from ._base import no_quantization as no_vq
from ._info import QuantizerInfo
from ._vector import CodebookQuantizer
from ._vqtorch_state import convert_state_dict, fit_state, to_theirs

__all__ = [
    "GroupVectorQuant",
    "ResidualVectorQuant",
    "VectorQuant",
    "convert_state_dict",
    "no_vq",
    "to_theirs",
]


def _refuse(operation: str, name: str, value: Any, why: str) -> NoReturn:
    raise ValueError(f"[{operation}] {name} = {value!r}: {why}")


class _Layer(nn.Module):
    """What the three layers share: the options, and the dict of a call."""

    layer: CodebookQuantizer

    def __init__(self, feature_size: int, num_codes: int, dim: int, groups: int) -> None:
        super().__init__()
        self.feature_size, self.num_codes = feature_size, num_codes
        self.dim, self.groups = dim, groups
        self.register_load_state_dict_pre_hook(fit_state)  # type: ignore[no-untyped-call]

    def _options(
        self,
        *,
        beta: float,
        sync_nu: float,
        affine_lr: float,
        affine_groups: int,
        replace_freq: int | None,
        inplace_optimizer: Any,
        norm: str | None,
        cb_norm: str | None,
        kmeans_init: bool,
        code_vector_size: int | None = None,
    ) -> dict[str, Any]:
        """Our options of theirs."""
        name = type(self).__name__
        if code_vector_size not in (None, self.feature_size // self._parts):
            why = f"it is feature_size / groups = {self.feature_size // self._parts}"
            _refuse(name, "code_vector_size", code_vector_size, why)
        if affine_groups != 1 and affine_lr == 0:
            _refuse(name, "affine_groups", affine_groups, "there is no affine map: give affine_lr")
        options: dict[str, Any] = {
            "beta": beta,
            "sync_nu": sync_nu,
            "affine_lr": affine_lr,
            "affine_groups": affine_groups,
            "replace_freq": replace_freq or 0,
            "inplace_optimizer": inplace_optimizer,
            "norm": norm or "none",
            "cb_norm": cb_norm or "none",
            "dim": self.dim,
            "seed": int(torch.randint(2**31, (), device="cpu").item()),
        }
        if kmeans_init:
            options["kmeans_init"] = True
        return options

    @property
    def _parts(self) -> int:
        """How many codes share the channels."""
        return 1

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, dict[str, Any]]:
        """z, channels on axis `dim` -> (z_q, a dict of z, z_q, d, q, loss and perplexity)."""
        z_q, info = self.layer(z)
        return z_q, self._told(info)

    def _told(self, info: QuantizerInfo) -> dict[str, Any]:
        codes = info.q if self._has_code_axis else info.q[..., None]
        distances = info.d if self._has_code_axis else info.d[..., None]
        return {
            "z": self._grouped(info.z),
            "z_q": self._grouped(info.z_q),
            "d": distances.sqrt(),
            "q": codes + self._offsets(codes),
            "loss": info.loss,
            "perplexity": info.perplexity,
        }

    _has_code_axis = False

    def _offsets(self, codes: torch.Tensor) -> torch.Tensor:
        """Of each part's codes in the one codebook that vqtorch keeps."""
        books = len(self.layer.codebooks)
        size = self.num_codes // books if books > 1 else 0
        return torch.arange(codes.shape[-1], device=codes.device) * size

    def _grouped(self, z: torch.Tensor) -> torch.Tensor:
        """z [..., d] -> [..., parts, d / parts], channels last."""
        rows = z.movedim(self.dim, -1)
        return rows.reshape(*rows.shape[:-1], self._parts, -1)

    @torch.no_grad()
    def get_codebook(self) -> torch.Tensor:
        """[num_codes, code size] after affine map and norm: what vectors are compared with."""
        return torch.cat(self.layer.effective_codebooks)


class VectorQuant(_Layer):
    """`vqtorch.nn.VectorQuant` over the native kernels.

    `z_q, told = layer(z)`; `told` has `z` and `z_q` [..., 1, d], the distances `d` and int64 codes
    `q` [..., 1], the `loss` without alpha, and the batch's `perplexity`, which vqtorch leaves None.

    Attributes:
        layer: the quantizer, `vqswift.torch.VectorQuant`.
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        beta: float = 0.95,
        sync_nu: float = 0.0,
        affine_lr: float = 0.0,
        affine_groups: int = 1,
        replace_freq: int | None = 0,
        inplace_optimizer: Any = None,
        dim: int = 1,
        norm: str | None = "none",
        cb_norm: str | None = "none",
        kmeans_init: bool = False,
        code_vector_size: int | None = None,
    ) -> None:
        super().__init__(feature_size, num_codes, dim, 1)
        options = self._options(
            beta=beta,
            sync_nu=sync_nu,
            affine_lr=affine_lr,
            affine_groups=affine_groups,
            replace_freq=replace_freq,
            inplace_optimizer=inplace_optimizer,
            norm=norm,
            cb_norm=cb_norm,
            kmeans_init=kmeans_init,
            code_vector_size=code_vector_size,
        )
        self.layer = ours.VectorQuant(feature_size, num_codes, **options)


_INITIAL: dict[str, Any] = {
    "beta": 0.95,
    "sync_nu": 0.0,
    "affine_lr": 0.0,
    "affine_groups": 1,
    "replace_freq": 0,
    "inplace_optimizer": None,
    "norm": "none",
    "cb_norm": "none",
    "kmeans_init": False,
}


class _Parts(_Layer):
    """A layer of `groups` codes a vector, of one codebook where they `share`."""

    _has_code_axis = True

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        groups: int = 1,
        share: bool = True,
        *,
        dim: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(feature_size, num_codes, dim, groups)
        if not share and num_codes % groups:
            why = f"without share it must be divisible by groups = {groups}"
            _refuse(type(self).__name__, "num_codes", num_codes, why)
        size = num_codes if share else num_codes // groups
        self.layer = self._made(size, shared=share, **self._options(**_INITIAL | options))

    def _made(self, size: int, **options: Any) -> CodebookQuantizer:
        """The quantizer, with codebooks of `size` codes."""
        raise NotImplementedError


class GroupVectorQuant(_Parts):
    """`vqtorch.nn.GroupVectorQuant` over the native kernels.

    `num_codes` is the sum over codebooks where `share` is False, and codes `q` [..., groups] of
    group g begin at g num_codes / groups. The other options are `VectorQuant`'s.

    Attributes:
        layer: the quantizer, `vqswift.torch.GroupVectorQuant`, whose codes begin at 0.
    """

    def _made(self, size: int, **options: Any) -> CodebookQuantizer:
        return ours.GroupVectorQuant(self.feature_size, size, groups=self.groups, **options)

    @property
    def _parts(self) -> int:
        return self.groups


class ResidualVectorQuant(_Parts):
    """`vqtorch.nn.ResidualVectorQuant` over the native kernels, of `groups` stages.

    `num_codes` is the sum over codebooks where `share` is False, and codes `q` [..., groups] of
    stage s begin at s num_codes / groups. The dict has `z_res` [..., groups + 1, d] too: what each
    stage quantizes, and what is left. The other options are `VectorQuant`'s.

    Attributes:
        layer: the quantizer, `vqswift.torch.ResidualVectorQuant`, whose codes begin at 0.
    """

    def _made(self, size: int, **options: Any) -> CodebookQuantizer:
        return ours.ResidualVectorQuant(self.feature_size, size, stages=self.groups, **options)

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, dict[str, Any]]:
        """As `VectorQuant`, with `z_res` too."""
        z_q, info = self.layer(z)
        told = self._told(info)
        # A training forward moves no code that it uses.
        books, left = self.layer.effective_codebooks, [info.z.movedim(self.dim, -1)]
        for stage, codes in enumerate(info.q.unbind(-1)):
            left.append(left[-1] - nn.functional.embedding(codes, books[stage % len(books)]))
        told["z_res"] = torch.stack(left, -2)
        return z_q, told
