"""`in_place_codebook_optimizer` beside the peer's: steps, second lookup, results, states."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch
from test_lucidrains_equality import CLOSE, LEARNED, D, K, N, compare, pair, vectors
from vqswift.torch import lucidrains as ours

SGD = functools.partial(torch.optim.SGD, lr=3.0, momentum=0.9)
ADAM = functools.partial(torch.optim.Adam, lr=0.05)
IN_PLACE = LEARNED | {"in_place_codebook_optimizer": SGD}


def drop_gradients(theirs: Any) -> None:
    """What the peer's commitment loss leaves on its codebook: here it reaches the encoder alone."""
    for parameter in theirs.parameters():
        parameter.grad = None


@pytest.mark.parametrize("make", [SGD, ADAM], ids=["SGD", "Adam"])
@pytest.mark.parametrize(
    "options",
    [{}, {"rotation_trick": False, "commitment_weight": 0.3}, {"heads": 2, "codebook_dim": 3}],
    ids=["defaults", "straight-through", "heads"],
)
def test_steps_are_the_peer_s(options: dict[str, Any], make: Any) -> None:
    given = IN_PLACE | options | {"in_place_codebook_optimizer": make}
    theirs, mine = pair("VectorQuantize", D, K, **given)
    for seed in range(4):
        compare(theirs, mine, vectors(2, N // 2, D, seed=seed))
        drop_gradients(theirs)
        codebook = theirs.codebook
        torch.testing.assert_close(mine.codebook, codebook, **CLOSE)


def test_a_mask_leaves_vectors_out_of_the_step() -> None:
    theirs, mine = pair("VectorQuantize", D, K, **IN_PLACE)
    mask = torch.arange(N // 2) < torch.tensor([[N // 2], [10]])
    for seed in range(3):
        compare(theirs, mine, vectors(2, N // 2, D, seed=seed), mask=mask)
        drop_gradients(theirs)
        torch.testing.assert_close(mine.codebook, theirs.codebook, **CLOSE)


def test_stages_step_as_the_peer_s() -> None:
    options = IN_PLACE | {"num_quantizers": 3, "rotation_trick": False, "dim": D}
    theirs, mine = pair("ResidualVQ", codebook_size=K, **options)
    for seed in range(3):
        x = vectors(2, N // 2, D, seed=seed)
        (expected, indices, losses), (found, own, own_losses) = theirs(x), mine(x)
        assert torch.equal(own, indices)
        torch.testing.assert_close(found, expected, **CLOSE)
        torch.testing.assert_close(own_losses, losses, **CLOSE)
        drop_gradients(theirs)


def test_evaluation_and_frozen_calls_step_nothing() -> None:
    layer = ours.VectorQuantize(D, K, **IN_PLACE)
    before = copy.deepcopy(layer.state_dict())
    layer(vectors(2, 9, D), freeze_codebook=True)
    layer.eval()(vectors(2, 9, D))
    assert torch.equal(layer.codebook, before["layer.codebook"])


def test_states_go_both_ways() -> None:
    layer = ours.VectorQuantize(D, K, **IN_PLACE)
    layer(vectors(2, 9, D))
    theirs = ours.to_theirs(layer.state_dict())
    assert torch.equal(theirs["_codebook.embed"][0], layer.codebook)
    again = ours.VectorQuantize(D, K, **IN_PLACE)
    again.load_state_dict(ours.convert_state_dict(theirs))
    assert torch.equal(again.codebook, layer.codebook)
    again.load_state_dict(layer.state_dict())
    for step in range(2):
        x = vectors(2, 9, D, seed=step)
        assert torch.equal(again(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    ("options", "keyword"),
    [
        ({"learnable_codebook": None, "ema_update": None}, "in_place_codebook_optimizer"),
        ({"use_cosine_sim": True}, "use_cosine_sim"),
        ({"heads": 2, "separate_codebook_per_head": True}, "separate_codebook_per_head"),
        ({"manual_in_place_optimizer_update": True}, "manual_in_place_optimizer_update"),
    ],
)
def test_what_is_not_here_raises(options: dict[str, Any], keyword: str) -> None:
    with pytest.raises(ValueError, match=keyword):
        ours.VectorQuantize(D, K, **IN_PLACE | options)
    with pytest.raises(ValueError, match="return_loss_breakdown"):
        ours.VectorQuantize(D, K, **IN_PLACE)(vectors(1, 9, D), return_loss_breakdown=True)
    with pytest.raises(ValueError, match="shared_codebook"):
        ours.ResidualVQ(dim=D, codebook_size=K, num_quantizers=2, shared_codebook=True, **IN_PLACE)
