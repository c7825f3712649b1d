"""Pages of notebooks: what their cells say, do and show."""

from __future__ import annotations

import re
from pathlib import Path

from nbconvert import MarkdownExporter


def page(path: Path) -> dict[str, str | bytes]:
    """The page and its pictures, by the names of their files."""
    text, resources = MarkdownExporter().from_filename(str(path))
    pictures = resources["outputs"]
    renamed = {name: f"{path.stem}-{name}" for name in pictures}
    for name, other in renamed.items():
        text = re.sub(rf"\]\({re.escape(name)}\)", f"]({other})", text)
    note = f"\nThis page is a notebook: [{path.name}]({path.name}).\n"
    heading, _, rest = text.strip("\n").partition("\n")
    files: dict[str, str | bytes] = {renamed[name]: data for name, data in pictures.items()}
    return files | {f"{path.stem}.md": heading + "\n" + note + rest, path.name: path.read_text()}
