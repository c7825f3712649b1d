"""Quantizers with learned codebooks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Unpack, cast

import torch

from .. import _core
from .. import quantizers as native
from ..optim import SGD
from ..quantizers._vector import CodebookOptions
from ..quantizers._vector import VectorQuantOptions as NativeOptions
from . import _device as device
from . import _distributed as distributed
from . import _operators as operators
from ._base import Quantizer, single
from ._info import QuantizerInfo
from ._inplace import (
    InplaceOptimizer,
    InplaceOptimizers,
    carrier,
    forget_changed,
    made_optimizer,
    uncompiled,
)
from ._memory import array, borrowed, borrowed_if
from ._plan import Engine, Plan, description, last_part, plan


class VectorQuantOptions(CodebookOptions, total=False):
    """The options of `VectorQuant`: those of `vqswift`'s, of an optimizer of PyTorch too."""

    inplace_optimizer: InplaceOptimizer | None


class CodebookQuantizer(Quantizer):
    """A quantizer with one or several codebooks: the base of `VectorQuant`, `GroupVectorQuant`
    and `ResidualVectorQuant`."""

    def __init__(self, layer: native.Quantizer, make: InplaceOptimizer | None) -> None:
        super().__init__(layer, **({} if make is None else {"inplace_optimizer": True}))
        if make is not None:
            made = [made_optimizer(self._kind, make, codebook) for codebook in self.codebooks]
            self.inplace = InplaceOptimizers(made)

    @property
    def inplace_optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """The optimizers that step codebooks in training forwards, one a codebook; empty without.

        Those of `vqswift.optim` are wrapped.
        """
        own = self._modules.get("inplace")
        return own.optimizers if isinstance(own, InplaceOptimizers) else ()

    @property
    def codebooks(self) -> list[torch.nn.Parameter]:
        """The raw codebooks [k, code size], the parameters themselves, by group or stage."""
        return [p for n, p in self.named_parameters() if last_part(n) == "codebook"]

    @property
    def _codebook_names(self) -> list[str]:
        return [name for name in self._plan.state if last_part(name) == "codebook"]

    def _learns(self, freeze: bool | None) -> bool:
        """Whether a forward moves codebooks."""
        frozen = self._frozen if freeze is None else freeze
        return self.training and self._quantizing and not frozen

    def _forward(
        self,
        z: torch.Tensor,
        mask: torch.Tensor | None,
        lengths: torch.Tensor | None,
        freeze: bool | None,
        stages: int = 0,
        logvar: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, QuantizerInfo]:
        if self.inplace_optimizers and self._learns(freeze):
            return self._stepped(z, mask, lengths, freeze, stages)
        return super()._forward(z, mask, lengths, freeze, stages, logvar)

    @uncompiled
    def _stepped(
        self,
        z: torch.Tensor,
        mask: torch.Tensor | None,
        lengths: torch.Tensor | None,
        freeze: bool | None,
        stages: int,
    ) -> tuple[torch.Tensor, QuantizerInfo]:
        with self.inplace.stepping(self.codebooks, self._waiting()):
            return super()._forward(z, mask, lengths, freeze, stages)

    def _waiting(self) -> list[torch.Tensor | None]:
        """The gradient of each codebook's values that waits for the next step; None without nu."""
        owners = [self._part(n.rpartition(".")[0]) for n in self._codebook_names]
        return [owner._buffers.get("codebook_gradient") for owner in owners]

    def _call(self, freeze: bool | None) -> tuple[str, list[torch.Tensor]]:
        follows = self._learns(freeze)
        if self.inplace_optimizers:
            layer, state = super()._call(freeze)
            synchronized = plan(layer).synchronized if torch.is_grad_enabled() and follows else []
            for place, waiting in zip(synchronized, self._waiting(), strict=bool(synchronized)):
                assert waiting is not None
                state[place] = carrier(state[place], waiting)
            return layer, state
        options = self._options
        is_local = options.get("ema_manual") or not options.get("ema_decay")
        if is_local or not follows or not distributed.is_active():
            return super()._call(freeze)
        # The codebook moves by the vectors of all processes, once these are added.
        layer = description(self._kind, options | {"ema_manual": True})
        return layer, [self._tensor_or_zeros(name) for name in plan(layer).names]

    def _tensor_or_zeros(self, name: str) -> torch.Tensor:
        """A tensor of the state; of what waits for an update, which is not there, zeros."""
        kept = single(self._tensor(name.replace("ema_pending_", "ema_")))
        return torch.zeros_like(kept) if "ema_pending_" in name else kept

    @torch.no_grad()
    def _take_written(self, rule: Plan, values: Sequence[torch.Tensor]) -> None:
        names = [rule.names[index] for index in rule.written]
        waiting = [name for name in names if "ema_pending_" in name]
        if not waiting or waiting[0] in self._plan.state:
            return super()._take_written(rule, values)
        state = dict(zip(names, values, strict=True))
        distributed.synchronize(state)
        whole = [state.get(name, self._tensor_or_zeros(name)).contiguous() for name in rule.names]
        with rule.engine(whole, True) as (engine, handle):
            _core.quantizer_update(handle)
            moved = [name for name in names if name not in waiting]
            results = [torch.empty_like(state[name]) for name in moved]
            for name, value in zip(moved, results, strict=True):
                _core.tensor_copy_out(engine.read[rule.names.index(name)], array(value))
        self._write(moved, results)

    @property
    def effective_codebooks(self) -> list[torch.Tensor]:
        """[k, d] after affine map and norm, what vectors are compared with: one a codebook.

        Gradients reach what an optimizer trains: not a codebook that is frozen or an EMA.
        """
        if device.is_meant(self.codebooks[0]):
            with device.uncast(self.codebooks[0]):
                return device.effective_codebooks(self)
        state, layer = self._state(), self._describe()
        return [
            operators.effective_codebook(state, layer, index)
            for index in range(len(self.codebooks))
        ]

    @torch.no_grad()
    def fit(
        self,
        z: torch.Tensor,
        mask: torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
        iterations: int = 10,
    ) -> None:
        """Set the codebooks by k-means of z, k-means++ and `iterations` Lloyd updates.

        A residual quantizer fits stage after stage on what the stages before leave. What your
        optimizer keeps of the codes stays: make it anew where that matters. ValueError for NaN,
        infinity or no vector, RuntimeError for a frozen codebook.
        """
        rows = self._rows(z)
        kept = self._mask(rows, mask, lengths)
        with self._engine("fit", z) as (engine, handle):
            given = None if kept is None else kept.to(torch.int32)
            _core.quantizer_fit(handle, borrowed(rows), borrowed_if(given), iterations)
            self._take(engine)

    @torch.no_grad()
    def update(self) -> None:
        """Move EMA codebooks by what training forwards added since the last update.

        For `ema_manual=True`: after several forwards of one accumulated step, as the optimizer's
        `step()`. RuntimeError when the codebook is frozen or has no EMA.
        """
        with self._engine("update") as (engine, handle):
            _core.quantizer_update(handle)
            self._take(engine)

    @torch.no_grad()
    def assign(self, *codebooks: torch.Tensor) -> None:
        """Make [k, code size] tensors the codebooks, one each: the layer goes on as one that began
        with them.

        Statistics, counters of unused codes and running moments of the affine map begin anew where
        codes changed, and k-means does not overwrite them. ValueError for another number of
        codebooks, or another shape.
        """
        own = self.codebooks
        if len(codebooks) != len(own):
            raise ValueError(
                f"[{self._kind}.assign] {len(codebooks)} codebooks: there are {len(own)}"
            )
        with self._engine("assign", *codebooks) as (engine, _):
            handles = [h for n, h in engine.parameters if last_part(n) == "codebook"]
            for handle, codebook in zip(handles, codebooks, strict=True):
                _core.tensor_assign(handle, borrowed(codebook.float()))
            self._take(engine)

    def _engine(
        self, operation: str, *given: torch.Tensor
    ) -> AbstractContextManager[tuple[Engine, _core.ModuleHandle]]:
        values = self._whole()
        for tensor in values:
            if tensor.device.type != "cpu":
                raise NotImplementedError(
                    f"[{self._kind}.{operation}] the layer is on {tensor.device}: move it to the "
                    f"CPU, {operation}, and move it back"
                )
        for tensor in given:
            if tensor.device.type != "cpu":
                raise ValueError(
                    f"[{self._kind}.{operation}] the layer is on cpu, what is given on "
                    f"{tensor.device}: move one"
                )
        return self._plan.engine(values, self.training, whole=True)

    def _whole(self) -> list[torch.Tensor]:
        """All parameters and buffers in the core's order, floats as float32."""
        return [single(self._tensor(name)) for name in self._plan.state]

    def _take(self, engine: Engine) -> None:
        """Take the engine's state."""
        stepped = self.codebooks if self.inplace_optimizers else []
        before = [codebook.detach().clone() for codebook in stepped]
        values = [torch.empty_like(tensor) for tensor in self._whole()]
        for (_, handle), value in zip(engine.state, values, strict=True):
            _core.tensor_copy_out(handle, array(value))
        self._write(self._plan.state, values)
        if stepped:
            forget_changed(self.inplace, self.codebooks, self._waiting(), before)


