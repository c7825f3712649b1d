"""The recipes: what they build, and that the numbers beside them are those that were measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT

CONTEST = json.loads((ROOT / "results/recipes/recipes.json").read_text(encoding="utf-8"))
OURS = {s["setting"]: s for s in CONTEST["settings"] if s["side"] == "vqswift"}
PEERS = [s for s in CONTEST["settings"] if s["side"] != "vqswift"]


@pytest.mark.parametrize("name", vq.recipes.names())
def test_a_recipe_builds_a_layer_that_learns(name: str) -> None:
    recipe = vq.recipes.get(name)
    layer = recipe.build(8, 16, seed=1)
    z = vq.Generator(2).normal((64, 8))
    for _ in range(3):
        z_q, info = layer(vq.Tensor(z.numpy(), requires_grad=True))
        ((z_q - z).square().mean() + recipe.alpha * info.loss).backward()
    assert info.active_codes > 8 and np.isfinite(info.loss.item())
    assert layer.eval().decode(layer.encode(z)).shape == (64, 8)
    assert recipe.build(8, 32, norm="l2").codebook.shape[0] == 32


@pytest.mark.parametrize("name", vq.recipes.names())
def test_what_a_recipe_says_was_measured(name: str) -> None:
    measured, run = vq.recipes.get(name).measured, OURS[name]
    assert measured.mse == pytest.approx(run["mse"], abs=5e-6)
    assert measured.perplexity == pytest.approx(run["perplexity"], abs=0.05)
    assert measured.mse == pytest.approx(np.mean(run["mse by seed"]), abs=5e-6)


def test_the_recommended_recipe_is_ahead_of_every_other_setting() -> None:
    best = OURS["recommended"]
    others = [s for s in CONTEST["settings"] if s["setting"] not in ("recommended", "no quantizer")]
    assert len(PEERS) >= 6 and len(CONTEST["seeds"]) == 3
    assert all(best["mse"] < other["mse"] for other in others)
    assert best["perplexity"] > 200


def test_the_guide_lists_every_setting_as_measured() -> None:
    guide = (ROOT / "docs/quantizers.md").read_text(encoding="utf-8")
    for s in CONTEST["settings"]:
        if s["setting"] == "no quantizer":
            continue
        side = "" if s["side"] == "vqswift" else "vector-quantize-pytorch: "
        assert f"| {side}{s['setting']} | {s['mse']:.5f} | " in guide, s["setting"]


def test_unknown_recipes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[recipes\] name = 'best': it must be one of"):
        vq.recipes.get("best")
