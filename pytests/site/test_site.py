"""The site: every document has a page, the reference every public name, and all links hold."""

from __future__ import annotations

import html.parser
import importlib
import inspect
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest
import vqswift as vq
from conftest import ROOT

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")
pytest.importorskip("nbconvert")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    # Warnings end it: the configuration is strict.
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Addresses(html.parser.HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(given["href"])
        if tag in ("script", "img", "iframe", "source", "video", "audio") and "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Addresses]:
    return {path: Addresses(path.read_text()) for path in sorted(site.rglob("*.html"))}


def test_links_hold(site: Path, pages: dict[Path, Addresses]) -> None:
    broken = []
    for page, addresses in pages.items():
        if page.name == "404.html":
            continue
        for address in [*addresses.links, *addresses.loaded]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = page
            if parts.path:
                target = Path(os.path.normpath(page.parent / unquote(parts.path)))
            place = unquote(parts.fragment)
            is_there = target.is_file() and target.is_relative_to(site)
            if is_there and place and target in pages:
                is_there = place in pages[target].places
            if not is_there:
                broken.append(f"{page.relative_to(site)}: {address}")
    assert not broken
    assert sum(len(addresses.links) for addresses in pages.values()) > 1000


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Addresses]) -> None:
    foreign = [
        f"{page.name}: {address}"
        for page, addresses in pages.items()
        for address in addresses.loaded
        if urlsplit(address).netloc
    ]
    styles = [
        path for path in site.rglob("*.css") if re.search(r"url\(\W*http|@import", path.read_text())
    ]
    assert not foreign and not styles


def test_every_document_has_a_page(pages: dict[Path, Addresses], site: Path) -> None:
    names = {page.relative_to(site).as_posix() for page in pages}
    documents = [path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md")]
    documents += [path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.ipynb")]
    assert {path.with_suffix(".html").as_posix() for path in documents} <= names
    assert {"index.html", "results/index.html", "examples/index.html", "CHANGELOG.html"} <= names


def references(site: Path) -> set[str]:
    """The names of the inventory, which mkdocstrings writes for links from other sites."""
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split(" ")[0] for line in zlib.decompress(content).decode().splitlines()}


def functions_of(module: ModuleType) -> list[str]:
    """Of a module without `__all__`: public functions of its package."""
    package = module.__name__.rpartition(".")[0]
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__.startswith(package)
        and not name.startswith("_")
    ]


MODULES = ["autograd", "codec", "data", "distributed", "estimators", "metrics", "models", "nn"]
MODULES += ["nn.functional", "nn.init", "optim", "plots", "quantizers", "recipes", "train", "torch"]
MODULES += ["torch.converters", "torch.estimators", "torch.lucidrains", "torch.vqtorch"]


@pytest.mark.parametrize("module", MODULES)
def test_the_reference_has_every_public_name(site: Path, module: str) -> None:
    if module.startswith("torch"):
        pytest.importorskip("torch")
    found = importlib.import_module(f"vqswift.{module}")
    names = getattr(found, "__all__", None) or functions_of(found)
    submodules = {name.partition(".")[2] for name in MODULES if "." in name}
    wanted = {f"vqswift.{module}.{name}" for name in names if name not in submodules}
    assert not wanted - references(site)


def test_the_reference_has_the_packages_own_names(site: Path) -> None:
    own = set(vq.__all__) - set(vq.quantizers.__all__) - {name.split(".")[0] for name in MODULES}
    assert not {f"vqswift.{name}" for name in own} - references(site)


def test_the_c_page_has_every_function(site: Path) -> None:
    header = (ROOT / "Sources/CVQSwift/include/vqswift.h").read_text()
    functions = set(re.findall(r"\b(vq_[a-z0-9_]+)\(", header))
    page = (site / "docs/reference/c-interface.html").read_text()
    assert len(functions) > 100 and not functions - set(re.findall(r"\bvq_[a-z0-9_]+\b", page))
