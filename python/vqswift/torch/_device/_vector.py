"""`VectorQuant` in operations of PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from ..._options import options_of
from ._nearest import nearest
from ._result import Result

if TYPE_CHECKING:
    from .._base import Quantizer

_ANY = frozenset(
    [
        "feature_size",
        "num_codes",
        "code_size",
        "beta",
        "sync_nu",
        "affine_lr",
        "affine_groups",
        "ema_decay",
        "ema_epsilon",
        "simvq",
        "replace_freq",
        "max_norm",
        "seed",
        "stream",
    ]
)
_SOME: dict[str, tuple[Any, ...]] = {
    "gradient": ("ste", "rotation"),
    "init": ("normal", "kaiming", "uniform"),
    "norm": ("none", "l2", "l2c"),
    "cb_norm": ("none", "l2", "l2c"),
}


def _checked(layer: Quantizer) -> dict[str, Any]:
    """The options, unless one is the kernels' alone."""
    options, known = layer._plan.options, options_of("module", layer._kind)
    if layer._plan.steps_in_place:
        raise NotImplementedError(
            f"[{layer._kind}] inplace_optimizer: only on the CPU; move the layer and its input "
            "there"
        )
    for name, value in options.items():
        allowed = _SOME.get(name, (known[name].initial,))
        if name not in _ANY and value not in allowed:
            raise NotImplementedError(
                f"[{layer._kind}] {name} = {value!r}: only on the CPU; move the layer and its "
                "input there"
            )
    return options


class _Through(torch.autograd.Function):
    """`values` bit for bit: the gradient g goes to z, by the rotation trick or as it is, and nu g
    to the values."""

    @staticmethod
    def forward(
        ctx: Any, z: torch.Tensor, values: torch.Tensor, nu: float, rotates: bool
    ) -> torch.Tensor:
        ctx.nu, ctx.rotates = nu, rotates
        ctx.save_for_backward(*((z, values) if rotates else ()))
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        (g,) = gradients
        of_values = ctx.nu * g if ctx.nu and ctx.needs_input_grad[1] else None
        if not ctx.rotates:
            return g, of_values, None, None
        z, values = ctx.saved_tensors
        lengths = [x.norm(dim=1, keepdim=True).clamp(min=1e-6) for x in (z, values)]
        e, q = z / lengths[0], values / lengths[1]
        w = functional.normalize(e + q, dim=1)

        def along(direction: torch.Tensor) -> torch.Tensor:
            return (g * direction).sum(1, keepdim=True)

        turned = (lengths[1] / lengths[0]) * (g - 2 * w * along(w) + 2 * e * along(q))
        still = (values.norm(dim=1, keepdim=True) == 0) | (z.norm(dim=1, keepdim=True) == 0)
        still |= (e + q).norm(dim=1, keepdim=True) == 0
        return torch.where(still, g, turned), of_values, None, None


def _normalized(x: torch.Tensor, norm: str, largest: float) -> torch.Tensor:
    if norm == "none":
        return x
    lengths = x.norm(dim=-1, keepdim=True)
    if norm == "l2":
        return x / torch.where(lengths > 0, lengths, 1)
    return x * torch.where(lengths > largest, largest / lengths, 1)


def _effective(layer: Quantizer, options: dict[str, Any], frozen: bool) -> torch.Tensor:
    """E [k, code size]; gradients reach what an optimizer trains."""

    def part(name: str) -> torch.Tensor:
        tensor = layer._tensor(name).float()
        return tensor.detach() if frozen else tensor

    fixed = options["ema_decay"] > 0 or options["simvq"]
    codebook = part("codebook").detach() if fixed else part("codebook")
    if options["simvq"]:
        codebook = codebook @ part("transform")
    elif options["affine_lr"] > 0:
        rate, groups = options["affine_lr"], options["affine_groups"]
        factor, bias = 1 + rate * part("affine_scale"), rate * part("affine_bias")
        parts = codebook.reshape(groups, -1, codebook.shape[1])
        codebook = (parts * factor[:, None] + bias[:, None]).flatten(0, 1)
    return _normalized(codebook, options["cb_norm"], options["max_norm"])