class VectorQuant(CodebookQuantizer):
    """Replaces each vector of z by the nearest of `num_codes` codes.

    `vqswift.VectorQuant` in PyTorch: its options, by keyword, are that layer's. Calling the layer
    gives `(z_q, info)`; `info.loss` is to be added to the task loss times alpha. The optimizer gets
    `layer.parameters()`: those that it does not train have `requires_grad` False.

    Args:
        feature_size: d, the size of a vector.
        num_codes: k, the number of codes.
        dim: channel axis of z; 1 for channels-first.
        seed: of initial codes and draws: the same wherever and whenever the layer is made. Without
            it they are those of `vqswift.manual_seed`, of the layer's creation index.
        options: `vqswift.VectorQuant` documents them. `inplace_optimizer` is a function of a
            codebook, in a list, to an optimizer of `torch.optim` or `vqswift.optim`; in groups and
            stages each codebook has its own.
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        dim: int = -1,
        seed: int | None = None,
        **options: Unpack[VectorQuantOptions],
    ) -> None:
        make, own = _taken(options)
        layer = native.VectorQuant(feature_size, num_codes, dim=dim, seed=seed, **own)
        super().__init__(layer, make)

    @property
    def inplace_optimizer(self) -> torch.optim.Optimizer | None:
        """The optimizer that steps the codebook in training forwards."""
        return self.inplace_optimizers[0] if self.inplace_optimizers else None

    @property
    def effective_codebook(self) -> torch.Tensor:
        """[k, code size] after affine map and norm: what vectors are compared with."""
        return self.effective_codebooks[0]


class GroupVectorQuant(CodebookQuantizer):
    """Product quantization: channels in `groups` contiguous groups, each replaced by its own code.

    z [..., d] -> codes [..., groups]; `shared=True`: all groups use one codebook [k, d / groups].
    The options are `VectorQuant`'s and hold for each group; `info.loss` is the mean over groups.
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        groups: int,
        shared: bool = False,
        dim: int = -1,
        seed: int | None = None,
        **options: Unpack[VectorQuantOptions],
    ) -> None:
        make, own = _taken(options)
        layer = native.GroupVectorQuant(
            feature_size, num_codes, groups=groups, shared=shared, dim=dim, seed=seed, **own
        )
        super().__init__(layer, make)


