"""The native core, or one sentence about what it lacks."""

import importlib
import os
import re
import resource

# Debian's packages of the shared libraries under the core.
_PACKAGES = {
    "libopenblas": "libopenblas0",
    "libdnnl": "libdnnl2",
    "libgomp": "libgomp1",
    "libstdc++": "libstdc++6",
    "libgcc_s": "libgcc-s1",
}

# Address space in MiB: of the libraries and of the core; of each OpenBLAS thread after the first,
# which waits for ever for its buffer where the system refuses it.
_LIBRARIES = 192
_OPENBLAS_BUFFER = 128


def load_core() -> None:
    """Import `vqswift._core`; ImportError or MemoryError where that cannot be."""
    _require_address_space()
    try:
        importlib.import_module("vqswift._core")
    except ImportError as error:
        raise ImportError(_explanation(error), name=error.name, path=error.path) from error


def _explanation(error: ImportError) -> str:
    missing = re.search(r"((lib[\w+-]+?)\.so[.\d]*): cannot open shared object file", str(error))
    if missing:
        library, stem = missing.groups()
        package = _PACKAGES.get(stem)
        remedy = f"`apt install {package}` brings it on Debian" if package else "install it"
        return f"vqswift needs the system library {library}, which is missing: {remedy}."
    if isinstance(error, ModuleNotFoundError) and error.name == "vqswift._core":
        return "vqswift's native core is not built: run `pip install .` in the source folder."
    return f"vqswift's native core cannot be loaded: {error}"


def _require_address_space() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    import mmap

    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    thread = _OPENBLAS_BUFFER + (8 if stack == resource.RLIM_INFINITY else (stack >> 20) + 1)
    needed = _LIBRARIES + (_openblas_threads() - 1) * thread
    try:
        mmap.mmap(-1, needed << 20).close()
    except (OSError, ValueError):
        raise MemoryError(
            f"vqswift needs {needed} MiB of address space to load, more than its limit of "
            f"{limit >> 20} MiB has left: raise it (`ulimit -v`), or set OPENBLAS_NUM_THREADS=1"
        ) from None


def _openblas_threads() -> int:
    """Those that OpenBLAS starts with."""
    processors = min(len(os.sched_getaffinity(0)), 64)
    for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"):
        digits = re.match(r"\s*(\d+)", os.environ.get(name, ""))
        if digits and int(digits[1]) > 0:
            return min(int(digits[1]), processors)
    return processors
