"""`GumbelQuant` and `SQVAEQuant` in operations of PyTorch, whose generator draws their noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from ._finite import require_finite
from ._nearest import nearest, weighted_nearest
from ._result import Result
from ._through import once, through

if TYPE_CHECKING:
    from .._base import Quantizer

# What log variances act within, and the least temperature.
_LIMIT, _COLDEST = 23.0, 1e-6


def noise(logits: torch.Tensor) -> torch.Tensor:
    """Standard Gumbel numbers of logits' shape."""
    exponential: torch.Tensor = torch.empty_like(logits).exponential_()
    return -exponential.log()


def _weights(layer: Quantizer, logits: torch.Tensor) -> torch.Tensor:
    """`softmax((logits + g) / tau)`; anneals tau."""
    options, temperature = layer._plan.options, layer._tensor("temperature")
    tau = float(temperature)
    if not _COLDEST <= tau < math.inf:
        raise ValueError(
            f"[{layer._kind}] temperature = {tau}: must be finite and at least {_COLDEST}"
        )
    weights = ((logits + noise(logits.detach())) / tau).softmax(1)
    next_tau = max(tau * options["temperature_decay"], options["temperature_min"], _COLDEST)
    with torch.no_grad():
        temperature.fill_(next_tau)
    return weights


def _required_finite(layer: Quantizer, logits: torch.Tensor) -> torch.Tensor:
    require_finite(layer._kind, {"the logits": logits})
    return logits


def _codebook(layer: Quantizer, frozen: bool) -> torch.Tensor:
    codebook = layer._tensor("codebook").float()
    return codebook.detach() if frozen else once(codebook)


def decode(layer: Quantizer, codes: torch.Tensor) -> torch.Tensor:
    """The vectors of codes."""
    return _codebook(layer, layer._frozen)[codes]


# MARK: Gumbel softmax


def _logits(layer: Quantizer, rows: torch.Tensor) -> torch.Tensor:
    weight, bias = (
        once(layer._tensor(f"projection.{name}").float()) for name in ("weight", "bias")
    )
    return _required_finite(layer, functional.linear(rows, weight, bias))


def gumbel_codes(layer: Quantizer, rows: torch.Tensor) -> torch.Tensor:
    """The code of the largest logit of each row."""
    return _logits(layer, rows).argmax(1)


def gumbel(layer: Quantizer, rows: torch.Tensor, frozen: bool) -> Result:
    """Rows [m, d]: mixtures of codes in training, codes of the largest logit else."""
    options, k = layer._plan.options, layer._plan.codes
    codebook = _codebook(layer, frozen)
    if not layer._quantizing and codebook.shape[1] != rows.shape[1]:
        raise RuntimeError(
            f"[{layer._kind}] vectors of {rows.shape[1]} elements cannot pass for codes of "
            f"{codebook.shape[1]}"
        )
    rows = once(rows)
    logits = _logits(layer, rows)
    shares = logits.log_softmax(1)
    divergence = rows.new_zeros(())
    if len(rows):
        divergence = (shares.exp() * shares).sum(1).mean() + math.log(k)
    output = rows.clone()
    if layer._quantizing and layer.training:
        weights = _weights(layer, logits)
        codes = weights.argmax(1)
        if options["hard"]:
            weights = through(weights, functional.one_hot(codes, k).to(weights.dtype))
        output = weights @ codebook
    else:
        codes = logits.argmax(1)
        if layer._quantizing:
            output = codebook[codes]
    loss = options["kl_weight"] * divergence
    return Result.of_codes(
        z_q=output,
        codes=codes,
        distances=-shares.detach().gather(1, codes[:, None])[:, 0],
        compared=rows,
        loss=loss,
        regularization=loss,
        quantizing=layer._quantizing,
    )


# MARK: SQ-VAE


