"""A codebook with its map, its projections and its statistics, in operations of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .. import _distributed as distributed
from .._inplace import carrier, steps_under_way
from ._clusters import kmeans, moved_points
from ._finite import require_finite
from ._nearest import nearest
from ._through import once, through

if TYPE_CHECKING:
    from .._base import Quantizer


# Lloyd updates after k-means++.
_UPDATES = 10
_STARTS = ("kmeans", "kmeans++")


@dataclass(frozen=True)
class Assigned:
    """Vectors [m, c], their codes [m] and the codes' values, those that take the output's gradient
    too, squared distances, the loss and the mean squared error."""

    vectors: torch.Tensor
    codes: torch.Tensor
    values: torch.Tensor
    synchronized: torch.Tensor
    distances: torch.Tensor
    loss: torch.Tensor
    error: torch.Tensor


class Book:
    """The codebook of a layer whose state has names that begin with `prefix`, which its `index`-th
    in-place optimizer steps, if it has any."""

    #: Stages of this forward that share it.
    stages = 1

    def __init__(
        self, layer: Quantizer, prefix: str, index: int, options: dict[str, Any], frozen: bool
    ) -> None:
        self._layer, self._prefix, self._index = layer, prefix, index
        self.options, self._frozen = options, frozen
        self._has_begun = False
        # The codes of each stage that in-place steps have found.
        self._kept: list[torch.Tensor] = []

    def _tensor(self, name: str) -> torch.Tensor:
        return self._layer._tensor(self._prefix + name)

    @property
    def is_projected(self) -> bool:
        """Whether codes are of another size than vectors."""
        return f"{self._prefix}project_in.weight" in self._layer._plan.state

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        if not self.is_projected:
            return x
        weight, bias = (once(self._tensor(f"{name}.{part}").float()) for part in ("weight", "bias"))
        return functional.linear(x, weight, bias)

    def compared(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows as they are compared with codes."""
        return normalized(self._linear("project_in", rows), self.options)

    def projected(self, values: torch.Tensor) -> torch.Tensor:
        """Values of codes as the layer gives them."""
        return self._linear("project_out", values)

    def _part(self, name: str) -> torch.Tensor:
        """A parameter, such that gradients reach what an optimizer trains."""
        tensor = self._tensor(name).float()
        return tensor.detach() if self._frozen else once(tensor)

    @cached_property
    def effective(self) -> torch.Tensor:
        """E [k, code size]; gradients reach what an optimizer trains."""
        options = self.options
        fixed = options["ema_decay"] > 0 or options["simvq"] or self._steps_in_place
        codebook = self._part("codebook").detach() if fixed else self._part("codebook")
        if self._is_learning:
            codebook = codebook.clone()  # what a forward writes later stays out of its backward
        return self._mapped(codebook, self._part)

    @cached_property
    def _synchronized(self) -> torch.Tensor:
        """E, such that the output's gradient waits for the next in-place step of the codebook."""
        waits = self._is_learning and torch.is_grad_enabled()
        if not (self._steps_in_place and self.options["sync_nu"] > 0 and waits):
            return self.effective
        codebook, waiting = self._part("codebook").clone(), self._tensor("codebook_gradient")
        return self._mapped(carrier(codebook, waiting), self._part)

    def _mapped(self, codebook: torch.Tensor, part: Callable[[str], torch.Tensor]) -> torch.Tensor:
        """The image of raw codes under the map and the norm."""
        options = self.options
        if options["simvq"]:
            codebook = codebook @ part("transform")
        elif options["affine_lr"] > 0:
            groups = options["affine_groups"]
            factor, bias = self._affine(part)
            parts = codebook.reshape(groups, -1, codebook.shape[1])
            codebook = (parts * factor[:, None] + bias[:, None]).flatten(0, 1)
        return normalized(codebook, options, "cb_norm")

    @property
    def _steps_in_place(self) -> bool:
        return self._layer._plan.steps_in_place

    def _affine(self, part: Callable[[str], torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """What codes are multiplied by, and what is added then, [groups, code size]."""
        rate = self.options["affine_lr"]
        return 1 + rate * part("affine_scale"), rate * part("affine_bias")

    @property
    def _is_learning(self) -> bool:
        """Whether a forward moves the codebook and what belongs to it."""
        return self._layer.training and self._layer._quantizing and not self._frozen

    def assign(self, z: torch.Tensor) -> Assigned:
        """The nearest codes of vectors [m, code size], and the loss of both sides."""
        if not self._has_begun and self._layer._quantizing:
            self._begin(z.detach())
        self._has_begun = True
        codes = self._kept.pop(0) if self._kept else self._nearest(z, self.effective)
        values, beta = self.effective[codes], self.options["beta"]
        squares = (z - values).detach().square()
        error = squares.mean() if len(z) else squares.sum()
        loss = error.new_zeros(())
        if len(z):
            loss = (1 - beta) * functional.mse_loss(z, values.detach())
            loss = loss + beta * functional.mse_loss(z.detach(), values)
        carried = self._synchronized[codes]
        return Assigned(z, codes, values, carried, squares.sum(1), loss, error)

    def encode(self, z: torch.Tensor) -> torch.Tensor:
        """The nearest codes of vectors [m, code size], once the codebook has its start."""
        self.require_start()
        return self._nearest(z, self.effective)

    def _nearest(self, z: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        require_finite(self._layer._kind, {"z": z, "codebook": codes})
        return nearest(z.detach(), codes.detach())

    def through(self, z: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """`values`, whose gradient goes to z and by `sync_nu` to them."""
        return through(z, values, self.options["sync_nu"], self.options["gradient"] == "rotation")

    @torch.no_grad()
    def _begin(self, z: torch.Tensor) -> None:
        """What a training forward does before it looks codes up, by its vectors."""
        if not self._is_learning:
            self.require_start()
            return
        options = self.options
        waits, frequency = self.is_waiting, options["kmeans_freq"]
        is_new = waits or (frequency > 0 and bool(self._tensor("kmeans_phase") >= frequency))
        if is_new:
            require_finite(self._layer._kind, {"z": z})
            self._cluster(z, 0 if waits and options["init"] == "kmeans++" else _UPDATES)
        self._step(z, is_new)
        if is_new:
            self._restart()

    def require_start(self) -> None:
        """RuntimeError while the codebook waits for k-means."""
        if self.is_waiting:
            raise RuntimeError(
                f"[{self._layer._kind}] the codebook waits for its start, k-means of the first "
                "training batch: make a training forward, or call fit(z), before codes are looked "
                "up"
            )

    @property
    def is_waiting(self) -> bool:
        """Whether k-means is to give the codebook its start."""
        return self.options["init"] in _STARTS and not bool(self._tensor("initialized"))

    def _cluster(self, z: torch.Tensor, updates: int) -> None:
        """Sets the codebook by k-means."""
        k = self.options["num_codes"]
        found = kmeans(z, k, updates)
        counts = torch.bincount(found.codes, minlength=k)
        if distributed.is_active():
            distributed.follow_first(found.centroids)
            distributed.follow_first(counts)
        everything = torch.arange(len(counts), device=z.device)
        self._put(found.centroids, everything, counts.clamp(min=1))

    def _restart(self) -> None:
        """Lets the counters begin anew, after k-means."""
        self._tensor("initialized").fill_(1)
        self._tensor("unused_steps").zero_()
        if self.options["kmeans_freq"] > 0:
            self._tensor("kmeans_phase").zero_()

    def _step(self, z: torch.Tensor, is_new: bool) -> None:
        """Steps the in-place optimizer once for each contiguous part of the vectors, and keeps the
        codes that these had before."""
        steps, count = steps_under_way(), self.options["inner_steps"]
        if not self._steps_in_place or steps is None or self._tensor("inner_phase"):
            return
        if len(z) < count:
            raise ValueError(
                f"[{self._layer._kind}] shape {[*z.shape]}: inner_steps = {count} needs as many "
                f"vectors, and there are {len(z)}"
            )
        found = []
        for index in range(count):
            part = z[index * len(z) // count : (index + 1) * len(z) // count]
            codes, gradient = self._gradient(part)
            rows = torch.full((self.options["num_codes"],), is_new and not index, device=z.device)
            steps.step_parameter(self._index, gradient, rows.to(torch.uint8))
            found.append(codes)
        if not torch.isfinite(self._tensor("codebook")).all():
            raise ValueError(
                f"[{self._layer._kind}] the codebook after the in-place step is not finite"
            )
        if not self.options["reassign"]:
            self._kept = [torch.cat(parts) for parts in zip(*found, strict=True)]

    def _gradient(self, z: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The codes of each stage, and the gradient in the raw codebook of the sum over stages of
        `mse(sg z, z_q)`."""
        codes = []
        # What inference mode made cannot be saved for a backward.
        with torch.inference_mode(False), torch.enable_grad():
            z = z.clone() if z.is_inference() else z
            codebook = self._tensor("codebook").detach().float().clone().requires_grad_()
            effective = self._mapped(codebook, lambda name: self._part(name).detach())
            loss, residual = z.new_zeros(()), z
            for _ in range(self.stages):
                codes.append(self._nearest(residual, effective))
                values = effective[codes[-1]]
                loss = loss + functional.mse_loss(values, residual)
                residual = residual - values.detach()
            (gradient,) = torch.autograd.grad(loss, codebook)
        return codes, gradient

    @torch.no_grad()
    def move(self, parts: Sequence[Assigned]) -> None:
        """What a training forward that assigned vectors, in several stages maybe, does to it."""
        options, k = self.options, self.options["num_codes"]
        if not self._is_learning:
            return
        if options["kmeans_freq"] > 0:
            self._tensor("kmeans_phase").add_(1)
        if self._steps_in_place:
            phase = self._tensor("inner_phase")
            phase.copy_((phase + 1) % options["outer_steps"])
        moves, replaces = options["ema_decay"] > 0, options["replace_freq"] > 0
        if not moves and not replaces:
            return
        z = torch.cat([part.vectors for part in parts])
        codes = torch.cat([part.codes for part in parts])
        counts = torch.bincount(codes, minlength=k)
        if distributed.is_active():
            distributed.add(counts)
        if moves:
            self._follow(z, codes, counts)
        if replaces:
            self._replace(z, counts)

    def _follow(self, z: torch.Tensor, codes: torch.Tensor, counts: torch.Tensor) -> None:
        decay, epsilon = self.options["ema_decay"], self.options["ema_epsilon"]
        codebook, kept, sums = map(self._tensor, ("codebook", "ema_counts", "ema_sums"))
        batch = torch.zeros_like(sums, dtype=torch.float64).index_add(0, codes, z.double())
        if distributed.is_active():
            distributed.add(batch)
        rows = torch.arange(len(codebook), device=z.device)
        batch = self._raw(batch, rows, counts[:, None].double())
        weights = decay * kept.double() + (1 - decay) * counts
        total = weights.sum()
        smoothed = (weights + epsilon) / (total + len(codebook) * epsilon) * total
        moved = decay * sums.double() + (1 - decay) * batch
        kept.copy_(weights)
        sums.copy_(moved)
        codebook.copy_(torch.where(counts[:, None] > 0, moved / smoothed[:, None], codebook))

    def _raw(
        self, sums: torch.Tensor, rows: torch.Tensor, counts: torch.Tensor | float
    ) -> torch.Tensor:
        """Sums of so many vectors each, in float64, in the space of the codebook's `rows`: without
        the affine map; where it has no inverse, of the rows as they are."""
        if self.options["affine_lr"] == 0:
            return sums
        codebook = self._tensor("codebook").double()
        factor, bias = self._affine(lambda name: self._tensor(name).float())
        group = rows // (len(codebook) // len(factor))
        raw = (sums - counts * bias[group]) / factor[group].double()
        limit = 1e6 * codebook.abs().amax().clamp(min=1)
        return torch.where(raw.abs() <= counts * limit, raw, counts * codebook[rows])

    def _put(self, values: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor) -> None:
        """Writes raw codes whose image under the map is `values`, and statistics of such counts."""
        codebook, image = self._tensor("codebook"), values.double()
        if self.options["simvq"]:
            transform = self._tensor("transform").double()
            image, singular = torch.linalg.solve_ex(transform, image, left=False)
            if singular:
                return
        codebook[rows] = self._raw(image, rows, 1.0).to(codebook.dtype)
        if self.options["ema_decay"] > 0:
            kept, sums = self._tensor("ema_counts"), self._tensor("ema_sums")
            kept[rows] = weights.to(kept.dtype)
            sums[rows] = (weights[:, None] * codebook[rows]).to(sums.dtype)

    def _replace(self, z: torch.Tensor, counts: torch.Tensor) -> None:
        unused = self._tensor("unused_steps")
        unused.copy_(torch.where(counts > 0, 0, unused + 1))
        dead = (unused >= self.options["replace_freq"]).nonzero()[:, 0]
        if len(dead):
            self._put(moved_points(z, len(dead)), dead, torch.ones_like(dead))
        unused[dead] = 0


def normalized(x: torch.Tensor, options: dict[str, Any], name: str = "norm") -> torch.Tensor:
    """Rows by the norm of that option."""
    norm, largest = options[name], options["max_norm"]
    if norm == "none":
        return x
    wide = x.double()
    lengths = wide.norm(dim=-1, keepdim=True)
    if norm == "l2":
        return (wide / torch.where(lengths > 0, lengths, torch.inf)).to(x.dtype)
    shrunk: torch.Tensor = wide * (largest / torch.where(lengths > largest, lengths, largest))
    return shrunk.to(x.dtype)
