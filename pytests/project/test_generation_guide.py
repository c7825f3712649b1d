"""docs/generation.md runs, and names what there is."""

from __future__ import annotations

import inspect
import re

import vqswift as vq
from conftest import ROOT

GUIDE = (ROOT / "docs/generation.md").read_text()


def test_the_guide_runs() -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
        exec(block, names)
    assert isinstance(names["edited"], type(names["new_images"]))


def test_the_guide_names_what_there_is() -> None:
    told = re.findall(r"vq\.(models|train|metrics|optim|data)\.(\w+)", GUIDE)
    assert all(hasattr(getattr(vq, module), name) for module, name in told)
    wanted = {"VQGAN", "MaskGIT", "PatchDiscriminator", "generate", "halton_order"}
    wanted |= {"MaskedPrediction", "AdversarialLoss", "PerceptualLoss", "adaptive_weight"}
    assert wanted <= {name for _, name in told}


def test_the_guide_names_every_option_of_sampling() -> None:
    options = set(inspect.signature(vq.models.generate).parameters)
    told = {name for name in re.findall(r"`(\w+)=?[^`]*`", GUIDE)}
    assert options - {"model", "codes"} <= told
