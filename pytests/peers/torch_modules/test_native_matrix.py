"""Every pair of options in every layer kind gives in PyTorch what it gives in vqswift."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from vqswift import Tensor

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

from twins import assert_equal_info, assert_equal_state, moments_of, twin  # noqa: E402

from pytests.quantizers.matrix.options import ACCEPTED, KINDS, Case, pairs  # noqa: E402
from pytests.quantizers.matrix.run import batch  # noqa: E402

PAIRS = pairs()

# Every pair in one kind of layer, each kind in turn.
CASES = [
    case
    for case in ACCEPTED
    if PAIRS.index((case.first, case.second)) % len(KINDS) == KINDS.index(case.kind)
]


def both(case: Case, seed: int, layer: Any, module: Any) -> None:
    """One forward and backward of the same numbers in both."""
    values, mask = batch(case, seed)
    pull = np.random.default_rng(100 + seed).normal(size=values.shape).astype(np.float32)
    z, tz = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    z_q, info = layer(z, mask)
    tz_q, tinfo = module(tz, None if mask is None else torch.tensor(mask))
    assert_equal_info(tinfo, info)
    ((z_q * pull).sum() + 3 * info.loss).backward()
    # The core adds gradients in another order where a tensor has several users.
    ((tz_q * torch.from_numpy(pull)).sum() + 3 * tinfo.loss).backward()
    assert z.grad is not None
    assert tz.grad is not None
    close(tz.grad, z.grad.numpy(), "z")
    named = dict(module.named_parameters())
    for name, parameter in layer.named_parameters():
        if parameter.grad is not None:
            close(named[name].grad, parameter.grad.numpy(), name)
            parameter.grad = None
    module.zero_grad()


def close(gradient: torch.Tensor, expected: np.ndarray, name: str) -> None:
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(
        gradient.numpy(), expected, rtol=0, atol=2.0**-23 * 16 * scale, err_msg=name
    )


def assert_equal_moments(layer: Any, module: Any) -> None:
    for optimizer, ours in zip(layer.inplace_optimizers, moments_of(module), strict=True):
        expected = {n: v for n, v in optimizer.state_dict().items() if n.startswith("0.")}
        assert ours.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_pair_is_as_in_vqswift(case: Case) -> None:
    layer = case.make()
    module = twin(layer)
    for step in range(3):
        if case.has("freeze") and step:
            layer.freeze()
            module.freeze()
        both(case, step, layer, module)
        if case.has("manual ema") and not layer.frozen:
            layer.update()
            module.update()
        assert_equal_state(layer, module)
        assert_equal_moments(layer, module)
    layer.eval()
    module.eval()
    both(case, 50, layer, module)
    values, mask = batch(case, 51)
    codes = module.encode(torch.tensor(values), None if mask is None else torch.tensor(mask))
    np.testing.assert_array_equal(codes.numpy(), layer.encode(values, mask).numpy())
    np.testing.assert_array_equal(
        module.decode(codes).numpy(force=True), layer.decode(codes.numpy()).numpy()
    )
    assert_equal_state(layer, module)
