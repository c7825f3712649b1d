"""The classes of `vqswift.torch.lucidrains` are compiled whole, and give what they give eagerly."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from vqswift.torch import lucidrains as ours

OF_ONE = {"dim": 4, "codebook_size": 8}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "EMA, projected": ("VectorQuantize", OF_ONE | {"codebook_dim": 2}),
    "heads": ("VectorQuantize", OF_ONE | {"heads": 2, "codebook_dim": 3}),
    "residual": ("ResidualVQ", OF_ONE | {"num_quantizers": 2}),
    "SimVQ": ("SimVQ", OF_ONE),
    "FSQ": ("FSQ", {"levels": [5, 4], "dim": 4}),
    "LFQ": ("LFQ", {"dim": 4, "codebook_size": 16}),
    "LFQ, projected": ("LFQ", {"dim": 4, "codebook_size": 8, "num_codebooks": 2}),
}


@pytest.mark.parametrize(("kind", "options"), CASES.values(), ids=CASES)
def test_a_training_forward_is_captured_whole(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    eager = getattr(ours, kind)(**options)
    captured = torch.compile(copy.deepcopy(eager), fullgraph=True, backend="eager")
    x = torch.randn(2, 30, 4)
    for _ in range(2):
        for own, same in zip(eager(x), captured(x), strict=True):
            assert torch.equal(own, same)


@pytest.mark.parametrize("size", [{"codebook_size": 16}, {"codebook_size": 8, "num_codebooks": 2}])
def test_lfq_is_compiled_in_both_modes_with_its_gradient(size: dict[str, int]) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    eager = ours.LFQ(dim=4, **size)
    module = copy.deepcopy(eager)
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    for training in (True, False):
        eager.train(training), module.train(training)
        for count in (30, 17):
            results = []
            x = torch.randn(2, count, 4)
            for run in (eager, compiled):
                z = x.clone().requires_grad_()
                out = run(z)
                (out.quantized.square().sum() + out.entropy_aux_loss).backward()
                results.append([*out, z.grad])
            for own, same in zip(*results, strict=True):
                torch.testing.assert_close(own, same, rtol=0, atol=1e-6)


def test_another_temperature_of_lfq_must_be_known_before() -> None:
    layer, x = ours.LFQ(dim=4, codebook_size=16), torch.randn(2, 9, 4)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="inv_temperature"):
        torch.compile(layer, fullgraph=True, backend="eager")(x, inv_temperature=7.0)
    expected = layer(x, inv_temperature=7.0)
    torch._dynamo.reset()
    found = torch.compile(layer, fullgraph=True, backend="eager")(x, inv_temperature=7.0)
    assert torch.equal(found.entropy_aux_loss, expected.entropy_aux_loss)
