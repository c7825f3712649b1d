"""The keywords of `vqswift.torch.lucidrains`: the peer's, and those that raise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import pytest
import torch
from vqswift.torch import lucidrains as ours
from vqswift.torch.lucidrains._options import Options, VectorQuantizeOptions
from vqswift.torch.lucidrains._residual import ResidualVQOptions
from vqswift.torch.lucidrains._scalar import FSQOptions, LFQOptions

peers = pytest.importorskip(
    "vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed: make test-peers"
)

CLASSES: dict[str, type[Options] | None] = {
    "VectorQuantize": VectorQuantizeOptions,
    "ResidualVQ": ResidualVQOptions,
    "GroupedResidualVQ": None,
    "FSQ": FSQOptions,
    "LFQ": LFQOptions,
    "SimVQ": None,
}
# Objects and the empty dict, which stand for none.
AS_NONE = ("straight_through_activation", "mlp_kwargs", "init_fn")
SIZES: dict[str, dict[str, Any]] = {
    "VectorQuantize": {"dim": 4, "codebook_size": 8},
    "ResidualVQ": {"dim": 4, "codebook_size": 8, "num_quantizers": 2},
    "GroupedResidualVQ": {"dim": 4, "codebook_size": 8, "num_quantizers": 2, "groups": 2},
    "FSQ": {"levels": [5, 3]},
    "LFQ": {"codebook_size": 4},
    "SimVQ": {"dim": 4, "codebook_size": 8},
}


def keywords(of: Callable[..., Any]) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(of).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


@pytest.mark.parametrize("name", CLASSES)
def test_keywords_and_initial_values_are_the_peers(name: str) -> None:
    expected = keywords(getattr(peers, name))
    found = keywords(getattr(ours, name))
    options = CLASSES[name]
    for option in fields(options) if options else ():
        found[option.name] = (
            inspect.Parameter.empty if option.default is MISSING else option.default
        )
    if name == "ResidualVQ":
        # One of `VectorQuantize`'s, which this class takes too.
        expected.pop("return_zeros_for_masked_padding")
    assert set(found) == set(expected)
    for keyword, value in expected.items():
        assert found[keyword] == (None if keyword in AS_NONE else value), keyword


@pytest.mark.parametrize("name", CLASSES)
def test_calls_have_the_peers_keywords(name: str) -> None:
    expected = keywords(getattr(peers, name).forward)
    assert keywords(getattr(ours, name).forward) == expected


def changed(value: Any) -> Any:
    """Another value of an option's kind."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else (object() if value is None else ())


LACKING = [
    (name, option.name, changed(option.default))
    for name, options in CLASSES.items()
    if options
    for option in fields(options)
    if "lacking" in option.metadata
]
REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    *((name, keyword, {keyword: value}) for name, keyword, value in LACKING),
    ("VectorQuantize", "sync_codebook", {"sync_codebook": False}),
    ("VectorQuantize", "affine_param_codebook_decay", {"affine_param": True}),
    ("VectorQuantize", "learnable_codebook", {"learnable_codebook": True}),
    ("VectorQuantize", "orthogonal_reg_weight", {"orthogonal_reg_weight": 1.0}),
    ("VectorQuantize", "sync_update_v", {"sync_update_v": 0.5}),
    ("VectorQuantize", "layernorm_after_project_in", {"layernorm_after_project_in": True}),
    (
        "VectorQuantize",
        "threshold_ema_dead_code",
        {"threshold_ema_dead_code": 2, "manual_ema_update": True},
    ),
    (
        "VectorQuantize",
        "rotation_trick",
        {"rotation_trick": True, "directional_reparam": True},
    ),
    ("ResidualVQ", "use_cosine_sim", {"use_cosine_sim": True}),
    ("ResidualVQ", "threshold_ema_dead_code", {"threshold_ema_dead_code": 2}),
    ("ResidualVQ", "orthogonal_reg_weight", {"orthogonal_reg_weight": 1.0} | {"ema_update": False}),
    ("ResidualVQ", "manual_ema_update", {"manual_ema_update": True}),
    ("ResidualVQ", "codebook_size", {"codebook_size": (8, 4)}),
    ("ResidualVQ", "codebook_size", {"codebook_size": (8, 8, 8)}),
    ("ResidualVQ", "num_quantizers", {"num_quantizers": None}),
    ("ResidualVQ", "quantize_dropout_cutoff_index", {"quantize_dropout_cutoff_index": -1}),
    ("GroupedResidualVQ", "groups", {"groups": 3}),
    ("GroupedResidualVQ", "diveq", {"diveq": True}),
    ("FSQ", "keep_num_codebooks_dim", {"num_codebooks": 2, "keep_num_codebooks_dim": False}),
    ("LFQ", "codebook_size", {"codebook_size": 6}),
    ("LFQ", "codebook_size", {"codebook_size": None}),
    ("LFQ", "has_projections", {"dim": 3, "has_projections": False}),
    ("SimVQ", "codebook_transform", {"codebook_transform": torch.nn.Linear(4, 4)}),
    ("SimVQ", "frozen_codebook_dim", {"frozen_codebook_dim": 3}),
]


