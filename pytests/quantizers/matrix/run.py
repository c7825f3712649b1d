"""A few training steps of one case."""

from __future__ import annotations

import numpy as np
import vqswift as vq
from vqswift import Tensor, optim

from .options import FEATURES, Case

SHAPE = (3, 5, FEATURES)


def channels_at(case: Case, z: np.ndarray) -> np.ndarray:
    """z [..., d] with its channels where the case wants them."""
    return np.moveaxis(z, -1, 1) if case.has("dim") else z


def channels_last(case: Case, z: np.ndarray) -> np.ndarray:
    """What `channels_at` gave, undone."""
    return np.moveaxis(z, 1, -1) if case.has("dim") else z


def batch(
    case: Case, seed: int, shape: tuple[int, ...] = SHAPE
) -> tuple[np.ndarray, np.ndarray | None]:
    """Vectors and the mask of the case, NaN where the mask leaves a vector out."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.5, 1.0, shape).astype(np.float32)
    if not case.has("mask"):
        return channels_at(case, z), None
    mask = rng.random(shape[:-1]) < 0.7
    mask[:, 0] = True
    z[~mask] = np.nan
    return channels_at(case, z), mask


class Run:
    """A layer of the case and the optimizer of what it gives to its caller."""

    def __init__(self, case: Case, seed: int = 0) -> None:
        self.case = case
        self.layer = case.make(seed)
        # Held here: a frozen layer names no parameters.
        self.parameters = self.layer.parameters()
        self.optimizer = (
            optim.AdamW(self.parameters, lr=0.02, weight_decay=0.0) if self.parameters else None
        )

    def steps(self, span: range, shape: tuple[int, ...] = SHAPE) -> None:
        for step in span:
            if self.case.has("freeze") and step >= 1:
                self.layer.freeze()
            z, mask = batch(self.case, step, shape)
            z_q, info = self.layer(Tensor(z, requires_grad=True), mask)
            pull = np.random.default_rng(100 + step).normal(size=z.shape) / z[..., 0].size
            ((z_q * pull.astype(np.float32)).sum() + info.loss).backward()
            if self.optimizer is not None:
                self.optimizer.step()
            self.zero_grad()
            if self.case.has("manual ema") and not self.layer.frozen:
                self.layer.update()

    def zero_grad(self) -> None:
        if self.optimizer is not None:
            self.optimizer.zero_grad()

    def restored(self, seed: int = 99) -> Run:
        """A fresh run, of other numbers, that goes on from this one's state."""
        other = Run(self.case, seed)
        other.layer.load_state_dict(self.layer.state_dict(), strict=True)
        if self.optimizer is not None and other.optimizer is not None:
            other.optimizer.load_state_dict(self.optimizer.state_dict())
        pairs = zip(self.layer.inplace_optimizers, other.layer.inplace_optimizers, strict=True)
        for mine, new in pairs:
            new.load_state_dict(mine.state_dict())
        return other


def assert_equal_states(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), name


def states(run: Run) -> dict[str, np.ndarray]:
    """All that a checkpoint of the run holds."""
    layer: vq.VectorQuant | vq.GroupVectorQuant | vq.ResidualVectorQuant = run.layer
    state = {f"layer.{name}": value for name, value in layer.state_dict().items()}
    optimizers = [run.optimizer, *layer.inplace_optimizers]
    for index, optimizer in enumerate(optimizers):
        if optimizer is not None:
            state |= {f"optimizer.{index}.{n}": v for n, v in optimizer.state_dict().items()}
    return state
