"""Sampled quantizers for other devices, on the CPU, against the native kernels with their noise."""

from __future__ import annotations

import contextlib
import copy
import importlib
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402
from vqswift.torch import _device  # noqa: E402

sampled = importlib.import_module("vqswift.torch._device._sampled")
COOLING = {"temperature": 0.9, "temperature_decay": 0.8, "temperature_min": 0.6}
LAYERS: dict[str, Any] = {
    "Gumbel": lambda: vqt.GumbelQuant(D, K, seed=1, kl_weight=0.3, **COOLING),
    "Gumbel, narrow": lambda: vqt.GumbelQuant(D, K, code_size=3, seed=1),
    "Gumbel, hard": lambda: vqt.GumbelQuant(D, K, hard=True, seed=1, **COOLING),
    **{
        f"SQ-VAE {kind}": lambda kind=kind: vqt.SQVAEQuant(
            D, K, kind=kind, initial_variance=0.5, seed=1, **COOLING
        )
        for kind in ("I", "II", "III", "IV")
    },
}


def noise_of(module: Any, rows: int) -> torch.Tensor:
    """The Gumbel numbers of the kernels' next forward, but for a number of each row: logits of 0
    at temperature 1 make mixtures of one-hot codes `softmax(g)`."""
    twin = vqt.GumbelQuant(D, K, code_size=K)
    with torch.no_grad():
        twin.codebook.copy_(torch.eye(K))
        twin.projection.weight.zero_()
        twin.projection.bias.zero_()
        twin.generator.copy_(module.generator)
        return twin(torch.zeros(rows, D))[0].log()


def close(ours: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    torch.testing.assert_close(
        ours, expected, rtol=2.0**-15, atol=2.0**-17, check_dtype=False, msg=name
    )


def arguments(name: str, seed: int) -> list[torch.Tensor]:
    """z and, where the type has one, a log variance."""
    z = vectors(4, 9, D, seed=seed).requires_grad_()
    takes_variance = name.startswith("SQ-VAE") and not name.endswith(" I")
    variance = 0.3 * vectors(4, 9, D, seed=99 + seed)
    return [z, variance.requires_grad_()] if takes_variance else [z]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_values_gradients_and_state_are_the_kernels(
    name: str, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = LAYERS[name]()
    module = copy.deepcopy(native)
    # The third sample has no vector, which no mean counts.
    mask = torch.arange(9) < torch.tensor([9, 5, 0, 9])[:, None] if masked else None
    rows = 36 if mask is None else int(mask.sum())
    for step in range(4):
        for each in (native, module):
            each.train(step < 3)
        noise = noise_of(native, rows)
        monkeypatch.setattr(sampled, "noise", lambda logits, noise=noise: noise)
        ours, theirs = arguments(name, step), arguments(name, step)
        with _device.forced():
            z_q, info = module(*ours, mask=mask)
            codes, decoded = module.encode(*ours, mask=mask), module.decode(info.q)
        expected, wanted = native(*theirs, mask=mask)
        assert torch.equal(codes, native.encode(*theirs, mask=mask))
        assert torch.equal(info.q, wanted.q)
        close(decoded, native.decode(info.q), "decoded")
        for field, value, other in zip(info._fields, info, wanted, strict=True):
            close(value, other, field)
        pull = vectors(*expected.shape, seed=50 + step)
        ((z_q * pull).sum() + 3 * info.loss).backward()
        ((expected * pull).sum() + 3 * wanted.loss).backward()
        for mine, other in zip(ours, theirs, strict=True):
            close(mine.grad, other.grad, "input")
        for (key, mine), other in zip(module.named_parameters(), native.parameters(), strict=True):
            assert (mine.grad is None) == (other.grad is None)
            if other.grad is not None:
                close(mine.grad, other.grad, key)
        module.zero_grad()
        native.zero_grad()
        assert module.temperature == native.temperature


@pytest.mark.parametrize("name", [name for name in LAYERS if "narrow" not in name])
def test_what_passes_unquantized_is_the_kernels(name: str) -> None:
    module = LAYERS[name]()
    z = arguments(name, 0)
    found = []
    for where in (_device.forced(), contextlib.nullcontext()):
        with where, vqt.no_quantization(module):
            found.append(module(*z))
    assert torch.equal(found[0][0], z[0])
    assert module.temperature == LAYERS[name]().temperature
    for field, value, other in zip(found[0][1]._fields, found[0][1], found[1][1], strict=True):
        close(value, other, field)


def test_noise_has_the_moments_of_gumbel_numbers() -> None:
    torch.manual_seed(0)
    drawn = sampled.noise(torch.empty(1_000_000)).double()
    # Euler's constant and pi^2 / 6; errors of the means are 0.0013 and 0.003.
    assert drawn.mean().item() == pytest.approx(0.5772156649, abs=0.006)
    assert drawn.var().item() == pytest.approx(1.6449340668, abs=0.015)


def test_weighted_codes_are_exact() -> None:
    x, book = (1000 + vectors(n, D, seed=n) for n in (500, 64))
    codebook = torch.cat([book, book])
    weights = vectors(500, D, seed=3).exp()
    squares = (x.double()[:, None] - codebook.double()[None]).square()
    exact = (squares * weights.double()[:, None]).sum(-1).argmin(-1)
    assert torch.equal(_device._nearest.weighted_nearest(x, codebook, weights), exact)
    assert (exact < 64).all()


def test_a_log_variance_is_checked() -> None:
    z, variance = vectors(3, D), vectors(3, D, seed=1)
    for where in (_device.forced, contextlib.nullcontext):
        with where():
            with pytest.raises(ValueError, match="type IV needs the encoder's log variance"):
                vqt.SQVAEQuant(D, K, kind="IV")(z)
            with pytest.raises(ValueError, match="needs the encoder's log variance"):
                vqt.SQVAEQuant(D, K, kind="IV").encode(z)
            with pytest.raises(ValueError, match="has one learned variance and takes none"):
                vqt.SQVAEQuant(D, K)(z, variance)
            with pytest.raises(ValueError, match="logvar must have z's shape"):
                vqt.SQVAEQuant(D, K, kind="II")(z, variance[:2])
            with pytest.raises(ValueError, match="not finite|NaN|nan"):
                vqt.SQVAEQuant(D, K, kind="III")(z, variance * torch.nan)
    with _device.forced(), pytest.raises(RuntimeError, match="cannot pass for codes of 3"):
        layer = vqt.GumbelQuant(D, K, code_size=3)
        with vqt.no_quantization(layer):
            layer(z)
