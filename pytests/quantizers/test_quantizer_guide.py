"""The quantizers' guide: its snippets run and do what it says, and it knows every option."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT
from vqswift.quantizers._vector import VectorQuantOptions

GUIDE = (ROOT / "docs/quantizers.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
OPTIONS = VectorQuantOptions.__annotations__


def names(**options: Any) -> dict[str, Any]:
    """What snippets take as given: a layer in evaluation, z [4, 6, 32] and what it made of z."""
    d, k = 32, 16
    z = np.random.default_rng(3).normal(size=(4, 6, d)).astype(np.float32)
    layer = vq.VectorQuant(d, k, seed=1, **options).eval()
    _, info = layer(z)
    return {
        "vq": vq,
        "np": np,
        "d": options.get("code_size", d),
        "k": k,
        "m": 3,
        "alpha": 1.0,
        "z": z,
        "x": z,
        "vectors": z.reshape(-1, d),
        "centroids": z.reshape(-1, d)[:k],
        "layer": layer,
        "model": layer,
        "info": info,
        "task_loss": lambda z_q: (z_q * z_q).mean(),
        "decoder": lambda z_q: z_q,
    }


def run(part: str, **options: Any) -> dict[str, Any]:
    """The names after the one snippet that has `part`."""
    (snippet,) = (snippet for snippet in SNIPPETS if part in snippet)
    found = names(**options)
    exec(compile(snippet, "docs/quantizers.md", "exec"), found)
    return found


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.splitlines()[0])
def test_snippet_runs(snippet: str, tmp_path: Path) -> None:
    np.save(tmp_path / "block.npy", names()["vectors"])
    given = names() | {"paths": [tmp_path / "block.npy"]}
    exec(compile(snippet, "docs/quantizers.md", "exec"), given)


def table(header: str) -> list[list[str]]:
    """Rows of the table that begins with `header`, each as its cells."""
    (rows,) = re.findall(rf"^\| {header} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", GUIDE, re.MULTILINE)
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows.splitlines()
    ]


def test_option_table_has_every_option_and_no_other() -> None:
    rows = table("option")
    assert {len(row) for row in rows} == {3}
    listed = {name for row in rows for name in re.findall(r"`(\w+)(?:=[^`]*)?`", row[0])}
    assert listed == set(OPTIONS)
    assert all(cell for row in rows for cell in row), "an option without formula or failure"


def test_decoded_codes_equal_the_output_in_evaluation() -> None:
    found = run("layer.decode(codes)")
    assert np.array_equal(found["same"].numpy(), found["z_q"].numpy())
    assert found["codes"].shape == found["z"].shape[:-1]


@pytest.mark.parametrize(
    "options", [{}, {"code_size": 4, "norm": "l2", "cb_norm": "l2"}, {"simvq": True}], ids=str
)
def test_first_of_the_nearest_is_the_code(options: dict[str, Any]) -> None:
    found = run("topk=m", **options)
    assert found["nearest"].shape == (24, 3)
    assert np.array_equal(found["nearest"][:, 0], found["info"].q.numpy().ravel())


def test_without_quantization_vectors_pass_norm_and_projections() -> None:
    plain = run("vq.no_quantization")
    assert np.array_equal(plain["z_q"].numpy(), plain["z"])
    normed = run("vq.no_quantization", norm="l2")
    z = normed["z"].astype(np.float64)
    unit = z / np.linalg.norm(z, axis=-1, keepdims=True)
    np.testing.assert_allclose(normed["z_q"].numpy(), unit, rtol=1e-6, atol=1e-7)

    projected = run("vq.no_quantization", code_size=4, norm="l2")
    state = {name: np.asarray(v, np.float64) for name, v in projected["layer"].state_dict().items()}
    code = z @ state["project_in.weight"].T + state["project_in.bias"]
    code /= np.linalg.norm(code, axis=-1, keepdims=True)
    expected = code @ state["project_out.weight"].T + state["project_out.bias"]
    np.testing.assert_allclose(projected["z_q"].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert projected["info"].loss.item() == 0
    assert projected["info"].q.shape == z.shape[:-1]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", ["plain", "group", "residual"])
def test_loss_is_that_of_its_parts(kind: str, shared: bool) -> None:
    given, weights = names(), {"entropy_weight": 0.1, "orthogonal_weight": 0.2}
    d, k = given["d"], given["k"]
    layer = {
        "plain": lambda: vq.VectorQuant(d, k, **weights),
        "group": lambda: vq.GroupVectorQuant(d, k, groups=4, shared=shared, **weights),
        "residual": lambda: vq.ResidualVectorQuant(d, k, stages=4, shared=shared, **weights),
    }[kind]()
    _, info = layer(given["z"])
    losses = info.stage_losses.numpy().astype(np.float64)
    assert len(losses) == (1 if kind == "plain" or (kind == "group" and shared) else 4)
    total = losses.sum() if kind == "residual" else losses.mean()
    assert info.regularization != 0
    # At most a dozen float32 sums of terms of the size of the losses.
    bound = 12 * np.finfo(np.float32).eps * (losses.sum() + abs(info.regularization))
    assert abs(info.loss.item() - (total + info.regularization)) <= bound


def test_a_batch_that_dropout_shortens_has_losses_of_its_stages_alone() -> None:
    given = names()
    layer = vq.ResidualVectorQuant(given["d"], given["k"], stages=4, quantizer_dropout=1.0, seed=1)
    counts = set()
    for _ in range(12):
        _, info = layer(given["z"])
        used = int((info.q.numpy()[0, 0] >= 0).sum())
        assert info.stage_losses.shape == info.stage_perplexities.shape == (used,)
        counts.add(used)
    assert len(counts) > 1


def test_coarse_reconstruction_has_the_vectors_shape() -> None:
    found = run("quantizer_dropout")
    assert found["info"].q.shape == (4, 6, 4)
    assert found["coarse"].shape == found["z"].shape


def test_found_codes_are_those_of_k_means() -> None:
    found = run("vq.kmeans(")
    assert np.array_equal(found["codes"], found["result"].codes)
    assert found["distances"].sum(dtype=np.float64) == pytest.approx(found["result"].inertia, 1e-5)


@pytest.mark.parametrize(
    "part, codes", [("vq.FSQ(", 1000), ("vq.LFQ(", 256), ("vq.GumbelQuant(", 16)]
)
def test_family_gives_codes_of_the_number_that_it_names(part: str, codes: int) -> None:
    q = run(part)["info"].q.numpy()
    assert q.shape == (4, 6)
    assert 0 <= q.min() <= q.max() < codes


def test_a_codebook_is_given() -> None:
    found = run("assign(centroids)", ema_decay=0.9)
    layer = found["layer"]
    assert np.array_equal(layer.codebook.numpy(), found["centroids"])
    assert np.array_equal(layer.state_dict()["ema_sums"], found["centroids"])


def test_recipes_come_last() -> None:
    assert re.findall(r"^## (.*)", GUIDE, re.MULTILINE)[-1] == "Recipes"


def test_projections_belong_to_the_outer_optimizer_in_every_case() -> None:
    for options in ({}, {"ema_decay": 0.9}, {"simvq": True}):
        layer = vq.VectorQuant(8, 16, code_size=4, **options)
        for _ in range(2):
            trained = {name for name, _ in layer.named_parameters()}
            assert {"project_in.weight", "project_out.weight"} <= trained
            layer.freeze()
        assert {name.split(".")[0] for name, _ in layer.named_parameters()} == {
            "project_in",
            "project_out",
        }


def test_an_unused_ema_code_keeps_its_place_unless_it_is_replaced() -> None:
    z = np.full((50, 8), 3, np.float32)
    for replace_freq in (0, 5):
        layer = vq.VectorQuant(8, 4, ema_decay=0.5, replace_freq=replace_freq, seed=1)
        before = layer.codebook.numpy()
        for _ in range(300):
            used = np.unique(layer(z)[1].q.numpy())
        kept = np.setdiff1d(np.arange(4), used)
        assert len(kept)
        assert np.array_equal(layer.codebook.numpy(), before) is False
        assert np.array_equal(layer.codebook.numpy()[kept], before[kept]) is (replace_freq == 0)
