"""The classes of `vqswift.torch.lucidrains` beside those that they stand for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from vqswift.torch import lucidrains as ours

peers = pytest.importorskip(
    "vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed: make test-peers"
)

D, K, N = 6, 12, 90
# Two float32 sums of N D terms near 1 in size.
CLOSE = {"rtol": 0.0, "atol": 2 * N * D * 2.0**-23}
LEARNED = {"learnable_codebook": True, "ema_update": False}


def pair(kind: str, *sizes: Any, **options: Any) -> tuple[Any, Any]:
    """Theirs and ours with the state of theirs, whose codes are spread as the vectors."""
    torch.manual_seed(0)
    theirs = getattr(peers, kind)(*sizes, **options)
    with torch.no_grad():
        for name, value in theirs.state_dict().items():
            if name.endswith((".embed", "frozen_codebook")):
                value.normal_()
                if options.get("use_cosine_sim"):
                    value.copy_(torch.nn.functional.normalize(value, dim=-1))
                if name.endswith(".embed"):
                    theirs.state_dict()[name.replace(".embed", ".embed_avg")].copy_(value)
    mine = getattr(ours, kind)(*sizes, **options)
    mine.load_state_dict(ours.convert_state_dict(theirs.state_dict()))
    return theirs, mine


def vectors(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def compare(theirs: Any, mine: Any, x: torch.Tensor, **call: Any) -> None:
    """Indices, outputs, losses and the gradients of x and of what both learn."""
    weight = vectors(*x.shape, seed=2)
    gradients = []
    results = []
    for module in (theirs, mine):
        z = x.clone().requires_grad_()
        out = module(z, **call)
        loss = out[2].sum() if len(out) > 2 else 0.0
        ((out[0] * weight).sum() + 10 * loss).backward()
        results.append(out)
        gradients.append(z.grad)
    expected, found = results
    assert found[1].dtype == expected[1].dtype
    assert torch.equal(found[1], expected[1])
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, **CLOSE)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-4)


VECTOR = {
    "defaults": {},
    "straight-through": {"rotation_trick": False},
    "learned": LEARNED,
    "learned, weight 0.3": LEARNED | {"commitment_weight": 0.3, "rotation_trick": False},
    "projected": {"codebook_dim": 3},
    "projected, layer norm": {"codebook_dim": 3, "layernorm_after_project_in": True},
    "cosine": {"use_cosine_sim": True},
    "heads": {"heads": 2, "codebook_dim": 3},
    "separate heads": {"heads": 2, "codebook_dim": 4, "separate_codebook_per_head": True},
    "cosine heads": {"heads": 2, "codebook_dim": 3, "use_cosine_sim": True},
    "orthogonal": LEARNED | {"orthogonal_reg_weight": 2.0},
    "frozen": {"freeze_codebook": True},
    "neither learned nor EMA": {"ema_update": False},
    "moments": {
        "affine_param": True,
        "affine_param_batch_decay": 0.9,
        "affine_param_codebook_decay": 0.9,
    },
}


@pytest.mark.parametrize("options", VECTOR.values(), ids=VECTOR)
def test_vector_quantize_equals_the_peer(options: dict[str, Any]) -> None:
    theirs, mine = pair("VectorQuantize", D, K, **options)
    compare(theirs, mine, vectors(2, N // 2, D))
    assert mine.eval()(vectors(2, 5, D))[2] == 0


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (N, D)),
        ({"channel_last": False}, (2, D, N // 2)),
        ({"accept_image_fmap": True}, (2, D, 5, 9)),
        ({"accept_3d_fmap": True}, (1, D, 5, 3, 6)),
        ({"accept_image_fmap": True, "codebook_dim": 3}, (2, D, 5, 9)),
    ],
    ids=["vectors", "channels first", "images", "volumes", "projected images"],
)
def test_layouts_are_the_peers(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    theirs, mine = pair("VectorQuantize", D, K, **options)
    compare(theirs, mine, vectors(*shape))
    codes = mine.eval()(vectors(*shape))
    torch.testing.assert_close(mine.get_output_from_indices(codes[1]), codes[0], **CLOSE)


@pytest.mark.parametrize("zeros", [True, False])
def test_padding_is_left_out_as_in_the_peer(zeros: bool) -> None:
    theirs, mine = pair("VectorQuantize", D, K, return_zeros_for_masked_padding=zeros)
    compare(theirs, mine, vectors(3, 30, D), lens=torch.tensor([30, 11, 4]))


def test_an_ema_codebook_moves_as_the_peers_where_codes_are_used() -> None:
    """The peer's smoothing draws unused codes to the origin; ours stay."""
    theirs, mine = pair("VectorQuantize", D, K, decay=0.7)
    x = vectors(1, N, D)
    used = theirs(x)[1].unique()
    mine(x)
    torch.testing.assert_close(mine.codebook[used], theirs.codebook[used], **CLOSE)


