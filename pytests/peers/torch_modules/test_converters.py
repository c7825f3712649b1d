"""Codebooks of encodec and moshi, by the names and formulas of their codebooks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from vqswift.torch import converters

STAGES, K, D = 3, 16, 4
PREFIX = "quantizer.vq."


def state(kind: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """A state by the codec's names, and its codebooks [stages, k, d]."""
    drawn = torch.Generator().manual_seed(0)
    found: dict[str, torch.Tensor] = {"encoder.weight": torch.ones(1)}
    books = torch.randn(STAGES, K, D, generator=drawn)
    for stage, book in enumerate(books):
        counts = 0.5 + torch.rand(K, generator=drawn)
        entries = (
            {"inited": torch.ones(1), "cluster_size": counts, "embed": book}
            | {"embed_avg": book * counts[:, None]}
            if kind == "encodec"
            else {"_initialized": torch.ones(1), "cluster_usage": counts}
            | {"embedding_sum": book * counts[:, None]}
        )
        found |= {f"{PREFIX}layers.{stage}._codebook.{n}": v for n, v in entries.items()}
    return found, books


CONVERTERS: dict[str, Any] = {
    "encodec": converters.from_encodec,
    "moshi": converters.from_moshi,
}


@pytest.mark.parametrize("kind", CONVERTERS)
def test_codes_are_the_codecs(kind: str) -> None:
    """Each stage takes the code nearest to what the stages before leave."""
    given, books = state(kind)
    layer = CONVERTERS[kind](given, PREFIX).eval()
    x = torch.randn(2, D, 50, generator=torch.Generator().manual_seed(1))
    left, codes = x.movedim(1, -1), []
    for book in books:
        codes.append(torch.cdist(left, book[None]).argmin(-1))
        left = left - book[codes[-1]]
    found = layer.encode(x)
    assert torch.equal(found, torch.stack(codes, -1))
    expected = (x.movedim(1, -1) - left).movedim(-1, 1)
    torch.testing.assert_close(layer.decode(found), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", CONVERTERS)
def test_the_ema_goes_on_from_the_codecs_counts_and_sums(kind: str) -> None:
    given, books = state(kind)
    layer = CONVERTERS[kind](given, PREFIX)
    x = torch.randn(1, D, 400, generator=torch.Generator().manual_seed(1))
    rows = x.movedim(1, -1)[0]
    codes = torch.cdist(rows, books[0]).argmin(-1)
    names = {"encodec": "cluster_size", "moshi": "cluster_usage"}
    counts = given[f"{PREFIX}layers.0._codebook.{names[kind]}"]
    found = torch.bincount(codes, minlength=K)
    moved = 0.99 * counts + 0.01 * found
    layer(x)
    torch.testing.assert_close(layer.state_dict()["0.ema_counts"], moved)
    sums = 0.99 * books[0] * counts[:, None]
    sums = sums.index_add(0, codes, 0.01 * rows)
    torch.testing.assert_close(layer.state_dict()["0.ema_sums"], sums, rtol=0, atol=1e-5)


def test_what_has_no_layer_raises() -> None:
    given, _ = state("encodec")
    with pytest.raises(ValueError, match="no stages begin there"):
        converters.from_encodec(given)
    with pytest.raises(ValueError, match="projections"):
        projected = given | {f"{PREFIX}layers.0.project_in.weight": torch.ones(2, D)}
        converters.from_encodec(projected, PREFIX)
    with pytest.raises(ValueError, match="stage 1 waits"):
        waiting = {f"{PREFIX}layers.1._codebook.inited": torch.zeros(1)}
        converters.from_encodec(given | waiting, PREFIX)
    with pytest.raises(ValueError, match="one shape"):
        wide = {f"{PREFIX}layers.1._codebook.embed": torch.ones(K, D + 1)}
        converters.from_encodec(given | wide, PREFIX)
