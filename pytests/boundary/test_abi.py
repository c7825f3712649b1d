"""The C interface: header, libraries, shim and stub say the same."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import vqswift as vq
from conftest import ROOT
from vqswift import _core

sys.path.insert(0, str(ROOT / "python/src"))
import bindings  # noqa: E402

HEADER = ROOT / "Sources/CVQSwift/include/vqswift.h"
EXTENSION = Path(_core.__file__)


def header_functions() -> set[str]:
    text = re.sub(r"//.*", "", HEADER.read_text())
    return set(re.findall(r"\b(vq_[a-z0-9_]+)\(", text))


def defined_names(library: Path) -> set[str]:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", "--extern-only", library],
        capture_output=True,
        text=True,
        check=True,
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
        [
            compiler,
            *strict,
            f"-I{HEADER.parent}",
            ROOT / "pytests/boundary/c/smoke.c",
            "-o",
            program,
        ]
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


def test_extension_calls_what_it_does_not_leave_to_c() -> None:
    text, _ = bindings.generated()
    text += "".join(path.read_text() for path in (ROOT / "python/src").glob("*.c"))
    called = set(re.findall(r"\b(vq_[a-z0-9_]+)\b", text))
    assert all(bindings.C_ONLY.fullmatch(name) for name in header_functions() - called)
    assert bindings.BY_HAND.keys() <= header_functions()


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


TENSOR = vq.Tensor([[1.0]])
TAKEN = {
    "TensorHandle": TENSOR._handle,
    "ModuleHandle": vq.nn.Identity()._handle,
    "GeneratorHandle": vq.Generator(1)._handle,
    "OptimizerHandle": _core.optimizer_create("sgd", {}),
    "EstimatorHandle": _core.estimator_create("ste", {}, 1, 1.0),
    "int": 1,
    "float": 1.0,
    "bool": True,
    "str": "linear",
    "str | bytes": "/nonexistent/file",
    "tuple[int, int]": (1, 1),
    "Mapping[str, object]": {},
}


class Nothing:
    """What no call takes."""

    def __bool__(self) -> bool:
        raise TypeError


def test_a_wrong_argument_is_named() -> None:
    _, stub = bindings.generated()
    tried = 0
    for node in ast.parse(stub).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        if node.name == "tensor_create":  # reads the element type first
            continue
        before: list[object] = []
        for argument in node.args.posonlyargs:
            kind = ast.unparse(argument.annotation) if argument.annotation else ""
            call = getattr(_core, node.name)
            values = [*before, *[Nothing()] * (len(node.args.posonlyargs) - len(before))]
            with pytest.raises(TypeError) as caught:
                call(*values)
            expected = (
                "expected str" if argument.arg == "path" else f"] {argument.arg} has type Nothing"
            )
            assert expected in str(caught.value), (node.name, argument.arg)
            tried += 1
            if kind == "np.ndarray":  # of an element type and a size that the stub does not tell
                break
            before.append(TAKEN.get(kind, () if kind.startswith("Sequence") else None))
    assert tried > 250


def test_every_native_call_is_used() -> None:
    """A function of `_core` that no Python module calls is dead."""
    package = Path(vq.__file__).parent
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    unused = {name for name in stub_names() if f"_core.{name}" not in text}
    assert unused <= {
        "OptimizerHandle",
        "GeneratorHandle",
        "EstimatorHandle",
        "live_handles",
        "module_is_training",
    } | {"grad_enabled"}
