"""What all networks share: the arguments that they were made with."""

from __future__ import annotations

from typing import Any

from ..nn._module import Module
from ..quantizers import Quantizer


class Network(Module):
    """Keeps its constructor's arguments for `save_pretrained`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self._made_with = arguments

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._made_with)


class QuantizedNetwork(Network):
    """Has a quantizer, or none, inside."""

    quantizer: Quantizer | None

    def __init__(self, quantizer: Quantizer | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.quantizer = quantizer

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, the quantizer among them as it is."""
        return {"quantizer": self.quantizer, **super().config}
