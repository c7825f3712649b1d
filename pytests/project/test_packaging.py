"""What a wheel and a source archive hold, and what builds and imports say that lack something."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import vqswift
from conftest import ROOT, building
from vqswift import _core


def run_setup(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "setup.py", "-q", *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    to = ("--bdist-dir", str(folder / "tree"), "--dist-dir", str(folder))
    with building():
        done = run_setup("bdist_wheel", *to)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def package_files() -> set[str]:
    package = ROOT / "python"
    return {
        str(path.relative_to(package))
        for path in (package / "vqswift").rglob("*")
        if path.suffix in (".py", ".pyi", ".typed") or path.name == "py.typed"
    }


def test_a_wheel_holds_the_package_alone(wheel: Path) -> None:
    assert re.fullmatch(r"vqswift-[\d.]+-cp311-abi3-linux_\w+\.whl", wheel.name)
    names = set(zipfile.ZipFile(wheel).namelist())
    information = {name for name in names if re.match(r"vqswift-[\d.]+\.dist-info/", name)}
    assert names - information == package_files() | {"vqswift/_core.abi3.so"}


def test_a_wheel_tells_the_modules_version_and_the_license(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    files = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    metadata = email.message_from_bytes(archive.read(files["METADATA"]))
    assert metadata["Version"] == vqswift.__version__
    assert metadata["License"] == "Apache-2.0"
    assert archive.read(files["LICENSE"]) == (ROOT / "LICENSE").read_bytes()


def test_a_wheel_works_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    product = "(vq.Generator(0).normal((2, 2)) @ [[1.0], [1.0]]).shape"
    program = f"import vqswift as vq; print(vq.__file__, {product})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{tmp_path}/vqswift/__init__.py (2, 1)\n", done.stderr


def test_the_core_runs_with_glibc_of_2021() -> None:
    """The versions of its symbols say for which systems `make wheel` makes a wheel."""
    versions = re.findall(rb"GLIBC_(\d+)\.(\d+)", Path(_core.__file__).read_bytes())
    assert max((int(major), int(minor)) for major, minor in versions) <= (2, 34)


def test_a_source_archive_holds_what_a_build_reads(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    tree = tmp_path / "source"
    shutil.copytree(
        ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(".git", ".build", "build", ".venv")
    )
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(tmp_path)],
        cwd=tree,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    needed = {"Package.swift", "setup.py", "pyproject.toml", "README.md", "LICENSE"} | {
        str(path.relative_to(ROOT))
        for folder in ("Sources", "Tests", "python/src")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    needed |= {f"python/{name}" for name in package_files()}
    assert not needed - names


def tools(folder: Path, *, without: str = "", scripts: dict[str, str] | None = None) -> str:
    """A PATH with the build's tools, some of them left out or replaced by shell scripts."""
    folder.mkdir()
    for tool in ("swift", "swiftc", "clang"):
        target = folder / tool
        if tool in (scripts or {}):
            target.write_text(f"#!/bin/sh\n{(scripts or {})[tool]}\n")
            target.chmod(0o755)
        elif tool != without:
            found = shutil.which(tool)
            assert found
            target.symlink_to(found)
    return str(folder)


def without_header(name: str) -> dict[str, str]:
    """A compiler that does not find the header of that name."""
    return {"clang": f"/bin/grep -q '<{name}>' && exit 1; exit 0"}


@pytest.mark.parametrize(
    ("missing", "scripts", "message"),
    [
        ("swift", {}, r"`swift` is not on the path: install Swift 6\.3 or newer \(https://\S+\)"),
        ("clang", {}, r"`clang` is not on the path: install Swift 6\.3 or newer"),
        ("", {"swift": "echo Swift version 5.10"}, r"`swift` on the path is 5\.10: install Swift"),
        (
            "",
            without_header("cblas.h"),
            r"the header cblas\.h is missing: `apt install libopenblas-dev`",
        ),
        (
            "",
            without_header("Python.h"),
            r"the header Python\.h is missing: `apt install python3-dev`",
        ),
        (
            "",
            without_header("oneapi/dnnl/dnnl.h"),
            r"the header oneapi/dnnl/dnnl\.h is missing: `apt install libdnnl-dev`",
        ),
    ],
)
def test_a_build_says_what_it_lacks(
    tmp_path: Path, missing: str, scripts: dict[str, str], message: str
) -> None:
    path = tools(tmp_path / "bin", without=missing, scripts=scripts)
    done = run_setup(
        *("build_ext", "--build-lib", str(tmp_path), "--build-temp", str(tmp_path)),
        PATH=path,
        VQSWIFT_ONEDNN="1",
    )
    assert done.returncode == 1
    told = done.stderr.strip().splitlines()
    assert len(told) == 1 and re.fullmatch(f"vqswift cannot be built: {message}.*", told[0]), told


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libopenblas.so.0", "libopenblas0"),
        ("libdnnl.so.2", "libdnnl2"),
        ("libgomp.so.1", "libgomp1"),
    ],
)
def test_an_import_names_the_package_of_a_missing_library(
    tmp_path: Path, library: str, package: str
) -> None:
    content = Path(_core.__file__).read_bytes()
    if f"\0{library}\0".encode() not in content:
        pytest.skip(f"built without {library}")
    absent = library[:-1] + "9"
    copy = tmp_path / "vqswift"
    shutil.copytree(Path(vqswift.__file__).parent, copy)
    core = copy / Path(_core.__file__).name
    core.write_bytes(content.replace(f"\0{library}\0".encode(), f"\0{absent}\0".encode()))
    told = import_error(tmp_path)
    assert told == (
        f"ImportError: vqswift needs the system library {absent}, which is missing: "
        f"`apt install {package}` brings it on Debian."
    )


def test_an_import_says_that_the_core_is_not_built(tmp_path: Path) -> None:
    shutil.copytree(
        Path(vqswift.__file__).parent, tmp_path / "vqswift", ignore=shutil.ignore_patterns("*.so")
    )
    assert import_error(tmp_path) == (
        "ImportError: vqswift's native core is not built: run `pip install .` in the source folder."
    )


def import_error(folder: Path) -> str:
    """The last line of an import of the package in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", "import vqswift"],
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]
