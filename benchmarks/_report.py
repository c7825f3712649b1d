"""The table of `benchmarks/README.md`, made of the JSON files that the benchmarks left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ._verdict import HEADER, from_json

START, END = "<!-- table -->", "<!-- end of table -->"


def documents(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the folder has of the named benchmarks, without smoke runs and files of other forms."""
    paths = {name: folder / f"{name}.json" for name in names}
    found = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }
    return {name: document for name, document in found.items() if document.get("quick") is False}


def report(
    found: Mapping[str, dict[str, Any]], versions: Mapping[str, str], missing: Sequence[str] = ()
) -> str:
    """The machine, the versions, one line for every bar, and which benchmarks are missing.

    ValueError when nothing was found.
    """
    if not found:
        raise ValueError("no benchmark has been run")
    machines = {(d["machine"]["cpu"], d["machine"]["cpus"]) for d in found.values()}
    dates = sorted({d["date"] for d in found.values()})
    lines = ["; ".join(f"{cpu}, {cpus} CPUs" for cpu, cpus in sorted(machines)) + "."]
    lines.append(f"Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}.")
    lines.append("; ".join(f"{name} {version}" for name, version in versions.items()) + ".")
    rows = [row.cells() for d in found.values() for row in from_json(d.get("rows", []))]
    lines += ["", *markdown(HEADER, rows)]
    if missing:
        lines += ["", f"Not measured: {', '.join(missing)}."]
    return "\n".join(lines)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    rule = ["---"] * len(header)
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def refreshed(text: str, table: str) -> str:
    """The text with what stands between the markers replaced; ValueError without them."""
    between = re.compile(f"({re.escape(START)}\n).*?({re.escape(END)})", re.DOTALL)
    if len(between.findall(text)) != 1:
        raise ValueError(f"the text must have one {START} and one {END} after it")
    return between.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


def publish(
    found: Mapping[str, dict[str, Any]],
    versions: Mapping[str, str],
    readme: Path,
    results: Path,
    missing: Sequence[str] = (),
) -> None:
    """Refreshes the README's table and keeps the documents that it came from."""
    text = refreshed(readme.read_text(encoding="utf-8"), report(found, versions, missing))
    results.mkdir(parents=True, exist_ok=True)
    for name, document in found.items():
        path = results / f"{name}.json"
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    readme.write_text(text, encoding="utf-8")