def test_the_parts_of_a_loss_are_the_peers() -> None:
    theirs, mine = pair("VectorQuantize", D, K, **LEARNED, orthogonal_reg_weight=3.0)
    x = vectors(1, N, D)
    expected = theirs(x, return_loss_breakdown=True)[-1]
    found = mine(x, return_loss_breakdown=True)[-1]
    assert found._fields == expected._fields
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, **CLOSE)


def test_codes_below_the_threshold_become_vectors_of_the_batch() -> None:
    torch.manual_seed(0)
    mine = ours.VectorQuantize(D, K, threshold_ema_dead_code=2, ema_update=False)
    x = vectors(1, N, D)
    _, codes, _ = mine(x)
    with torch.no_grad():
        assert torch.cdist(mine.codebook, x[0]).amin(1).max() < 1e-3
    # All begin with a count of 1, begin anew with 2, and decay by the vectors they get.
    expected = 0.8 * 2 + 0.2 * torch.bincount(codes.flatten(), minlength=K)
    torch.testing.assert_close(mine.expiry.cluster_size[0], expected)
    before = mine.codebook.clone()
    stays = mine.expiry.cluster_size[0] >= 2
    mine(vectors(1, N, D, seed=5))
    assert torch.equal((mine.codebook == before).all(1), stays)


RESIDUAL = {
    "defaults": {"rotation_trick": False},
    "learned": LEARNED | {"rotation_trick": False},
    "projected": {"codebook_dim": 3, "rotation_trick": False},
    "shared": {"shared_codebook": True, "rotation_trick": False},
}


@pytest.mark.parametrize("options", RESIDUAL.values(), ids=RESIDUAL)
def test_residual_vq_equals_the_peer(options: dict[str, Any]) -> None:
    """But for the gradient of the output, which reaches x once here, and there once a stage."""
    theirs, mine = pair("ResidualVQ", dim=D, codebook_size=K, num_quantizers=3, **options)
    x = vectors(2, N // 2, D)
    expected = theirs(x, return_all_codes=True, freeze_codebook=True)
    found = mine(x, return_all_codes=True, freeze_codebook=True)
    assert torch.equal(found[1], expected[1])
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, **CLOSE)
    quantized, codes, _ = mine.eval()(x)
    torch.testing.assert_close(mine.get_output_from_indices(codes), quantized, **CLOSE)
    torch.testing.assert_close(
        mine.get_output_from_indices(codes), theirs.get_output_from_indices(codes), **CLOSE
    )


def test_quantize_dropout_takes_the_peers_stages() -> None:
    options = {"quantize_dropout": True, "quantize_dropout_cutoff_index": 1}
    theirs, mine = pair("ResidualVQ", dim=D, codebook_size=K, num_quantizers=4, **options)
    for seed in range(5):
        call = {"rand_quantize_dropout_fixed_seed": seed, "freeze_codebook": True}
        expected, found = theirs(vectors(1, 9, D), **call), mine(vectors(1, 9, D), **call)
        assert torch.equal(found[1], expected[1])
        torch.testing.assert_close(found[2], expected[2], **CLOSE)


