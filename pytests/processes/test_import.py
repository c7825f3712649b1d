"""What `import vqswift` loads, and what waits for its first use."""

from __future__ import annotations

import pytest
import vqswift as vq
from conftest import run_python

# Of the package, and of the standard library and extras what NumPy does not load by itself.
LATER = [
    *("vqswift.codec", "vqswift.data", "vqswift.estimators", "vqswift.metrics", "vqswift.models"),
    *("vqswift.plots", "vqswift.recipes", "vqswift.train", "vqswift.experiments"),
    *("concurrent.futures.thread", "hashlib", "html", "json", "logging", "lzma"),
    *("multiprocessing", "pathlib", "urllib.parse", "vqswift._codes"),
    *("PIL", "matplotlib", "rich", "sklearn", "torch"),
]


def test_import_loads_what_training_needs_alone() -> None:
    loaded = run_python(
        "import sys, numpy; before = set(sys.modules); import vqswift;"
        f"print(*sorted((set(sys.modules) - before) & set({LATER})));"
    )
    assert loaded == "\n"


@pytest.mark.parametrize(
    "name", ["codec", "data", "estimators", "metrics", "models", "plots", "recipes", "train"]
)
def test_a_subpackage_loads_at_first_use(name: str) -> None:
    shown = run_python(f"import vqswift as vq; print(vq.{name}.__name__, '{name}' in dir(vq))")
    assert shown.strip() == f"vqswift.{name} True"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'vqswift' has no attribute 'nothing'"):
        _ = vq.nothing  # type: ignore[attr-defined]
