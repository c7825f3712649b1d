"""The contestant's side of `_contest`."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Measure = Callable[[], Mapping[str, list[float]]]
# From a case to the facts about it and to what measures its ways once.
Prepare = Callable[[str], tuple[dict[str, Any], Measure]]


def serve(prepare: Prepare) -> None:
    """Answers the contest's lines until they end; one case is held at a time."""
    measure: Measure | None = None
    for line in sys.stdin:
        order, _, case = line.rstrip("\n").partition(" ")
        try:
            if order == "case":
                measure = None
                gc.collect()
                facts, measure = prepare(case)
                _say({"facts": facts})
            elif measure is None:
                _say({"skip": "no case is ready"})
            else:
                _say({"seconds": measure()})
        except Exception as error:
            reason = (str(error).strip().splitlines() or ["no message"])[0][:200]
            _say({"skip": f"{type(error).__name__}: {reason}"})


def torch_needs_core_types() -> None:
    """Ends a process of a named core type where torch was built with another library's products."""
    import torch

    blas = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    if "OPENBLAS_CORETYPE" in os.environ and blas and blas[1] != "open":
        raise NotImplementedError(f"this torch multiplies with {blas[1]}, not with OpenBLAS")


def openblas() -> str:
    """Which OpenBLAS stands before all that packages carry; nothing without one."""
    try:
        configuration = ctypes.CDLL(None).openblas_get_config
    except AttributeError:
        return ""
    configuration.restype = ctypes.c_char_p
    return configuration().decode().strip()


def timed(call: Callable[[], object], repeats: int = 3, slow: float = 0.3) -> list[float]:
    """Seconds of `repeats` calls after one that warms up; of one call when it is `slow`."""
    if seconds_of(call) > slow:
        repeats = 1
    return [seconds_of(call) for _ in range(repeats)]


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)
