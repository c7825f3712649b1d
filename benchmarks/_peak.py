"""The machine's peak: what its fused multiply-adds reach when nothing else is to be done."""

from __future__ import annotations

import importlib


def fma_peak() -> float | None:
    """GFLOP/s of float32 multiply-adds on all threads; None where vqswift does not measure it."""
    try:
        benchmark = importlib.import_module("vqswift.benchmark")
    except ImportError:
        return None
    return float(benchmark.fma_peak())
