"""What the classifiers share: two halves, a quantizer between them, torchvision's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._integers import as_layer_input
from .._tensor import Tensor
from ..nn._module import Module
from ..quantizers import QuantizerInfo
from ..quantizers._base import unquantized
from ._network import QuantizedNetwork

_HALVES = ("front.", "back.")


@checked
class Classifier(QuantizedNetwork):
    """`front`, a quantizer of what it gives, and `back`, which gives logits."""

    front: Module
    back: Module

    def forward(self, x: Tensor | npt.ArrayLike) -> tuple[Tensor, QuantizerInfo]:
        """Images -> (logits [n, classes], info); without a quantizer its codes are -1."""
        z: Tensor = self.front(as_layer_input(self._operation, x))
        if self.quantizer is None:
            info = unquantized(z)
        else:
            z, info = self.quantizer(z)
        logits: Tensor = self.back(z)
        return logits, info

    def encode(self, x: Tensor | npt.ArrayLike) -> Tensor:
        """Images -> int32 codes; ValueError without a quantizer."""
        if self.quantizer is None:
            raise ValueError(f"[{self._operation}.encode] the network has no quantizer")
        return self.quantizer.encode(self.front(as_layer_input(self._operation, x)))

    def torchvision_state(self) -> dict[str, np.ndarray]:
        """The state without the quantizer's, by torchvision's names."""
        found = {}
        for name, value in self.state_dict().items():
            for half in _HALVES:
                if name.startswith(half):
                    found[name.removeprefix(half)] = value
        return found

    def load_torchvision_state(self, state: Mapping[str, Any]) -> None:
        """Weights by torchvision's names; the quantizer stays as it is.

        ValueError for names that are missing or unknown, or shapes that do not fit; nothing
        changes then.
        """
        own = self.state_dict()
        halves = {name.partition(".")[2]: name for name in own if name.startswith(_HALVES)}
        if unknown := sorted(state.keys() - halves.keys()):
            raise ValueError(
                f"[{self._operation}.load_torchvision_state] unexpected {unknown}: the network "
                "has no such weights"
            )
        if missing := sorted(halves.keys() - state.keys()):
            raise ValueError(
                f"[{self._operation}.load_torchvision_state] missing {missing}: every name must "
                "be given"
            )
        self.load_state_dict(own | {halves[name]: value for name, value in state.items()})

    @property
    def _operation(self) -> str:
        return type(self).__name__.lower()
