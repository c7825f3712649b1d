"""States that go from vector-quantize-pytorch to ours and back."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from vqswift.torch import lucidrains as ours

peers = pytest.importorskip(
    "vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed: make test-peers"
)

D, K = 6, 12
LEARNED = {"learnable_codebook": True, "ema_update": False}
MOMENTS = {
    "affine_param": True,
    "affine_param_batch_decay": 0.9,
    "affine_param_codebook_decay": 0.9,
}
OF_ONE = {"dim": D, "codebook_size": K}
OF_STAGES = OF_ONE | {"num_quantizers": 3}
# Class, options and what `to_theirs` is told beside the state.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "EMA": ("VectorQuantize", OF_ONE, {}),
    "learned": ("VectorQuantize", OF_ONE | LEARNED, {}),
    "k-means": ("VectorQuantize", OF_ONE | {"kmeans_init": True}, {}),
    "projected": ("VectorQuantize", OF_ONE | {"codebook_dim": 3}, {}),
    "cosine": ("VectorQuantize", OF_ONE | {"use_cosine_sim": True}, {"cosine": True}),
    "heads": ("VectorQuantize", OF_ONE | {"heads": 2, "codebook_dim": 3}, {}),
    "separate heads": (
        "VectorQuantize",
        OF_ONE | {"heads": 2, "codebook_dim": 3, "separate_codebook_per_head": True},
        {},
    ),
    "threshold": ("VectorQuantize", OF_ONE | LEARNED | {"threshold_ema_dead_code": 1}, {}),
    "moments": ("VectorQuantize", OF_ONE | MOMENTS, {}),
    "residual": ("ResidualVQ", OF_STAGES, {}),
    "shared residual": ("ResidualVQ", OF_STAGES | {"shared_codebook": True}, {"stages": 3}),
    "grouped residual": ("GroupedResidualVQ", OF_STAGES | {"groups": 2, "codebook_dim": 2}, {}),
    "SimVQ": ("SimVQ", OF_ONE, {}),
    "FSQ": ("FSQ", {"levels": [5, 4], "dim": D}, {}),
    "LFQ": ("LFQ", {"codebook_size": 8, "dim": D}, {}),
}


@pytest.mark.parametrize(("kind", "options", "told"), CASES.values(), ids=CASES)
def test_a_trained_state_goes_both_ways(
    kind: str, options: dict[str, Any], told: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    theirs = getattr(peers, kind)(**options)
    x = torch.randn(1, 80, D)
    for _ in range(2):
        theirs(x)
    mine = getattr(ours, kind)(**options)
    mine.load_state_dict(ours.convert_state_dict(theirs.state_dict()))
    theirs.eval(), mine.eval()
    expected, found = theirs(x), mine(x)
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-5)

    for _ in range(2):
        mine.train()(x)
    back = getattr(peers, kind)(**options)
    back(x)  # without a forward it has no moments to load into
    back.load_state_dict(ours.to_theirs(mine.state_dict(), **told))
    back.eval(), mine.eval()
    expected, found = back(x), mine(x)
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-5)


def test_a_codebook_that_waits_for_its_start_still_waits() -> None:
    options = OF_ONE | {"kmeans_init": True}
    mine = ours.VectorQuantize(**options)
    mine.load_state_dict(ours.convert_state_dict(peers.VectorQuantize(**options).state_dict()))
    assert mine.layer.get_buffer("initialized") == 0
    assert not ours.to_theirs(mine.state_dict())["_codebook.initted"]


def test_a_state_of_no_layer_here_raises() -> None:
    with pytest.raises(ValueError, match="orthogonal_rot"):
        ours.convert_state_dict(peers.FSQ([5, 5], orthogonal_rotation=True).state_dict())


@pytest.mark.parametrize(("kind", "options"), [c[:2] for c in CASES.values()], ids=CASES)
def test_modules_are_copied_pickled_and_loaded(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = getattr(ours, kind)(**options)
    x = torch.randn(2, 40, D)
    module(x)
    module.eval()
    loaded = getattr(ours, kind)(**options).eval()
    loaded.load_state_dict(module.state_dict())
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), loaded):
        for own, same in zip(module(x), other(x), strict=True):
            assert torch.equal(own, same)
