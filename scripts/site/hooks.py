"""What `mkdocs build` calls: which files make the site, and the pages that are written by it.

The site has the repository's own layout, so that relative links hold in both.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import c_interface
import notebooks
import reference

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).resolve().parents[2]
# Beside the pages: what they show, and what they link to.
SHOWN = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "benchmarks/README.md")
SHOWN += ("torture/README.md", "examples/**/*", "results/**/*", "docs/**/*")
LEFT_OUT = (".build", "__pycache__", ".ipynb_checkpoints", ".swiftpm")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files, the repository's documents, and the pages that are written here."""
    kept = [file for file in files if file.src_dir != config.docs_dir]
    for path in shown():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix != ".ipynb":
            kept.append(File.generated(config, name, abs_src_path=str(path)))
    for name, content in written().items():
        kept.append(File.generated(config, name, content=content))
    return Files(kept)


def shown() -> list[Path]:
    """The files of the repository that the site has."""
    found = {path for pattern in SHOWN for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in found if not set(LEFT_OUT) & set(path.parts))


def written() -> dict[str, str | bytes]:
    """Pages that no file has, by their address: the reference, and the notebooks."""
    pages: dict[str, str | bytes] = {}
    for name, text in reference.pages(ROOT / "python/vqswift").items():
        pages[f"docs/reference/{name}.md"] = text
    header = ROOT / "Sources/CVQSwift/include/vqswift.h"
    pages["docs/reference/c-interface.md"] = c_interface.page(header.read_text())
    for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        for name, content in notebooks.page(path).items():
            pages[f"docs/notebooks/{name}"] = content
    return pages
