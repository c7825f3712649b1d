"""Figures 3 and 10: what an update of one code, and of a codebook, does in the plane."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import optim
from ..._tensor import Tensor
from ...nn import Parameter
from ...quantizers import VectorQuant
from .._drawing import axes_of, saved
from .._harness import check, output_setting, setting, written

Points = NDArray[np.float64]
BEGIN, CODE, RATE = (2.0, -1.0), (1.0, 1.0), 0.1
# z_e after 5 steps, from the update rules in exact arithmetic.
AFTER_FIVE = {
    "without quantization": (1.18098, -0.59049),
    "joint": (1.41949, -1.31048),
    "alternated": (1.3899974949, -1.2249045828),
    "synchronized": (1.429249779, -1.303409151),
}


@dataclass(frozen=True)
class Figure3Settings:
    """How long, and where to."""

    steps: int = setting(60, "of SGD", least=5)
    output: Path = output_setting("runs/fig3")


@dataclass(frozen=True)
class Figure10Settings:
    """What is drawn, and where to."""

    seed: int = setting(0, "of both clouds", least=0)
    output: Path = output_setting("runs/fig10")


def figure3(settings: Figure3Settings) -> dict[str, list[list[float]]]:
    """Train one vector on a target at 0 through one code, four ways; draw the paths of both."""
    check("fig3", settings)
    paths = {name: path(name, settings.steps) for name in AFTER_FIVE}
    settings.output.mkdir(parents=True, exist_ok=True)
    told = {}
    print("z_e after 5 steps, and by the rules in exact arithmetic")
    for name, expected in AFTER_FIVE.items():
        z = paths[name][0][5]
        told[name] = [*map(float, z)]
        print(f"  {name:>20}  {z[0]:.6f} {z[1]:.6f}   {expected[0]:.6f} {expected[1]:.6f}")
    figure, panels = axes_of(1, 4, 3.2)
    for panel, (name, (z, code)) in zip(panels.flat, paths.items(), strict=True):
        panel.plot(*z.T, ".-", color="tab:red", linewidth=0.8, markersize=4, label="z_e")
        if name != "without quantization":
            panel.plot(*code.T, ".-", color="tab:blue", linewidth=0.8, markersize=4, label="z_q")
        panel.plot(0, 0, "k*", markersize=9, label="target")
        panel.set(title=name, xlim=(-1.6, 2.2), ylim=(-1.6, 1.6))
    panels.flat[1].legend(frameon=False)
    saved(figure, settings.output / "fig3.png")
    document = {"rate": RATE, "after 5 steps": told, "exact": AFTER_FIVE}
    written(settings.output / "fig3.json", document)
    return {name: [[*row] for row in z] for name, (z, _) in paths.items()}


def path(name: str, steps: int) -> tuple[Points, Points]:
    """z_e and z_q at the start and after each step, [steps + 1, 2] each.

    The task is half the squared length of z_q, and the codebook follows z_e by half the squared
    distance: a layer's loss with beta 1, its mean over 2 elements.
    """
    z = Parameter(np.array([BEGIN], np.float32))
    options: dict[str, Any] = {"beta": 1.0}
    if name == "alternated":
        # The layer's mean over two elements is the rule's half squared distance.
        options["inplace_optimizer"] = lambda codes: optim.SGD(codes, lr=RATE)
    if name == "synchronized":
        options["sync_nu"] = RATE
    layer = VectorQuant(2, 1, **options)
    layer.codebook.assign(np.array([CODE], np.float32))
    parameters = [z] if name == "alternated" else [z, layer.codebook]
    optimizer = optim.SGD(parameters, lr=RATE)
    found = [(z.numpy()[0], layer.codebook.numpy()[0])]
    for _ in range(steps):
        if name == "without quantization":
            loss = z.square().sum() * 0.5
        else:
            z_q, info = layer(z)
            loss = z_q.square().sum() * 0.5
            if name != "alternated":
                loss = loss + info.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append((z.numpy()[0], layer.codebook.numpy()[0]))
    pair = np.array(found, np.float64)
    return pair[:, 0], pair[:, 1]


def figure10(settings: Figure10Settings) -> dict[str, float]:
    """20 updates of a codebook that lies beside its vectors, plain and with an affine map."""
    check("fig10", settings)
    settings.output.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(settings.seed)
    # The caption's covariances are variances; 128 is the number of codes.
    z = random.normal(0, np.sqrt(0.5), (512, 2)).astype(np.float32)
    codes = random.normal(-1, np.sqrt(0.3), (128, 2)).astype(np.float32)
    told: dict[str, float] = {}
    figure, panels = axes_of(1, 3, 3.6)
    _clouds(panels[0], "start", z, codes, codes, np.isin(np.arange(128), _nearest(z, codes)))
    for panel, (name, affine) in zip(panels[1:], (("plain", 0.0), ("affine", 4.0)), strict=True):
        after, moved, used = _updated(z, codes, affine)
        told[f"{name}: share untouched"] = float(1 - moved.mean())
        told[f"{name}: codes used"] = float(used.sum())
        told[f"{name}: mean squared distance"] = float(
            np.square(z[:, None] - after[None], dtype=np.float64).sum(-1).min(1).mean()
        )
        _clouds(panel, name, z, codes, after, used)
    saved(figure, settings.output / "fig10.png")
    for key, value in told.items():
        print(f"  {key:>34}  {value:.3f}")
    written(settings.output / "fig10.json", {"seed": settings.seed} | told)
    return told


def _updated(
    z: NDArray[np.float32], codes: NDArray[np.float32], affine: float
) -> tuple[Points, NDArray[np.bool_], NDArray[np.bool_]]:
    """The codes after 20 steps of SGD on the commitment loss, which moved, and which are used.

    A step moves a used code by `RATE` of the way to its vectors' mean if it has 1/k of them.
    """
    options: dict[str, Any] = {"affine_lr": affine} if affine else {}
    layer = VectorQuant(2, len(codes), beta=1.0, **options)
    layer.codebook.assign(codes)
    parameters = layer.parameters()
    rates = [{"params": [layer.codebook], "lr": RATE * codes.size / 2}]
    others = [parameter for parameter in parameters if parameter is not layer.codebook]
    if others:
        rates.append({"params": others, "lr": RATE})
    optimizer = optim.SGD(rates, lr=RATE)
    for _ in range(20):
        _, info = layer(Tensor(z))
        optimizer.zero_grad()
        info.loss.backward()
        optimizer.step()
    layer.eval()
    after = layer.effective_codebook.numpy().astype(np.float64)
    moved = np.abs(after - codes).max(1) > 1e-6
    used = np.isin(np.arange(len(codes)), layer.encode(Tensor(z)).numpy())
    return after, moved, used


def _nearest(z: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.intp]:
    found: NDArray[np.intp] = np.square(z[:, None] - codes[None]).sum(-1).argmin(1)
    return found


def _clouds(
    panel: Any,
    title: str,
    z: NDArray[np.float32],
    before: NDArray[Any],
    after: NDArray[Any],
    used: NDArray[np.bool_],
) -> None:
    panel.scatter(*z.T, s=5, color="0.75", label="embeddings P")
    panel.scatter(*before.T, s=6, color="tab:cyan", alpha=0.4)
    panel.scatter(*after[~used].T, s=10, color="tab:blue", label="codes C")
    panel.scatter(*after[used].T, s=12, color="tab:orange", label="used codes Q")
    panel.set(title=title, xlim=(-3, 2.6), ylim=(-3, 2.6), aspect="equal")
    if title == "start":
        panel.legend(frameon=False, loc="upper left")
