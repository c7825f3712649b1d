"""The demonstration: one autoencoder, twice, with the plain quantizer and with the full method."""

from __future__ import annotations

from .._harness import Command
from ._run import METHODS, Result, Settings, run

COMMAND = Command(
    "demo",
    "train the 32x32 autoencoder with two quantizers and compare them",
    __doc__,
    Settings,
    run,
)
__all__ = ["COMMAND", "METHODS", "Result", "Settings", "run"]
