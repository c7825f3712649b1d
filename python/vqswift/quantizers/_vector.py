"""The quantizer with a learned codebook, and what all that have codebooks share."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked, refuse_unknown
from .._deferral import block_now
from .._options import Made, create_seeded, options_of
from .._tensor import Tensor
from ..optim import Optimizer
from ._base import Quantizer, QuantizerInfo, unquantized
from ._waiting import Waiting

InplaceOptimizer = Callable[[list[Tensor]], Optimizer]

if TYPE_CHECKING:
    from typing import TypedDict
else:
    from .._typed_dict import TypedDict


class CodebookOptions(TypedDict, total=False):
    """The options of `VectorQuant`, which documents them, but for its optimizer."""

    code_size: int | None
    beta: float
    sync_nu: float
    gradient: str
    directional_variance: float
    affine: str
    affine_lr: float
    affine_momentum: float
    affine_groups: int
    ema_decay: float
    ema_epsilon: float
    ema_manual: bool
    simvq: bool
    replace_freq: int
    init: str
    kmeans_init: bool
    kmeans_freq: int
    norm: str
    cb_norm: str
    max_norm: float
    norm_groups: int
    temperature: float
    temperature_decay: float
    temperature_min: float
    orthogonal_weight: float
    entropy_weight: float
    entropy_temperature: float
    inner_steps: int
    outer_steps: int
    reassign: bool


class VectorQuantOptions(CodebookOptions, total=False):
    """The options of `VectorQuant`."""

    inplace_optimizer: InplaceOptimizer | None


_OF_INPLACE_OPTIMIZER = ("inner_steps", "outer_steps", "reassign")


def created(
    operation: str,
    feature_size: int,
    num_codes: int,
    seed: int | None,
    given: VectorQuantOptions,
    **own: Any,
) -> Made:
    known = [*VectorQuantOptions.__annotations__, *own, "seed", "dim"]
    refuse_unknown(operation, given, known)
    options: dict[str, Any] = {**given}
    steps_in_place = options.pop("inplace_optimizer", None) is not None
    start = options.get("init", "normal")
    if options.pop("kmeans_init", False):
        if start not in ("normal", "kmeans"):
            raise ValueError(
                f"[{operation}] init = {start!r} and kmeans_init: only one may choose the start"
            )
        options["init"] = "kmeans"
    made = create_seeded(
        operation, seed, feature_size=feature_size, num_codes=num_codes, **options, **own
    )
    for name in _OF_INPLACE_OPTIMIZER:
        value = options.get(name)
        if steps_in_place or value is None:
            continue
        if value != options_of("module", operation)[name].initial:
            raise ValueError(
                f"[{operation}] {name} = {value!r} and no inplace_optimizer: it has no effect"
            )
    return made


class _EveryOption:
    """The signature of a layer that takes the options of `VectorQuant`, with what they are at
    first, for `help` and `inspect`."""

    def __get__(self, layer: CodebookQuantizer | None, kind: type) -> inspect.Signature:
        given = inspect.signature(kind.__init__)  # type: ignore[misc]
        own = [p for p in given.parameters.values() if p.name not in ("self", "options")]
        if "options" not in given.parameters:
            return inspect.Signature(own)
        known = options_of("module", kind._operation)  # type: ignore[attr-defined]
        further = {"kmeans_init": False, "inplace_optimizer": None}
        every = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=further[name] if name in further else known[name].initial,
                annotation=annotation,
            )
            for name, annotation in VectorQuantOptions.__annotations__.items()
        ]
        return inspect.Signature(own + every)


@checked
class CodebookQuantizer(Quantizer):
    """A quantizer with one or several codebooks: the base of `VectorQuant`, `GroupVectorQuant`
    and `ResidualVectorQuant`."""

    #: The optimizers that step codebooks in place, one a codebook; empty without.
    inplace_optimizers: tuple[Optimizer, ...]

    __signature__: _EveryOption = _EveryOption()

    def __init__(self, made: Made, dim: int, inplace_optimizer: InplaceOptimizer | None) -> None:
        super().__init__(made, dim)
        self._step_in_place(inplace_optimizer)

    def _step_in_place(self, inplace_optimizer: InplaceOptimizer | None) -> None:
        optimizers = []
        if inplace_optimizer is not None:
            for index, codebook in enumerate(self.codebooks):
                optimizer = inplace_optimizer([codebook])
                if not isinstance(optimizer, Optimizer):
                    raise TypeError(
                        f"[{self._operation}] inplace_optimizer must return a vqswift.optim "
                        f"optimizer, not {type(optimizer).__name__}"
                    )
                _core.quantizer_set_inplace_optimizer(self._handle, index, optimizer._handle)
                optimizers.append(optimizer)
        self._inplace_optimizer = inplace_optimizer
        self.inplace_optimizers = tuple(optimizers)

    # With several ranks, or blocks of a batch, codebooks learn in an update behind the step.

    def _forward(
        self,
        z: Tensor | npt.ArrayLike,
        mask: Tensor | npt.ArrayLike | None,
        lengths: npt.ArrayLike | None,
        stages: int,
    ) -> tuple[Tensor, QuantizerInfo]:
        waiting = self._forwarded
        block = block_now()
        if block is not None and (self.frozen or not self.training):
            block = None
        if block is None and not waiting.is_deferred:
            return super()._forward(z, mask, lengths, stages)
        is_waiting = block is not None and self._is_waiting()
        with waiting.deferring(self, block):
            if not is_waiting and (block is None or not self.options["kmeans_freq"]):
                return super()._forward(z, mask, lengths, stages)
            rows = self._rows(z)
            waiting.keep(rows, self._mask(rows, mask, lengths))
            if not is_waiting:
                return super()._forward(z, mask, lengths, stages)
            passed = self._channels_back(rows)
            return passed, dataclasses.replace(unquantized(rows), z=passed, z_q=passed)

    @property
    def _forwarded(self) -> Waiting:
        waiting: Waiting = self.__dict__.setdefault("_waiting", Waiting())
        return waiting

    def _parts_of(self, index: int) -> list[int]:
        """The block of each part that waits for codebook `index`."""
        blocks = self._forwarded.blocks
        return list(blocks[index]) if blocks else []

    def _kept_rows(self) -> np.ndarray:
        """The vectors [n, d] that training forwards had since the last update, for k-means."""
        width = self.options["feature_size"]
        return np.concatenate([np.empty((0, width), np.float32), *self._forwarded.rows])

    def _end_update(self) -> None:
        _core.quantizer_end_update(self._handle)
        self.__dict__["_waiting"] = self._forwarded.emptied()

    def _is_waiting(self) -> bool:
        """Whether a codebook waits for the vectors that give it its start."""
        if self.options["init"] not in ("kmeans", "kmeans++"):
            return False
        buffers = self._own_buffers()
        return any(n.rpartition(".")[2] == "initialized" and not t.item() for n, t in buffers)

    def _options_text(self) -> str:
        text = super()._options_text()
        kinds = {type(optimizer).__name__ for optimizer in self.inplace_optimizers}
        return f"{text}, inplace_optimizer={kinds.pop()}" if kinds else text

    def _arguments(self) -> dict[str, Any] | None:
        given = super()._arguments()
        if given is None or not self.inplace_optimizers:
            return given
        return given | {"inplace_optimizer": self.inplace_optimizers}

    def _copied(self) -> dict[str, Any]:
        copied = super()._copied()
        attributes = copied["attributes"]
        attributes.pop("inplace_optimizers")
        attributes.pop("_waiting", None)
        children = attributes["_children"].items()
        attributes["_children"] = {n: v for n, v in children if n != "inplace_optimizers"}
        copied["optimizers"] = [optimizer._position() for optimizer in self.inplace_optimizers]
        return copied

    def __setstate__(self, copied: dict[str, Any]) -> None:
        super().__setstate__(copied)
        for optimizer, position in zip(self.inplace_optimizers, copied["optimizers"], strict=True):
            optimizer._go_on(*position)

    def _before_state(self) -> None:
        # A gradient that waits for the optimizer is in the state of a layer that has one.
        self._step_in_place(self._inplace_optimizer)

    @property
    def codebooks(self) -> list[Tensor]:
        """The raw codebooks [k, code size], the parameters themselves, by group or stage."""
        return [
            tensor
            for name, tensor in self._own_parameters(True)
            if name.rpartition(".")[2] == "codebook"
        ]

    @property
    def effective_codebooks(self) -> list[Tensor]:
        """[k, d] after affine map and norm, what vectors are compared with: one a codebook.

        Gradients reach what the outer optimizer trains: not a codebook that is frozen, an EMA or
        stepped in place.
        """
        return [
            Tensor._wrap(_core.quantizer_effective_codebook(self._handle, index))
            for index in range(_core.quantizer_codebook_count(self._handle))
        ]

    def fit(
        self,
        z: Tensor | npt.ArrayLike,
        mask: Tensor | npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        iterations: int = 10,
    ) -> None:
        """Set the codebooks by k-means of z, k-means++ and `iterations` Lloyd updates.

        Repeated k-means (Huh et al., Table 1) is this once an epoch. A residual quantizer fits
        stage after stage on what the stages before leave. Optimizer moments of the codes are
        forgotten. ValueError for NaN, infinity or no vector, RuntimeError for a frozen codebook.
        """
        rows = self._rows(z)
        kept = self._mask(rows, mask, lengths)
        try:
            _core.quantizer_fit(self._handle, rows._handle, kept, iterations)
        except ValueError as error:
            raise self._of_passed_shapes(error, rows) from None

    def update(self) -> None:
        """Move EMA codebooks by what training forwards added since the last update.

        For `ema_manual=True`: after several forwards of one accumulated step, as the outer
        optimizer's `step()`. RuntimeError when the codebook is frozen or has no EMA.
        """
        _core.quantizer_update(self._handle)


@checked
class VectorQuant(CodebookQuantizer):
    """Replaces each vector of z by the nearest of `num_codes` codes.

    Huh et al., "Straightening Out the Straight-Through Estimator", ICML 2023. Calling the layer
    gives `(z_q, info)`. The gradient passes straight through; `info.loss` is
    `(1 - beta) mse(z, sg z_q) + beta mse(sg z, z_q)`, to be added to the task loss times alpha.
    Options combine unless they contradict each other, which raises ValueError with the reason, and
    RuntimeError where an in-place optimizer can own no codebook.

    Args:
        feature_size: d, the size of a vector.
        num_codes: k, the number of codes.
        code_size: size of a code; z is projected to it and z_q back (low-dimensional lookup).
        beta: weight of the codebook's side of the loss, 0 to 1.
        sync_nu: synchronized update: the codebook gains nu times the gradient of the output.
        gradient: how the output's gradient reaches z. "ste": unchanged. "rotation": rotated and
            scaled from the code to the vector (Fifty et al. 2024). "directional": the training
            output is z + |z_q - z| sg(unit(z_q - z + noise)) of variance `directional_variance`
            (DiVeQ), which trains the codebook by the task loss.
        affine: "learned": E = (1 + lr s) C + lr b with lr = `affine_lr`, 0 is off. "ema": the
            codebook's running moments are moved to z's; `affine_momentum` is a batch's weight.
        affine_groups: contiguous blocks of codes, each with its own map.
        ema_decay: above 0, codes are running means of their vectors instead of learned, counts
            smoothed by `ema_epsilon`; `ema_manual` leaves the update to `update()`.
        simvq: E = C W with C frozen and W learned (SimVQ).
        replace_freq: a code unused for so many training steps becomes a random vector of the batch
            plus noise; 0 is off.
        inplace_optimizer: a callable `parameters -> optimizer`: alternating optimization. The
            optimizer it gives owns the raw codebook and steps inside training forwards; the
            codebook is then not in `parameters()`. A layer can be pickled if the callable can:
            `functools.partial(SGD, lr=0.1)`, no lambda.
        init: "normal" N(0,1), "kaiming", "uniform" in +-1/k, "kmeans" (10 Lloyd updates after
            k-means++) or "kmeans++" of the first training batch. `kmeans_init=True` is "kmeans".
            Looking codes up before that batch or a `fit` raises RuntimeError.
        kmeans_freq: training steps from one k-means of the batch to the next; 0 is off.
        norm, cb_norm: of z and of the codebook: "none"; "l2" unit length; "l2c" length of at most
            `max_norm`; "bn" channels over the batch or codebook; "gn" `norm_groups` groups of
            channels; "in" channels over the positions of a sample, or over the codebook.
        temperature: above 0, training codes are drawn with p_j ~ exp(-d_j / temperature); each
            training step multiplies it by `temperature_decay` down to `temperature_min`.
        orthogonal_weight: of mean (E^ E^T - I)^2, E^ the unit codes, in the loss.
        entropy_weight: of the mean entropy of p = softmax(-d / `entropy_temperature`) less the
            entropy of its mean, in the loss.
        dim: channel axis of z; 1 for channels-first.
        inner_steps: steps of the in-place optimizer, the batch split evenly among them.
        outer_steps: training forwards from one inner phase to the next.
        reassign: look codes up again after the inner phase.
        seed: of initial codes, replacement, k-means and draws: the same wherever and whenever the
            layer is made. Without it they are `manual_seed`'s, of the layer's creation index.
    """

    # State beside the codebook; much of it comes with an option.
    generator: Tensor
    initialized: Tensor
    unused_steps: Tensor
    inner_phase: Tensor
    kmeans_phase: Tensor
    temperature: Tensor
    transform: Tensor
    affine_scale: Tensor
    affine_bias: Tensor
    affine_started: Tensor
    affine_vector_mean: Tensor
    affine_vector_variance: Tensor
    affine_code_mean: Tensor
    affine_code_variance: Tensor
    ema_counts: Tensor
    ema_sums: Tensor
    ema_pending_counts: Tensor
    ema_pending_sums: Tensor
    codebook_gradient: Tensor

    _operation = "vector_quant"

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        dim: int = -1,
        seed: int | None = None,
        **options: Unpack[VectorQuantOptions],
    ) -> None:
        super().__init__(
            created(self._operation, feature_size, num_codes, seed, options),
            dim,
            options.get("inplace_optimizer"),
        )

    @property
    def inplace_optimizer(self) -> Optimizer | None:
        """The optimizer that steps the codebook in training forwards."""
        return self.inplace_optimizers[0] if self.inplace_optimizers else None

    @property
    def codebook(self) -> Tensor:
        """The raw codebook [k, code size], the parameter itself."""
        return self.codebooks[0]

    @property
    def effective_codebook(self) -> Tensor:
        """[k, code size] after affine map and norm: what vectors are compared with."""
        return self.effective_codebooks[0]
