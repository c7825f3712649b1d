"""What all networks share: the arguments that they were made with."""

from __future__ import annotations

from typing import Any

from ..nn._module import Module


class Network(Module):
    """Keeps its constructor's arguments for `save_pretrained`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self._made_with = arguments

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._made_with)