@pytest.mark.parametrize(
    ("name", "keyword", "options"), REFUSED, ids=[f"{n}, {k}" for n, k, _ in REFUSED]
)
def test_what_is_not_here_raises_with_the_options_name(
    name: str, keyword: str, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=rf"^\[\w+\] {keyword} = "):
        getattr(ours, name)(**SIZES[name] | options)


CALLS: list[tuple[str, str, Any]] = [
    ("VectorQuantize", "indices", torch.zeros(1, 9).long()),
    ("VectorQuantize", "topk", 2),
    ("VectorQuantize", "sample_codebook_temp", 0.5),
    ("VectorQuantize", "codebook_transform_fn", torch.nn.Identity()),
    ("VectorQuantize", "ema_update_weight", torch.ones(8)),
    ("VectorQuantize", "accum_ema_update", True),
    ("VectorQuantize", "ema_update", False),
    ("ResidualVQ", "indices", torch.zeros(1, 9, 2).long()),
    ("ResidualVQ", "sample_codebook_temp", 0.5),
    ("ResidualVQ", "beam_size", 2),
    ("GroupedResidualVQ", "indices", torch.zeros(2, 1, 9, 2).long()),
    ("LFQ", "return_loss_breakdown", True),
]


@pytest.mark.parametrize(
    ("name", "keyword", "value"), CALLS, ids=[f"{n}, {k}" for n, k, _ in CALLS]
)
def test_what_a_call_has_not_raises_with_the_options_name(
    name: str, keyword: str, value: Any
) -> None:
    module = getattr(ours, name)(**SIZES[name])
    width = 2 if name == "LFQ" else 4
    with pytest.raises(ValueError, match=rf"^\[\w+\] {keyword} = "):
        module(torch.randn(1, 9, width), **{keyword: value})


def test_an_unknown_keyword_raises() -> None:
    with pytest.raises(TypeError, match="codebok_dim"):
        ours.VectorQuantize(4, 8, codebok_dim=2)


def test_mask_and_lengths_exclude_each_other() -> None:
    x, mask = torch.randn(2, 9, 4), torch.ones(2, 9, dtype=torch.bool)
    with pytest.raises(ValueError, match="mask and lens"):
        ours.VectorQuantize(4, 8)(x, mask=mask, lens=torch.tensor([9, 9]))


def test_codebooks_start_as_the_peers() -> None:
    """Uniform in +-sqrt(6 / (k d)), drawn by PyTorch's generator."""
    torch.manual_seed(0)
    first = ours.VectorQuantize(8, 64).codebook
    torch.manual_seed(0)
    assert torch.equal(ours.VectorQuantize(8, 64).codebook, first)
    bound = (6 / (8 * 64)) ** 0.5
    theirs = peers.VectorQuantize(8, 64).codebook
    for codes in (first, theirs):
        assert codes.abs().max() <= bound
        assert codes.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
