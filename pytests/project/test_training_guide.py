"""docs/training.md runs, and names every optimizer, schedule and initializer."""

from __future__ import annotations

import re

import vqswift as vq
from conftest import ROOT

GUIDE = (ROOT / "docs/training.md").read_text()


def test_the_guide_runs() -> None:
    names = {"vq": vq}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
        exec(block, names)


def test_the_guide_names_what_there_is() -> None:
    told = {name.split(".")[-1] for name in re.findall(r"`([\w.]+)`", GUIDE)}
    bases = {"Optimizer", "Schedule", "JoinedSchedule"}
    clipping = {"clip_grad_norm", "clip_grad_value", "is_clipped"}
    assert set(vq.optim.__all__) - bases - clipping <= told
    assert set(vq.nn.init.__all__) <= told


def test_the_guide_names_what_the_state_holds() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", GUIDE, re.M)
    given = {
        "SGD": {"momentum": 0.9},
        "RMSprop": {"momentum": 0.5, "centered": True},
    }
    kept = {name: set(re.findall(r"`(\w+)`", text)) for name, text in rows}
    kept["AdamW"] = kept["Adam"]
    for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Lion", "Adafactor", "Muon"):
        shapes = [(3, 2)] if name == "Muon" else [(3, 2), (3,)]
        leaves = [vq.Tensor(vq.ones(shape).numpy(), requires_grad=True) for shape in shapes]
        optimizer = getattr(vq.optim, name)(leaves, lr=0.1, **given.get(name, {}))
        for leaf in leaves:
            leaf.grad = vq.ones(leaf.shape)
        optimizer.step()
        found = {key.partition(".")[2] for key in optimizer.state_dict() if "." in key}
        assert found - {"step"} == kept[name], name