def test_grouped_residual_vq_equals_the_peer() -> None:
    theirs, mine = pair(
        "GroupedResidualVQ",
        dim=D,
        groups=2,
        codebook_size=K,
        num_quantizers=3,
        quantize_dropout=True,
    )
    x = vectors(2, N // 2, D)
    theirs.eval(), mine.eval()
    for own, other in zip(mine(x), theirs(x), strict=True):
        torch.testing.assert_close(own, other, **CLOSE)
    codes = mine(x)[1]
    torch.testing.assert_close(
        mine.get_output_from_indices(codes), theirs.get_output_from_indices(codes), **CLOSE
    )
    used = (mine.train()(x)[1] >= 0).sum(-1).unique()
    assert len(used) == 1


SCALAR: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "FSQ": ("FSQ", {"levels": [8, 5, 5, 5]}, (2, 20, 4)),
    "FSQ, projected": ("FSQ", {"levels": [8, 5, 4], "dim": 7}, (2, 20, 7)),
    "FSQ, images": ("FSQ", {"levels": [5, 5], "dim": 7}, (2, 7, 4, 5)),
    "FSQ, codebooks": ("FSQ", {"levels": [5, 3], "num_codebooks": 2}, (2, 20, 4)),
    "FSQ, channels first": ("FSQ", {"levels": [5, 3], "channel_first": True}, (3, 2, 9)),
    "LFQ": ("LFQ", {"codebook_size": 64, "commitment_loss_weight": 0.2}, (2, 20, 6)),
    "LFQ, projected": ("LFQ", {"codebook_size": 16, "dim": 7}, (2, 20, 7)),
    "LFQ, images": ("LFQ", {"dim": 4, "soft_clamp_input_value": 3.0}, (2, 4, 4, 5)),
    "LFQ, codebooks": ("LFQ", {"codebook_size": 8, "num_codebooks": 2, "dim": 9}, (2, 20, 9)),
}


@pytest.mark.parametrize(("kind", "options", "shape"), SCALAR.values(), ids=SCALAR)
def test_quantizers_without_codebook_equal_the_peers(
    kind: str, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """A temperature at which no probability is below 1e-5, where the peer cuts logarithms off."""
    theirs, mine = pair(kind, **options)
    call = {"inv_temperature": 0.2} if kind == "LFQ" else {}
    compare(theirs, mine, vectors(*shape), **call)
    codes = mine(vectors(*shape), **call)[1]
    torch.testing.assert_close(
        mine.indices_to_codes(codes), theirs.indices_to_codes(codes), **CLOSE
    )


def test_fsq_tells_indices_as_the_peer() -> None:
    theirs, mine = pair("FSQ", levels=[8, 5, 4])
    codes = torch.arange(160)
    assert torch.equal(mine.implicit_codebook, theirs.implicit_codebook)
    assert torch.equal(mine.codes_to_indices(mine.implicit_codebook), codes.int())
    levels = mine.indices_to_level_indices(codes)
    assert torch.equal(levels, theirs.indices_to_level_indices(codes).to(levels.dtype))
    assert ours.FSQ([5, 5], return_indices=False)(vectors(1, 3, 2))[1] is None


@pytest.mark.parametrize("channel_first", [False, True])
@pytest.mark.parametrize("rotation", [False, True])
def test_sim_vq_equals_the_peer(rotation: bool, channel_first: bool) -> None:
    options = {"rotation_trick": rotation, "channel_first": channel_first}
    theirs, mine = pair("SimVQ", D, K, commitment_weight=0.7, **options)
    shape = (2, D, 45) if channel_first else (2, 45, D)
    compare(theirs, mine, vectors(*shape))
    torch.testing.assert_close(
        mine.layer.get_parameter("transform").grad.T, theirs.code_transform.weight.grad, **CLOSE
    )