class ResidualVectorQuant(CodebookQuantizer):
    """Residual quantization: each of `stages` quantizes what the stages before leave.

    z [..., d] -> codes [..., stages]; the output is the sum of the stages' values. The options are
    `VectorQuant`'s and hold for each stage; `info.loss` is the sum over stages.

    Args:
        stages: the number of stages; `layer(z, stages=m)` and `layer.encode(z, stages=m)` use
            the first m.
        shared: whether all stages use one codebook.
        quantizer_dropout: probability that a training batch uses a random number of stages, 1 to
            all equally likely, once every stage has its start; codes of the others are -1.
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        stages: int,
        shared: bool = False,
        quantizer_dropout: float = 0.0,
        dim: int = -1,
        seed: int | None = None,
        **options: Unpack[VectorQuantOptions],
    ) -> None:
        make, own = _taken(options)
        layer = native.ResidualVectorQuant(
            feature_size,
            num_codes,
            stages=stages,
            shared=shared,
            quantizer_dropout=quantizer_dropout,
            dim=dim,
            seed=seed,
            **own,
        )
        super().__init__(layer, make)

    def forward(
        self,
        z: torch.Tensor,
        mask: torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
        freeze: bool | None = None,
        stages: int | None = None,
    ) -> tuple[torch.Tensor, QuantizerInfo]:
        """As `Quantizer.forward`, by the first `stages` stages: codes are [..., stages]."""
        return self._forward(z, mask, lengths, freeze, self._stages(stages))

    def encode(
        self,
        z: torch.Tensor,
        mask: torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
        stages: int | None = None,
    ) -> torch.Tensor:
        """z -> int64 codes [..., stages] of the first `stages` stages; changes no state."""
        return self._encode(z, mask, lengths, self._stages(stages))

    def _stages(self, stages: int | None) -> int:
        if stages is None:
            return 0
        if not 1 <= stages <= self._plan.stages:
            raise ValueError(
                f"[{self._kind}] stages = {stages}: must be in 1...{self._plan.stages}"
            )
        return stages


def _taken(
    options: VectorQuantOptions,
) -> tuple[InplaceOptimizer | None, NativeOptions]:
    """What makes in-place optimizers, and the core's options: with one of its own, so that its
    layer refuses what none can step."""
    make = options.get("inplace_optimizer")
    own = cast(NativeOptions, {**options})
    if make is not None:
        own["inplace_optimizer"] = SGD
    return make, own
