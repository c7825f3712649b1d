"""Runs the benchmarks, refreshes the table in `benchmarks/README.md`, keeps the measurements.

    python -m benchmarks.all [--only NAME ...] [--quick] [--peer-python PYTHON]

What is not named by `--only` is taken from an earlier run; `--only` alone runs nothing and
makes the table anew. The JSON files that the table is made of are copied to results/benchmarks. A
smoke run (`--quick`) changes neither.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from ._contest import ROOT, clean_environment
from ._report import documents, publish
from ._results import RESULTS

COMMITTED = ROOT / "results/benchmarks"
# Arguments beside the common ones.
BENCHMARKS: dict[str, list[str]] = {
    "nearest_code": [],
    "nearest_code_far": ["--data", "far", "--rounds", "2"],
    "kmeans": [],
    "train_step": ["--busy"],
    "quantizer_step": [],
    "import_time": [],
    "growth": [],
    "matmul": [],
    "quantizer_memory": [],
}
MODULES = {"nearest_code_far": "nearest_code"}
PEERS = ("numpy", "torch", "faiss-cpu", "scikit-learn", "vector-quantize-pytorch")
OUR_VERSIONS = """
import json, platform
import vqswift
found = {"vqswift": vqswift.__version__, "Python": platform.python_version()}
print(json.dumps(found | {"with": vqswift.libraries()}))
"""
PEER_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
try:
    import faiss, threadpoolctl
    for library in threadpoolctl.threadpool_info():
        if library["internal_api"] == "openblas" and "faiss" in library["filepath"]:
            found["faiss' OpenBLAS"] = library["version"]
except ImportError:
    pass
print(json.dumps(found))
"""


def main() -> None:
    """Runs them one after another; ends with an error when one did."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, help="run these, keep the others")
    parser.add_argument("--quick", action="store_true", help="a smoke run: small and short")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with the peers")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    options = parser.parse_args()
    failed = []
    for name in BENCHMARKS if options.only is None else options.only:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{MODULES.get(name, name)}", *BENCHMARKS[name]]
        command += ["--peer-python", options.peer_python, "--results", str(options.results)]
        if options.quick:
            command.append("--quick")
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    if not options.quick:
        found = documents(options.results, BENCHMARKS)
        missing = [name for name in BENCHMARKS if name not in found]
        if not found:
            sys.exit("all: no benchmark has been run")
        made = versions(options.peer_python)
        publish(found, made, ROOT / "benchmarks/README.md", COMMITTED, missing)
        print(f"table refreshed{'; not measured: ' + ', '.join(missing) if missing else ''}")
    if failed:
        sys.exit(f"all: failed: {', '.join(failed)}")


def versions(peer_python: str) -> dict[str, str]:
    """Of vqswift, Python, the libraries under the core, and the peers that are installed."""
    found: dict[str, str] = {}
    for command in (
        [sys.executable, "-c", OUR_VERSIONS],
        [peer_python, "-c", PEER_VERSIONS, *PEERS],
    ):
        done = subprocess.run(command, env=clean_environment({}), capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"all: {done.stderr.strip().splitlines()[-1]}")
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
