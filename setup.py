"""Builds the Swift core and the CPython extension into one `vqswift/_core.abi3.so`."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
SHIM = ROOT / "python/src"
CALLS = ROOT / "build/shim/calls.c"
ONEDNN_HEADER = Path("/usr/include/oneapi/dnnl/dnnl.h")
SWIFT = (6, 3)


def uses_onednn() -> bool:
    """The manifest's rule: `VQSWIFT_ONEDNN=0` leaves oneDNN out, else its header decides."""
    choice = os.environ.get("VQSWIFT_ONEDNN")
    return choice != "0" if choice else ONEDNN_HEADER.exists()


def obstacle(includes: list[str]) -> str | None:
    """The first thing that a build lacks, and what brings it."""
    for tool in ("swift", "swiftc", "clang"):
        if shutil.which(tool) is None:
            return (
                f"`{tool}` is not on the path: install Swift {'.'.join(map(str, SWIFT))} or newer "
                "(https://www.swift.org/install) and put its usr/bin on PATH"
            )
    told = subprocess.run(["swift", "--version"], capture_output=True, text=True)
    version = re.search(r"Swift version (\d+)\.(\d+)", told.stdout + told.stderr)
    if version is None or tuple(map(int, version.groups())) < SWIFT:
        found = ".".join(version.groups()) if version else "of unknown version"
        return (
            f"`swift` on the path is {found}: install Swift {'.'.join(map(str, SWIFT))} or newer "
            "(https://www.swift.org/install)"
        )
    headers = {"cblas.h": "libopenblas-dev", "Python.h": "python3-dev"}
    if uses_onednn():
        headers["oneapi/dnnl/dnnl.h"] = "libdnnl-dev"
    for header, package in headers.items():
        command = ["clang", *includes, "-fsyntax-only", "-x", "c", "-"]
        program = f"#include <{header}>\n"
        if subprocess.run(command, input=program, text=True, capture_output=True).returncode:
            return f"the header {header} is missing: `apt install {package}` brings it on Debian"
    return None


def write_bindings() -> None:
    """The extension's calls and the package's stub, both from vqswift.h."""
    sys.path.insert(0, str(SHIM))
    import bindings

    bindings.write(CALLS, ROOT / "python/vqswift/_core.pyi")


class BuildCore(build_ext):
    """swift build for the core, clang for the shim, swiftc for the link."""

    def build_extension(self, ext: Extension) -> None:
        includes = [f"-I{sysconfig.get_path('include')}", f"-I{ROOT / 'Sources/CVQSwift/include'}"]
        includes.append(f"-I{SHIM}")
        if missing := obstacle(includes):
            sys.exit(f"vqswift cannot be built: {missing}.")
        # SwiftPM obeys CC and CXX, and gcc does not understand its flags.
        environment = {k: v for k, v in os.environ.items() if k not in ("CC", "CXX")}
        scratch = ROOT / ("build/swift" if uses_onednn() else "build/swift-plain")
        build = ["swift", "build", "-c", "release", "--product", "VQSwiftC"]
        build += ["--package-path", str(ROOT), "--scratch-path", str(scratch)]
        library = scratch / "release" / "libVQSwiftC.a"
        # An archive that exists would keep the objects of files that are gone.
        library.unlink(missing_ok=True)
        self.run_tool(build, environment)

        target = Path(self.get_ext_fullpath(ext.name))
        objects = Path(self.build_temp)
        for folder in (target.parent, objects):
            folder.mkdir(parents=True, exist_ok=True)
        compiled = []
        for source in ext.sources:
            output = objects / (Path(source).stem + ".o")
            flags = [
                "-std=c11",
                "-O2",
                "-fPIC",
                "-fvisibility=hidden",
                "-Wall",
                "-Wextra",
                "-Werror",
            ]
            flags += ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]
            self.run_tool(
                ["clang", *flags, *includes, "-c", str(ROOT / source), "-o", str(output)],
                environment,
            )
            compiled.append(str(output))

        exports = objects / "exports.map"
        exports.write_text("{ global: PyInit__core; local: *; };\n")
        link = ["swiftc", "-emit-library", "-static-stdlib", *compiled, str(library)]
        link += ["-o", str(target), "-Xlinker", f"--version-script={exports}", "-Xlinker", "-S"]
        link += ["-lopenblas", "-lgomp"] + (["-ldnnl"] if uses_onednn() else [])
        self.run_tool(link, environment)

    def run_tool(self, command: list[str], environment: dict[str, str]) -> None:
        self.announce(" ".join(command), level=2)
        subprocess.run(command, check=True, env=environment)

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".abi3.so"


write_bindings()
setup(
    license="Apache-2.0",
    ext_modules=[
        Extension(
            "vqswift._core",
            sorted(str(path.relative_to(ROOT)) for path in [*SHIM.glob("*.c"), CALLS]),
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": BuildCore},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