def require_log_variance(
    layer: Quantizer, rows: torch.Tensor, logvar: torch.Tensor | None, encoding: bool
) -> None:
    """A log variance of z's shape, where the type has one."""
    kind = layer._plan.options["kind"]
    needed = kind == "IV" if encoding else kind != "I"
    if logvar is None:
        if needed:
            raise ValueError(
                f"[{layer._kind}] logvar = none: type {kind} needs the encoder's log variance, of "
                "z's shape"
            )
        return
    if kind == "I":
        raise ValueError(
            f"[{layer._kind}] logvar = {[*logvar.shape]}: type I has one learned variance and "
            "takes none"
        )
    if logvar.shape != rows.shape:
        raise ValueError(
            f"[{layer._kind}] shapes {[*logvar.shape]} and {[*rows.shape]}: logvar must have z's "
            "shape"
        )


def _precision(
    layer: Quantizer, rows: torch.Tensor, logvar: torch.Tensor | None, samples: torch.Tensor
) -> torch.Tensor:
    """`1 / s2`, [m, 1], or [m, d] for type IV; `samples` [m] numbers the sample of each row."""

    def exponential(x: torch.Tensor) -> torch.Tensor:
        return x.clamp(-_LIMIT, _LIMIT).exp()

    learned = exponential(once(layer._tensor("log_variance").float()))
    if logvar is None:
        return (1 / (learned + 1)).expand(len(rows), 1)
    kind = layer._plan.options["kind"]
    if kind != "IV":
        logvar = logvar.mean(1, keepdim=True)
    if kind == "II" and len(rows):
        count = int(samples.max()) + 1
        sums = logvar.new_zeros(count, 1).index_add(0, samples, logvar)
        sizes = torch.bincount(samples, minlength=count).clamp(min=1)
        logvar = (sums / sizes[:, None])[samples]
    return 1 / (exponential(logvar) + learned)


def sqvae_codes(
    layer: Quantizer, rows: torch.Tensor, logvar: torch.Tensor | None, samples: torch.Tensor
) -> torch.Tensor:
    """The most probable code of each row, in float64."""
    weighs = layer._plan.options["kind"] == "IV"
    return _most_probable(layer, rows, _precision(layer, rows, logvar, samples) if weighs else None)


def _most_probable(
    layer: Quantizer, rows: torch.Tensor, precision: torch.Tensor | None
) -> torch.Tensor:
    """The nearest code where all elements weigh alike, as in all types but IV."""
    codebook = layer._tensor("codebook").float().detach()
    if precision is None or layer._plan.options["kind"] != "IV":
        return nearest(rows.detach(), codebook)
    return weighted_nearest(rows.detach(), codebook, precision.detach())


def sqvae(
    layer: Quantizer,
    rows: torch.Tensor,
    logvar: torch.Tensor | None,
    samples: torch.Tensor,
    frozen: bool,
) -> Result:
    """Rows [m, d] by Gaussian stochastic quantization, types I to IV."""
    rows, logvar = once(rows), logvar if logvar is None else once(logvar)
    codebook = _codebook(layer, frozen)
    precision = _precision(layer, rows, logvar, samples)
    # About the codebook's mean, which the gradients do not see: weights sum to 1.
    center = codebook.detach().mean(0)
    centered = codebook - center
    squares = centered.square()
    if precision.shape[1] == 1:
        squares = squares.sum(1, keepdim=True)
    left = torch.cat([(rows - center) * precision, -0.5 * precision], 1)
    logits = _required_finite(layer, left @ torch.cat([centered, squares], 1).T)
    output = rows.clone()
    if layer._quantizing and layer.training:
        weights = _weights(layer, logits)
        codes = weights.argmax(1)
        output = weights @ centered + center
    else:
        codes = _most_probable(layer, rows, precision)
        if layer._quantizing:
            output = codebook[codes]
    share = 1 / max(int((torch.bincount(samples) > 0).sum()), 1)
    shares = logits.log_softmax(1)
    entropy = (shares.exp() * shares).sum() * share
    error = ((rows - output).square() * precision).sum() * (0.5 * share)
    return Result.of_codes(
        z_q=output,
        codes=codes,
        distances=(rows - codebook[codes]).detach().square().sum(1),
        compared=rows,
        loss=entropy + error,
        commitment=error,
        regularization=entropy,
        quantizing=layer._quantizing,
    )
