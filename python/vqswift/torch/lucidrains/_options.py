"""The options of vector-quantize-pytorch, and what they are called here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NoReturn


def refuse(operation: str, name: str, value: Any, why: str) -> NoReturn:
    """Raise ValueError with the name of an option, its value and the reason."""
    raise ValueError(f"[{operation}] {name} = {value!r}: {why}")


def lacking(initial: Any, why: str = "there is no such option here") -> Any:
    """A field of an option that must keep its initial value."""
    return field(default=initial, metadata={"lacking": why})


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options by the peer's names, with its initial values; those that are lacking raise."""

    operation: ClassVar[str]

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if "lacking" in option.metadata and value != option.default:
                refuse(self.operation, option.name, value, option.metadata["lacking"])

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raise ValueError with an option, its value and the reason."""
        refuse(self.operation, name, getattr(self, name), why)


_NOT_IN_PLACE = (
    "use_cosine_sim",
    "affine_param",
    "directional_reparam",
    "separate_codebook_per_head",
)
_IN_FORWARD = "training forwards make the steps"
_EQUAL = "state is always equal in all processes"


@dataclass(frozen=True, kw_only=True)
class VectorQuantizeOptions(Options):
    """The options of `VectorQuantize` beside its sizes."""

    operation: ClassVar[str] = "VectorQuantize"

    heads: int = 1
    separate_codebook_per_head: bool = False
    decay: float = 0.8
    eps: float = 1e-5
    freeze_codebook: bool = False
    kmeans_init: bool = False
    kmeans_iters: int = lacking(10, "k-means of the start makes 10; `layer.fit` takes others")
    sync_kmeans: bool = lacking(True, _EQUAL)
    use_cosine_sim: bool = False
    layernorm_after_project_in: bool = False
    threshold_ema_dead_code: float = 0
    channel_last: bool = True
    accept_image_fmap: bool = False
    accept_3d_fmap: bool = False
    commitment_weight: float = 1.0
    commitment_use_cross_entropy_loss: bool = lacking(False)
    orthogonal_reg_weight: float = 0.0
    orthogonal_reg_active_codes_only: bool = lacking(False)
    orthogonal_reg_max_codes: int | None = lacking(None)
    codebook_diversity_loss_weight: float = lacking(0.0)
    codebook_diversity_temperature: float = lacking(100.0)
    stochastic_sample_codes: bool = False
    sample_codebook_temp: float = 1.0
    straight_through: bool = lacking(False, "there is no Gumbel softmax of distances here")
    rotation_trick: bool | None = None
    directional_reparam: bool = False
    directional_reparam_variance: float = 5e-3
    sync_codebook: bool | None = None
    sync_affine_param: bool = False
    ema_update: bool | None = None
    vq_bridge: Any = lacking(None)
    manual_ema_update: bool = False
    learnable_codebook: bool | None = None
    in_place_codebook_optimizer: Callable[..., Any] | None = None
    manual_in_place_optimizer_update: bool = lacking(False, _IN_FORWARD)
    affine_param: bool = False
    affine_param_batch_decay: float = 0.99
    affine_param_codebook_decay: float = 0.9
    sync_update_v: float = 0.0
    return_zeros_for_masked_padding: bool = True
    route_gradients_to_input: bool = lacking(True, "detach the output instead")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sync_codebook is False:
            self.refuse("sync_codebook", _EQUAL)
        if self.affine_param and self.affine_param_batch_decay != self.affine_param_codebook_decay:
            self.refuse(
                "affine_param_codebook_decay",
                "one momentum holds for both moments: it must be affine_param_batch_decay = "
                f"{self.affine_param_batch_decay}",
            )
        if self.is_ema and self.is_learned:
            self.refuse("learnable_codebook", "an EMA moves the codebook: ema_update must be False")
        if self.is_ema and self.orthogonal_reg_weight > 0:
            self.refuse(
                "orthogonal_reg_weight",
                "no gradient reaches an EMA codebook: set learnable_codebook=True, "
                "ema_update=False",
            )
        if self.in_place_codebook_optimizer is not None:
            self._check_in_place()
        if self.directional_reparam and self.rotation_trick:
            self.refuse("rotation_trick", "directional_reparam takes its place")
        if not self.is_learned and self.sync_update_v > 0:
            self.refuse("sync_update_v", "only a learnable codebook takes that gradient")

    def _check_in_place(self) -> None:
        if not self.is_learned:
            self.refuse("in_place_codebook_optimizer", "it needs learnable_codebook=True")
        for name in _NOT_IN_PLACE:
            if getattr(self, name):
                self.refuse("in_place_codebook_optimizer", f"there is none with {name} here")

    @property
    def takes_loss(self) -> bool:
        """Whether the codebook takes the gradient of the commitment loss."""
        return self.is_learned and self.in_place_codebook_optimizer is None

    @property
    def is_ema(self) -> bool:
        """Whether running means move the codebook."""
        return not self.directional_reparam if self.ema_update is None else self.ema_update

    @property
    def is_learned(self) -> bool:
        """Whether an optimizer moves the codebook."""
        given = self.learnable_codebook
        return self.directional_reparam if given is None else given

    @property
    def axis(self) -> int:
        """Of the channels."""
        last = self.channel_last and not self.accept_image_fmap and not self.accept_3d_fmap
        return -1 if last else 1

    @property
    def loss_weight(self) -> float:
        """Of the commitment loss."""
        return 0.0 if self.directional_reparam else self.commitment_weight

    def gradient(self, dim: int) -> str:
        """The estimator, by our name."""
        if self.directional_reparam:
            return "directional"
        rotates = dim > 1 if self.rotation_trick is None else self.rotation_trick
        return "rotation" if rotates else "ste"

    def ours(self, dim: int) -> dict[str, Any]:
        """The options of `vqswift.torch.VectorQuant` that mean the same, for vectors of `dim`."""
        options: dict[str, Any] = {"beta": 0.5 if self.takes_loss else 0.0}
        if self.in_place_codebook_optimizer is not None:
            options["inplace_optimizer"] = self.in_place_codebook_optimizer
            options["reassign"] = True
        if self.gradient(dim) != "ste":
            options["gradient"] = self.gradient(dim)
        if self.directional_reparam:
            options["directional_variance"] = self.directional_reparam_variance
        if self.is_ema:
            options |= {"ema_decay": self.decay, "ema_epsilon": self.eps}
            options["ema_manual"] = self.manual_ema_update
        if self.kmeans_init:
            options["init"] = "kmeans"
        if self.use_cosine_sim:
            options |= {"norm": "l2", "cb_norm": "l2"}
        if self.affine_param:
            options |= {"affine": "ema", "affine_momentum": 1 - self.affine_param_batch_decay}
        if self.stochastic_sample_codes:
            # Of unit vectors, |z - e|^2 / (2 tau) is -cos / tau up to a constant.
            factor = 2 if self.use_cosine_sim else 1
            options["temperature"] = factor * self.sample_codebook_temp
        if self.sync_update_v > 0:
            options["sync_nu"] = self.sync_update_v
        if self.orthogonal_reg_weight > 0:
            options["orthogonal_weight"] = self.orthogonal_reg_weight
        return options
