"""Our half of the recipes' contest."""

from __future__ import annotations

from typing import Any

import numpy as np
import vqswift as vq
from vqswift.nn import functional

from ._recipes_task import CODES, CONVOLUTIONS, RATE, WIDTH, Evaluate, Outcome, Task, run

# Recipes by name; none is a network without a quantizer.
SETTINGS: dict[str, vq.recipes.Recipe | None] = {
    "no quantizer": None,
    **{name: vq.recipes.get(name) for name in vq.recipes.names()},
}


class Autoencoder(vq.nn.Module):
    """Images `[n, 32, 32, 3]` through 8x8 vectors of 32 elements."""

    def __init__(self, quantizer: Any | None) -> None:
        super().__init__()
        for name, (inputs, outputs) in CONVOLUTIONS.items():
            setattr(self, name, vq.nn.Conv2d(inputs, outputs, 3, padding=1))
        if quantizer is not None:
            self.quantizer = quantizer

    def forward(self, x: vq.Tensor) -> tuple[vq.Tensor, Any | None]:
        """Reconstruction and what the quantizer tells."""
        x = functional.max_pool2d(self.narrow_in(x), 2).gelu()
        x = functional.max_pool2d(self.wide_in(x), 2)
        info = None
        if "quantizer" in dict(self.named_children()):
            x, info = self.quantizer(x)
        x = self.wide_out(functional.upsample_nearest2d(x, 2)).gelu()
        return self.narrow_out(functional.upsample_nearest2d(x, 2)).clamp(-1, 1), info


def train(name: str, task: Task) -> Outcome:
    """Trains the recipe of that name on the task."""
    vq.manual_seed(task.seed)
    recipe = SETTINGS[name]
    quantizer = None if recipe is None else recipe.build(WIDTH, CODES)
    model = Autoencoder(quantizer)
    model.load_state_dict(task.weights(), strict=quantizer is None)
    optimizer = vq.optim.AdamW(model.parameters(), lr=RATE)
    model.train()

    def step(images: np.ndarray) -> float:
        x = vq.Tensor(images)
        reconstruction, info = model(x)
        loss = functional.l1_loss(reconstruction, x)
        if recipe is not None and info is not None:
            loss = loss + recipe.alpha * info.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def finish() -> Evaluate:
        model.eval()

        def evaluate(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            with vq.no_grad():
                reconstruction, info = model(vq.Tensor(images))
            return reconstruction.numpy(), None if info is None else info.q.numpy()

        return evaluate

    return run(task, step, finish)
