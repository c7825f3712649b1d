"""A distance of images in the features of a network, for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._integers import as_layer_input
from .._tensor import Tensor
from ..metrics._perceptual import existing, libraries
from ..nn import Conv2d, MaxPool2d, Module, ReLU, Sequential

# Convolutions of AlexNet, by their places in torchvision's `features`: inputs, outputs, kernel,
# stride, padding.
_CONVOLUTIONS = {
    0: (3, 64, 11, 4, 2),
    3: (64, 192, 5, 1, 2),
    6: (192, 384, 3, 1, 1),
    8: (384, 256, 3, 1, 1),
    10: (256, 256, 3, 1, 1),
}
_POOLED = (3, 6)  # those behind a pool
_SMALLEST = 31
_SHIFT = np.array([-0.030, -0.088, -0.188])
_SCALE = np.array([0.458, 0.448, 0.450])


@checked
class PerceptualLoss(Module):
    """LPIPS (Zhang et al., 2018), v0.1 of AlexNet, with gradients; 0 for equal images.

    Images a and b [n, h, w, 3] in [0, 1] -> the mean over n of sum_l mean_hw sum_c w_lc
    (a_l - b_l)^2, a_l [h', w', c] AlexNet's l-th features, each place divided by its length. The
    weights are fixed. Needs `vqswift[metrics]`, to read them; the package `lpips` brings w.
    `metrics.lpips` measures the same.

    Args:
        weights: torch checkpoint of torchvision's "alexnet", as `scripts/lpips-weights` writes it.
            Nothing is downloaded.
    """

    def __init__(self, weights: str | Path) -> None:
        super().__init__()
        features, heads = _read(weights)
        stages = []
        for place, sizes in _CONVOLUTIONS.items():
            layer = Conv2d(*sizes)
            layer.load_state_dict(features[place])
            pool = [MaxPool2d(3, 2)] if place in _POOLED else []
            stages.append(Sequential(*pool, layer, ReLU()))
        self.stages = stages
        for index, head in enumerate(heads):
            self.register_buffer(f"head{index}", Tensor(head))
        self.freeze()

    def forward(self, a: Tensor | npt.ArrayLike, b: Tensor | npt.ArrayLike) -> Tensor:
        """The distance of two sets of images of one shape."""
        images = [as_layer_input("perceptual_loss", x) for x in (a, b)]
        shapes = " and ".join(str([*x.shape]) for x in images)
        sizes = images[0].shape
        if images[1].shape != sizes or len(sizes) != 4 or sizes[3] != 3 or not sizes[0]:
            raise ValueError(f"[perceptual_loss] shapes {shapes}: [n, h, w, 3] twice is required")
        if min(sizes[1:3]) < _SMALLEST:
            raise ValueError(
                f"[perceptual_loss] shapes {shapes}: sides of at least {_SMALLEST} are required"
            )
        x, y = ((image * 2 - 1 - _SHIFT) / _SCALE for image in images)
        total: Any = 0.0
        for index, stage in enumerate(self.stages):
            x, y = stage(x), stage(y)
            difference = (_unit(x) - _unit(y)).square()
            head: Tensor = getattr(self, f"head{index}")
            total = total + (difference @ head).mean()
        loss: Tensor = total
        return loss


def _unit(x: Tensor) -> Tensor:
    """Each place divided by its length, 0 where that is 0."""
    length = x.square().sum(-1, keepdims=True).clamp(1e-20).sqrt()
    return x / (length + 1e-10)


def _read(weights: str | Path) -> tuple[dict[int, dict[str, np.ndarray]], list[np.ndarray]]:
    """Weight and bias of each convolution by its place, and the heads [c]."""
    path = existing("perceptual_loss", weights)
    torch, library = libraries("perceptual_loss", "torch", "lpips")
    own = Path(library.__file__).parent / "weights/v0.1/alex.pth"
    state, linear = (torch.load(p, map_location="cpu", weights_only=True) for p in (path, own))
    features = {}
    for place, (inputs, outputs, kernel, *_) in _CONVOLUTIONS.items():
        shapes = {"weight": (outputs, inputs, kernel, kernel), "bias": (outputs,)}
        for name, shape in shapes.items():
            key = f"features.{place}.{name}"
            if key not in state or tuple(state[key].shape) != shape:
                raise ValueError(
                    f"[perceptual_loss] {weights}: {key} is missing or of another shape: "
                    "torchvision's checkpoint of alexnet is required"
                )
        features[place] = {name: state[f"features.{place}.{name}"].numpy() for name in shapes}
    heads = [linear[f"lin{i}.model.1.weight"].numpy().ravel() for i in range(len(_CONVOLUTIONS))]
    return features, heads
