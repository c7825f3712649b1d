"""What the reference's lists say of each name: the first paragraph of its docstring, not its first
line."""

from __future__ import annotations

from typing import Any

import griffe


class FirstParagraph(griffe.Extension):
    """Writes the first paragraph of every docstring in one line."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None:
            return
        first, gap, rest = obj.docstring.value.partition("\n\n")
        obj.docstring.value = " ".join(first.split()) + gap + rest
