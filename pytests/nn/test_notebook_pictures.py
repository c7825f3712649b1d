"""What notebooks show of modules, quantizers and their infos: well-formed, escaped, and right."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn
from vqswift._html import bars, table

Z = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)


def parsed(shown: str) -> ElementTree.Element:
    """The elements; an error where one is not closed."""
    return ElementTree.fromstring(f"<all>{shown.replace('<br>', '<br/>')}</all>")


def cells(shown: str) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in parsed(shown).iter("tr")]


def heights(shown: str) -> list[list[float]]:
    """Of each picture the heights of its bars, the highest 36."""
    paths = [path.attrib["d"] for path in parsed(shown).iter("path")]
    return [[36 - float(y) for y in re.findall(r"V([\d.e-]+)h", path)] for path in paths]


def test_a_network_is_a_table_of_its_layers() -> None:
    shared = nn.Linear(4, 4, bias=False)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(shared, shared))
    shown = model._repr_html_()
    assert cells(shown)[1:] == [
        ["0", "Conv2d(3, 4, 3)", "weight [4, 3, 3, 3], bias [4]", "112"],
        ["1", "ReLU()", "", ""],
        ["2.0", "Linear(4, 4, bias=False)", "weight [4, 4]", "16"],
    ]
    assert "Sequential: 128 parameters<" in shown
    model.freeze()
    assert "128 parameters, 128 of them frozen" in model._repr_html_()


def test_a_layer_alone_and_own_parameters_are_rows() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(np.ones(3, np.float32))
            self.layers = {"<b>&": nn.Linear(3, 2)}

    rows = cells(Scaled()._repr_html_())
    assert rows[1][:1] == [""] and rows[1][2:] == ["scale [3]", "3"]
    assert rows[2][0] == "layers.<b>&" and len(rows) == 3
    assert cells(nn.Linear(3, 2)._repr_html_())[1][1] == "Linear(3, 2)"


def test_long_tables_are_cut() -> None:
    rows = cells(nn.Sequential(*(nn.ReLU() for _ in range(130)))._repr_html_())
    assert len(rows) == 1 + 100 + 1 and rows[-1] == ["and 30 more"]


@pytest.mark.parametrize("name", ["ema_counts", "unused_steps"])
def test_a_quantizer_shows_its_usage(name: str) -> None:
    decay, steps = (0.9, 0) if name == "ema_counts" else (0.0, 100)
    layer = vq.VectorQuant(4, 8, ema_decay=decay, replace_freq=steps, seed=0)
    book = layer.codebook.numpy()
    book[5:] += 100
    layer.codebook.assign(book)
    for _ in range(3):
        _, info = layer(Z)
    (found,) = heights(layer._repr_html_())
    values = np.sort(layer.state_dict()[name])[::-1]
    np.testing.assert_allclose(found, 36 * values / values.max(), atol=0.01)
    told = f"steps since a use: {info.active_codes} of 8 codes at 0"
    if decay:
        shares = values / values.sum()
        told = f"running counts: perplexity {np.exp2(-shares @ np.log2(shares)):.1f} of 8 codes"
    assert told in layer._repr_html_()


def test_quantizers_without_counts_are_tables() -> None:
    for layer in (vq.FSQ([4, 3]), vq.LFQ(4), vq.GumbelQuant(4, 8), vq.VectorQuant(4, 8)):
        assert not heights(layer._repr_html_()) and cells(layer._repr_html_())


def test_codebooks_of_stages_have_a_picture_each() -> None:
    layer = vq.ResidualVectorQuant(4, 8, stages=10, ema_decay=0.9)
    _, info = layer(Z)
    for shown in (layer._repr_html_(), info._repr_html_()):
        assert len(heights(shown)) == 8 and "and 2 more codebooks" in shown


def test_an_info_shows_uses_and_losses() -> None:
    _, info = vq.VectorQuant(4, 8)(Z)
    shown = info._repr_html_()
    rows = dict(cells(shown))
    counts = np.unique(info.q.numpy(), return_counts=True)[1]
    assert rows["codes"] == "[64]" and rows["active codes"] == str(len(counts))
    assert float(rows["perplexity"]) == pytest.approx(info.perplexity, rel=1e-3)
    assert float(rows["loss"]) == pytest.approx(info.loss.item(), rel=1e-3)
    np.testing.assert_allclose(
        heights(shown)[0], 36 * np.sort(counts)[::-1] / counts.max(), atol=0.01
    )
    assert len(shown) < 2000


def test_masked_and_missing_codes_are_no_uses() -> None:
    _, info = vq.VectorQuant(4, 8)(Z, np.arange(64) < 2)
    assert sum(1 for height in heights(info._repr_html_())[0] if height) <= 2
    nothing = vq.VectorQuant(4, 8).eval()(Z[:0])[1]
    assert heights(nothing._repr_html_()) == [[]]


def test_many_bars_are_means_that_keep_their_order() -> None:
    values = np.arange(1000.0)
    (found,) = heights(bars("many", values))
    means = np.array([part.mean() for part in np.array_split(values[::-1], 240)])
    np.testing.assert_allclose(found, 36 * means / means[0], atol=0.01)


def test_words_are_escaped() -> None:
    shown = table("<i>", ["&"], [["<script>alert(1)</script>"]]) + bars('"><script>', np.ones(2))
    assert "<script" not in shown and "&lt;script&gt;" in shown
    assert parsed(shown).find("table/caption/b") is not None
