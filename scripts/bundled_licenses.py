"""Writes the licenses of the libraries in an unpacked wheel beside the package's own.

    python scripts/bundled_licenses.py build/wheel/vqswift-0.1.0

A library comes from a Debian package, whose copyright file is taken with the texts that it refers
to. The runtime of Swift is part of the core; its license is that of the toolchain.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

COMMON = Path("/usr/share/common-licenses")


def main() -> None:
    (tree,) = map(Path, sys.argv[1:])
    (information,) = tree.glob("*.dist-info")
    libraries = sorted((tree / "vqswift.libs").iterdir())
    if not libraries:
        sys.exit(f"bundled_licenses: {tree} bundles no library")
    target = information / "licenses"
    target.mkdir(exist_ok=True)
    packages = {library.name: package_of(original(library.name)) for library in libraries}
    for package in sorted(set(packages.values())):
        copy_of_package(package, target / package)
    swift = swift_license()
    (target / "swift").mkdir(exist_ok=True)
    shutil.copyfile(swift, target / "swift" / swift.name)
    (target / "README.txt").write_text(overview(packages))
    print(f"{len(set(packages.values())) + 1} licenses of what the wheel brings")


def original(bundled: str) -> str:
    """The file's name in the system: "libgomp-8c1d2f3a.so.1.0.0" is libgomp.so.1.0.0."""
    return re.sub(r"-[0-9a-f]{8}(?=\.)", "", bundled)


def package_of(library: str) -> str:
    """The Debian package that brought a library of the loader's cache."""
    cache = subprocess.run(["/sbin/ldconfig", "-p"], check=True, capture_output=True, text=True)
    known = {
        Path(path).resolve() for path in re.findall(r"x86-64.*\) => (.*)$", cache.stdout, re.M)
    }
    for path in sorted(known):
        if path.name != library:
            continue
        told = subprocess.run(["dpkg", "-S", str(path)], capture_output=True, text=True)
        if told.returncode == 0:
            return told.stdout.partition(":")[0]
    sys.exit(f"bundled_licenses: no Debian package brought {library}")


def copy_of_package(package: str, target: Path) -> None:
    """The package's copyright file and the common licenses that it names."""
    target.mkdir(exist_ok=True)
    common = target.parent / COMMON.name
    common.mkdir(exist_ok=True)
    source = Path("/usr/share/doc") / package / "copyright"
    text = source.read_text(encoding="utf-8")
    (target / "copyright").write_text(text, encoding="utf-8")
    for name in sorted(set(re.findall(rf"{COMMON}/([\w.+-]*\w)", text))):
        shutil.copyfile(COMMON / name, common / name)


def swift_license() -> Path:
    """The license of the toolchain whose runtime is linked."""
    swift = shutil.which("swift")
    if swift is None:
        sys.exit("bundled_licenses: `swift` is not on the path")
    return Path(swift).resolve().parents[1] / "share/swift/LICENSE.txt"


def overview(packages: dict[str, str]) -> str:
    """Which file has the license of which library."""
    rows = [f"  {library}: {package}/copyright" for library, package in packages.items()]
    lines = [
        "vqswift is under the license of the file LICENSE. This wheel brings libraries of Debian,",
        "with other names and search paths and otherwise unchanged:",
        "",
        *rows,
        "",
        f"The texts that these refer to are in {COMMON.name}.",
        "The runtime of Swift is part of the core: swift/LICENSE.txt",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
