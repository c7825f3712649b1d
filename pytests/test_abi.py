"""The C interface: header, libraries, shim and stub say the same."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import vqswift
from conftest import ROOT
from vqswift import _core

HEADER = ROOT / "Sources/CVQSwift/include/vqswift.h"
EXTENSION = Path(_core.__file__)

# What a Python program reaches another way, or never needs.
C_ONLY = {
    "vq_tensor_create_borrowed",  # Python copies
    "vq_module_kinds",  # and has a class for each
}


def header_functions() -> set[str]:
    text = re.sub(r"//.*", "", HEADER.read_text())
    return set(re.findall(r"\b(vq_[a-z0-9_]+)\(", text))


def defined_names(library: Path) -> set[str]:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True
    ).stdout
    names = {line.split()[-1].split("@")[0] for line in listing.splitlines()}
    return names - {"__bss_start", "_edata", "_end"}


def needed_libraries(library: Path) -> set[str]:
    listing = subprocess.run(
        ["readelf", "-d", library], capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", listing))


@pytest.fixture(scope="session")
def compiler() -> str:
    found = shutil.which("clang") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler")
    return found


def test_smoke_program_runs_and_releases_everything(
    c_library: Path, compiler: str, tmp_path: Path
) -> None:
    program = tmp_path / "smoke"
    strict = ["-std=c99", "-D_ISOC11_SOURCE", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run(
        [compiler, *strict, f"-I{HEADER.parent}", ROOT / "pytests/c/smoke.c", "-o", program]
        + [f"-L{c_library.parent}", "-lvqswift", "-lm", f"-Wl,-rpath,{c_library.parent}"],
        check=True,
    )
    done = subprocess.run(
        [program, tmp_path / "smoke.safetensors"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_library_exports_exactly_the_header(c_library: Path) -> None:
    assert defined_names(c_library) == header_functions()


@pytest.mark.parametrize("language", ["-xc -std=c99", "-xc -std=c11", "-xc++ -std=c++17"])
def test_header_compiles_alone(compiler: str, language: str, tmp_path: Path) -> None:
    unit = tmp_path / "unit"
    unit.write_text('#include "vqswift.h"\n')
    flags = [*language.split(), "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
    subprocess.run([compiler, f"-I{HEADER.parent}", *flags, unit], check=True)


def test_header_documents_every_section() -> None:
    assert len(header_functions()) > 100
    assert "VQ_CHECKED vq_status" in HEADER.read_text()
    fallible = re.findall(r"^(?:VQ_CHECKED )?vq_status vq_\w+", HEADER.read_text(), re.M)
    assert fallible and all(line.startswith("VQ_CHECKED") for line in fallible)


def test_shim_calls_every_function_of_the_header() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "python/src").glob("*.[ch]"))
    called = set(re.findall(r"\b(vq_[a-z0-9_]+)\b", sources))
    pasted = re.findall(r"\b(vq_\w*?)##(\w+?)(?:##(\w+))?\b", sources)
    uses = re.findall(r"^[A-Z_0-9]+\(([\w, ]+)", sources, re.M)
    arguments = {word for use in uses for word in re.split(r"[, ]+", use)}
    for prefix, _, suffix in pasted:
        called |= {f"{prefix}{argument}{suffix}" for argument in arguments}
    assert header_functions() - called == C_ONLY


def test_extension_exports_its_entry_point_alone() -> None:
    assert defined_names(EXTENSION) == {"PyInit__core"}


def test_extension_needs_only_the_numeric_libraries() -> None:
    allowed = re.compile(
        r"lib(openblas|dnnl|gomp|c|m|stdc\+\+|gcc_s|dl|pthread|rt|util)\.so[.\d]*|ld-linux.*"
    )
    needed = needed_libraries(EXTENSION)
    assert not [name for name in needed if not allowed.fullmatch(name)]
    assert any(name.startswith("libopenblas") for name in needed)


def stub_names() -> set[str]:
    tree = ast.parse((ROOT / "python/vqswift/_core.pyi").read_text())
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def test_stub_lists_exactly_the_extension() -> None:
    public = {name for name in dir(_core) if not name.startswith("__")}
    assert stub_names() == public


def test_every_native_call_is_used() -> None:
    """A function of `_core` that no Python module calls is dead."""
    package = Path(vqswift.__file__).parent
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    unused = {name for name in stub_names() if f"_core.{name}" not in text}
    assert unused <= {
        "OptimizerHandle",
        "GeneratorHandle",
        "live_handles",
        "module_is_training",
    } | {"grad_enabled"}