def _linear(layer: Quantizer, name: str, x: torch.Tensor) -> torch.Tensor:
    part = layer._modules.get(name)
    if part is None:
        return x
    weight, bias = layer._tensor(f"{name}.weight"), layer._tensor(f"{name}.bias")
    return functional.linear(x, weight.float(), bias.float())


def quantize(layer: Quantizer, rows: torch.Tensor, frozen: bool) -> Result:
    """Rows [m, d]; a training forward moves an EMA codebook and replaces unused codes."""
    options = _checked(layer)
    z = _normalized(_linear(layer, "project_in", rows), options["norm"], options["max_norm"])
    effective = _effective(layer, options, frozen)
    codes = nearest(z.detach(), effective.detach())
    values, beta = effective[codes], options["beta"]
    squares = (z - values).detach().square()
    error = squares.mean() if len(z) else squares.sum()
    loss = error.new_zeros(())
    if len(z):
        loss = (1 - beta) * functional.mse_loss(z, values.detach())
        loss = loss + beta * functional.mse_loss(z.detach(), values)
    rotates = options["gradient"] == "rotation"
    output = _Through.apply(z, values, options["sync_nu"], rotates)
    if not layer._quantizing:
        output = z
    elif layer.training and not frozen:
        _move(layer, options, z.detach(), codes)
    nothing = torch.zeros_like(error)
    return Result(
        z_q=_linear(layer, "project_out", output),
        codes=codes,
        distances=squares.sum(1),
        compared=z,
        loss=loss,
        commitment=(1 - beta) * error,
        codebook=beta * error,
        regularization=nothing,
    )


def decode(layer: Quantizer, codes: torch.Tensor) -> torch.Tensor:
    """The vectors of codes."""
    effective = _effective(layer, _checked(layer), layer._frozen)
    return _linear(layer, "project_out", effective[codes])


@torch.no_grad()
def _move(layer: Quantizer, options: dict[str, Any], z: torch.Tensor, codes: torch.Tensor) -> None:
    """What a training forward does to the codebook."""
    k = options["num_codes"]
    counts = torch.bincount(codes, minlength=k)
    if options["affine_lr"] > 0 and (options["ema_decay"] > 0 or options["replace_freq"] > 0):
        raise NotImplementedError(
            f"[{layer._kind}] affine_lr with ema_decay or replace_freq: only on the CPU"
        )
    codebook = layer._tensor("codebook")
    if options["ema_decay"] > 0:
        decay, epsilon = options["ema_decay"], options["ema_epsilon"]
        kept, sums = layer._tensor("ema_counts"), layer._tensor("ema_sums")
        batch = torch.zeros_like(sums, dtype=torch.float64).index_add(0, codes, z.double())
        weights = decay * kept.double() + (1 - decay) * counts
        total = weights.sum()
        smoothed = (weights + epsilon) / (total + k * epsilon) * total
        moved = decay * sums.double() + (1 - decay) * batch
        kept.copy_(weights)
        sums.copy_(moved)
        codebook.copy_(torch.where(counts[:, None] > 0, moved / smoothed[:, None], codebook))
    if options["replace_freq"] > 0:
        unused = layer._tensor("unused_steps")
        unused.copy_(torch.where(counts > 0, 0, unused + 1))
        dead = (unused >= options["replace_freq"]).nonzero()[:, 0]
        chosen = z[torch.randint(len(z), (len(dead),), device=z.device)]
        lengths = chosen.norm(dim=1, keepdim=True) / chosen.shape[1] ** 0.5
        codebook[dead] = (chosen + 0.01 * lengths * torch.randn_like(chosen)).to(codebook.dtype)
        unused[dead] = 0
        if options["ema_decay"] > 0:
            kept[dead] = 1
            sums[dead] = codebook[dead].to(sums.dtype)
