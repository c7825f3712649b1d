"""A page of the reference for each public module of the package."""

from __future__ import annotations

import ast
from pathlib import Path

# Commands, with a guide of their own.
NOT_PUBLIC = {"experiments"}


def pages(package: Path) -> dict[str, str]:
    """The text of each page by its module: "vqswift.nn"."""
    return {name: page(name, path) for name, path in modules(package).items()}


def modules(package: Path) -> dict[str, Path]:
    """The public modules and their files: no part of their name begins with an underscore."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not any(part.startswith("_") for part in parts) and not NOT_PUBLIC & set(parts):
            found[".".join(parts)] = path
    return found


def page(name: str, path: Path) -> str:
    """Heading and directive, with the module's names but those of modules, which have pages."""
    submodules = {entry.stem for entry in path.parent.iterdir()}
    own = ", ".join(each for each in listed(path) if each not in submodules)
    return f"# {name}\n\n::: {name}\n    options:\n      members: [{own}]\n"


def listed(path: Path) -> list[str]:
    """The names in the literal `__all__` of a module; without one what it defines, or imports
    `as` itself."""
    body = ast.parse(path.read_text()).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    names = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    for node in body:
        if isinstance(node, ast.ImportFrom):
            names += [alias.name for alias in node.names if alias.asname == alias.name]
    return [name for name in names if not name.startswith("_")]
