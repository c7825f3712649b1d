"""The examples of vector-quantize-pytorch's README with the import changed."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

import pytest
import torch

pytest.importorskip(
    "vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed: make test-peers"
)

# Each example in the README's order: what it shows, and what raises where it does.
EXAMPLES: list[tuple[str, str | None]] = [
    ("VectorQuantize", None),
    ("ResidualVQ, return_all_codes", None),
    ("ResidualVQ, diveq", "diveq"),
    ("ResidualVQ, stochastic and shared", None),
    ("GroupedResidualVQ", None),
    ("k-means", None),
    ("rotation trick", None),
    ("directional reparametrization", None),
    ("codebook_dim", None),
    ("cosine similarity", None),
    ("threshold_ema_dead_code", None),
    ("orthogonal regularization", "orthogonal_reg_max_codes"),
    ("heads", None),
    ("RandomProjectionQuantizer", "RandomProjectionQuantizer"),
    ("SimVQ", None),
    ("ResidualSimVQ", "ResidualSimVQ"),
    ("FSQ", None),
    ("ResidualFSQ", "ResidualFSQ"),
    ("FSP", "FSP"),
    ("LFQ", None),
    ("LFQ, sequences and videos", None),
    ("LFQ, codebooks", None),
    ("ResidualLFQ", "ResidualLFQ"),
    ("LatentQuantize", "LatentQuantize"),
    ("LatentQuantize, sequences and videos", "LatentQuantize"),
    ("LatentQuantize, codebooks", "LatentQuantize"),
]


def examples() -> list[str]:
    """The Python of the README that the installed package brings."""
    told = importlib.metadata.metadata("vector-quantize-pytorch")
    text = str(told.get_payload() or told["Description"])
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_list_has_every_example() -> None:
    assert len(examples()) == len(EXAMPLES)


@pytest.mark.parametrize(
    ("index", "what", "raising"),
    [(index, *example) for index, example in enumerate(EXAMPLES)],
    ids=[what for what, _ in EXAMPLES],
)
def test_an_example_runs_or_names_what_is_not_here(
    index: int, what: str, raising: str | None
) -> None:
    torch.manual_seed(0)
    source = examples()[index]
    changed = source.replace("from vector_quantize_pytorch ", "from vqswift.torch.lucidrains ")
    assert changed != source
    names: dict[str, Any] = {}
    if raising is None:
        exec(changed, names)  # its asserts too
        given = names.get("x", names.get("img_fmap", names.get("image_feats", names.get("seq"))))
        if given is not None:
            made = names.get("quantized", names.get("xhat"))
            assert made is not None and made.shape == given.shape or what.endswith("videos")
        return
    with pytest.raises((ValueError, ImportError), match=rf"\b{raising}\b"):
        exec(changed, names)
