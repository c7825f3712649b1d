"""The documents about the project: what they name exists, and what they must name they name."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT
from vqswift import __main__ as command

ARCHITECTURE, ENVIRONMENT = ROOT / "docs/architecture.md", ROOT / "docs/environment.md"
RESULTS = ROOT / "results/README.md"
DOCUMENTS = [
    ARCHITECTURE,
    ROOT / "docs/experiments.md",
    ROOT / "docs/generation.md",
    ROOT / "docs/distributed.md",
    ROOT / "docs/extending.md",
    ROOT / "docs/files-and-codes.md",
    ROOT / "docs/training.md",
    ROOT / "docs/data.md",
    ROOT / "docs/swift.md",
    ROOT / "docs/how-to/install.md",
    ROOT / "docs/how-to/same-bits.md",
    *sorted((ROOT / "docs/tutorials").glob("*.md")),
    ENVIRONMENT,
    RESULTS,
    ROOT / "examples/README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "README.md",
]
TOP = r"(?:Sources|Tests|python|pytests|docs|results|benchmarks|scripts|torture|examples)"
# Where variables are read; documents only tell of them.
READERS = ("Sources", "Tests", "python", "pytests", "benchmarks", "scripts", "torture", "examples")


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def named_paths(document: Path) -> set[Path]:
    """Files and folders that are linked, or that stand between backticks."""
    text = document.read_text()
    links = re.findall(r"\]\(([^)#\s]+)\)", text)
    found = {document.parent / link for link in links if "://" not in link}
    kept = rf"{TOP}(/[\w.-]+)+|[\w-]+\.(py|md|swift)"
    found |= {ROOT / span for span in spans(text) if re.fullmatch(kept, span)}
    return found - {ROOT / "benchmarks/results"}  # what benchmarks leave


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(document: Path) -> None:
    paths = named_paths(document)
    assert paths
    assert not [str(path) for path in paths if not path.exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_of_a_document_exist(document: Path) -> None:
    targets = {span.split()[1] for span in spans(document.read_text()) if span.startswith("make ")}
    for target in targets - {"-s"}:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_architecture_knows_the_targets() -> None:
    names = {name for span in spans(ARCHITECTURE.read_text()) for name in re.findall(r"\w+", span)}
    targets = {folder.name for folder in (ROOT / "Sources").iterdir() if folder.is_dir()}
    assert targets <= names
    package = (ROOT / "Package.swift").read_text()
    assert all(f'"{target}"' in package for target in targets)


def sources() -> str:
    """All that is built or run, as one text."""
    files = [ROOT / name for name in ("Makefile", "Package.swift", "setup.py")]
    for folder in READERS:
        files += [
            path
            for path in (ROOT / folder).rglob("*")
            if path.is_file()
            and path.suffix not in (".md", ".so", ".pyc", ".png", ".json")
            and "results" not in path.relative_to(ROOT).parts
            and ".build" not in path.parts
        ]
    return "\n".join(path.read_text(errors="replace") for path in files)


def test_every_variable_is_described() -> None:
    text = sources()
    own = r"\bVQSWIFT_[A-Z]\w*"
    described = set(spans(ENVIRONMENT.read_text()))
    assert set(re.findall(own, text)) == {name for name in described if re.fullmatch(own, name)}
    read = re.findall(
        r"""(?:getenv\(|environ\.get\(|environ\.setdefault\(|environment\[|environ\[)"([A-Z_]+)""",
        text,
    )
    assert "VQSWIFT_INSTRUCTIONS" in read and "TMPDIR" in read
    assert set(read) <= described


def rows() -> dict[str, str]:
    """The command of each file of the results, by the file's path below them."""
    found = {}
    for line in RESULTS.read_text().splitlines():
        cells = re.fullmatch(r"\| (\[.*) \| (.*) \|", line)
        if cells is None:
            continue
        for path in re.findall(r"\]\(([^)]+)\)", cells[1]):
            assert path not in found, f"{path} stands twice"
            found[path] = spans(cells[2])[0]
    return found


def test_every_result_has_its_command() -> None:
    kept = {
        str(path.relative_to(RESULTS.parent))
        for path in RESULTS.parent.rglob("*")
        if path.is_file() and path != RESULTS
    }
    assert set(rows()) == kept


@pytest.mark.parametrize(
    "line", sorted({c for c in rows().values() if c.startswith("python -m vqswift ")})
)
def test_command_of_the_package_exists(line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main([*shlex.split(line)[3:], "--help"])
    assert caught.value.code == 0


def test_modules_of_the_commands_exist() -> None:
    modules = {
        words[2] for words in map(shlex.split, rows().values()) if words[:2] == ["python", "-m"]
    }
    modules.remove("vqswift")
    assert modules and all((ROOT / f"{name.replace('.', '/')}.py").is_file() for name in modules)


def test_commands_are_those_of_the_records() -> None:
    told = 0
    for path, line in rows().items():
        if not path.endswith(".json"):
            continue
        record = json.loads((RESULTS.parent / path).read_text())
        if "command" in record:
            assert line == record["command"], path
            told += 1
        if "trial" in record:
            assert shlex.split(line)[-2:] == ["--trials", record["trial"]], path
            told += 1
    assert told == 25 + 2 + 15  # benchmarks, demonstrations, trials


def test_hooks_are_the_tools_of_lint() -> None:
    entries = re.findall(r"entry: (.*)", (ROOT / ".pre-commit-config.yaml").read_text())
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    lint = lint.replace("$(PYTHON)", ".venv/bin/python").replace("$(VENV)", ".venv")
    assert len(entries) == 5
    assert not [entry for entry in entries if entry not in lint]


def test_no_two_files_of_the_core_have_one_name() -> None:
    """The object files of all targets stand in one archive."""
    counted = Counter(path.name for path in (ROOT / "Sources").rglob("*.swift"))
    assert not [name for name, count in counted.items() if count > 1]


def test_no_file_of_the_package_comes_in_through_its_front_door() -> None:
    for path in (ROOT / "python/vqswift").rglob("*.py"):
        assert not re.search(r"^\s*(?:import|from) vqswift\b", path.read_text(), re.M), path


def test_comments_are_as_narrow_as_code() -> None:
    """Formatters break code at 100 columns, but no comment."""
    wide = []
    for folder in ("Sources", "Tests", "examples", "python", "torture"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".swift", ".c", ".h") and ".build" not in path.parts:
                lines = path.read_text().splitlines()
                wide += [
                    f"{path}:{number}"
                    for number, line in enumerate(lines, 1)
                    if len(line) > 100 and line.lstrip().startswith("//")
                ]
    assert not wide
